//! The delivery queues, one for each priority: a send to many recipients never delays a send to few.

use futures_util::stream::{self, TryStreamExt};
use tidings_domain::{
    Message, MessageId, Open, Timestamp, UserKey,
    delivery::{Job, Redelivery, Withdraw},
};
use tidings_queue::{BATCH, DeliverQueue, QueueError};
use tidings_store::Stored;
use tidings_wire::send::Priority;

/// Limit of batches that are sent to a queue in parallel.
const BATCHES_AT_ONCE: usize = 8;

/// The two lanes.
#[derive(Clone, Debug)]
pub struct Lanes {
    high: DeliverQueue,
    normal: DeliverQueue,
}

impl Lanes {
    /// Lanes over a queue for each priority.
    #[must_use]
    pub fn new(high: DeliverQueue, normal: DeliverQueue) -> Self {
        Self { high, normal }
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
    /// [`QueueError`]; repeating it doubles nothing.
    pub async fn deliver(&self, message: &Message, aliases: &[String], trace: Option<&str>) -> Result<(), QueueError> {
        let jobs: Vec<Job> = message.deliveries(aliases).map(|delivery| Job::Deliver(Box::new(delivery))).collect();
        enqueue(self.of(message.priority), &jobs, trace).await
    }

    /// Puts a withdrawal for each recipient behind its delivery, in the same lane and the same order.
    ///
    /// # Errors
    /// [`QueueError`]; repeating it doubles nothing.
    pub async fn withdraw(&self, stored: &Stored, at: Timestamp, trace: Option<&str>) -> Result<(), QueueError> {
        let job = |alias: &String| {
            let user = UserKey { app: stored.app.clone(), tenant: stored.tenant.clone(), alias: alias.clone() };
            let id: MessageId = stored.id.clone();
            Job::Withdraw(Withdraw { user, id, at })
        };
        let jobs: Vec<Job> = stored.aliases.iter().map(job).collect();
        enqueue(self.of(stored.priority), &jobs, trace).await
    }

    /// Puts a redelivery on the lane of normal priority, whatever its message's priority: no first delivery waits for
    /// it.
    ///
    /// # Errors
    /// [`QueueError`].
    pub async fn redeliver(&self, redelivery: Redelivery, trace: Option<&str>) -> Result<(), QueueError> {
        enqueue(&self.normal, &[Job::Redeliver(redelivery)], trace).await
    }
}

/// Puts jobs on a queue, ten a request.
async fn enqueue(queue: &DeliverQueue, jobs: &[Job], trace: Option<&str>) -> Result<(), QueueError> {
    stream::iter(jobs.chunks(BATCH).map(Ok))
        .try_for_each_concurrent(BATCHES_AT_ONCE, |batch| queue.send(batch, trace))
        .await
}
