//! The AWS services that functions call, behind one endpoint: DynamoDB, SQS, SES v2, SNS, Secrets Manager and
//! `@connections`.
//!
//! What a request is for is told by its path (`@connections`, SES), by `X-Amz-Target` (DynamoDB, SQS, Secrets Manager) or by the
//! `Action` of a form (SNS). Signatures are not checked, but the access key in them says which function's process has sent the
//! request, and so which traces bear its cost.

mod control;
pub mod dynamodb;
mod injected;
#[cfg(test)]
mod injected_tests;
mod journal;
pub mod outbox;
pub mod secretsmanager;
pub mod sqs;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

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
use self::secretsmanager::SecretsManager;
use self::sqs::Sqs;
use crate::event_source::EventSources;
use crate::faults::Faults;
use crate::functions::{Caller, Functions};
use crate::ledger::{Ledger, Service, TraceId};
use crate::schedule::Rules;

/// DynamoDB's own limit, the largest of all.
const BODY_BYTES: usize = 16 * 1024 * 1024;

/// Where SES v2 takes emails.
const SES_PATH: &str = "/v2/email/outbound-emails";

/// Everything that the endpoint serves.
#[derive(Clone)]
pub struct Services {
    /// DynamoDB.
    pub dynamodb: DynamoDb,
    /// SQS.
    pub sqs: Sqs,
    /// What SES and SNS caught.
    pub outbox: Outbox,
    /// Secrets Manager.
    pub secrets: SecretsManager,
    /// What was asked for, by trace.
    pub ledger: Ledger,
    /// The mappings, for the control API to switch.
    pub event_sources: EventSources,
    /// The template's outputs, for the control API to tell.
    pub outputs: BTreeMap<String, String>,
    /// The functions, by whose access keys it is known who asks.
    pub functions: Functions,
    /// The schedules, for the control API to fire.
    pub schedules: Rules,
    /// What is to go wrong with what they ask.
    pub faults: Faults,
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services").field("dynamodb", &self.dynamodb).finish_non_exhaustive()
    }
}

/// Serves the endpoint. `management` serves `/{stage}/@connections/{connectionId}`.
pub fn router(services: Services, management: Router) -> Router {
    let counted = middleware::from_fn_with_state(services.clone(), count_connection_request);
    // Outside of what counts: a request that is not executed is none that AWS would count.
    let struck = middleware::from_fn_with_state(services.clone(), injected::strike);
    Router::new()
        .route("/", any(target))
        .route("/{account}/{queue}", post(target))
        .route(SES_PATH, post(send_email))
        .route_layer(struck.clone())
        .merge(control::router())
        .fallback(|uri: Uri| async move { unknown(&format!("nothing is served at {}", uri.path())) })
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .with_state(services)
        .merge(management.layer(counted).layer(struck))
}

/// Serves the control API alone.
pub(crate) fn control_router(services: Services) -> Router {
    control::router().with_state(services)
}

/// DynamoDB, SQS, Secrets Manager and SNS, which all answer at the root; SQS also at the URL of a queue.
async fn target(State(services): State<Services>, method: Method, headers: HeaderMap, body: Bytes) -> Response {
    if method != Method::POST {
        return axum::Json(json!({"service": "twin", "status": "ok"})).into_response();
    }
    let traces = services.traces_of(&headers);
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
        Some((secretsmanager::TARGET, operation)) => {
            services.ledger.record(&traces, Service::SecretsManager, operation);
            services.secrets.serve(operation, &body)
        }
        Some(_) => unknown(&format!("the local twin does not serve {target}")),
        None => form(&services, &body, &traces).await,
    }
}

async fn form(services: &Services, body: &Bytes, traces: &[TraceId]) -> Response {
    match action(body).as_deref() {
        Some("Publish") => {
            services.ledger.record(traces, Service::Sns, "Publish");
            services.outbox.publish(body, traces).await
        }
        Some(action) => {
            let message = format!("the local twin does not serve {action}");
            let body = form_error("InvalidAction", &message, "");
            (StatusCode::BAD_REQUEST, [(header::CONTENT_TYPE, "text/xml")], body).into_response()
        }
        None => unknown("the request has neither X-Amz-Target nor an Action"),
    }
}

/// What a form asks for.
fn action(body: &Bytes) -> Option<Cow<'_, str>> {
    form_urlencoded::parse(body).find(|(name, _)| name == "Action").map(|(_, action)| action)
}

async fn send_email(State(services): State<Services>, headers: HeaderMap, body: Bytes) -> Response {
    let traces = services.traces_of(&headers);
    services.ledger.record(&traces, Service::Ses, "SendEmail");
    services.outbox.send_email(&body, &traces).await
}

async fn count_connection_request(State(services): State<Services>, request: Request, next: Next) -> Response {
    let operation = connection_operation(request.method());
    services.ledger.record(&services.traces_of(request.headers()), Service::Connections, operation);
    next.run(request).await
}

fn connection_operation(method: &Method) -> &'static str {
    match *method {
        Method::POST => "PostToConnection",
        Method::DELETE => "DeleteConnection",
        _ => "GetConnection",
    }
}

fn unknown(message: &str) -> Response {
    let body = json!({"__type": "UnknownOperationException", "message": message});
    (StatusCode::NOT_FOUND, [("x-amzn-errortype", "UnknownOperationException")], axum::Json(body)).into_response()
}

impl Services {
    /// The traces of the invocation that a request comes from; none where it comes from outside.
    fn traces_of(&self, headers: &HeaderMap) -> Vec<TraceId> {
        self.caller(headers).map(|caller| caller.traces).unwrap_or_default()
    }

    /// The function that a request comes from, if it comes from one.
    fn caller(&self, headers: &HeaderMap) -> Option<Caller> {
        self.functions.caller(access_key_id(headers)?)
    }
}

/// The access key that a request is signed with.
fn access_key_id(headers: &HeaderMap) -> Option<&str> {
    let authorization = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (_, credential) = authorization.split_once("Credential=")?;
    credential.split('/').next()
}
