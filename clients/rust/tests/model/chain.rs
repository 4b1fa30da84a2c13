//! `functions/timer` and `functions/fallback`, one request to the outside at a time.

use tidings_domain::{
    chain::{Outcome, StepDue},
    fallback::{self, Decision},
};

use crate::{
    service::Tidings,
    state::{QueuedStep, Real, State, StepAt, Stepper},
};

impl Tidings {
    /// Whether the queues deliver a step.
    pub(crate) fn is_step_handed_out(&self, state: &State, at: usize) -> bool {
        let step = &state.steps[at];
        !step.in_flight && !step.done && (!step.waits || step.due.due <= self.now(state))
    }

    pub(crate) fn hand_step_out(&self, state: &mut State, at: usize) {
        let step = &mut state.steps[at];
        step.in_flight = true;
        let (due, waits) = (step.due.clone(), step.waits);
        state.steppers.push(Stepper { due, waits, at: StepAt::Entry });
    }

    /// The worker is gone; the step comes again.
    pub(crate) fn give_step_back(&self, state: &mut State, worker: usize) {
        let gone = state.steppers.remove(worker);
        let its = |step: &&mut QueuedStep| step.in_flight && step.due == gone.due && step.waits == gone.waits;
        if let Some(step) = state.steps.iter_mut().find(its) {
            step.in_flight = false;
        }
    }

    fn delete_step(&self, state: &mut State, worker: usize) {
        let done = state.steppers.remove(worker);
        let its = |step: &&mut QueuedStep| step.in_flight && step.due == done.due && step.waits == done.waits;
        if let Some(step) = state.steps.iter_mut().find(its) {
            step.in_flight = false;
            step.done = true;
        }
    }

    /// The next request of a stepper.
    pub(crate) fn step(&self, state: &mut State, worker: usize, refused: bool) {
        let Stepper { due, waits, at } = state.steppers[worker].clone();
        let now = self.now(state);
        let next = match at {
            StepAt::Entry => {
                let entry = self.entry(state, due.position).cloned();
                if !waits {
                    StepAt::View(entry)
                } else if entry.is_none_or(|entry| entry.letter.id != due.id || !entry.is_open(now)) {
                    StepAt::Delete
                } else {
                    StepAt::Schedule(due)
                }
            }
            StepAt::View(None) => StepAt::Delete,
            StepAt::View(Some(entry)) => {
                let view = self.view(state);
                match fallback::decide(&due, &entry, &view, false, now) {
                    Decision::Stop(_) => StepAt::Delete,
                    Decision::Postpone(later, _) => {
                        self.meet(if later.waited == due.waited {
                            "a step that another worker has claimed just now"
                        } else {
                            "a step that waits for a device that came back"
                        });
                        StepAt::Schedule(Real::new(later))
                    }
                    Decision::RecordUnknown => {
                        self.meet("a crash between claim and outcome");
                        StepAt::Record(entry, Outcome::Unknown.into())
                    }
                    Decision::Skip(reason) => StepAt::Record(entry, Outcome::Skipped(reason.into()).into()),
                    Decision::PassOver(channel) => unreachable!("{channel} is in no chain of the model"),
                    Decision::Next(outcome) => self.after_step(state, &due, &entry, &outcome),
                    Decision::Claim(_) => StepAt::Claim(entry),
                }
            }
            StepAt::Claim(entry) => {
                if !self.claim(state, &due) {
                    return self.give_step_back(state, worker);
                }
                StepAt::Call(entry)
            }
            StepAt::Call(entry) => {
                if self.entry(state, due.position).is_some_and(|entry| entry.is_confirmed()) {
                    self.meet("an acknowledgement between the claim and the call");
                }
                let message = usize::from(self.message(&due.id));
                state.calls[message][due.step] += 1;
                let outcome = if refused { Outcome::Refused("no".into()) } else { Outcome::Accepted("yes".into()) };
                StepAt::Record(entry, outcome.into())
            }
            StepAt::Record(entry, outcome) => {
                self.end_step(state, &due, outcome.0.clone());
                self.after_step(state, &due, &entry, &outcome.0)
            }
            StepAt::Schedule(next) => {
                let waits = next.due > now;
                state.steps.push(QueuedStep { due: next, waits, in_flight: false, done: false });
                StepAt::Delete
            }
            StepAt::Delete => return self.delete_step(state, worker),
        };
        state.steppers[worker].at = next;
    }

    fn after_step(&self, state: &State, due: &StepDue, entry: &tidings_domain::Entry, outcome: &Outcome) -> StepAt {
        match fallback::next(due, entry, outcome, self.now(state)) {
            Some(next) => StepAt::Schedule(Real::new(next)),
            None => StepAt::Delete,
        }
    }
}
