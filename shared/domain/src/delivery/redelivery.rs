//! A message that has to be confirmed is posted again, with growing pauses, until a device confirms it or its time is
//! over.

use serde::{Deserialize, Serialize};
use tidings_wire::{Timestamp, action::Position};

use crate::{Connection, Entry, Letter, MessageId, UserKey, UserView};

/// Pause before the first redelivery, in seconds; every further one is twice as long.
pub const REDELIVERY_SECONDS: u64 = 30;

/// A message in a mailbox that is posted again if no device has confirmed it by then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Redelivery {
    /// The recipient.
    pub user: UserKey,
    /// The message's position in the mailbox.
    #[serde(flatten)]
    pub position: Position,
    /// The message.
    pub id: MessageId,
    /// Which redelivery this is, from 0.
    pub attempt: u32,
    /// When it is due.
    pub due: Timestamp,
}

impl Redelivery {
    /// The first redelivery of a message; `None` if it need not be confirmed, or if its time is over before.
    #[must_use]
    pub fn first(user: &UserKey, letter: &Letter, position: Position, now: Timestamp) -> Option<Self> {
        let due = now.plus_seconds(REDELIVERY_SECONDS);
        let first = Self { user: user.clone(), position, id: letter.id.clone(), attempt: 0, due };
        (due <= end(letter)?).then_some(first)
    }

    /// The redelivery after this one; `None` if the message's time is over before.
    #[must_use]
    pub fn next(&self, entry: &Entry, now: Timestamp) -> Option<Self> {
        let attempt = self.attempt + 1;
        let pause = REDELIVERY_SECONDS.saturating_mul(1_u64.checked_shl(attempt).unwrap_or(u64::MAX));
        let due = now.plus_seconds(pause);
        (due <= end(&entry.letter)?).then(|| Self { attempt, due, ..self.clone() })
    }

    /// The connections it is posted to: all that reach the message's platform, as long as the entry is open.
    #[must_use]
    pub fn targets(&self, entry: &Entry, view: &UserView, now: Timestamp) -> Vec<Connection> {
        if entry.letter.id != self.id || !entry.is_open(now) {
            return Vec::new();
        }
        // Open: no device has confirmed it.
        view.reachable(entry.letter.platform).cloned().collect()
    }
}

/// When redelivery ends; `None` for a message that need not be confirmed.
fn end(letter: &Letter) -> Option<Timestamp> {
    letter.redeliver_until.map(|until| until.min(letter.deadline))
}
