//! The queue of announcements on their way.

use tidings_domain::announcement::Fanout;
use tidings_queue::FanoutQueue;
use tidings_store::Vault;

use crate::timers::ScheduleError;

/// Parts of announcements, queued to be pushed.
#[derive(Clone, Debug)]
pub struct Fanouts {
    queue: FanoutQueue,
    vault: Vault,
}

impl Fanouts {
    /// Over the `fanout` queue.
    #[must_use]
    pub fn new(queue: FanoutQueue, vault: Vault) -> Self {
        Self { queue, vault }
    }

    /// Queues parts of one announcement, each to be received after so many seconds.
    ///
    /// # Errors
    /// [`ScheduleError`]; devices show an announcement once, however often it is sent.
    pub async fn send(&self, pieces: &[(Fanout, u64)], trace: Option<&str>) -> Result<(), ScheduleError> {
        let Some((first, _)) = pieces.first() else { return Ok(()) };
        let seal = self.vault.of(&first.tenant.app).await?;
        Ok(self.queue.send(pieces, &seal, trace).await?)
    }
}
