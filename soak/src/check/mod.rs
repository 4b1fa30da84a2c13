//! The promises, checked against the history that was recorded from outside. The checks make no request, wait for
//! nothing, and do not depend on the inside of the service.
//!
//! What a device owes: every message that was accepted and is kept is shown on every device of its recipients and of
//! its platform, exactly once. The only exceptions are
//! - a message that is not kept (`persist: false`): it may be shown or not. If its queue redelivers it, it may be shown
//!   once per run of the app, because a new run cannot recognise it;
//! - one that is cancelled or replaced in its trail: it may have been shown before;
//! - one that has expired, unless the service ran without faults and the device was connected for all of its time.
//!
//! It is no exception that another device has confirmed the message, that a provider accepted it, or that every step of
//! its chain failed.

mod announcements;
mod answers;
mod devices;
mod mailbox;
mod steps;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use tidings_wire::trail::{Event, RecipientTrail, Transition};
use tidings_wire::{Timestamp, Trail};

use super::history::History;

/// A promise, and the cases in which it was broken.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) promise: &'static str,
    pub(super) checked: u64,
    pub(super) broken: Vec<Broken>,
}

/// One case in which a promise was broken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Broken {
    /// The message, by its index in the plan.
    pub(super) message: Option<usize>,
    pub(super) user: Option<usize>,
    pub(super) device: Option<usize>,
    pub(super) why: String,
}

impl Broken {
    fn of(why: impl Into<String>) -> Self {
        Self { why: why.into(), ..Self::default() }
    }

    fn message(self, message: usize) -> Self {
        Self { message: Some(message), ..self }
    }

    fn user(self, user: usize) -> Self {
        Self { user: Some(user), ..self }
    }

    fn device(self, device: usize) -> Self {
        Self { device: Some(device), ..self }
    }
}

impl Row {
    fn new(promise: &'static str) -> Self {
        Self { promise, checked: 0, broken: Vec::new() }
    }

    /// Counts one case, and records it if it is broken.
    fn holds(&mut self, held: bool, otherwise: impl FnOnce() -> Broken) {
        self.checked += 1;
        if !held {
            self.broken.push(otherwise());
        }
    }
}

/// Every promise, in the order of the report.
pub(super) fn check(history: &History) -> Vec<Row> {
    vec![
        answers::accepted(history),
        answers::repeated(history),
        answers::settled(history),
        devices::lost(history),
        devices::astray(history),
        devices::twice(history),
        devices::order(history),
        announcements::missed(history),
        announcements::once(history),
        devices::confirmed(history),
        mailbox::doubled(history),
        mailbox::order(history),
        mailbox::time(history),
        answers::cancelled(history),
        steps::twice(history),
        steps::after_acknowledgement(history),
        steps::agree(history),
        steps::put_off(history),
        steps::whole(history),
    ]
}

/// Whether nothing more can be missing: no device owes a message or an announcement that it has not shown.
pub(super) fn nothing_owed(history: &History) -> bool {
    devices::lost(history).broken.is_empty() && announcements::missed(history).broken.is_empty()
}

/// Whether every chain that no confirmation has stopped has come to its end.
pub(super) fn chains_ended(history: &History) -> bool {
    steps::whole(history).broken.is_empty()
}

/// The progress of the chains, and the steps whose worker died between the claim and the outcome.
pub(super) fn chains(history: &History) -> BTreeMap<&'static str, u64> {
    steps::counts(history)
}

/// Whether a message is settled for every recipient.
pub(super) fn all_settled(trail: &Trail) -> bool {
    trail.recipients.iter().all(|recipient| recipient.state.is_settled())
}

fn recipient(history: &History, message: usize, user: usize) -> Option<&RecipientTrail> {
    let alias = &history.plan.users[user].alias;
    history.trails.get(&message)?.recipients.iter().find(|recipient| recipient.alias == *alias)
}

fn first(trail: &RecipientTrail, event: Event) -> Option<&Transition> {
    trail.transitions.iter().find(|transition| transition.event == event)
}

/// Whether the message was cancelled, or replaced by a later one with its collapse key.
fn is_withdrawn(trail: &RecipientTrail) -> bool {
    first(trail, Event::Cancelled).is_some() || first(trail, Event::Replaced).is_some()
}

/// The steps of a recipient's chain that have begun.
pub(super) fn begun(trail: &RecipientTrail) -> BTreeSet<usize> {
    let begun = trail.transitions.iter().filter(|transition| transition.event == Event::StepStarted);
    begun.filter_map(|transition| transition.step).collect()
}

fn is_cancelled(trail: &RecipientTrail) -> bool {
    first(trail, Event::Cancelled).is_some()
}

fn millis(from: Timestamp, to: Timestamp) -> i64 {
    to.0.saturating_sub(from.0)
}
