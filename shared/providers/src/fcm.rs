//! Firebase Cloud Messaging, HTTP v1 (<https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages>).

use std::fmt;

use bytes::Bytes;
use form_urlencoded::Serializer;
use http::{Request, StatusCode, header};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tidings_crypto::jws::{self, Header};
use tokio::sync::Mutex;

use crate::credentials;
use crate::http::{Client, Protocol};
use crate::outcome::{Answer, Fate, Outcome, Unanswered, shortened};
use crate::providers::Sent;
use crate::push::{Effective, Invalid, Kind, Prepared, Priority, Push, fit};

/// Where FCM is reached.
pub const BASE: &str = "https://fcm.googleapis.com";

/// The largest notification and data together, in bytes.
pub const PAYLOAD_BYTES: usize = 4096;
/// How long FCM keeps what a device cannot take at once, in seconds: four weeks.
pub const TTL_SECONDS: u64 = 28 * 24 * 60 * 60;

/// What an access token is for (<https://developers.google.com/identity/protocols/oauth2/scopes#fcm>).
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
/// How long an assertion holds, in seconds; Google takes at most an hour.
const ASSERTION_SECONDS: u64 = 60 * 60;
/// An access token is not used in its last seconds: it may end on its way.
const SPARE_SECONDS: u64 = 60;

/// A registration token of an app on a device: 1 to 4096 characters.
#[derive(Clone, PartialEq, Eq)]
pub struct RegistrationToken(String);

/// The text is not a registration token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a registration token of FCM: expected 1 to 4096 characters of A-Z, a-z, 0-9, '-', '_' and ':'")]
pub struct RegistrationTokenError;

impl RegistrationToken {
    /// Reads a registration token.
    ///
    /// # Errors
    /// [`RegistrationTokenError`].
    pub fn parse(text: &str) -> Result<Self, RegistrationTokenError> {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b':');
        let fits = (1..=4096).contains(&text.len()) && text.bytes().all(is_part);
        if fits { Ok(Self(text.to_owned())) } else { Err(RegistrationTokenError) }
    }
}

impl fmt::Debug for RegistrationToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RegistrationToken(***)")
    }
}

/// The client of one app. Its access token is shared by all who use the client.
#[derive(Debug)]
pub struct Fcm {
    credentials: credentials::Fcm,
    base: String,
    // Held while a token is fetched, so that one fetch serves all who wait.
    token: Mutex<Option<AccessToken>>,
}

/// An access token, as the token endpoint gave it.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken {
    text: String,
    /// Until when it is used, in seconds since 1970.
    until: u64,
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken").field("text", &"***").field("until", &self.until).finish()
    }
}

impl AccessToken {
    /// Whether it still serves.
    #[must_use]
    pub fn serves(&self, now: u64) -> bool {
        now < self.until
    }
}

impl Fcm {
    /// A client that calls `base`, or Google where there is none.
    #[must_use]
    pub fn new(credentials: credentials::Fcm, base: Option<String>) -> Self {
        Self { credentials, base: base.unwrap_or_else(|| BASE.to_owned()), token: Mutex::default() }
    }

    /// Sends a push; `now` is in seconds since 1970.
    ///
    /// An access token that Google calls invalid is fetched anew and the push sent again, once: it was not looked at.
    ///
    /// # Errors
    /// [`Invalid`]; then nothing was sent.
    pub async fn send(&self, http: &Client, push: &Push, to: &RegistrationToken, now: u64) -> Result<Sent, Invalid> {
        let first = self.attempt(http, push, to, None, now).await?;
        match first {
            Attempt::Ended(sent) => Ok(sent),
            Attempt::TokenRefused(token, sent) => match self.attempt(http, push, to, Some(token), now).await? {
                Attempt::Ended(again) | Attempt::TokenRefused(_, again) => Ok(match again.outcome {
                    // Twice refused: the first refusal says as much as the second.
                    Outcome::Unreachable { .. } => sent,
                    Outcome::Accepted { .. }
                    | Outcome::Refused { .. }
                    | Outcome::Busy { .. }
                    | Outcome::Unanswered(_) => again,
                }),
            },
        }
    }

    async fn attempt(
        &self,
        http: &Client,
        push: &Push,
        to: &RegistrationToken,
        refused: Option<AccessToken>,
        now: u64,
    ) -> Result<Attempt, Invalid> {
        // Translated first: a push that does not fit costs no token.
        let mut prepared = request(push, to, &self.credentials.project_id, "", &self.base)?;
        let token = match self.token(http, refused, now).await? {
            Ok(token) => token,
            Err(outcome) => return Ok(Attempt::Ended(Sent { effective: prepared.effective, outcome })),
        };
        prepared.request.headers_mut().insert(header::AUTHORIZATION, bearer(&token.text)?);
        let answered = http.send(prepared.request, Protocol::Negotiated).await;
        let is_refused = answered.as_ref().is_ok_and(|answer| {
            answer.status == StatusCode::UNAUTHORIZED && error_code(&answer.body).as_deref() != Some(THIRD_PARTY)
        });
        let outcome = answered.map_or_else(Outcome::from, |answer| outcome(&answer, now));
        let sent = Sent { effective: prepared.effective, outcome };
        Ok(if is_refused { Attempt::TokenRefused(token, sent) } else { Attempt::Ended(sent) })
    }

    /// The access token of `now`, or why there is none: without one nothing is sent.
    async fn token(
        &self,
        http: &Client,
        refused: Option<AccessToken>,
        now: u64,
    ) -> Result<Result<AccessToken, Outcome>, Invalid> {
        let mut cached = self.token.lock().await;
        if let Some(token) = cached.as_ref().filter(|token| token.serves(now) && refused.as_ref() != Some(*token)) {
            return Ok(Ok(token.clone()));
        }
        *cached = None;
        let request = token_request(&self.credentials, now)?;
        let fetched = match http.send(request, Protocol::Negotiated).await {
            Ok(answer) => access_token(&answer, now),
            Err(none) => Err(not_sent(none.into())),
        };
        if let Ok(token) = &fetched {
            *cached = Some(token.clone());
        }
        Ok(fetched)
    }
}

enum Attempt {
    Ended(Sent),
    TokenRefused(AccessToken, Sent),
}

fn bearer(token: &str) -> Result<http::HeaderValue, Invalid> {
    let mut value = http::HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| Invalid::Unspeakable)?;
    value.set_sensitive(true);
    Ok(value)
}

/// An unanswered request for a token is no unanswered push.
fn not_sent(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Unanswered(Unanswered::Timeout) => {
            Outcome::Unreachable { cause: "the token endpoint did not answer in time".to_owned() }
        }
        Outcome::Unanswered(Unanswered::Cut) => {
            Outcome::Unreachable { cause: "the token endpoint cut the connection".to_owned() }
        }
        Outcome::Accepted { .. } | Outcome::Refused { .. } | Outcome::Busy { .. } | Outcome::Unreachable { .. } => {
            outcome
        }
    }
}

/// The request for an access token: the JWT bearer grant (RFC 7523 §2.1,
/// <https://developers.google.com/identity/protocols/oauth2/service-account#httprest>).
///
/// # Errors
/// [`Invalid::NoRandomness`].
pub fn token_request(credentials: &credentials::Fcm, now: u64) -> Result<Request<Bytes>, Invalid> {
    let claims = json!({
        "iss": credentials.client_email,
        "scope": SCOPE,
        "aud": credentials.token_uri.uri().to_string(),
        "iat": now,
        "exp": now + ASSERTION_SECONDS,
    });
    let key = &credentials.private_key;
    let assertion = jws::sign(key, Header::of(key).with_type(), &claims)?;
    let form = Serializer::new(String::new())
        .append_pair("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")
        .append_pair("assertion", &assertion)
        .finish();
    let request = Request::post(credentials.token_uri.uri())
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Bytes::from(form))?;
    Ok(request)
}

/// The access token of an answer, or what the refusal means.
///
/// # Errors
/// The outcome of the push that has no token now.
pub fn access_token(answer: &Answer, now: u64) -> Result<AccessToken, Outcome> {
    #[derive(Deserialize)]
    struct Granted {
        access_token: String,
        expires_in: u64,
    }
    #[derive(Deserialize)]
    struct Denied {
        error: String,
        error_description: Option<String>,
    }
    if answer.status.is_success() {
        let granted: Result<Granted, _> = serde_json::from_slice(&answer.body);
        return granted
            .map(|it| AccessToken { text: it.access_token, until: now + it.expires_in.saturating_sub(SPARE_SECONDS) })
            .map_err(|_| Outcome::Unreachable { cause: "the token endpoint gave no token".to_owned() });
    }
    let denied: Option<Denied> = serde_json::from_slice(&answer.body).ok();
    let reason = denied.as_ref().map(|denied| denied.error.as_str());
    let detail = denied.as_ref().and_then(|denied| denied.error_description.as_deref());
    Err(answer.failure(reason, detail, Fate::Keep, now))
}

/// The request for a push: `POST /v1/projects/{project}/messages:send`.
///
/// # Errors
/// [`Invalid`].
pub fn request(
    push: &Push,
    to: &RegistrationToken,
    project: &str,
    token: &str,
    base: &str,
) -> Result<Prepared, Invalid> {
    push.check()?;
    let mut downgrades = Vec::new();
    let ttl = push.ttl_within(TTL_SECONDS, &mut downgrades);
    let content = fit(push, PAYLOAD_BYTES, &mut downgrades, |push| content(push).to_string().into_bytes())?;
    let mut message: Map<String, Value> = serde_json::from_slice(&content).unwrap_or_default();
    let priority = match push.priority {
        Priority::High => "HIGH",
        Priority::Normal => "NORMAL",
    };
    let mut android = json!({"priority": priority, "ttl": format!("{ttl}s")});
    if let Some(key) = &push.collapse_key {
        android["collapse_key"] = key.as_str().into();
    }
    match push.kind {
        Kind::Alert => {
            let sound = push.sound.as_deref().map(|sound| ("sound", sound.into()));
            let badge = push.badge.map(|badge| ("notification_count", badge.into()));
            // Shown in the place of the one before it; the collapse key works only while the device is away.
            let tag = push.collapse_key.as_deref().map(|key| ("tag", key.into()));
            for (name, value) in [sound, badge, tag].into_iter().flatten() {
                let value: Value = value;
                android["notification"][name] = value;
            }
        }
        Kind::Background => {}
    }
    message.insert("token".to_owned(), to.0.as_str().into());
    message.insert("android".to_owned(), android);
    let request = Request::post(format!("{base}/v1/projects/{project}/messages:send"))
        .header(header::AUTHORIZATION, bearer(token)?)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Bytes::from(json!({"message": message}).to_string()))?;
    let collapse = push.collapse_key.clone();
    let effective = Effective { ttl: Some(ttl), priority: Some(priority), collapse, downgrades };
    Ok(Prepared { request, effective })
}

/// What counts towards the limit.
fn content(push: &Push) -> Value {
    let mut content = Map::new();
    let (title, body) = push.shown();
    let shown: Map<String, Value> = [("title", title), ("body", body)]
        .into_iter()
        .filter_map(|(name, text)| Some((name.to_owned(), text?.into())))
        .collect();
    if !shown.is_empty() {
        content.insert("notification".to_owned(), shown.into());
    }
    if !push.data.is_empty() {
        content.insert("data".to_owned(), json!(push.data));
    }
    content.into()
}

const THIRD_PARTY: &str = "THIRD_PARTY_AUTH_ERROR";
/// The type of the detail that has FCM's own code.
const FCM_ERROR: &str = "type.googleapis.com/google.firebase.fcm.v1.FcmError";

#[derive(Deserialize)]
struct Body {
    error: Error,
}

#[derive(Deserialize)]
struct Error {
    status: Option<String>,
    message: Option<String>,
    #[serde(default)]
    details: Vec<Value>,
}

impl Error {
    /// FCM's own code, or Google's, which all of its services have.
    fn code(&self) -> Option<&str> {
        let own = self.details.iter().find(|detail| detail["@type"] == FCM_ERROR);
        own.and_then(|detail| detail["errorCode"].as_str()).or(self.status.as_deref())
    }

    /// Whether the token is what is wrong with the request.
    fn blames_token(&self) -> bool {
        let violations = self.details.iter().filter_map(|detail| detail["fieldViolations"].as_array()).flatten();
        let field =
            violations.filter_map(|violation| violation["field"].as_str()).any(|field| field == "message.token");
        field || self.message.as_deref().is_some_and(|text| text.starts_with("The registration token is not a valid"))
    }
}

fn error_code(body: &[u8]) -> Option<String> {
    serde_json::from_slice::<Body>(body).ok()?.error.code().map(str::to_owned)
}

/// What an answer means (<https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode>).
#[must_use]
pub fn outcome(answer: &Answer, now: u64) -> Outcome {
    if answer.status.is_success() {
        #[derive(Deserialize)]
        struct Accepted {
            name: String,
        }
        let accepted: Option<Accepted> = serde_json::from_slice(&answer.body).ok();
        return Outcome::Accepted { id: accepted.map(|accepted| accepted.name) };
    }
    let Ok(Body { error }) = serde_json::from_slice(&answer.body) else {
        return answer.failure(None, None, Fate::Keep, now);
    };
    let is_dead = match error.code() {
        // Not a sender that does not match: with the wrong account configured, that would wipe every address.
        Some("UNREGISTERED") => true,
        Some("INVALID_ARGUMENT") => error.blames_token(),
        Some(_) | None => false,
    };
    let fate = if is_dead { Fate::Remove { since: None } } else { Fate::Keep };
    let detail = error.message.as_deref().map(shortened);
    answer.failure(error.code(), detail.as_deref(), fate, now)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderMap, HeaderValue};

    use super::*;
    use crate::credentials::tests::credentials;
    use crate::outcome::Load;
    use crate::push::{Downgrade, tests::push};

    const NOW: u64 = 1_700_000_000;

    fn prepared(push: &Push) -> (Prepared, Value) {
        let to = RegistrationToken::parse("device:APA91").unwrap();
        let prepared = request(push, &to, "example", "T", BASE).unwrap();
        let body = serde_json::from_slice(prepared.request.body()).unwrap();
        (prepared, body)
    }

    #[test]
    fn an_alert() {
        let (prepared, body) = prepared(&push());
        assert_eq!(prepared.request.uri(), "https://fcm.googleapis.com/v1/projects/example/messages:send");
        assert_eq!(prepared.request.headers()["authorization"], "Bearer T");
        let expected = json!({"message": {
            "token": "device:APA91",
            "notification": {"title": "Gate change", "body": "Now B 12"},
            "data": {"id": "01JD4Z0000000000000000MSGE"},
            "android": {
                "priority": "HIGH", "ttl": "3600s", "collapse_key": "flight-7",
                "notification": {"sound": "chime.caf", "notification_count": 3, "tag": "flight-7"},
            },
        }});
        assert_eq!(body, expected);
        assert_eq!(prepared.effective.downgrades, []);
    }

    #[test]
    fn a_background_push_is_data_alone() {
        let quiet =
            Push { kind: Kind::Background, priority: Priority::Normal, ttl: u64::MAX, collapse_key: None, ..push() };
        let (prepared, body) = prepared(&quiet);
        let expected = json!({"message": {
            "token": "device:APA91",
            "data": {"id": "01JD4Z0000000000000000MSGE"},
            "android": {"priority": "NORMAL", "ttl": "2419200s"},
        }});
        assert_eq!(body, expected);
        assert_eq!(prepared.effective.downgrades, [Downgrade::TtlCut { asked: u64::MAX, given: TTL_SECONDS }]);
    }

    #[test]
    fn a_payload_has_at_most_4096_bytes() {
        let mut large = push();
        large.data.insert("sealed".to_owned(), "x".repeat(5000));
        large.body = Some("\"".repeat(5000));
        let (prepared, body) = prepared(&large);
        let content = json!({"notification": body["message"]["notification"], "data": {}}).to_string();
        assert!(content.len() <= PAYLOAD_BYTES + r#","data":{}"#.len(), "{}", content.len());
        assert_eq!(prepared.effective.downgrades.last(), Some(&Downgrade::TextCut { field: "body" }));
    }

    #[test]
    fn an_assertion_asks_for_a_token() {
        let credentials = credentials().fcm.unwrap();
        let request = token_request(&credentials, NOW).unwrap();
        assert_eq!(request.uri(), "https://oauth2.googleapis.com/token");
        let form: Vec<(String, String)> = form_urlencoded::parse(request.body()).into_owned().collect();
        assert_eq!(form[0], ("grant_type".to_owned(), "urn:ietf:params:oauth:grant-type:jwt-bearer".to_owned()));
        let (header, claims): (_, Value) = jws::verify(&form[1].1, &credentials.private_key.public()).unwrap();
        assert_eq!(json!(header), json!({"alg": "RS256", "typ": "JWT"}));
        let expected = json!({
            "iss": "push@example.iam.gserviceaccount.com",
            "scope": "https://www.googleapis.com/auth/firebase.messaging",
            "aud": "https://oauth2.googleapis.com/token",
            "iat": NOW,
            "exp": NOW + 3600,
        });
        assert_eq!(claims, expected);
    }

    fn answer(status: u16, body: &str) -> Answer {
        let headers = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_static("30"))]);
        let status = StatusCode::from_u16(status).unwrap();
        Answer { status, headers, body: Bytes::from(body.to_owned()) }
    }

    #[test]
    fn an_access_token_serves_until_a_minute_before_its_end() {
        let granted = answer(200, r#"{"access_token":"ya29.secret","expires_in":3599,"token_type":"Bearer"}"#);
        let token = access_token(&granted, NOW).unwrap();
        assert!(token.serves(NOW + 3538) && !token.serves(NOW + 3539));
        assert!(!format!("{token:?}").contains("ya29"));
        let denied = answer(400, r#"{"error":"invalid_grant","error_description":"Invalid JWT Signature."}"#);
        let expected = Outcome::Refused {
            code: "400 invalid_grant".to_owned(),
            detail: Some("Invalid JWT Signature.".to_owned()),
            fate: Fate::Keep,
        };
        assert_eq!(access_token(&denied, NOW), Err(expected));
        assert!(matches!(access_token(&answer(200, "{}"), NOW), Err(Outcome::Unreachable { .. })));
        assert!(matches!(access_token(&answer(503, ""), NOW), Err(Outcome::Busy { .. })));
    }

    #[test]
    fn every_answer_has_a_meaning() {
        let error = |code: u16, status: &str, own: Option<&str>, more: Value| {
            let own = own.map(|own| json!({"@type": FCM_ERROR, "errorCode": own}));
            let details: Vec<Value> = own.into_iter().chain((!more.is_null()).then_some(more)).collect();
            json!({"error": {"code": code, "message": "M", "status": status, "details": details}}).to_string()
        };
        let refused = |code: &str, fate| Outcome::Refused { code: code.to_owned(), detail: Some("M".to_owned()), fate };
        let busy = |code: &str, load| {
            let retry_after = Some(Duration::from_secs(30));
            Outcome::Busy { code: code.to_owned(), detail: Some("M".to_owned()), load, retry_after }
        };
        let gone = Fate::Remove { since: None };
        let bad_request = "type.googleapis.com/google.rpc.BadRequest";
        let violation =
            |field| json!({"@type": bad_request, "fieldViolations": [{"field": field, "description": "D"}]});
        let cases = [
            (
                200,
                r#"{"name":"projects/example/messages/0:1"}"#.to_owned(),
                Outcome::Accepted { id: Some("projects/example/messages/0:1".to_owned()) },
            ),
            (404, error(404, "NOT_FOUND", Some("UNREGISTERED"), Value::Null), refused("404 UNREGISTERED", gone)),
            (
                403,
                error(403, "PERMISSION_DENIED", Some("SENDER_ID_MISMATCH"), Value::Null),
                refused("403 SENDER_ID_MISMATCH", Fate::Keep),
            ),
            (
                400,
                error(400, "INVALID_ARGUMENT", Some("INVALID_ARGUMENT"), violation("message.token")),
                refused("400 INVALID_ARGUMENT", gone),
            ),
            (
                400,
                error(400, "INVALID_ARGUMENT", Some("INVALID_ARGUMENT"), violation("message.android.ttl")),
                refused("400 INVALID_ARGUMENT", Fate::Keep),
            ),
            (400, error(400, "INVALID_ARGUMENT", None, Value::Null), refused("400 INVALID_ARGUMENT", Fate::Keep)),
            (
                401,
                error(401, "UNAUTHENTICATED", Some(THIRD_PARTY), Value::Null),
                refused("401 THIRD_PARTY_AUTH_ERROR", Fate::Keep),
            ),
            (404, error(404, "NOT_FOUND", None, Value::Null), refused("404 NOT_FOUND", Fate::Keep)),
            (
                429,
                error(429, "RESOURCE_EXHAUSTED", Some("QUOTA_EXCEEDED"), Value::Null),
                busy("429 QUOTA_EXCEEDED", Load::Throttled),
            ),
            (503, error(503, "UNAVAILABLE", Some("UNAVAILABLE"), Value::Null), busy("503 UNAVAILABLE", Load::Failing)),
            (500, error(500, "INTERNAL", Some("INTERNAL"), Value::Null), busy("500 INTERNAL", Load::Failing)),
        ];
        for (status, body, expected) in cases {
            assert_eq!(outcome(&answer(status, &body), NOW), expected, "{body}");
        }
    }

    #[test]
    fn a_registration_token_has_no_odd_characters() {
        for text in ["", "a b", "a/b", "ü", &"x".repeat(4097)] {
            assert_eq!(RegistrationToken::parse(text), Err(RegistrationTokenError));
        }
    }
}
