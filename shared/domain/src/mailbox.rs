//! The mailbox: an append-only log per user. Entries have a dense `seq` within an `epoch`; each carries the ids of the entries
//! before it, so that the newest one alone refuses a duplicate.

use serde::{Deserialize, Serialize};
use tidings_wire::{
    Frame, MessageFrame, Platform, Timestamp,
    action::Position,
    send::{Condition, Content},
};

use crate::{Delivery, DeviceId, MessageId, UserKey, chain::StepRecord, digest, inbox::Header};

/// Ids that an entry remembers. A redelivered queue message holds its user's group back, so that only the last few can
/// come again; what comes later than [`LATE_SECONDS`] is looked up by id.
pub const WINDOW: usize = 32;

/// Characters of a message id that the window keeps: the last 12 of a UUID, 48 bits.
const WINDOW_CHARS: usize = 12;

/// A delivery that arrives later than this after its acceptance is looked for by id before it is appended: it may have
/// been redriven from a dead-letter queue, or be a repeated request. In seconds; below SQS FIFO's 5-minute deduplication.
pub const LATE_SECONDS: u64 = 240;

/// A worker that has held a delivery against the record of its message stores it within so many seconds: twice as long as
/// `deliver` may run.
pub const STORING_SECONDS: u64 = 60;

/// How long an entry is kept after its message's deadline, so that its trail can be read: 7 days, in seconds.
pub const RETENTION_SECONDS: u64 = 7 * 86_400;

/// Collapse keys that an entry remembers: what stands under a key that is older than the last so many is not replaced.
pub const COLLAPSE_KEYS: usize = 16;

/// What a sender's collapse key stands for in a mailbox: messages for different platforms do not replace each other.
#[must_use]
pub fn collapse_digest(platform: Platform, key: &str) -> String {
    digest(format!("{platform}\0{key}").as_bytes()).chars().take(WINDOW_CHARS).collect()
}

/// Why nothing of a message begins any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Closed {
    /// Its sender cancelled it.
    Cancelled,
    /// A newer one under the same collapse key took its place.
    Replaced,
}

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
    /// The newest place of each collapse key, this entry's included.
    pub collapsed: Collapsed,
    /// The place of what this entry replaces.
    pub replaces: Option<Position>,
    /// Until when it is redelivered, where it is to be confirmed.
    pub redeliver_until: Option<Timestamp>,
    /// When it was redelivered, and to which devices.
    pub redelivered: Vec<(Timestamp, Vec<DeviceId>)>,
    /// Why and since when nothing of it begins any more.
    pub closed: Option<(Closed, Timestamp)>,
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
    /// What must still hold when a step is due.
    pub condition: Option<Condition>,
}

impl Entry {
    /// Whether a device of the recipient has acknowledged or read it.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        !self.acks.is_empty() || !self.reads.is_empty()
    }

    /// Whether anything of it may still begin: not where somebody has confirmed it, it is closed, or its time is over.
    #[must_use]
    pub fn is_open(&self, now: Timestamp) -> bool {
        !self.is_confirmed() && self.closed.is_none() && now <= self.deadline
    }

    /// The item that has to be open for its next step to go out, where there may be one.
    #[must_use]
    pub fn item(&self, now: Timestamp) -> Option<&str> {
        self.condition.as_ref()?.item_open.as_deref().filter(|_| self.is_open(now))
    }

    /// Whether this device has acknowledged or read it.
    #[must_use]
    pub fn is_confirmed_by(&self, device: &DeviceId) -> bool {
        self.acks.iter().chain(&self.reads).any(|(by, _)| by == device)
    }

    /// Whether it is there for devices of this platform: meant for it, and neither closed nor expired.
    #[must_use]
    pub fn is_meant_for(&self, platform: Option<Platform>, now: Timestamp) -> bool {
        Header::from(self).is_meant_for(platform, now)
    }

    /// Whether a device of this platform still wants it: it is there for it, and the device has not confirmed it. What another
    /// device confirms leaves this one's copy.
    #[must_use]
    pub fn is_wanted(&self, device: &DeviceId, platform: Option<Platform>, now: Timestamp) -> bool {
        self.is_meant_for(platform, now) && !self.is_confirmed_by(device)
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

/// The newest message under each collapse key: where it stands and when it was accepted. Oldest mention first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collapsed(Vec<(String, u64, i64)>);

impl Collapsed {
    /// The key of the message at a place of this log.
    #[must_use]
    pub fn key_at(&self, seq: u64) -> Option<&str> {
        self.0.iter().find(|(_, at, _)| *at == seq).map(|(key, ..)| key.as_str())
    }

    /// Where the newest message under a key stands, and when it was accepted.
    #[must_use]
    pub fn newest(&self, key: &str) -> Option<(u64, Timestamp)> {
        self.0.iter().find(|(known, ..)| known == key).map(|(_, seq, accepted)| (*seq, Timestamp(*accepted)))
    }

    /// With a message under a key at this place.
    #[must_use]
    pub fn with(&self, key: &str, seq: u64, accepted: Timestamp) -> Self {
        let mut keys: Vec<_> = self.0.iter().filter(|(known, ..)| known != key).cloned().collect();
        keys.push((key.to_owned(), seq, accepted.0));
        let surplus = keys.len().saturating_sub(COLLAPSE_KEYS);
        Self(keys.split_off(surplus))
    }

    /// Whether no message has a key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
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
        /// The newest place of each collapse key, its own included.
        collapsed: Collapsed,
        /// What it replaces.
        replaces: Option<Position>,
        /// Whether a message that was accepted after it stands there already under its collapse key: it is not shown.
        is_replaced: bool,
        /// When the entry may be deleted.
        keep_until: Timestamp,
    },
    /// It stands there already.
    Duplicate(Position),
}

/// Where a message stands that is among the newest.
#[must_use]
pub fn lately(tail: &Entry, id: &MessageId) -> Option<Position> {
    if tail.id == *id {
        return Some(tail.position);
    }
    let distance = tail.window.distance(id)?;
    Some(Position { seq: tail.position.seq.saturating_sub(distance), ..tail.position })
}

/// Decides where a delivery goes, given the newest entry.
///
/// A new epoch is the time in milliseconds: the entries of the one before it have expired days ago.
#[must_use]
pub fn append(tail: Option<&Entry>, delivery: &Delivery, now: Timestamp) -> Append {
    if let Some(position) = tail.and_then(|tail| lately(tail, &delivery.id)) {
        return Append::Duplicate(position);
    }
    anew(tail, delivery, now)
}

/// Where a delivery goes that does not stand in the log, whatever the window says: an id may come back when its
/// idempotency key was forgotten.
#[must_use]
pub fn anew(tail: Option<&Entry>, delivery: &Delivery, now: Timestamp) -> Append {
    let keep_until = delivery.deadline.plus_seconds(RETENTION_SECONDS);
    let key = delivery.collapse.as_deref();
    let Some(tail) = tail else {
        let position = Position { epoch: u64::try_from(now.0).unwrap_or(0), seq: 1 };
        let collapsed = Collapsed::default();
        return Append::New {
            position,
            window: Window::default(),
            collapsed: key.map_or(collapsed.clone(), |key| collapsed.with(key, 1, delivery.accepted)),
            replaces: None,
            is_replaced: false,
            keep_until,
        };
    };
    let position = Position { seq: tail.position.seq + 1, ..tail.position };
    let before = key.and_then(|key| tail.collapsed.newest(key));
    // Another lane, or a dead letter that was redriven, may have brought the newer one first.
    let is_replaced = before.is_some_and(|(_, accepted)| accepted > delivery.accepted);
    Append::New {
        position,
        window: tail.window.then(&tail.id),
        collapsed: match key {
            Some(key) if !is_replaced => tail.collapsed.with(key, position.seq, delivery.accepted),
            Some(_) | None => tail.collapsed.clone(),
        },
        replaces: before.filter(|_| !is_replaced).map(|(seq, _)| Position { seq, ..position }),
        is_replaced,
        keep_until: keep_until.max(tail.keep_until),
    }
}

/// Where a replay begins: the client's cursor, or the log's beginning where that is ahead of the log, as the cursor of a log
/// that has expired away or belonged to somebody else.
#[must_use]
pub fn replay_from(cursor: Option<Position>, head: Option<Position>) -> Option<Position> {
    cursor.filter(|cursor| head.is_some_and(|head| *cursor <= head))
}

/// Up to where a device has nothing to receive any more: the end of the run of entries, from the first, that it does not want.
#[must_use]
pub fn unwanted_run(
    entries: &[Entry],
    device: &DeviceId,
    platform: Option<Platform>,
    now: Timestamp,
) -> Option<Position> {
    entries.iter().take_while(|entry| !entry.is_wanted(device, platform, now)).last().map(|entry| entry.position)
}

/// Why a place that a device names is not in its mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misplaced {
    /// The mailbox has another epoch.
    UnknownEpoch,
    /// The log is not as long.
    FutureSeq,
    /// There is a place, and another message, or none any more.
    UnknownMessage,
}

/// Says why a place is not in the mailbox whose newest entry stands at `head`; [`Misplaced::UnknownMessage`] where it may be.
#[must_use]
pub fn misplaced(place: Position, head: Option<Position>) -> Misplaced {
    match head {
        Some(head) if head.epoch == place.epoch && place.seq > head.seq => Misplaced::FutureSeq,
        Some(head) if head.epoch == place.epoch => Misplaced::UnknownMessage,
        Some(_) | None => Misplaced::UnknownEpoch,
    }
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
            let Append::New { position, window, keep_until, .. } = append(Some(&tail), &delivery(n), Timestamp(0))
            else {
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
    fn a_collapse_key_replaces_the_newest_under_it_and_is_remembered_a_while() {
        let keyed = |n: u8, key: &str| Delivery {
            collapse: Some(collapse_digest(Platform::All, key)),
            accepted: Timestamp(n.into()),
            ..delivery(n)
        };
        let place = |tail: Option<&Entry>, delivery: &Delivery| match append(tail, delivery, Timestamp(7)) {
            Append::New { position, window, collapsed, replaces, is_replaced, .. } => {
                assert!(!is_replaced);
                (Entry { window, collapsed, ..entry(1, position) }, replaces.map(|at| at.seq))
            }
            Append::Duplicate(_) => panic!("new"),
        };
        let (first, replaces) = place(None, &keyed(2, "a"));
        assert_eq!(replaces, None);
        let (other, _) = place(Some(&first), &delivery(3));
        let (second, replaces) = place(Some(&other), &keyed(4, "a"));
        assert_eq!(replaces, Some(1));
        let (mut tail, replaces) = place(Some(&second), &keyed(5, "b"));
        assert_eq!(replaces, None);
        for n in 6..20 {
            tail = place(Some(&tail), &keyed(n, &n.to_string())).0;
        }
        assert_eq!(place(Some(&tail), &keyed(20, "a")).1, Some(3), "the sixteenth key is still known");
        tail = place(Some(&tail), &keyed(21, "one more")).0;
        assert_eq!(place(Some(&tail), &keyed(22, "a")).1, None);
        assert_ne!(collapse_digest(Platform::Ios, "a"), collapse_digest(Platform::All, "a"));
    }

    #[test]
    fn what_was_accepted_before_never_replaces_what_was_accepted_after_it() {
        let keyed = |n: u8| Delivery {
            collapse: Some(collapse_digest(Platform::All, "k")),
            accepted: Timestamp(n.into()),
            ..delivery(n)
        };
        let Append::New { position, collapsed, .. } = append(None, &keyed(9), Timestamp(10)) else { panic!("new") };
        let tail = Entry { collapsed: collapsed.clone(), ..entry(9, position) };
        let Append::New { replaces, is_replaced, collapsed: after, .. } = append(Some(&tail), &keyed(8), Timestamp(11))
        else {
            panic!("new")
        };
        assert_eq!((replaces, is_replaced, after), (None, true, collapsed));
    }

    #[test]
    fn a_device_wants_what_it_has_not_confirmed_itself() {
        let (device, other): (DeviceId, DeviceId) = ("d".parse().unwrap(), "e".parse().unwrap());
        let base = entry(1, Position { epoch: 7, seq: 1 });
        let wanted = |entry: &Entry| entry.is_wanted(&device, Some(Platform::Web), Timestamp(2_000));
        assert!(wanted(&base) && base.is_open(Timestamp(2_000)));
        let acked_by = |by: &DeviceId| Entry { acks: vec![(by.clone(), Timestamp(1))], ..base.clone() };
        assert!(wanted(&acked_by(&other)) && !wanted(&acked_by(&device)));
        assert!(!acked_by(&other).is_open(Timestamp(2_000)));
        for closed in [Closed::Cancelled, Closed::Replaced] {
            let entry = Entry { closed: Some((closed, Timestamp(1))), ..base.clone() };
            assert!(!wanted(&entry) && !entry.is_open(Timestamp(2_000)));
        }
        assert!(!wanted(&Entry { platform: Platform::Ios, ..base.clone() }));
        assert!(!wanted(&Entry { deadline: Timestamp(1_999), ..base }));
    }

    #[test]
    fn a_device_is_past_what_it_does_not_want() {
        let device: DeviceId = "d".parse().unwrap();
        let at = |seq| Position { epoch: 7, seq };
        let acked = |seq| Entry { acks: vec![(device.clone(), Timestamp(1))], ..entry(1, at(seq)) };
        let run = |entries: &[Entry]| unwanted_run(entries, &device, Some(Platform::Web), Timestamp(2_000));
        assert_eq!(run(&[acked(1), acked(2), entry(1, at(3)), acked(4)]), Some(at(2)));
        assert_eq!(run(&[entry(1, at(1)), acked(2)]), None);
        assert_eq!(run(&[]), None);
    }

    #[test]
    fn says_why_a_place_is_none() {
        let at = |epoch, seq| Position { epoch, seq };
        assert_eq!(misplaced(at(7, 10), Some(at(7, 9))), Misplaced::FutureSeq);
        assert_eq!(misplaced(at(7, 9), Some(at(7, 9))), Misplaced::UnknownMessage);
        assert_eq!(misplaced(at(6, 1), Some(at(7, 9))), Misplaced::UnknownEpoch);
        assert_eq!(misplaced(at(7, 1), None), Misplaced::UnknownEpoch);
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
