//! The mailbox as a device that was away reads it.

use tidings_wire::{Open, Platform, Timestamp, action::Position};

use super::{entry::Entry, slot::Slot};
use crate::DeviceId;

/// The position after which a replay starts: the client's cursor, or the log's beginning if the cursor is ahead of the
/// log, as the cursor of a log that has expired away or belonged to another user.
#[must_use]
pub fn replay_from(cursor: Option<Position>, head: Option<Position>) -> Option<Position> {
    cursor.filter(|cursor| head.is_some_and(|head| *cursor <= head))
}

/// The end of the run of entries, from the first, that a device does not want: it has nothing to receive up to there.
#[must_use]
pub fn unwanted_run(
    entries: &[Slot<Entry>],
    device: &DeviceId,
    platform: Option<Open<Platform>>,
    now: Timestamp,
) -> Option<Position> {
    let is_wanted = |slot: &Slot<Entry>| slot.read().is_some_and(|entry| entry.is_wanted(device, platform, now));
    entries.iter().take_while(|slot| !is_wanted(slot)).last().map(Slot::position)
}

/// Why a position that a device names is not in its mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misplaced {
    /// The mailbox has another epoch.
    UnknownEpoch,
    /// The log is not as long.
    FutureSeq,
    /// Another message has that position, or none has any more.
    UnknownMessage,
}

/// Why a position is not in the mailbox with this head; [`Misplaced::UnknownMessage`] if it may be.
#[must_use]
pub fn misplaced(place: Position, head: Option<Position>) -> Misplaced {
    match head {
        Some(head) if head.epoch == place.epoch && place.seq > head.seq => Misplaced::FutureSeq,
        Some(head) if head.epoch == place.epoch => Misplaced::UnknownMessage,
        Some(_) | None => Misplaced::UnknownEpoch,
    }
}

/// Whether a client that holds `cursor` has everything once it has received the entries after it that are still kept,
/// of which `first` is the oldest.
///
/// `false` if something between the cursor and the first entry may be missing: another epoch, a cursor ahead of the
/// log, or entries that have expired away. A client that synced while the log was empty holds epoch 0.
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
