//! What an entry carries of the entries before it.

use serde::{Deserialize, Serialize};
use tidings_wire::{Timestamp, action::Position};

use crate::MessageId;

/// Ids that an entry remembers. A redelivered queue message holds its user's group back, so only the last few can come
/// again; a delivery later than [`LATE_SECONDS`](super::LATE_SECONDS) is looked up by id.
pub const WINDOW: usize = 32;

/// Characters of a message id that the window keeps: the last 12 of a UUID, 48 bits.
pub(super) const WINDOW_CHARS: usize = 12;

/// The part of a window for an id that could not be read.
const NO_ID: &str = "------------";

/// Collapse keys that an entry remembers: a message under an older key is not replaced.
pub const COLLAPSE_KEYS: usize = 16;

/// What an entry carries of the entries before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// Their ids.
    pub window: Window,
    /// The newest position of each collapse key, this entry's included.
    pub collapsed: Collapsed,
    /// The position of the entry that this one replaces.
    pub replaces: Option<Position>,
}

/// The deduplication window: the ids of the entries before one, newest last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window(String);

impl Window {
    /// Reads the text of [`Self::as_str`].
    #[must_use]
    pub fn from_text(text: String) -> Self {
        Self(text)
    }

    /// One text of fixed-width parts.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How many entries ago an id was appended: 1 is the entry directly before.
    #[must_use]
    pub fn distance(&self, id: &MessageId) -> Option<u64> {
        let wanted = end_of(id);
        self.0.as_bytes().rchunks(WINDOW_CHARS).position(|part| part == wanted.as_bytes()).map(|at| at as u64 + 1)
    }

    /// The window of the entry after the one with this id. An unknown id keeps its slot, so that the others are found
    /// at theirs.
    #[must_use]
    pub fn then(&self, id: Option<&MessageId>) -> Self {
        let keep = (WINDOW - 1) * WINDOW_CHARS;
        let from = self.0.len().saturating_sub(keep);
        Self(format!("{}{}", self.0.get(from..).unwrap_or_default(), id.map_or(NO_ID, end_of)))
    }

    /// Whether it names as many entries as there are before this `seq`, or as many as a window names.
    pub(super) fn is_complete(&self, seq: u64) -> bool {
        let named = u64::try_from(self.0.len() / WINDOW_CHARS).unwrap_or(u64::MAX);
        named >= seq.saturating_sub(1).min(WINDOW as u64) && !self.0.contains(NO_ID)
    }
}

fn end_of(id: &MessageId) -> &str {
    let text = id.as_str();
    text.get(text.len().saturating_sub(WINDOW_CHARS)..).unwrap_or(text)
}

/// The newest message under each collapse key: its position's `seq`, and when it was accepted. Oldest mention first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collapsed(Vec<(String, u64, i64)>);

impl Collapsed {
    /// The `seq` of the newest message under a key, and when it was accepted.
    #[must_use]
    pub fn newest(&self, key: &str) -> Option<(u64, Timestamp)> {
        self.0.iter().find(|(known, ..)| known == key).map(|(_, seq, accepted)| (*seq, Timestamp(*accepted)))
    }

    /// With a message under a key at this `seq`.
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
