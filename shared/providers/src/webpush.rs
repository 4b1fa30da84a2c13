//! Web Push: the protocol (RFC 8030), encrypted payloads (RFC 8291) and the sender's identity (VAPID, RFC 8292).
//!
//! The endpoint of a subscription is chosen by a user's browser, or by any client that claims to be one. In production
//! it must be `https`, with a public name as its host, and no connection is made to an address that is not public: see
//! [`crate::endpoint`].

pub mod encryption;

use std::fmt;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use tidings_crypto::encoding::{base64url, from_base64url_or_padded};
use tidings_crypto::jws::{self, EcKey, Header};

use crate::answer::Answer;
use crate::credentials::{CredentialsError, Part, Reason};
use crate::endpoint::{Endpoint, EndpointError, Reach};
use crate::http::{Client, Protocol};
use crate::outcome::{Fate, Outcome, Sent};
use crate::push::{Downgrade, Effective, Feature, Invalid, Kind, Prepared, Priority, Push, fit};

use encryption::{Message, PLAINTEXT_BYTES};

/// The longest `Topic`, in characters (RFC 8030 §5.4).
const TOPIC_CHARS: usize = 32;
/// How long a VAPID token is valid, in seconds; a push service accepts at most a day (RFC 8292 §2).
const VAPID_SECONDS: u64 = 12 * 60 * 60;

/// A browser's subscription for a page: `PushSubscription.toJSON()`.
#[derive(Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The URL at which its push service accepts messages.
    pub endpoint: Endpoint,
    /// The browser's public key: an uncompressed point on P-256.
    p256dh: [u8; 65],
    /// The secret between browser and page.
    auth: [u8; 16],
}

/// The fault of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscriptionError {
    /// It has another shape.
    #[error("not a subscription: expected {{\"endpoint\": …, \"keys\": {{\"p256dh\": …, \"auth\": …}}}}")]
    Malformed,
    /// Its endpoint may not be called.
    #[error("endpoint: {0}")]
    Endpoint(#[from] EndpointError),
    /// Its key is invalid.
    #[error("keys.p256dh is not base64url of an uncompressed point on P-256, 65 bytes")]
    P256dh,
    /// Its secret is invalid.
    #[error("keys.auth is not base64url of 16 bytes")]
    Auth,
}

impl Subscription {
    /// Parses `{"endpoint": …, "keys": {"p256dh": …, "auth": …}}`. The endpoint may be as far away as `reach`.
    ///
    /// # Errors
    /// If the subscription is invalid, see [`SubscriptionError`].
    pub fn parse(json: &str, reach: Reach) -> Result<Self, SubscriptionError> {
        #[derive(Deserialize)]
        struct Given {
            endpoint: String,
            keys: Keys,
        }
        #[derive(Deserialize)]
        struct Keys {
            p256dh: String,
            auth: String,
        }
        let Given { endpoint, keys } = serde_json::from_str(json).map_err(|_| SubscriptionError::Malformed)?;
        Self::new(&endpoint, &keys.p256dh, &keys.auth, reach)
    }

    /// A subscription of these parts; keys are base64url, with or without padding.
    ///
    /// # Errors
    /// If the subscription is invalid, see [`SubscriptionError`].
    pub fn new(endpoint: &str, p256dh: &str, auth: &str, reach: Reach) -> Result<Self, SubscriptionError> {
        let p256dh = from_base64url_or_padded(p256dh).and_then(|bytes| bytes.try_into().ok());
        let p256dh = p256dh.filter(encryption::is_point).ok_or(SubscriptionError::P256dh)?;
        let auth =
            from_base64url_or_padded(auth).and_then(|bytes| bytes.try_into().ok()).ok_or(SubscriptionError::Auth)?;
        Ok(Self { endpoint: Endpoint::parse(endpoint, reach)?, p256dh, auth })
    }
}

impl Subscription {
    /// The push service: the endpoint's origin.
    #[must_use]
    pub fn origin(&self) -> String {
        self.endpoint.origin()
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// An application server's keys (VAPID, RFC 8292).
#[derive(Debug)]
pub struct Credentials {
    /// How a push service reaches the operator: `mailto:` or `https:`.
    pub subject: String,
    /// The key pair.
    pub key: EcKey,
}

impl Credentials {
    pub(crate) fn read(part: &Part<'_>) -> Result<Self, CredentialsError> {
        part.only(&["subject", "privateKey", "publicKey"])?;
        let contact = |text: &str| match is_contact(text) {
            true => Ok(text.to_owned()),
            false => Err(Reason::Form("neither mailto: with one email address nor the URL of an https page")),
        };
        let bytes = |text: &str| from_base64url_or_padded(text).ok_or(Reason::Encoding);
        let private = part.read("privateKey", bytes)?;
        let public = part.read("publicKey", bytes)?;
        Ok(Self {
            subject: part.read("subject", contact)?,
            key: EcKey::from_halves(&private, &public).map_err(|error| part.wrong("privateKey", error.into()))?,
        })
    }
}

/// Whether a push service can write to this subject: `mailto:` with one address, or a page over `https` (RFC 8292
/// §2.1). Apple answers every push with another subject with `403 BadJwtToken`.
fn is_contact(text: &str) -> bool {
    match text.strip_prefix("mailto:") {
        Some(address) => is_address(address),
        None => text.starts_with("https://") && Endpoint::parse(text, Reach::Public).is_ok(),
    }
}

/// A dot-atom, and a domain with a dot in it (RFC 5322 §3.4.1); no `?` and no `%`, which are special in `mailto:`.
fn is_address(text: &str) -> bool {
    let is_atom_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&'*+-/=^_`{|}~".contains(&byte);
    let is_atom = |part: &str| !part.is_empty() && part.bytes().all(is_atom_byte);
    let is_label = |label: &str| {
        let fits = (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-');
        fits && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.split_once('@').is_some_and(|(local, domain)| {
        local.split('.').all(is_atom) && domain.contains('.') && domain.split('.').all(is_label)
    })
}

/// The client of one app.
#[derive(Debug)]
pub struct Webpush {
    credentials: Credentials,
}

impl Webpush {
    /// A client.
    #[must_use]
    pub fn new(credentials: Credentials) -> Self {
        Self { credentials }
    }

    /// Sends a push; `now` is in seconds since 1970.
    ///
    /// # Errors
    /// If the provider cannot take the push, see [`Invalid`]; then nothing was sent.
    pub async fn send(&self, http: &Client, push: &Push, to: &Subscription, now: u64) -> Result<Sent, Invalid> {
        let Prepared { request, mut effective } = request(push, to, &self.credentials, now)?;
        let answered = http.send(request, Protocol::Negotiated).await;
        if let Ok(answer) = &answered {
            shorten(&mut effective, answer);
        }
        let outcome = answered.map_or_else(Outcome::from, |answer| outcome(&answer, now));
        Ok(Sent { effective, outcome })
    }
}

/// Records a shorter time to live that the push service returns in its answer (RFC 8030 §5.2).
fn shorten(effective: &mut Effective, answer: &Answer) {
    let ttl = answer.status.is_success().then(|| answer.header("ttl")).flatten();
    let (Some(given), Some(asked)) = (ttl.and_then(|text| text.parse().ok()), effective.ttl) else { return };
    if given < asked {
        effective.ttl = Some(given);
        effective.downgrades.push(Downgrade::TtlCut { asked, given });
    }
}

/// The request for a push: an encrypted body for the subscription's endpoint.
///
/// # Errors
/// If the provider cannot take the push, see [`Invalid`].
pub fn request(push: &Push, to: &Subscription, credentials: &Credentials, now: u64) -> Result<Prepared, Invalid> {
    push.check()?;
    let mut downgrades = Vec::new();
    let plaintext = fit(push, PLAINTEXT_BYTES, &mut downgrades, payload)?;
    let urgency = urgency(push);
    let topic = topic(push, &mut downgrades);
    if push.sound.is_some() {
        downgrades.push(Downgrade::Ignored(Feature::Sound));
    }
    let body = Message::new()?.encrypt(&to.p256dh, &to.auth, &plaintext)?;
    let mut request = Request::post(to.endpoint.uri())
        .header(header::AUTHORIZATION, vapid(credentials, &to.endpoint, now)?)
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .header(header::CONTENT_ENCODING, "aes128gcm")
        .header("ttl", push.ttl)
        .header("urgency", urgency);
    if let Some(topic) = &topic {
        request = request.header("topic", topic);
    }
    let effective = Effective { ttl: Some(push.ttl), priority: Some(urgency), collapse: topic, downgrades };
    Ok(Prepared { request: request.body(Bytes::from(body))?, effective })
}

/// `Urgency` (RFC 8030 §5.3).
pub(crate) fn urgency(push: &Push) -> &'static str {
    match push.priority {
        Priority::High => "high",
        Priority::Normal => "normal",
    }
}

/// `Topic` (RFC 8030 §5.4).
pub(crate) fn topic(push: &Push, downgrades: &mut Vec<Downgrade>) -> Option<String> {
    let is_topic = |key: &str| {
        (1..=TOPIC_CHARS).contains(&key.len())
            && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    push.collapse(TOPIC_CHARS, is_topic, downgrades)
}

/// `vapid t=…, k=…` (RFC 8292 §3).
///
/// # Errors
/// [`Invalid::NoRandomness`] if the operating system has none to give.
pub fn vapid(credentials: &Credentials, endpoint: &Endpoint, now: u64) -> Result<String, Invalid> {
    let claims = json!({"aud": endpoint.origin(), "exp": now + VAPID_SECONDS, "sub": credentials.subject});
    let key = &credentials.key;
    let token = jws::sign(key, Header::of(key).with_type(), &claims)?;
    Ok(format!("vapid t={token}, k={}", base64url(key.public().bytes())))
}

/// The data for the page's service worker: `{"id", "title", "body", "badge", "data"}`, of which only the id and the
/// data
/// are always there.
fn payload(push: &Push) -> Vec<u8> {
    let mut payload = json!({"id": push.id().hyphenated().to_string(), "data": push.data});
    let (title, body) = push.shown();
    for (name, text) in [("title", title), ("body", body)] {
        if let Some(text) = text {
            payload[name] = text.into();
        }
    }
    match (push.kind, push.badge) {
        (Kind::Alert, Some(badge)) => payload["badge"] = badge.into(),
        (Kind::Alert, None) | (Kind::Background, _) => {}
    }
    payload.to_string().into_bytes()
}

/// The outcome of an answer (RFC 8030 §5, §7.3, §8.4; RFC 8292 §4.2).
#[must_use]
pub fn outcome(answer: &Answer, now: u64) -> Outcome {
    if answer.status.is_success() {
        return Outcome::Accepted { id: answer.header("location").map(str::to_owned) };
    }
    // The form of an error differs by push service: JSON with a reason, or text.
    let json: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let words = ["reason", "message", "error"].iter().find_map(|name| json.as_ref()?[name].as_str());
    let text = std::str::from_utf8(&answer.body).ok().filter(|text| !text.is_empty() && !text.starts_with('<'));
    let fate = match answer.status {
        StatusCode::NOT_FOUND | StatusCode::GONE => Fate::Remove { since: None },
        _ => Fate::Keep,
    };
    answer.failure(None, words.or(text), fate, now)
}

#[cfg(test)]
mod tests;
