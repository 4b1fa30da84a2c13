//! What follows once a step is claimed: whether it makes its call, and what the answers come to.

use std::{collections::BTreeSet, time::Duration};

use tidings_wire::{
    Timestamp,
    trail::{RefusalCode, SkipReason},
};

use super::retry::{Patience, put_off, repeat};
use crate::{
    Device, Entry,
    chain::{Outcome, PutOff, StepDue},
};

/// A step that a worker has claimed, with its entry as it was before the claim.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    due: &'a StepDue,
    entry: &'a Entry,
    patience: Patience,
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
    /// It was not sent: no request can be made of it.
    Unsendable(RefusalCode),
}

/// What a refusal means for the address that was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressState {
    /// The address stays: the fault lies elsewhere.
    Alive,
    /// The address is dead.
    Dead {
        /// Since when, if the provider reports it: a later registration stays.
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
    /// The step is due again later, because no provider could take it. The claim is released with this note, which the
    /// trail shows.
    PutOff {
        /// The step, and when it is due.
        later: StepDue,
        /// Since when, how often and why.
        note: PutOff,
    },
    /// The step is repeated later, because the end of its call is not known and its receiver recognises a repetition.
    Repeat(StepDue),
}

impl End {
    /// What is noted of a step that is put off.
    #[must_use]
    pub fn note(&self) -> Option<&PutOff> {
        match &self.then {
            Then::PutOff { note, .. } => Some(note),
            Then::Stop | Then::Record { .. } | Then::Repeat(_) => None,
        }
    }
}

impl<'a> Claim<'a> {
    /// A claim of `at`; `entry` was read before it, and `patience` is the result of [`super::patience`].
    #[must_use]
    pub fn new(due: &'a StepDue, entry: &'a Entry, patience: Patience, at: Timestamp) -> Self {
        Self { due, entry, patience, at }
    }

    /// The worker with an earlier claim, which may have called the provider: its claim is the one to take over.
    #[must_use]
    pub fn before(due: &StepDue, entry: &'a Entry) -> Option<&'a str> {
        entry.steps.get(due.step)?.claimed_by.as_deref()
    }

    /// Whether the step was claimed before, so that its provider may have been called. Only an acceptance shows how
    /// such a step ended, and its claim is never released.
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
            CalledOff::ItemClosed => record(Outcome::Skipped(SkipReason::ItemClosed.into())),
        };
        End { then, ..self.abandoned() }
    }

    /// The end of a claim whose calls were answered; `random` spreads the pause of a step that is put off.
    ///
    /// The step is accepted if one call was; unknown if none was and the end of one is not known; put off if a provider
    /// could not take it, as long as the chain has patience; else refused, with every code.
    #[must_use]
    pub fn settle(&self, called: &[Called], random: u64, now: Timestamp) -> End {
        let tally = Tally::of(called, self.patience);
        let (is_repeat, detail) = (self.is_repeat(), tally.detail());
        let (is_released, then) = match tally.verdict() {
            Verdict::Ended(outcome @ Outcome::Accepted(_)) => (false, Then::Record { outcome, detail }),
            Verdict::Ended(Outcome::Unknown) => (false, self.unknown(detail)),
            // It would be refused once more, which reveals nothing about the earlier call.
            Verdict::Ended(Outcome::Refused(_) | Outcome::Skipped(_)) if is_repeat => (false, record(Outcome::Unknown)),
            Verdict::Ended(outcome) => (false, Then::Record { outcome, detail }),
            Verdict::Busy(..) if is_repeat => (false, self.unknown(None)),
            Verdict::Busy(code, asked) => match put_off(self.due, self.entry, asked, random, self.patience, now) {
                Some(later) => (true, self.put_off(later, code, now)),
                None => (false, Then::Record { outcome: Outcome::Refused(code), detail }),
            },
        };
        End { is_released, then, dead: tally.dead }
    }

    /// The end of a step that is due again at `later`, because a provider could not take it.
    fn put_off(&self, later: StepDue, code: String, now: Timestamp) -> Then {
        let before = self.entry.steps.get(self.due.step).and_then(|record| record.put_off.as_ref());
        let (since, times) = before.map_or((now, 0), |before| (before.since, before.times));
        let note = PutOff { since, times: times.saturating_add(1), code, until: later.due };
        Then::PutOff { later, note }
    }

    /// The end of a step whose outcome is not known. If it is repeated, its claim stays: the call may have been
    /// accepted, and the trail shows that it started.
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

/// The combined result of a step's calls.
enum Verdict {
    /// The step has ended.
    Ended(Outcome),
    /// No provider has acted, and one may later: its codes, and the time that it asks for.
    Busy(String, Duration),
}

impl Tally {
    fn of(called: &[Called], patience: Patience) -> Self {
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
                    // The chain goes on at once with a next step; without one, giving up gains nothing.
                    match patience {
                        Patience::Short => {}
                        Patience::Long => tally.busy = tally.busy.max(Some(Duration::ZERO)),
                    }
                }
                Answer::NotConfigured => tally.is_configured = false,
                Answer::Unsendable(why) => {
                    tally.codes.insert(why.to_string());
                    // No provider will ever take it.
                    tally.dead.extend(device.iter().filter(|_| *why == RefusalCode::Address).cloned());
                }
            }
        }
        tally
    }

    fn verdict(&self) -> Verdict {
        let codes = || self.codes.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        match self.busy {
            _ if !self.is_configured => Verdict::Ended(Outcome::Skipped(SkipReason::NotConfigured.into())),
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
