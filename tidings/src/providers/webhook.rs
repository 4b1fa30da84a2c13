//! The receiver of a webhook, by the specification of Standard Webhooks.

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tidings_providers::Provider;
use tidings_wire::send::Channel;

use super::{Arrival, Played, kept_as, now, picked, text};
use sam_twin::listener::Connection;

/// A timestamp that is further off than this, in seconds, is a replay.
const TOLERANCE_SECONDS: u64 = 300;

/// `POST /webhook`.
pub(super) async fn call(
    State(played): State<Played>,
    Extension(connection): Extension<Connection>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let id = text(&headers, "webhook-id").unwrap_or_default().to_owned();
    let work = async {
        if is_signed(&played, &id, &headers, &body) {
            accept(&played, &id, &headers, &body).await
        } else {
            StatusCode::UNAUTHORIZED.into_response()
        }
    };
    let refuse = |status: StatusCode, _: &str, reason: &str| {
        // A redirect has a target, so that a test notices a client that follows it.
        let location = [("location", "/webhook")];
        if status.is_redirection() {
            (status, location).into_response()
        } else {
            (status, reason.to_owned()).into_response()
        }
    };
    played.unless_struck(Provider::Webhook, &id, &connection, work, refuse).await
}

fn is_signed(played: &Played, id: &str, headers: &HeaderMap, body: &[u8]) -> bool {
    let at = text(headers, "webhook-timestamp").and_then(|at| at.parse::<u64>().ok()).unwrap_or_default();
    let signatures = text(headers, "webhook-signature").unwrap_or_default();
    let is_recent = at.abs_diff(now()) <= TOLERANCE_SECONDS;
    let webhook = played.credentials.webhook.as_ref();
    is_recent && webhook.is_some_and(|webhook| webhook.secret.verifies(signatures, id, at, body))
}

async fn accept(played: &Played, id: &str, headers: &HeaderMap, body: &[u8]) -> Response {
    // A repetition is accepted as the first call was, and stored once.
    if played.outbox.has(&kept_as(Channel::Webhook), id) {
        return StatusCode::NO_CONTENT.into_response();
    }
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let arrival = Arrival {
        channel: Channel::Webhook,
        to: "/webhook".to_owned(),
        title: json["data"]["title"].as_str().map(str::to_owned),
        body: String::from_utf8_lossy(body).into_owned(),
        headers: picked(headers, &["webhook-id", "webhook-timestamp", "webhook-signature"]),
    };
    match played.keep(id, arrival).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(failed) => failed,
    }
}
