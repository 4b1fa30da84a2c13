//! The `fallback` queue: a step that is due is claimed by one conditional write, then its provider is called, once.
//!
//! What happens between the claim and the outcome is never repeated: a step whose worker died is recorded as unknown, and the
//! chain goes on. Provider clients therefore do not retry.

mod providers;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use lambda_runtime::{LambdaEvent, service_fn};
use tidings_crypto::random;
use tidings_domain::{
    Entry, Timestamp,
    fallback::{self, Decision, Outcome, StepDue},
};
use tidings_runtime::{
    Error, Sdk, Steps,
    batch::{self, Record},
    logs,
};
use tidings_store::{Messages, Users};

use providers::Providers;

/// What the handler needs.
#[derive(Debug)]
pub struct Deps {
    users: Users,
    messages: Messages,
    steps: Steps,
    providers: Providers,
}

/// Runs the function until its process ends.
///
/// # Errors
/// Where the environment lacks something, or the Runtime API cannot be reached.
pub async fn run() -> Result<(), Error> {
    logs::init();
    let sdk = Sdk::from_env()?;
    let deps = Deps {
        users: sdk.users()?,
        messages: sdk.messages()?,
        steps: Steps::from_env(&sdk)?,
        providers: Providers::from_env(&sdk)?,
    };
    lambda_runtime::run(service_fn(|event: LambdaEvent<_>| {
        handle(&deps, event.payload, batch::deadline(&event.context))
    }))
    .await
}

/// Works on a batch; reports exactly the steps that must be looked at again.
///
/// # Errors
/// Where the event is none.
pub async fn handle(deps: &Deps, event: SqsEvent, deadline: Timestamp) -> Result<SqsBatchResponse, Error> {
    batch::each(event, deadline, |record: Record<StepDue>| step(deps, record)).await
}

async fn step(deps: &Deps, record: Record<StepDue>) -> Result<(), Error> {
    let (due, trace) = (record.payload, record.trace.as_deref());
    let now = Timestamp::now();
    let entry = deps.users.entry(&due.user, due.position).await?;
    let view = deps.users.view(&due.user, now).await?;
    let outcome = match fallback::decide(&due, entry.as_ref(), &view, now) {
        Decision::Stop(reason) => {
            tracing::info!(message_id = %due.id, step = due.step, reason, "chain ended");
            return Ok(());
        }
        Decision::Postpone(later, reason) => {
            tracing::info!(message_id = %due.id, step = due.step, reason, "step postponed");
            return deps.steps.schedule(later, now, trace).await;
        }
        Decision::Next => ended(entry.as_ref(), &due),
        Decision::RecordUnknown => Some(record_outcome(deps, &due, Outcome::Unknown).await?),
        Decision::Skip(reason) => Some(record_outcome(deps, &due, Outcome::Skipped(reason.to_owned())).await?),
        Decision::Claim(call) => {
            // Its withdrawal may still wait in its lane.
            if deps.messages.get(&due.id, now).await?.is_some_and(|record| record.cancelled.is_some()) {
                tracing::info!(message_id = %due.id, step = due.step, reason = "cancelled", "chain ended");
                return Ok(());
            }
            if !deps.users.claim_step(&due, &random::id()?, now).await? {
                // Confirmed, or claimed by another worker, since it was read: looked at again.
                return Err("the step changed at the same moment".into());
            }
            let outcome = deps.providers.call(&call).await;
            Some(record_outcome(deps, &due, outcome).await?)
        }
    };
    let (Some(outcome), Some(entry)) = (outcome, entry) else { return Ok(()) };
    let now = Timestamp::now();
    match fallback::next(&due, &entry, &outcome, now) {
        Some(next) => deps.steps.schedule(next, now, trace).await,
        None => Ok(()),
    }
}

/// How a step that is over has ended.
fn ended(entry: Option<&Entry>, due: &StepDue) -> Option<Outcome> {
    let record = entry?.steps.get(due.step)?;
    record.outcome.as_ref().map(|(outcome, _)| outcome.clone())
}

async fn record_outcome(deps: &Deps, due: &StepDue, outcome: Outcome) -> Result<Outcome, Error> {
    let kind = match &outcome {
        Outcome::Accepted(_) => "accepted",
        Outcome::Refused(_) => "refused",
        Outcome::Skipped(_) => "skipped",
        Outcome::Unknown => "unknown",
    };
    tracing::info!(message_id = %due.id, step = due.step, outcome = kind, "fallback step ended");
    deps.users.end_step(due, &outcome, Timestamp::now()).await?;
    Ok(outcome)
}
