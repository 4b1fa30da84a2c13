//! Mi Push (<https://dev.mi.com/xiaomihyperos/documentation/detail?pId=1559>): refusals also have status 200.

use std::collections::{BTreeMap, HashMap};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::json;
use tidings_providers::Provider;
use tidings_wire::send::Channel;

use super::{Arrival, Played, text};
use sam_twin::ids::uuid;
use sam_twin::listener::Connection;

const PAYLOAD_BYTES: usize = 4096;
/// Two weeks, in milliseconds: the longest time to live on Xiaomi's page.
const TTL_MS: u64 = 14 * 24 * 60 * 60 * 1000;

/// `POST /v3/message/alias`.
pub(super) async fn alias(
    played: State<Played>,
    connection: Extension<Connection>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    push(played, connection, "alias", headers, body).await
}

/// `POST /v3/message/topic`.
pub(super) async fn topic(
    played: State<Played>,
    connection: Extension<Connection>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    push(played, connection, "topic", headers, body).await
}

async fn push(
    State(played): State<Played>,
    Extension(connection): Extension<Connection>,
    audience: &'static str,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let form: HashMap<String, String> = form_urlencoded::parse(&body).into_owned().collect();
    let target = form.get(audience).cloned().unwrap_or_default();
    let work = async {
        match check(&played, &target, &headers, &form) {
            Ok(()) => accept(&played, audience, &target, &form).await,
            Err((code, reason)) => refusal(StatusCode::OK, code, reason),
        }
    };
    played.unless_struck(Provider::Mipush, &target, &connection, work, refusal).await
}

async fn accept(played: &Played, audience: &str, target: &str, form: &HashMap<String, String>) -> Response {
    let id = uuid();
    let fields: BTreeMap<&str, &str> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let arrival = Arrival {
        channel: Channel::Mipush,
        to: target.to_owned(),
        title: form.get("title").or_else(|| form.get("aps_proper_fields.title")).cloned(),
        body: json!(fields).to_string(),
        headers: BTreeMap::new(),
    };
    match played.keep(&id, arrival).await {
        Ok(()) => {
            let info = format!("Received push messages for 1 {}", audience.to_uppercase());
            Json(json!({
                "result": "ok", "trace_id": id, "code": 0, "data": {"id": id}, "description": "成功", "info": info,
            }))
            .into_response()
        }
        Err(failed) => failed,
    }
}

fn refusal(status: StatusCode, code: &str, reason: &str) -> Response {
    // A refusal without a code imitates a proxy in front of Xiaomi.
    let Ok(code) = code.parse::<u32>() else { return (status, reason.to_owned()).into_response() };
    let body = json!({"result": "error", "reason": reason, "trace_id": "", "code": code, "description": reason});
    (status, Json(body)).into_response()
}

/// Why a push is refused, if it is.
fn check(
    played: &Played,
    target: &str,
    headers: &HeaderMap,
    form: &HashMap<String, String>,
) -> Result<(), (&'static str, &'static str)> {
    let field = |name: &str| form.get(name).map(String::as_str);
    let chars = |name: &str| field(name).map_or(0, |text| text.chars().count());
    let key = text(headers, "authorization").and_then(|header| header.strip_prefix("key="));
    let Some(credentials) = &played.credentials.mipush else { return Err(("21301", "认证失败")) };
    if key != Some(credentials.app_secret.reveal()) {
        return Err(("21301", "Invalid application credentials."));
    }
    if target.is_empty() {
        return Err(("10016", "Missing required parameter: alias or topic"));
    }
    if field("restricted_package_name") != Some(&credentials.package_name) {
        return Err(("22022", "Invalid package name"));
    }
    let illegal = |reason| Err(("10017", reason));
    if field("time_to_live").is_some_and(|ttl| ttl.parse::<u64>().map_or(true, |ttl| ttl > TTL_MS)) {
        return illegal("time_to_live");
    }
    match field("pass_through") {
        // A notification of Android needs both texts; iOS has no such field.
        Some("0") if chars("title") == 0 || chars("description") == 0 => return illegal("title, description"),
        None | Some("0" | "1") => {}
        Some(_) => return illegal("pass_through"),
    }
    if chars("title") >= 50 || chars("description") >= 128 {
        return illegal("title, description");
    }
    if field("payload").is_some_and(|payload| payload.len() > PAYLOAD_BYTES) {
        return Err(("10018", "Request body length over limit"));
    }
    Ok(())
}
