//! The content of a position of the log, as far as this version can read it.

use tidings_wire::{Timestamp, action::Position};

use super::{
    entry::{Entry, Header},
    links::{Collapsed, Window},
};
use crate::MessageId;

/// The content of a position of the log. The log stays dense: an unreadable entry keeps its position, and is skipped.
#[derive(Clone, Debug, PartialEq)]
pub enum Slot<T> {
    /// An entry, or its header.
    Read(T),
    /// An entry of a form that this version does not know.
    Unreadable(Position),
}

impl<T> Slot<T> {
    /// The entry, if it could be read.
    #[must_use]
    pub fn read(&self) -> Option<&T> {
        match self {
            Self::Read(entry) => Some(entry),
            Self::Unreadable(_) => None,
        }
    }

    /// The entry, if it could be read.
    #[must_use]
    pub fn into_read(self) -> Option<T> {
        match self {
            Self::Read(entry) => Some(entry),
            Self::Unreadable(_) => None,
        }
    }

    /// The position.
    #[must_use]
    pub fn position(&self) -> Position
    where
        for<'a> Header: From<&'a T>,
    {
        match self {
            Self::Read(entry) => Header::from(entry).position,
            Self::Unreadable(position) => *position,
        }
    }
}

/// The newest entry of a log, from which the next one is derived. It is read field by field, so that the log goes on
/// after an unreadable entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Tail {
    /// The message's id, if it could be read.
    pub id: Option<MessageId>,
    /// Its position.
    pub position: Position,
    /// When the entry may be deleted.
    pub keep_until: Timestamp,
    /// The ids of the entries before it; empty if they could not be read.
    pub window: Window,
    /// The newest position of each collapse key; empty if they could not be read.
    pub collapsed: Collapsed,
}

impl Tail {
    /// Whether its window reaches as far back as it should, so that a message outside the window is not among the
    /// newest.
    #[must_use]
    pub fn knows_the_newest(&self) -> bool {
        self.id.is_some() && self.window.is_complete(self.position.seq)
    }
}

impl From<&Entry> for Tail {
    fn from(entry: &Entry) -> Self {
        Self {
            id: Some(entry.letter.id.clone()),
            position: entry.position,
            keep_until: entry.keep_until,
            window: entry.links.window.clone(),
            collapsed: entry.links.collapsed.clone(),
        }
    }
}
