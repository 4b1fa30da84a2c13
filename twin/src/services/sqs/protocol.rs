//! SQS on the wire: the AWS JSON 1.0 protocol that SDKs speak.

use std::collections::HashSet;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::error::{Code, SqsError, bounded};
use super::message::{Attribute, Attributes, Outgoing, Received, md5_of_attributes, md5_of_text};
use super::{Counts, Sqs};
use crate::ledger::TraceId;

/// The largest total size of the messages of one batch.
const BATCH_BYTES: usize = 1_048_576;

/// The most queues of one list.
const MOST_LISTED: u64 = 1_000;

/// The attributes of queues that no queue of the twin has.
const UNSET: [&str; 6] = [
    "FifoThroughputLimit",
    "KmsDataKeyReusePeriodSeconds",
    "KmsMasterKeyId",
    "Policy",
    "RedriveAllowPolicy",
    "SqsManagedSseEnabled",
];

/// The operations on one queue.
const ON_A_QUEUE: [&str; 10] = [
    "SendMessage",
    "SendMessageBatch",
    "ReceiveMessage",
    "DeleteMessage",
    "DeleteMessageBatch",
    "ChangeMessageVisibility",
    "ChangeMessageVisibilityBatch",
    "GetQueueAttributes",
    "PurgeQueue",
    "ListDeadLetterSourceQueues",
];

/// An answer, and the traces that bear the request's cost.
#[derive(Debug)]
pub struct Answer {
    /// What the client gets.
    pub result: Result<Value, SqsError>,
    /// The traces of the caller; of the messages themselves if the request was about messages.
    pub traces: Vec<TraceId>,
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let (status, body, error) = match self.result {
            Ok(body) => (StatusCode::OK, body, None),
            Err(SqsError { code, message }) => {
                let sender = code.is_senders_fault();
                let status = if sender { StatusCode::BAD_REQUEST } else { StatusCode::INTERNAL_SERVER_ERROR };
                let fault = if sender { "Sender" } else { "Receiver" };
                let body = json!({"__type": format!("com.amazonaws.sqs#{}", code.name()), "message": message});
                (status, body, Some(format!("{};{fault}", code.query_name())))
            }
        };
        let mut response = (status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.0"));
        if let Some(error) = error.and_then(|error| HeaderValue::from_str(&error).ok()) {
            headers.insert("x-amzn-query-error", error);
        }
        response
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ToQueue {
    queue_url: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Send {
    message_body: String,
    delay_seconds: Option<u64>,
    #[serde(default)]
    message_attributes: Attributes,
    #[serde(default)]
    message_system_attributes: Attributes,
    message_group_id: Option<String>,
    message_deduplication_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Receive {
    max_number_of_messages: Option<u64>,
    visibility_timeout: Option<u64>,
    wait_time_seconds: Option<u64>,
    #[serde(default)]
    attribute_names: Vec<String>,
    #[serde(default)]
    message_system_attribute_names: Vec<String>,
    #[serde(default)]
    message_attribute_names: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Handle {
    #[serde(default)]
    id: String,
    receipt_handle: String,
    visibility_timeout: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Batch<T> {
    entries: Vec<T>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AttributeNames {
    #[serde(default)]
    attribute_names: Vec<String>,
}

impl Sqs {
    /// Answers one request. `caller` holds the traces of the invocation that sent it.
    pub async fn answer(&self, operation: &str, body: &[u8], caller: Vec<TraceId>) -> Answer {
        let mut traces = caller;
        let result = self.dispatch(operation, body, &mut traces).await;
        Answer { result, traces }
    }

    async fn dispatch(&self, operation: &str, body: &[u8], traces: &mut Vec<TraceId>) -> Result<Value, SqsError> {
        match operation {
            "ListQueues" => self.list_queues(body),
            "GetQueueUrl" => {
                let name: Map<String, Value> = parse(body)?;
                self.queue_url(name.get("QueueName").and_then(Value::as_str).unwrap_or_default())
            }
            "StartMessageMoveTask" => self.start_move(parse(body)?),
            "ListMessageMoveTasks" => self.list_moves(&parse(body)?),
            "CancelMessageMoveTask" => self.cancel_move(&parse(body)?),
            operation if !ON_A_QUEUE.contains(&operation) => {
                let message = format!("The local twin has no {operation}: its queues are those of the template.");
                Err(SqsError::new(Code::UnsupportedOperation, message))
            }
            _ => {
                let ToQueue { queue_url } = parse(body)?;
                let queue = queue_url.rsplit('/').next().unwrap_or_default();
                // An unknown queue is reported first, whatever else is wrong.
                self.line(queue)?;
                self.ask_queue(queue, operation, body, traces).await
            }
        }
    }

    /// An operation on one queue, which exists.
    async fn ask_queue(
        &self,
        queue: &str,
        operation: &str,
        body: &[u8],
        traces: &mut Vec<TraceId>,
    ) -> Result<Value, SqsError> {
        match operation {
            "SendMessage" => self.send_message(queue, body, traces).await,
            "SendMessageBatch" => self.send_batch(queue, parse(body)?, traces).await,
            "ReceiveMessage" => self.receive_messages(queue, &parse(body)?, traces).await,
            "DeleteMessage" => self.delete_message(queue, &parse(body)?).await,
            "DeleteMessageBatch" => self.delete_batch(queue, &handles(body)?).await,
            "ChangeMessageVisibility" => self.change(queue, &parse(body)?).map(|()| json!({})),
            "ChangeMessageVisibilityBatch" => Ok(self.change_batch(queue, &handles(body)?)),
            "GetQueueAttributes" => {
                let AttributeNames { attribute_names } = parse(body)?;
                Ok(json!({"Attributes": self.attributes(queue, &attribute_names)?}))
            }
            "PurgeQueue" => self.purge(queue).await.map(|()| json!({})),
            // The last of `ON_A_QUEUE`: `ListDeadLetterSourceQueues`.
            _ => {
                let urls: Vec<String> = self.sources_of(queue).into_iter().map(|source| source.url).collect();
                Ok(json!({"queueUrls": urls}))
            }
        }
    }

    async fn send_message(&self, queue: &str, body: &[u8], traces: &mut Vec<TraceId>) -> Result<Value, SqsError> {
        let outgoing = outgoing(parse(body)?, traces)?;
        traces.clone_from(&outgoing.1.traces);
        let answer = self.send_one(queue, outgoing)?;
        self.flush().await?;
        Ok(answer)
    }

    async fn receive_messages(
        &self,
        queue: &str,
        request: &Receive,
        traces: &mut Vec<TraceId>,
    ) -> Result<Value, SqsError> {
        let max = bounded("MaxNumberOfMessages", request.max_number_of_messages.unwrap_or(1), 1, 10)?;
        let wait = match request.wait_time_seconds {
            Some(seconds) => Duration::from_secs(bounded("WaitTimeSeconds", seconds, 0, 20)?),
            None => self.line(queue)?.lock().config().receive_wait,
        };
        let visibility = request.visibility_timeout.map(visibility).transpose()?;
        let received = self.receive(queue, usize::try_from(max).unwrap_or(1), wait, visibility).await?;
        let owners: Vec<TraceId> = received.iter().flat_map(|it| it.message.traces.clone()).collect();
        if !owners.is_empty() {
            *traces = owners;
        }
        let messages: Vec<Value> = received.iter().map(|received| in_answer(received, request)).collect();
        Ok(if messages.is_empty() { json!({}) } else { json!({"Messages": messages}) })
    }

    async fn delete_message(&self, queue: &str, handle: &Handle) -> Result<Value, SqsError> {
        self.delete(queue, [handle.receipt_handle.as_str()]).await?.into_iter().collect::<Result<(), _>>()?;
        Ok(json!({}))
    }

    async fn delete_batch(&self, queue: &str, entries: &[Handle]) -> Result<Value, SqsError> {
        let fates = self.delete(queue, entries.iter().map(|entry| entry.receipt_handle.as_str())).await?;
        let fates = entries.iter().zip(fates).map(|(entry, fate)| (entry.id.as_str(), fate.map(|()| Map::new())));
        Ok(batch_answer(fates))
    }

    fn change_batch(&self, queue: &str, entries: &[Handle]) -> Value {
        batch_answer(entries.iter().map(|it| (it.id.as_str(), self.change(queue, it).map(|()| Map::new()))))
    }

    fn list_queues(&self, body: &[u8]) -> Result<Value, SqsError> {
        let request: Map<String, Value> = parse(body)?;
        if let Some(most) = request.get("MaxResults").and_then(Value::as_u64) {
            bounded("MaxResults", most, 1, MOST_LISTED)?;
        }
        let prefix = request.get("QueueNamePrefix").and_then(Value::as_str).unwrap_or_default();
        let named = self.0.queues.iter().filter(|(name, _)| name.starts_with(prefix));
        Ok(json!({"QueueUrls": named.map(|(_, line)| line.lock().config().url.clone()).collect::<Vec<_>>()}))
    }

    fn queue_url(&self, name: &str) -> Result<Value, SqsError> {
        Ok(json!({"QueueUrl": self.line(name)?.lock().config().url}))
    }

    fn send_one(&self, queue: &str, (digests, outgoing): (Digests, Outgoing)) -> Result<Value, SqsError> {
        let sent = self.enqueue(queue, outgoing)?;
        let mut answer = digests.0;
        answer.insert("MessageId".to_owned(), sent.message_id.into());
        answer.extend(sent.sequence_number.map(|number| ("SequenceNumber".to_owned(), number.into())));
        Ok(Value::Object(answer))
    }

    async fn send_batch(&self, queue: &str, batch: Batch<Value>, traces: &mut Vec<TraceId>) -> Result<Value, SqsError> {
        // Each entry is read by itself: one that is malformed fails alone.
        let ids: Vec<String> =
            batch.entries.iter().map(|entry| entry["Id"].as_str().unwrap_or_default().to_owned()).collect();
        check_ids(ids.iter().map(String::as_str))?;
        let read = batch.entries.into_iter().map(|entry| outgoing(from_value(entry)?, traces));
        let read: Vec<Result<(Digests, Outgoing), SqsError>> = read.collect();
        let size: usize = read.iter().flatten().map(|(_, outgoing)| outgoing.size()).sum();
        if size > BATCH_BYTES {
            let message =
                format!("Batch requests cannot be longer than {BATCH_BYTES} bytes. You have sent {size} bytes.");
            return Err(SqsError::new(Code::BatchRequestTooLong, message));
        }
        *traces = read.iter().flatten().flat_map(|(_, outgoing)| outgoing.traces.clone()).collect();
        let fates = read.into_iter().map(|entry| match entry.and_then(|entry| self.send_one(queue, entry))? {
            Value::Object(answer) => Ok(answer),
            _ => Ok(Map::new()),
        });
        let fates: Vec<Result<_, SqsError>> = fates.collect();
        self.flush().await?;
        Ok(batch_answer(ids.iter().map(String::as_str).zip(fates)))
    }

    fn change(&self, queue: &str, request: &Handle) -> Result<(), SqsError> {
        let seconds = request.visibility_timeout.ok_or_else(|| {
            SqsError::new(Code::MissingParameter, "The request must contain the parameter VisibilityTimeout.")
        })?;
        self.change_visibility(queue, &request.receipt_handle, visibility(seconds)?)
    }

    fn attributes(&self, queue: &str, wanted: &[String]) -> Result<Map<String, Value>, SqsError> {
        let state = self.line(queue)?.lock();
        let config = state.config();
        let Counts { visible, in_flight, delayed } = state.counts(super::now());
        let flag = |set: bool| Some(set.to_string());
        let redrive = config.redrive.as_ref().map(|redrive| {
            let account = config.arn.rsplit_once(':').map(|(account, _)| account).unwrap_or_default();
            let arn = format!("{account}:{}", redrive.dead_letter_queue);
            json!({"deadLetterTargetArn": arn, "maxReceiveCount": redrive.max_receives}).to_string()
        });
        let scope = if config.deduplicate_per_group { "messageGroup" } else { "queue" };
        let all = [
            ("QueueArn", Some(config.arn.clone())),
            ("ApproximateNumberOfMessages", Some(visible.to_string())),
            ("ApproximateNumberOfMessagesNotVisible", Some(in_flight.to_string())),
            ("ApproximateNumberOfMessagesDelayed", Some(delayed.to_string())),
            ("DelaySeconds", Some(config.delay.as_secs().to_string())),
            ("VisibilityTimeout", Some(config.visibility_timeout.as_secs().to_string())),
            ("MessageRetentionPeriod", Some(config.retention.as_secs().to_string())),
            ("ReceiveMessageWaitTimeSeconds", Some(config.receive_wait.as_secs().to_string())),
            ("MaximumMessageSize", Some(config.max_message_bytes.to_string())),
            ("CreatedTimestamp", Some(self.0.made_at.to_string())),
            ("LastModifiedTimestamp", Some(self.0.made_at.to_string())),
            ("RedrivePolicy", redrive),
            ("FifoQueue", config.fifo.then(|| "true".to_owned())),
            ("ContentBasedDeduplication", flag(config.content_based_deduplication).filter(|_| config.fifo)),
            ("DeduplicationScope", config.fifo.then(|| scope.to_owned())),
        ];
        let known = |name: &str| all.iter().any(|(known, _)| *known == name) || UNSET.contains(&name) || name == "All";
        if let Some(name) = wanted.iter().find(|name| !known(name)) {
            return Err(SqsError::new(Code::InvalidAttributeName, format!("Unknown Attribute {name}.")));
        }
        let is_wanted = |name: &str| wanted.iter().any(|it| it == "All" || it == name);
        let named = all.into_iter().filter(|(name, _)| is_wanted(name));
        Ok(named.filter_map(|(name, value)| Some((name.to_owned(), value?.into()))).collect())
    }
}

/// The MD5 digests that answer a send.
struct Digests(Map<String, Value>);

fn outgoing(send: Send, caller: &[TraceId]) -> Result<(Digests, Outgoing), SqsError> {
    if let Some(name) = send.message_system_attributes.keys().find(|name| *name != "AWSTraceHeader") {
        let message = format!("Message system attribute name '{name}' is invalid. The only one is AWSTraceHeader.");
        return Err(SqsError::new(Code::InvalidParameterValue, message));
    }
    let digests = [
        ("MD5OfMessageBody", Some(md5_of_text(&send.message_body))),
        ("MD5OfMessageAttributes", md5_of_attributes(&send.message_attributes)),
        ("MD5OfMessageSystemAttributes", md5_of_attributes(&send.message_system_attributes)),
    ];
    let digests = digests.into_iter().filter_map(|(name, digest)| Some((name.to_owned(), digest?.into())));
    let own = send.message_system_attributes.get("AWSTraceHeader").and_then(|header| header.string_value.clone());
    // The header that the sender set names the message's trace; without one it is that of the sending invocation.
    let traces = own.as_deref().and_then(TraceId::from_header).map_or_else(|| caller.to_vec(), |trace| vec![trace]);
    let outgoing = Outgoing {
        body: send.message_body,
        attributes: send.message_attributes,
        delay_seconds: send.delay_seconds,
        group: send.message_group_id,
        deduplication_id: send.message_deduplication_id,
        trace_header: own.or_else(|| traces.first().map(TraceId::header)),
        traces,
    };
    Ok((Digests(digests.collect()), outgoing))
}

/// A received message, with the attributes that the consumer asked for.
fn in_answer(received: &Received, request: &Receive) -> Value {
    let message = &received.message;
    let asked: Vec<&String> = request.attribute_names.iter().chain(&request.message_system_attribute_names).collect();
    let system: Map<String, Value> = received
        .system_attributes()
        .into_iter()
        .filter(|(name, _)| asked.iter().any(|it| *it == "All" || it == name))
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    let is_asked = |name: &str| {
        request.message_attribute_names.iter().any(|pattern| match pattern.strip_suffix(".*") {
            Some(prefix) => name.starts_with(prefix),
            None => pattern == "All" || pattern == name,
        })
    };
    let attributes: Attributes = message
        .attributes
        .iter()
        .filter(|(name, _)| is_asked(name))
        .map(|(name, it)| (name.clone(), it.clone()))
        .collect();
    let mut answer = Map::from_iter([
        ("MessageId".to_owned(), message.id.clone().into()),
        ("ReceiptHandle".to_owned(), received.receipt_handle.clone().into()),
        ("MD5OfBody".to_owned(), md5_of_text(&message.body).into()),
        ("Body".to_owned(), message.body.clone().into()),
    ]);
    if !system.is_empty() {
        answer.insert("Attributes".to_owned(), system.into());
    }
    if let Some(digest) = md5_of_attributes(&attributes) {
        answer.insert("MD5OfMessageAttributes".to_owned(), digest.into());
        let attributes =
            attributes.iter().map(|(name, attribute): (&String, &Attribute)| (name.clone(), json!(attribute)));
        answer.insert("MessageAttributes".to_owned(), Value::Object(attributes.collect()));
    }
    Value::Object(answer)
}

fn batch_answer<'i>(fates: impl Iterator<Item = (&'i str, Result<Map<String, Value>, SqsError>)>) -> Value {
    let (mut successful, mut failed) = (Vec::new(), Vec::new());
    for (id, fate) in fates {
        match fate {
            Ok(mut answer) => {
                answer.insert("Id".to_owned(), id.into());
                successful.push(Value::Object(answer));
            }
            Err(SqsError { code, message }) => failed.push(json!({
                "Id": id,
                "SenderFault": code.is_senders_fault(),
                "Code": code.query_name(),
                "Message": message,
            })),
        }
    }
    json!({"Successful": successful, "Failed": failed})
}

/// The entries of a batch that name messages by their receipt handles.
fn handles(body: &[u8]) -> Result<Vec<Handle>, SqsError> {
    let Batch { entries } = parse::<Batch<Handle>>(body)?;
    check_ids(entries.iter().map(|entry| entry.id.as_str()))?;
    Ok(entries)
}

fn check_ids<'i>(ids: impl ExactSizeIterator<Item = &'i str>) -> Result<(), SqsError> {
    match ids.len() {
        0 => return Err(SqsError::new(Code::EmptyBatchRequest, "There should be at least one entry in the request.")),
        1..=10 => {}
        count => {
            let message = format!("Maximum number of entries per request are 10. You have sent {count}.");
            return Err(SqsError::new(Code::TooManyEntriesInBatchRequest, message));
        }
    }
    let mut seen = HashSet::new();
    for id in ids {
        let is_plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if !(1..=80).contains(&id.len()) || !is_plain {
            let message = "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can \
                           be at most 80 letters long.";
            return Err(SqsError::new(Code::InvalidBatchEntryId, message));
        }
        if !seen.insert(id) {
            return Err(SqsError::new(Code::BatchEntryIdsNotDistinct, format!("Id {id} repeated.")));
        }
    }
    Ok(())
}

fn visibility(seconds: u64) -> Result<Duration, SqsError> {
    bounded("VisibilityTimeout", seconds, 0, 43_200).map(Duration::from_secs)
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, SqsError> {
    serde_json::from_slice(body).map_err(|error| unreadable(&error))
}

fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, SqsError> {
    serde_json::from_value(value).map_err(|error| unreadable(&error))
}

fn unreadable(error: &serde_json::Error) -> SqsError {
    let text = error.to_string();
    let code = if text.contains("missing field") { Code::MissingParameter } else { Code::InvalidParameterValue };
    SqsError::new(code, format!("The request cannot be read: {text}"))
}
