//! Identifiers, parsed once.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tidings_crypto::{encoding::hex, mac::hmac_sha256};
use tidings_wire::{Timestamp, limits};

/// A text that is not a valid identifier of its kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {kind}: {rule}")]
pub struct IdError {
    kind: &'static str,
    rule: &'static str,
}

impl IdError {
    pub(crate) const USER_KEY: Self = Self { kind: "user key", rule: "app|tenant|alias" };
}

/// Declares a newtype over a checked string.
macro_rules! identifier {
    ($(#[$meta:meta])* $name:ident, $kind:literal, $rule:literal, $check:expr) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The identifier as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                let check: fn(&str) -> bool = $check;
                if check(&text) { Ok(Self(text)) } else { Err(IdError { kind: $kind, rule: $rule }) }
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::try_from(text.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

fn is_name(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

identifier!(
    /// An app: the unit that has keys, users and limits. 1 to 64 letters, digits, `-`, `_`.
    AppId, "app id", "1 to 64 letters, digits, - or _", |text| is_name(text, limits::IDENTIFIER_CHARS)
);

identifier!(
    /// A device. Derived from the app and the device's native token, so that the same pair keeps its id without a
    /// look-up.
    DeviceId, "device id", "1 to 64 letters, digits, - or _", |text| is_name(text, limits::IDENTIFIER_CHARS)
);

identifier!(
    /// A connection, as API Gateway names it: opaque, with `=` and other characters that a path needs encoded.
    ConnectionId, "connection id", "1 to 128 printable ASCII characters",
    |text| (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
);

identifier!(
    /// A message: a UUID.
    MessageId, "message id", "a UUID", |text| uuid::Uuid::try_parse(text).is_ok_and(|id| id.to_string() == text)
);

impl DeviceId {
    /// The id of the device that holds this native token in this app.
    #[must_use]
    pub fn derive(app: &AppId, native_token: &str) -> Self {
        let digest = Sha256::new().chain_update(app.as_str()).chain_update([0]).chain_update(native_token).finalize();
        Self(hex(&digest[..16]))
    }
}

impl MessageId {
    /// A new id (UUID version 7): ordered by time, `random` makes it unique.
    #[must_use]
    pub fn new(now: Timestamp, random: [u8; 10]) -> Self {
        let millis = u64::try_from(now.0).unwrap_or(0);
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid().to_string())
    }

    /// The id that an idempotency key stands for within an app (UUID version 8): the same key gives the same id, so
    /// that storing the message is the check. The app's secret keeps a device that guesses the key from computing the
    /// id.
    #[must_use]
    pub fn of_key(secret: &IdSecret, app: &AppId, key: &str) -> Self {
        let named = [app.as_str(), key].join("\0");
        let code = hmac_sha256(secret.0.as_bytes(), named.as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&code[..16]);
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string())
    }
}

/// The secret of an app under which the ids of its keyed messages are derived. It stays the same for the life of the
/// app: a repeat has to find what was sent before.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IdSecret(String);

impl IdSecret {
    /// Encodes these random bytes as a secret.
    #[must_use]
    pub fn new(random: [u8; 32]) -> Self {
        Self(hex(&random))
    }
}

impl fmt::Debug for IdSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdSecret(***)")
    }
}

/// SHA-256 in lower-case hexadecimal; distinguishes request bodies.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// A tenant: one customer's users within an app.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TenantKey {
    /// The app.
    pub app: AppId,
    /// The tenant within the app; empty if the app has none.
    pub tenant: String,
}

impl TenantKey {
    /// The tenant as one text: `app|tenant`, the beginning of its users' keys.
    #[must_use]
    pub fn encode(&self) -> String {
        format!("{}|{}", self.app, encode_part(&self.tenant))
    }
}

impl fmt::Debug for TenantKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.encode())
    }
}

fn encode_part(text: &str) -> String {
    text.replace('%', "%25").replace('|', "%7C")
}

/// A user, who receives messages. The alias is the app's name for a person.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UserKey {
    /// The app.
    pub app: AppId,
    /// The tenant within the app; empty if the app has none.
    pub tenant: String,
    /// The user's name.
    pub alias: String,
}

impl UserKey {
    /// The user as one text: `app|tenant|alias`, with `|` and `%` of the parts percent-encoded.
    #[must_use]
    pub fn encode(&self) -> String {
        format!("{}|{}|{}", self.app, encode_part(&self.tenant), encode_part(&self.alias))
    }

    /// The tenant that the user belongs to.
    #[must_use]
    pub fn tenant(&self) -> TenantKey {
        TenantKey { app: self.app.clone(), tenant: self.tenant.clone() }
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// If the text does not have three parts, or the first is not an app id.
    pub fn decode(text: &str) -> Result<Self, IdError> {
        let part = |text: &str| text.replace("%7C", "|").replace("%25", "%");
        let mut parts = text.split('|');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(app), Some(tenant), Some(alias), None) => {
                Ok(Self { app: app.parse()?, tenant: part(tenant), alias: part(alias) })
            }
            _ => Err(IdError::USER_KEY),
        }
    }

    /// A digest of the user, 32 hexadecimal digits: its pseudonym in a deployment that does not seal. See
    /// [`Seal::pseudonym`](crate::Seal::pseudonym).
    #[must_use]
    pub fn digest(&self) -> String {
        hex(&Sha256::digest(self.encode())[..16])
    }
}

impl UserKey {
    /// The owner of a device that has been unregistered. No user's alias is empty.
    #[must_use]
    pub fn unowned(app: AppId) -> Self {
        Self { app, tenant: String::new(), alias: String::new() }
    }

    /// Whether this is the owner of an unregistered device.
    #[must_use]
    pub fn is_unowned(&self) -> bool {
        self.alias.is_empty()
    }
}

impl fmt::Debug for UserKey {
    /// Without the alias, which may be a phone number or an address, and without a digest, which could be guessed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}|***", self.app)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_key_survives_its_own_separators() {
        for (tenant, alias) in [("", "alice"), ("a|b", "c%7Cd"), ("%", "|"), ("%25", "%7C|"), ("租户", "爱丽丝")] {
            let user = UserKey { app: "demo".parse().unwrap(), tenant: tenant.into(), alias: alias.into() };
            assert_eq!(UserKey::decode(&user.encode()), Ok(user.clone()));
            assert_eq!(user.encode().matches('|').count(), 2);
            assert!(user.encode().starts_with(&format!("{}|", user.tenant().encode())));
        }
    }

    #[test]
    fn ids_are_checked() {
        assert!("demo-1_a".parse::<AppId>().is_ok());
        for bad in ["", "a b", "a#b", "a|b", &"x".repeat(65)] {
            assert!(bad.parse::<AppId>().is_err(), "{bad}");
        }
        assert!("L0SM9cOFvHcCIhw=".parse::<ConnectionId>().is_ok());
        assert!("".parse::<ConnectionId>().is_err());
        assert!("not-a-uuid".parse::<MessageId>().is_err());
    }

    #[test]
    fn message_ids_are_uuids_and_keys_give_the_same_one() {
        let app: AppId = "demo".parse().unwrap();
        let id = MessageId::new(Timestamp(1_795_324_231_042), [7; 10]);
        assert!(id.as_str().parse::<MessageId>().is_ok());
        let secret = IdSecret::new([1; 32]);
        let of = |key| MessageId::of_key(&secret, &app, key);
        assert_eq!(of("k"), of("k"));
        assert_ne!(of("k"), of("l"));
        assert!(of("k").as_str().parse::<MessageId>().is_ok());
        assert_ne!(of("k"), MessageId::of_key(&secret, &"other".parse().unwrap(), "k"));
        assert_ne!(of("k"), MessageId::of_key(&IdSecret::new([2; 32]), &app, "k"));
        assert_eq!(format!("{secret:?}"), "IdSecret(***)");
    }
}
