//! FCM HTTP v1 (<https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages>) and the token endpoint of
//! Google (<https://developers.google.com/identity/protocols/oauth2/service-account#httprest>).

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::{Value, json};
use tidings_crypto::jws;
use tidings_providers::Provider;
use tidings_wire::send::Channel;

use super::rules::Service;
use super::{Arrival, Played, now, text};
use sam_twin::ids::uuid;
use sam_twin::listener::Connection;

const PAYLOAD_BYTES: usize = 4096;
const TTL_SECONDS: u64 = 28 * 24 * 60 * 60;
/// How long an access token is valid, in seconds.
const ACCESS_SECONDS: u64 = 3599;
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";

/// The access tokens that were issued, and when they expire.
#[derive(Clone, Default)]
pub(super) struct AccessTokens(Arc<Mutex<HashMap<String, u64>>>);

impl AccessTokens {
    fn issue(&self) -> Option<String> {
        let token = format!("ya29.{}", uuid());
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|_, until| *until > now());
        tokens.insert(token.clone(), now() + ACCESS_SECONDS);
        Some(token)
    }

    fn holds(&self, token: &str) -> bool {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.get(token).is_some_and(|until| *until > now())
    }
}

/// `POST /token`: the JWT bearer grant (RFC 7523).
pub(super) async fn token(
    State(played): State<Played>,
    Extension(connection): Extension<Connection>,
    body: Bytes,
) -> Response {
    let account = played.credentials.fcm.as_ref().map(|fcm| fcm.client_email.clone()).unwrap_or_default();
    let work = async {
        match granted(&played, &body) {
            Ok(token) => Json(json!({"access_token": token, "expires_in": ACCESS_SECONDS, "token_type": "Bearer"}))
                .into_response(),
            Err((code, reason)) => denial(StatusCode::BAD_REQUEST, code, reason),
        }
    };
    played.unless_struck(Service::Oauth, &account, &connection, work, denial).await
}

fn denial(status: StatusCode, code: &str, reason: &str) -> Response {
    (status, Json(json!({"error": code, "error_description": reason}))).into_response()
}

/// An access token, or why there is none.
fn granted(played: &Played, body: &[u8]) -> Result<String, (&'static str, &'static str)> {
    let form: HashMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
    let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    if field("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
        return Err(("unsupported_grant_type", "Invalid grant_type."));
    }
    let invalid = |reason| Err(("invalid_grant", reason));
    let Some(account) = &played.credentials.fcm else { return invalid("Invalid grant: account not found") };
    let Some((_, claims)) = jws::verify::<Value>(field("assertion"), &account.private_key.public()) else {
        return invalid("Invalid JWT Signature.");
    };
    if claims["iss"] != account.client_email {
        return invalid("Invalid grant: account not found");
    }
    if claims["aud"] != account.token_uri.uri().to_string() {
        return invalid("Invalid JWT: audience.");
    }
    let (issued, expires) = (claims["iat"].as_u64().unwrap_or_default(), claims["exp"].as_u64().unwrap_or_default());
    if expires <= now() || issued > now() + 300 || expires.saturating_sub(issued) > 3600 {
        return invalid("Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.");
    }
    if claims["scope"] != SCOPE {
        return Err(("invalid_scope", "Invalid OAuth scope or ID token audience provided."));
    }
    played.access_tokens.issue().ok_or(("server_error", "no randomness"))
}

/// `POST /v1/projects/{project}/messages:send`.
pub(super) async fn push(
    State(played): State<Played>,
    Extension(connection): Extension<Connection>,
    Path(project): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let message = serde_json::from_slice::<Value>(&body).map(|mut body| body["message"].take()).unwrap_or_default();
    let target = message["token"].as_str().unwrap_or_default().to_owned();
    let work = async {
        match check(&played, &project, &headers, &message) {
            Ok(()) => accept(&played, &project, &target, &message).await,
            Err(refused) => refused.into_response(),
        }
    };
    played.unless_struck(Provider::Fcm, &target, &connection, work, refusal).await
}

async fn accept(played: &Played, project: &str, target: &str, message: &Value) -> Response {
    let id = uuid();
    let name = format!("projects/{project}/messages/{id}");
    let arrival = Arrival {
        channel: Channel::Fcm,
        to: target.to_owned(),
        title: message["notification"]["title"].as_str().map(str::to_owned),
        body: message.to_string(),
        headers: BTreeMap::new(),
    };
    match played.keep(&name, arrival).await {
        Ok(()) => Json(json!({"name": name})).into_response(),
        Err(failed) => failed,
    }
}

type Refusal = (StatusCode, Json<Value>);

/// An error of FCM: in Google's form, with FCM's code among the details.
fn refusal(status: StatusCode, code: &str, reason: &str) -> Response {
    let mut details = Vec::new();
    if !code.is_empty() {
        details.push(json!({"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code}));
    }
    error(status, reason, details).into_response()
}

/// An error about a field of the request.
fn violation(field: &str, reason: &str) -> Refusal {
    let bad_request = json!({
        "@type": "type.googleapis.com/google.rpc.BadRequest",
        "fieldViolations": [{"field": field, "description": reason}],
    });
    let own = json!({"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": "INVALID_ARGUMENT"});
    error(StatusCode::BAD_REQUEST, reason, vec![own, bad_request])
}

fn error(status: StatusCode, message: &str, details: Vec<Value>) -> Refusal {
    let name = match status.as_u16() {
        400 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        503 => "UNAVAILABLE",
        _ => "INTERNAL",
    };
    let error = json!({"code": status.as_u16(), "message": message, "status": name, "details": details});
    (status, Json(json!({"error": error})))
}

fn check(played: &Played, project: &str, headers: &HeaderMap, message: &Value) -> Result<(), Refusal> {
    let token = text(headers, "authorization").and_then(|header| header.strip_prefix("Bearer "));
    if !token.is_some_and(|token| played.access_tokens.holds(token)) {
        let reason = "Request had invalid authentication credentials.";
        return Err(error(StatusCode::UNAUTHORIZED, reason, Vec::new()));
    }
    if played.credentials.fcm.as_ref().is_none_or(|fcm| fcm.project_id != project) {
        return Err(error(StatusCode::NOT_FOUND, "Requested entity was not found.", Vec::new()));
    }
    if message["token"].as_str().unwrap_or_default().is_empty() {
        return Err(violation("message", "Recipient of the message is not set."));
    }
    let data = message["data"].as_object();
    if data.into_iter().flatten().any(|(_, value)| !value.is_string()) {
        return Err(violation("message.data[0].value", "Invalid value at 'message.data[0].value' (TYPE_STRING)"));
    }
    let is_reserved = |name: &str| {
        ["from", "message_type"].contains(&name) || name.starts_with("google.") || name.starts_with("gcm.")
    };
    if data.into_iter().flatten().any(|(name, _)| is_reserved(name)) {
        return Err(violation("message.data", "Invalid data payload key"));
    }
    let content = json!({"notification": message["notification"], "data": message["data"]});
    let size: usize = content.as_object().into_iter().flatten().map(|(_, part)| texts(part)).sum();
    if size > PAYLOAD_BYTES {
        return Err(violation("message", "Android message is too big"));
    }
    let android = &message["android"];
    if !matches!(android["priority"].as_str(), None | Some("HIGH" | "NORMAL" | "high" | "normal")) {
        return Err(violation("message.android.priority", "Invalid value at 'message.android.priority'"));
    }
    match android["ttl"].as_str().map(|ttl| ttl.strip_suffix('s').and_then(|seconds| seconds.parse::<f64>().ok())) {
        None => Ok(()),
        Some(Some(seconds)) if (0.0..=TTL_SECONDS as f64).contains(&seconds) => Ok(()),
        Some(_) => Err(violation("message.android.ttl", "Illegal ttl")),
    }
}

/// Bytes of the names and values of an object.
fn texts(object: &Value) -> usize {
    let fields = object.as_object().into_iter().flatten();
    fields.map(|(name, value)| name.len() + value.as_str().map_or(0, str::len)).sum()
}
