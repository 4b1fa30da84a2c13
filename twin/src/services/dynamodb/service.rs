//! DynamoDB as a service of the endpoint.

use axum::body::Bytes;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use serde_json::{Value, json};

use super::DynamoDb;
use super::kind::kind;
use super::needs::needs;
use crate::faults::Fault;
use crate::iam::{Arns, Denial, Need};
use crate::ids::uuid;
use crate::service::{Definition, Service, Words};
use crate::services::call::{AwsService, Call, Next, Refused, Request};

/// The operations of the real service.
const OPERATIONS: &[&str] = &[
    "BatchExecuteStatement",
    "BatchGetItem",
    "BatchWriteItem",
    "CreateTable",
    "DeleteItem",
    "DeleteTable",
    "DescribeEndpoints",
    "DescribeStream",
    "DescribeTable",
    "DescribeTimeToLive",
    "ExecuteStatement",
    "ExecuteTransaction",
    "GetItem",
    "GetRecords",
    "GetShardIterator",
    "ListStreams",
    "ListTables",
    "ListTagsOfResource",
    "PutItem",
    "Query",
    "Scan",
    "TagResource",
    "TransactGetItems",
    "TransactWriteItems",
    "UntagResource",
    "UpdateItem",
    "UpdateTable",
    "UpdateTimeToLive",
];

/// DynamoDB.
pub const SERVICE: Service =
    Service::new(&Definition { name: "dynamodb", title: "DynamoDB", place: 0, operations: OPERATIONS, words, faults });

fn words(operation: &str) -> Words {
    match operation {
        "GetItem" | "BatchGetItem" | "TransactGetItems" | "Query" | "Scan" => {
            Words { order: 0, group: "DynamoDB", one: "read", many: "reads" }
        }
        _ => Words { order: 1, group: "DynamoDB", one: "write", many: "writes" },
    }
}

fn faults(operation: &str) -> &'static [Fault] {
    match operation {
        "PutItem" | "UpdateItem" | "DeleteItem" | "TransactWriteItems" => &[Fault::Conflict],
        _ => &[],
    }
}

impl AwsService for DynamoDb {
    fn service(&self) -> Service {
        SERVICE
    }

    fn claims(&self, request: &Request) -> Option<String> {
        let (_, operation) = request.target().filter(|(service, _)| service.starts_with("DynamoDB"))?;
        Some(operation.to_owned())
    }

    fn serve(&self, call: Call) -> BoxFuture<'_, Response> {
        self.answer(call.request.headers, call.request.body).boxed()
    }

    fn needs(&self, call: &Call, arns: &Arns) -> Vec<Need> {
        needs(&call.operation, &call.json(), arns)
    }

    fn denied(&self, denial: &Denial) -> Response {
        let body = json!({"__type": "com.amazon.coral.service#AccessDeniedException", "Message": denial.to_string()});
        response(StatusCode::BAD_REQUEST, &body)
    }

    fn kind(&self, call: &Call) -> String {
        kind(&call.operation, &call.json(), self.keys())
    }

    fn refusal(&self, refused: Refused, _: &Call) -> Response {
        match refused {
            // A table on demand answers either, depending on the exhausted limit: that of a partition, or that of the
            // table.
            Refused::Throttled { chance } if chance.is_multiple_of(2) => error(
                StatusCode::BAD_REQUEST,
                "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
                "The level of configured provisioned throughput for the table was exceeded. Consider increasing your \
                 provisioning level with the UpdateTable API.",
            ),
            Refused::Throttled { .. } => error(
                StatusCode::BAD_REQUEST,
                "com.amazon.coral.availability#ThrottlingException",
                "Throughput exceeds the current capacity of your table or index.",
            ),
            Refused::Failed => error(
                StatusCode::INTERNAL_SERVER_ERROR,
                "com.amazonaws.dynamodb.v20120810#InternalServerError",
                "Internal server error",
            ),
        }
    }

    fn struck<'a>(&'a self, fault: Fault, call: Call, next: Next<'a>) -> BoxFuture<'a, Response> {
        match fault {
            Fault::Conflict if call.operation == "TransactWriteItems" => {
                ready(transaction_cancelled(&call.request.body)).boxed()
            }
            Fault::Conflict => ready(error(
                StatusCode::BAD_REQUEST,
                "com.amazonaws.dynamodb.v20120810#TransactionConflictException",
                "Transaction is ongoing for the item",
            ))
            .boxed(),
            _ => next.run(call),
        }
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        self.shutdown().boxed()
    }
}

fn error(status: StatusCode, kind: &str, message: &str) -> Response {
    response(status, &json!({"__type": kind, "message": message}))
}

fn response(status: StatusCode, body: &Value) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/x-amz-json-1.0".to_owned()),
        (HeaderName::from_static("x-amzn-requestid"), uuid()),
    ];
    (status, headers, body.to_string()).into_response()
}

/// The cancellation of a transaction whose first item is part of another transaction.
fn transaction_cancelled(body: &Bytes) -> Response {
    let request: Value = serde_json::from_slice(body).unwrap_or_default();
    let others = request["TransactItems"].as_array().map_or(0, |items| items.len().saturating_sub(1));
    let first = json!({"Code": "TransactionConflict", "Message": "Transaction is ongoing for the item"});
    let reasons: Vec<Value> = std::iter::once(first).chain((0..others).map(|_| json!({"Code": "None"}))).collect();
    let codes: Vec<&str> = reasons.iter().filter_map(|reason| reason["Code"].as_str()).collect();
    let message =
        format!("Transaction cancelled, please refer cancellation reasons for specific reasons [{}]", codes.join(", "));
    response(
        StatusCode::BAD_REQUEST,
        &json!({
            "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
            "Message": message,
            "CancellationReasons": reasons,
        }),
    )
}
