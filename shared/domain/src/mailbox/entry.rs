//! One message in one mailbox.

use serde::Serialize;
use tidings_wire::{Choice, Frame, Open, Platform, Timestamp, Word, action::Position};

use super::links::Links;
use crate::{
    DeviceId, Letter, UserKey,
    chain::{Outcome, Step, StepRecord},
};

/// How long an entry is kept after its message's deadline, so that its trail can be read: 7 days, in seconds.
pub const RETENTION_SECONDS: u64 = 7 * 86_400;

/// Why nothing of a message starts any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Closed {
    /// Its sender cancelled it.
    Cancelled,
    /// A newer one under the same collapse key replaced it.
    Replaced,
}

impl Choice for Closed {
    const ALL: &'static [(&'static str, Self)] = &[("cancelled", Self::Cancelled), ("replaced", Self::Replaced)];
}

/// One message in one user's mailbox, with everything that has happened to it there.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The message.
    pub letter: Letter,
    /// Its position in the log.
    pub position: Position,
    /// When it was stored.
    pub stored: Timestamp,
    /// When the entry may be deleted; never before an older entry, so that no position is used twice.
    pub keep_until: Timestamp,
    /// What it carries of the entries before it.
    pub links: Links,
    /// Why and since when nothing of it starts any more.
    pub closed: Option<(Open<Closed>, Timestamp)>,
    /// Devices that it was posted to when it was stored.
    pub posted: Vec<DeviceId>,
    /// When `deliver` found that no device was connected.
    pub offline: Option<Timestamp>,
    /// Devices whose connection turned out to be gone.
    pub gone: Vec<(DeviceId, Timestamp)>,
    /// Devices whose post had no answer, and when that was known.
    pub unanswered: Vec<(DeviceId, Timestamp)>,
    /// When it was posted once more, and to which devices.
    pub redelivered: Vec<(Timestamp, Vec<DeviceId>)>,
    /// Devices that acknowledged it, and when.
    pub acks: Vec<(DeviceId, Timestamp)>,
    /// Devices on which a person read it, and when.
    pub reads: Vec<(DeviceId, Timestamp)>,
    /// How far each step of [`Letter::steps`] has come.
    pub steps: Vec<StepRecord>,
}

impl Entry {
    /// An entry that nothing has happened to yet.
    #[must_use]
    pub fn new(letter: Letter, position: Position, stored: Timestamp, keep_until: Timestamp, links: Links) -> Self {
        let steps = vec![StepRecord::default(); letter.steps.len()];
        Self {
            letter,
            position,
            stored,
            keep_until,
            links,
            closed: None,
            posted: Vec::new(),
            offline: None,
            gone: Vec::new(),
            unanswered: Vec::new(),
            redelivered: Vec::new(),
            acks: Vec::new(),
            reads: Vec::new(),
            steps,
        }
    }

    /// A step of the chain, and how far it has come.
    #[must_use]
    pub fn step(&self, number: usize) -> Option<(&Step, &StepRecord)> {
        self.letter.steps.get(number).zip(self.steps.get(number))
    }

    /// The chain in its order, each step with how far it has come.
    pub fn chain(&self) -> impl Iterator<Item = (&Step, &StepRecord)> {
        self.letter.steps.iter().zip(&self.steps)
    }

    /// Whether a device of the recipient has acknowledged or read it.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        !self.acks.is_empty() || !self.reads.is_empty()
    }

    /// Whether anything of it may still start: it is not confirmed, not closed, and its deadline has not passed.
    #[must_use]
    pub fn is_open(&self, now: Timestamp) -> bool {
        !self.is_confirmed() && self.closed.is_none() && now <= self.letter.deadline
    }

    /// The item that has to be open for the next step to go out, if there may be a next step.
    #[must_use]
    pub fn item(&self, now: Timestamp) -> Option<&str> {
        self.letter.condition.as_ref()?.item_open.as_deref().filter(|_| self.is_open(now))
    }

    /// Whether this device has acknowledged or read it.
    #[must_use]
    pub fn is_confirmed_by(&self, device: &DeviceId) -> bool {
        self.acks.iter().chain(&self.reads).any(|(by, _)| by == device)
    }

    /// Whether devices of this platform are shown it: it is meant for them, and neither closed nor expired.
    #[must_use]
    pub fn is_meant_for(&self, platform: Option<Open<Platform>>, now: Timestamp) -> bool {
        Header::from(self).is_meant_for(platform, now)
    }

    /// Whether a device of this platform still wants it: it is meant for the device, and the device has not confirmed
    /// it. What another device confirms leaves this one's copy.
    #[must_use]
    pub fn is_wanted(&self, device: &DeviceId, platform: Option<Open<Platform>>, now: Timestamp) -> bool {
        self.is_meant_for(platform, now) && !self.is_confirmed_by(device)
    }

    /// What of the entry this version does not know: the kind of each, and its word.
    pub fn unknown(&self) -> impl Iterator<Item = (&'static str, Word)> {
        let platform = self.letter.platform.unknown().map(|word| ("platform", word));
        let closed = self.closed.and_then(|(closed, _)| Some(("closing_reason", closed.unknown()?)));
        let channels = self.letter.steps.iter().filter_map(|step| Some(("channel", step.channel.unknown()?)));
        let outcomes = self.steps.iter().filter_map(|step| match step.outcome.as_ref()?.0 {
            Outcome::Newer(kind) => Some(("outcome", kind)),
            Outcome::Skipped(reason) => Some(("skip_reason", reason.unknown()?)),
            Outcome::Accepted(_) | Outcome::Refused(_) | Outcome::Unknown => None,
        });
        let fields = self.letter.more.fields().map(|(name, _)| ("field", name));
        platform.into_iter().chain(closed).chain(channels).chain(outcomes).chain(fields)
    }

    /// The frame for one device of the recipient.
    #[must_use]
    pub fn frame(&self, user: &UserKey, device: &DeviceId) -> Frame {
        self.letter.frame(Some(self.position), user, device)
    }
}

/// An entry without its content: what decides whether it is listed, and whether it is unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its position in the log.
    pub position: Position,
    /// The platform whose devices receive it.
    pub platform: Open<Platform>,
    /// When it expires.
    pub deadline: Timestamp,
    /// When it may be deleted.
    pub keep_until: Timestamp,
    /// Whether it was cancelled or replaced.
    pub is_closed: bool,
    /// Whether a person has read it, on any device.
    pub is_read: bool,
}

impl From<&Entry> for Header {
    fn from(entry: &Entry) -> Self {
        Self {
            position: entry.position,
            platform: entry.letter.platform,
            deadline: entry.letter.deadline,
            keep_until: entry.keep_until,
            is_closed: entry.closed.is_some(),
            is_read: !entry.reads.is_empty(),
        }
    }
}

impl From<&Self> for Header {
    fn from(header: &Self) -> Self {
        *header
    }
}

impl Header {
    /// Whether devices of this platform are shown it: it is meant for them, and neither closed nor expired.
    #[must_use]
    pub fn is_meant_for(&self, platform: Option<Open<Platform>>, now: Timestamp) -> bool {
        let meant = self.platform == Platform::All || platform == Some(self.platform);
        meant && !self.is_closed && now <= self.deadline
    }

    /// Whether it and every older entry has expired. An entry is kept for the time of retention after the latest
    /// deadline up to its position, so its `keep_until` covers all older ones.
    #[must_use]
    pub fn is_past(&self, now: Timestamp) -> bool {
        self.keep_until < now.plus_seconds(RETENTION_SECONDS)
    }
}
