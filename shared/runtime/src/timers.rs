//! Where a timer waits until it is due.

use tidings_domain::{Timer, Timestamp, chain::StepDue};
use tidings_queue::{LONGEST_DELAY_SECONDS, StepQueue, TimerQueue};
use tidings_store::Due;

use crate::{Error, Sdk, config::ConfigError};

/// What is not due yet: on the `later` queue for the next fifteen minutes, in the due table beyond.
#[derive(Clone, Debug)]
pub struct Timers {
    later: TimerQueue,
    due: Due,
}

impl Timers {
    /// Over the queue and the table that the environment names.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn from_env(sdk: &Sdk) -> Result<Self, ConfigError> {
        Ok(Self { later: sdk.later_queue()?, due: sdk.due()? })
    }

    /// The due table.
    #[must_use]
    pub fn due(&self) -> &Due {
        &self.due
    }

    /// Puts a timer where it waits. The same one twice does no harm: what it does is done once.
    ///
    /// # Errors
    /// Of the queue or the table.
    pub async fn schedule(&self, timer: &Timer, now: Timestamp, trace: Option<&str>) -> Result<(), Error> {
        match now.seconds_until(timer.due()) {
            0..=LONGEST_DELAY_SECONDS => self.later.send(timer, now, trace).await?,
            _ => self.due.keep(timer).await?,
        }
        Ok(())
    }

    /// Hands a timer that waits in the due table on to the `later` queue.
    ///
    /// # Errors
    /// Of the queue or the table.
    pub async fn hand_on(&self, timer: &Timer, now: Timestamp) -> Result<(), Error> {
        self.later.send(timer, now, None).await?;
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
    /// Over the queues and the table that the environment names.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn from_env(sdk: &Sdk) -> Result<Self, ConfigError> {
        Ok(Self { fallback: sdk.fallback_queue()?, timers: Timers::from_env(sdk)? })
    }

    /// What is not due yet.
    #[must_use]
    pub fn timers(&self) -> &Timers {
        &self.timers
    }

    /// Puts a step where it is worked on, or where it waits. The same step twice does no harm: it is claimed before its
    /// provider is called.
    ///
    /// # Errors
    /// Of the queue or the table.
    pub async fn schedule(&self, step: StepDue, now: Timestamp, trace: Option<&str>) -> Result<(), Error> {
        if step.due <= now {
            return Ok(self.fallback.send(&step, trace).await?);
        }
        self.timers.schedule(&Timer::Step(step), now, trace).await
    }
}
