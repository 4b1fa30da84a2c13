//! Event source mappings, which Lambda runs between a queue and a function.
//!
//! Each mapping long-polls its queue and invokes its function with batches. Messages that succeeded are deleted;
//! messages that failed become visible again after their visibility timeout, which is the only backoff. With
//! `ReportBatchItemFailures` a function names the messages that failed; an answer that is malformed, or that names a
//! message outside the batch, fails the whole batch. The order of a FIFO group needs no care here: the queue hands out
//! no message of a group that is in flight.

mod control;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use self::control::control;
use crate::faults::{Fault, Faults, Site};
use crate::ledger::{Ledger, TraceId};
use crate::services::sqs::{self, Received, Sqs, md5_of_text};
use crate::template::{EventSource, Template};

/// How long one receive waits for a message: the maximum of SQS.
const POLL: Duration = Duration::from_secs(20);
/// The most messages of one receive or delete.
const BATCH: usize = 10;
/// The largest payload of an invocation: Lambda's limit, less some room for the envelope.
const PAYLOAD_BYTES: usize = 6 * 1024 * 1024 - 64 * 1024;
/// How many batches run at once if the template sets no limit: the number with which Lambda starts.
const CONCURRENCY: usize = 5;
/// How long a mapping pauses after its queue could not be read.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// A batch for a function.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// The function, by logical id.
    pub function: String,
    /// The event, as JSON.
    pub payload: Bytes,
    /// The traces of its messages; a trace of several messages occurs as often.
    pub traces: Vec<TraceId>,
}

/// Settings in which the mappings differ from those of AWS.
#[derive(Debug, Clone, Copy, Default)]
pub struct EventSourceOptions {
    /// How long until a failed message is redelivered, in place of its queue's visibility timeout.
    pub retry_after: Option<Duration>,
}

/// The state of a mapping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MappingState {
    /// The function, by logical id.
    pub function: String,
    /// The queue, by name.
    pub queue: String,
    /// Whether it polls.
    pub enabled: bool,
}

/// The running mappings. A clone controls the same ones.
#[derive(Debug, Clone)]
pub struct EventSources(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    mappings: Vec<(EventSource, watch::Sender<bool>)>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl EventSources {
    /// Starts the mappings of a template; `invoke` runs a function and returns its answer.
    pub fn start<I, F, E>(
        template: &Template,
        sqs: &Sqs,
        ledger: &Ledger,
        options: EventSourceOptions,
        faults: &Faults,
        invoke: I,
    ) -> Self
    where
        I: Fn(Invocation) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Bytes, E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let mut mappings = Vec::new();
        for source in &template.event_sources {
            let (enabled, enabled_seen) = watch::channel(source.enabled);
            let queue = template.queue(&source.queue);
            let mapping = Mapping {
                source: source.clone(),
                queue_arn: queue.map(|queue| queue.arn.clone()).unwrap_or_default(),
                fifo: queue.is_some_and(|queue| queue.fifo),
                sqs: sqs.clone(),
                ledger: ledger.clone(),
                options,
                faults: faults.clone(),
                invoke: invoke.clone(),
                stop: stop.clone(),
            };
            tasks.spawn(mapping.run(enabled_seen, tasks.clone()));
            mappings.push((source.clone(), enabled));
        }
        Self(Arc::new(Inner { mappings, stop, tasks }))
    }

    /// Enables or disables the mappings of a function, as `UpdateEventSourceMapping` does. Returns whether it has any.
    pub fn set_enabled(&self, function: &str, enabled: bool) -> bool {
        let mut known = false;
        for (_, switch) in self.0.mappings.iter().filter(|(source, _)| source.function == function) {
            switch.send_replace(enabled);
            known = true;
        }
        known
    }

    /// All mappings.
    #[must_use]
    pub fn states(&self) -> Vec<MappingState> {
        let state = |(source, switch): &(EventSource, watch::Sender<bool>)| MappingState {
            function: source.function.clone(),
            queue: source.queue.clone(),
            enabled: *switch.borrow(),
        };
        self.0.mappings.iter().map(state).collect()
    }

    /// Stops polling, and waits until the running batches are done.
    pub async fn shutdown(&self) {
        self.0.stop.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
}

#[derive(Clone)]
struct Mapping<I> {
    source: EventSource,
    queue_arn: String,
    fifo: bool,
    sqs: Sqs,
    ledger: Ledger,
    options: EventSourceOptions,
    faults: Faults,
    invoke: I,
    stop: CancellationToken,
}

impl<I, F, E> Mapping<I>
where
    I: Fn(Invocation) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Bytes, E>> + Send + 'static,
    E: Display + Send + 'static,
{
    async fn run(self, mut enabled: watch::Receiver<bool>, tasks: TaskTracker) {
        let slots = Arc::new(Semaphore::new(self.source.max_concurrency.unwrap_or(CONCURRENCY).max(1)));
        loop {
            let slot = tokio::select! {
                () = self.stop.cancelled() => return,
                slot = slots.clone().acquire_owned() => slot,
            };
            let Ok(slot) = slot else { return };
            tokio::select! {
                () = self.stop.cancelled() => return,
                switched = enabled.wait_for(|enabled| *enabled) => if switched.is_err() { return },
            }
            let batch = self.collect(&mut enabled).await;
            if !batch.is_empty() {
                let mapping = self.clone();
                tasks.spawn(async move {
                    let _slot = slot;
                    mapping.work_off(batch).await;
                });
            }
        }
    }

    /// Receives a batch: waits for a first message, then for more as long as the window is open.
    async fn collect(&self, enabled: &mut watch::Receiver<bool>) -> Vec<Received> {
        let mut batch = self.receive(self.source.batch_size, POLL, enabled).await;
        if batch.is_empty() {
            return batch;
        }
        // FIFO queues have no batching window.
        let window = if self.fifo { Duration::ZERO } else { self.source.window };
        let deadline = Instant::now() + window;
        while batch.len() < self.source.batch_size {
            let left = deadline.saturating_duration_since(Instant::now());
            let more = self.receive(self.source.batch_size - batch.len(), left, enabled).await;
            let is_over = more.is_empty();
            batch.extend(more);
            if is_over {
                break;
            }
        }
        batch
    }

    async fn receive(&self, max: usize, wait: Duration, enabled: &mut watch::Receiver<bool>) -> Vec<Received> {
        let received = tokio::select! {
            () = self.stop.cancelled() => return Vec::new(),
            _ = enabled.wait_for(|enabled| !*enabled) => return Vec::new(),
            received = self.sqs.receive(&self.source.queue, max.min(BATCH), wait, None) => received,
        };
        match received {
            Ok(received) => {
                if !received.is_empty() {
                    self.ledger.record(&traces_of(&received), sqs::SERVICE, "ReceiveMessage");
                }
                received
            }
            Err(error) => {
                tracing::error!(queue = self.source.queue, "the queue cannot be read: {error}");
                tokio::select! {
                    () = self.stop.cancelled() => {}
                    () = tokio::time::sleep(AFTER_ERROR) => {}
                }
                Vec::new()
            }
        }
    }

    /// Invokes the function with a batch, in several invocations if it is too large for one.
    async fn work_off(&self, batch: Vec<Received>) {
        let mut piece = Vec::new();
        let mut size = 0;
        for received in batch {
            let record = self.record(&received);
            let record_size = record.to_string().len();
            if size + record_size > PAYLOAD_BYTES && !piece.is_empty() {
                self.work_off_piece(std::mem::take(&mut piece)).await;
                size = 0;
            }
            size += record_size;
            piece.push((received, record));
        }
        self.work_off_piece(piece).await;
    }

    async fn work_off_piece(&self, piece: Vec<(Received, Value)>) {
        let (batch, records): (Vec<Received>, Vec<Value>) = piece.into_iter().unzip();
        let mut traces = traces_of(&batch);
        if traces.is_empty() {
            traces.push(self.ledger.begin(&self.source.queue));
        }
        // The messages hold their traces, but some messages have none.
        let _hold = self.ledger.hold(&traces);
        let function = &self.source.function;
        let payload = Bytes::from(json!({"Records": records}).to_string());
        let answer = (self.invoke)(Invocation { function: function.clone(), payload, traces }).await;
        let failed = match answer {
            Ok(answer) if self.source.report_failures => failures(&answer, &batch),
            Ok(_) => Ok(HashSet::new()),
            Err(error) => Err(error.to_string()),
        };
        let (failed, done): (Vec<&Received>, Vec<&Received>) = match failed {
            Ok(failed) => batch.iter().partition(|it| failed.contains(it.message.id.as_str())),
            Err(reason) => {
                let count = batch.len();
                tracing::warn!(function, queue = self.source.queue, "a batch of {count} failed: {reason}");
                (batch.iter().collect(), Vec::new())
            }
        };
        self.settle(&failed, &done).await;
    }

    /// Deletes the messages that succeeded, and leaves those that failed to their visibility timeout.
    async fn settle(&self, failed: &[&Received], done: &[&Received]) {
        let queue = &self.source.queue;
        for it in failed {
            let (message, receives) = (&it.message.id, it.message.receives);
            tracing::warn!(
                function = self.source.function,
                queue,
                message,
                receives,
                "a message failed and will be redelivered"
            );
            self.hasten(it);
        }
        let (repeated, done): (Vec<&Received>, Vec<&Received>) = done.iter().partition(|it| self.repeats(it));
        for it in repeated {
            self.hasten(it);
        }
        for part in done.chunks(BATCH) {
            self.ledger.record(&traces_of(part.iter().copied()), sqs::SERVICE, "DeleteMessageBatch");
            match self.sqs.delete(queue, part.iter().map(|it| it.receipt_handle.as_str())).await {
                Ok(fates) => {
                    for (it, error) in part.iter().zip(fates).filter_map(|(it, fate)| Some((it, fate.err()?))) {
                        tracing::warn!(queue, message = it.message.id, "a message was not deleted: {error}");
                    }
                }
                Err(error) => tracing::error!(queue, "messages were not deleted: {error}"),
            }
        }
    }

    /// Shortens the visibility timeout of a message to that of the options.
    fn hasten(&self, it: &Received) {
        let queue = &self.source.queue;
        if let Some(retry_after) = self.options.retry_after
            && let Err(error) = self.sqs.change_visibility(queue, &it.receipt_handle, retry_after)
        {
            tracing::debug!(queue, message = it.message.id, "its visibility timeout has passed already: {error}");
        }
    }

    /// Whether a fault loses the delete of a processed message.
    fn repeats(&self, it: &Received) -> bool {
        let text = vec![it.message.body.as_str().into()];
        let site = Site { function: Some(&self.source.function), service: None, operation: &self.source.queue, text };
        self.faults.strikes(Fault::RepeatDelivery, &site)
    }

    /// A message as Lambda passes it to a function.
    fn record(&self, received: &Received) -> Value {
        let message = &received.message;
        let attributes = message.attributes.iter().map(|(name, attribute)| {
            let mut record = Map::from_iter([
                ("stringListValues".to_owned(), json!([])),
                ("binaryListValues".to_owned(), json!([])),
                ("dataType".to_owned(), json!(attribute.data_type)),
            ]);
            record.extend(attribute.string_value.as_ref().map(|value| ("stringValue".to_owned(), json!(value))));
            record.extend(attribute.binary_value.as_ref().map(|value| ("binaryValue".to_owned(), json!(value))));
            (name.clone(), Value::Object(record))
        });
        json!({
            "messageId": message.id,
            "receiptHandle": received.receipt_handle,
            "body": message.body,
            "attributes": received.system_attributes(),
            "messageAttributes": attributes.collect::<Map<_, _>>(),
            "md5OfBody": md5_of_text(&message.body),
            "eventSource": "aws:sqs",
            "eventSourceARN": self.queue_arn,
            "awsRegion": self.queue_arn.split(':').nth(3).unwrap_or_default(),
        })
    }
}

/// The traces of messages; a trace of several messages occurs as often.
fn traces_of<'m>(messages: impl IntoIterator<Item = &'m Received>) -> Vec<TraceId> {
    messages.into_iter().flat_map(|received| received.message.traces.iter().cloned()).collect()
}

/// The messages of a batch that failed according to the function. An error is the reason for which all of them failed.
fn failures<'m>(answer: &[u8], batch: &'m [Received]) -> Result<HashSet<&'m str>, String> {
    // A function that answers nothing, `null` or `{}` reports no failure.
    let answer: Value = match answer.trim_ascii() {
        [] => Value::Null,
        text => serde_json::from_slice(text).map_err(|error| format!("its answer is not JSON: {error}"))?,
    };
    let named = match answer.get("batchItemFailures") {
        None | Some(Value::Null) => return Ok(HashSet::new()),
        Some(Value::Array(named)) => named,
        Some(_) => return Err("batchItemFailures is not a list".to_owned()),
    };
    let name = |failure: &Value| {
        let identifier = failure.get("itemIdentifier").and_then(Value::as_str).unwrap_or_default().to_owned();
        let known = batch.iter().map(|received| received.message.id.as_str()).find(|id| *id == identifier);
        known.ok_or_else(|| format!("itemIdentifier {identifier:?} is not a message of the batch"))
    };
    named.iter().map(name).collect()
}
