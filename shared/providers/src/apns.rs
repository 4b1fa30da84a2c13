//! Apple Push Notification service
//! (<https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns>).

use std::fmt;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::{Request, header};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tidings_crypto::jws::{self, EcKey, Header};

use crate::answer::Answer;
use crate::credentials::{CredentialsError, Part};
use crate::http::{Client, Protocol};
use crate::outcome::{Fate, Outcome, Sent};
use crate::push::{Downgrade, Effective, Invalid, Kind, Prepared, Priority, Push, fit};

/// The server for apps from the App Store and TestFlight.
pub const PRODUCTION: &str = "https://api.push.apple.com";
/// The server for apps from Xcode.
pub const SANDBOX: &str = "https://api.sandbox.push.apple.com";

/// The largest payload, in bytes.
pub const PAYLOAD_BYTES: usize = 4096;
/// The longest `apns-collapse-id`, in bytes.
const COLLAPSE_ID_BYTES: usize = 64;

/// How long a provider token is used, in seconds. Apple refuses one that is older than an hour.
const TOKEN_SECONDS: u64 = 50 * 60;
/// The shortest time between two provider tokens, in seconds: sooner, Apple answers `TooManyProviderTokenUpdates`.
const TOKEN_CHURN_SECONDS: u64 = 20 * 60;

/// A device token: 8 to 100 bytes in hexadecimal. Apple warns not to rely on their number, which is 32 today.
#[derive(Clone, PartialEq, Eq)]
pub struct DeviceToken(String);

/// The text is not a device token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a device token of APNs: expected 16 to 200 hexadecimal digits")]
pub struct DeviceTokenError;

impl DeviceToken {
    /// Parses a device token, in upper or lower case.
    ///
    /// # Errors
    /// If the text is not a device token.
    pub fn parse(text: &str) -> Result<Self, DeviceTokenError> {
        let fits = (16..=200).contains(&text.len()) && text.len().is_multiple_of(2);
        let fits = fits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if fits { Ok(Self(text.to_ascii_lowercase())) } else { Err(DeviceTokenError) }
    }
}

impl fmt::Debug for DeviceToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceToken(***)")
    }
}

/// A token-signing key of a team
/// (<https://developer.apple.com/documentation/usernotifications/establishing-a-token-based-connection-to-apns>).
#[derive(Debug)]
pub struct Credentials {
    /// Its id, 10 characters.
    pub key_id: String,
    /// The team's id, 10 characters.
    pub team_id: String,
    /// The bundle id of the app.
    pub topic: String,
    /// The key of the `.p8` file.
    pub private_key: EcKey,
    /// Whether the app's tokens are of the development environment.
    pub sandbox: bool,
}

impl Credentials {
    pub(crate) fn read(part: &Part<'_>) -> Result<Self, CredentialsError> {
        part.only(&["keyId", "teamId", "topic", "privateKey", "sandbox"])?;
        Ok(Self {
            sandbox: part.flag("sandbox")?,
            key_id: part.printable("keyId")?,
            team_id: part.printable("teamId")?,
            topic: part.printable("topic")?,
            private_key: part.read("privateKey", |text| Ok(EcKey::from_pem(text)?))?,
        })
    }
}

/// The client of one app. All users of the client share its provider token.
#[derive(Debug)]
pub struct Apns {
    credentials: Credentials,
    base: String,
    token: Mutex<ProviderToken>,
}

impl Apns {
    /// A client that calls `base`, or Apple if it is `None`.
    #[must_use]
    pub fn new(credentials: Credentials, base: Option<String>) -> Self {
        let apple = if credentials.sandbox { SANDBOX } else { PRODUCTION };
        let base = base.unwrap_or_else(|| apple.to_owned());
        Self { credentials, base, token: Mutex::default() }
    }

    /// Sends a push; `now` is in seconds since 1970.
    ///
    /// If Apple reports that the provider token has expired, the client makes a new one and sends the push once more:
    /// Apple has not looked at it.
    ///
    /// # Errors
    /// If the provider cannot take the push, see [`Invalid`]; then nothing was sent.
    pub async fn send(&self, http: &Client, push: &Push, device: &DeviceToken, now: u64) -> Result<Sent, Invalid> {
        let token = self.with_token(|token| token.get(&self.credentials, now))?;
        let first = self.attempt(http, push, device, &token, now).await?;
        let is_expired = |sent: &Sent| match &sent.outcome {
            Outcome::Refused { code, .. } => code == "403 ExpiredProviderToken",
            Outcome::Accepted { .. } | Outcome::Busy { .. } | Outcome::Unanswered(_) | Outcome::Unreachable { .. } => {
                false
            }
        };
        if !is_expired(&first) {
            return Ok(first);
        }
        match self.with_token(|cached| cached.replace(&self.credentials, &token, now))? {
            Some(token) => self.attempt(http, push, device, &token, now).await,
            None => Ok(first),
        }
    }

    async fn attempt(
        &self,
        http: &Client,
        push: &Push,
        device: &DeviceToken,
        token: &str,
        now: u64,
    ) -> Result<Sent, Invalid> {
        let Prepared { request, effective } = request(push, device, &self.credentials.topic, token, &self.base, now)?;
        let answered = http.send(request, Protocol::Http2).await;
        let outcome = answered.map_or_else(Outcome::from, |answer| outcome(&answer, now));
        Ok(Sent { effective, outcome })
    }

    fn with_token<T>(&self, work: impl FnOnce(&mut ProviderToken) -> T) -> T {
        work(&mut self.token.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A provider token and when it was made: reused for 50 minutes, never made twice within 20
/// (<https://developer.apple.com/documentation/usernotifications/establishing-a-token-based-connection-to-apns>).
#[derive(Default)]
pub struct ProviderToken(Option<(String, u64)>);

impl fmt::Debug for ProviderToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ProviderToken").field(&self.0.as_ref().map(|(_, made)| ("***", made))).finish()
    }
}

impl ProviderToken {
    /// The token of `now`, in seconds since 1970.
    ///
    /// # Errors
    /// [`Invalid::NoRandomness`] if the token cannot be signed.
    pub fn get(&mut self, credentials: &Credentials, now: u64) -> Result<String, Invalid> {
        match &self.0 {
            // After the clock was set back, the token would be from the future for Apple.
            Some((token, made)) if (*made..made + TOKEN_SECONDS).contains(&now) => Ok(token.clone()),
            _ => self.make(credentials, now),
        }
    }

    /// The replacement for a token that Apple has refused. `None` if that token is too young to be replaced.
    ///
    /// # Errors
    /// [`Invalid::NoRandomness`] if the token cannot be signed.
    pub fn replace(&mut self, credentials: &Credentials, refused: &str, now: u64) -> Result<Option<String>, Invalid> {
        match &self.0 {
            // A concurrent push has already replaced it.
            Some((token, _)) if token != refused => Ok(Some(token.clone())),
            Some((_, made)) if now.saturating_sub(*made) < TOKEN_CHURN_SECONDS => Ok(None),
            _ => self.make(credentials, now).map(Some),
        }
    }

    fn make(&mut self, credentials: &Credentials, now: u64) -> Result<String, Invalid> {
        let key = &credentials.private_key;
        let claims = json!({"iss": credentials.team_id, "iat": now});
        let token = jws::sign(key, Header::of(key).with_kid(&credentials.key_id), &claims)?;
        self.0 = Some((token.clone(), now));
        Ok(token)
    }
}

/// The request for a push: `POST /3/device/{token}`.
///
/// # Errors
/// If the provider cannot take the push, see [`Invalid`].
pub fn request(
    push: &Push,
    device: &DeviceToken,
    topic: &str,
    token: &str,
    base: &str,
    now: u64,
) -> Result<Prepared, Invalid> {
    push.check()?;
    let mut downgrades = Vec::new();
    let body = fit(push, PAYLOAD_BYTES, &mut downgrades, payload)?;
    let (push_type, priority) = kind(push);
    if (push.kind, push.priority) == (Kind::Background, Priority::High) {
        downgrades.push(Downgrade::PriorityLowered);
    }
    let collapse = collapse(push, &mut downgrades);
    let mut request = Request::post(format!("{base}/3/device/{}", device.0))
        .header(header::AUTHORIZATION, format!("bearer {token}"))
        .header(header::CONTENT_TYPE, "application/json")
        .header("apns-topic", topic)
        .header("apns-push-type", push_type)
        .header("apns-priority", priority)
        .header("apns-expiration", expiration(push.ttl, now))
        .header("apns-id", push.id().hyphenated().to_string());
    if let Some(collapse) = &collapse {
        request = request.header("apns-collapse-id", collapse);
    }
    let effective = Effective { ttl: Some(push.ttl), priority: Some(priority), collapse, downgrades };
    Ok(Prepared { request: request.body(Bytes::from(body))?, effective })
}

/// `apns-push-type` and `apns-priority`.
pub(crate) fn kind(push: &Push) -> (&'static str, &'static str) {
    match (push.kind, push.priority) {
        (Kind::Alert, Priority::High) => ("alert", "10"),
        (Kind::Alert, Priority::Normal) => ("alert", "5"),
        // Apple: "For background notifications, using priority 10 is an error."
        (Kind::Background, Priority::Normal | Priority::High) => ("background", "5"),
    }
}

/// `apns-expiration`: 0 is one attempt; anything else is a date.
pub(crate) fn expiration(ttl: u64, now: u64) -> u64 {
    if ttl == 0 { 0 } else { now.saturating_add(ttl) }
}

/// `apns-collapse-id`.
pub(crate) fn collapse(push: &Push, downgrades: &mut Vec<Downgrade>) -> Option<String> {
    let fits = |key: &str| (1..=COLLAPSE_ID_BYTES).contains(&key.len()) && key.bytes().all(|it| it.is_ascii_graphic());
    push.collapse(COLLAPSE_ID_BYTES, fits, downgrades)
}

/// `aps` but for its `alert`.
pub(crate) fn aps(push: &Push) -> Map<String, Value> {
    let mut aps = Map::new();
    match push.kind {
        Kind::Alert => {
            if let Some(badge) = push.badge {
                aps.insert("badge".to_owned(), badge.into());
            }
            if let Some(sound) = &push.sound {
                aps.insert("sound".to_owned(), sound.as_str().into());
            }
            if push.mutable {
                aps.insert("mutable-content".to_owned(), 1.into());
            }
        }
        Kind::Background => {
            aps.insert("content-available".to_owned(), 1.into());
        }
    }
    aps
}

/// `{"aps": {…}}`, and the data beside it.
fn payload(push: &Push) -> Vec<u8> {
    let mut aps = aps(push);
    match push.kind {
        Kind::Alert => {
            let (title, body) = push.shown();
            let alert = [("title", title), ("body", body)];
            let alert: Map<String, Value> =
                alert.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.into()))).collect();
            aps.insert("alert".to_owned(), alert.into());
        }
        Kind::Background => {}
    }
    let mut payload: Map<String, Value> =
        push.data.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    payload.insert("aps".to_owned(), aps.into());
    Value::Object(payload).to_string().into_bytes()
}

/// The body of an error
/// (<https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns>).
#[derive(Deserialize)]
struct Refusal {
    reason: Option<String>,
    /// With a 410: since when the token is not registered, in milliseconds.
    timestamp: Option<u64>,
}

/// The outcome of an answer.
#[must_use]
pub fn outcome(answer: &Answer, now: u64) -> Outcome {
    if answer.status.is_success() {
        return Outcome::Accepted { id: answer.header("apns-id").map(str::to_owned) };
    }
    let refusal = serde_json::from_slice(&answer.body).unwrap_or(Refusal { reason: None, timestamp: None });
    let reason = refusal.reason.as_deref();
    // Not `DeviceTokenNotForTopic`: the operator may have mistyped the topic, and every device's token would be
    // removed.
    let is_dead = answer.status == http::StatusCode::GONE || reason == Some("BadDeviceToken");
    let fate = if is_dead { Fate::Remove { since: refusal.timestamp } } else { Fate::Keep };
    answer.failure(reason, None, fate, now)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderMap, HeaderValue, StatusCode};

    use super::*;
    use crate::outcome::Load;
    use crate::providers::tests::credentials;
    use crate::push::tests::push;

    const NOW: u64 = 1_700_000_000;

    fn device() -> DeviceToken {
        DeviceToken::parse(&"00FC13AD".repeat(8)).unwrap()
    }

    fn prepared(push: &Push) -> (Prepared, Value) {
        let prepared = request(push, &device(), "com.example.app", "T", PRODUCTION, NOW).unwrap();
        let body = serde_json::from_slice(prepared.request.body()).unwrap();
        (prepared, body)
    }

    fn header<'a>(prepared: &'a Prepared, name: &str) -> &'a str {
        prepared.request.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[test]
    fn an_alert() {
        let (prepared, body) = prepared(&push());
        let path = format!("https://api.push.apple.com/3/device/{}", "00fc13ad".repeat(8));
        assert_eq!(prepared.request.uri(), path.as_str());
        let expected = [
            ("authorization", "bearer T"),
            ("content-type", "application/json"),
            ("apns-topic", "com.example.app"),
            ("apns-push-type", "alert"),
            ("apns-priority", "10"),
            ("apns-expiration", "1700003600"),
            ("apns-collapse-id", "flight-7"),
            ("apns-id", &push().id().to_string()),
        ];
        for (name, value) in expected {
            assert_eq!(header(&prepared, name), value, "{name}");
        }
        let aps = json!({
            "alert": {"title": "Gate change", "body": "Now B 12"}, "badge": 3, "sound": "chime.caf",
            "mutable-content": 1,
        });
        assert_eq!(body, json!({"aps": aps, "id": "01JD4Z0000000000000000MSGE"}));
        assert_eq!(prepared.effective.downgrades, []);
    }

    #[test]
    fn a_background_push_shows_nothing_and_is_never_urgent() {
        let (prepared, body) = prepared(&Push { kind: Kind::Background, ttl: 0, ..push() });
        assert_eq!(body["aps"], json!({"content-available": 1}));
        assert_eq!(header(&prepared, "apns-push-type"), "background");
        assert_eq!(header(&prepared, "apns-priority"), "5");
        assert_eq!(header(&prepared, "apns-expiration"), "0");
        assert_eq!(prepared.effective.downgrades, [Downgrade::PriorityLowered]);
    }

    #[test]
    fn a_long_collapse_key_is_hashed() {
        for (key, kept) in [("k".repeat(64), true), ("k".repeat(65), false), ("ключ".to_owned(), false)] {
            let (prepared, _) = prepared(&Push { collapse_key: Some(key.clone()), ..push() });
            let id = header(&prepared, "apns-collapse-id");
            assert_eq!(id == key, kept, "{key}");
            assert!(id.len() <= COLLAPSE_ID_BYTES);
            assert_eq!(prepared.effective.downgrades.is_empty(), kept, "{key}");
            assert_eq!(prepared.effective.collapse.as_deref(), Some(id));
        }
    }

    #[test]
    fn a_payload_has_at_most_4096_bytes() {
        let mut large = push();
        large.data.insert("sealed".to_owned(), "x".repeat(5000));
        let (prepared, body) = prepared(&large);
        assert!(prepared.request.body().len() <= PAYLOAD_BYTES);
        assert_eq!(body["aps"]["alert"]["body"], "Now B 12");
        let left_out = Downgrade::LeftOut { name: "sealed".to_owned(), bytes: 5000 };
        assert_eq!(prepared.effective.downgrades, [left_out]);
    }

    #[test]
    fn a_device_token_is_hexadecimal() {
        for text in
            ["", "00fc", "00fc13ad00fc13a", "zz".repeat(32).as_str(), "00".repeat(101).as_str(), "../../etc/passwd"]
        {
            assert_eq!(DeviceToken::parse(text), Err(DeviceTokenError), "{text}");
        }
    }

    #[test]
    fn a_provider_token_is_reused_and_not_churned() {
        let credentials = credentials().apns.unwrap();
        let mut cache = ProviderToken::default();
        let first = cache.get(&credentials, NOW).unwrap();
        let (header, claims): (_, Value) = jws::verify(&first, &credentials.private_key.public()).unwrap();
        assert_eq!(json!(header), json!({"alg": "ES256", "kid": "ABC123DEFG"}));
        assert_eq!(claims, json!({"iss": "DEF123GHIJ", "iat": NOW}));
        assert_eq!(cache.get(&credentials, NOW + TOKEN_SECONDS - 1).unwrap(), first);
        // Refused while it is young: not replaced.
        assert_eq!(cache.replace(&credentials, &first, NOW + TOKEN_CHURN_SECONDS - 1).unwrap(), None);
        let second = cache.replace(&credentials, &first, NOW + TOKEN_CHURN_SECONDS).unwrap().unwrap();
        assert_ne!(second, first);
        // A second push that was refused with the first token finds the second token.
        assert_eq!(cache.replace(&credentials, &first, NOW + TOKEN_CHURN_SECONDS + 1).unwrap(), Some(second.clone()));
        let third = cache.get(&credentials, NOW + TOKEN_CHURN_SECONDS + TOKEN_SECONDS).unwrap();
        assert_ne!(third, second);
        // The clock was set back.
        assert_ne!(cache.get(&credentials, NOW).unwrap(), third);
        assert!(!format!("{cache:?}").contains(&third));
    }

    #[test]
    fn every_answer_has_a_meaning() {
        let keep = |code: &str| Outcome::Refused { code: code.to_owned(), detail: None, fate: Fate::Keep };
        let gone =
            |code: &str, since| Outcome::Refused { code: code.to_owned(), detail: None, fate: Fate::Remove { since } };
        let busy = |code: &str, load| {
            let retry_after = Some(Duration::from_secs(7));
            Outcome::Busy { code: code.to_owned(), detail: None, load, retry_after }
        };
        let cases = [
            (200, "", Outcome::Accepted { id: Some("ID".to_owned()) }),
            (400, r#"{"reason":"BadDeviceToken"}"#, gone("400 BadDeviceToken", None)),
            (400, r#"{"reason":"DeviceTokenNotForTopic"}"#, keep("400 DeviceTokenNotForTopic")),
            (400, r#"{"reason":"BadTopic"}"#, keep("400 BadTopic")),
            (400, r#"{"reason":"PayloadEmpty"}"#, keep("400 PayloadEmpty")),
            (400, "nonsense", keep("400")),
            (403, r#"{"reason":"InvalidProviderToken"}"#, keep("403 InvalidProviderToken")),
            (403, r#"{"reason":"ExpiredProviderToken"}"#, keep("403 ExpiredProviderToken")),
            (404, r#"{"reason":"BadPath"}"#, keep("404 BadPath")),
            (405, r#"{"reason":"MethodNotAllowed"}"#, keep("405 MethodNotAllowed")),
            (
                410,
                r#"{"reason":"Unregistered","timestamp":1629000000000}"#,
                gone("410 Unregistered", Some(1_629_000_000_000)),
            ),
            (410, r#"{"reason":"ExpiredToken"}"#, gone("410 ExpiredToken", None)),
            (413, r#"{"reason":"PayloadTooLarge"}"#, keep("413 PayloadTooLarge")),
            (429, r#"{"reason":"TooManyRequests"}"#, busy("429 TooManyRequests", Load::Throttled)),
            (
                429,
                r#"{"reason":"TooManyProviderTokenUpdates"}"#,
                busy("429 TooManyProviderTokenUpdates", Load::Throttled),
            ),
            (500, r#"{"reason":"InternalServerError"}"#, busy("500 InternalServerError", Load::Failing)),
            (503, r#"{"reason":"ServiceUnavailable"}"#, busy("503 ServiceUnavailable", Load::Failing)),
            (503, r#"{"reason":"Shutdown"}"#, busy("503 Shutdown", Load::Failing)),
        ];
        for (status, body, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert("apns-id", HeaderValue::from_static("ID"));
            headers.insert("retry-after", HeaderValue::from_static("7"));
            let answer = Answer { status: StatusCode::from_u16(status).unwrap(), headers, body: Bytes::from(body) };
            assert_eq!(outcome(&answer, NOW), expected, "{status} {body}");
        }
    }
}
