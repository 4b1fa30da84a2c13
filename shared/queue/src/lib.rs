//! The SQS queues of Tidings. Four kinds, each with a sender over one SDK client:
//!
//! - [`DeliverQueue`]: FIFO, one message group per user, so that one user's messages stay in order and no user waits
//!   for another; one for each lane
//! - [`TimerQueue`]: timers that are due within fifteen minutes
//! - [`StepQueue`]: fallback steps that are due
//! - [`FanoutQueue`]: announcements that are pushed to open connections
//!
//! [`Visibility`] lets failed messages return sooner than their queue's visibility timeout.
//!
//! Every body is written in the form in which its app's data is stored: sealed, if the deployment seals. A message
//! group is a pseudonym of its user.
//!
//! Every message carries the trace of its cause (`AWSTraceHeader`), so that X-Ray and the local twin can follow it.

use aws_sdk_sqs::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    types::{
        ChangeMessageVisibilityBatchRequestEntry, MessageSystemAttributeNameForSends, MessageSystemAttributeValue,
        SendMessageBatchRequestEntry, SendMessageBatchResultEntry,
    },
};
use serde::Serialize;
use tidings_domain::{Seal, Timer, Timestamp, announcement::Fanout, chain::StepDue, delivery::Job, shape::Body};

/// Messages of one batch request (AWS's limit). Ten deliveries of the largest frame stay well below SQS's 1 MB a
/// request.
pub const BATCH: usize = 10;

/// Longest delay of a message, in seconds (AWS's limit).
pub const LONGEST_DELAY_SECONDS: u64 = 900;

/// A message that was not queued.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// SQS refused, or did not answer.
    #[error("{operation}: {code}")]
    Request {
        /// The failed operation.
        operation: &'static str,
        /// SQS's code, or the reason for the missing answer.
        code: String,
        /// The SDK's error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// SQS took the batch and refused some of its messages.
    #[error("{operation}: {refused} of the batch were refused: {code}")]
    Partial {
        /// The failed operation.
        operation: &'static str,
        /// Number of refused messages.
        refused: usize,
        /// SQS's code for the first of them.
        code: String,
    },
    /// A payload cannot be written as JSON.
    #[error("write payload")]
    Payload(#[from] serde_json::Error),
    /// A request lacks what the SDK requires.
    #[error("build request")]
    Build(#[from] aws_sdk_sqs::error::BuildError),
}

/// A FIFO queue of deliveries.
#[derive(Clone, Debug)]
pub struct DeliverQueue {
    client: Client,
    url: String,
}

/// The standard queue of fallback steps that are due.
#[derive(Clone, Debug)]
pub struct StepQueue {
    client: Client,
    url: String,
}

/// The standard queue of announcements that are being pushed.
#[derive(Clone, Debug)]
pub struct FanoutQueue {
    client: Client,
    url: String,
}

/// The standard queue of timers.
#[derive(Clone, Debug)]
pub struct TimerQueue {
    client: Client,
    url: String,
}

/// How long received messages stay invisible, on any queue.
#[derive(Clone, Debug)]
pub struct Visibility {
    client: Client,
}

impl Visibility {
    /// Wraps the queues of this client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Makes up to [`BATCH`] messages of one queue, by their receipt handles, visible after so many seconds from now.
    ///
    /// # Errors
    /// [`QueueError`]; then some of them return after the queue's visibility timeout.
    pub async fn change(&self, queue: &QueueArn, messages: &[(String, u32)]) -> Result<(), QueueError> {
        const OPERATION: &str = "shorten the wait of messages";
        let entry = |(index, (handle, seconds)): (usize, &(String, u32))| {
            ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(index.to_string())
                .receipt_handle(handle)
                .visibility_timeout(i32::try_from(*seconds).unwrap_or(i32::MAX))
                .build()
        };
        let entries = messages.iter().enumerate().map(entry).collect::<Result<Vec<_>, _>>()?;
        let request = self.client.change_message_visibility_batch().queue_url(queue.url()).set_entries(Some(entries));
        let answer = request.send().await.map_err(|error| request_error(OPERATION, error))?;
        match answer.failed() {
            [] => Ok(()),
            failed @ [first, ..] => {
                let code = first.code().to_owned();
                Err(QueueError::Partial { operation: OPERATION, refused: failed.len(), code })
            }
        }
    }
}

/// The ARN of a queue, as it comes with every received message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QueueArn {
    host: String,
    path: String,
}

impl QueueArn {
    /// Reads `arn:aws:sqs:eu-central-1:123456789012:name`.
    #[must_use]
    pub fn parse(arn: &str) -> Option<Self> {
        let [_, partition, "sqs", region, account, name] = arn.split(':').collect::<Vec<_>>()[..] else { return None };
        let suffix = if partition == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" };
        Some(Self { host: format!("sqs.{region}.{suffix}"), path: format!("{account}/{name}") })
    }

    /// The queue's URL. The SDK sends to its own endpoint; of the URL, SQS reads account and name.
    fn url(&self) -> String {
        format!("https://{}/{}", self.host, self.path)
    }
}

impl DeliverQueue {
    /// Over the queue with this URL.
    #[must_use]
    pub fn new(client: Client, url: String) -> Self {
        Self { client, url }
    }

    /// Sends up to [`BATCH`] jobs of one app in one request, each in its user's group. The same job within five minutes
    /// is dropped by SQS.
    ///
    /// # Errors
    /// [`QueueError`]; of a partial one the rest is on the queue, and sending all of it again doubles nothing.
    pub async fn send(&self, jobs: &[Job], seal: &Seal, trace: Option<&str>) -> Result<(), QueueError> {
        const OPERATION: &str = "send deliveries";
        let entries = jobs
            .iter()
            .enumerate()
            .map(|(index, job)| {
                SendMessageBatchRequestEntry::builder()
                    .id(index.to_string())
                    .message_body(body(job, seal)?)
                    .message_group_id(seal.pseudonym(job.user()))
                    .message_deduplication_id(job.deduplication_id())
                    .set_message_system_attributes(trace_attribute(trace)?)
                    .build()
                    .map_err(QueueError::from)
            })
            .collect::<Result<Vec<_>, _>>()?;
        send_batch(&self.client, &self.url, OPERATION, entries).await
    }
}

impl FanoutQueue {
    /// Over the queue with this URL.
    #[must_use]
    pub fn new(client: Client, url: String) -> Self {
        Self { client, url }
    }

    /// Sends up to [`BATCH`] parts of one announcement in one request, each to be received after so many seconds.
    ///
    /// # Errors
    /// [`QueueError`]; of a partial one the rest is on the queue. Devices show an announcement once, however often it
    /// is sent.
    pub async fn send(&self, pieces: &[(Fanout, u64)], seal: &Seal, trace: Option<&str>) -> Result<(), QueueError> {
        let entry = |(index, (piece, delay)): (usize, &(Fanout, u64))| {
            SendMessageBatchRequestEntry::builder()
                .id(index.to_string())
                .message_body(body(piece, seal)?)
                .delay_seconds(i32::try_from((*delay).min(LONGEST_DELAY_SECONDS)).unwrap_or(i32::MAX))
                .set_message_system_attributes(trace_attribute(trace)?)
                .build()
                .map_err(QueueError::from)
        };
        let entries = pieces.iter().enumerate().map(entry).collect::<Result<Vec<_>, _>>()?;
        send_batch(&self.client, &self.url, "send announcement", entries).await
    }
}

impl StepQueue {
    /// Over the queue with this URL.
    #[must_use]
    pub fn new(client: Client, url: String) -> Self {
        Self { client, url }
    }

    /// Sends a step, to be received at once.
    ///
    /// # Errors
    /// [`QueueError`].
    pub async fn send(&self, due: &StepDue, seal: &Seal, trace: Option<&str>) -> Result<(), QueueError> {
        self.client
            .send_message()
            .queue_url(&self.url)
            .message_body(body(due, seal)?)
            .set_message_system_attributes(trace_attribute(trace)?)
            .send()
            .await
            .map_err(|error| request_error("send fallback step", error))?;
        Ok(())
    }
}

impl TimerQueue {
    /// Over the queue with this URL.
    #[must_use]
    pub fn new(client: Client, url: String) -> Self {
        Self { client, url }
    }

    /// Sends a timer, to be received when it is due, or after [`LONGEST_DELAY_SECONDS`] if it is due later than that.
    ///
    /// # Errors
    /// [`QueueError`].
    pub async fn send(
        &self,
        timer: &Timer,
        seal: &Seal,
        now: Timestamp,
        trace: Option<&str>,
    ) -> Result<(), QueueError> {
        self.send_body(&body(timer, seal)?, timer.due(), now, trace).await
    }

    /// Sends a timer as any version has written it, as [`Self::send`] does.
    ///
    /// # Errors
    /// [`QueueError`].
    pub async fn send_body(
        &self,
        body: &str,
        due: Timestamp,
        now: Timestamp,
        trace: Option<&str>,
    ) -> Result<(), QueueError> {
        let delay = now.seconds_until(due).min(LONGEST_DELAY_SECONDS);
        self.client
            .send_message()
            .queue_url(&self.url)
            .message_body(escaped(body))
            .delay_seconds(i32::try_from(delay).unwrap_or(i32::MAX))
            .set_message_system_attributes(trace_attribute(trace)?)
            .send()
            .await
            .map_err(|error| request_error("send timer", error))?;
        Ok(())
    }
}

/// Sends a batch. If some of its messages were refused, the whole batch is sent once more: the queue drops duplicates,
/// or they do no harm.
async fn send_batch(
    client: &Client,
    url: &str,
    operation: &'static str,
    entries: Vec<SendMessageBatchRequestEntry>,
) -> Result<(), QueueError> {
    let count = entries.len();
    let request = client.send_message_batch().queue_url(url).set_entries(Some(entries));
    let mut again = true;
    loop {
        let answer = request.clone().send().await.map_err(|error| request_error(operation, error))?;
        let sent: &[SendMessageBatchResultEntry] = answer.successful();
        let refused = count - sent.len();
        let code = match answer.failed() {
            [] if refused == 0 => return Ok(()),
            failed => failed.first().map_or("missing from the answer", |entry| entry.code()).to_owned(),
        };
        if !std::mem::take(&mut again) {
            return Err(QueueError::Partial { operation, refused, code });
        }
        tracing::warn!(operation, refused, code, "part of a batch was refused; sending it once more");
    }
}

type SystemAttributes = std::collections::HashMap<MessageSystemAttributeNameForSends, MessageSystemAttributeValue>;

fn trace_attribute(trace: Option<&str>) -> Result<Option<SystemAttributes>, QueueError> {
    let Some(trace) = trace else { return Ok(None) };
    let value = MessageSystemAttributeValue::builder().data_type("String").string_value(trace).build()?;
    Ok(Some([(MessageSystemAttributeNameForSends::AwsTraceHeader, value)].into()))
}

/// A body in the form in which its app's data is stored.
fn body(payload: &(impl Body + Serialize), seal: &Seal) -> Result<String, QueueError> {
    Ok(escaped(&seal.body(payload)?))
}

/// A body without the two characters that JSON allows as they are and SQS does not.
fn escaped(json: &str) -> String {
    json.replace('\u{FFFE}', "\\ufffe").replace('\u{FFFF}', "\\uffff")
}

fn request_error<E, R>(operation: &'static str, error: SdkError<E, R>) -> QueueError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    let code = error.code().unwrap_or("no answer").to_owned();
    QueueError::Request { operation, code, source: Box::new(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_names_the_url_of_its_queue() {
        let url = |arn| QueueArn::parse(arn).map(|queue| queue.url());
        for (arn, expected) in [
            (
                "arn:aws:sqs:eu-central-1:123456789012:deliver.fifo",
                Some("https://sqs.eu-central-1.amazonaws.com/123456789012/deliver.fifo"),
            ),
            (
                "arn:aws-cn:sqs:cn-north-1:123456789012:later",
                Some("https://sqs.cn-north-1.amazonaws.com.cn/123456789012/later"),
            ),
            ("arn:aws:sns:eu-central-1:123456789012:topic", None),
            ("", None),
        ] {
            assert_eq!(url(arn).as_deref(), expected);
        }
    }
}
