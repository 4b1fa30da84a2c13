//! Timers until they are due.

use tidings_domain::{Seal, Timer, Timestamp, chain::StepDue, shape::Body};
use tidings_queue::{LONGEST_DELAY_SECONDS, QueueError, StepQueue, TimerQueue};
use tidings_store::{Due, KeptTimer, StoreError, Vault};

/// Work that could not be queued or scheduled.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    /// The queue did not accept it.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The due table did not accept it, or the app's keyring could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Timers: on the `later` queue for the next fifteen minutes, in the due table beyond.
#[derive(Clone, Debug)]
pub struct Timers {
    later: TimerQueue,
    due: Due,
    vault: Vault,
}

impl Timers {
    /// Timers over the `later` queue and the due table.
    #[must_use]
    pub fn new(later: TimerQueue, due: Due, vault: Vault) -> Self {
        Self { later, due, vault }
    }

    /// The due table.
    #[must_use]
    pub fn due(&self) -> &Due {
        &self.due
    }

    /// Schedules a timer. A duplicate does no harm: its effect happens once.
    ///
    /// # Errors
    /// [`ScheduleError`].
    pub async fn schedule(&self, timer: &Timer, now: Timestamp, trace: Option<&str>) -> Result<(), ScheduleError> {
        match now.seconds_until(timer.due()) {
            0..=LONGEST_DELAY_SECONDS => {
                let seal = match timer.app() {
                    Some(app) => self.vault.of(app).await?,
                    None => Seal::Clear,
                };
                self.later.send(timer, &seal, now, trace).await?;
            }
            _ => self.due.keep(timer).await?,
        }
        Ok(())
    }

    /// Moves a timer from the due table to the `later` queue, unchanged: it is stored as a body of that queue.
    ///
    /// # Errors
    /// [`ScheduleError`].
    pub async fn hand_on(&self, timer: &KeptTimer, now: Timestamp) -> Result<(), ScheduleError> {
        self.later.send_body(&timer.body, timer.due, now, None).await?;
        self.due.remove(timer).await?;
        Ok(())
    }
}

/// Fallback steps: a step that is due goes to the `fallback` queue at once.
#[derive(Clone, Debug)]
pub struct Steps {
    fallback: StepQueue,
    timers: Timers,
}

impl Steps {
    /// Steps over the `fallback` queue, and timers for those that are not due yet.
    #[must_use]
    pub fn new(fallback: StepQueue, timers: Timers) -> Self {
        Self { fallback, timers }
    }

    /// The timers of steps that are not due yet.
    #[must_use]
    pub fn timers(&self) -> &Timers {
        &self.timers
    }

    /// Queues a step that is due, or schedules it. A duplicate does no harm: the step is claimed before its provider is
    /// called.
    ///
    /// # Errors
    /// [`ScheduleError`].
    pub async fn schedule(&self, step: StepDue, now: Timestamp, trace: Option<&str>) -> Result<(), ScheduleError> {
        if step.due <= now {
            let seal = self.timers.vault.of(&step.user.app).await?;
            return Ok(self.fallback.send(&step, &seal, trace).await?);
        }
        self.timers.schedule(&Timer::Step(step), now, trace).await
    }
}
