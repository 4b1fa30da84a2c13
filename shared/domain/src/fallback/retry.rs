//! The repetition of a step.

use std::time::Duration;

use tidings_wire::{Backoff, Timestamp, backoff::spread, send::Destination};

use super::call::call;
use crate::{
    Entry, UserView,
    chain::{Step, StepDue, StepRecord},
};

/// Age of a step's last claim, in seconds, at which a step without an outcome has lost its worker. The function's
/// timeout is shorter.
pub const CLAIM_SECONDS: u64 = 60;

/// How often a call whose end is not known is repeated, if its receiver recognises a repetition.
pub const REPEATS: usize = 4;

/// How often a step is put off because its provider cannot take it, if a later step would reach the person; then the
/// chain goes on.
pub const ATTEMPTS: u32 = 4;

/// Longest time that such a step is put off, in seconds. If a provider asks for longer, the chain goes on with its next
/// step.
const PUT_OFF_SECONDS: u64 = 900;

/// How long a chain waits for a provider that cannot take a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Seconds: a later step reaches the person by another channel.
    Short,
    /// As long as the message lives: no later step would reach the person.
    Long,
}

impl Patience {
    /// The pauses before the provider is asked again.
    fn pauses(self) -> Backoff {
        let longest = match self {
            Self::Short => 60,
            Self::Long => 900,
        };
        Backoff { first: Duration::from_secs(2), longest: Duration::from_secs(longest) }
    }
}

/// How long a chain waits for the provider of a step that is due: briefly if a later step would go out now, by another
/// channel. `item_closed` is as for [`super::decide`].
#[must_use]
pub fn patience(due: &StepDue, entry: &Entry, view: &UserView, item_closed: bool, now: Timestamp) -> Patience {
    let channel = entry.step(due.step).map(|(step, _)| step.channel);
    let later = entry.chain().skip(due.step + 1).map(|(step, _)| step.channel);
    let mut others = later.filter(|later| Some(*later) != channel);
    let is_made = |channel| call(channel, due, entry, view, item_closed, now).is_ok();
    let profits = others.any(|other| other.known().is_some_and(is_made));
    if profits { Patience::Short } else { Patience::Long }
}

/// A step whose provider could not take it and asks for `asked`, due again; `None` if it has been put off enough, or
/// its message's time is over by then. `random` spreads the pause.
pub(super) fn put_off(
    due: &StepDue,
    entry: &Entry,
    asked: Duration,
    random: u64,
    patience: Patience,
    now: Timestamp,
) -> Option<StepDue> {
    // Jitter on top of the provider's pause: steps that were refused together must not return together.
    let pause = match patience {
        Patience::Short if due.attempts >= ATTEMPTS => return None,
        Patience::Short => asked.saturating_add(patience.pauses().pause(due.attempts, random)),
        Patience::Long => {
            // The last attempts come closer together, so that one falls just before the end of the message's life.
            let left = now.seconds_until(entry.letter.deadline).checked_sub(1).map(Duration::from_secs)?;
            let left = left.checked_sub(asked)?;
            let window = patience.pauses().window(due.attempts).min(left);
            // At least half of it: a provider that is down for hours is not called hundreds of times.
            asked.saturating_add(window / 2).saturating_add(spread(window / 2, random))
        }
    };
    let seconds = pause.as_secs().saturating_add(u64::from(pause.subsec_nanos() > 0)).max(1);
    if patience == Patience::Short && seconds > PUT_OFF_SECONDS {
        return None;
    }
    let at = now.plus_seconds(seconds);
    (at < entry.letter.deadline).then(|| StepDue { due: at, attempts: due.attempts.saturating_add(1), ..due.clone() })
}

/// Whether the receiver of a step's call recognises a repetition by its id, as Standard Webhooks requires. Then a call
/// whose end is not known is made again. No other provider promises that.
fn is_repeatable(step: &Step) -> bool {
    step.channel.known().is_some_and(|channel| channel.destination() == Destination::Server)
}

/// Whether a step that was claimed before, and whose end is not known, may be claimed again.
pub(super) fn may_repeat(step: &Step, record: &StepRecord) -> bool {
    is_repeatable(step) && record.repeats.len() < REPEATS
}

/// A step that was claimed at `claimed` and whose end is not known, due again; `None` if its receiver would not
/// recognise the repetition, it was repeated enough, or its message's time is over by then. `entry` is from before the
/// claim.
pub(super) fn repeat(due: &StepDue, entry: &Entry, claimed: Timestamp) -> Option<StepDue> {
    let at = claimed.plus_seconds(CLAIM_SECONDS);
    let (_, record) = entry.step(due.step).filter(|(step, _)| is_repeatable(step))?;
    let repeated = record.repeats.len() + usize::from(record.claimed.is_some());
    (repeated < REPEATS && at < entry.letter.deadline).then(|| StepDue { due: at, ..due.clone() })
}
