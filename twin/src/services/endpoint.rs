//! The endpoint: identifies the caller of a request, injects faults, counts and serves.

use axum::Router;
use axum::extract::{Request as HttpRequest, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use serde_json::json;

use super::call::{Call, Next, Request};
use super::{Services, injected};
use crate::faults::Faults;
use crate::functions::{Caller, Functions};
use crate::iam::Roles;
use crate::ledger::Ledger;
use crate::records::Kinds;

/// The endpoint with the parts that it needs.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    pub(crate) services: Services,
    /// The functions, whose access keys identify the caller.
    pub(crate) functions: Functions,
    /// The roles of the functions.
    pub(crate) roles: Roles,
    /// Records the kinds of the functions' requests, if records are kept.
    pub(crate) kinds: Option<Kinds>,
    pub(crate) ledger: Ledger,
    pub(crate) faults: Faults,
}

impl Endpoint {
    /// A router that serves every path that no other route has.
    pub(crate) fn router(self) -> Router {
        Router::new().fallback(serve).with_state(self)
    }

    /// A router of the paths of `@connections`, for the port of the sockets: a WebSocket API has both on one host.
    pub(crate) fn connections_router(self) -> Router {
        Router::new()
            .route("/@connections/{id}", any(serve))
            .route("/%40connections/{id}", any(serve))
            .route("/{stage}/@connections/{id}", any(serve))
            .route("/{stage}/%40connections/{id}", any(serve))
            .with_state(self)
    }

    /// The function that sent a request, if it was one.
    fn caller(&self, request: &Request) -> Option<Caller> {
        self.functions.caller(request.access_key_id()?)
    }
}

async fn serve(State(endpoint): State<Endpoint>, request: HttpRequest) -> Response {
    let request = match Request::read(request).await {
        Ok(request) => request,
        Err(refusal) => return refusal,
    };
    let Some((service, operation)) = endpoint.services.claimed(&request) else { return unclaimed(&request) };
    let caller = endpoint.caller(&request);
    let traces = caller.as_ref().map(|caller| caller.traces.clone()).unwrap_or_default();
    let call = Call { operation, traces, request };
    let next = Next { service, ledger: &endpoint.ledger };
    let Some(caller) = caller else { return next.run(call).await };
    let needs = service.needs(&call, endpoint.roles.arns());
    if let Err(denial) = endpoint.roles.check(&caller.function, needs) {
        return service.denied(&denial);
    }
    let kind =
        endpoint.kinds.as_ref().map(|kinds| kinds.note(&caller.function, service.service(), &service.kind(&call)));
    match injected::strike(&endpoint.faults, &caller, &call, service.service()) {
        Some(strike) => {
            if let Some(kind) = kind {
                kind.struck();
            }
            injected::carry_out(strike, &endpoint.functions, call, next).await
        }
        None => next.run(call).await,
    }
}

/// The answer to a request that no service claims.
fn unclaimed(request: &Request) -> Response {
    if request.uri.path() == "/" && request.method != Method::POST {
        return axum::Json(json!({"service": "twin", "status": "ok"})).into_response();
    }
    let message = match request.headers.get("x-amz-target").map(|target| target.to_str().unwrap_or_default()) {
        Some(target) => format!("the local twin does not serve {target}"),
        None if request.action().is_some() => {
            let action = request.action().unwrap_or_default();
            format!(
                "the local twin does not serve {action} by the query protocol in this version; SQS it serves by JSON"
            )
        }
        None if request.uri.path() == "/" => "the request has neither X-Amz-Target nor an Action".to_owned(),
        None => format!("nothing is served at {}", request.uri.path()),
    };
    let body = json!({"__type": "UnknownOperationException", "message": message});
    (StatusCode::NOT_FOUND, [("x-amzn-errortype", "UnknownOperationException")], axum::Json(body)).into_response()
}
