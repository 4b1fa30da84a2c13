//! APNs (<https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns>).

use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::{Value, json};
use tidings_crypto::jws;
use tidings_providers::Provider;
use tidings_providers::apns::DeviceToken;
use tidings_wire::send::Channel;

use super::{Arrival, Played, now, picked, text};
use sam_twin::listener::Connection;

const PAYLOAD_BYTES: usize = 4096;
const COLLAPSE_ID_BYTES: usize = 64;
/// A provider token is refused when it is older than this, in seconds.
const TOKEN_SECONDS: u64 = 3600;

const HEADERS: [&str; 6] =
    ["apns-topic", "apns-push-type", "apns-priority", "apns-expiration", "apns-collapse-id", "apns-id"];

/// `POST /3/device/{token}`.
pub(super) async fn push(
    State(played): State<Played>,
    Extension(connection): Extension<Connection>,
    Path(token): Path<String>,
    method: Method,
    version: Version,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if version != Version::HTTP_2 {
        return (StatusCode::UPGRADE_REQUIRED, [("upgrade", "h2c")]).into_response();
    }
    let work = async {
        match check(&played, &token, &method, &headers, &body) {
            Ok((id, payload)) => accept(&played, &id, token.clone(), &payload, &headers).await,
            Err((status, reason)) => refusal(status, reason),
        }
    };
    let refuse = |status, code: &str, _: &str| refusal(status, code);
    played.unless_struck(Provider::Apns, &token, &connection, work, refuse).await
}

async fn accept(played: &Played, id: &str, token: String, payload: &Value, headers: &HeaderMap) -> Response {
    let title = payload["aps"]["alert"]["title"].as_str().map(str::to_owned);
    let body = payload.to_string();
    let arrival = Arrival { channel: Channel::Apns, to: token, title, body, headers: picked(headers, &HEADERS) };
    match played.keep(id, arrival).await {
        Ok(()) => (StatusCode::OK, [("apns-id", id)]).into_response(),
        Err(failed) => failed,
    }
}

fn refusal(status: StatusCode, reason: &str) -> Response {
    let mut body = json!({"reason": reason});
    if status == StatusCode::GONE {
        // In milliseconds, as Apple's: a device that was registered a moment ago counts as dead, too.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        body["timestamp"] = u64::try_from(since).unwrap_or(u64::MAX).into();
    }
    (status, Json(body)).into_response()
}

/// The id and the payload of a push, or why it is refused.
fn check(
    played: &Played,
    token: &str,
    method: &Method,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(String, Value), (StatusCode, &'static str)> {
    let bad = |reason| Err((StatusCode::BAD_REQUEST, reason));
    let forbidden = |reason| Err((StatusCode::FORBIDDEN, reason));
    let Some(credentials) = &played.credentials.apns else { return forbidden("InvalidProviderToken") };
    if method != Method::POST {
        return Err((StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"));
    }
    let Some(authorization) = text(headers, "authorization") else { return forbidden("MissingProviderToken") };
    let key = credentials.private_key.public();
    let signed = authorization.strip_prefix("bearer ").and_then(|token| jws::verify::<Value>(token, &key));
    let Some((header, claims)) = signed else { return forbidden("InvalidProviderToken") };
    if header.kid.as_deref() != Some(&*credentials.key_id) || claims["iss"] != credentials.team_id {
        return forbidden("InvalidProviderToken");
    }
    match claims["iat"].as_u64() {
        Some(issued) if issued + TOKEN_SECONDS >= now() => {}
        Some(_) => return forbidden("ExpiredProviderToken"),
        None => return forbidden("InvalidProviderToken"),
    }
    // Apple's tokens have no fixed length, and the service takes all that may be one.
    if DeviceToken::parse(token).is_err() {
        return bad("BadDeviceToken");
    }
    match text(headers, "apns-topic") {
        None => return bad("MissingTopic"),
        Some(topic) if topic != credentials.topic => return bad("TopicDisallowed"),
        Some(_) => {}
    }
    match (text(headers, "apns-push-type"), text(headers, "apns-priority").unwrap_or("10")) {
        (Some("alert"), "10" | "5" | "1") | (Some("background"), "5") => {}
        (Some("alert" | "background"), _) => return bad("BadPriority"),
        _ => return bad("InvalidPushType"),
    }
    if text(headers, "apns-expiration").is_some_and(|it| it.parse::<u64>().is_err()) {
        return bad("BadExpirationDate");
    }
    if text(headers, "apns-collapse-id").is_some_and(|id| id.len() > COLLAPSE_ID_BYTES) {
        return bad("BadCollapseId");
    }
    let id = match text(headers, "apns-id") {
        Some(id) if is_uuid(id) => id.to_owned(),
        Some(_) => return bad("BadMessageId"),
        None => sam_twin::ids::uuid(),
    };
    if body.len() > PAYLOAD_BYTES {
        return Err((StatusCode::PAYLOAD_TOO_LARGE, "PayloadTooLarge"));
    }
    match serde_json::from_slice::<Value>(body) {
        Ok(payload) if payload["aps"].is_object() => Ok((id, payload)),
        _ => bad("PayloadEmpty"),
    }
}

/// 8-4-4-4-12 hexadecimal digits in lower case.
fn is_uuid(text: &str) -> bool {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'))
}
