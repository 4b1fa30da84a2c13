//! The Lambda Runtime API of one process. Each process has a separate listener, so that none can take another's work.
//!
//! The paths, headers and answers are those of version 2018-06-01. At most one invocation is offered at a time, because
//! Lambda gives an execution environment one invocation at a time.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use serde_json::json;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::listener::BoundListener;

/// The largest answer of a function, in bytes: 6 MB, and the margin that Lambda grants.
pub(super) const RESPONSE_LIMIT: usize = 6 * 1024 * 1024 + 100;

/// One invocation, offered to a process.
#[derive(Debug)]
pub(super) struct Invocation {
    pub(super) request_id: String,
    pub(super) arn: String,
    pub(super) trace: String,
    pub(super) payload: Bytes,
    pub(super) timeout: Duration,
    /// Receives a signal when the process takes the invocation: its time runs from then on.
    pub(super) taken: oneshot::Sender<()>,
    /// Receives the outcome.
    pub(super) answer: oneshot::Sender<Answer>,
}

/// The outcome of an invocation, as its process reports it.
#[derive(Debug)]
pub(super) enum Answer {
    /// The function's result.
    Response(Bytes),
    /// The function failed: the error document, and the type from the header.
    Error { error_type: Option<String>, payload: Bytes },
    /// The process could not start: the error document, and the type from the header.
    InitError { error_type: Option<String>, payload: Bytes },
    /// The function's result is larger than Lambda passes on.
    TooLarge,
}

/// The runtime API of one process.
#[derive(Debug, Clone, Default)]
pub(super) struct RuntimeApi(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    slot: Mutex<Slot>,
    offered: Notify,
}

/// The state of the one invocation of this process.
#[derive(Debug, Default)]
enum Slot {
    #[default]
    Empty,
    Offered(Invocation),
    Running {
        request_id: String,
        answer: oneshot::Sender<Answer>,
    },
}

/// The listener of one process; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl RuntimeApi {
    /// Opens a listener on loopback.
    pub(super) fn listen(&self) -> std::io::Result<Listening> {
        let listener = BoundListener::bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(listener.serve(self.router(), CancellationToken::new(), None));
        Ok(Listening { address, task })
    }

    /// Offers an invocation, which the process takes with its next poll.
    pub(super) fn offer(&self, invocation: Invocation) {
        *self.slot() = Slot::Offered(invocation);
        self.0.offered.notify_one();
    }

    fn router(&self) -> Router {
        Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .route("/2018-06-01/runtime/init/error", post(init_error))
            .layer(DefaultBodyLimit::disable())
            .with_state(self.clone())
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.0.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the offered invocation; its time runs from now on.
    fn take(&self) -> Option<Response> {
        let mut slot = self.slot();
        let Invocation { request_id, arn, trace, payload, timeout, taken, answer } = match std::mem::take(&mut *slot) {
            Slot::Offered(invocation) => invocation,
            // A process that polls while an invocation runs has abandoned it; the caller sees that at its deadline.
            other => {
                *slot = other;
                return None;
            }
        };
        let deadline = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + timeout;
        let response = Response::builder()
            .header(header::CONTENT_TYPE, "application/json")
            .header("Lambda-Runtime-Aws-Request-Id", &request_id)
            .header("Lambda-Runtime-Deadline-Ms", deadline.as_millis().to_string())
            .header("Lambda-Runtime-Invoked-Function-Arn", arn)
            .header("Lambda-Runtime-Trace-Id", trace)
            .body(Body::from(payload));
        match response {
            Ok(response) => {
                // The caller may have given up; then it will not receive the answer, either.
                let _ = taken.send(());
                *slot = Slot::Running { request_id, answer };
                Some(response)
            }
            Err(error) => {
                tracing::error!(%error, "an invocation could not be offered");
                None
            }
        }
    }

    /// Ends the invocation of this id.
    fn end(&self, id: &str, answer: Answer) -> Response {
        let mut slot = self.slot();
        match std::mem::take(&mut *slot) {
            Slot::Running { request_id, answer: waiting } if request_id == id => {
                let _ = waiting.send(answer);
                accepted()
            }
            other => {
                *slot = other;
                refused(StatusCode::BAD_REQUEST, "InvalidRequestID", "no such invocation is running")
            }
        }
    }
}

async fn next(State(api): State<RuntimeApi>) -> Response {
    loop {
        // `notify_one` leaves a permit when no task waits, so an offer between `take` and the wait is not missed.
        if let Some(response) = api.take() {
            return response;
        }
        api.0.offered.notified().await;
    }
}

async fn response(State(api): State<RuntimeApi>, Path(id): Path<String>, body: Body) -> Response {
    match axum::body::to_bytes(body, RESPONSE_LIMIT).await {
        Ok(body) => api.end(&id, Answer::Response(body)),
        Err(_) => {
            api.end(&id, Answer::TooLarge);
            let message = format!("Exceeded maximum allowed payload size ({RESPONSE_LIMIT} bytes).");
            refused(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", &message)
        }
    }
}

async fn error(State(api): State<RuntimeApi>, Path(id): Path<String>, headers: HeaderMap, body: Bytes) -> Response {
    api.end(&id, Answer::Error { error_type: error_type(&headers), payload: body })
}

async fn init_error(State(api): State<RuntimeApi>, headers: HeaderMap, body: Bytes) -> Response {
    let mut slot = api.slot();
    let answer = Answer::InitError { error_type: error_type(&headers), payload: body };
    match std::mem::take(&mut *slot) {
        Slot::Offered(invocation) => {
            let _ = invocation.answer.send(answer);
            accepted()
        }
        other => {
            *slot = other;
            refused(StatusCode::FORBIDDEN, "InvalidStateTransition", "initialization is over")
        }
    }
}

fn error_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("Lambda-Runtime-Function-Error-Type")?;
    value.to_str().ok().map(str::to_owned)
}

fn accepted() -> Response {
    (StatusCode::ACCEPTED, axum::Json(json!({"status": "OK"}))).into_response()
}

fn refused(status: StatusCode, error_type: &str, message: &str) -> Response {
    (status, axum::Json(json!({"errorType": error_type, "errorMessage": message}))).into_response()
}
