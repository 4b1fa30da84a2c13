//! Where a fallback step waits until it is due.

use tidings_domain::{Timestamp, fallback::StepDue};
use tidings_queue::{LONGEST_DELAY_SECONDS, StepQueue};
use tidings_store::Due;

use crate::{Error, Sdk, config::ConfigError};

/// The three places: the `fallback` queue for what is due, the `later` queue for the next fifteen minutes, the due table
/// beyond.
#[derive(Clone, Debug)]
pub struct Steps {
    fallback: StepQueue,
    later: StepQueue,
    due: Due,
}

impl Steps {
    /// Over the queues and the table that the environment names.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn from_env(sdk: &Sdk) -> Result<Self, ConfigError> {
        Ok(Self { fallback: sdk.fallback_queue()?, later: sdk.later_queue()?, due: sdk.due()? })
    }

    /// The due table.
    #[must_use]
    pub fn due(&self) -> &Due {
        &self.due
    }

    /// Puts a step where it waits. The same step twice does no harm: it is claimed before its provider is called.
    ///
    /// # Errors
    /// Of the queue or the table.
    pub async fn schedule(&self, step: &StepDue, now: Timestamp, trace: Option<&str>) -> Result<(), Error> {
        match now.seconds_until(step.due) {
            0 => self.fallback.send(step, now, trace).await?,
            1..=LONGEST_DELAY_SECONDS => self.later.send(step, now, trace).await?,
            _ => self.due.keep(step).await?,
        }
        Ok(())
    }

    /// Hands a step that waits in the due table on to the `later` queue.
    ///
    /// # Errors
    /// Of the queue or the table.
    pub async fn hand_on(&self, step: &StepDue, now: Timestamp) -> Result<(), Error> {
        self.later.send(step, now, None).await?;
        self.due.remove(step).await?;
        Ok(())
    }
}
