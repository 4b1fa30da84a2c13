//! The end of the log: whether a message is already there, and the next entry.

use tidings_wire::{Timestamp, action::Position};

use super::{
    entry::{Closed, Entry, RETENTION_SECONDS},
    links::{Collapsed, Links, Window},
    slot::Tail,
};
use crate::{Letter, MessageId};

/// The position of a message, if it is the tail or within the tail's deduplication window.
#[must_use]
pub fn recent_position(tail: &Tail, id: &MessageId) -> Option<Position> {
    if tail.id.as_ref() == Some(id) {
        return Some(tail.position);
    }
    let distance = tail.window.distance(id)?;
    Some(Position { seq: tail.position.seq.saturating_sub(distance), ..tail.position })
}

/// The entry that a message becomes behind the tail, or as the first of a new epoch.
///
/// A new epoch is the time in milliseconds: the entries of the one before it have expired days ago. If a message that
/// was accepted later is in the log already under the same collapse key, the new entry is closed as replaced.
#[must_use]
pub fn append(tail: Option<&Tail>, letter: &Letter, now: Timestamp) -> Entry {
    let keep_until = letter.deadline.plus_seconds(RETENTION_SECONDS);
    let key = letter.collapse.as_deref();
    let Some(tail) = tail else {
        let position = Position { epoch: u64::try_from(now.0).unwrap_or(0), seq: 1 };
        let collapsed = Collapsed::default();
        let collapsed = key.map_or(collapsed.clone(), |key| collapsed.with(key, 1, letter.accepted));
        let links = Links { window: Window::default(), collapsed, replaces: None };
        return Entry::new(letter.clone(), position, now, keep_until, links);
    };
    let position = Position { seq: tail.position.seq + 1, ..tail.position };
    let before = key.and_then(|key| tail.collapsed.newest(key));
    // Another lane, or a redriven dead letter, may have brought the newer one first.
    let is_replaced = before.is_some_and(|(_, accepted)| accepted > letter.accepted);
    let links = Links {
        window: tail.window.then(tail.id.as_ref()),
        collapsed: match key {
            Some(key) if !is_replaced => tail.collapsed.with(key, position.seq, letter.accepted),
            Some(_) | None => tail.collapsed.clone(),
        },
        replaces: before.filter(|_| !is_replaced).map(|(seq, _)| Position { seq, ..position }),
    };
    let entry = Entry::new(letter.clone(), position, now, keep_until.max(tail.keep_until), links);
    Entry { closed: is_replaced.then_some((Closed::Replaced.into(), now)), ..entry }
}
