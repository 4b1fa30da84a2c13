//! SQS events: every record is processed separately, one user's records in order; exactly the failed ones are reported,
//! and return after a short wait.

use std::{collections::HashMap, future::Future, time::Duration};

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use futures_util::{
    TryFutureExt,
    stream::{self, StreamExt},
};
use lambda_runtime::{LambdaEvent, service_fn};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tidings_crypto::random;
use tidings_domain::{Timestamp, Word, shape::Body};
use tidings_queue::{BATCH, QueueArn, Visibility};
use tidings_store::{Opened, StoreError, Vault};
use tidings_wire::{Backoff, backoff::spread};

use crate::{Error, failure::Failure, logs};

/// Serves a queue until the process ends. `handle` gets each event and the end of its invocation.
///
/// # Errors
/// If the Runtime API cannot be reached.
pub async fn serve<E, F, Fut>(handle: F) -> Result<(), Error>
where
    E: DeserializeOwned,
    F: Fn(E, Timestamp) -> Fut,
    Fut: Future<Output = Result<SqsBatchResponse, Error>>,
{
    lambda_runtime::run(service_fn(|LambdaEvent { payload, context }: LambdaEvent<E>| {
        // Boxed: the SDK's futures below are nested deeper than the compiler lays out in one.
        let deadline = Timestamp(i64::try_from(context.deadline).unwrap_or(i64::MAX));
        Box::pin(handle(payload, deadline).map_err(Failure::from))
    }))
    .await
}

/// Limit of groups that are processed in parallel.
const GROUPS_AT_ONCE: usize = 10;

/// One record of a batch.
#[derive(Clone, Debug)]
pub struct Record<T> {
    /// The decoded body.
    pub payload: T,
    /// The trace that it belongs to.
    pub trace: Option<String>,
    /// How often it has been received, this time included.
    pub receives: u32,
}

/// Why a record is not done.
#[derive(Debug, thiserror::Error)]
enum RecordError {
    // The parser's message may quote the body, which may contain personal data: it is never logged.
    #[error("the body is not a payload of this queue: line {line}, column {column}")]
    Malformed { line: usize, column: usize, name: Option<Word> },
    #[error("it is about what this version cannot read")]
    Unreadable(#[source] Error),
    #[error("the record failed")]
    Failed(#[source] Error),
    #[error("too little time was left to begin it")]
    NoTime,
}

/// The data of a record has a form that this version cannot read. Retrying does not help; a newer version may take it
/// from the dead-letter queue.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("{0} cannot be read by this version")]
pub struct Unreadable(pub &'static str);

/// Seconds before an unreadable record returns. It will never become readable, and must be a dead letter soon, because
/// SQS holds back its group while it is in flight.
const UNREADABLE_SECONDS: u32 = 1;

/// Time that a record has before the invocation's end, at most a third of the invocation's time. With less, it is not
/// started: a worker that is killed loses the records that it has completed.
const ROOM_MILLIS: i64 = 10_000;

/// The moment after which no record is begun.
fn last_call(now: Timestamp, deadline: Timestamp) -> Timestamp {
    let room = ((deadline.0 - now.0) / 3).clamp(0, ROOM_MILLIS);
    Timestamp(deadline.0 - room)
}

/// Processes the batches of a function.
#[derive(Clone, Debug)]
pub struct Batches {
    visibility: Visibility,
    vault: Vault,
}

impl Batches {
    /// Wraps the queues whose messages `visibility` may change, with bodies that the vault opens.
    #[must_use]
    pub fn new(visibility: Visibility, vault: Vault) -> Self {
        Self { visibility, vault }
    }

    /// Passes every record to `handle`: groups of a FIFO queue in parallel, each group in order. After a failure, the
    /// rest of that group is reported as failed too, unprocessed, so that its order holds. A body that cannot be
    /// decoded, and one that refers to [`Unreadable`] data, has no place in any order: it fails alone, and is a dead
    /// letter soon. No record is started shortly before `deadline`, the end of the invocation.
    ///
    /// Failed records return after a pause that doubles with each receive, instead of after the queue's visibility
    /// timeout. The failed records of a group return together: SQS hands out none of a group while another one is in
    /// flight.
    ///
    /// # Errors
    /// If a record has no message id: without it, the failures cannot be reported correctly, and the batch is received
    /// again.
    pub async fn each<T, F, Fut>(
        &self,
        event: SqsEvent,
        deadline: Timestamp,
        handle: F,
    ) -> Result<SqsBatchResponse, Error>
    where
        T: Body,
        F: Fn(Record<T>) -> Fut,
        Fut: Future<Output = Result<(), Error>>,
    {
        let failed = work(event, deadline, &self.vault, handle).await?;
        let mut waits: HashMap<QueueArn, Vec<(String, u32)>> = HashMap::new();
        let mut response = SqsBatchResponse::default();
        for Failed { id, queue, receipt, wait } in failed {
            response.add_failure(id);
            if let (Some(queue), Some(receipt), Some(wait)) = (queue, receipt, wait) {
                waits.entry(queue).or_default().push((receipt, wait));
            }
        }
        for (queue, messages) in waits {
            for messages in messages.chunks(BATCH) {
                let changed = self.visibility.change(&queue, messages).await;
                changed.unwrap_or_else(|error| {
                    tracing::warn!(
                        error = logs::chain(&error),
                        "failed records return after the queue's visibility timeout"
                    );
                });
            }
        }
        Ok(response)
    }
}

/// The pause before a failed record returns. In sum, a record is received for about three quarters of an hour before
/// its queue gives it up.
const PAUSES: Backoff = Backoff { first: Duration::from_secs(2), longest: Duration::from_secs(300) };

/// Seconds before a record with so many receives returns: at least half of a window that doubles.
fn wait(receives: u32, random: u64) -> u32 {
    let half = PAUSES.window(receives.saturating_sub(1)) / 2;
    let pause = half + spread(half, random);
    u32::try_from(pause.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX).max(1)
}

/// A record that failed.
#[derive(Debug, PartialEq, Eq)]
struct Failed {
    id: String,
    queue: Option<QueueArn>,
    receipt: Option<String>,
    /// The seconds after which it returns; if there are none, the queue's visibility timeout applies.
    wait: Option<u32>,
}

impl Failed {
    fn new(id: String, record: SqsMessage, wait: Option<u32>) -> Self {
        let queue = record.event_source_arn.as_deref().and_then(QueueArn::parse);
        Self { id, queue, receipt: record.receipt_handle, wait }
    }
}

/// Passes every record to `handle`; returns the failed ones.
async fn work<T, F, Fut>(event: SqsEvent, deadline: Timestamp, vault: &Vault, handle: F) -> Result<Vec<Failed>, Error>
where
    T: Body,
    F: Fn(Record<T>) -> Fut,
    Fut: Future<Output = Result<(), Error>>,
{
    let mut order: Vec<String> = Vec::new();
    let mut groups: HashMap<String, Vec<(String, SqsMessage)>> = HashMap::new();
    for record in event.records {
        let id = record.message_id.clone().ok_or("a record has no message id")?;
        // A standard queue has no groups: every record is one.
        let group = record.attributes.get("MessageGroupId").cloned().unwrap_or_else(|| format!("\0{id}"));
        let members = groups.entry(group.clone()).or_default();
        if members.is_empty() {
            order.push(group);
        }
        members.push((id, record));
    }
    let last_call = last_call(Timestamp::now(), deadline);
    let work = order.into_iter().filter_map(|group| groups.remove(&group));
    let failed: Vec<Vec<Failed>> = stream::iter(work.map(|members| in_order(members, last_call, vault, &handle)))
        .buffered(GROUPS_AT_ONCE)
        .collect()
        .await;
    Ok(failed.into_iter().flatten().collect())
}

/// Processes one group; returns the failed records.
async fn in_order<T, F, Fut>(
    members: Vec<(String, SqsMessage)>,
    last_call: Timestamp,
    vault: &Vault,
    handle: &F,
) -> Vec<Failed>
where
    T: Body,
    F: Fn(Record<T>) -> Fut,
    Fut: Future<Output = Result<(), Error>>,
{
    let mut failed = Vec::new();
    let mut members = members.into_iter();
    while let Some((id, record)) = members.next() {
        let Err(error) = one(&record, last_call, vault, handle).await else { continue };
        match error {
            RecordError::Malformed { name, .. } => {
                let (name, error) = (name.map(tracing::field::display), logs::chain(&error));
                tracing::error!(record_id = id, unreadable = 1, kind = T::KIND, name, error, "record failed");
                failed.push(Failed::new(id, record, Some(UNREADABLE_SECONDS)));
            }
            RecordError::Unreadable(_) => {
                tracing::error!(
                    record_id = id,
                    unreadable = 1,
                    kind = "item",
                    error = logs::chain(&error),
                    "record failed"
                );
                failed.push(Failed::new(id, record, Some(UNREADABLE_SECONDS)));
            }
            RecordError::Failed(_) | RecordError::NoTime => {
                tracing::error!(record_id = id, error = logs::chain(&error), "record failed");
                let random = random::bytes().map_or(u64::MAX / 2, u64::from_be_bytes);
                let wait = Some(wait(receives(&record), random));
                failed.push(Failed::new(id, record, wait));
                failed.extend(members.by_ref().map(|(id, record)| Failed::new(id, record, wait)));
            }
        }
    }
    failed
}

/// How often a record has been received, this time included.
fn receives(record: &SqsMessage) -> u32 {
    record.attributes.get("ApproximateReceiveCount").and_then(|count| count.parse().ok()).unwrap_or(1)
}

async fn one<T, F, Fut>(record: &SqsMessage, last_call: Timestamp, vault: &Vault, handle: &F) -> Result<(), RecordError>
where
    T: Body,
    F: Fn(Record<T>) -> Fut,
    Fut: Future<Output = Result<(), Error>>,
{
    let payload = payload(record.body.as_deref().unwrap_or_default(), vault).await?;
    if Timestamp::now() > last_call {
        return Err(RecordError::NoTime);
    }
    let trace = record.attributes.get("AWSTraceHeader").cloned();
    handle(Record { payload, trace, receives: receives(record) }).await.map_err(failed)
}

fn failed(error: Error) -> RecordError {
    let is_item = error.downcast_ref::<StoreError>().is_some_and(StoreError::is_unreadable);
    if is_item || error.is::<Unreadable>() { RecordError::Unreadable(error) } else { RecordError::Failed(error) }
}

/// Opens and decodes a body. Where bodies are sealed, one in clear was not written by the service: it is not trusted.
async fn payload<T: Body>(body: &str, vault: &Vault) -> Result<T, RecordError> {
    let opened = vault.open_body(T::KIND, body).await.map_err(|error| failed(error.into()))?;
    let (text, is_clear) = match &opened {
        Opened::Sealed(text) => (text.as_str(), false),
        Opened::Clear => (body, true),
    };
    let payload: T = serde_json::from_str(text).map_err(|error| {
        let name = serde_json::from_str::<Value>(text).ok().and_then(|body| T::name(&body));
        RecordError::Malformed { line: error.line(), column: error.column(), name }
    })?;
    if is_clear && vault.is_sealed() && payload.app().is_some() {
        return Err(RecordError::Unreadable(Unreadable("a body in clear, in a deployment that seals,").into()));
    }
    Ok(payload)
}

#[cfg(test)]
mod tests;
