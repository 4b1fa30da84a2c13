//! The mailbox: an append-only log per user. Entries have a dense `seq` within an `epoch`; each carries the ids of the entries
//! before it, so that the newest one alone refuses a duplicate.

use serde::{Deserialize, Serialize};
use tidings_wire::{Frame, MessageFrame, Platform, Timestamp, action::Position, send::Content};

use crate::{Delivery, DeviceId, MessageId, UserKey, fallback::StepRecord};

/// Ids that an entry remembers. A redelivered queue message holds its user's group back, so that only the last few can
/// come again; what comes later than [`LATE_SECONDS`] is looked up by id.
pub const WINDOW: usize = 32;

/// Characters of a message id that the window keeps: the last 12 of a UUID, 48 bits.
const WINDOW_CHARS: usize = 12;

/// A delivery that arrives later than this after its acceptance is looked for by id before it is appended: it may have
/// been redriven from a dead-letter queue, or be a repeated request. In seconds; below SQS FIFO's 5-minute deduplication.
pub const LATE_SECONDS: u64 = 240;

/// How long an entry is kept after its message's deadline, so that its trail can be read: 7 days, in seconds.
pub const RETENTION_SECONDS: u64 = 7 * 86_400;

/// One message in one user's mailbox, with everything that has happened to it there.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Where it stands.
    pub position: Position,
    /// The message.
    pub id: MessageId,
    /// Only devices of this platform.
    pub platform: Platform,
    /// What the devices are given.
    pub content: Content,
    /// Text of the SMS, where the sender gave one.
    pub sms: Option<String>,
    /// When the message was accepted.
    pub accepted: Timestamp,
    /// When it was stored.
    pub stored: Timestamp,
    /// When it expires for whoever has not confirmed it.
    pub deadline: Timestamp,
    /// When the entry may be deleted; never before that of an entry before it, so that a place is never used twice.
    pub keep_until: Timestamp,
    /// The ids before it.
    pub window: Window,
    /// Devices that it was posted to when it was stored.
    pub posted: Vec<DeviceId>,
    /// When it was found that no device was connected.
    pub offline: Option<Timestamp>,
    /// Devices whose connection turned out to be gone.
    pub gone: Vec<(DeviceId, Timestamp)>,
    /// Devices that acknowledged it, and when.
    pub acks: Vec<(DeviceId, Timestamp)>,
    /// Devices on which a person read it, and when.
    pub reads: Vec<(DeviceId, Timestamp)>,
    /// The fallback chain.
    pub steps: Vec<StepRecord>,
}

impl Entry {
    /// Whether a device of the recipient has acknowledged or read it.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        !self.acks.is_empty() || !self.reads.is_empty()
    }

    /// The frame that one device of the recipient is given.
    #[must_use]
    pub fn frame(&self, user: &UserKey, device: &DeviceId) -> Frame {
        message_frame(&self.id, Some(self.position), self.accepted, &self.content, user, device)
    }
}

/// A message as one device of a user is given it; without a place where it is not kept.
#[must_use]
pub fn message_frame(
    id: &MessageId,
    position: Option<Position>,
    accepted: Timestamp,
    content: &Content,
    user: &UserKey,
    device: &DeviceId,
) -> Frame {
    Frame::Message(Box::new(MessageFrame {
        id: id.to_string(),
        position,
        device_id: device.to_string(),
        to_user_name: user.alias.clone(),
        from_user_name: content.sender.clone(),
        create_time: accepted.seconds(),
        content: content.clone(),
    }))
}

/// The ids of the entries before one, newest last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window(String);

impl Window {
    /// Reads what [`Self::as_str`] gave.
    #[must_use]
    pub fn from_text(text: String) -> Self {
        Self(text)
    }

    /// As one text of fixed-width pieces.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How many entries ago an id stood: 1 is the entry directly before.
    #[must_use]
    pub fn distance(&self, id: &MessageId) -> Option<u64> {
        let wanted = tail_of(id);
        self.0.as_bytes().rchunks(WINDOW_CHARS).position(|piece| piece == wanted.as_bytes()).map(|at| at as u64 + 1)
    }

    /// The window of the entry after the one with this id.
    #[must_use]
    pub fn then(&self, id: &MessageId) -> Self {
        let keep = (WINDOW - 1) * WINDOW_CHARS;
        let from = self.0.len().saturating_sub(keep);
        Self(format!("{}{}", self.0.get(from..).unwrap_or_default(), tail_of(id)))
    }
}

fn tail_of(id: &MessageId) -> &str {
    let text = id.as_str();
    text.get(text.len().saturating_sub(WINDOW_CHARS)..).unwrap_or(text)
}

/// Where a delivery goes in the log.
#[derive(Clone, Debug, PartialEq)]
pub enum Append {
    /// Behind the newest entry, or as the first of a new epoch.
    New {
        /// The place.
        position: Position,
        /// The ids before it.
        window: Window,
        /// When the entry may be deleted.
        keep_until: Timestamp,
    },
    /// It stands there already.
    Duplicate(Position),
}

/// Decides where a delivery goes, given the newest entry.
///
/// A new epoch is the time in milliseconds: the entries of the one before it have expired days ago.
#[must_use]
pub fn append(tail: Option<&Entry>, delivery: &Delivery, now: Timestamp) -> Append {
    let keep_until = delivery.deadline.plus_seconds(RETENTION_SECONDS);
    let fresh = u64::try_from(now.0).unwrap_or(0);
    let Some(tail) = tail else {
        let position = Position { epoch: fresh, seq: 1 };
        return Append::New { position, window: Window::default(), keep_until };
    };
    if tail.id == delivery.id {
        return Append::Duplicate(tail.position);
    }
    if let Some(distance) = tail.window.distance(&delivery.id) {
        let seq = tail.position.seq.saturating_sub(distance);
        return Append::Duplicate(Position { seq, ..tail.position });
    }
    Append::New {
        position: Position { seq: tail.position.seq + 1, ..tail.position },
        window: tail.window.then(&tail.id),
        keep_until: keep_until.max(tail.keep_until),
    }
}

/// Where a replay begins: the client's cursor, or the log's beginning where the cursor is ahead of the log, as that of a
/// log that has expired away or belonged to somebody else.
#[must_use]
pub fn replay_from(cursor: Option<Position>, head: Option<Position>) -> Option<Position> {
    cursor.filter(|cursor| head.is_some_and(|head| *cursor <= head))
}

/// What a client that holds `cursor` is told when it has been sent `found`, the entries after it that are still kept.
///
/// `recovered` is false where something between the cursor and the first entry may be missing: another epoch, a cursor
/// ahead of the log, or entries that have expired away. A client that synced while the log was empty holds epoch 0.
#[must_use]
pub fn recovered(cursor: Option<Position>, first: Option<Position>, head: Option<Position>) -> bool {
    match (cursor, first, head) {
        (None, ..) => true,
        (Some(Position { epoch: 0, .. }), first, _) => first.is_none_or(|first| first.seq == 1),
        (Some(cursor), Some(first), _) => first.epoch == cursor.epoch && first.seq == cursor.seq + 1,
        (Some(cursor), None, Some(head)) => cursor == head,
        (Some(_), None, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::tests::{delivery, entry, id};

    #[test]
    fn appends_densely_within_an_epoch() {
        let now = Timestamp(5_000);
        let Append::New { position, window, .. } = append(None, &delivery(1), now) else { panic!("new") };
        assert_eq!((position, window.as_str()), (Position { epoch: 5_000, seq: 1 }, ""));
        let tail = entry(1, position);
        let Append::New { position, window, .. } = append(Some(&tail), &delivery(2), Timestamp(9_000)) else {
            panic!("new")
        };
        assert_eq!(position, Position { epoch: 5_000, seq: 2 });
        assert_eq!(window.distance(&id(1)), Some(1));
    }

    #[test]
    fn refuses_what_the_window_remembers_and_says_where_it_stands() {
        let mut tail = entry(0, Position { epoch: 7, seq: 1 });
        for n in 1..100 {
            let Append::New { position, window, keep_until } = append(Some(&tail), &delivery(n), Timestamp(0)) else {
                panic!("{n} is new")
            };
            assert!(window.as_str().len() <= WINDOW * WINDOW_CHARS);
            tail = Entry { window, keep_until, ..entry(n, position) };
        }
        assert_eq!(
            append(Some(&tail), &delivery(99), Timestamp(0)),
            Append::Duplicate(Position { epoch: 7, seq: 100 })
        );
        assert_eq!(append(Some(&tail), &delivery(67), Timestamp(0)), Append::Duplicate(Position { epoch: 7, seq: 68 }));
        assert!(matches!(append(Some(&tail), &delivery(66), Timestamp(0)), Append::New { .. }));
    }

    #[test]
    fn an_entry_is_kept_as_long_as_those_before_it() {
        let mut tail = entry(1, Position { epoch: 7, seq: 1 });
        tail.keep_until = Timestamp(i64::MAX);
        let Append::New { keep_until, .. } = append(Some(&tail), &delivery(2), Timestamp(0)) else { panic!("new") };
        assert_eq!(keep_until, Timestamp(i64::MAX));
    }

    #[test]
    fn says_when_the_log_does_not_reach_back() {
        let at = |epoch, seq| Some(Position { epoch, seq });
        assert!(recovered(None, at(7, 5), at(7, 9)));
        assert!(recovered(at(7, 4), at(7, 5), at(7, 9)));
        assert!(!recovered(at(7, 3), at(7, 5), at(7, 9)));
        assert!(!recovered(at(6, 4), at(7, 5), at(7, 9)));
        assert!(recovered(at(7, 9), None, at(7, 9)));
        assert!(!recovered(at(7, 10), None, at(7, 9)));
        assert!(!recovered(at(7, 9), None, None));
        assert!(recovered(at(0, 0), None, None));
        assert!(recovered(at(0, 0), at(7, 1), at(7, 9)));
        assert!(!recovered(at(0, 0), at(7, 2), at(7, 9)));
    }
}
