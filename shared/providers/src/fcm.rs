//! Firebase Cloud Messaging, HTTP v1 (<https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages>).

mod parts;

use std::fmt;

use bytes::Bytes;
use form_urlencoded::Serializer;
use http::{Request, StatusCode, header};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tidings_crypto::jws::{self, Header, RsaKey};
use tokio::sync::Mutex;

use crate::answer::Answer;
use crate::apns;
use crate::credentials::{CredentialsError, Part};
use crate::endpoint::{Endpoint, Reach};
use crate::http::{Client, Protocol};
use crate::outcome::{Fate, Outcome, Sent, Unanswered, shortened};
use crate::push::{Effective, Invalid, Prepared, Push, fit};

/// The server of FCM.
pub const BASE: &str = "https://fcm.googleapis.com";

/// The largest notification and data together, in bytes.
pub const PAYLOAD_BYTES: usize = 4096;
/// How long FCM keeps a message for a device that is offline, in seconds: four weeks.
pub const TTL_SECONDS: u64 = 28 * 24 * 60 * 60;

/// The scope of an access token (<https://developers.google.com/identity/protocols/oauth2/scopes#fcm>).
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
/// How long an assertion is valid, in seconds; Google takes at most an hour.
const ASSERTION_SECONDS: u64 = 60 * 60;
/// An access token is not used in its last seconds: it could expire on its way.
const SPARE_SECONDS: u64 = 60;

/// A registration token of an app on a device: 1 to 4096 characters.
#[derive(Clone, PartialEq, Eq)]
pub struct RegistrationToken(String);

/// The text is not a registration token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a registration token of FCM: expected 1 to 4096 characters of A-Z, a-z, 0-9, '-', '_' and ':'")]
pub struct RegistrationTokenError;

impl RegistrationToken {
    /// Parses a registration token.
    ///
    /// # Errors
    /// If the text is not a registration token.
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

/// A service account of Google.
#[derive(Debug)]
pub struct Credentials {
    /// The project.
    pub project_id: String,
    /// The account.
    pub client_email: String,
    /// The account's key.
    pub private_key: RsaKey,
    /// The endpoint of access tokens.
    pub token_uri: Endpoint,
}

impl Credentials {
    /// Google's files have other fields too, which are ignored.
    pub(crate) fn read(part: &Part<'_>, reach: Reach) -> Result<Self, CredentialsError> {
        Ok(Self {
            project_id: part.printable("project_id")?,
            client_email: part.printable("client_email")?,
            private_key: part.read("private_key", |text| Ok(RsaKey::from_pem(text)?))?,
            token_uri: part.read("token_uri", |text| Ok(Endpoint::parse(text, reach)?))?,
        })
    }
}

/// The client of one app. All users of the client share its access token.
#[derive(Debug)]
pub struct Fcm {
    credentials: Credentials,
    base: String,
    // Held while a token is fetched, so that one fetch serves all pushes that wait.
    token: Mutex<Option<AccessToken>>,
}

/// An access token of the token endpoint.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken {
    text: String,
    /// The end of its use, in seconds since 1970.
    until: u64,
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken").field("text", &"***").field("until", &self.until).finish()
    }
}

impl AccessToken {
    /// Whether it may still be used.
    #[must_use]
    pub fn serves(&self, now: u64) -> bool {
        now < self.until
    }
}

impl Fcm {
    /// A client that calls `base`, or Google if it is `None`.
    #[must_use]
    pub fn new(credentials: Credentials, base: Option<String>) -> Self {
        Self { credentials, base: base.unwrap_or_else(|| BASE.to_owned()), token: Mutex::default() }
    }

    /// Sends a push; `now` is in seconds since 1970.
    ///
    /// If Google reports that the access token is invalid, the client fetches a new one and sends the push once more:
    /// FCM has not looked at it.
    ///
    /// # Errors
    /// If the provider cannot take the push, see [`Invalid`]; then nothing was sent.
    pub async fn send(&self, http: &Client, push: &Push, to: &RegistrationToken, now: u64) -> Result<Sent, Invalid> {
        let first = self.attempt(http, push, to, None, now).await?;
        match first {
            Attempt::Ended(sent) => Ok(sent),
            Attempt::TokenRefused(token, sent) => match self.attempt(http, push, to, Some(token), now).await? {
                Attempt::Ended(again) | Attempt::TokenRefused(_, again) => Ok(match again.outcome {
                    // No new token could be fetched: the refusal of the first attempt is the outcome.
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
        let mut prepared = request(push, to, &self.credentials.project_id, "", &self.base, now)?;
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

    /// The access token of `now`, or why there is none: nothing is sent without one.
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
            Ok(answer) => access_token(&answer, now).map_err(not_sent),
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

/// The outcome of a push whose request for a token was not answered: the push itself was not sent.
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
/// [`Invalid::NoRandomness`] if the operating system has none to give.
pub fn token_request(credentials: &Credentials, now: u64) -> Result<Request<Bytes>, Invalid> {
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

/// The access token in an answer.
///
/// # Errors
/// The outcome of the push if the answer has no token.
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
/// If the provider cannot take the push, see [`Invalid`].
pub fn request(
    push: &Push,
    to: &RegistrationToken,
    project: &str,
    token: &str,
    base: &str,
    now: u64,
) -> Result<Prepared, Invalid> {
    push.check()?;
    let mut downgrades = Vec::new();
    let ttl = push.ttl_within(TTL_SECONDS, &mut downgrades);
    let content = fit(push, PAYLOAD_BYTES, &mut downgrades, |push| content(push).to_string().into_bytes())?;
    let mut message: Map<String, Value> = serde_json::from_slice(&content).unwrap_or_default();
    message.insert("token".to_owned(), to.0.as_str().into());
    message.insert("android".to_owned(), parts::android(push, ttl));
    message.insert("webpush".to_owned(), parts::webpush(push, ttl));
    if let Some(apns) = message.get_mut("apns") {
        apns["headers"] = parts::apns_headers(push, ttl, now).into();
    }
    let request = Request::post(format!("{base}/v1/projects/{project}/messages:send"))
        .header(header::AUTHORIZATION, bearer(token)?)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Bytes::from(json!({"message": message}).to_string()))?;
    let collapse = push.collapse_key.clone();
    let effective = Effective { ttl: Some(ttl), priority: Some(parts::priority(push)), collapse, downgrades };
    Ok(Prepared { request, effective })
}

/// The bytes that count towards the limit: FCM's own, and those of the APNs payload that FCM makes of the message.
fn content(push: &Push) -> Value {
    // FCM adds the alert that it makes of the notification.
    let aps = apns::aps(push);
    let mut content = Map::from_iter([("apns".to_owned(), json!({"payload": {"aps": aps}}))]);
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
/// The type of the detail that holds FCM's error code.
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
    /// FCM's error code, or else the status code that all Google services have.
    fn code(&self) -> Option<&str> {
        let own = self.details.iter().find(|detail| detail["@type"] == FCM_ERROR);
        own.and_then(|detail| detail["errorCode"].as_str()).or(self.status.as_deref())
    }

    /// Whether the token is the fault of the request.
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

/// The outcome of an answer (<https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode>).
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
        // Not `SENDER_ID_MISMATCH`: a wrong account in the configuration would remove every address.
        Some("UNREGISTERED") => true,
        Some("INVALID_ARGUMENT") => error.blames_token(),
        Some(_) | None => false,
    };
    let fate = if is_dead { Fate::Remove { since: None } } else { Fate::Keep };
    let detail = error.message.as_deref().map(shortened);
    answer.failure(error.code(), detail.as_deref(), fate, now)
}

#[cfg(test)]
mod tests;
