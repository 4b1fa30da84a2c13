//! The `fallback` queue: a step that is due is claimed by one conditional write, then its provider is called, once.
//!
//! A call is never repeated unless its receiver recognises the repetition: a step whose worker died is recorded as
//! unknown, and the chain goes on. Provider clients therefore do not retry.

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use futures_util::future;
use tidings_channels::{Channels, Settings};
use tidings_crypto::random;
use tidings_domain::{
    Device, Entry, Timestamp,
    chain::{Outcome, StepDue},
    fallback::{self, Call, CalledOff, Claim, Decision, End, Patience, Then},
    mailbox::Slot,
};
use tidings_lambda::{
    Error,
    batch::{self, Batches, Record, Unreadable},
    config, logs,
};
use tidings_service::{Purpose, Steps};
use tidings_store::{Claims, Devices, Items, Mailboxes, Messages, Users};

/// The handler's dependencies.
#[derive(Debug)]
pub struct Deps {
    batches: Batches,
    users: Users,
    devices: Devices,
    mailboxes: Mailboxes,
    claims: Claims,
    messages: Messages,
    items: Items,
    steps: Steps,
    channels: Channels,
}

/// Runs the function until its process ends.
///
/// # Errors
/// If a variable is missing from the environment, or the Runtime API cannot be reached.
pub async fn run() -> Result<(), Error> {
    let sdk = tidings_lambda::start()?;
    let (email_from, api_url) = (config::text(config::EMAIL_FROM)?, config::text(config::API_URL)?);
    let secrets = config::text(config::PROVIDER_SECRETS)?;
    let providers_url = config::text(config::PROVIDERS_URL).ok();
    let channels = async {
        let (sealer, links) = future::try_join(sdk.sealer(), sdk.roots(Purpose::Links)).await?;
        let settings = Settings { email_from, api_url, links, sealer, secrets, providers_url };
        Ok::<_, Error>(Channels::new(sdk.config(), settings))
    };
    let deps = Deps {
        batches: sdk.batches(),
        users: sdk.users()?,
        devices: sdk.devices()?,
        mailboxes: sdk.mailboxes()?,
        claims: sdk.claims()?,
        messages: sdk.messages()?,
        items: sdk.items()?,
        steps: sdk.steps()?,
        channels: channels.await?,
    };
    batch::serve(|event, deadline| handle(&deps, event, deadline)).await
}

/// Processes a batch; reports exactly the steps that must be received again.
///
/// # Errors
/// If the event is malformed.
pub async fn handle(deps: &Deps, event: SqsEvent, deadline: Timestamp) -> Result<SqsBatchResponse, Error> {
    deps.batches.each(event, deadline, |record: Record<StepDue>| step(deps, record)).await
}

async fn step(deps: &Deps, record: Record<StepDue>) -> Result<(), Error> {
    let (due, trace) = (record.payload, record.trace.as_deref());
    let now = Timestamp::now();
    let entry = match deps.mailboxes.entry(&due.user, due.position).await? {
        Some(Slot::Read(entry)) => entry,
        // A newer version takes the step from the dead-letter queue.
        Some(Slot::Unreadable(_)) => return Err(Unreadable("the mailbox entry").into()),
        None => return stop(&due, fallback::GONE),
    };
    let view = deps.users.view(&due.user, now).await?;
    let item_closed = match entry.item(now) {
        Some(item) => deps.items.closed(&due.user.tenant(), item, now).await?.is_some(),
        None => false,
    };
    let patience = fallback::patience(&due, &entry, &view, item_closed, now);
    let work = Work { due: &due, entry: &entry, now, patience, trace };
    match fallback::decide(&due, &entry, &view, item_closed, now) {
        Decision::Stop(reason) => stop(&due, reason),
        Decision::Postpone(later, reason) => {
            tracing::info!(message_id = %due.id, step = due.step, reason, "step postponed");
            deps.steps.schedule(later, now, trace).await?;
            Ok(())
        }
        Decision::Next(outcome) => follow(deps, &work, &outcome).await,
        Decision::RecordUnknown => pass_over(deps, &work, Outcome::Unknown, None).await,
        Decision::Skip(reason) => pass_over(deps, &work, Outcome::Skipped(reason.into()), None).await,
        Decision::PassOver(channel) => {
            let (kind, name) = ("channel", tracing::field::display(channel));
            tracing::warn!(message_id = %due.id, step = due.step, unknown = 1, kind, name, "step passed over");
            let (outcome, detail) = fallback::passed_over(channel);
            pass_over(deps, &work, outcome, Some(&detail)).await
        }
        Decision::Claim(call) => claim(deps, &work, &call).await,
    }
}

/// A step that is due, and its message as it was read.
#[derive(Clone, Copy)]
struct Work<'a> {
    due: &'a StepDue,
    entry: &'a Entry,
    /// When it was read.
    now: Timestamp,
    /// How long it may be put off.
    patience: Patience,
    trace: Option<&'a str>,
}

fn stop(due: &StepDue, reason: &str) -> Result<(), Error> {
    tracing::info!(message_id = %due.id, step = due.step, reason, "chain ended");
    Ok(())
}

/// Claims a step and makes its call. A claim is released, if it may be, when nothing could be called under it.
async fn claim(deps: &Deps, work: &Work<'_>, call: &Call) -> Result<(), Error> {
    let Work { due, entry, patience, .. } = *work;
    let (worker, claimed) = (random::id()?, Timestamp::now());
    let claim = Claim::new(due, entry, patience, claimed);
    match deps.claims.claim(due, Claim::before(due, entry), &worker, claimed).await {
        Ok(true) => {}
        // Since it was read, the message was confirmed, or another worker has claimed the step: decide once more.
        Ok(false) => return Err("the step changed at the same moment".into()),
        Err(error) => {
            // The claim may have been written although the answer was lost. Nothing was or will be called under it.
            carry_out(deps, work, &worker, claim.abandoned()).await?;
            return Err(error.into());
        }
    }
    match under_claim(deps, work, &claim, call).await {
        Ok(end) => carry_out(deps, work, &worker, end).await,
        Err(error) => {
            carry_out(deps, work, &worker, claim.abandoned()).await?;
            Err(error)
        }
    }
}

/// Makes the call of a claimed step, unless it is called off.
async fn under_claim(deps: &Deps, work: &Work<'_>, claim: &Claim<'_>, call: &Call) -> Result<End, Error> {
    let Work { due, entry, .. } = *work;
    if let Some(why) = called_off(deps, work).await? {
        tracing::info!(message_id = %due.id, step = due.step, ?why, "step called off");
        return Ok(claim.called_off(why));
    }
    let called = deps.channels.call(call, due, entry).await?;
    let random = random::bytes().map_or(u64::MAX / 2, u64::from_be_bytes);
    Ok(claim.settle(&called, random, Timestamp::now()))
}

/// Whether a claimed step is called off. The message and its item are read after the claim: no step starts after a
/// cancellation or a closing was answered.
async fn called_off(deps: &Deps, work: &Work<'_>) -> Result<Option<CalledOff>, Error> {
    let Work { due, entry, now, .. } = *work;
    // Its withdrawal may still wait in its lane.
    if deps.messages.is_cancelled(&due.id, now).await? {
        return Ok(Some(CalledOff::Cancelled));
    }
    let item_closed = match entry.item(now) {
        Some(item) => deps.items.closed(&due.user.tenant(), item, now).await?.is_some(),
        None => false,
    };
    Ok(item_closed.then_some(CalledOff::ItemClosed))
}

async fn carry_out(deps: &Deps, work: &Work<'_>, worker: &str, end: End) -> Result<(), Error> {
    let Work { due, trace, .. } = *work;
    if end.is_released {
        deps.claims.release(due, worker, end.note()).await?;
    }
    match end.then {
        Then::Stop => Ok(()),
        Then::Record { outcome, detail } => {
            record_outcome(deps, due, &outcome, detail.as_deref()).await?;
            forget(deps, due, &end.dead).await;
            follow(deps, work, &outcome).await
        }
        Then::PutOff { later, note } => {
            let (code, attempts) = (note.code, later.attempts);
            tracing::info!(message_id = %due.id, step = due.step, code, attempts, "step put off");
            forget(deps, due, &end.dead).await;
            schedule(deps, later, trace).await
        }
        Then::Repeat(later) => {
            tracing::info!(message_id = %due.id, step = due.step, "step is repeated later");
            schedule(deps, later, trace).await
        }
    }
}

async fn schedule(deps: &Deps, later: StepDue, trace: Option<&str>) -> Result<(), Error> {
    deps.steps.schedule(later, Timestamp::now(), trace).await?;
    Ok(())
}

/// Deletes push addresses that their providers report as dead. If that fails, the next push finds them dead too.
async fn forget(deps: &Deps, due: &StepDue, dead: &[Device]) {
    for device in dead {
        tracing::info!(device = %device.id, message_id = %due.id, step = due.step, "push address is dead");
        let forgotten = deps.devices.forget_push(device).await;
        forgotten.unwrap_or_else(|error| tracing::warn!(error = logs::chain(&error), "push address was not deleted"));
    }
}

/// Records the outcome of a step that made no call.
async fn pass_over(deps: &Deps, work: &Work<'_>, outcome: Outcome, detail: Option<&str>) -> Result<(), Error> {
    record_outcome(deps, work.due, &outcome, detail).await?;
    follow(deps, work, &outcome).await
}

async fn record_outcome(deps: &Deps, due: &StepDue, outcome: &Outcome, detail: Option<&str>) -> Result<(), Error> {
    let kind = match outcome {
        Outcome::Accepted(_) => "accepted",
        Outcome::Refused(_) => "refused",
        Outcome::Skipped(_) => "skipped",
        Outcome::Unknown => "unknown",
        Outcome::Newer(kind) => kind.as_str(),
    };
    tracing::info!(message_id = %due.id, step = due.step, outcome = kind, "fallback step ended");
    deps.claims.end(due, outcome, detail, Timestamp::now()).await?;
    Ok(())
}

/// Schedules the step after one that has ended.
async fn follow(deps: &Deps, work: &Work<'_>, outcome: &Outcome) -> Result<(), Error> {
    let now = Timestamp::now();
    if let Some(next) = fallback::next(work.due, work.entry, outcome, now) {
        deps.steps.schedule(next, now, work.trace).await?;
    }
    Ok(())
}
