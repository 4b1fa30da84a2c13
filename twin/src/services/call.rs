//! The interface between the endpoint and a service: the requests that it claims, their execution, and their refusal.

use std::borrow::Cow;
use std::error::Error;

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::data::DataFolder;
use crate::faults::{Fault, Faults};
use crate::gateway::websocket::SocketApi;
use crate::iam::{Arns, Denial, Need};
use crate::ids::uuid;
use crate::ledger::{Ledger, TraceId};
use crate::outbox::Outbox;
use crate::service::Service;
use crate::template::Template;

/// The largest body: DynamoDB's limit, the largest of all.
const BODY_BYTES: usize = 16 * 1024 * 1024;

/// A service that the endpoint serves.
pub(crate) trait AwsService: Send + Sync {
    /// Its definition.
    fn service(&self) -> Service;

    /// The operation that a request asks for, if it is a request to this service.
    fn claims(&self, request: &Request) -> Option<String>;

    /// Serves a call.
    fn serve(&self, call: Call) -> BoxFuture<'_, Response>;

    /// Whether the service counts its requests itself, because it learns their traces only while it serves them. For
    /// all other services, the endpoint counts the requests for their callers.
    fn counts_itself(&self) -> bool {
        false
    }

    /// The rights that the caller needs, by the Service Authorization Reference; none for a call that needs no right,
    /// or that the service refuses anyway.
    fn needs(&self, call: &Call, arns: &Arns) -> Vec<Need>;

    /// The answer to a call that the caller's role does not allow, as the real service words it.
    fn denied(&self, denial: &Denial) -> Response;

    /// The kind of a call: the part that is the same in all calls from one place in a function's code, without the
    /// values of a single request.
    fn kind(&self, call: &Call) -> String {
        call.operation.clone()
    }

    /// The answer to a call that a fault refuses, as the real service words it.
    fn refusal(&self, refused: Refused, call: &Call) -> Response;

    /// Serves a call under a fault that only this service has. `next` counts and serves a call.
    fn struck<'a>(&'a self, fault: Fault, call: Call, next: Next<'a>) -> BoxFuture<'a, Response> {
        let _ = fault;
        next.run(call)
    }

    /// The control API's routes to the state of the service.
    fn control(&self) -> Router {
        Router::new()
    }

    /// Stops the service and saves accepted data; no more calls arrive.
    fn stop(&self) -> BoxFuture<'_, ()> {
        std::future::ready(()).boxed()
    }
}

/// The kind of a refusal by a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Throttling. `chance` chooses if the real service has several answers.
    Throttled {
        /// A random number.
        chance: u64,
    },
    /// The service fails, with 500 or 503.
    Failed,
}

/// A request to the endpoint.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Request {
    /// Reads a whole request; an error is the answer to one that is too large.
    pub(crate) async fn read(request: axum::extract::Request) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, BODY_BYTES).await.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE.into_response())?;
        Ok(Self { method: parts.method, uri: parts.uri, headers: parts.headers, body })
    }

    /// The service and the operation in `X-Amz-Target` of a POST to the root or to a queue's URL.
    pub(crate) fn target(&self) -> Option<(&str, &str)> {
        let target = self.headers.get("x-amz-target")?.to_str().ok()?;
        if self.is_at_root() { target.split_once('.') } else { None }
    }

    /// The `Action` of a form, in a POST without `X-Amz-Target`.
    pub(crate) fn action(&self) -> Option<Cow<'_, str>> {
        if !self.is_at_root() || self.headers.contains_key("x-amz-target") {
            return None;
        }
        form_urlencoded::parse(&self.body).find(|(name, _)| name == "Action").map(|(_, action)| action)
    }

    /// The `Action` of a form of the query protocol in this version, which identifies the service.
    pub(crate) fn action_of(&self, version: &str) -> Option<String> {
        let action = self.action()?.into_owned();
        let mut fields = form_urlencoded::parse(&self.body);
        let named = fields.find(|(name, _)| name == "Version").map(|(_, value)| value.into_owned());
        named.is_none_or(|named| named == version).then_some(action)
    }

    /// Whether it is a POST to `/` or `/{account}/{queue}`.
    fn is_at_root(&self) -> bool {
        let path = self.uri.path();
        self.method == Method::POST
            && (path == "/" || path.split('/').skip(1).filter(|part| !part.is_empty()).count() == 2)
    }

    /// The access key with which it is signed.
    pub(crate) fn access_key_id(&self) -> Option<&str> {
        let authorization = self.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (_, credential) = authorization.split_once("Credential=")?;
        credential.split('/').next()
    }
}

/// A text in a JSON body.
pub(super) fn member<'b>(body: &'b serde_json::Value, name: &str) -> Option<&'b str> {
    body.get(name).and_then(serde_json::Value::as_str)
}

/// An answer in the JSON 1.1 protocol.
pub(super) fn json_1_1(status: StatusCode, body: &serde_json::Value) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/x-amz-json-1.1".to_owned()),
        (HeaderName::from_static("x-amzn-requestid"), uuid()),
    ];
    (status, headers, body.to_string()).into_response()
}

/// A request that a service has claimed.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) operation: String,
    /// The traces of the calling invocation; none if the caller is not a function.
    pub(crate) traces: Vec<TraceId>,
    pub(crate) request: Request,
}

impl Call {
    /// The body as JSON; null if it is not JSON.
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.request.body).unwrap_or_default()
    }
}

/// The rest of the handling of a call that is not refused: it is counted and served.
#[derive(Clone, Copy)]
pub(crate) struct Next<'a> {
    pub(super) service: &'a dyn AwsService,
    pub(super) ledger: &'a Ledger,
}

impl<'a> Next<'a> {
    pub(crate) fn run(self, call: Call) -> BoxFuture<'a, Response> {
        if !self.service.counts_itself() {
            self.ledger.record(&call.traces, self.service.service(), &call.operation);
        }
        self.service.serve(call)
    }
}

/// The settings with which services are opened.
#[derive(Debug)]
pub(crate) struct Opening<'a> {
    pub(crate) template: &'a Template,
    pub(crate) data: &'a DataFolder,
    pub(crate) ledger: &'a Ledger,
    pub(crate) faults: &'a Faults,
    pub(crate) outbox: &'a Outbox,
    pub(crate) sockets: Option<&'a SocketApi>,
}

/// The reason for which a service cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct OpenError {
    what: &'static str,
    #[source]
    source: Box<dyn Error + Send + Sync>,
}

impl OpenError {
    /// `what` is the attempt that failed: `serve the tables`.
    pub(crate) fn new(what: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { what, source: source.into() }
    }
}
