//! The AWS services that functions call, behind one endpoint: DynamoDB, SQS, SES v2, SNS and `@connections`.
//!
//! What a request is for is told by its path (`@connections`, SES), by `X-Amz-Target` (DynamoDB, SQS) or by the
//! `Action` of a form (SNS). Signatures are not checked, but the access key in them says which function's process has sent the
//! request, and so which traces bear its cost.

mod control;
pub mod dynamodb;
mod journal;
pub mod outbox;
pub mod sqs;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, post};
use serde_json::json;

use self::dynamodb::DynamoDb;
use self::outbox::{Outbox, form_error};
use self::sqs::Sqs;
use crate::event_source::EventSources;
use crate::ledger::{Ledger, Service, TraceId};

/// DynamoDB's own limit, the largest of all.
const BODY_BYTES: usize = 16 * 1024 * 1024;

/// Tells the traces of the invocation that signs with an access key.
pub type TracesOf = Arc<dyn Fn(&str) -> Vec<TraceId> + Send + Sync>;

/// Everything that the endpoint serves.
#[derive(Clone)]
pub struct Services {
    /// DynamoDB.
    pub dynamodb: DynamoDb,
    /// SQS.
    pub sqs: Sqs,
    /// What SES and SNS caught.
    pub outbox: Outbox,
    /// What was asked for, by trace.
    pub ledger: Ledger,
    /// The mappings, for the control API to switch.
    pub event_sources: EventSources,
    /// The template's outputs, for the control API to tell.
    pub outputs: BTreeMap<String, String>,
    /// Whose invocation an access key stands for.
    pub traces_of: TracesOf,
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services").field("dynamodb", &self.dynamodb).finish_non_exhaustive()
    }
}

/// Serves the endpoint. `management` serves `/{stage}/@connections/{connectionId}`.
pub fn router(services: Services, management: Router) -> Router {
    let counted = middleware::from_fn_with_state(services.clone(), count_connection_request);
    Router::new()
        .route("/", any(target))
        .route("/{account}/{queue}", post(target))
        .route("/v2/email/outbound-emails", post(send_email))
        .merge(control::router())
        .fallback(|uri: Uri| async move { unknown(&format!("nothing is served at {}", uri.path())) })
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .with_state(services)
        .merge(management.layer(counted))
}

/// DynamoDB, SQS and SNS, which all answer at the root; SQS also at the URL of a queue.
async fn target(State(services): State<Services>, method: Method, headers: HeaderMap, body: Bytes) -> Response {
    if method != Method::POST {
        return axum::Json(json!({"service": "tidings", "status": "ok"})).into_response();
    }
    let traces = services.caller(&headers);
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    match target.split_once('.') {
        Some(("AmazonSQS", operation)) => {
            let answer = services.sqs.serve(operation, &body, traces).await;
            services.ledger.record(&answer.traces, Service::Sqs, operation);
            answer.into_response()
        }
        Some((service, operation)) if service.starts_with("DynamoDB") => {
            services.ledger.record(&traces, Service::DynamoDb, operation);
            services.dynamodb.serve(headers, body).await
        }
        Some(_) => unknown(&format!("the local twin does not serve {target}")),
        None => form(&services, &body, &traces),
    }
}

fn form(services: &Services, body: &Bytes, traces: &[TraceId]) -> Response {
    let action = form_urlencoded::parse(body).find(|(name, _)| name == "Action").map(|(_, action)| action);
    match action.as_deref() {
        Some("Publish") => {
            services.ledger.record(traces, Service::Sns, "Publish");
            services.outbox.publish(body, traces)
        }
        Some(action) => {
            let message = format!("the local twin does not serve {action}");
            let body = form_error("InvalidAction", &message, "");
            (StatusCode::BAD_REQUEST, [(header::CONTENT_TYPE, "text/xml")], body).into_response()
        }
        None => unknown("the request has neither X-Amz-Target nor an Action"),
    }
}

async fn send_email(State(services): State<Services>, headers: HeaderMap, body: Bytes) -> Response {
    let traces = services.caller(&headers);
    services.ledger.record(&traces, Service::Ses, "SendEmail");
    services.outbox.send_email(&body, &traces)
}

async fn count_connection_request(State(services): State<Services>, request: Request, next: Next) -> Response {
    let operation = match *request.method() {
        Method::POST => "PostToConnection",
        Method::DELETE => "DeleteConnection",
        _ => "GetConnection",
    };
    services.ledger.record(&services.caller(request.headers()), Service::Connections, operation);
    next.run(request).await
}

fn unknown(message: &str) -> Response {
    let body = json!({"__type": "UnknownOperationException", "message": message});
    (StatusCode::NOT_FOUND, [("x-amzn-errortype", "UnknownOperationException")], axum::Json(body)).into_response()
}

impl Services {
    /// The traces of the invocation that a request comes from; none where it comes from outside.
    fn caller(&self, headers: &HeaderMap) -> Vec<TraceId> {
        let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let credential =
            authorization.and_then(|text| text.split_once("Credential=")).map(|(_, credential)| credential);
        let key = credential.and_then(|credential| credential.split('/').next());
        key.map(|key| (self.traces_of)(key)).unwrap_or_default()
    }
}
