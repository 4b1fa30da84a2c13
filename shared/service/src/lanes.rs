//! The delivery queues, one for each priority: a send to many recipients never delays a send to few.

use futures_util::stream::{self, TryStreamExt};
use tidings_domain::{
    AppId, Message, MessageId, Open, Timestamp, UserKey,
    delivery::{Job, Redelivery, Withdraw},
};
use tidings_queue::{BATCH, DeliverQueue};
use tidings_store::{Stored, Vault};
use tidings_wire::send::Priority;

use crate::timers::ScheduleError;

/// Limit of batches that are sent to a queue in parallel.
const BATCHES_AT_ONCE: usize = 8;

/// The two lanes.
#[derive(Clone, Debug)]
pub struct Lanes {
    high: DeliverQueue,
    normal: DeliverQueue,
    vault: Vault,
}

impl Lanes {
    /// Lanes over a queue for each priority.
    #[must_use]
    pub fn new(high: DeliverQueue, normal: DeliverQueue, vault: Vault) -> Self {
        Self { high, normal, vault }
    }

    fn of(&self, priority: Open<Priority>) -> &DeliverQueue {
        match priority {
            Open::Known(Priority::High) => &self.high,
            // A lane that a newer version has added is handled as the normal one, which no other lane waits for.
            Open::Known(Priority::Normal) | Open::Unknown(_) => &self.normal,
        }
    }

    /// Puts a delivery for each recipient on its lane.
    ///
    /// # Errors
    /// [`ScheduleError`]; repeating it doubles nothing.
    pub async fn deliver(
        &self,
        message: &Message,
        aliases: &[String],
        trace: Option<&str>,
    ) -> Result<(), ScheduleError> {
        let jobs: Vec<Job> = message.deliveries(aliases).map(|delivery| Job::Deliver(Box::new(delivery))).collect();
        self.enqueue(self.of(message.priority), &message.app, &jobs, trace).await
    }

    /// Puts a withdrawal for each recipient behind its delivery, in the same lane and the same order.
    ///
    /// # Errors
    /// [`ScheduleError`]; repeating it doubles nothing.
    pub async fn withdraw(&self, stored: &Stored, at: Timestamp, trace: Option<&str>) -> Result<(), ScheduleError> {
        let job = |alias: &String| {
            let user = UserKey { app: stored.app.clone(), tenant: stored.tenant.clone(), alias: alias.clone() };
            let id: MessageId = stored.id.clone();
            Job::Withdraw(Withdraw { user, id, at })
        };
        let jobs: Vec<Job> = stored.aliases.iter().map(job).collect();
        self.enqueue(self.of(stored.priority), &stored.app, &jobs, trace).await
    }

    /// Puts a redelivery on the lane of normal priority, whatever its message's priority: no first delivery waits for
    /// it.
    ///
    /// # Errors
    /// [`ScheduleError`].
    pub async fn redeliver(&self, redelivery: Redelivery, trace: Option<&str>) -> Result<(), ScheduleError> {
        let app = redelivery.user.app.clone();
        self.enqueue(&self.normal, &app, &[Job::Redeliver(redelivery)], trace).await
    }

    /// Puts jobs of an app on a queue, ten a request.
    async fn enqueue(
        &self,
        queue: &DeliverQueue,
        app: &AppId,
        jobs: &[Job],
        trace: Option<&str>,
    ) -> Result<(), ScheduleError> {
        let seal = &self.vault.of(app).await?;
        let sent = stream::iter(jobs.chunks(BATCH).map(Ok));
        Ok(sent.try_for_each_concurrent(BATCHES_AT_ONCE, |batch| queue.send(batch, seal, trace)).await?)
    }
}
