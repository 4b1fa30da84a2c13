//! When a step is made again.

use tidings_wire::{Timestamp, send::Destination};

use crate::{
    Entry,
    chain::{Step, StepDue, StepRecord},
};

/// A step whose last claim is this old and that has no outcome lost its worker, in seconds. The function's timeout is
/// shorter.
pub const CLAIM_SECONDS: u64 = 60;

/// How often a call whose end is not known is repeated, if its receiver recognises a repetition.
pub const REPEATS: usize = 4;

/// How often a step is put off because its provider cannot take it; then the chain goes on.
pub const ATTEMPTS: u32 = 4;

/// Longest time that a step is put off, in seconds. If a provider wants to be left alone for longer, the chain goes on:
/// its next step is there for that.
const PUT_OFF_SECONDS: u64 = 900;

/// A step whose provider could not take it, due again after so many milliseconds; `None` if it has been put off enough,
/// or its message's time is over by then.
pub(super) fn put_off(due: &StepDue, entry: &Entry, pause_millis: u64, now: Timestamp) -> Option<StepDue> {
    let seconds = pause_millis.div_ceil(1_000).max(1);
    let at = now.plus_seconds(seconds);
    let again = due.attempts < ATTEMPTS && seconds <= PUT_OFF_SECONDS && at < entry.letter.deadline;
    again.then(|| StepDue { due: at, attempts: due.attempts + 1, ..due.clone() })
}

/// Whether the receiver of a step's call recognises a repetition by its id, as Standard Webhooks requires. Then a call
/// whose end is not known is made again. No other provider promises that.
fn is_repeatable(step: &Step) -> bool {
    step.channel.destination() == Destination::Server
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
