//! SQS events: every record by itself, one user's records in order, and exactly the failed ones reported.

use std::{collections::HashMap, future::Future};

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use futures_util::stream::{self, StreamExt};
use lambda_runtime::{LambdaEvent, service_fn};
use serde::de::DeserializeOwned;
use tidings_domain::Timestamp;

use crate::{Error, logs};

/// Serves a queue until the process ends: `handle` gets each event, and when its invocation ends.
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
        // Boxed: below it lie the SDK's futures, deeper than the compiler lays out in one.
        Box::pin(handle(payload, Timestamp(i64::try_from(context.deadline).unwrap_or(i64::MAX))))
    }))
    .await
}

/// Groups that are worked on at the same time.
const GROUPS_AT_ONCE: usize = 10;

/// One record of a batch.
#[derive(Clone, Debug)]
pub struct Record<T> {
    /// What it says.
    pub payload: T,
    /// The trace that it belongs to.
    pub trace: Option<String>,
    /// How often it has been received, this time included.
    pub receives: u32,
}

/// Why a record is not done.
#[derive(Debug, thiserror::Error)]
enum RecordError {
    // The parser's own words may quote the body, and a body is nobody's business in a log.
    #[error("the body is not a payload of this queue: line {line}, column {column}")]
    Malformed { line: usize, column: usize },
    #[error("the record failed")]
    Failed(#[source] Error),
    #[error("too little time was left to begin it")]
    NoTime,
}

/// Time that a record is given before the invocation's end, at most a third of what the invocation has; with less, it is not
/// begun: a worker that is killed takes the records that it has done along.
const ROOM_MILLIS: i64 = 10_000;

/// The moment after which no record is begun.
fn last_call(now: Timestamp, deadline: Timestamp) -> Timestamp {
    let room = ((deadline.0 - now.0) / 3).clamp(0, ROOM_MILLIS);
    Timestamp(deadline.0 - room)
}

/// Hands every record to `handle`: groups of a FIFO queue side by side, each group in order; after a failure the rest of
/// that group is reported as failed too, unseen, so that its order holds. A body that cannot be decoded has no place in
/// any order: it fails alone and comes to the dead-letter queue by itself. Nothing is begun shortly before `deadline`, the
/// end of the invocation.
///
/// # Errors
/// Where a record has no message id: without one, nothing true can be reported, and the batch comes again.
pub async fn each<T, F, Fut>(event: SqsEvent, deadline: Timestamp, handle: F) -> Result<SqsBatchResponse, Error>
where
    T: DeserializeOwned,
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
    let failed: Vec<Vec<String>> = stream::iter(work.map(|members| in_order(members, last_call, &handle)))
        .buffered(GROUPS_AT_ONCE)
        .collect()
        .await;
    let mut response = SqsBatchResponse::default();
    for id in failed.into_iter().flatten() {
        response.add_failure(id);
    }
    Ok(response)
}

/// Works on one group; the ids that failed.
async fn in_order<T, F, Fut>(members: Vec<(String, SqsMessage)>, last_call: Timestamp, handle: &F) -> Vec<String>
where
    T: DeserializeOwned,
    F: Fn(Record<T>) -> Fut,
    Fut: Future<Output = Result<(), Error>>,
{
    let mut failed = Vec::new();
    let mut members = members.into_iter();
    while let Some((id, record)) = members.next() {
        let Err(error) = one(&record, last_call, handle).await else { continue };
        tracing::error!(record_id = id, error = logs::chain(&error), "record failed");
        failed.push(id);
        match error {
            RecordError::Malformed { .. } => {}
            RecordError::Failed(_) | RecordError::NoTime => failed.extend(members.by_ref().map(|(id, _)| id)),
        }
    }
    failed
}

async fn one<T, F, Fut>(record: &SqsMessage, last_call: Timestamp, handle: &F) -> Result<(), RecordError>
where
    T: DeserializeOwned,
    F: Fn(Record<T>) -> Fut,
    Fut: Future<Output = Result<(), Error>>,
{
    let payload = serde_json::from_str(record.body.as_deref().unwrap_or_default())
        .map_err(|error| RecordError::Malformed { line: error.line(), column: error.column() })?;
    if Timestamp::now() > last_call {
        return Err(RecordError::NoTime);
    }
    let trace = record.attributes.get("AWSTraceHeader").cloned();
    let receives = record.attributes.get("ApproximateReceiveCount").and_then(|count| count.parse().ok()).unwrap_or(1);
    handle(Record { payload, trace, receives }).await.map_err(RecordError::Failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    fn event(records: &[(&str, &str, Option<&str>)]) -> SqsEvent {
        let records: Vec<_> = records
            .iter()
            .map(|(id, body, group)| {
                let attributes = group.map(|group| serde_json::json!({"MessageGroupId": group})).unwrap_or_default();
                serde_json::json!({"messageId": id, "body": body, "attributes": attributes})
            })
            .collect();
        serde_json::from_value(serde_json::json!({"Records": records})).unwrap()
    }

    fn later() -> Timestamp {
        Timestamp::now().plus_seconds(60)
    }

    async fn run(records: &[(&str, &str, Option<&str>)]) -> (Vec<u32>, Vec<String>) {
        let seen = Mutex::new(Vec::new());
        let response = each(event(records), later(), |record: Record<u32>| {
            seen.lock().unwrap().push(record.payload);
            async move { if record.payload == 13 { Err("unlucky".into()) } else { Ok(()) } }
        })
        .await
        .unwrap();
        let failed = response.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect();
        (seen.into_inner().unwrap(), failed)
    }

    #[tokio::test]
    async fn poison_stays_alone() {
        let (seen, failed) = run(&[("a", "1", None), ("b", "{", None), ("c", "13", None), ("d", "2", None)]).await;
        assert_eq!(seen, [1, 13, 2]);
        assert_eq!(failed, ["b", "c"]);
    }

    #[tokio::test]
    async fn a_failure_holds_its_own_group_back_and_no_other() {
        let (mut seen, failed) =
            run(&[("a", "1", Some("x")), ("b", "13", Some("x")), ("c", "2", Some("y")), ("d", "3", Some("x"))]).await;
        seen.sort_unstable();
        assert_eq!(seen, [1, 2, 13]);
        assert_eq!(failed, ["b", "d"]);
    }

    #[tokio::test]
    async fn a_record_without_an_id_fails_the_batch() {
        let event = serde_json::from_value(serde_json::json!({"Records": [{"body": "1"}]})).unwrap();
        let response = each(event, later(), |_: Record<u32>| async { Ok(()) }).await;
        assert!(response.is_err());
    }

    #[tokio::test]
    async fn a_malformed_record_holds_nobody_back() {
        let (seen, failed) = run(&[("a", "{", Some("x")), ("b", "1", Some("x")), ("c", "2", Some("x"))]).await;
        assert_eq!((seen, failed), (vec![1, 2], vec!["a".to_owned()]));
    }

    #[tokio::test]
    async fn nothing_is_begun_shortly_before_the_end() {
        let records = event(&[("a", "1", None), ("b", "2", Some("x"))]);
        let response = each(records, Timestamp(Timestamp::now().0 - 1), |_: Record<u32>| async { Ok(()) }).await;
        assert_eq!(response.unwrap().batch_item_failures.len(), 2);
        let after = |millis| last_call(Timestamp(0), Timestamp(millis)).0;
        assert_eq!((after(30_000), after(6_000), after(-1)), (20_000, 4_000, -1));
    }
}
