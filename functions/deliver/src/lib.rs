//! The delivery queues: one message for one recipient at a time. Reads what is known of the recipient, appends the message to
//! the mailbox, posts it to every live connection, and sees to it that somebody takes over where nobody was reached. Behind
//! their deliveries come redeliveries of what nobody confirmed, and withdrawals of what was cancelled.
//!
//! Stored before posted: whatever dies in between, the message is in the mailbox, and comes again from the queue. A message
//! that comes again is found there and posted under its old place; devices show each id once.

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use futures_util::future;
use tidings_domain::{
    Connection, Delivery, DeviceId, Entry, Position, Timer, Timestamp, UserKey, UserView,
    delivery::{self, Again, Job, Plan, PostOutcome, Settled, Withdraw},
    mailbox::{self, Closed},
};
use tidings_gateway::Gateway;
use tidings_lambda::{
    Error,
    batch::{self, Record},
    logs,
};
use tidings_service::{Sealer, Steps};
use tidings_store::{Appended, Messages, Users};
use tidings_wire::Frame;

/// Receives of one delivery that are spent on posts which may yet succeed. It is in the mailbox by then, and its user's
/// next deliveries wait behind it: after that, the device's own heartbeat and sync bring it.
const POST_RECEIVES: u32 = 2;

/// How often a place in the log is sought again where another worker took it first.
const APPEND_ATTEMPTS: usize = 5;

/// What the handler needs.
#[derive(Debug)]
pub struct Deps {
    users: Users,
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
        users: sdk.users()?,
        messages: sdk.messages()?,
        gateway: sdk.gateway()?,
        sealer: sdk.sealer()?,
        steps: sdk.steps()?,
    };
    batch::serve(|event, deadline| handle(&deps, event, deadline)).await
}

/// Works on a batch; reports exactly the jobs that must come again.
///
/// # Errors
/// Where the event is none.
pub async fn handle(deps: &Deps, event: SqsEvent, deadline: Timestamp) -> Result<SqsBatchResponse, Error> {
    batch::each(event, deadline, |Record { payload, trace, receives }: Record<Job>| async move {
        match payload {
            Job::Deliver(delivery) => deliver(deps, &delivery, trace.as_deref(), receives).await,
            Job::Again(again) => deliver_again(deps, &again, trace.as_deref()).await,
            Job::Withdraw(withdraw) => close(deps, &withdraw).await,
        }
    })
    .await
}

async fn deliver(deps: &Deps, delivery: &Delivery, trace: Option<&str>, receives: u32) -> Result<(), Error> {
    let frame = |position: Option<Position>| {
        move |device: &DeviceId| {
            let Delivery { id, accepted, content, user, .. } = delivery;
            mailbox::message_frame(id, position, *accepted, content, user, device)
        }
    };
    let (position, targets) = match place(deps, delivery, receives).await? {
        Placed::Nowhere => return Ok(()),
        Placed::Transient(targets) => {
            settle(deps, &delivery.user, post(deps, targets, frame(None)).await).await?;
            return Ok(());
        }
        Placed::At(position, targets) => (position, targets),
    };
    let online = !targets.is_empty();
    let mut settled = settle(deps, &delivery.user, post(deps, targets, frame(Some(position))).await).await?;
    let mut gone = delivery::devices_of(&settled.gone);
    if online && !settled.reached && !settled.retry && !gone.is_empty() {
        // Every connection was gone. The device may be back on another one by now: one more look, then it is offline.
        let now = Timestamp::now();
        let view = deps.users.view(&delivery.user, now).await?;
        let fresh: Vec<_> = view.reachable(delivery.platform).filter(|c| !settled.gone.contains(c)).cloned().collect();
        settled = settle(deps, &delivery.user, post(deps, fresh, frame(Some(position))).await).await?;
        gone.extend(delivery::devices_of(&settled.gone));
        if !settled.reached {
            deps.users.note_offline(&delivery.user, position, &gone, now).await?;
        }
    }
    let now = Timestamp::now();
    // A post whose fate is unknown may have arrived: nobody is sent an SMS at once for it.
    let perhaps = settled.reached || settled.retry;
    if let Some(step) = delivery::first_step(delivery, position, perhaps, now) {
        deps.steps.schedule(step, now, trace).await?;
    }
    if let Some(again) = delivery::first_again(delivery, position, now) {
        deps.steps.timers().schedule(&Timer::Again(again), now, trace).await?;
    }
    tracing::info!(
        message_id = %delivery.id,
        user = delivery.user.digest(),
        seq = position.seq,
        reached = settled.reached,
        gone = gone.len(),
        "message delivered to the mailbox"
    );
    if settled.retry && !settled.reached && receives < POST_RECEIVES {
        return Err("no post was accepted; the delivery comes again".into());
    }
    Ok(())
}

/// Posts a message once more that nobody has confirmed, and sees to the next time. What is confirmed, closed or expired by now
/// ends here.
async fn deliver_again(deps: &Deps, again: &Again, trace: Option<&str>) -> Result<(), Error> {
    let now = Timestamp::now();
    let entry = deps.users.entry(&again.user, again.position).await?;
    let record = deps.messages.get(&again.id, now).await?;
    let cancelled = record.is_some_and(|record| record.cancelled.is_some());
    let Some(entry) = entry.filter(|entry| entry.id == again.id && entry.is_open(now) && !cancelled) else {
        tracing::info!(message_id = %again.id, attempt = again.attempt, "redelivery is not needed any more");
        return Ok(());
    };
    let view = deps.users.view(&again.user, now).await?;
    let targets = delivery::targets_again(again, &entry, &view, now);
    let devices = delivery::devices_of(&targets);
    let settled =
        settle(deps, &again.user, post(deps, targets, |device| entry.frame(&again.user, device)).await).await?;
    if settled.reached {
        deps.users.note_redelivered(again, devices, now).await?;
    }
    if let Some(next) = delivery::next_again(again, &entry, now) {
        deps.steps.timers().schedule(&Timer::Again(next), now, trace).await?;
    }
    tracing::info!(message_id = %again.id, attempt = again.attempt, reached = settled.reached, "message redelivered");
    Ok(())
}

/// Closes a message that its sender has cancelled. It stands in the mailbox already, for its delivery was in front of this on the
/// queue; where that one failed for good, the record of the message tells its redrive.
async fn close(deps: &Deps, withdraw: &Withdraw) -> Result<(), Error> {
    let view = deps.users.view(&withdraw.user, Timestamp::now()).await?;
    let position = match view.tail.and_then(|tail| mailbox::lately(&tail, &withdraw.id)) {
        Some(position) => Some(position),
        None => deps.users.find(&withdraw.user, &withdraw.id).await?,
    };
    let closed = match position {
        Some(position) => deps.users.close(&withdraw.user, position, Closed::Cancelled, withdraw.at).await?,
        None => false,
    };
    tracing::info!(message_id = %withdraw.id, user = withdraw.user.digest(), closed, "message withdrawn");
    Ok(())
}

/// Where a delivery stands after it has been stored.
enum Placed {
    /// It came too late, or is settled already.
    Nowhere,
    /// It is not kept.
    Transient(Vec<Connection>),
    /// It stands in the mailbox, to be posted to these.
    At(Position, Vec<Connection>),
}

async fn place(deps: &Deps, delivery: &Delivery, receives: u32) -> Result<Placed, Error> {
    for _ in 0..APPEND_ATTEMPTS {
        let now = Timestamp::now();
        let view = deps.users.view(&delivery.user, now).await?;
        let (entry, targets) = match planned(deps, delivery, &view, receives, now).await? {
            Planned::Nowhere => {
                tracing::info!(message_id = %delivery.id, "not stored: expired or cancelled before");
                return Ok(Placed::Nowhere);
            }
            Planned::Transient(targets) => return Ok(Placed::Transient(targets)),
            Planned::Stored(entry, targets) => {
                // The worker before found every connection gone, and died before it could say so.
                if targets.is_empty() && entry.offline.is_none() && entry.is_open(now) {
                    deps.users.note_offline(&delivery.user, entry.position, &entry.posted, now).await?;
                }
                (entry, targets)
            }
            Planned::Append(entry, targets) => match deps.users.append(&delivery.user, &entry).await? {
                Appended::Stored => (entry, targets),
                Appended::Conflict => continue,
            },
        };
        close_replaced(deps, &delivery.user, &entry).await?;
        return Ok(if entry.is_open(now) { Placed::At(entry.position, targets) } else { Placed::Nowhere });
    }
    Err("the mailbox was written to by others at every attempt".into())
}

/// What is done with a delivery, when everything has been looked up that the domain's plan hangs on.
enum Planned {
    /// Nothing.
    Nowhere,
    /// It is posted, and not kept.
    Transient(Vec<Connection>),
    /// It stands in the mailbox, because it has been here before.
    Stored(Box<Entry>, Vec<Connection>),
    /// It is appended.
    Append(Box<Entry>, Vec<Connection>),
}

/// The plan. A delivery that comes late or again is looked for by id first, beyond the mailbox's window: the user's other lane may
/// have gone on meanwhile. One whose cancellation may have passed it is held against its record.
async fn planned(
    deps: &Deps,
    delivery: &Delivery,
    view: &UserView,
    receives: u32,
    now: Timestamp,
) -> Result<Planned, Error> {
    let mut plan = delivery::plan(delivery, view, now);
    let late = delivery.is_late(now);
    let remembered = match &plan {
        Plan::Repost { position } => Some(*position),
        Plan::Append { .. } if late || receives > 1 => deps.users.find(&delivery.user, &delivery.id).await?,
        Plan::Append { .. } | Plan::Transient { .. } | Plan::Expired => None,
    };
    if let Some(position) = remembered {
        let entry = deps.users.entry(&delivery.user, position).await?;
        // Under an idempotency key that was forgotten and used again, the same id names another message.
        if let Some(entry) = entry.filter(|it| it.id == delivery.id && it.accepted == delivery.accepted) {
            let targets = view.reachable(delivery.platform).cloned().collect();
            return Ok(Planned::Stored(Box::new(entry), targets));
        }
        plan = delivery::plan_anew(delivery, view, now);
    }
    if (late || delivery.scheduled) && plan != Plan::Expired {
        let record = deps.messages.get(&delivery.id, now).await?;
        if record.is_some_and(|record| record.cancelled.is_some()) {
            return Ok(Planned::Nowhere);
        }
    }
    Ok(match plan {
        // Anew, nothing is a repeat.
        Plan::Expired | Plan::Repost { .. } => Planned::Nowhere,
        Plan::Transient { targets } => Planned::Transient(targets),
        Plan::Append { entry, targets } => Planned::Append(entry, targets),
    })
}

/// Closes what an entry replaces, before anything of the entry is shown. Doing it again changes nothing.
async fn close_replaced(deps: &Deps, user: &UserKey, entry: &Entry) -> Result<(), Error> {
    if let Some(replaced) = entry.replaces {
        deps.users.close(user, replaced, Closed::Replaced, Timestamp::now()).await?;
    }
    Ok(())
}

/// Posts to every connection at the same time, each frame sealed for its device.
async fn post(
    deps: &Deps,
    targets: Vec<Connection>,
    frame: impl Fn(&DeviceId) -> Frame,
) -> Vec<(Connection, PostOutcome)> {
    let frame = &frame;
    let posts = targets.into_iter().map(|connection| async move {
        let outcome = match deps.sealer.seal(&frame(&connection.device), &connection) {
            Ok(sealed) => deps.gateway.post(&connection.id, sealed).await,
            // A root key that was withdrawn, say: this connection's fault, and none of the others'.
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
    for connection in &settled.gone {
        deps.users.prune(user, &connection.id).await?;
    }
    Ok(settled)
}
