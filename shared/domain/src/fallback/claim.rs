//! What follows once a step is claimed: whether it makes its call, and what the answers come to.

use std::{collections::BTreeSet, time::Duration};

use tidings_wire::{
    Backoff, Timestamp,
    trail::{RefusalCode, SkipReason},
};

use super::retry::{put_off, repeat};
use crate::{
    Device, Entry,
    chain::{Outcome, StepDue},
};

/// Pauses before a provider that could not take a step is asked again.
const PAUSES: Backoff = Backoff { first: Duration::from_secs(2), longest: Duration::from_secs(60) };

/// A step that a worker has claimed, with its entry as it was before the claim.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    due: &'a StepDue,
    entry: &'a Entry,
    at: Timestamp,
}

/// Why a claimed step makes no call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalledOff {
    /// Its message is cancelled.
    Cancelled,
    /// The item that its message is about is closed.
    ItemClosed,
}

/// One call of a provider, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Called {
    /// The device that was called, if the step goes to devices.
    pub device: Option<Device>,
    /// How the call ended.
    pub answer: Answer,
    /// What the provider was asked for, in words, as far as that differs from what the sender asked for.
    pub downgrades: Vec<String>,
}

impl From<Answer> for Called {
    /// A call that goes to no device, and was made as the sender asked for.
    fn from(answer: Answer) -> Self {
        Self { device: None, answer, downgrades: Vec::new() }
    }
}

/// How a call of a provider ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The provider accepted it, under this id if it gave one.
    Accepted(Option<String>),
    /// The provider refused it, and would refuse it again.
    Refused {
        /// The provider's code.
        code: String,
        /// What this means for the address that was called.
        address: AddressState,
    },
    /// The provider could not take it now, and did not act on it.
    Busy {
        /// The provider's code.
        code: String,
        /// How long the provider wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// It was certainly not sent, or the provider left it unread.
    Unreachable,
    /// It may have been sent, and its end is not known.
    Unanswered,
    /// It was not sent: the provider has been failing.
    ProviderDown,
    /// It was not sent: the app has no credentials for the channel.
    NotConfigured,
    /// It was not sent: no request can be made of it, for this reason.
    Unsendable(String),
}

/// What a refusal means for the address that was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressState {
    /// The address stays: the fault lies elsewhere.
    Alive,
    /// The address is dead.
    Dead {
        /// Since when, if the provider says so: a later registration stays.
        since: Option<Timestamp>,
    },
}

/// How a claim ends.
#[derive(Clone, Debug, PartialEq)]
pub struct End {
    /// Whether the claim is released first. It is if nothing was sent under it: otherwise the next worker would wait
    /// until the claim is old, and record the step as unknown.
    pub is_released: bool,
    /// What becomes of the step.
    pub then: Then,
    /// Devices whose address is dead, and is to be forgotten.
    pub dead: Vec<Device>,
}

/// What becomes of a step whose claim ends.
#[derive(Clone, Debug, PartialEq)]
pub enum Then {
    /// Nothing is recorded, and the chain ends.
    Stop,
    /// The step has ended: recorded, then on to the next.
    Record {
        /// How it ended.
        outcome: Outcome,
        /// What the providers were asked for, as far as that differs from what the sender asked for.
        detail: Option<String>,
    },
    /// The step is due again later, because no provider could take it.
    PutOff {
        /// The step, and when it is due.
        later: StepDue,
        /// The providers' codes, for the log.
        code: String,
    },
    /// The step is repeated later, because the end of its call is not known and its receiver recognises a repetition.
    Repeat(StepDue),
}

impl<'a> Claim<'a> {
    /// A claim of `at`; `entry` is from before it.
    #[must_use]
    pub fn new(due: &'a StepDue, entry: &'a Entry, at: Timestamp) -> Self {
        Self { due, entry, at }
    }

    /// Who has claimed a step before, and may have called its provider: its claim is the one to take over.
    #[must_use]
    pub fn before(due: &StepDue, entry: &'a Entry) -> Option<&'a str> {
        entry.steps.get(due.step)?.claimed_by.as_deref()
    }

    /// Whether the step was claimed before, so that its provider may have been called. Of such a step only an
    /// acceptance says how it has ended, and its claim is never released.
    fn is_repeat(&self) -> bool {
        self.entry.steps.get(self.due.step).is_some_and(|record| record.claimed.is_some())
    }

    /// The end of a claim under which nothing could be called.
    #[must_use]
    pub fn abandoned(&self) -> End {
        End { is_released: !self.is_repeat(), then: Then::Stop, dead: Vec::new() }
    }

    /// The end of a claim whose step is called off.
    #[must_use]
    pub fn called_off(&self, why: CalledOff) -> End {
        let then = match why {
            _ if self.is_repeat() => record(Outcome::Unknown),
            CalledOff::Cancelled => Then::Stop,
            CalledOff::ItemClosed => record(Outcome::Skipped(SkipReason::ItemClosed)),
        };
        End { then, ..self.abandoned() }
    }

    /// The end of a claim whose calls were answered; `random` spreads the pause of a step that is put off.
    ///
    /// The step is accepted if one call was; unknown if none was and the end of one is not known; put off if a provider
    /// could not take it; else refused, with every code.
    #[must_use]
    pub fn settle(&self, called: &[Called], random: u64, now: Timestamp) -> End {
        let tally = Tally::of(called);
        let (is_repeat, detail) = (self.is_repeat(), tally.detail());
        let (is_released, then) = match tally.verdict() {
            Verdict::Ended(outcome @ Outcome::Accepted(_)) => (false, Then::Record { outcome, detail }),
            Verdict::Ended(Outcome::Unknown) => (false, self.unknown(detail)),
            // It would be refused once more: that says nothing of the call before.
            Verdict::Ended(Outcome::Refused(_) | Outcome::Skipped(_)) if is_repeat => (false, record(Outcome::Unknown)),
            Verdict::Ended(outcome) => (false, Then::Record { outcome, detail }),
            Verdict::Busy(..) if is_repeat => (false, self.unknown(None)),
            Verdict::Busy(code, asked) => {
                // Jitter on top of what the provider asked for: what it refused together does not come back together.
                let pause = asked.saturating_add(PAUSES.pause(self.due.attempts, random));
                let pause = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
                match put_off(self.due, self.entry, pause, now) {
                    Some(later) => (true, Then::PutOff { later, code }),
                    None => (false, record(Outcome::Refused(code))),
                }
            }
        };
        End { is_released, then, dead: tally.dead }
    }

    /// What becomes of a step whose end is not known. If it is repeated, its claim stays: the call may have been
    /// accepted, and the trail shows that it began.
    fn unknown(&self, detail: Option<String>) -> Then {
        match repeat(self.due, self.entry, self.at) {
            Some(later) => Then::Repeat(later),
            None => Then::Record { outcome: Outcome::Unknown, detail },
        }
    }
}

fn record(outcome: Outcome) -> Then {
    Then::Record { outcome, detail: None }
}

/// The answers of a step's calls, taken together.
#[derive(Default)]
struct Tally {
    is_accepted: bool,
    is_unanswered: bool,
    is_configured: bool,
    /// The longest time that a busy provider asks for, if one is busy.
    busy: Option<Duration>,
    ids: Vec<String>,
    codes: BTreeSet<String>,
    downgrades: BTreeSet<String>,
    dead: Vec<Device>,
}

/// What the answers of a step's calls come to.
enum Verdict {
    /// The step has ended.
    Ended(Outcome),
    /// No provider has acted, and one may later: its codes, and the time that it asks for.
    Busy(String, Duration),
}

impl Tally {
    fn of(called: &[Called]) -> Self {
        let mut tally = Self { is_configured: true, ..Self::default() };
        for Called { device, answer, downgrades } in called {
            tally.downgrades.extend(downgrades.iter().cloned());
            match answer {
                Answer::Accepted(id) => {
                    tally.is_accepted = true;
                    tally.ids.extend(id.clone());
                }
                Answer::Refused { code, address } => {
                    tally.codes.insert(code.clone());
                    tally.dead.extend(device.iter().filter(|device| address.is_dead(device)).cloned());
                }
                Answer::Busy { code, retry_after } => {
                    tally.codes.insert(code.clone());
                    tally.busy = tally.busy.max(Some(retry_after.unwrap_or_default()));
                }
                Answer::Unreachable => {
                    tally.codes.insert(RefusalCode::Unreachable.to_string());
                    tally.busy = tally.busy.max(Some(Duration::ZERO));
                }
                Answer::Unanswered => tally.is_unanswered = true,
                Answer::ProviderDown => {
                    tally.codes.insert(RefusalCode::ProviderDown.to_string());
                }
                Answer::NotConfigured => tally.is_configured = false,
                Answer::Unsendable(why) => {
                    tally.codes.insert(why.clone());
                }
            }
        }
        tally
    }

    fn verdict(&self) -> Verdict {
        let codes = || self.codes.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        match self.busy {
            _ if !self.is_configured => Verdict::Ended(Outcome::Skipped(SkipReason::NotConfigured)),
            _ if self.is_accepted => Verdict::Ended(Outcome::Accepted(self.ids.join(", "))),
            _ if self.is_unanswered => Verdict::Ended(Outcome::Unknown),
            Some(asked) => Verdict::Busy(codes(), asked),
            None => Verdict::Ended(Outcome::Refused(codes())),
        }
    }

    fn detail(&self) -> Option<String> {
        let downgrades: Vec<&str> = self.downgrades.iter().map(String::as_str).collect();
        Some(downgrades.join(", ")).filter(|detail| !detail.is_empty())
    }
}

impl AddressState {
    /// Whether a device's address is to be forgotten: not if it was registered after the provider saw it die.
    fn is_dead(self, device: &Device) -> bool {
        match self {
            Self::Alive => false,
            Self::Dead { since } => since.is_none_or(|since| device.registered <= since),
        }
    }
}

#[cfg(test)]
mod tests;
