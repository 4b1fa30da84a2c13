//! Standard Webhooks (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>).

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use ring::hmac::{self, HMAC_SHA256};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::answer::Answer;
use crate::credentials::{CredentialsError, Part, Reason};
use crate::endpoint::{Endpoint, Reach};
use crate::http::{Client, Protocol};
use crate::outcome::{Fate, Outcome, Sent};
use crate::push::{Downgrade, Effective, Feature, Invalid, Kind, Prepared, Priority, Push, fit};

/// The largest body, in bytes: the specification asks for less than 20 kB.
pub const BODY_BYTES: usize = 20_000;

/// A signing secret: `whsec_` and base64 of 24 to 64 bytes.
#[derive(Clone)]
pub struct Secret(hmac::Key);

impl Secret {
    /// Parses a secret.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text.strip_prefix("whsec_")?).ok()?;
        (24..=64).contains(&bytes.len()).then(|| Self(hmac::Key::new(HMAC_SHA256, &bytes)))
    }

    /// `v1,…`: the HMAC-SHA-256 of `{id}.{timestamp}.{body}`.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        let text = [format!("{id}.{timestamp}.").as_bytes(), body].concat();
        format!("v1,{}", STANDARD.encode(hmac::sign(&self.0, &text)))
    }

    /// Whether one of the signatures of a `webhook-signature` is this secret's.
    #[must_use]
    pub fn verifies(&self, signatures: &str, id: &str, timestamp: u64, body: &[u8]) -> bool {
        let text = [format!("{id}.{timestamp}.").as_bytes(), body].concat();
        let mut tags = signatures.split(' ').filter_map(|one| STANDARD.decode(one.strip_prefix("v1,")?).ok());
        tags.any(|tag| hmac::verify(&self.0, &text, &tag).is_ok())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// An app's webhook.
#[derive(Debug)]
pub struct Credentials {
    /// The URL.
    pub url: Endpoint,
    /// The secret of its signatures.
    pub secret: Secret,
}

impl Credentials {
    pub(crate) fn read(part: &Part<'_>, reach: Reach) -> Result<Self, CredentialsError> {
        part.only(&["url", "secret"])?;
        Ok(Self {
            url: part.read("url", |text| Ok(Endpoint::parse(text, reach)?))?,
            secret: part.read("secret", |text| {
                Secret::parse(text).ok_or(Reason::Form("not whsec_ and base64 of 24 to 64 bytes"))
            })?,
        })
    }
}

/// The client of one app.
#[derive(Debug)]
pub struct Webhook {
    credentials: Credentials,
}

impl Webhook {
    /// A client.
    #[must_use]
    pub fn new(credentials: Credentials) -> Self {
        Self { credentials }
    }

    /// The URL's origin.
    #[must_use]
    pub fn origin(&self) -> String {
        self.credentials.url.origin()
    }

    /// Sends a push; `now` is in seconds since 1970.
    ///
    /// # Errors
    /// If the provider cannot take the push, see [`Invalid`]; then nothing was sent.
    pub async fn send(&self, http: &Client, push: &Push, now: u64) -> Result<Sent, Invalid> {
        let Prepared { request, effective } = request(push, &self.credentials, now)?;
        let answered = http.send(request, Protocol::Negotiated).await;
        let outcome = answered.map_or_else(Outcome::from, |answer| outcome(push, &answer, now));
        Ok(Sent { effective, outcome })
    }
}

/// The request for a push: a signed JSON body. Its `webhook-id` is the push's id, by which a receiver recognises a
/// repetition.
///
/// # Errors
/// If the provider cannot take the push, see [`Invalid`].
pub fn request(push: &Push, credentials: &Credentials, now: u64) -> Result<Prepared, Invalid> {
    push.check()?;
    let mut downgrades = Vec::new();
    let body = fit(push, BODY_BYTES, &mut downgrades, |push| payload(push, now))?;
    let id = push.id().hyphenated().to_string();
    let request = Request::post(credentials.url.uri())
        .header(header::CONTENT_TYPE, "application/json")
        .header("webhook-id", &id)
        .header("webhook-timestamp", now)
        .header("webhook-signature", credentials.secret.sign(&id, now, &body))
        .body(Bytes::from(body))?;
    // The body carries them for the receiver to use; the call itself is made once, and now.
    downgrades.push(Downgrade::Ignored(Feature::Ttl));
    Ok(Prepared { request, effective: Effective { downgrades, ..Effective::default() } })
}

/// `{"type": "message.push", "timestamp": …, "data": {"messageId", "kind", "title", "body", "badge", "sound",
/// "priority", "ttl", "collapseKey", "data"}}`; a field that the push does not have is `null`.
fn payload(push: &Push, now: u64) -> Vec<u8> {
    let timestamp = i64::try_from(now).ok().and_then(|now| OffsetDateTime::from_unix_timestamp(now).ok());
    let timestamp = timestamp.and_then(|time| time.format(&Rfc3339).ok());
    let kind = match push.kind {
        Kind::Alert => "alert",
        Kind::Background => "background",
    };
    let priority = match push.priority {
        Priority::High => "high",
        Priority::Normal => "normal",
    };
    let data: Value = json!({
        "messageId": push.message_id,
        "kind": kind,
        "title": push.title,
        "body": push.body,
        "badge": push.badge,
        "sound": push.sound,
        "priority": priority,
        "ttl": push.ttl,
        "collapseKey": push.collapse_key,
        "data": push.data,
    });
    json!({"type": "message.push", "timestamp": timestamp, "data": data}).to_string().into_bytes()
}

/// The outcome of an answer: any 2xx is acceptance, and 410 means that the receiver wants no more calls.
#[must_use]
pub fn outcome(push: &Push, answer: &Answer, now: u64) -> Outcome {
    if answer.status.is_success() {
        return Outcome::Accepted { id: Some(push.id().hyphenated().to_string()) };
    }
    let fate = match answer.status {
        StatusCode::GONE => Fate::Remove { since: None },
        _ => Fate::Keep,
    };
    answer.failure(None, None, fate, now)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::providers::tests::credentials;
    use crate::push::tests::push;

    const NOW: u64 = 1_700_000_000;

    /// The example of the specification's reference libraries.
    #[test]
    fn the_signature_of_the_reference_libraries() {
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let (id, at, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        let signature = secret.sign(id, at, body);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(secret.verifies(&format!("v1,AAAA v1a,x {signature}"), id, at, body));
        for (id, at, body) in [("other", at, &body[..]), (id, at + 1, &body[..]), (id, at, &b"{}"[..])] {
            assert!(!secret.verifies(&signature, id, at, body));
        }
        assert!(!secret.verifies("", id, at, body));
    }

    #[test]
    fn a_request_is_signed() {
        let credentials = credentials().webhook.unwrap();
        let prepared = request(&push(), &credentials, NOW).unwrap();
        let header = |name: &str| prepared.request.headers()[name].to_str().unwrap();
        assert_eq!(prepared.request.uri(), "https://example.com/push");
        assert_eq!(header("webhook-id"), push().id().to_string());
        assert_eq!(header("webhook-timestamp"), "1700000000");
        let body = prepared.request.body();
        assert!(credentials.secret.verifies(header("webhook-signature"), header("webhook-id"), NOW, body));
        let expected = json!({
            "type": "message.push",
            "timestamp": "2023-11-14T22:13:20Z",
            "data": {
                "messageId": "01JD4Z0000000000000000MSGE", "kind": "alert", "title": "Gate change", "body": "Now B 12",
                "badge": 3, "sound": "chime.caf", "priority": "high", "ttl": 3600, "collapseKey": "flight-7",
                "data": {"id": "01JD4Z0000000000000000MSGE"},
            },
        });
        assert_eq!(serde_json::from_slice::<Value>(body).unwrap(), expected);
    }

    #[test]
    fn every_answer_has_a_meaning() {
        let keep = |code: &str| Outcome::Refused { code: code.to_owned(), detail: None, fate: Fate::Keep };
        let gone = Outcome::Refused { code: "410".to_owned(), detail: None, fate: Fate::Remove { since: None } };
        let accepted = Outcome::Accepted { id: Some(push().id().to_string()) };
        let cases = [
            (200, accepted.clone()),
            (204, accepted),
            (301, keep("301")),
            (302, keep("302")),
            (400, keep("400")),
            (404, keep("404")),
            (410, gone),
        ];
        for (status, expected) in cases {
            let status = StatusCode::from_u16(status).unwrap();
            let answer = Answer { status, headers: HeaderMap::new(), body: Bytes::new() };
            assert_eq!(outcome(&push(), &answer, NOW), expected, "{status}");
        }
    }
}
