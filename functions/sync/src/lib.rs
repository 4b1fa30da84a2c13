//! `sync`, `ack`, `read` and `state`: what a device says of its mailbox.

use aws_lambda_events::apigw::ApiGatewayWebsocketProxyRequest;
use lambda_runtime::{LambdaEvent, service_fn};
use tidings_domain::{ConnectionId, Entry, MessageId, Position, Timestamp, UserView, delivery::PostOutcome, mailbox};
use tidings_gateway::Gateway;
use tidings_runtime::{
    Error, Sdk, Sealer, config, logs,
    socket::{self, Refusal, Reply},
};
use tidings_store::{Confirmation, ConnectionRecord, Users};
use tidings_wire::{Action, Frame, Platform, action::Receipt, frame::Synced, limits};

/// What the handler needs.
#[derive(Debug)]
pub struct Deps {
    users: Users,
    gateway: Gateway,
    sealer: Sealer,
}

/// Runs the function until its process ends.
///
/// # Errors
/// Where the environment lacks something, or the Runtime API cannot be reached.
pub async fn run() -> Result<(), Error> {
    logs::init();
    let sdk = Sdk::from_env()?;
    let deps = Deps { users: sdk.users()?, gateway: sdk.gateway()?, sealer: Sealer::new(config::root_keys()?) };
    lambda_runtime::run(service_fn(|event: LambdaEvent<_>| handle(&deps, event.payload, Timestamp::now()))).await
}

/// Does what the device asks for. An acknowledgement that is recorded is not answered: it costs no frame.
///
/// # Errors
/// Where the event is none, or the store does not answer.
pub async fn handle(deps: &Deps, event: ApiGatewayWebsocketProxyRequest, now: Timestamp) -> Result<Reply, Error> {
    let id = socket::connection_id(&event)?;
    let Some(record) = deps.users.connection(&id, now).await? else {
        return socket::unknown_connection();
    };
    let frame = match socket::action(&event) {
        Ok(Action::Sync { after }) => match replay(deps, &record, after, now).await? {
            Some(synced) => Some(synced),
            None => return socket::unknown_connection(),
        },
        Ok(Action::Ack(receipt)) => confirm(deps, &record, &receipt, Confirmation::Acknowledged, now).await?,
        Ok(Action::Read(receipt)) => confirm(deps, &record, &receipt, Confirmation::Read, now).await?,
        Ok(Action::State { state }) => {
            deps.users.set_state(&record.user, &id, state).await?;
            None
        }
        Ok(Action::Ping) => Some(Refusal::UnknownAction.frame(&record)),
        Err(refusal) => Some(refusal.frame(&record)),
    };
    match frame {
        Some(frame) => Ok(socket::answer(&deps.sealer, &frame, &record)?),
        None => Ok(Reply::done()),
    }
}

/// Records a confirmation; the frame that says what is wrong with it. The mailbox is the device's own user's, so that nobody
/// confirms for somebody else.
async fn confirm(
    deps: &Deps,
    record: &ConnectionRecord,
    receipt: &Receipt,
    what: Confirmation,
    now: Timestamp,
) -> Result<Option<Frame>, Error> {
    let device = &record.connection.device;
    let known = match receipt.id.parse::<MessageId>() {
        Ok(id) => deps.users.confirm(&record.user, receipt.position, &id, device, what, now).await?,
        Err(_) => false,
    };
    Ok((!known).then(|| Refusal::UnknownMessage.frame(record)))
}

/// Posts what the device has missed, oldest first, and says how far it got; `None` where the device is another user's by now.
async fn replay(
    deps: &Deps,
    record: &ConnectionRecord,
    cursor: Option<Position>,
    now: Timestamp,
) -> Result<Option<Frame>, Error> {
    let view = deps.users.view(&record.user, now).await?;
    if !view.owns(&record.connection) {
        return Ok(None);
    }
    let head = view.tail.as_ref().map(|tail| tail.position);
    let from = mailbox::replay_from(cursor, head);
    let limit = usize::try_from(limits::SYNC_PAGE).unwrap_or(usize::MAX);
    let (entries, more) = match head {
        Some(_) => deps.users.after(&record.user, from, limit, now).await?,
        None => (Vec::new(), false),
    };
    let recovered = mailbox::recovered(cursor, entries.first().map(|entry| entry.position), head);
    let replayed = post(deps, record, &view, &entries, now).await?;
    tracing::info!(connection = %record.connection.id, count = replayed.posted.len(), more, recovered, "mailbox replayed");
    let nothing_yet = Position { epoch: 0, seq: 0 };
    Ok(Some(Frame::Synced(Synced {
        device_id: record.connection.device.to_string(),
        position: if entries.is_empty() {
            head.unwrap_or(nothing_yet)
        } else {
            replayed.last.or(from).unwrap_or(nothing_yet)
        },
        recovered,
        more: more || !replayed.complete,
        count: u64::try_from(replayed.posted.len()).unwrap_or(u64::MAX),
        posted: Some(replayed.posted),
    })))
}

/// How far a replay got.
struct Replayed {
    last: Option<Position>,
    posted: Vec<u64>,
    complete: bool,
}

async fn post(
    deps: &Deps,
    record: &ConnectionRecord,
    view: &UserView,
    entries: &[Entry],
    now: Timestamp,
) -> Result<Replayed, Error> {
    let connection: &ConnectionId = &record.connection.id;
    let platform =
        view.devices.iter().find(|device| device.id == record.connection.device).map(|device| device.platform);
    let mut replayed = Replayed { last: None, posted: Vec::new(), complete: true };
    for entry in entries {
        if is_for(entry, record, platform, now) {
            let frame = entry.frame(&record.user, &record.connection.device);
            // One after the other: a replay is in order, and stops at the first frame that may be lost.
            match deps.gateway.post(connection, deps.sealer.seal(&frame, &record.connection)?).await {
                PostOutcome::Accepted => replayed.posted.push(entry.position.seq),
                PostOutcome::Gone | PostOutcome::Retry | PostOutcome::Fault => {
                    return Ok(Replayed { complete: false, ..replayed });
                }
            }
        }
        replayed.last = Some(entry.position);
    }
    Ok(replayed)
}

/// Whether a device still wants an entry: not expired, meant for its platform, not confirmed by itself.
fn is_for(entry: &Entry, record: &ConnectionRecord, platform: Option<Platform>, now: Timestamp) -> bool {
    let device = &record.connection.device;
    let confirmed = entry.acks.iter().chain(&entry.reads).any(|(by, _)| by == device);
    let meant = entry.platform == Platform::All || Some(entry.platform) == platform;
    !confirmed && meant && now <= entry.deadline
}
