//! The delivery queues: one message for one recipient at a time. Reads the recipient, appends the
//! message to the mailbox, posts it to every live connection, and schedules the first fallback step, at once if no
//! connection accepted the frame. A post without an answer is repeated a few times, by a timer. Behind the deliveries
//! come redeliveries of unconfirmed messages, and withdrawals of cancelled ones.
//!
//! A message is stored before it is posted: if the worker dies in between, the message is in the mailbox, and the queue
//! hands the delivery out again. The next worker finds the entry and posts it under its old position; devices show each
//! id once.

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use futures_util::{
    future,
    stream::{self, TryStreamExt},
};
use tidings_domain::{
    Connection, Delivery, DeviceId, Position, Timer, Timestamp, UserKey,
    delivery::{self, Job, Next, Placement, Placing, PostOutcome, Redelivery, Settled, Withdraw},
    mailbox::{self, Closed, Slot},
};
use tidings_gateway::Gateway;
use tidings_lambda::{
    Error,
    batch::{self, Batches, Record, Unreadable},
    logs,
};
use tidings_service::{Sealer, Steps};
use tidings_store::{Appended, Connections, Mailboxes, Messages, Users};
use tidings_wire::Frame;

/// Limit of dead connections that are pruned in parallel.
const PRUNED_AT_ONCE: usize = 16;

/// The handler's dependencies.
#[derive(Debug)]
pub struct Deps {
    batches: Batches,
    users: Users,
    connections: Connections,
    mailboxes: Mailboxes,
    messages: Messages,
    gateway: Gateway,
    sealer: Sealer,
    steps: Steps,
}

/// Runs the function until its process ends.
///
/// # Errors
/// If the environment lacks a variable, or the Runtime API cannot be reached.
pub async fn run() -> Result<(), Error> {
    let sdk = tidings_lambda::start()?;
    let deps = Deps {
        batches: sdk.batches(),
        users: sdk.users()?,
        connections: sdk.connections()?,
        mailboxes: sdk.mailboxes()?,
        messages: sdk.messages()?,
        gateway: sdk.gateway()?,
        steps: sdk.steps()?,
        sealer: sdk.sealer().await?,
    };
    batch::serve(|event, deadline| handle(&deps, event, deadline)).await
}

/// Processes a batch; reports exactly the jobs that must be received again.
///
/// # Errors
/// If the event is malformed.
pub async fn handle(deps: &Deps, event: SqsEvent, deadline: Timestamp) -> Result<SqsBatchResponse, Error> {
    deps.batches
        .each(event, deadline, |Record { payload, trace, receives }: Record<Job>| async move {
            match payload {
                Job::Deliver(delivery) => deliver(deps, &delivery, trace.as_deref(), receives).await,
                Job::Redeliver(redelivery) => redeliver(deps, &redelivery, trace.as_deref()).await,
                Job::Withdraw(withdraw) => withdraw_message(deps, &withdraw).await,
            }
        })
        .await
}

async fn deliver(deps: &Deps, delivery: &Delivery, trace: Option<&str>, receives: u32) -> Result<(), Error> {
    let Delivery { letter, user, .. } = delivery;
    let frame = |position: Option<Position>| move |device: &DeviceId| letter.frame(position, user, device);
    let (position, targets) = match place(deps, delivery, receives).await? {
        Placement::At(position, targets) => (position, targets),
        Placement::Transient(targets) => {
            settle(deps, user, post(deps, user, targets, frame(None)).await).await?;
            return Ok(());
        }
        nowhere @ (Placement::Expired | Placement::Cancelled | Placement::Settled) => {
            tracing::info!(message_id = %letter.id, reason = ?nowhere, "not posted");
            return Ok(());
        }
        Placement::Contended => return Err("other workers wrote to the mailbox at every attempt".into()),
    };
    let online = !targets.is_empty();
    let mut settled = settle(deps, user, post(deps, user, targets, frame(Some(position))).await).await?;
    let mut gone = delivery::devices_of(&settled.gone);
    if online && !settled.may_have_reached() && !gone.is_empty() {
        // Every connection was gone. The device may have reconnected by now: read the connections once more before
        // recording it as offline.
        let now = Timestamp::now();
        let view = deps.users.view(user, now).await?;
        let fresh: Vec<_> = view.reachable(letter.platform).filter(|c| !settled.gone.contains(c)).cloned().collect();
        settled = settle(deps, user, post(deps, user, fresh, frame(Some(position))).await).await?;
        gone.extend(delivery::devices_of(&settled.gone));
        if !settled.is_reached() {
            deps.mailboxes.note_offline(user, position, &gone, now).await?;
        }
    }
    let now = Timestamp::now();
    let unanswered = settled.unanswered_devices();
    if !unanswered.is_empty() {
        deps.mailboxes.note_unanswered(user, position, &unanswered, now).await?;
    }
    // A post whose outcome is unknown may have arrived: the first step does not go out at once then.
    if let Some(step) = delivery::first_step(delivery, position, settled.may_have_reached(), now) {
        deps.steps.schedule(step, now, trace).await?;
    }
    let redelivery = Redelivery::first(user, letter, position, now);
    let repeat = Redelivery::repeat(user, letter, position, 0, &settled.unanswered, now);
    for again in redelivery.into_iter().chain(repeat) {
        deps.steps.timers().schedule(&Timer::Redeliver(again), now, trace).await?;
    }
    tracing::info!(
        message_id = %letter.id,
        user = deps.users.pseudonym(user),
        seq = position.seq,
        reached = settled.is_reached(),
        gone = gone.len(),
        unanswered = unanswered.len(),
        "message delivered to the mailbox"
    );
    Ok(())
}

/// Finds the delivery's position in the mailbox: carries out the domain's requests, one at a time.
async fn place(deps: &Deps, delivery: &Delivery, receives: u32) -> Result<Placement, Error> {
    let (user, id) = (&delivery.user, &delivery.letter.id);
    let mut placing = Placing::new(delivery, receives);
    let mut next = placing.begin();
    loop {
        let now = Timestamp::now();
        next = match next {
            Next::View { is_reused } => placing.viewed(is_reused, &deps.users.view(user, now).await?, now),
            Next::Find(draft) => placing.found(draft, deps.mailboxes.find(user, id).await?, now),
            Next::Entry { position, targets } => {
                let entry = deps.mailboxes.entry(user, position).await?;
                placing.looked_at(position, targets, entry, now)
            }
            Next::Record { then } => placing.checked(*then, deps.messages.is_cancelled(id, now).await?),
            Next::Append(draft) => {
                let appended = deps.mailboxes.append(user, &draft.entry).await?;
                placing.appended(draft, appended == Appended::Stored)
            }
            Next::NoteOffline { position, gone, then } => {
                deps.mailboxes.note_offline(user, position, &gone, now).await?;
                *then
            }
            Next::Close { replaced, then } => {
                deps.mailboxes.close(user, replaced, Closed::Replaced, now).await?;
                *then
            }
            Next::Done(placement) => return Ok(placement),
        };
    }
}

/// Posts a message again that no device has confirmed, or whose posts had no answer, and schedules the next time. Ends
/// if the message is confirmed, closed or expired by now.
async fn redeliver(deps: &Deps, redelivery: &Redelivery, trace: Option<&str>) -> Result<(), Error> {
    let Redelivery { user, id, attempt, .. } = redelivery;
    let is_repeat = redelivery.is_repeat();
    let now = Timestamp::now();
    let entry = deps.mailboxes.entry(user, redelivery.position).await?;
    let entry = match entry {
        // A newer version posts it again, from the dead-letter queue.
        Some(Slot::Unreadable(_)) => return Err(Unreadable("the mailbox entry").into()),
        entry => entry.and_then(Slot::into_read),
    };
    let Some(entry) = entry.filter(|entry| redelivery.is_needed(entry, now)) else {
        tracing::info!(message_id = %id, attempt, is_repeat, "message need not be posted again");
        return Ok(());
    };
    if deps.messages.is_cancelled(id, now).await? {
        tracing::info!(message_id = %id, attempt, is_repeat, "message is cancelled and not posted again");
        return Ok(());
    }
    let view = deps.users.view(user, now).await?;
    let targets = redelivery.targets(&entry, &view, now);
    let settled = settle(deps, user, post(deps, user, targets, |device| entry.frame(user, device)).await).await?;
    let reached = settled.is_reached();
    if reached {
        deps.mailboxes.note_redelivered(redelivery, settled.accepted, now).await?;
    }
    for next in redelivery.following(&entry, &settled.unanswered, now) {
        deps.steps.timers().schedule(&Timer::Redeliver(next), now, trace).await?;
    }
    tracing::info!(message_id = %id, attempt, is_repeat, reached, "message posted again");
    Ok(())
}

/// Closes a message that its sender has cancelled. Its entry is already in the mailbox, since its delivery was in front
/// of the withdrawal on the queue. If that delivery failed for good, its redrive finds the cancellation in the
/// message's record.
async fn withdraw_message(deps: &Deps, withdraw: &Withdraw) -> Result<(), Error> {
    let view = deps.users.view(&withdraw.user, Timestamp::now()).await?;
    let position = match view.tail.and_then(|tail| mailbox::recent_position(&tail, &withdraw.id)) {
        Some(position) => Some(position),
        None => deps.mailboxes.find(&withdraw.user, &withdraw.id).await?,
    };
    let closed = match position {
        Some(position) => deps.mailboxes.close(&withdraw.user, position, Closed::Cancelled, withdraw.at).await?,
        None => false,
    };
    tracing::info!(message_id = %withdraw.id, user = deps.users.pseudonym(&withdraw.user), closed, "message withdrawn");
    Ok(())
}

/// Posts to all connections in parallel, each frame sealed for its device.
async fn post(
    deps: &Deps,
    user: &UserKey,
    targets: Vec<Connection>,
    frame: impl Fn(&DeviceId) -> Frame,
) -> Vec<(Connection, PostOutcome)> {
    let frame = &frame;
    let posts = targets.into_iter().map(|connection| async move {
        let outcome = match deps.sealer.seal(&frame(&connection.device), connection.key_holder(&user.app)).await {
            Ok(sealed) => deps.gateway.post(&connection.id, sealed).await,
            // For example, a root key that was withdrawn: the fault concerns this connection only.
            Err(error) => {
                tracing::error!(connection = %connection.id, error = logs::chain(&error), "frame cannot be sealed");
                PostOutcome::Fault
            }
        };
        (connection, outcome)
    });
    future::join_all(posts).await
}

/// Settles the posts, and prunes the connections that are gone.
async fn settle(deps: &Deps, user: &UserKey, outcomes: Vec<(Connection, PostOutcome)>) -> Result<Settled, Error> {
    let settled = delivery::settle(&outcomes);
    stream::iter(settled.gone.iter().map(Ok))
        .try_for_each_concurrent(PRUNED_AT_ONCE, |connection| deps.connections.prune(user, &connection.id))
        .await?;
    Ok(settled)
}
