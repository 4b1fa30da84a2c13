//! The WebSocket API: sockets on one side, functions on the other.
//!
//! The upgrade waits for `$connect`; then a `session` reads and writes the socket, and every message
//! goes to the function of its route. Posts from `@connections` and route responses leave through one queue per
//! connection, so that they arrive in the order in which they were accepted.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::upgrade::OnUpgrade;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_util::task::TaskTracker;

use super::Moment;
use super::http::TRACE_HEADER;
use super::route_answer::{response_body, status_of, subprotocol};
use super::session::{self, Close};
use super::socket_events::{Event, Origin};
use crate::faults::{Fault, Faults, Site, Strike};
use crate::functions::{Functions, InvokeError};
use crate::ids::gateway_id;
use crate::ledger::{Ledger, TraceId};
use crate::template::{self, WebSocketRoute};

/// What becomes of a binary frame from a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BinaryFrames {
    /// It goes to the route as Base64 with `isBase64Encoded`.
    Forward,
    /// The connection is closed with 1003, as the documentation of API Gateway says.
    Refuse,
}

/// The limits of a WebSocket API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketLimits {
    /// How long a connection may be silent in both directions: 10 minutes.
    pub idle: Duration,
    /// How long a connection may live: 2 hours.
    pub life: Duration,
    /// The largest frame, in bytes of payload: 32 KB.
    pub frame_bytes: usize,
    /// The largest message, in either direction: 128 KB.
    pub message_bytes: usize,
    /// The longest that an integration may take: 29 seconds.
    pub integration: Duration,
    /// How many messages to a client wait in its buffer before a post is throttled.
    pub buffered_messages: usize,
    /// How many messages from one client are handled at once before the next is read.
    pub concurrent_messages: usize,
    /// How long a client has to answer a close before its socket is dropped.
    pub close: Duration,
    /// What becomes of binary frames.
    pub binary_frames: BinaryFrames,
}

impl Default for SocketLimits {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(10 * 60),
            life: Duration::from_secs(2 * 60 * 60),
            frame_bytes: 32 * 1024,
            message_bytes: 128 * 1024,
            integration: Duration::from_secs(29),
            buffered_messages: 256,
            concurrent_messages: 32,
            close: Duration::from_secs(3),
            binary_frames: BinaryFrames::Refuse,
        }
    }
}

/// A WebSocket API. A clone is the same API.
#[derive(Debug, Clone)]
pub struct SocketApi(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    api_id: String,
    stage: String,
    selection: Vec<String>,
    routes: BTreeMap<String, WebSocketRoute>,
    limits: SocketLimits,
    functions: Functions,
    ledger: Ledger,
    connections: Mutex<HashMap<String, Arc<Connection>>>,
    tasks: TaskTracker,
    faults: Faults,
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) origin: Origin,
    /// What is to be sent, in order.
    outbound: mpsc::Sender<String>,
    /// Set once the gateway wants it closed.
    pub(super) closing: watch::Sender<Option<Close>>,
    last_active: AtomicI64,
}

/// What `GET @connections/{id}` tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AboutConnection {
    /// When it was opened, ISO 8601.
    pub connected_at: String,
    /// When something was last sent or received, ISO 8601.
    pub last_active_at: String,
    /// The address of the client.
    pub source_ip: String,
    /// What the client calls itself.
    pub user_agent: Option<String>,
}

/// Why a post was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// There is no such connection.
    #[error("the connection is gone")]
    Gone,
    /// The client does not read fast enough.
    #[error("the buffer of the connection is full")]
    BufferFull,
}

impl Connection {
    /// Notes that something was sent or received.
    pub(super) fn touch(&self) {
        self.last_active.store(Moment::now().epoch_millis(), Ordering::Relaxed);
    }

    /// How long it has been silent.
    pub(super) fn silent_for(&self) -> Duration {
        let millis = Moment::now().epoch_millis() - self.last_active.load(Ordering::Relaxed);
        Duration::from_millis(u64::try_from(millis).unwrap_or_default())
    }

    /// Asks for its end, unless that was asked before.
    pub(super) fn close(&self, close: Close) {
        self.closing.send_if_modified(|closing| {
            let first = closing.is_none();
            closing.get_or_insert(close);
            first
        });
    }
}

impl SocketApi {
    /// The API of a template.
    #[must_use]
    pub fn new(
        api: template::WebSocketApi,
        functions: Functions,
        ledger: Ledger,
        limits: SocketLimits,
        faults: Faults,
    ) -> Self {
        let template::WebSocketApi { api_id, stage, route_selection_expression, routes, .. } = api;
        Self(Arc::new(Inner {
            api_id,
            stage,
            selection: selection_path(&route_selection_expression),
            routes,
            limits,
            functions,
            ledger,
            connections: Mutex::default(),
            tasks: TaskTracker::new(),
            faults,
        }))
    }

    /// A router that serves it; it needs the peer's address ([`ConnectInfo`]).
    pub fn router(&self) -> Router {
        Router::new().fallback(serve).with_state(self.clone())
    }

    /// The stage, the first segment of every path.
    #[must_use]
    pub fn stage(&self) -> &str {
        &self.0.stage
    }

    /// The limits.
    #[must_use]
    pub fn limits(&self) -> &SocketLimits {
        &self.0.limits
    }

    /// Sends data to a client as one text message; it is accepted when it is in the client's buffer.
    ///
    /// # Errors
    /// Where the connection is gone or its buffer is full. Acceptance does not prove delivery.
    pub fn post(&self, connection_id: &str, data: &[u8]) -> Result<(), PostError> {
        let connection = self.connection(connection_id).ok_or(PostError::Gone)?;
        let text = String::from_utf8_lossy(data).into_owned();
        connection.outbound.try_send(text).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => PostError::BufferFull,
            mpsc::error::TrySendError::Closed(_) => PostError::Gone,
        })
    }

    /// Closes a connection, after what was posted before; tells whether there was one.
    pub fn close(&self, connection_id: &str) -> bool {
        let Some(connection) = self.connections().remove(connection_id) else { return false };
        connection.close(Close::new(1000, "Connection Closed Normally"));
        true
    }

    /// What is known of a connection.
    #[must_use]
    pub fn about(&self, connection_id: &str) -> Option<AboutConnection> {
        let connection = self.connection(connection_id)?;
        let last_active = Moment::from_epoch_millis(connection.last_active.load(Ordering::Relaxed));
        Some(AboutConnection {
            connected_at: connection.origin.connected_at.iso(),
            last_active_at: last_active.iso(),
            source_ip: connection.origin.source_ip.clone(),
            user_agent: connection.origin.user_agent.clone(),
        })
    }

    /// The ids of the open connections.
    #[must_use]
    pub fn connection_ids(&self) -> Vec<String> {
        self.connections().keys().cloned().collect()
    }

    /// Whether a socket is cut at this frame, to or from it.
    pub(super) fn cuts(&self, connection: &Connection, frame: &str) -> bool {
        if !self.0.faults.armed() {
            return false;
        }
        let text = vec![connection.origin.connection_id.as_str().into(), frame.into()];
        let site = Site { operation: "Frame", text, ..Site::default() };
        self.0.faults.strikes(Fault::DropSocket, &site)
    }

    /// Closes every connection with 1001 and waits, at most this long, until their `$disconnect` is done.
    pub async fn shutdown(&self, grace: Duration) {
        self.0.tasks.close();
        let open: Vec<_> = self.connections().drain().map(|(_, connection)| connection).collect();
        for connection in open {
            connection.close(Close::going_away());
        }
        if tokio::time::timeout(grace, self.0.tasks.wait()).await.is_err() {
            tracing::warn!("some sockets did not close in time");
        }
    }

    fn connection(&self, id: &str) -> Option<Arc<Connection>> {
        self.connections().get(id).cloned()
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<String, Arc<Connection>>> {
        self.0.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the function of a route; the answer is that of the function.
    async fn integrate(&self, route: &WebSocketRoute, event: Event, trace: &TraceId) -> Result<Value, RouteFailure> {
        let limit = route.timeout.map_or(self.0.limits.integration, |limit| limit.min(self.0.limits.integration));
        let traces = std::slice::from_ref(trace);
        let invoked = self.0.functions.invoke(&route.function, event.body.to_string().into(), traces);
        match tokio::time::timeout(limit, invoked).await {
            Ok(Ok(answer)) => serde_json::from_slice(&answer).map_err(|_| RouteFailure::Internal),
            Ok(Err(InvokeError::Throttled { .. })) => Err(RouteFailure::Throttled),
            Ok(Err(_)) => Err(RouteFailure::Internal),
            Err(_) => Err(RouteFailure::TimedOut),
        }
    }

    /// Asks `$connect` whether the client may come in; with the subprotocol that it chose.
    async fn admit(
        &self,
        origin: &Origin,
        parts: &Parts,
        trace: &TraceId,
    ) -> Result<Option<HeaderValue>, (StatusCode, String)> {
        let event = origin.connect(&parts.headers, parts.uri.query().unwrap_or_default(), trace);
        let request_id = event.request_id.clone();
        let Some(route) = self.0.routes.get("$connect") else { return Ok(None) };
        let answer = self.integrate(route, event, trace).await;
        let status = match &answer {
            Ok(answer) => status_of(answer).filter(|status| !status.is_informational()),
            Err(RouteFailure::TimedOut) => Some(StatusCode::GATEWAY_TIMEOUT),
            Err(RouteFailure::Throttled) => Some(StatusCode::TOO_MANY_REQUESTS),
            Err(RouteFailure::Internal) => None,
        };
        match (answer, status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)) {
            (Ok(answer), status) if status.is_success() => Ok(subprotocol(&answer)),
            (_, status) => Err((status, request_id)),
        }
    }

    async fn connect(self, peer: SocketAddr, parts: Parts, upgrade: OnUpgrade, accept: String) -> Response {
        let text = |name: HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let origin = Origin {
            api_id: self.0.api_id.clone(),
            stage: self.0.stage.clone(),
            domain_name: text(header::HOST).unwrap_or_default(),
            connection_id: gateway_id(),
            connected_at: Moment::now(),
            source_ip: peer.ip().to_string(),
            user_agent: text(header::USER_AGENT),
        };
        let trace = self.0.ledger.begin("$connect");
        let _hold = self.0.ledger.hold(std::slice::from_ref(&trace));
        let protocol = match self.admit(&origin, &parts, &trace).await {
            Ok(protocol) => protocol,
            Err((status, request_id)) => {
                self.0.ledger.outcome(&trace, status.as_str());
                return refuse(status, &origin.connection_id, &request_id, &trace);
            }
        };
        self.0.ledger.outcome(&trace, "101");

        // Posts find it from here on, and wait in its buffer until the upgrade is through.
        let (outbound, queue) = mpsc::channel(self.0.limits.buffered_messages);
        let connection = Arc::new(Connection {
            last_active: AtomicI64::new(origin.connected_at.epoch_millis()),
            origin,
            outbound,
            closing: watch::channel(None).0,
        });
        self.connections().insert(connection.origin.connection_id.clone(), connection.clone());
        // Not by `tasks.spawn` alone: a shutdown in between has already closed all that it saw.
        if self.0.tasks.is_closed() {
            connection.close(Close::going_away());
        }
        self.0.tasks.spawn(self.clone().live(connection, upgrade, queue));

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
        name_trace(headers, &trace);
        response
    }

    /// The life of a connection, from the upgrade to its `$disconnect`.
    async fn live(self, connection: Arc<Connection>, upgrade: OnUpgrade, queue: mpsc::Receiver<String>) {
        let ended = match upgrade.await {
            Ok(upgraded) => session::run(&self, &connection, upgraded, queue).await,
            Err(error) => {
                tracing::debug!(%error, "the client left before the upgrade");
                session::Ended::abnormal()
            }
        };
        self.connections().remove(&connection.origin.connection_id);
        let Close { code, reason } = ended.close.clone();
        tokio::join!(ended.finish(self.0.limits.close), self.disconnected(&connection.origin, code, &reason));
    }

    /// Tells the `$disconnect` route, whose answer nobody waits for.
    async fn disconnected(&self, origin: &Origin, code: u16, reason: &str) {
        let Some(route) = self.0.routes.get("$disconnect") else { return };
        let text = vec![origin.connection_id.as_str().into()];
        let site = Site { function: Some(&route.function), service: None, operation: "$disconnect", text };
        match self.0.faults.strike(&site, &[Fault::LoseDisconnect, Fault::LateDisconnect]) {
            Some(Strike { fault: Fault::LoseDisconnect, .. }) => {
                tracing::info!(connection = %origin.connection_id, code, "$disconnect is lost, as asked for");
                return;
            }
            Some(Strike { chance, .. }) => tokio::time::sleep(lateness(chance)).await,
            None => {}
        }
        let trace = self.0.ledger.begin("$disconnect");
        let _hold = self.0.ledger.hold(std::slice::from_ref(&trace));
        if let Err(failure) = self.integrate(route, origin.disconnect(code, reason), &trace).await {
            tracing::warn!(connection = %origin.connection_id, ?failure, "$disconnect failed");
        }
    }

    /// Hands a message to its route, and its answer back; it returns at once, and the work goes on by itself.
    pub(super) fn received(
        &self,
        connection: Arc<Connection>,
        message: Message,
        permit: tokio::sync::OwnedSemaphorePermit,
    ) {
        let api = self.clone();
        self.0.tasks.spawn(async move {
            let answer = api.route(&connection.origin, message).await;
            if let Some(answer) = answer {
                // Waits where the client is slow: its own messages are then read no further.
                let _ = connection.outbound.send(answer).await;
            }
            drop(permit);
        });
    }

    /// The frame that answers a message, if one does.
    async fn route(&self, origin: &Origin, message: Message) -> Option<String> {
        let selected = message.select(&self.0.selection);
        let selected = selected.as_deref().filter(|key| !key.starts_with('$') && self.0.routes.contains_key(*key));
        let key = selected.unwrap_or("$default");
        let Some(route) = self.0.routes.get(key) else {
            return Some(error_frame("Forbidden", origin, &gateway_id()));
        };
        let trace = self.0.ledger.begin(key);
        let _hold = self.0.ledger.hold(std::slice::from_ref(&trace));
        let event = match &message {
            Message::Text(text) => origin.message(key, text, false),
            Message::Binary(bytes) => origin.message(key, &STANDARD.encode(bytes), true),
        };
        let request_id = event.request_id.clone();
        let failure = match self.integrate(route, event, &trace).await {
            Ok(answer) => match status_of(&answer) {
                Some(status) if status.as_u16() < 400 => {
                    self.0.ledger.outcome(&trace, status.as_str());
                    return if route.has_route_response { response_body(&answer) } else { None };
                }
                Some(_) => RouteFailure::Internal,
                None => {
                    tracing::warn!(function = %route.function, "the function's answer has no statusCode");
                    RouteFailure::Internal
                }
            },
            Err(failure) => failure,
        };
        self.0.ledger.outcome(&trace, failure.message());
        Some(error_frame(failure.message(), origin, &request_id))
    }
}

/// How late a `$disconnect` is that is late: one to five seconds.
fn lateness(chance: u64) -> Duration {
    Duration::from_millis(1000 + chance % 4001)
}

impl Moment {
    fn from_epoch_millis(millis: i64) -> Self {
        let moment = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000);
        Self(moment.unwrap_or(time::OffsetDateTime::UNIX_EPOCH))
    }
}

/// A message from a client.
#[derive(Debug)]
pub(super) enum Message {
    Text(String),
    Binary(bytes::Bytes),
}

impl Message {
    /// What the route selection expression yields: a scalar in a JSON document.
    fn select(&self, path: &[String]) -> Option<String> {
        let document: Value = match self {
            Self::Text(text) => serde_json::from_str(text).ok()?,
            Self::Binary(_) => return None,
        };
        let selected = path.iter().try_fold(&document, |value, name| value.get(name))?;
        match selected {
            Value::String(text) => Some(text.clone()),
            Value::Number(_) | Value::Bool(_) => Some(selected.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }
}

/// How a route failed; the gateway tells the client no more than this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RouteFailure {
    Internal,
    TimedOut,
    Throttled,
}

impl RouteFailure {
    fn message(self) -> &'static str {
        match self {
            Self::Internal => "Internal server error",
            Self::TimedOut => "Endpoint request timed out",
            Self::Throttled => "Too Many Requests",
        }
    }
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
    let accept = match handshake(&request) {
        Ok(accept) => accept,
        Err(status) => return (status, [(header::UPGRADE, "websocket")]).into_response(),
    };
    let upgrade = hyper::upgrade::on(&mut request);
    let (parts, _) = request.into_parts();
    // On its own, so that a client that leaves during `$connect` still gets its `$disconnect`.
    match tokio::spawn(api.connect(peer, parts, upgrade, accept)).await {
        Ok(response) => response,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Checks the client's side of the opening handshake (RFC 6455, 4.2.1); gives the server's key.
fn handshake(request: &Request<Body>) -> Result<String, StatusCode> {
    let headers = request.headers();
    let has = |name: HeaderName, token: &str| {
        let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(token))
    };
    if request.method() != Method::GET || !has(header::CONNECTION, "upgrade") || !has(header::UPGRADE, "websocket") {
        return Err(StatusCode::UPGRADE_REQUIRED);
    }
    if !has(header::SEC_WEBSOCKET_VERSION, "13") {
        return Err(StatusCode::BAD_REQUEST);
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).ok_or(StatusCode::BAD_REQUEST)?;
    Ok(derive_accept_key(key.as_bytes()))
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

/// `$request.body.action`, also written `${request.body.action}`, as the path `action` into the body.
fn selection_path(expression: &str) -> Vec<String> {
    let bare = expression.trim().trim_start_matches('$').trim_start_matches('{').trim_end_matches('}');
    let path = bare.strip_prefix("request.body.").unwrap_or_default();
    path.split('.').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn error_frame(message: &str, origin: &Origin, request_id: &str) -> String {
    json!({"message": message, "connectionId": origin.connection_id, "requestId": request_id}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_selection_expression_is_a_path_into_the_body() {
        assert_eq!(selection_path("$request.body.action"), ["action"]);
        assert_eq!(selection_path("${request.body.command.name}"), ["command", "name"]);
    }

    #[test]
    fn only_a_scalar_in_a_json_text_selects_a_route() {
        let path = selection_path("$request.body.action");
        let select = |text: &str| Message::Text(text.to_owned()).select(&path);
        assert_eq!(select(r#"{"action":"sync"}"#).as_deref(), Some("sync"));
        assert_eq!(select(r#"{"action":7}"#).as_deref(), Some("7"));
        for other in ["not json", "[]", r#"{"action":{}}"#, r#"{"action":null}"#, r#"{"other":1}"#] {
            assert_eq!(select(other), None, "{other}");
        }
        assert_eq!(Message::Binary(r#"{"action":"sync"}"#.into()).select(&path), None);
    }
}
