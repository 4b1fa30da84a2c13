//! The `fallback` queue: a step that is due is claimed by one conditional write, then its provider is called, once.
//!
//! What happens between the claim and the outcome is never repeated where the provider would not know the repetition: a step whose
//! worker died is recorded as unknown, and the chain goes on. Provider clients therefore do not retry.

mod email;
mod providers;
mod push;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use tidings_crypto::random;
use tidings_domain::{
    Device, Entry, Timestamp,
    chain::{Outcome, StepDue},
    fallback::{self, Call, Decision, PushCall},
};
use tidings_lambda::{
    Error,
    batch::{self, Record},
    logs,
};
use tidings_service::Steps;
use tidings_store::{Items, Messages, Users};
use tidings_wire::trail::SkipReason;

use providers::Providers;
use push::{Pushed, Pushes};

/// What the handler needs.
#[derive(Debug)]
pub struct Deps {
    users: Users,
    messages: Messages,
    items: Items,
    steps: Steps,
    providers: Providers,
    pushes: Pushes,
}

/// Runs the function until its process ends.
///
/// # Errors
/// If the environment lacks a variable, or the Runtime API cannot be reached.
pub async fn run() -> Result<(), Error> {
    let sdk = tidings_lambda::start()?;
    let deps = Deps {
        users: sdk.users()?,
        messages: sdk.messages()?,
        items: sdk.items()?,
        steps: sdk.steps()?,
        providers: Providers::from_env(&sdk)?,
        pushes: Pushes::from_env(&sdk)?,
    };
    batch::serve(|event, deadline| handle(&deps, event, deadline)).await
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
    let item_closed = match entry.as_ref().and_then(|entry| entry.item(now)) {
        Some(item) => deps.items.closed(&due.user.tenant(), item, now).await?.is_some(),
        None => false,
    };
    let outcome = match fallback::decide(&due, entry.as_ref(), &view, item_closed, now) {
        Decision::Stop(reason) => {
            tracing::info!(message_id = %due.id, step = due.step, reason, "chain ended");
            return Ok(());
        }
        Decision::Postpone(later, reason) => {
            tracing::info!(message_id = %due.id, step = due.step, reason, "step postponed");
            return Ok(deps.steps.schedule(later, now, trace).await?);
        }
        Decision::Next => ended(entry.as_ref(), &due),
        Decision::RecordUnknown => Some(record_outcome(deps, &due, Outcome::Unknown, None).await?),
        Decision::Skip(reason) => Some(record_outcome(deps, &due, Outcome::Skipped(reason), None).await?),
        Decision::Claim(call) => {
            let (worker, claimed) = (random::id()?, Timestamp::now());
            let before = entry.as_ref().and_then(|entry| entry.steps.get(due.step)?.claimed_by.as_deref());
            if !deps.users.claim_step(&due, before, &worker, claimed).await? {
                // Confirmed, or claimed by another worker, since it was read: looked at again.
                return Err("the step changed at the same moment".into());
            }
            let is_repeat = entry.as_ref().is_some_and(|entry| fallback::is_repeat(&due, entry));
            let off = match called_off(deps, &due, entry.as_ref(), now).await {
                Ok(off) => off,
                Err(error) => {
                    give_back(deps, &due, &worker, is_repeat).await?;
                    return Err(error);
                }
            };
            if let Some(why) = off {
                tracing::info!(message_id = %due.id, step = due.step, ?why, "step called off");
                give_back(deps, &due, &worker, is_repeat).await?;
                let outcome = match why {
                    _ if is_repeat => Outcome::Unknown,
                    CalledOff::Cancelled => return Ok(()),
                    CalledOff::ItemClosed => Outcome::Skipped(SkipReason::ItemClosed),
                };
                let outcome = record_outcome(deps, &due, outcome, None).await?;
                return follow(deps, &due, entry.as_ref(), &outcome, trace).await;
            }
            let outcome = match call {
                Call::Sms { to, text } => deps.providers.sms(&to, &text).await,
                Call::Email { to, subject, text, unsubscribe } => {
                    deps.providers.email(&to, &subject, &text, &unsubscribe).await
                }
                Call::Push(call) => match push(deps, &call, &due, &worker, claimed).await? {
                    Ended::Outcome(outcome) => return follow(deps, &due, entry.as_ref(), &outcome, trace).await,
                    Ended::PutOff(later) => return Ok(deps.steps.schedule(later, Timestamp::now(), trace).await?),
                },
            };
            Some(record_outcome(deps, &due, outcome, None).await?)
        }
    };
    match outcome {
        Some(outcome) => follow(deps, &due, entry.as_ref(), &outcome, trace).await,
        None => Ok(()),
    }
}

/// Schedules the step after one that has ended.
async fn follow(
    deps: &Deps,
    due: &StepDue,
    entry: Option<&Entry>,
    outcome: &Outcome,
    trace: Option<&str>,
) -> Result<(), Error> {
    let now = Timestamp::now();
    match entry.and_then(|entry| fallback::next(due, entry, outcome, now)) {
        Some(next) => Ok(deps.steps.schedule(next, now, trace).await?),
        None => Ok(()),
    }
}

/// Why a step that is claimed makes no call.
#[derive(Clone, Copy, Debug)]
enum CalledOff {
    /// Its message is cancelled.
    Cancelled,
    /// What its message is about is closed.
    ItemClosed,
}

/// Whether a step that is claimed is called off. Asked after the claim: whoever has cancelled the message or closed its item
/// before, and was answered, finds no step that begins after the answer.
async fn called_off(
    deps: &Deps,
    due: &StepDue,
    entry: Option<&Entry>,
    now: Timestamp,
) -> Result<Option<CalledOff>, Error> {
    // Its withdrawal may still wait in its lane.
    if deps.messages.get(&due.id, now).await?.is_some_and(|record| record.cancelled.is_some()) {
        return Ok(Some(CalledOff::Cancelled));
    }
    let closed = match entry.and_then(|entry| entry.item(now)) {
        Some(item) => deps.items.closed(&due.user.tenant(), item, now).await?.is_some(),
        None => false,
    };
    Ok(closed.then_some(CalledOff::ItemClosed))
}

/// Gives the claim of a step back whose provider was certainly not called; nothing where it was claimed before, and may have
/// been called then.
async fn give_back(deps: &Deps, due: &StepDue, worker: &str, is_repeat: bool) -> Result<(), Error> {
    if !is_repeat {
        deps.users.release_step(due, worker).await?;
    }
    Ok(())
}

/// What became of a step that was claimed.
enum Ended {
    /// It is over.
    Outcome(Outcome),
    /// Its provider could not take it, or nobody knows whether it has and asking again does no harm: it is asked again then.
    PutOff(StepDue),
}

/// Pushes to the devices of a step that is claimed. Where nothing was sent, the claim is given back: nobody has to wait until it
/// is old, and nothing of it is unknown. Of a repetition only its acceptance says what has become of the calls before.
async fn push(deps: &Deps, call: &PushCall, due: &StepDue, worker: &str, claimed: Timestamp) -> Result<Ended, Error> {
    let is_repeat = fallback::is_repeat(due, &call.entry);
    let pushed = match deps.pushes.push(call, due).await {
        Ok(pushed) => pushed,
        Err(error) => {
            give_back(deps, due, worker, is_repeat).await?;
            return Err(error);
        }
    };
    let (outcome, detail, dead) = match pushed {
        Pushed::Ended { outcome: Outcome::Refused(_) | Outcome::Skipped(_), dead, .. } if is_repeat => {
            // It would be refused once more.
            let outcome = record_outcome(deps, due, Outcome::Unknown, None).await?;
            forget(deps, &dead).await;
            return Ok(Ended::Outcome(outcome));
        }
        Pushed::Ended { outcome, detail, dead } => (outcome, detail, dead),
        Pushed::Busy { dead, .. } if is_repeat => (Outcome::Unknown, None, dead),
        Pushed::Busy { code, pause, dead } => {
            let pause = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            if let Some(later) = fallback::put_off(due, &call.entry, pause, Timestamp::now()) {
                tracing::info!(message_id = %due.id, step = due.step, code, attempts = later.attempts, "step put off");
                deps.users.release_step(due, worker).await?;
                forget(deps, &dead).await;
                return Ok(Ended::PutOff(later));
            }
            (Outcome::Refused(code), None, dead)
        }
    };
    // The claim stays: it may have been taken, and the trail says that it began.
    if outcome == Outcome::Unknown
        && let Some(later) = fallback::repeat(due, &call.entry, claimed)
    {
        tracing::info!(message_id = %due.id, step = due.step, "step is repeated later");
        return Ok(Ended::PutOff(later));
    }
    let outcome = record_outcome(deps, due, outcome, detail.as_deref()).await?;
    forget(deps, &dead).await;
    Ok(Ended::Outcome(outcome))
}

/// Forgets addresses that their providers call dead. Where that fails, the next push finds them dead again.
async fn forget(deps: &Deps, dead: &[Device]) {
    for device in dead {
        tracing::info!(device = %device.id, "push address is dead");
        let forgotten = deps.users.forget_push(device).await;
        forgotten.unwrap_or_else(|error| tracing::warn!(error = logs::chain(&error), "it was not forgotten"));
    }
}

/// How a step that is over has ended.
fn ended(entry: Option<&Entry>, due: &StepDue) -> Option<Outcome> {
    let record = entry?.steps.get(due.step)?;
    record.outcome.as_ref().map(|(outcome, _)| outcome.clone())
}

async fn record_outcome(deps: &Deps, due: &StepDue, outcome: Outcome, detail: Option<&str>) -> Result<Outcome, Error> {
    let kind = match &outcome {
        Outcome::Accepted(_) => "accepted",
        Outcome::Refused(_) => "refused",
        Outcome::Skipped(_) => "skipped",
        Outcome::Unknown => "unknown",
    };
    tracing::info!(message_id = %due.id, step = due.step, outcome = kind, "fallback step ended");
    deps.users.end_step(due, &outcome, detail, Timestamp::now()).await?;
    Ok(outcome)
}
