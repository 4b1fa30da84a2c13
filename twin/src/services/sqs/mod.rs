//! SQS: the template's queues, in memory or kept by a journal.
//!
//! The semantics are those that AWS documents: visibility timeouts, delays, long polling, FIFO groups and
//! deduplication, redrive to a dead-letter queue by `maxReceiveCount`, and batches in which each entry succeeds or
//! fails by itself. Queues come from the template; none is created or deleted at run time.

mod control;
mod error;
mod kept;
mod message;
mod move_task;
mod protocol;
mod queue;
mod record;
mod service;
#[cfg(test)]
mod tests;

pub use error::{Code, SqsError};
pub use message::{Attribute, Attributes, Message, Outgoing, Received, md5_of_text};
pub use protocol::Answer;
pub use queue::Counts;
pub use service::SERVICE;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tokio::sync::Notify;
use tokio::time::Instant;

use self::message::sequence_number;
use self::move_task::Tasks;
use self::queue::{Accepted, Order, QueueState, Stored};
use self::record::Record;
use super::call::{OpenError, Opening};
use crate::faults::{Fault, Faults, Site};
use crate::ids::uuid;
use crate::journal::{self, Journal};
use crate::ledger::Ledger;
use crate::template::Queue;

/// The shortest pause between two searches of a queue for messages past its retention period.
const EXPIRE_EVERY: Duration = Duration::from_secs(60);

/// The queues of a twin. A clone serves the same ones.
#[derive(Debug, Clone)]
pub struct Sqs(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    queues: BTreeMap<String, Line>,
    journal: Option<Journal<Record>>,
    tasks: Tasks,
    /// When the queues were created, in seconds since 1970: at the start of the twin.
    made_at: u64,
    ledger: Ledger,
    faults: Faults,
}

#[derive(Debug)]
struct Line {
    state: Mutex<QueueState>,
    /// Notified whenever a message may have become receivable.
    changed: Notify,
    expired_at: Mutex<Instant>,
}

/// The answer to a sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The id of the message; if it is a duplicate, of the earlier one.
    pub message_id: String,
    /// Its sequence number in a FIFO queue.
    pub sequence_number: Option<String>,
}

/// A queue and the number of its messages in each state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueCounts {
    /// The queue's name.
    pub name: String,
    /// Its dead-letter queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_letter_queue: Option<String>,
    /// The number of messages in each state.
    #[serde(flatten)]
    pub counts: Counts,
}

impl Sqs {
    /// The queues of a template.
    pub(super) fn open_for(opening: &Opening<'_>) -> Result<Self, OpenError> {
        let path = opening.data.path("sqs.journal");
        Self::open(&opening.template.queues, path.as_deref(), opening.ledger.clone(), opening.faults.clone())
            .map_err(|source| OpenError::new("serve the queues", opening.data.error(source)))
    }

    /// The queues of a template, with the messages that the journal at `path` has for them.
    ///
    /// Messages that were in flight when the twin was killed are visible at once: their consumers are gone, too.
    ///
    /// # Errors
    /// If the journal cannot be read or written.
    pub fn open(queues: &[Queue], path: Option<&Path>, ledger: Ledger, faults: Faults) -> io::Result<Self> {
        let mut states: BTreeMap<String, QueueState> =
            queues.iter().map(|queue| (queue.name.clone(), QueueState::new(queue.clone()))).collect();
        let journal = match path {
            None => None,
            Some(path) => {
                for record in journal::read(path)? {
                    kept::replay(&mut states, record);
                }
                let journal = Journal::create(path, kept::records(&states))?;
                kept::set_aside(&mut states, queues);
                Some(journal)
            }
        };
        for state in states.values_mut() {
            let waiting: Vec<Stored> = state.stored().collect();
            for stored in waiting.iter().filter(|stored| stored.message.dead_letter_source.is_none()) {
                for trace in &stored.message.traces {
                    ledger.adopt(trace, &format!("{} (kept)", state.config().name));
                }
                state.hold(stored.sequence, ledger.hold(&stored.message.traces));
            }
        }
        let line =
            |state| Line { state: Mutex::new(state), changed: Notify::new(), expired_at: Mutex::new(Instant::now()) };
        let queues = states.into_iter().map(|(name, state)| (name, line(state))).collect();
        let (tasks, made_at) = (Tasks::default(), now() / 1000);
        Ok(Self(Arc::new(Inner { queues, journal, tasks, made_at, ledger, faults })))
    }

    /// Sends a message. Returns once it is on the disk.
    ///
    /// # Errors
    /// If there is no such queue, it does not accept such a message, or the journal failed.
    pub async fn send(&self, queue: &str, outgoing: Outgoing) -> Result<Sent, SqsError> {
        let sent = self.enqueue(queue, outgoing)?;
        self.flush().await?;
        Ok(sent)
    }

    /// Sends a message that is safe only once [`flush`](Self::flush) has returned.
    fn enqueue(&self, queue: &str, outgoing: Outgoing) -> Result<Sent, SqsError> {
        let line = self.line(queue)?;
        let mut state = line.lock();
        let fifo = state.config().fifo;
        let Accepted { message_id, sequence, stored } = state.send(outgoing, uuid(), now())?;
        if let Some(Stored { message, sequence, visible_at }) = stored {
            for trace in &message.traces {
                self.0.ledger.alias(trace, &message.id);
            }
            state.hold(sequence, self.0.ledger.hold(&message.traces));
            self.append(|| Record::Sent { queue: queue.to_owned(), sequence, visible_at, message });
        }
        drop(state);
        line.changed.notify_waiters();
        Ok(Sent { message_id, sequence_number: fifo.then(|| sequence_number(sequence)) })
    }

    /// Receives up to `max` messages, waiting up to `wait` for the first. They stay invisible to others for
    /// `visibility`, or for the queue's visibility timeout.
    ///
    /// # Errors
    /// If there is no such queue.
    pub async fn receive(
        &self,
        queue: &str,
        max: usize,
        wait: Duration,
        visibility: Option<Duration>,
    ) -> Result<Vec<Received>, SqsError> {
        let line = self.line(queue)?;
        let deadline = Instant::now() + wait;
        loop {
            let changed = line.changed.notified();
            tokio::pin!(changed);
            // Registered before the queue is read, so that a send in between is not missed.
            changed.as_mut().enable();
            let received = self.take(line, max, visibility)?;
            if !received.is_empty() || Instant::now() >= deadline {
                return Ok(received);
            }
            let now = now();
            let next_change = line.lock().next_change(now);
            let until_change = next_change.map(|time| Instant::now() + Duration::from_millis(time - now));
            let wake = until_change.map_or(deadline, |change| change.min(deadline));
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }

    fn take(&self, line: &Line, max: usize, visibility: Option<Duration>) -> Result<Vec<Received>, SqsError> {
        self.expire(line);
        let mut state = line.lock();
        let order = self.order(state.config());
        let taken = state.receive(max, visibility, now(), order);
        let (name, arn) = (state.config().name.clone(), state.config().arn.clone());
        let redrive = state.config().redrive.clone();
        for it in &taken.received {
            let first_received_at = it.message.first_received_at.unwrap_or_default();
            self.append(|| Record::Received {
                queue: name.clone(),
                sequence: it.sequence,
                receives: it.message.receives,
                first_received_at,
            });
        }
        drop(state);
        if taken.dead.is_empty() {
            return Ok(taken.received);
        }
        if let Some(redrive) = redrive {
            let dead_letters = self.line(&redrive.dead_letter_queue)?;
            let mut target = dead_letters.lock();
            for (sequence, message) in taken.dead {
                tracing::warn!(
                    message = message.id,
                    "a message of {name} was received {} times and is now in {}",
                    message.receives,
                    redrive.dead_letter_queue
                );
                let stored = target.accept_dead_letter(message, &arn, now());
                let Stored { message, sequence: place, visible_at } = stored;
                let queue = redrive.dead_letter_queue.clone();
                self.append(|| Record::Sent { queue, sequence: place, visible_at, message });
                self.append(|| Record::Deleted { queue: name.clone(), sequence });
            }
            drop(target);
            dead_letters.changed.notify_waiters();
            // The group of a dead letter is no longer blocked.
            line.changed.notify_waiters();
        }
        Ok(taken.received)
    }

    /// The order in which a queue hands out its messages.
    fn order(&self, queue: &Queue) -> Order {
        let site = Site { operation: &queue.name, ..Site::default() };
        let struck = (!queue.fifo).then(|| self.0.faults.strike(&site, &[Fault::ReorderDelivery])).flatten();
        struck.map_or(Order::Sent, |strike| Order::Random(strike.chance))
    }

    /// Deletes messages by their receipt handles; each succeeds or fails by itself.
    ///
    /// # Errors
    /// If there is no such queue, or the journal failed.
    pub async fn delete<'h>(
        &self,
        queue: &str,
        handles: impl IntoIterator<Item = &'h str>,
    ) -> Result<Vec<Result<(), SqsError>>, SqsError> {
        let line = self.line(queue)?;
        let fates = self.delete_now(queue, line, handles);
        self.flush().await?;
        Ok(fates)
    }

    fn delete_now<'h>(
        &self,
        queue: &str,
        line: &Line,
        handles: impl IntoIterator<Item = &'h str>,
    ) -> Vec<Result<(), SqsError>> {
        let mut state = line.lock();
        let mut fates = Vec::new();
        for handle in handles {
            fates.push(state.delete(handle, now()).map(|found| {
                if let Some((sequence, _)) = found {
                    self.append(|| Record::Deleted { queue: queue.to_owned(), sequence });
                }
            }));
        }
        drop(state);
        line.changed.notify_waiters();
        fates
    }

    /// Changes how long a received message stays invisible, from now on.
    ///
    /// # Errors
    /// If there is no such queue, or this consumer does not have the message in flight.
    pub fn change_visibility(&self, queue: &str, handle: &str, visibility: Duration) -> Result<(), SqsError> {
        let line = self.line(queue)?;
        line.lock().change_visibility(handle, visibility, now())?;
        line.changed.notify_waiters();
        Ok(())
    }

    /// Deletes every message of a queue.
    ///
    /// # Errors
    /// If there is no such queue, or the journal failed.
    pub async fn purge(&self, queue: &str) -> Result<(), SqsError> {
        let line = self.line(queue)?;
        let gone = line.lock().purge();
        self.forget(queue, gone);
        self.flush().await
    }

    /// The queues whose dead letters go to this one.
    fn sources_of(&self, queue: &str) -> Vec<Queue> {
        let configs = self.0.queues.values().map(|line| line.lock().config().clone());
        configs.filter(|it| it.redrive.as_ref().is_some_and(|redrive| redrive.dead_letter_queue == queue)).collect()
    }

    /// The number of messages in each queue.
    #[must_use]
    pub fn counts(&self) -> Vec<QueueCounts> {
        let count = |(name, line): (&String, &Line)| {
            let state = line.lock();
            let dead_letter_queue = state.config().redrive.as_ref().map(|redrive| redrive.dead_letter_queue.clone());
            QueueCounts { name: name.clone(), dead_letter_queue, counts: state.counts(now()) }
        };
        self.0.queues.iter().map(count).collect()
    }

    /// The oldest messages of a queue, whether visible, delayed or in flight. They are not received by that.
    ///
    /// # Errors
    /// If there is no such queue.
    pub fn peek(&self, queue: &str, limit: usize) -> Result<Vec<Message>, SqsError> {
        Ok(self.line(queue)?.lock().oldest(limit))
    }

    /// Waits until all that was accepted so far is on the disk.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub async fn flush(&self) -> Result<(), SqsError> {
        match &self.0.journal {
            Some(journal) => {
                journal.flush().await.map_err(|error| SqsError::new(Code::InternalError, error.to_string()))
            }
            None => Ok(()),
        }
    }

    fn expire(&self, line: &Line) {
        let mut expired_at = line.expired_at.lock().unwrap_or_else(PoisonError::into_inner);
        if expired_at.elapsed() < EXPIRE_EVERY {
            return;
        }
        *expired_at = Instant::now();
        drop(expired_at);
        let mut state = line.lock();
        let gone = state.expire(now());
        let queue = state.config().name.clone();
        drop(state);
        self.forget(&queue, gone);
    }

    fn forget(&self, queue: &str, gone: Vec<u64>) {
        for sequence in gone {
            self.append(|| Record::Deleted { queue: queue.to_owned(), sequence });
        }
    }

    fn append(&self, record: impl FnOnce() -> Record) {
        if let Some(journal) = &self.0.journal {
            journal.append(&record());
        }
    }

    fn line(&self, queue: &str) -> Result<&Line, SqsError> {
        self.0.queues.get(queue).ok_or_else(|| {
            let message = "The specified queue does not exist.";
            SqsError::new(Code::QueueDoesNotExist, message)
        })
    }
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        // A queue is consistent between any two of its calls.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Milliseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
