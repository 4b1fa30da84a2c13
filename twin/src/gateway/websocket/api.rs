//! The API: its connections, and the functions of its routes.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::connection::{AboutConnection, Close, Connection};
use super::limits::SocketLimits;
use super::message::{Message, selection_path};
use crate::faults::{Fault, Faults, Site, Strike};
use crate::functions::{Functions, InvokeError};
use crate::gateway::route_answer::{response_body, status_of, subprotocol};
use crate::gateway::socket_events::{Event, Origin};
use crate::ids::gateway_id;
use crate::ledger::{Ledger, TraceId};
use crate::template::{self, WebSocketRoute};

/// A WebSocket API. A clone is the same API.
#[derive(Debug, Clone)]
pub struct SocketApi(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) api_id: String,
    pub(super) stage: String,
    selection: Vec<String>,
    routes: BTreeMap<String, WebSocketRoute>,
    pub(super) limits: SocketLimits,
    functions: Functions,
    pub(super) ledger: Ledger,
    connections: Mutex<HashMap<String, Arc<Connection>>>,
    pub(super) tasks: TaskTracker,
    faults: Faults,
}

/// The reason for which a post is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// There is no such connection.
    #[error("the connection is gone")]
    Gone,
    /// The client does not read fast enough.
    #[error("the buffer of the connection is full")]
    BufferFull,
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

    /// Its id, which is part of the ARNs of its routes and connections.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.api_id
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

    /// Sends data to a client as one text message. It is accepted once it is in the client's buffer.
    ///
    /// # Errors
    /// If the connection is gone or its buffer is full. Acceptance does not prove delivery.
    pub fn post(&self, connection_id: &str, data: &[u8]) -> Result<(), PostError> {
        let connection = self.connection(connection_id).ok_or(PostError::Gone)?;
        let text = String::from_utf8_lossy(data).into_owned();
        connection.outbound.try_send(text).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => PostError::BufferFull,
            mpsc::error::TrySendError::Closed(_) => PostError::Gone,
        })
    }

    /// Closes a connection after its earlier posts, and returns whether there was one.
    pub fn close(&self, connection_id: &str) -> bool {
        let Some(connection) = self.connections().remove(connection_id) else { return false };
        connection.close(Close::new(1000, "Connection Closed Normally"));
        true
    }

    /// The description of a connection.
    #[must_use]
    pub fn about(&self, connection_id: &str) -> Option<AboutConnection> {
        self.connection(connection_id).map(|connection| connection.about())
    }

    /// The ids of the open connections.
    #[must_use]
    pub fn connection_ids(&self) -> Vec<String> {
        self.connections().keys().cloned().collect()
    }

    /// Whether a fault cuts the socket at this frame, to or from it.
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

    pub(super) fn connections(&self) -> MutexGuard<'_, HashMap<String, Arc<Connection>>> {
        self.0.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the function of a route, and returns its answer.
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

    /// Invokes `$connect`, and returns the subprotocol that it chose if it accepts the client.
    pub(super) async fn admit(
        &self,
        origin: &Origin,
        parts: &Parts,
        trace: &TraceId,
    ) -> Result<Option<HeaderValue>, (StatusCode, String)> {
        let event = origin.connect(&parts.headers, parts.uri.query().unwrap_or_default(), trace);
        let request_id = event.request_id.clone();
        self.0.ledger.alias(trace, &request_id);
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

    /// Invokes the `$disconnect` route, whose answer is ignored.
    pub(super) async fn disconnected(&self, origin: &Origin, code: u16, reason: &str) {
        let Some(route) = self.0.routes.get("$disconnect") else { return };
        let text = vec![origin.connection_id.as_str().into()];
        let site = Site { function: Some(&route.function), service: None, operation: "$disconnect", text };
        match self.0.faults.strike(&site, &[Fault::LoseDisconnect, Fault::LateDisconnect]) {
            Some(Strike { fault: Fault::LoseDisconnect, .. }) => {
                tracing::info!(connection = %origin.connection_id, code, "a fault loses $disconnect");
                return;
            }
            Some(Strike { chance, .. }) => tokio::time::sleep(lateness(chance)).await,
            None => {}
        }
        let trace = self.0.ledger.begin("$disconnect");
        let _hold = self.0.ledger.hold(std::slice::from_ref(&trace));
        let event = origin.disconnect(code, reason);
        self.0.ledger.alias(&trace, &event.request_id);
        match self.integrate(route, event, &trace).await {
            Ok(_) => self.0.ledger.outcome(&trace, "done"),
            Err(failure) => {
                self.0.ledger.outcome(&trace, failure.message());
                tracing::warn!(connection = %origin.connection_id, ?failure, "$disconnect failed");
            }
        }
    }

    /// Passes a message to its route, and the answer back. Returns at once; the work continues in a task.
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
                // Waits if the client is slow; meanwhile, no more of its messages are read.
                let _ = connection.outbound.send(answer).await;
            }
            drop(permit);
        });
    }

    /// The frame that answers a message, if the route has a response.
    async fn route(&self, origin: &Origin, message: Message) -> Option<String> {
        let selected = message.select(&self.0.selection);
        let selected = selected.as_deref().filter(|key| !key.starts_with('$') && self.0.routes.contains_key(*key));
        let key = selected.unwrap_or("$default");
        let trace = self.0.ledger.begin(key);
        let _hold = self.0.ledger.hold(std::slice::from_ref(&trace));
        let Some(route) = self.0.routes.get(key) else {
            let request_id = gateway_id();
            self.0.ledger.alias(&trace, &request_id);
            self.0.ledger.outcome(&trace, "Forbidden");
            return Some(error_frame("Forbidden", origin, &request_id));
        };
        let event = match &message {
            Message::Text(text) => origin.message(key, text, false),
            Message::Binary(bytes) => origin.message(key, &STANDARD.encode(bytes), true),
        };
        let request_id = event.request_id.clone();
        self.0.ledger.alias(&trace, &request_id);
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

/// The delay of a late `$disconnect`: one to five seconds.
fn lateness(chance: u64) -> Duration {
    Duration::from_millis(1000 + chance % 4001)
}

/// The failure of a route, as far as the gateway reports it to the client.
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

fn error_frame(message: &str, origin: &Origin, request_id: &str) -> String {
    json!({"message": message, "connectionId": origin.connection_id, "requestId": request_id}).to_string()
}
