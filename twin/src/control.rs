//! The common parts of the routes of the control API. Each part of the twin and each extension adds routes under
//! `/_twin/`.
//!
//! They all answer in the same way ([`uniform`]): a body is read as JSON, whatever its type ([`Body`]); an unknown or
//! invalid parameter is refused by name ([`Parameters`]), and so is a body that the route does not read ([`NoBody`]);
//! and an error is JSON with a sentence.

mod body;
mod parameters;

pub use body::{Body, NoBody};
pub use parameters::{Asked, FromQuery, NoParameters, Parameters, read};

use std::fmt::Display;

use axum::Router;
use axum::body::{Body as HttpBody, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

/// The most that is read of an error's text.
const ERROR_BYTES: usize = 64 * 1024;

/// An answer in JSON.
pub fn answer(body: &impl Serialize) -> Response {
    axum::Json(body).into_response()
}

/// The answer to a request that is refused.
#[must_use]
pub fn refuse(status: StatusCode, message: &str) -> Response {
    (status, axum::Json(json!({"message": message}))).into_response()
}

/// The answer to an unknown name, with the known ones.
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

/// These routes, with uniform answers.
pub fn uniform(routes: Router) -> Router {
    routes.route_layer(middleware::from_fn(in_json))
}

async fn in_json(request: Request, next: Next) -> Response {
    let asked = format!("{} {}", request.method(), request.uri().path());
    let response = match *request.method() {
        // No route reads a body of these methods.
        Method::GET | Method::HEAD | Method::DELETE => {
            let (parts, body) = request.into_parts();
            let asked = Request::from_parts(parts.clone(), body);
            match NoBody::from_request(asked, &()).await {
                Ok(NoBody) => next.run(Request::from_parts(parts, HttpBody::empty())).await,
                Err(refused) => refused,
            }
        }
        _ => next.run(request).await,
    };
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
    refuse(parts.status, &message)
}
