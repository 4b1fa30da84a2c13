//! SQS as a service of the endpoint.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::{Answer, Code, Sqs, SqsError};
use crate::faults::Fault;
use crate::iam::{Arns, Denial, Need};
use crate::service::{Definition, Service, Words};
use crate::services::call::{AwsService, Call, Next, Refused, Request, member};

/// The operations of the real service.
const OPERATIONS: &[&str] = &[
    "AddPermission",
    "CancelMessageMoveTask",
    "ChangeMessageVisibility",
    "ChangeMessageVisibilityBatch",
    "CreateQueue",
    "DeleteMessage",
    "DeleteMessageBatch",
    "DeleteQueue",
    "GetQueueAttributes",
    "GetQueueUrl",
    "ListDeadLetterSourceQueues",
    "ListMessageMoveTasks",
    "ListQueueTags",
    "ListQueues",
    "PurgeQueue",
    "ReceiveMessage",
    "RemovePermission",
    "SendMessage",
    "SendMessageBatch",
    "SetQueueAttributes",
    "StartMessageMoveTask",
    "TagQueue",
    "UntagQueue",
];

/// SQS.
pub const SERVICE: Service =
    Service::new(&Definition { name: "sqs", title: "SQS", place: 1, operations: OPERATIONS, words, faults });

/// The most that is read of an answer by the twin.
const ANSWER_BYTES: usize = 16 * 1024 * 1024;

fn words(operation: &str) -> Words {
    let (order, one, many) = match operation {
        "SendMessage" | "SendMessageBatch" => (0, "send", "sends"),
        "ReceiveMessage" => (1, "receive", "receives"),
        "DeleteMessage" | "DeleteMessageBatch" => (2, "delete", "deletes"),
        _ => (3, "other", "others"),
    };
    Words { order, group: "SQS", one, many }
}

fn faults(operation: &str) -> &'static [Fault] {
    match operation {
        "SendMessageBatch" => &[Fault::Partial],
        _ => &[],
    }
}

impl AwsService for Sqs {
    fn service(&self) -> Service {
        SERVICE
    }

    fn claims(&self, request: &Request) -> Option<String> {
        let (_, operation) = request.target().filter(|(service, _)| *service == "AmazonSQS")?;
        Some(operation.to_owned())
    }

    fn serve(&self, call: Call) -> BoxFuture<'_, Response> {
        async move {
            let served = self.answer(&call.operation, &call.request.body, call.traces).await;
            self.0.ledger.record(&served.traces, SERVICE, &call.operation);
            served.into_response()
        }
        .boxed()
    }

    fn counts_itself(&self) -> bool {
        true
    }

    /// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsqs.html>: an operation on a
    /// batch needs the right to the operation itself.
    fn needs(&self, call: &Call, arns: &Arns) -> Vec<Need> {
        let body = call.json();
        let operation = call.operation.strip_suffix("Batch").unwrap_or(&call.operation);
        let action = |name: &str| format!("sqs:{name}");
        match operation {
            "ListQueues" => vec![Need::of(action(operation), "*")],
            "StartMessageMoveTask" => {
                let of_source = ["StartMessageMoveTask", "ReceiveMessage", "DeleteMessage", "GetQueueAttributes"];
                let source = member(&body, "SourceArn").unwrap_or_default();
                let mut needs = of_source.map(|name| Need::of(action(name), source)).to_vec();
                let to = match member(&body, "DestinationArn") {
                    Some(to) => vec![to.to_owned()],
                    // The messages return to the queues that they came from.
                    None => self.ways_back(source),
                };
                needs.extend(to.into_iter().map(|to| Need::of(action("SendMessage"), to)));
                needs
            }
            "ListMessageMoveTasks" => vec![Need::of(action(operation), member(&body, "SourceArn").unwrap_or_default())],
            "CancelMessageMoveTask" => {
                let source = member(&body, "TaskHandle").and_then(|handle| self.source_of_task(handle));
                vec![source.map_or_else(|| Need::of_unknown(action(operation)), |it| Need::of(action(operation), it))]
            }
            _ => vec![Need::of(action(operation), arns.of("sqs", &queue_of(operation, &body)))],
        }
    }

    /// The real service writes the action in lower case.
    fn denied(&self, denial: &Denial) -> Response {
        let message = denial.to_string().replace(&denial.action, &denial.action.to_ascii_lowercase());
        Answer { result: Err(SqsError::new(Code::AccessDenied, message)), traces: Vec::new() }.into_response()
    }

    fn kind(&self, call: &Call) -> String {
        format!("{} {}", call.operation, queue_of(&call.operation, &call.json()))
    }

    fn refusal(&self, refused: Refused, _: &Call) -> Response {
        let error = match refused {
            Refused::Throttled { .. } => SqsError::new(Code::RequestThrottled, "Request is throttled."),
            Refused::Failed => {
                SqsError::new(Code::InternalError, "We encountered an internal error. Please try again.")
            }
        };
        Answer { result: Err(error), traces: Vec::new() }.into_response()
    }

    fn struck<'a>(&'a self, fault: Fault, call: Call, next: Next<'a>) -> BoxFuture<'a, Response> {
        match fault {
            Fault::Partial => partial(call, next).boxed(),
            _ => next.run(call),
        }
    }

    fn control(&self) -> Router {
        super::control::control(self.clone())
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        async {
            if let Err(error) = self.flush().await {
                tracing::error!(%error, "the queues' journal is incomplete");
            }
        }
        .boxed()
    }
}

/// The name of the queue that a request is for. Only two operations name it otherwise than by its URL.
fn queue_of(operation: &str, body: &Value) -> String {
    let name = if matches!(operation, "CreateQueue" | "GetQueueUrl") { "QueueName" } else { "QueueUrl" };
    let queue = member(body, name).unwrap_or_default();
    queue.rsplit('/').next().unwrap_or_default().to_owned()
}

/// Sends every second entry of a batch, and answers that the others failed, among them the first.
async fn partial(mut call: Call, next: Next<'_>) -> Response {
    let mut batch: Value = serde_json::from_slice(&call.request.body).unwrap_or_default();
    let Some(entries) = batch["Entries"].as_array().cloned() else { return next.run(call).await };
    let (lost, sent): (Vec<_>, Vec<_>) = entries.into_iter().enumerate().partition(|(place, _)| place % 2 == 0);
    let lost = lost.into_iter().map(|(_, entry)| {
        json!({
            "Id": entry["Id"],
            "SenderFault": false,
            "Code": Code::InternalError.query_name(),
            "Message": "We encountered an internal error. Please try again.",
        })
    });
    let lost: Vec<Value> = lost.collect();
    let sent: Vec<Value> = sent.into_iter().map(|(_, entry)| entry).collect();
    if sent.is_empty() {
        let result = Ok(json!({"Successful": [], "Failed": lost}));
        return Answer { result, traces: Vec::new() }.into_response();
    }
    batch["Entries"] = sent.into();
    call.request.body = batch.to_string().into();
    let response = next.run(call).await;
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, ANSWER_BYTES).await.unwrap_or_default();
    match serde_json::from_slice::<Value>(&body) {
        Ok(mut answer) if parts.status.is_success() => {
            if let Some(failed) = answer["Failed"].as_array_mut() {
                failed.extend(lost);
            }
            Answer { result: Ok(answer), traces: Vec::new() }.into_response()
        }
        // The whole batch is refused: this is the answer.
        _ => Response::from_parts(parts, Body::from(body)),
    }
}
