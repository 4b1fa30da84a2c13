//! A device's key as a JSON Web Key (RFC 7517). It travels in this form once: in the answer to registration.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::encoding;
use crate::frame::{self, ContentKey};
use crate::keys::{KeyId, KeyUse, TokenKey};
use crate::token;

/// A symmetric key: `{"kty":"oct","use":"enc","alg":"dir","kid":"…","k":"…"}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Jwk {
    /// Always `oct`.
    pub kty: String,
    /// `enc` for the content key, `sig` for the token key.
    #[serde(rename = "use")]
    pub key_use: String,
    /// `dir` for the content key, `HS256` for the token key: what a JOSE library compares with the header's `alg`.
    pub alg: String,
    /// The key's id, [`KeyId`] in text.
    pub kid: String,
    /// The key itself, base64url.
    pub k: SecretText,
}

/// Text that is wiped when dropped and prints as `***`.
#[derive(Clone)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Wraps the text.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text in clear.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// The JWK is not the key that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JwkError {
    /// `kty`, `use` or `alg` belongs to another kind of key.
    #[error("the JWK is not a {expected} key of a Tidings device")]
    WrongKind {
        /// The `alg` that was looked for.
        expected: &'static str,
    },
    /// `k` is not base64url, or not of the key's length.
    #[error("the JWK's key is malformed")]
    Malformed,
}

impl Jwk {
    /// The JWK of a content key.
    pub fn of_content(id: &KeyId, key: &ContentKey) -> Self {
        Self::of(id, KeyUse::Content, key.as_bytes())
    }

    /// The JWK of a token key.
    pub fn of_token(id: &KeyId, key: &TokenKey) -> Self {
        Self::of(id, KeyUse::Token, key.as_bytes())
    }

    fn of(id: &KeyId, key_use: KeyUse, key: &[u8]) -> Self {
        Self {
            kty: "oct".to_owned(),
            key_use: key_use.as_str().to_owned(),
            alg: algorithm(key_use).to_owned(),
            kid: id.with_use(key_use).to_string(),
            k: SecretText::new(encoding::base64url(key)),
        }
    }

    /// Reads a content key.
    ///
    /// # Errors
    /// If this is another kind of key, or malformed.
    pub fn content_key(&self) -> Result<ContentKey, JwkError> {
        self.bytes(KeyUse::Content).map(ContentKey::from_bytes)
    }

    /// Reads a token key.
    ///
    /// # Errors
    /// If this is another kind of key, or malformed.
    pub fn token_key(&self) -> Result<TokenKey, JwkError> {
        self.bytes(KeyUse::Token).map(TokenKey::from_bytes)
    }

    fn bytes<const N: usize>(&self, key_use: KeyUse) -> Result<[u8; N], JwkError> {
        let expected = algorithm(key_use);
        if self.kty != "oct" || self.key_use != key_use.as_str() || self.alg != expected {
            return Err(JwkError::WrongKind { expected });
        }
        let decoded = Zeroizing::new(encoding::from_base64url(self.k.expose()).ok_or(JwkError::Malformed)?);
        decoded.as_slice().try_into().map_err(|_| JwkError::Malformed)
    }
}

fn algorithm(key_use: KeyUse) -> &'static str {
    match key_use {
        KeyUse::Content => frame::ALGORITHM,
        KeyUse::Token => token::ALGORITHM.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> KeyId {
        KeyId { device: "device-1".to_owned(), version: 1, generation: 0, key_use: KeyUse::Content }
    }

    #[test]
    fn keys_travel_as_jwks() {
        let content = Jwk::of_content(&id(), &ContentKey::from_bytes([7; 64]));
        let json = serde_json::to_value(&content).unwrap();
        assert_eq!(json["kty"], "oct");
        assert_eq!(json["use"], "enc");
        assert_eq!(json["alg"], "dir");
        assert_eq!(json["kid"], "device-1.1.0.enc");
        let back: Jwk = serde_json::from_value(json).unwrap();
        assert_eq!(back.content_key().unwrap().as_bytes(), &[7; 64]);

        let token = Jwk::of_token(&id(), &TokenKey::from_bytes([8; 32]));
        assert_eq!((token.alg.as_str(), token.kid.as_str()), ("HS256", "device-1.1.0.sig"));
        assert_eq!(token.token_key().unwrap().as_bytes(), &[8; 32]);
    }

    #[test]
    fn one_kind_never_passes_for_the_other_and_neither_prints() {
        let mut jwk = Jwk::of_content(&id(), &ContentKey::from_bytes([7; 64]));
        assert_eq!(jwk.token_key().unwrap_err(), JwkError::WrongKind { expected: "HS256" });
        assert!(!format!("{jwk:?}").contains(jwk.k.expose()));
        jwk.k = SecretText::new("AAAA".to_owned());
        assert_eq!(jwk.content_key().unwrap_err(), JwkError::Malformed);
    }
}
