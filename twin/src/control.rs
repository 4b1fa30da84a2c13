//! What the routes of the control API have in common. Each part of the twin brings its own routes, under `/_twin/`.
//!
//! They all answer in one manner ([`uniform`]): a body is JSON whatever its type says, a parameter that a route does not have
//! is refused, and an error is JSON with a sentence.

use std::fmt::Display;
use std::time::Duration;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

/// The longest that a request waits for something to happen.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The most that is read of an error's text.
const ERROR_BYTES: usize = 64 * 1024;

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

/// The answer to a name that nothing has, with the names that there are.
pub(crate) fn unknown<N: Display>(what: &str, name: &str, known: impl IntoIterator<Item = N>) -> Response {
    refuse(StatusCode::NOT_FOUND, &no_such(what, name, known))
}

/// `there is no queue "a"; there are b, c`
pub(crate) fn no_such<N: Display>(what: &str, name: &str, known: impl IntoIterator<Item = N>) -> String {
    let known: Vec<String> = known.into_iter().map(|name| name.to_string()).collect();
    match &known[..] {
        [] => format!("there is no {what} {name:?}, and no other"),
        [one] => format!("there is no {what} {name:?}; there is {one}"),
        several => format!("there is no {what} {name:?}; there are {}", several.join(", ")),
    }
}

/// A request without parameters: one that has some is refused, so that a misspelt or misplaced one is noticed.
#[derive(Debug)]
pub(crate) struct NoParameters;

impl<S: Sync> FromRequestParts<S> for NoParameters {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        match parts.uri.query() {
            None | Some("") => Ok(Self),
            Some(query) => {
                let message = format!("{} takes no parameters, and this request has {query:?}", parts.uri.path());
                Err(refuse(StatusCode::BAD_REQUEST, &message))
            }
        }
    }
}

/// These routes, answering in one manner.
pub(crate) fn uniform(routes: Router) -> Router {
    routes.route_layer(middleware::from_fn(in_json))
}

async fn in_json(mut request: Request, next: Next) -> Response {
    request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let asked = format!("{} {}", request.method(), request.uri().path());
    let response = next.run(request).await;
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_error = response.status().is_client_error() || response.status().is_server_error();
    if !is_error || kind.starts_with("application/json") {
        return response;
    }
    let (parts, body) = response.into_parts();
    let text = to_bytes(body, ERROR_BYTES).await.unwrap_or_default();
    let message = match (parts.status, String::from_utf8_lossy(&text)) {
        (StatusCode::METHOD_NOT_ALLOWED, _) => format!("{asked}: the path does not take this method"),
        (status, text) if text.is_empty() => format!("{asked}: {}", status.canonical_reason().unwrap_or("refused")),
        (_, text) => text.into_owned(),
    };
    // Whatever is wrong with a body or a parameter is a bad request.
    let status = match parts.status {
        StatusCode::UNPROCESSABLE_ENTITY | StatusCode::UNSUPPORTED_MEDIA_TYPE => StatusCode::BAD_REQUEST,
        status => status,
    };
    refuse(status, &message)
}
