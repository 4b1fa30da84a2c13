//! `sync`, `ack`, `read` and `state`: a device's requests about its mailbox.

use aws_lambda_events::apigw::ApiGatewayWebsocketProxyRequest;
use futures_util::stream::{self, TryStreamExt};
use tidings_domain::{
    ConnectionId, Device, Entry, MessageId, Position, Timestamp, announcement,
    delivery::PostOutcome,
    mailbox::{self, Misplaced, Slot},
};
use tidings_gateway::Gateway;
use tidings_lambda::{
    Error,
    socket::{self, Refusal, Reply},
};
use tidings_service::{Sealer, sealer::SealError};
use tidings_store::{
    Announcements, Confirmation, Confirmed, ConnectionRecord, Connections, Devices, Mailboxes, Page, Users,
};
use tidings_wire::{
    Action, Frame,
    action::Receipt,
    frame::{Announced, Synced},
    limits,
};

/// Entries in one read.
const PAGE: usize = limits::SYNC_PAGE;

/// Limit of confirmations that are written in parallel.
const CONFIRMED_AT_ONCE: usize = 8;

/// The handler's dependencies.
#[derive(Debug)]
pub struct Deps {
    users: Users,
    devices: Devices,
    connections: Connections,
    mailboxes: Mailboxes,
    announcements: Announcements,
    gateway: Gateway,
    sealer: Sealer,
}

/// Runs the function until its process ends.
///
/// # Errors
/// If the environment lacks a variable, or the Runtime API cannot be reached.
pub async fn run() -> Result<(), Error> {
    let sdk = tidings_lambda::start()?;
    let deps = Deps {
        users: sdk.users()?,
        devices: sdk.devices()?,
        connections: sdk.connections()?,
        mailboxes: sdk.mailboxes()?,
        announcements: sdk.announcements()?,
        gateway: sdk.gateway()?,
        sealer: sdk.sealer().await?,
    };
    socket::serve(|event, now| handle(&deps, event, now)).await
}

/// The answer to a device.
enum Answer {
    /// No frame: a recorded acknowledgement is not answered.
    Nothing,
    /// This frame.
    Frame(Frame),
    /// That its connection is unknown, because the device belongs to another user by now.
    Unknown,
}

/// Handles a request of a device.
///
/// # Errors
/// If the event is malformed or DynamoDB is unavailable.
pub async fn handle(deps: &Deps, event: ApiGatewayWebsocketProxyRequest, now: Timestamp) -> Result<Reply, Error> {
    let id = socket::connection_id(&event)?;
    let Some(record) = deps.connections.last_words(&id, now).await? else {
        return socket::unknown_connection();
    };
    let action = socket::action(&event);
    // Confirmations that a device sent just before its connection ended count; everything else needs a live connection.
    if record.buried.is_some() && !matches!(action, Ok(Action::Ack(_) | Action::Read(_))) {
        return socket::unknown_connection();
    }
    let answer = match action {
        Ok(Action::Sync { after, announced }) => match replay(deps, &record, after, announced, now).await {
            // The root key of the connection was withdrawn: nothing can be sealed for it any more.
            Err(error) if matches!(error.downcast_ref(), Some(SealError::Key(_))) => Answer::Unknown,
            replayed => replayed?,
        },
        Ok(Action::Ack(receipt)) => confirm(deps, &record, receipt, Confirmation::Acknowledged, now).await?,
        Ok(Action::Read(receipt)) => confirm(deps, &record, receipt, Confirmation::Read, now).await?,
        Ok(Action::State { state }) => {
            deps.connections.set_state(&record.user, &id, state).await?;
            Answer::Nothing
        }
        Ok(Action::Ping) => Answer::Frame(Refusal::UnknownAction.frame(&record)),
        Err(refusal) => Answer::Frame(refusal.frame(&record)),
    };
    match answer {
        Answer::Frame(frame) => socket::answer(&deps.sealer, &frame, &record).await,
        Answer::Nothing => Ok(Reply::done()),
        Answer::Unknown => socket::unknown_connection(),
    }
}

/// Records a confirmation, or answers with its fault. The mailbox is that of the device's user: no device confirms for
/// another user.
async fn confirm(
    deps: &Deps,
    record: &ConnectionRecord,
    receipt: Receipt,
    what: Confirmation,
    now: Timestamp,
) -> Result<Answer, Error> {
    let Receipt { id: Some(id), position } = receipt else {
        return confirm_up_to(deps, record, receipt.position, what, now).await;
    };
    let device = &record.connection.device;
    let when = record.buried.map_or(Confirmed::Alive(now), |end| Confirmed::Ended { end, now });
    let known = match id.parse::<MessageId>() {
        Ok(id) => deps.mailboxes.confirm(&record.user, position, &id, device, what, when).await?,
        Err(_) => false,
    };
    if known {
        return Ok(Answer::Nothing);
    }
    if record.buried.is_some() {
        return Ok(Answer::Unknown);
    }
    let head = deps.users.view(&record.user, now).await?.tail.map(|tail| tail.position);
    Ok(Answer::Frame(Refusal::NotInMailbox(mailbox::misplaced(position, head)).frame(record)))
}

/// Confirms all entries for the device up to a position, oldest first, and then moves the device's cursor. A worker
/// that dies in between has confirmed fewer than requested, and never more.
async fn confirm_up_to(
    deps: &Deps,
    record: &ConnectionRecord,
    place: Position,
    what: Confirmation,
    now: Timestamp,
) -> Result<Answer, Error> {
    let view = deps.users.view(&record.user, now).await?;
    let Some(device) = view.device_of(&record.connection) else { return Ok(Answer::Unknown) };
    match mailbox::misplaced(place, view.tail.as_ref().map(|tail| tail.position)) {
        Misplaced::UnknownMessage => {}
        wrong @ (Misplaced::UnknownEpoch | Misplaced::FutureSeq) => {
            return Ok(Answer::Frame(Refusal::NotInMailbox(wrong).frame(record)));
        }
    }
    let platform = Some(device.platform);
    let mut from = match what {
        Confirmation::Acknowledged => device.cursor.filter(|cursor| cursor.epoch == place.epoch),
        // An acknowledged message may be read now.
        Confirmation::Read => None,
    };
    while from < Some(place) {
        let (entries, more) = deps.mailboxes.after(&record.user, from, Some(place), PAGE, now).await?;
        from = entries.last().filter(|_| more).map_or(Some(place), |last| Some(last.position()));
        let due = entries.iter().filter_map(Slot::read).filter(|entry| match what {
            Confirmation::Acknowledged => entry.is_wanted(&device.id, platform, now),
            Confirmation::Read => {
                entry.is_meant_for(platform, now) && !entry.reads.iter().any(|(by, _)| *by == device.id)
            }
        });
        stream::iter(due.map(Ok))
            .try_for_each_concurrent(CONFIRMED_AT_ONCE, |entry| async move {
                deps.mailboxes
                    .confirm(&record.user, entry.position, &entry.letter.id, &device.id, what, Confirmed::Alive(now))
                    .await
                    .map(|_| ())
            })
            .await?;
        if let (Confirmation::Acknowledged, Some(done)) = (what, from) {
            // Page by page, so that a worker that runs out of time keeps its progress.
            deps.devices.move_cursor(device, done).await?;
        }
    }
    Ok(Answer::Nothing)
}

/// Posts the messages that the device has missed, oldest first, and answers with the position reached. A client without
/// a cursor starts at the stored one.
async fn replay(
    deps: &Deps,
    record: &ConnectionRecord,
    asked: Option<Position>,
    announced: Option<u64>,
    now: Timestamp,
) -> Result<Answer, Error> {
    let view = deps.users.view(&record.user, now).await?;
    let Some(device) = view.device_of(&record.connection) else { return Ok(Answer::Unknown) };
    let head = view.tail.as_ref().map(|tail| tail.position);
    let cursor = asked.or(device.cursor);
    let from = mailbox::replay_from(cursor, head);
    let (entries, more) = match head {
        Some(_) => deps.mailboxes.after(&record.user, from, None, PAGE, now).await?,
        None => (Vec::new(), false),
    };
    if asked.is_none()
        && let Some(run) = mailbox::unwanted_run(&entries, &device.id, Some(device.platform), now)
    {
        deps.devices.move_cursor(device, run).await?;
    }
    let recovered = mailbox::recovered(cursor, entries.first().map(Slot::position), head);
    let replayed = post(deps, record, device, &entries, now).await?;
    let (connection, count) = (&record.connection.id, replayed.posted.len());
    tracing::info!(%connection, count, more, recovered, "mailbox replayed");
    let left = more || !replayed.complete;
    // After the mailbox: an app that was away for long receives its own messages before those for everyone.
    let announced = match announced.filter(|_| !left) {
        Some(from) => Some(announce(deps, record, from, now).await?),
        None => None,
    };
    let nothing_yet = Position { epoch: 0, seq: 0 };
    Ok(Answer::Frame(Frame::Synced(Synced {
        device_id: device.id.to_string(),
        position: if entries.is_empty() {
            head.unwrap_or(nothing_yet)
        } else {
            replayed.last.or(from).unwrap_or(nothing_yet)
        },
        recovered,
        more: left,
        count: u64::try_from(replayed.posted.len()).unwrap_or(u64::MAX),
        posted: Some(replayed.posted),
        announced,
    })))
}

/// Posts the announcements after the device's number, oldest first, and returns the number reached.
async fn announce(deps: &Deps, record: &ConnectionRecord, from: u64, now: Timestamp) -> Result<Announced, Error> {
    const PAGE: usize = limits::ANNOUNCEMENT_PAGE;
    let ConnectionRecord { user, connection, .. } = record;
    let Page { announcements: page, end, more } = deps.announcements.after(&user.tenant(), from, PAGE).await?;
    let end = end.unwrap_or(from);
    let end = if more { end } else { announcement::come_to(end, now) };
    let mut after = from;
    for (behind, announcement) in announcement::for_device(&page, from, connection.platform, now) {
        let frame = announcement.frame(behind, user, &connection.device);
        match deps.gateway.post(&connection.id, deps.sealer.seal(&frame, record).await?).await {
            PostOutcome::Accepted => after = announcement.number,
            PostOutcome::Gone | PostOutcome::Retry | PostOutcome::Fault => {
                return Ok(Announced { after, number: after, more: true });
            }
        }
    }
    Ok(Announced { after, number: end, more })
}

/// The result of a replay.
struct Replayed {
    last: Option<Position>,
    posted: Vec<u64>,
    complete: bool,
}

async fn post(
    deps: &Deps,
    record: &ConnectionRecord,
    device: &Device,
    entries: &[Slot<Entry>],
    now: Timestamp,
) -> Result<Replayed, Error> {
    let connection: &ConnectionId = &record.connection.id;
    let mut replayed = Replayed { last: None, posted: Vec::new(), complete: true };
    for slot in entries {
        // An unreadable entry is skipped: its position counts as one without a message for the device.
        if let Some(entry) = slot.read().filter(|entry| entry.is_wanted(&device.id, Some(device.platform), now)) {
            let frame = entry.frame(&record.user, &device.id);
            // One after the other: a replay is in order, and stops at the first frame that may be lost.
            match deps.gateway.post(connection, deps.sealer.seal(&frame, record).await?).await {
                PostOutcome::Accepted => replayed.posted.push(entry.position.seq),
                PostOutcome::Gone | PostOutcome::Retry | PostOutcome::Fault => {
                    return Ok(Replayed { complete: false, ..replayed });
                }
            }
        }
        replayed.last = Some(slot.position());
    }
    Ok(replayed)
}
