//! All providers of one app, and its credentials: one JSON document, read once.
//!
//! ```json
//! {
//!   "apns": {
//!     "keyId": "ABC123DEFG", "teamId": "DEF123GHIJ", "topic": "com.example.app",
//!     "privateKey": "-----BEGIN PRIVATE KEY-----…", "sandbox": false
//!   },
//!   "fcm": {
//!     "project_id": "…", "client_email": "…", "private_key": "-----BEGIN PRIVATE KEY-----…",
//!     "token_uri": "https://oauth2.googleapis.com/token"
//!   },
//!   "webpush": {"subject": "mailto:push@example.com", "privateKey": "…", "publicKey": "…"},
//!   "mipush": {"appSecret": "…", "packageName": "com.example.app"},
//!   "webhook": {"url": "https://example.com/push", "secret": "whsec_…"}
//! }
//! ```
//!
//! Each part is optional. `fcm` is a service account as Google hands it out; its other fields are ignored.

use std::fmt;

use serde_json::{Map, Value};
use tidings_text::without_mark;

use crate::credentials::{CredentialsError, Part};
use crate::endpoint::Reach;
use crate::http::Client;
use crate::outcome::Sent;
use crate::push::{Invalid, Push};
use crate::{apns, fcm, mipush, webhook, webpush};

/// A provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provider {
    /// Apple Push Notification service.
    Apns,
    /// Firebase Cloud Messaging.
    Fcm,
    /// Web Push.
    Webpush,
    /// Mi Push.
    Mipush,
    /// The app's webhook.
    Webhook,
}

impl Provider {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Apns, Self::Fcm, Self::Webpush, Self::Mipush, Self::Webhook];

    /// Its name, as in credentials and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Apns => "apns",
            Self::Fcm => "fcm",
            Self::Webpush => "webpush",
            Self::Mipush => "mipush",
            Self::Webhook => "webhook",
        }
    }

    /// The form of its part of the credentials, in words.
    #[must_use]
    pub const fn example(self) -> &'static str {
        match self {
            Self::Apns => {
                "{\"keyId\": \"ABC123DEFG\", \"teamId\": \"DEF123GHIJ\", \"topic\": \"com.example.app\",
             \"privateKey\": \"-----BEGIN PRIVATE KEY-----…\", \"sandbox\": false}"
            }
            Self::Fcm => "the file of a service account, as Google hands it out",
            Self::Webpush => "{\"subject\": \"mailto:push@example.com\", \"privateKey\": \"…\", \"publicKey\": \"…\"}",
            Self::Mipush => "{\"appSecret\": \"…\", \"packageName\": \"com.example.app\"}",
            Self::Webhook => "{\"url\": \"https://example.com/push\", \"secret\": \"whsec_…\"}",
        }
    }

    /// The provider of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.as_str() == name)
    }

    /// The names of all providers, for an error.
    fn listed() -> String {
        let names = Self::ALL.map(Self::as_str);
        let (last, others) = names.split_last().unwrap_or((&"", &[]));
        format!("{} or {last}", others.join(", "))
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The target of a push, by provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// An app on an Apple device.
    Apns(apns::DeviceToken),
    /// An app that is registered with Firebase.
    Fcm(fcm::RegistrationToken),
    /// A page in a browser.
    Webpush(webpush::Subscription),
    /// An app that is registered with Xiaomi.
    Mipush(mipush::Recipient),
    /// The app's own server.
    Webhook,
}

impl Target {
    /// The provider of the target.
    #[must_use]
    pub fn provider(&self) -> Provider {
        match self {
            Self::Apns(_) => Provider::Apns,
            Self::Fcm(_) => Provider::Fcm,
            Self::Webpush(_) => Provider::Webpush,
            Self::Mipush(_) => Provider::Mipush,
            Self::Webhook => Provider::Webhook,
        }
    }
}

/// The providers' URLs if they are not the real ones: `http://127.0.0.1:4571`, without a path.
///
/// Web Push and webhooks have no fixed URL, and FCM's token endpoint is part of its credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bases {
    /// Replaces [`apns::PRODUCTION`] and [`apns::SANDBOX`].
    pub apns: Option<String>,
    /// Replaces [`fcm::BASE`].
    pub fcm: Option<String>,
    /// Replaces [`mipush::BASE`].
    pub mipush: Option<String>,
}

impl Bases {
    /// All of them at one URL, as in the local twin.
    #[must_use]
    pub fn all_at(base: &str) -> Self {
        Self { apns: Some(base.to_owned()), fcm: Some(base.to_owned()), mipush: Some(base.to_owned()) }
    }
}

/// The credentials of an app.
#[derive(Debug, Default)]
pub struct Credentials {
    /// Credentials for APNs.
    pub apns: Option<apns::Credentials>,
    /// Credentials for FCM.
    pub fcm: Option<fcm::Credentials>,
    /// Credentials for Web Push.
    pub webpush: Option<webpush::Credentials>,
    /// Credentials for Mi Push.
    pub mipush: Option<mipush::Credentials>,
    /// URL and secret of the webhook.
    pub webhook: Option<webhook::Credentials>,
}

impl Credentials {
    /// Parses a document. Its URLs must be within `reach`.
    ///
    /// # Errors
    /// [`CredentialsError`] names the first field that is wrong.
    pub fn parse(json: &str, reach: Reach) -> Result<Self, CredentialsError> {
        let json = without_mark(json);
        let document: Map<String, Value> = serde_json::from_str(json).map_err(|_| CredentialsError::Malformed)?;
        let mut credentials = Self::default();
        for (name, part) in &document {
            let unknown = || CredentialsError::UnknownProvider { name: name.clone(), known: Provider::listed() };
            let provider = Provider::named(name).ok_or_else(unknown)?;
            let fields = part.as_object().ok_or(CredentialsError::NoObject(provider.as_str()))?;
            let part = Part::new(provider.as_str(), fields);
            match provider {
                Provider::Apns => credentials.apns = Some(apns::Credentials::read(&part)?),
                Provider::Fcm => credentials.fcm = Some(fcm::Credentials::read(&part, reach)?),
                Provider::Webpush => credentials.webpush = Some(webpush::Credentials::read(&part)?),
                Provider::Mipush => credentials.mipush = Some(mipush::Credentials::read(&part)?),
                Provider::Webhook => credentials.webhook = Some(webhook::Credentials::read(&part, reach)?),
            }
        }
        Ok(credentials)
    }

    /// The providers that have credentials.
    #[must_use]
    pub fn providers(&self) -> Vec<Provider> {
        let has = |provider: &Provider| match provider {
            Provider::Apns => self.apns.is_some(),
            Provider::Fcm => self.fcm.is_some(),
            Provider::Webpush => self.webpush.is_some(),
            Provider::Mipush => self.mipush.is_some(),
            Provider::Webhook => self.webhook.is_some(),
        };
        Provider::ALL.into_iter().filter(has).collect()
    }
}

/// The clients of an app. Keep them: their tokens and connections are reused.
#[derive(Debug)]
pub struct Providers {
    http: Client,
    apns: Option<apns::Apns>,
    fcm: Option<fcm::Fcm>,
    webpush: Option<webpush::Webpush>,
    mipush: Option<mipush::Mipush>,
    webhook: Option<webhook::Webhook>,
}

impl Providers {
    /// Clients with these credentials.
    #[must_use]
    pub fn new(credentials: Credentials, http: Client, bases: Bases) -> Self {
        Self {
            http,
            apns: credentials.apns.map(|part| apns::Apns::new(part, bases.apns)),
            fcm: credentials.fcm.map(|part| fcm::Fcm::new(part, bases.fcm)),
            webpush: credentials.webpush.map(webpush::Webpush::new),
            mipush: credentials.mipush.map(|part| mipush::Mipush::new(part, bases.mipush)),
            webhook: credentials.webhook.map(webhook::Webhook::new),
        }
    }

    /// The server that a push to this target goes to, if a browser or the app has chosen it. Its failures do not affect
    /// targets on another server.
    #[must_use]
    pub fn origin(&self, to: &Target) -> Option<String> {
        match to {
            Target::Webpush(subscription) => Some(subscription.origin()),
            Target::Webhook => self.webhook.as_ref().map(webhook::Webhook::origin),
            Target::Apns(_) | Target::Fcm(_) | Target::Mipush(_) => None,
        }
    }

    /// Sends a push, once; `now` is in seconds since 1970.
    ///
    /// # Errors
    /// If the provider cannot take the push, see [`Invalid`]; then nothing was sent.
    pub async fn send(&self, push: &Push, to: &Target, now: u64) -> Result<Sent, Invalid> {
        let missing = Invalid::NotConfigured(to.provider().as_str());
        match to {
            Target::Apns(device) => self.apns.as_ref().ok_or(missing)?.send(&self.http, push, device, now).await,
            Target::Fcm(token) => self.fcm.as_ref().ok_or(missing)?.send(&self.http, push, token, now).await,
            Target::Webpush(to) => self.webpush.as_ref().ok_or(missing)?.send(&self.http, push, to, now).await,
            Target::Mipush(to) => self.mipush.as_ref().ok_or(missing)?.send(&self.http, push, to, now).await,
            Target::Webhook => self.webhook.as_ref().ok_or(missing)?.send(&self.http, push, now).await,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;
    use tidings_crypto::encoding::base64url;

    use super::*;

    const EC_PEM: &str = include_str!("../../crypto/tests/keys/p256.pem");
    const RSA_PEM: &str = include_str!("../../crypto/tests/keys/rsa2048.pem");

    /// A public key pair: the browser's in RFC 8291 Appendix A.
    pub(crate) const VAPID_PRIVATE: &str = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94";
    pub(crate) const VAPID_PUBLIC: &str =
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";

    /// A valid document with all parts.
    pub(crate) fn document() -> Value {
        json!({
            "apns": {"keyId": "ABC123DEFG", "teamId": "DEF123GHIJ", "topic": "com.example.app", "privateKey": EC_PEM},
            "fcm": {
                "type": "service_account", "project_id": "example",
                "client_email": "push@example.iam.gserviceaccount.com",
                "private_key": RSA_PEM, "token_uri": "https://oauth2.googleapis.com/token",
            },
            "webpush": {"subject": "mailto:push@example.com", "privateKey": VAPID_PRIVATE, "publicKey": VAPID_PUBLIC},
            "mipush": {"appSecret": "MiSecret==", "packageName": "com.example.app"},
            "webhook": {"url": "https://example.com/push", "secret": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"},
        })
    }

    pub(crate) fn credentials() -> Credentials {
        Credentials::parse(&document().to_string(), Reach::Public).unwrap()
    }

    #[test]
    fn every_part_is_optional() {
        assert_eq!(Credentials::parse("{}", Reach::Public).unwrap().providers(), []);
        let all = credentials();
        assert_eq!(all.providers(), Provider::ALL);
        assert!(!all.apns.unwrap().sandbox);
        assert_eq!(all.fcm.unwrap().project_id, "example");
        assert_eq!(base64url(all.webpush.unwrap().key.public().bytes()), VAPID_PUBLIC);
    }

    #[test]
    fn whatever_is_wrong_is_named() {
        let long = "x".repeat(201);
        let cases = [
            ("/apns/keyId", json!(null), "apns.keyId: not a text"),
            ("/apns/teamId", json!(""), "apns.teamId: not a text of 1 to 200 printable ASCII characters"),
            ("/apns/topic", json!("a b"), "apns.topic: not a text of 1 to 200 printable ASCII characters"),
            ("/apns/topic", json!(long), "apns.topic: not a text of 1 to 200 printable ASCII characters"),
            (
                "/apns/privateKey",
                json!("MIGH"),
                "apns.privateKey: not a PEM document of a PKCS #8 key (-----BEGIN PRIVATE KEY-----)",
            ),
            ("/apns/privateKey", json!(RSA_PEM), "apns.privateKey: not a P-256 key that holds its public key too"),
            ("/apns/sandbox", json!("yes"), "apns.sandbox: not true or false"),
            ("/apns/bundle", json!("x"), "apns.bundle is not a field"),
            ("/fcm/private_key", json!(EC_PEM), "fcm.private_key: not an RSA key of 2048 to 4096 bits"),
            ("/fcm/token_uri", json!("http://oauth2.googleapis.com/token"), "fcm.token_uri: the URL is not https"),
            (
                "/webpush/subject",
                json!("push@example.com"),
                "webpush.subject: neither mailto: with one email address nor the URL of an https page",
            ),
            (
                "/webhook/url",
                json!("https://example.com:99999/h"),
                "webhook.url: the port of the URL is not a number from 1 to 65535, without zeros before it",
            ),
            (
                "/fcm/token_uri",
                json!("https://example.com:0/h"),
                "fcm.token_uri: the port of the URL is not a number from 1 to 65535, without zeros before it",
            ),
            ("/webpush/publicKey", json!("!"), "webpush.publicKey: not base64url"),
            ("/webpush/privateKey", json!("AAAA"), "webpush.privateKey: not a P-256 key that holds its public key too"),
            ("/mipush/appSecret", json!(7), "mipush.appSecret: not a text"),
            ("/webhook/url", json!("https://10.0.0.1/"), "webhook.url: the host of the URL is an IP address"),
            ("/webhook/secret", json!("secret"), "webhook.secret: not whsec_ and base64 of 24 to 64 bytes"),
            ("/webhook/secret", json!("whsec_AAAA"), "webhook.secret: not whsec_ and base64 of 24 to 64 bytes"),
            ("/fcm", json!([]), "fcm is not an object"),
            ("/gcm", json!({}), "\"gcm\" is not a provider: expected apns, fcm, webpush, mipush or webhook"),
        ];
        for (pointer, value, expected) in cases {
            let mut document = document();
            let (parent, field) = pointer.rsplit_once('/').unwrap();
            document.pointer_mut(parent).unwrap()[field] = value;
            let error = Credentials::parse(&document.to_string(), Reach::Public).unwrap_err();
            assert_eq!(error.to_string(), expected, "{pointer}");
        }
        assert_eq!(Credentials::parse("[]", Reach::Public).unwrap_err(), CredentialsError::Malformed);
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_a_document_nor_of_a_value_in_it() {
        let marked = format!("\u{feff}{}", document());
        assert_eq!(Credentials::parse(&marked, Reach::Public).unwrap().providers(), Provider::ALL);
        for pointer in [
            "/apns/keyId",
            "/apns/privateKey",
            "/fcm/private_key",
            "/webpush/publicKey",
            "/mipush/appSecret",
            "/webhook/url",
        ] {
            let mut document = document();
            let value = document.pointer_mut(pointer).unwrap();
            *value = format!("\u{feff}{}", value.as_str().unwrap()).into();
            let parsed = Credentials::parse(&document.to_string(), Reach::Public);
            assert_eq!(parsed.unwrap().providers(), Provider::ALL, "{pointer}");
        }
        // Anywhere else the mark is an invalid character.
        let twice = format!("\u{feff}\u{feff}{}", document());
        assert_eq!(Credentials::parse(&twice, Reach::Public).unwrap_err(), CredentialsError::Malformed);
    }

    #[test]
    fn whatever_is_missing_is_named() {
        for (provider, part) in document().as_object().unwrap() {
            for field in part.as_object().unwrap().keys().filter(|field| *field != "type") {
                let mut document = document();
                document[provider].as_object_mut().unwrap().remove(field);
                let error = Credentials::parse(&document.to_string(), Reach::Public).unwrap_err();
                assert_eq!(error.to_string(), format!("{provider}.{field} is missing"));
            }
        }
    }

    #[test]
    fn no_secret_prints() {
        let printed = format!("{:?}", credentials());
        for secret in ["MiSecret", "C2FVsBQI", VAPID_PRIVATE, "PRIVATE KEY"] {
            assert!(!printed.contains(secret), "{printed}");
        }
    }
}
