//! Faults where functions call AWS: the request is refused, or its answer lost, or its caller killed.
//!
//! What a service says when it refuses is what the real one says, so that SDKs tell it apart as they would there. An
//! answer that never comes is a connection that ends without one: SDKs count that as transient, and try again.

use std::borrow::Cow;
use std::io;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::{Value, json};

use super::outbox::form_error;
use super::sqs::{Answer, Code, SqsError};
use super::{BODY_BYTES, Services, access_key_id, secretsmanager};
use crate::faults::{Fault, Site, Strike, of_request};
use crate::gateway::management::Refusal;
use crate::gateway::percent_decode;
use crate::ids::uuid;
use crate::ledger::Service;

/// Lets a fault strike a request, if one is to.
pub(super) async fn strike(State(services): State<Services>, request: Request, next: Next) -> Response {
    let caller = services.faults.armed().then(|| services.caller(request.headers())).flatten();
    let Some(caller) = caller else { return next.run(request).await };
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_BYTES).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let found = called(&parts, &body).and_then(|(service, operation)| {
        let site = Site {
            function: Some(&caller.function),
            service: Some(service),
            operation: &operation,
            text: text_of(&parts, &body),
        };
        let strike = services.faults.strike(&site, &of_request(service, &operation))?;
        Some((service, operation, strike))
    });
    let key = access_key_id(&parts.headers).unwrap_or_default().to_owned();
    let id = percent_decode(parts.uri.path().rsplit('/').next().unwrap_or_default(), false);
    let request = Request::from_parts(parts, Body::from(body.clone()));
    let Some((service, operation, Strike { fault, chance })) = found else {
        return next.run(request).await;
    };
    match fault {
        Fault::FailBefore => unanswered(),
        Fault::LoseAnswer => {
            next.run(request).await;
            unanswered()
        }
        Fault::KillBefore => {
            services.functions.kill(&key).await;
            unanswered()
        }
        Fault::KillAfter => {
            next.run(request).await;
            services.functions.kill(&key).await;
            unanswered()
        }
        Fault::Throttle => throttled(service, &id, chance),
        Fault::ServerError => failed(service, &id),
        Fault::Conflict if operation == "TransactWriteItems" => transaction_cancelled(&body),
        Fault::Conflict => dynamodb_error(
            StatusCode::BAD_REQUEST,
            "com.amazonaws.dynamodb.v20120810#TransactionConflictException",
            "Transaction is ongoing for the item",
        ),
        Fault::Partial => partial(request, &body, next).await,
        Fault::GoneThoughDelivered => {
            let response = next.run(request).await;
            if response.status().is_success() { Refusal::Gone.response(&id) } else { response }
        }
        Fault::AcceptedThoughDead => StatusCode::OK.into_response(),
        Fault::LoseDisconnect
        | Fault::LateDisconnect
        | Fault::DropSocket
        | Fault::RepeatDelivery
        | Fault::ReorderDelivery
        | Fault::FailInvoke => next.run(request).await,
    }
}

/// Which operation of which service a request asks for.
fn called(parts: &Parts, body: &Bytes) -> Option<(Service, String)> {
    let path = parts.uri.path();
    if path.contains("/@connections/") {
        return Some((Service::Connections, super::connection_operation(&parts.method).to_owned()));
    }
    if parts.method != Method::POST {
        return None;
    }
    if path == super::SES_PATH {
        return Some((Service::Ses, "SendEmail".to_owned()));
    }
    let target = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    match target.split_once('.') {
        Some(("AmazonSQS", operation)) => Some((Service::Sqs, operation.to_owned())),
        Some((service, operation)) if service.starts_with("DynamoDB") => {
            Some((Service::DynamoDb, operation.to_owned()))
        }
        Some((secretsmanager::TARGET, operation)) => Some((Service::SecretsManager, operation.to_owned())),
        Some(_) => None,
        None => super::action(body).map(|action| (Service::Sns, action.into_owned())),
    }
}

/// What a rule may look for: path and body, and both as their reader decodes them.
fn text_of<'r>(parts: &'r Parts, body: &'r Bytes) -> Vec<Cow<'r, str>> {
    let path = parts.uri.path();
    let mut text = vec![path.into(), percent_decode(path, false).into(), String::from_utf8_lossy(body)];
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.starts_with("application/x-www-form-urlencoded") {
        text.push(percent_decode(&String::from_utf8_lossy(body), true).into());
    }
    text
}

/// An answer that ends the connection before its first byte.
fn unanswered() -> Response {
    // The server writes the head of a response together with the first of its body; where there is none but an error,
    // it gives the connection up with nothing written.
    let broken = io::Error::other("no answer, as asked for");
    Response::new(Body::from_stream(stream::once(std::future::ready(Err::<Bytes, _>(broken)))))
}

fn throttled(service: Service, connection_id: &str, chance: u64) -> Response {
    match service {
        // A table on demand says either, depending on what ran out: a partition, or what the table has grown to.
        Service::DynamoDb if chance.is_multiple_of(2) => dynamodb_error(
            StatusCode::BAD_REQUEST,
            "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
            "The level of configured provisioned throughput for the table was exceeded. Consider increasing your \
             provisioning level with the UpdateTable API.",
        ),
        Service::DynamoDb => dynamodb_error(
            StatusCode::BAD_REQUEST,
            "com.amazon.coral.availability#ThrottlingException",
            "Throughput exceeds the current capacity of your table or index.",
        ),
        Service::Sqs => sqs_error(Code::RequestThrottled, "Request is throttled."),
        Service::Ses => {
            rest_error(StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsException", "Maximum sending rate exceeded.")
        }
        Service::Sns => sns_error(StatusCode::BAD_REQUEST, "Throttling", "Rate exceeded"),
        Service::SecretsManager => {
            secretsmanager::error(StatusCode::BAD_REQUEST, "ThrottlingException", "Rate exceeded")
        }
        Service::Connections => Refusal::Throttled.response(connection_id),
    }
}

fn failed(service: Service, connection_id: &str) -> Response {
    match service {
        Service::DynamoDb => dynamodb_error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "com.amazonaws.dynamodb.v20120810#InternalServerError",
            "Internal server error",
        ),
        Service::Sqs => sqs_error(Code::InternalError, "We encountered an internal error. Please try again."),
        Service::Ses => {
            rest_error(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", "Service is temporarily unavailable")
        }
        Service::Sns => {
            sns_error(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", "Service is temporarily unavailable")
        }
        Service::SecretsManager => secretsmanager::error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalServiceError",
            "An error occurred on the server side.",
        ),
        Service::Connections => Refusal::Internal.response(connection_id),
    }
}

fn dynamodb_error(status: StatusCode, kind: &str, message: &str) -> Response {
    dynamodb_answer(status, &json!({"__type": kind, "message": message}))
}

fn dynamodb_answer(status: StatusCode, body: &Value) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/x-amz-json-1.0".to_owned()),
        (header::HeaderName::from_static("x-amzn-requestid"), uuid()),
    ];
    (status, headers, body.to_string()).into_response()
}

/// A transaction whose first item is in another's hands.
fn transaction_cancelled(body: &Bytes) -> Response {
    let request: Value = serde_json::from_slice(body).unwrap_or_default();
    let others = request["TransactItems"].as_array().map_or(0, |items| items.len().saturating_sub(1));
    let first = json!({"Code": "TransactionConflict", "Message": "Transaction is ongoing for the item"});
    let reasons: Vec<Value> = std::iter::once(first).chain((0..others).map(|_| json!({"Code": "None"}))).collect();
    let codes: Vec<&str> = reasons.iter().filter_map(|reason| reason["Code"].as_str()).collect();
    let message =
        format!("Transaction cancelled, please refer cancellation reasons for specific reasons [{}]", codes.join(", "));
    dynamodb_answer(
        StatusCode::BAD_REQUEST,
        &json!({
            "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
            "Message": message,
            "CancellationReasons": reasons,
        }),
    )
}

fn sqs_error(code: Code, message: &str) -> Response {
    Answer { result: Err(SqsError::new(code, message)), traces: Vec::new() }.into_response()
}

fn rest_error(status: StatusCode, kind: &str, message: &str) -> Response {
    (status, [("x-amzn-errortype", kind.to_owned())], axum::Json(json!({"message": message}))).into_response()
}

fn sns_error(status: StatusCode, code: &str, message: &str) -> Response {
    let body = form_error(code, message, &uuid());
    (status, [(header::CONTENT_TYPE, "text/xml")], body).into_response()
}

/// Sends every second entry of a batch, and says of the others that they failed: of the first one always.
async fn partial(request: Request, body: &Bytes, next: Next) -> Response {
    let mut batch: Value = serde_json::from_slice(body).unwrap_or_default();
    let Some(entries) = batch["Entries"].as_array().cloned() else { return next.run(request).await };
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
    let mut request = request.map(|_| Body::from(batch.to_string()));
    request.headers_mut().remove(header::CONTENT_LENGTH);
    let response = next.run(request).await;
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, BODY_BYTES).await.unwrap_or_default();
    match serde_json::from_slice::<Value>(&body) {
        Ok(mut answer) if parts.status.is_success() => {
            if let Some(failed) = answer["Failed"].as_array_mut() {
                failed.extend(lost);
            }
            Answer { result: Ok(answer), traces: Vec::new() }.into_response()
        }
        // The whole batch is refused: that is what there is to say.
        _ => Response::from_parts(parts, Body::from(body)),
    }
}
