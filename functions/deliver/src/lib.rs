//! The `deliver` queue: one message for one recipient at a time. Reads what is known of the recipient, appends the message to
//! the mailbox, posts it to every live connection, and sees to it that somebody takes over where nobody was reached.
//!
//! Stored before posted: whatever dies in between, the message is in the mailbox, and comes again from the queue. A message
//! that comes again is found there and posted under its old place; devices show each id once.

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use futures_util::future;
use lambda_runtime::{LambdaEvent, service_fn};
use tidings_domain::{
    Connection, Delivery, DeviceId, Position, Timestamp, UserView,
    delivery::{self, Plan, PostOutcome, Settled},
    mailbox,
};
use tidings_gateway::Gateway;
use tidings_runtime::{
    Error, Sdk, Sealer, Steps,
    batch::{self, Record},
    config, logs,
};
use tidings_store::{Appended, Users};

/// Receives of one delivery that are spent on posts which may yet succeed. It is in the mailbox by then, and its user's
/// next deliveries wait behind it: after that, the device's own heartbeat and sync bring it.
const POST_RECEIVES: u32 = 2;

/// How often a place in the log is sought again where another worker took it first.
const APPEND_ATTEMPTS: usize = 5;

/// What the handler needs.
#[derive(Debug)]
pub struct Deps {
    users: Users,
    gateway: Gateway,
    sealer: Sealer,
    steps: Steps,
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
        gateway: sdk.gateway()?,
        sealer: Sealer::new(config::root_keys()?),
        steps: Steps::from_env(&sdk)?,
    };
    lambda_runtime::run(service_fn(|event: LambdaEvent<_>| {
        handle(&deps, event.payload, batch::deadline(&event.context))
    }))
    .await
}

/// Works on a batch; reports exactly the deliveries that must come again.
///
/// # Errors
/// Where the event is none.
pub async fn handle(deps: &Deps, event: SqsEvent, deadline: Timestamp) -> Result<SqsBatchResponse, Error> {
    batch::each(event, deadline, |record: Record<Delivery>| deliver(deps, record)).await
}

async fn deliver(deps: &Deps, record: Record<Delivery>) -> Result<(), Error> {
    let delivery = record.payload;
    let (position, targets) = match place(deps, &delivery).await? {
        Placed::Nowhere => return Ok(()),
        Placed::Transient(targets) => {
            settle(deps, &delivery, post(deps, &delivery, None, targets).await).await?;
            return Ok(());
        }
        Placed::At(position, targets) => (position, targets),
    };
    let online = !targets.is_empty();
    let mut settled = settle(deps, &delivery, post(deps, &delivery, Some(position), targets).await).await?;
    let mut gone: Vec<DeviceId> = settled.gone.iter().map(|connection| connection.device.clone()).collect();
    if online && !settled.reached && !settled.retry && !gone.is_empty() {
        // Every connection was gone. The device may be back on another one by now: one more look, then it is offline.
        let now = Timestamp::now();
        let view = deps.users.view(&delivery.user, now).await?;
        let fresh: Vec<_> = view.reachable(delivery.platform).filter(|c| !settled.gone.contains(c)).cloned().collect();
        settled = settle(deps, &delivery, post(deps, &delivery, Some(position), fresh).await).await?;
        gone.extend(settled.gone.iter().map(|connection| connection.device.clone()));
        if !settled.reached {
            deps.users.note_offline(&delivery.user, position, &gone, now).await?;
        }
    }
    let now = Timestamp::now();
    // A post whose fate is unknown may have arrived: nobody is sent an SMS at once for it.
    let perhaps = settled.reached || settled.retry;
    if let Some(step) = delivery::first_step(&delivery, position, perhaps, now) {
        deps.steps.schedule(&step, now, record.trace.as_deref()).await?;
    }
    tracing::info!(
        message_id = %delivery.id,
        user = delivery.user.digest(),
        seq = position.seq,
        reached = settled.reached,
        gone = gone.len(),
        "message delivered to the mailbox"
    );
    if settled.retry && !settled.reached && record.receives < POST_RECEIVES {
        return Err("no post was accepted; the delivery comes again".into());
    }
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

async fn place(deps: &Deps, delivery: &Delivery) -> Result<Placed, Error> {
    for _ in 0..APPEND_ATTEMPTS {
        let now = Timestamp::now();
        let view = deps.users.view(&delivery.user, now).await?;
        match planned(deps, delivery, &view, now).await? {
            Plan::Expired => {
                tracing::info!(message_id = %delivery.id, "expired before it was stored");
                return Ok(Placed::Nowhere);
            }
            Plan::Transient { targets } => return Ok(Placed::Transient(targets)),
            Plan::Repost { position, targets } => return reposted(deps, delivery, position, targets).await,
            Plan::Append { entry, targets } => match deps.users.append(&delivery.user, &entry).await? {
                Appended::Stored => return Ok(Placed::At(entry.position, targets)),
                Appended::Conflict => {}
            },
        }
    }
    Err("the mailbox was written to by others at every attempt".into())
}

/// The plan; a delivery that comes late is looked for by id first, beyond the mailbox's window.
async fn planned(deps: &Deps, delivery: &Delivery, view: &UserView, now: Timestamp) -> Result<Plan, Error> {
    let plan = delivery::plan(delivery, view, now);
    match plan {
        Plan::Append { targets, .. } if delivery.is_late(now) => {
            match deps.users.find(&delivery.user, &delivery.id).await? {
                Some(position) => Ok(Plan::Repost { position, targets }),
                None => Ok(delivery::plan(delivery, view, now)),
            }
        }
        plan => Ok(plan),
    }
}

/// A delivery that was stored before: posted again unless somebody confirmed it, or its time is over.
async fn reposted(
    deps: &Deps,
    delivery: &Delivery,
    position: Position,
    targets: Vec<Connection>,
) -> Result<Placed, Error> {
    let entry = deps.users.entry(&delivery.user, position).await?;
    let settled = entry.is_none_or(|entry| entry.is_confirmed() || Timestamp::now() > entry.deadline);
    Ok(if settled { Placed::Nowhere } else { Placed::At(position, targets) })
}

/// Posts to every connection at the same time, each frame sealed for its device.
async fn post(
    deps: &Deps,
    delivery: &Delivery,
    position: Option<Position>,
    targets: Vec<Connection>,
) -> Vec<(Connection, PostOutcome)> {
    let posts = targets.into_iter().map(|connection| async move {
        let frame = mailbox::message_frame(
            &delivery.id,
            position,
            delivery.accepted,
            &delivery.content,
            &delivery.user,
            &connection.device,
        );
        let outcome = match deps.sealer.seal(&frame, &connection) {
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
async fn settle(deps: &Deps, delivery: &Delivery, outcomes: Vec<(Connection, PostOutcome)>) -> Result<Settled, Error> {
    let settled = delivery::settle(&outcomes);
    for connection in &settled.gone {
        deps.users.prune(&delivery.user, &connection.id).await?;
    }
    Ok(settled)
}
