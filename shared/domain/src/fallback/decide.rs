//! The decision about a step that is due.

use tidings_wire::{Open, Timestamp, Word, trail::SkipReason};

use super::{
    call::{Call, call},
    retry::{CLAIM_SECONDS, may_repeat},
};
use crate::{
    Entry, UserView,
    chain::{Outcome, Step, StepDue, StepRecord},
    mailbox::Closed,
};

/// The decision about a step that is due.
#[derive(Clone, PartialEq)]
pub enum Decision {
    /// The chain ends: the message is confirmed, closed, expired, or gone.
    Stop(&'static str),
    /// The step is looked at again later, for this reason: another worker may be calling the provider just now, or a
    /// device has come back since no device was reached, and is given a little time to confirm.
    Postpone(StepDue, &'static str),
    /// The step began and its worker died: recorded as unknown, then on to the next.
    RecordUnknown,
    /// The step has ended in this way: on to the next.
    Next(Outcome),
    /// The step does not apply: recorded with this reason, then on to the next.
    Skip(SkipReason),
    /// The step is by a channel that this version does not know: recorded as not configured, then on to the next.
    PassOver(Word),
    /// The step is claimed, then its provider called.
    Claim(Call),
}

/// How long a step waits for a device that has come back, in seconds: the device asks for what it missed when it
/// connects, and learns of what came in between from its first pong.
pub const COMEBACK_SECONDS: u64 = 10;

/// The reason for ending a chain whose message is no longer in the mailbox.
pub const GONE: &str = "the message is gone";

/// Decides about a step that is due, given the newest data; `item_closed` is whether the item that the message refers
/// to ([`Entry::item`]) is closed.
#[must_use]
pub fn decide(due: &StepDue, entry: &Entry, view: &UserView, item_closed: bool, now: Timestamp) -> Decision {
    if entry.letter.id != due.id {
        return Decision::Stop(GONE);
    }
    let Some((step, record)) = entry.step(due.step) else {
        return Decision::Stop("the chain is at its end");
    };
    let call = |channel| call(channel, due, entry, view, item_closed, now);
    match (&record.outcome, record.last_claimed()) {
        (Some((outcome, _)), _) => Decision::Next(outcome.clone()),
        (None, Some(claimed)) if claimed.plus_seconds(CLAIM_SECONDS) > now => {
            let later = StepDue { due: claimed.plus_seconds(CLAIM_SECONDS), ..due.clone() };
            Decision::Postpone(later, "another worker may be calling the provider")
        }
        // It may have gone out: skipping it now would record that it did not.
        (None, Some(_)) if may_repeat(step, record) && entry.is_open(now) => {
            let again = step.channel.known().and_then(|channel| call(channel).ok());
            again.map_or(Decision::RecordUnknown, Decision::Claim)
        }
        (None, Some(_)) => Decision::RecordUnknown,
        (None, None) if entry.is_confirmed() => Decision::Stop("confirmed"),
        (None, None) => match entry.closed {
            Some((Open::Known(Closed::Cancelled), _)) => Decision::Stop("cancelled"),
            Some((Open::Known(Closed::Replaced), _)) => Decision::Stop("replaced"),
            Some((Open::Unknown(_), _)) => Decision::Stop("closed by a newer version"),
            None if now > entry.letter.deadline => Decision::Stop("expired"),
            None if is_back(due, entry, view, now) => {
                let later = StepDue { due: now.plus_seconds(COMEBACK_SECONDS), waited: true, ..due.clone() };
                Decision::Postpone(later, "a device is back")
            }
            None => match step.channel {
                Open::Known(channel) => call(channel).map_or_else(Decision::Skip, Decision::Claim),
                Open::Unknown(channel) => Decision::PassOver(channel),
            },
        },
    }
}

/// The outcome of a step whose channel this version does not know, and its detail. The version that wrote the chain
/// treats such a step as not configured.
#[must_use]
pub fn passed_over(channel: Word) -> (Outcome, String) {
    let outcome = Outcome::Skipped(SkipReason::NotConfigured.into());
    (outcome, format!("{channel} is a channel of a newer version"))
}

/// Whether a device has connected since no device was reached, and there is time to wait for it once.
fn is_back(due: &StepDue, entry: &Entry, view: &UserView, now: Timestamp) -> bool {
    let in_time = !due.waited && now.plus_seconds(COMEBACK_SECONDS) <= entry.letter.deadline;
    let back = |offline| view.reachable(entry.letter.platform).any(|connection| connection.connected >= offline);
    in_time && entry.offline.is_some_and(back)
}

/// Whether a due step needs processing: it may start, or it has started and has no outcome.
#[must_use]
pub fn is_needed(due: &StepDue, entry: &Entry, now: Timestamp) -> bool {
    let is_open_ended = entry.steps.get(due.step).is_some_and(StepRecord::is_open_ended);
    entry.letter.id == due.id && (entry.is_open(now) || is_open_ended)
}

/// The step after one that has ended, and when it is due: after its pause if the person may have been reached, else at
/// once.
#[must_use]
pub fn next(due: &StepDue, entry: &Entry, outcome: &Outcome, now: Timestamp) -> Option<StepDue> {
    let number = due.step + 1;
    let step = entry.letter.steps.get(number)?;
    let due_at = match outcome {
        Outcome::Accepted(_) | Outcome::Unknown | Outcome::Newer(_) => {
            now.plus_seconds(step.after.unwrap_or(Step::DEFAULT_AFTER_SECONDS))
        }
        Outcome::Refused(_) | Outcome::Skipped(_) => now,
    };
    Some(StepDue { step: number, due: due_at, waited: false, attempts: 0, ..due.clone() })
}
