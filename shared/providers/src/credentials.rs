//! The credentials of an app: one JSON document, read once.
//!
//! ```json
//! {
//!   "apns": {"keyId": "ABC123DEFG", "teamId": "DEF123GHIJ", "topic": "com.example.app", "privateKey": "-----BEGIN PRIVATE KEY-----…", "sandbox": false},
//!   "fcm": {"project_id": "…", "client_email": "…", "private_key": "-----BEGIN PRIVATE KEY-----…", "token_uri": "https://oauth2.googleapis.com/token"},
//!   "webpush": {"subject": "mailto:push@example.com", "privateKey": "…", "publicKey": "…"},
//!   "mipush": {"appSecret": "…", "packageName": "com.example.app"},
//!   "webhook": {"url": "https://example.com/push", "secret": "whsec_…"}
//! }
//! ```
//!
//! Each part is optional. `fcm` is a service account as Google hands it out; what else it has is ignored.

use std::fmt;

use serde_json::{Map, Value};
use tidings_crypto::encoding::from_base64url_or_padded;
use tidings_crypto::jws::{EcKey, KeyError, RsaKey};

use crate::endpoint::{Endpoint, EndpointError, Reach};
use crate::{Provider, webhook};

/// The credentials of an app.
#[derive(Debug, Default)]
pub struct Credentials {
    /// Of APNs.
    pub apns: Option<Apns>,
    /// Of FCM.
    pub fcm: Option<Fcm>,
    /// Of Web Push.
    pub webpush: Option<Webpush>,
    /// Of Mi Push.
    pub mipush: Option<Mipush>,
    /// Of the webhook.
    pub webhook: Option<Webhook>,
}

/// A token-signing key of a team
/// (<https://developer.apple.com/documentation/usernotifications/establishing-a-token-based-connection-to-apns>).
#[derive(Debug)]
pub struct Apns {
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

/// A service account of Google.
#[derive(Debug)]
pub struct Fcm {
    /// The project.
    pub project_id: String,
    /// The account.
    pub client_email: String,
    /// The account's key.
    pub private_key: RsaKey,
    /// Where access tokens come from.
    pub token_uri: Endpoint,
}

/// An application server's keys (VAPID, RFC 8292).
#[derive(Debug)]
pub struct Webpush {
    /// How a push service reaches the operator: `mailto:` or `https:`.
    pub subject: String,
    /// The key pair.
    pub key: EcKey,
}

/// An app of Xiaomi's.
#[derive(Debug)]
pub struct Mipush {
    /// Its `AppSecret`.
    pub app_secret: Secret,
    /// Its package name, or its bundle id.
    pub package_name: String,
}

/// Where an app is called.
#[derive(Debug)]
pub struct Webhook {
    /// The URL.
    pub url: Endpoint,
    /// What it verifies signatures with.
    pub secret: webhook::Secret,
}

/// A text that does not print.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text, for the one who needs it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What is wrong with a document of credentials. Never with a word of a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// It is no JSON object.
    #[error("the credentials are not a JSON object")]
    Malformed,
    /// It names a provider that there is none of.
    #[error("{name:?} is not a provider: expected apns, fcm, webpush, mipush or webhook")]
    UnknownProvider {
        /// The name.
        name: String,
    },
    /// A provider's part is no object.
    #[error("{0} is not an object")]
    NoObject(Provider),
    /// A field is missing.
    #[error("{provider}.{field} is missing")]
    Missing {
        /// Whose.
        provider: Provider,
        /// Which.
        field: &'static str,
    },
    /// A field is wrong.
    #[error("{provider}.{field}: {reason}")]
    Wrong {
        /// Whose.
        provider: Provider,
        /// Which.
        field: &'static str,
        /// Why.
        reason: Reason,
    },
    /// There is a field that nobody knows.
    #[error("{provider}.{field} is not a field")]
    UnknownField {
        /// Whose.
        provider: Provider,
        /// Its name.
        field: String,
    },
}

/// Why a field is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// It is of another type.
    #[error("not a text")]
    NotText,
    /// It is of another type.
    #[error("not true or false")]
    NotBoolean,
    /// It is empty, or has characters that HTTP cannot carry.
    #[error("not a text of 1 to 200 printable ASCII characters")]
    NotPrintable,
    /// It is no key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// It is no base64url.
    #[error("not base64url")]
    Encoding,
    /// It is no URL that may be called.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// It is no contact (RFC 8292 §2.1).
    #[error("neither a mailto: nor an https: URI")]
    Contact,
    /// It is no secret of Standard Webhooks.
    #[error("not whsec_ and base64 of 24 to 64 bytes")]
    WebhookSecret,
}

impl Credentials {
    /// Reads a document. URLs in it may go as far as `reach`.
    ///
    /// # Errors
    /// [`CredentialsError`] names the first field that is wrong.
    pub fn parse(json: &str, reach: Reach) -> Result<Self, CredentialsError> {
        let document: Map<String, Value> = serde_json::from_str(json).map_err(|_| CredentialsError::Malformed)?;
        let mut credentials = Self::default();
        for (name, part) in &document {
            let unknown = || CredentialsError::UnknownProvider { name: name.clone() };
            let provider = Provider::named(name).ok_or_else(unknown)?;
            let fields = part.as_object().ok_or(CredentialsError::NoObject(provider))?;
            let part = Part { provider, fields };
            match provider {
                Provider::Apns => credentials.apns = Some(part.apns()?),
                Provider::Fcm => credentials.fcm = Some(part.fcm(reach)?),
                Provider::Webpush => credentials.webpush = Some(part.webpush()?),
                Provider::Mipush => credentials.mipush = Some(part.mipush()?),
                Provider::Webhook => credentials.webhook = Some(part.webhook(reach)?),
            }
        }
        Ok(credentials)
    }
}

/// What the document has for one provider.
struct Part<'a> {
    provider: Provider,
    fields: &'a Map<String, Value>,
}

impl Part<'_> {
    fn apns(&self) -> Result<Apns, CredentialsError> {
        self.only(&["keyId", "teamId", "topic", "privateKey", "sandbox"])?;
        let sandbox = match self.fields.get("sandbox") {
            None => false,
            Some(flag) => flag.as_bool().ok_or_else(|| self.wrong("sandbox", Reason::NotBoolean))?,
        };
        Ok(Apns {
            key_id: self.printable("keyId")?,
            team_id: self.printable("teamId")?,
            topic: self.printable("topic")?,
            private_key: self.read("privateKey", |text| Ok(EcKey::from_pem(text)?))?,
            sandbox,
        })
    }

    fn fcm(&self, reach: Reach) -> Result<Fcm, CredentialsError> {
        Ok(Fcm {
            project_id: self.printable("project_id")?,
            client_email: self.printable("client_email")?,
            private_key: self.read("private_key", |text| Ok(RsaKey::from_pem(text)?))?,
            token_uri: self.read("token_uri", |text| Ok(Endpoint::parse(text, reach)?))?,
        })
    }

    fn webpush(&self) -> Result<Webpush, CredentialsError> {
        self.only(&["subject", "privateKey", "publicKey"])?;
        let contact = |text: &str| text.starts_with("mailto:") || text.starts_with("https:");
        let bytes = |text: &str| from_base64url_or_padded(text).ok_or(Reason::Encoding);
        let private = self.read("privateKey", bytes)?;
        let public = self.read("publicKey", bytes)?;
        Ok(Webpush {
            subject: self.read("subject", |text| contact(text).then(|| text.to_owned()).ok_or(Reason::Contact))?,
            key: EcKey::from_halves(&private, &public).map_err(|error| self.wrong("privateKey", error.into()))?,
        })
    }

    fn mipush(&self) -> Result<Mipush, CredentialsError> {
        self.only(&["appSecret", "packageName"])?;
        Ok(Mipush { app_secret: self.printable("appSecret")?.into(), package_name: self.printable("packageName")? })
    }

    fn webhook(&self, reach: Reach) -> Result<Webhook, CredentialsError> {
        self.only(&["url", "secret"])?;
        Ok(Webhook {
            url: self.read("url", |text| Ok(Endpoint::parse(text, reach)?))?,
            secret: self.read("secret", |text| webhook::Secret::parse(text).ok_or(Reason::WebhookSecret))?,
        })
    }

    /// A field that goes into a header, a path or a token.
    fn printable(&self, field: &'static str) -> Result<String, CredentialsError> {
        self.read(field, |text| {
            let fits = (1..=200).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
            if fits { Ok(text.to_owned()) } else { Err(Reason::NotPrintable) }
        })
    }

    fn read<T>(
        &self,
        field: &'static str,
        read: impl FnOnce(&str) -> Result<T, Reason>,
    ) -> Result<T, CredentialsError> {
        let missing = CredentialsError::Missing { provider: self.provider, field };
        let value = self.fields.get(field).ok_or(missing)?;
        let text = value.as_str().ok_or_else(|| self.wrong(field, Reason::NotText))?;
        read(text).map_err(|reason| self.wrong(field, reason))
    }

    /// A field that is misspelt would be one that is missing, or a default that nobody wants.
    fn only(&self, known: &[&str]) -> Result<(), CredentialsError> {
        match self.fields.keys().find(|field| !known.contains(&field.as_str())) {
            Some(field) => Err(CredentialsError::UnknownField { provider: self.provider, field: field.clone() }),
            None => Ok(()),
        }
    }

    fn wrong(&self, field: &'static str, reason: Reason) -> CredentialsError {
        CredentialsError::Wrong { provider: self.provider, field, reason }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;
    use tidings_crypto::encoding::base64url;

    use super::*;

    const EC_PEM: &str = include_str!("../../crypto/tests/keys/p256.pem");
    const RSA_PEM: &str = include_str!("../../crypto/tests/keys/rsa2048.pem");

    /// A pair that everybody knows: the browser's in RFC 8291 Appendix A.
    pub(crate) const VAPID_PRIVATE: &str = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94";
    pub(crate) const VAPID_PUBLIC: &str =
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";

    /// A document with all parts right.
    pub(crate) fn document() -> Value {
        json!({
            "apns": {"keyId": "ABC123DEFG", "teamId": "DEF123GHIJ", "topic": "com.example.app", "privateKey": EC_PEM},
            "fcm": {
                "type": "service_account", "project_id": "example", "client_email": "push@example.iam.gserviceaccount.com",
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
        assert!(Credentials::parse("{}", Reach::Public).unwrap().apns.is_none());
        let all = credentials();
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
            ("/webpush/subject", json!("push@example.com"), "webpush.subject: neither a mailto: nor an https: URI"),
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
