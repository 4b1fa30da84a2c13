//! `@connections`: the operations of a backend on an open socket. POST sends, GET describes, DELETE closes.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use serde_json::json;

use super::call::{AwsService, Call, Next, Refused, Request};
use crate::faults::Fault;
use crate::gateway::percent_decode;
use crate::gateway::websocket::{PostError, SocketApi};
use crate::iam::{Arns, Denial, Need};
use crate::ids::gateway_id;
use crate::service::{Definition, Service, Words};

/// `@connections` of the WebSocket API.
pub const SERVICE: Service = Service::new(&Definition {
    name: "connections",
    title: "@connections",
    place: 2,
    operations: &["DeleteConnection", "GetConnection", "PostToConnection"],
    words,
    faults,
});

fn words(operation: &str) -> Words {
    match operation {
        "PostToConnection" => Words::alone(0, "posts"),
        _ => Words::alone(1, "connection requests"),
    }
}

fn faults(operation: &str) -> &'static [Fault] {
    match operation {
        "PostToConnection" => &[Fault::GoneThoughDelivered, Fault::AcceptedThoughDead],
        _ => &[],
    }
}

/// `@connections` of the WebSocket API, if the template has one. A clone serves the same one.
#[derive(Debug, Clone)]
pub struct Connections {
    api: Option<SocketApi>,
}

impl Connections {
    /// The management side of an API.
    #[must_use]
    pub fn new(api: Option<SocketApi>) -> Self {
        Self { api }
    }

    /// Serves `@connections` alone, without the endpoint: no request is counted and no fault strikes.
    pub fn router(self) -> Router {
        Router::new().fallback(alone).with_state(self)
    }
}

async fn alone(State(connections): State<Connections>, request: axum::extract::Request) -> Response {
    match Request::read(request).await {
        Ok(request) => match connections.claims(&request) {
            Some(operation) => connections.serve(Call { operation, traces: Vec::new(), request }).await,
            None => StatusCode::NOT_FOUND.into_response(),
        },
        Err(refusal) => refusal,
    }
}

impl AwsService for Connections {
    fn service(&self) -> Service {
        SERVICE
    }

    fn claims(&self, request: &Request) -> Option<String> {
        self.api.as_ref()?;
        address(request)?;
        let operation = match request.method {
            Method::POST => "PostToConnection",
            Method::DELETE => "DeleteConnection",
            _ => "GetConnection",
        };
        Some(operation.to_owned())
    }

    fn serve(&self, call: Call) -> BoxFuture<'_, Response> {
        let served = match (&self.api, address(&call.request)) {
            (Some(api), Some((stage, id))) => {
                serve(api, stage.as_deref(), &id, &call.request).map_err(|refusal| (refusal, id))
            }
            _ => Err((Refusal::Unsigned, String::new())),
        };
        ready(served.unwrap_or_else(|(refusal, id)| refusal.response(&id))).boxed()
    }

    /// <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-control-access-iam.html>
    fn needs(&self, call: &Call, arns: &Arns) -> Vec<Need> {
        let (Some(api), Some((stage, id))) = (&self.api, address(&call.request)) else { return Vec::new() };
        let stage = stage.as_deref().unwrap_or(api.stage());
        let resource = format!("{}/{stage}/{}/@connections/{id}", api.id(), call.request.method);
        vec![Need::of("execute-api:ManageConnections", arns.of("execute-api", &resource))]
    }

    /// The real service does not name the connection.
    fn denied(&self, denial: &Denial) -> Response {
        let Denial { principal, action, resource, .. } = denial;
        let resource = resource.rsplit_once('/').map_or("", |(before, _)| before);
        let message = format!(
            "User: {principal} is not authorized to perform: {action} on resource: {resource}/{{connectionId}}"
        );
        let headers = [("x-amzn-errortype", "AccessDeniedException".to_owned()), ("x-amzn-requestid", gateway_id())];
        (StatusCode::FORBIDDEN, headers, axum::Json(json!({"Message": message}))).into_response()
    }

    fn refusal(&self, refused: Refused, call: &Call) -> Response {
        let refusal = match refused {
            Refused::Throttled { .. } => Refusal::Throttled,
            Refused::Failed => Refusal::Internal,
        };
        refusal.response(&connection_id(call))
    }

    fn struck<'a>(&'a self, fault: Fault, call: Call, next: Next<'a>) -> BoxFuture<'a, Response> {
        match fault {
            Fault::GoneThoughDelivered => async move {
                let id = connection_id(&call);
                let response = next.run(call).await;
                if response.status().is_success() { Refusal::Gone.response(&id) } else { response }
            }
            .boxed(),
            Fault::AcceptedThoughDead => ready(StatusCode::OK.into_response()).boxed(),
            _ => next.run(call),
        }
    }
}

/// The stage and the connection in a path: `/{stage}/@connections/{connectionId}`, or without the stage, as from an SDK
/// whose endpoint is that of all services.
fn address(request: &Request) -> Option<(Option<String>, String)> {
    let path = request.uri.path().strip_prefix('/')?;
    let (stage, id) = match path.split('/').collect::<Vec<_>>()[..] {
        [stage, literal, id] if is_literal(literal) && !stage.is_empty() => (Some(percent_decode(stage, false)), id),
        [literal, id] if is_literal(literal) => (None, id),
        _ => return None,
    };
    (!id.is_empty()).then(|| (stage, percent_decode(id, false)))
}

/// Whether this segment is `@connections`; some SDKs escape the `@`.
fn is_literal(segment: &str) -> bool {
    percent_decode(segment, false) == "@connections"
}

fn connection_id(call: &Call) -> String {
    address(&call.request).map(|(_, id)| id).unwrap_or_default()
}

fn serve(api: &SocketApi, stage: Option<&str>, id: &str, request: &Request) -> Result<Response, Refusal> {
    if !is_signed(&request.headers) {
        return Err(Refusal::Unsigned);
    }
    if stage.is_some_and(|stage| stage != api.stage()) {
        return Err(Refusal::Forbidden);
    }
    match request.method {
        Method::POST => post(api, id, &request.body),
        Method::GET => describe(api, id),
        Method::DELETE if api.close(id) => Ok(StatusCode::NO_CONTENT.into_response()),
        Method::DELETE => Err(Refusal::Gone),
        // An unknown method is an unknown resource to API Gateway.
        _ => Err(Refusal::Unsigned),
    }
}

fn post(api: &SocketApi, id: &str, data: &[u8]) -> Result<Response, Refusal> {
    if data.len() > api.limits().message_bytes {
        return Err(Refusal::TooLarge);
    }
    match api.post(id, data) {
        Ok(()) => Ok(StatusCode::OK.into_response()),
        Err(PostError::Gone) => Err(Refusal::Gone),
        Err(PostError::BufferFull) => Err(Refusal::Throttled),
    }
}

fn describe(api: &SocketApi, id: &str) -> Result<Response, Refusal> {
    let about = api.about(id).ok_or(Refusal::Gone)?;
    let identity = json!({"sourceIp": about.source_ip, "userAgent": about.user_agent});
    let body = json!({"connectedAt": about.connected_at, "identity": identity, "lastActiveAt": about.last_active_at});
    Ok(axum::Json(body).into_response())
}

/// Whether a request is signed. The signature itself cannot be checked without a real secret.
fn is_signed(headers: &HeaderMap) -> bool {
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    authorization.is_some_and(|value| value.starts_with("AWS4-HMAC-SHA256 "))
}

/// The reason for which a request to `@connections` is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    Unsigned,
    Forbidden,
    Gone,
    TooLarge,
    Throttled,
    Internal,
}

impl Refusal {
    fn status(self) -> StatusCode {
        match self {
            Self::Unsigned | Self::Forbidden => StatusCode::FORBIDDEN,
            Self::Gone => StatusCode::GONE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Throttled => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The error's name, by which an SDK identifies it.
    fn name(self) -> &'static str {
        match self {
            Self::Unsigned => "MissingAuthenticationTokenException",
            Self::Forbidden => "ForbiddenException",
            Self::Gone => "GoneException",
            Self::TooLarge => "PayloadTooLargeException",
            Self::Throttled => "LimitExceededException",
            Self::Internal => "InternalServerErrorException",
        }
    }

    fn message(self) -> &'static str {
        match self {
            Self::Unsigned => "Missing Authentication Token",
            Self::Forbidden => "Forbidden",
            Self::Gone => "Gone",
            Self::TooLarge => "Payload is too large",
            Self::Throttled => "Too many requests: the client does not read its messages",
            Self::Internal => "Internal server error",
        }
    }

    fn response(self, connection_id: &str) -> Response {
        let request_id = gateway_id();
        let body = json!({"message": self.message(), "connectionId": connection_id, "requestId": request_id});
        let headers = [("x-amzn-errortype", self.name().to_owned()), ("x-amzn-requestid", request_id)];
        (self.status(), headers, axum::Json(body)).into_response()
    }
}
