//! From an HTTP request to a socket: the handshake, `$connect`, and the life of the connection up to `$disconnect`.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::upgrade::OnUpgrade;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::api::SocketApi;
use super::connection::{Close, Connection};
use super::session;
use crate::gateway::http::TRACE_HEADER;
use crate::gateway::socket_events::Origin;
use crate::gateway::{Moment, head_bytes, lacks_host};
use crate::ids::gateway_id;
use crate::ledger::TraceId;

/// A router that serves an API; it needs the peer's address ([`ConnectInfo`]).
pub fn router(api: &SocketApi) -> Router {
    Router::new().fallback(serve).with_state(api.clone())
}

async fn serve(
    State(api): State<SocketApi>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request<Body>,
) -> Response {
    let path = request.uri().path().trim_start_matches('/');
    if path.strip_suffix('/').unwrap_or(path) != api.0.stage {
        return (StatusCode::FORBIDDEN, axum::Json(json!({"message": "Forbidden"}))).into_response();
    }
    if api.0.tasks.is_closed() {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    if head_bytes(request.uri(), request.headers()) > api.0.limits.header_bytes {
        return StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE.into_response();
    }
    let accept = match handshake(&request) {
        Ok(accept) => accept,
        Err(status) => return (status, [(header::UPGRADE, "websocket")]).into_response(),
    };
    let upgrade = hyper::upgrade::on(&mut request);
    let (parts, _) = request.into_parts();
    // In a task, so that `$disconnect` follows even if the client leaves during `$connect`.
    match tokio::spawn(connect(api, peer, parts, upgrade, accept)).await {
        Ok(response) => response,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Checks the client's side of the opening handshake (RFC 6455, 4.2.1) and returns the server's key.
fn handshake(request: &Request<Body>) -> Result<String, StatusCode> {
    let headers = request.headers();
    let has = |name: HeaderName, token: &str| {
        let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(token))
    };
    if request.method() != Method::GET || !has(header::CONNECTION, "upgrade") || !has(header::UPGRADE, "websocket") {
        return Err(StatusCode::UPGRADE_REQUIRED);
    }
    if !has(header::SEC_WEBSOCKET_VERSION, "13") || lacks_host(request.version(), headers) {
        return Err(StatusCode::BAD_REQUEST);
    }
    let mut keys = headers.get_all(header::SEC_WEBSOCKET_KEY).iter();
    let (Some(key), None) = (keys.next(), keys.next()) else { return Err(StatusCode::BAD_REQUEST) };
    // The nonce of the client: 16 bytes.
    match STANDARD.decode(key).map(|nonce| nonce.len()) {
        Ok(16) => Ok(derive_accept_key(key.as_bytes())),
        _ => Err(StatusCode::BAD_REQUEST),
    }
}

fn refuse(status: StatusCode, connection_id: &str, request_id: &str, trace: &TraceId) -> Response {
    let message = match status {
        StatusCode::INTERNAL_SERVER_ERROR => "Internal server error",
        other => other.canonical_reason().unwrap_or("Refused"),
    };
    let body = json!({"message": message, "connectionId": connection_id, "requestId": request_id});
    let mut response = (status, axum::Json(body)).into_response();
    name_trace(response.headers_mut(), trace);
    response
}

fn name_trace(headers: &mut HeaderMap, trace: &TraceId) {
    if let Ok(value) = HeaderValue::try_from(trace.as_str()) {
        headers.insert(TRACE_HEADER, value);
    }
}

/// Invokes `$connect`, and accepts or refuses the client.
async fn connect(api: SocketApi, peer: SocketAddr, parts: Parts, upgrade: OnUpgrade, accept: String) -> Response {
    let text = |name: HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let origin = Origin {
        api_id: api.0.api_id.clone(),
        stage: api.0.stage.clone(),
        domain_name: text(header::HOST).unwrap_or_default(),
        connection_id: gateway_id(),
        connected_at: Moment::now(),
        source_ip: peer.ip().to_string(),
        user_agent: text(header::USER_AGENT),
    };
    let trace = api.0.ledger.begin("$connect");
    let _hold = api.0.ledger.hold(std::slice::from_ref(&trace));
    let protocol = match api.admit(&origin, &parts, &trace).await {
        Ok(protocol) => protocol,
        Err((status, request_id)) => {
            api.0.ledger.outcome(&trace, status.as_str());
            return refuse(status, &origin.connection_id, &request_id, &trace);
        }
    };
    api.0.ledger.outcome(&trace, "101");

    // Posts reach the connection from here on, and wait in its buffer until the upgrade is complete.
    let (connection, queue) = Connection::new(origin, api.0.limits.buffered_messages);
    let connection = Arc::new(connection);
    api.connections().insert(connection.origin.connection_id.clone(), connection.clone());
    // `tasks.spawn` alone is not enough: a shutdown in between has already closed all connections that it saw.
    if api.0.tasks.is_closed() {
        connection.close(Close::going_away());
    }
    api.0.tasks.spawn(live(api.clone(), connection, upgrade, queue));

    switch(&accept, protocol, &trace)
}

/// The answer that switches protocols.
fn switch(accept: &str, protocol: Option<HeaderValue>, trace: &TraceId) -> Response {
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::try_from(accept) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(protocol) = protocol {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    name_trace(headers, trace);
    response
}

/// The life of a connection, from the upgrade to its `$disconnect`.
async fn live(api: SocketApi, connection: Arc<Connection>, upgrade: OnUpgrade, queue: mpsc::Receiver<String>) {
    let ended = match upgrade.await {
        Ok(upgraded) => session::run(&api, &connection, upgraded, queue).await,
        Err(error) => {
            tracing::debug!(%error, "the client left before the upgrade");
            session::Ended::abnormal()
        }
    };
    api.connections().remove(&connection.origin.connection_id);
    let Close { code, reason } = ended.close.clone();
    tokio::join!(ended.finish(api.0.limits.close), api.disconnected(&connection.origin, code, &reason));
}
