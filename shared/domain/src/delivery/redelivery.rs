//! Posting a message again. One that has to be confirmed is redelivered, with growing pauses, until a device confirms
//! it or its time is over. A post that had no answer is repeated a few times, whatever the message, to its connection
//! alone.

use serde::{Deserialize, Serialize};
use tidings_wire::{Timestamp, action::Position};

use crate::{Connection, ConnectionId, Entry, Letter, MessageId, More, UserKey, UserView};

/// Pause before the first redelivery, in seconds; every further one is twice as long.
pub const REDELIVERY_SECONDS: u64 = 30;

/// Pauses before a post that had no answer is repeated, in seconds. After the last one, the device's own heartbeat and
/// sync bring the message.
pub const REPEAT_SECONDS: [u64; 3] = [4, 16, 64];

/// A message in a mailbox that is posted again: as a redelivery if no device has confirmed it by then, or as the repeat
/// of posts that had no answer.
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
    /// Which redelivery this is, or which repeat, from 0.
    pub attempt: u32,
    /// When it is due.
    pub due: Timestamp,
    /// The connections whose posts had no answer, if these are repeated. A redelivery has none: it goes to every
    /// connection.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub unanswered: Vec<ConnectionId>,
    /// What a newer version has added.
    #[serde(flatten)]
    pub more: More,
}

impl Redelivery {
    /// The first redelivery of a message; `None` if it need not be confirmed, or if its time is over before.
    #[must_use]
    pub fn first(user: &UserKey, letter: &Letter, position: Position, now: Timestamp) -> Option<Self> {
        let due = now.plus_seconds(REDELIVERY_SECONDS);
        let id = letter.id.clone();
        let (unanswered, more) = (Vec::new(), More::default());
        let first = Self { user: user.clone(), position, id, attempt: 0, due, unanswered, more };
        (due <= end(letter)?).then_some(first)
    }

    /// The repeat of posts that had no answer, counted from 0; `None` if there are none, they have been repeated often
    /// enough, or the message's time is over before.
    #[must_use]
    pub fn repeat(
        user: &UserKey,
        letter: &Letter,
        position: Position,
        attempt: u32,
        unanswered: &[Connection],
        now: Timestamp,
    ) -> Option<Self> {
        let pause = REPEAT_SECONDS.get(usize::try_from(attempt).ok()?).filter(|_| !unanswered.is_empty())?;
        let due = now.plus_seconds(*pause);
        let unanswered = unanswered.iter().map(|connection| connection.id.clone()).collect();
        let (id, more) = (letter.id.clone(), More::default());
        let repeat = Self { user: user.clone(), position, id, attempt, due, unanswered, more };
        (due <= letter.deadline).then_some(repeat)
    }

    /// Whether it repeats posts that had no answer.
    #[must_use]
    pub fn is_repeat(&self) -> bool {
        !self.unanswered.is_empty()
    }

    /// Its name among the redeliveries of its message. A repeat's includes its time: posts of different redeliveries
    /// are repeated.
    pub(crate) fn name(&self) -> String {
        let Self { attempt, due, .. } = self;
        if self.is_repeat() { format!("repeat{attempt}.{}", due.0) } else { format!("again{attempt}") }
    }

    /// The jobs that follow: the next redelivery, unless the message's time is over before; and the repeat of posts
    /// without an answer.
    #[must_use]
    pub fn following(&self, entry: &Entry, unanswered: &[Connection], now: Timestamp) -> Vec<Self> {
        let next = if self.is_repeat() { None } else { self.next(entry, now) };
        let attempt = if self.is_repeat() { self.attempt.saturating_add(1) } else { 0 };
        let repeat = Self::repeat(&self.user, &entry.letter, self.position, attempt, unanswered, now);
        next.into_iter().chain(repeat).collect()
    }

    fn next(&self, entry: &Entry, now: Timestamp) -> Option<Self> {
        let attempt = self.attempt.saturating_add(1);
        let pause = REDELIVERY_SECONDS.saturating_mul(1_u64.checked_shl(attempt).unwrap_or(u64::MAX));
        let due = now.plus_seconds(pause);
        (due <= end(&entry.letter)?).then(|| Self { attempt, due, ..self.clone() })
    }

    /// Whether the entry still has to be posted. A redelivery ends when one device has confirmed the message; a repeat,
    /// when all devices have that it was posted to when it was stored.
    #[must_use]
    pub fn is_needed(&self, entry: &Entry, now: Timestamp) -> bool {
        let is_over = if self.is_repeat() {
            entry.closed.is_some()
                || now > entry.letter.deadline
                || !entry.posted.is_empty() && entry.posted.iter().all(|device| entry.is_confirmed_by(device))
        } else {
            !entry.is_open(now)
        };
        entry.letter.id == self.id && !is_over
    }

    /// The connections it is posted to: all that reach the message's platform; of a repeat, those without an answer
    /// whose device has not confirmed the message.
    #[must_use]
    pub fn targets(&self, entry: &Entry, view: &UserView, now: Timestamp) -> Vec<Connection> {
        if !self.is_needed(entry, now) {
            return Vec::new();
        }
        let is_meant = |connection: &&Connection| {
            !self.is_repeat() || self.unanswered.contains(&connection.id) && !entry.is_confirmed_by(&connection.device)
        };
        view.reachable(entry.letter.platform).filter(is_meant).cloned().collect()
    }
}

/// When redelivery ends; `None` for a message that need not be confirmed.
fn end(letter: &Letter) -> Option<Timestamp> {
    letter.redeliver_until.map(|until| until.min(letter.deadline))
}
