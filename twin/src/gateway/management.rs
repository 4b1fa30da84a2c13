//! `@connections`: what a backend does with an open socket. POST sends, GET tells, DELETE closes.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::websocket::{PostError, SocketApi};
use crate::ids::gateway_id;

/// Serves `/{stage}/@connections/{connectionId}` for one WebSocket API.
pub fn router(api: SocketApi) -> Router {
    Router::new().route("/{stage}/@connections/{id}", axum::routing::any(serve)).with_state(api)
}

async fn serve(
    State(api): State<SocketApi>,
    Path((stage, id)): Path<(String, String)>,
    request: Request<Body>,
) -> Response {
    let (parts, body) = request.into_parts();
    if !is_signed(&parts.headers) {
        return Refusal::Unsigned.response(&id);
    }
    if stage != api.stage() {
        return Refusal::Forbidden.response(&id);
    }
    let done = match parts.method {
        Method::POST => post(&api, &id, body).await,
        Method::GET => describe(&api, &id),
        Method::DELETE if api.close(&id) => Ok(StatusCode::NO_CONTENT.into_response()),
        Method::DELETE => Err(Refusal::Gone),
        // An unknown method is an unknown resource to API Gateway.
        _ => Err(Refusal::Unsigned),
    };
    done.unwrap_or_else(|refusal| refusal.response(&id))
}

async fn post(api: &SocketApi, id: &str, body: Body) -> Result<Response, Refusal> {
    let data = axum::body::to_bytes(body, api.limits().message_bytes).await.map_err(|_| Refusal::TooLarge)?;
    match api.post(id, &data) {
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

/// Real signatures cannot be checked without a real secret; that there is one can.
fn is_signed(headers: &HeaderMap) -> bool {
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    authorization.is_some_and(|value| value.starts_with("AWS4-HMAC-SHA256 "))
}

/// Why a request to `@connections` is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
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

    /// The error's name, by which an SDK knows it.
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
            Self::Throttled => "Too many requests: the client does not read what was sent to it",
            Self::Internal => "Internal server error",
        }
    }

    pub(crate) fn response(self, connection_id: &str) -> Response {
        let request_id = gateway_id();
        let body = json!({"message": self.message(), "connectionId": connection_id, "requestId": request_id});
        let headers = [("x-amzn-errortype", self.name().to_owned()), ("x-amzn-requestid", request_id)];
        (self.status(), headers, axum::Json(body)).into_response()
    }
}
