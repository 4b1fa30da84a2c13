//! What the routes of the control API have in common. Each part of the twin brings its own routes, under `/_twin/`.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

/// The longest that a request waits for something to happen.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How many entries an answer has unless the request names a limit.
pub(crate) fn default_limit() -> usize {
    50
}

/// How long a request may wait that asks for so many seconds.
pub(crate) fn wait_of(seconds: u64) -> Duration {
    Duration::from_secs(seconds).min(LONGEST_WAIT)
}

pub(crate) fn answer(body: &impl Serialize) -> Response {
    axum::Json(body).into_response()
}

pub(crate) fn refuse(status: StatusCode, message: &str) -> Response {
    (status, axum::Json(json!({"message": message}))).into_response()
}
