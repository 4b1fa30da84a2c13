//! A push service of browsers: RFC 8030, with VAPID (RFC 8292) required. It reads only the header of an encrypted body
//! (RFC 8188).

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tidings_crypto::encoding::{base64url, from_base64url};
use tidings_crypto::jws::{self, PublicKey};
use tidings_providers::Provider;
use tidings_wire::send::Channel;

use super::{Arrival, Played, now, picked, text};
use sam_twin::ids::uuid;
use sam_twin::listener::Connection;

const BODY_BYTES: usize = 4096;
/// How long a message is kept, in seconds.
const TTL_SECONDS: u64 = 28 * 24 * 60 * 60;
/// A VAPID token is valid for at most this long, in seconds.
const VAPID_SECONDS: u64 = 24 * 60 * 60;

/// `POST /webpush/{id}`.
pub(super) async fn push(
    State(played): State<Played>,
    Extension(connection): Extension<Connection>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let work = async {
        match check(&played, &id, &headers, &body) {
            Ok(ttl) => accept(&played, &id, ttl, &headers, &body).await,
            Err((status, reason)) => (status, reason).into_response(),
        }
    };
    let refuse = |status: StatusCode, _: &str, reason: &str| (status, reason.to_owned()).into_response();
    played.unless_struck(Provider::Webpush, &id, &connection, work, refuse).await
}

async fn accept(played: &Played, id: &str, ttl: u64, headers: &HeaderMap, body: &[u8]) -> Response {
    let message = uuid();
    let base = played.subscriptions.base();
    let location = format!("{base}/webpush/messages/{message}");
    let arrival = Arrival {
        channel: Channel::Webpush,
        to: format!("{base}/webpush/{id}"),
        title: None,
        body: base64url(body),
        headers: picked(headers, &["ttl", "urgency", "topic", "authorization", "content-encoding"]),
    };
    match played.keep(&location, arrival).await {
        Ok(()) => (StatusCode::CREATED, [("location", location), ("ttl", ttl.to_string())]).into_response(),
        Err(failed) => failed,
    }
}

/// How long a message is kept, or why it is refused.
fn check(played: &Played, id: &str, headers: &HeaderMap, body: &[u8]) -> Result<u64, (StatusCode, &'static str)> {
    let Some(subscription) = played.subscriptions.get(id) else {
        return Err((StatusCode::NOT_FOUND, "no such subscription"));
    };
    if subscription.is_over {
        return Err((StatusCode::GONE, "the subscription has ended"));
    }
    authorized(headers, played.subscriptions.base(), subscription.restricted_to.as_deref())?;
    let bad = |reason| Err((StatusCode::BAD_REQUEST, reason));
    let Some(ttl) = text(headers, "ttl").and_then(|ttl| ttl.parse::<u64>().ok()) else {
        return bad("TTL is missing or is not a number");
    };
    if !matches!(text(headers, "urgency"), None | Some("very-low" | "low" | "normal" | "high")) {
        return bad("Urgency is none of very-low, low, normal and high");
    }
    let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if text(headers, "topic").is_some_and(|it| it.is_empty() || it.len() > 32 || !it.bytes().all(is_base64url)) {
        return bad("Topic is not 1 to 32 characters of base64url");
    }
    if text(headers, "content-encoding") != Some("aes128gcm") {
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Encoding is not aes128gcm"));
    }
    if body.len() > BODY_BYTES {
        return Err((StatusCode::PAYLOAD_TOO_LARGE, "the body has more than 4096 bytes"));
    }
    // Salt, record size, and a key id that is an uncompressed point; then a delimiter and a tag at least.
    let is_encrypted = body.len() > 86 + 16 && body[20] == 65 && body[21] == 4;
    if !is_encrypted {
        return bad("the body has no header of aes128gcm");
    }
    Ok(ttl.min(TTL_SECONDS))
}

/// `Authorization: vapid t=…, k=…` (RFC 8292 §3); RFC 8292 §4.2 has the statuses.
fn authorized(
    headers: &HeaderMap,
    origin: &str,
    restricted_to: Option<&str>,
) -> Result<(), (StatusCode, &'static str)> {
    let parameters = text(headers, "authorization").and_then(|it| it.strip_prefix("vapid "));
    let Some(parameters) = parameters else { return Err((StatusCode::UNAUTHORIZED, "VAPID is required")) };
    let parameter = |name: &str| parameters.split(',').find_map(|one| one.trim().strip_prefix(name)?.strip_prefix('='));
    let (token, key) = (parameter("t").unwrap_or_default(), parameter("k").unwrap_or_default());
    let forbidden = |reason| Err((StatusCode::FORBIDDEN, reason));
    if restricted_to.is_some_and(|only| only.trim_end_matches('=') != key) {
        return forbidden("the subscription belongs to another application server key");
    }
    let public = from_base64url(key).unwrap_or_default();
    let Some((_, claims)) = jws::verify::<Value>(token, &PublicKey::es256(&public)) else {
        return forbidden("the VAPID token is not signed by its key");
    };
    if claims["aud"] != origin {
        return forbidden("the VAPID token is for another push service");
    }
    let expires = claims["exp"].as_u64().unwrap_or_default();
    if expires <= now() || expires > now() + VAPID_SECONDS {
        return forbidden("the VAPID token has expired, or holds for more than a day");
    }
    let subject = claims["sub"].as_str();
    if subject.is_some_and(|it| !it.starts_with("mailto:") && !it.starts_with("https:")) {
        return forbidden("the VAPID token has a sub that is no contact");
    }
    Ok(())
}
