//! JSON Web Signature in compact form (RFC 7515), signed and verified with the algorithms of RFC 7518 §3 that Tidings
//! and the push providers use.
//!
//! | algorithm | signs | verifies |
//! | --- | --- | --- |
//! | `HS256`: HMAC with SHA-256 | [`Hs256`] | [`Hs256`] |
//! | `ES256`: ECDSA on P-256 with SHA-256 | [`EcKey`] | [`PublicKey::es256`] |
//! | `RS256`: RSASSA-PKCS1-v1_5 with SHA-256 | [`RsaKey`] | [`PublicKey::rs256`] |
//!
//! A key belongs to one algorithm. The key decides how a token is verified, never the header of the token.
//!
//! ```
//! use tidings_crypto::jws::{self, Algorithm, Header, Hs256};
//!
//! let key = Hs256(b"thirty-two bytes that both sides");
//! let Ok(token) = jws::sign(&key, Header::of(&key).with_kid("key-1"), &serde_json::json!({"sub": "alice"}));
//! let (header, claims): (Header, serde_json::Value) = jws::verify(&token, &key).ok_or("not signed with the key")?;
//! assert_eq!((header.alg, header.kid.as_deref()), (Algorithm::Hs256, Some("key-1")));
//! assert_eq!(claims["sub"], "alice");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::convert::Infallible;
use std::fmt;

use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey, VerificationAlgorithm,
};
use rustls_pki_types::{PrivatePkcs8KeyDer, pem::PemObject};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{encoding, mac};

/// A signature algorithm, by its name in a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    #[serde(rename = "HS256")]
    Hs256,
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
}

impl Algorithm {
    /// The name in headers and JSON Web Keys.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
        }
    }
}

/// The header of a token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The algorithm. [`sign`] always writes the key's.
    pub alg: Algorithm,
    /// The id of the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// The media type of the token, `JWT` if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub typ: Option<String>,
    /// Every other member.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

impl Header {
    /// The header of a token that `key` signs: its algorithm and nothing else.
    #[must_use]
    pub fn of<K: Sign>(_key: &K) -> Self {
        Self { alg: K::ALGORITHM, kid: None, typ: None, others: Map::new() }
    }

    /// Adds the id of the key.
    #[must_use]
    pub fn with_kid(self, kid: impl Into<String>) -> Self {
        Self { kid: Some(kid.into()), ..self }
    }

    /// Adds `typ: JWT`.
    #[must_use]
    pub fn with_type(self) -> Self {
        Self { typ: Some("JWT".to_owned()), ..self }
    }
}

/// A key that signs.
pub trait Sign {
    /// Why signing may fail.
    type Error;

    /// The one algorithm of the key.
    const ALGORITHM: Algorithm;

    /// The signature of `input`.
    ///
    /// # Errors
    /// If the algorithm needs randomness and the operating system has none to give.
    fn sign(&self, input: &[u8]) -> Result<Vec<u8>, Self::Error>;
}

/// A key that verifies.
pub trait Verify {
    /// The one algorithm of the key.
    fn algorithm(&self) -> Algorithm;

    /// Whether `signature` is the key's for `input`.
    fn is_valid(&self, input: &[u8], signature: &[u8]) -> bool;
}

/// The operating system had no randomness to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no randomness")]
pub struct NoRandomness;

/// The text is not a key of the kind that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a PEM document of PKCS #8.
    #[error("not a PEM document of a PKCS #8 key (-----BEGIN PRIVATE KEY-----)")]
    Pem,
    /// Another kind of key, or a damaged one.
    #[error("not a P-256 key that holds its public key too")]
    P256,
    /// Another kind of key, or a damaged one.
    #[error("not an RSA key of 2048 to 4096 bits")]
    Rsa,
}

/// A token with these claims, signed with `key`.
///
/// # Errors
/// If the key cannot sign, see [`Sign::sign`].
pub fn sign<K: Sign>(key: &K, header: Header, claims: &impl Serialize) -> Result<String, K::Error> {
    let header = Header { alg: K::ALGORITHM, ..header };
    let input = format!("{}.{}", part(&header), part(claims));
    let signature = encoding::base64url(&key.sign(input.as_bytes())?);
    Ok(format!("{input}.{signature}"))
}

fn part(value: &impl Serialize) -> String {
    let Ok(json) = serde_json::to_vec(value) else { unreachable!("strings and numbers always serialize") };
    encoding::base64url(&json)
}

/// The header and the claims of a token, if it is signed with `key`.
#[must_use]
pub fn verify<C: DeserializeOwned>(token: &str, key: &impl Verify) -> Option<(Header, C)> {
    let token = Unverified::parse(token).filter(|token| token.is_signed_with(key))?;
    let claims = token.claims()?;
    Some((token.header, claims))
}

/// A parsed token that is not verified yet. Its header names the key to verify it with.
pub struct Unverified<'a> {
    header: Header,
    claims: &'a str,
    input: &'a str,
    signature: Vec<u8>,
}

impl fmt::Debug for Unverified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A reader of the log could present the rest as a token.
        f.debug_struct("Unverified").field("header", &self.header).finish_non_exhaustive()
    }
}

impl<'a> Unverified<'a> {
    /// Parses a token. `None` if it is malformed, or its header demands an extension (`crit`).
    #[must_use]
    pub fn parse(token: &'a str) -> Option<Self> {
        let (input, signature) = token.rsplit_once('.')?;
        let (header, claims) = input.split_once('.')?;
        let header: Header = encoding::decode_object(header)?;
        let signature = encoding::from_base64url(signature)?;
        // No extension is implemented, and one that is critical must not be ignored (RFC 7515 §4.1.11).
        let is_plain = !header.others.contains_key("crit");
        is_plain.then_some(Self { header, claims, input, signature })
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The claims, if they are an object of this shape.
    #[must_use]
    pub fn claims<C: DeserializeOwned>(&self) -> Option<C> {
        encoding::decode_object(self.claims)
    }

    /// Whether the token is signed with `key` and names the key's algorithm.
    #[must_use]
    pub fn is_signed_with(&self, key: &impl Verify) -> bool {
        self.header.alg == key.algorithm() && key.is_valid(self.input.as_bytes(), &self.signature)
    }
}

/// A secret that both sides hold.
pub struct Hs256<'a>(pub &'a [u8]);

impl fmt::Debug for Hs256<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hs256(***)")
    }
}

impl Sign for Hs256<'_> {
    type Error = Infallible;
    const ALGORITHM: Algorithm = Algorithm::Hs256;

    fn sign(&self, input: &[u8]) -> Result<Vec<u8>, Infallible> {
        Ok(mac::hmac_sha256(self.0, input).to_vec())
    }
}

impl Verify for Hs256<'_> {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Hs256
    }

    fn is_valid(&self, input: &[u8], signature: &[u8]) -> bool {
        mac::is_hmac_sha256(self.0, input, signature)
    }
}

/// A public key.
pub struct PublicKey<'a> {
    algorithm: Algorithm,
    verification: &'static dyn VerificationAlgorithm,
    bytes: &'a [u8],
}

impl<'a> PublicKey<'a> {
    /// A key on P-256: an uncompressed point, 65 bytes.
    #[must_use]
    pub fn es256(point: &'a [u8]) -> Self {
        Self { algorithm: Algorithm::Es256, verification: &ECDSA_P256_SHA256_FIXED, bytes: point }
    }

    /// An RSA key: `RSAPublicKey` in DER (RFC 8017 A.1.1).
    #[must_use]
    pub fn rs256(der: &'a [u8]) -> Self {
        Self { algorithm: Algorithm::Rs256, verification: &RSA_PKCS1_2048_8192_SHA256, bytes: der }
    }

    /// The bytes that the constructor received.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

impl Verify for PublicKey<'_> {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    fn is_valid(&self, input: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(self.verification, self.bytes).verify(input, signature).is_ok()
    }
}

/// A private key on P-256, which signs with `ES256`.
pub struct EcKey(EcdsaKeyPair);

impl fmt::Debug for EcKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EcKey(***)")
    }
}

impl EcKey {
    /// Reads a PEM of PKCS #8, as Apple's `.p8` files are and `openssl genpkey` writes.
    ///
    /// # Errors
    /// [`KeyError::Pem`] if the text is not such a PEM, [`KeyError::P256`] if the key is another kind.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let pkcs8 = pkcs8(text)?;
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.secret_pkcs8_der(), &random);
        pair.map(Self).map_err(|_| KeyError::P256)
    }

    /// Takes the two halves as VAPID keys are written: a scalar of 32 bytes, and an uncompressed point of 65.
    ///
    /// # Errors
    /// [`KeyError::P256`], also if the two halves do not match.
    pub fn from_halves(private: &[u8], public: &[u8]) -> Result<Self, KeyError> {
        let random = SystemRandom::new();
        let alg = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pair = EcdsaKeyPair::from_private_key_and_public_key(alg, private, public, &random);
        pair.map(Self).map_err(|_| KeyError::P256)
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> PublicKey<'_> {
        PublicKey::es256(self.0.public_key().as_ref())
    }
}

impl Sign for EcKey {
    type Error = NoRandomness;
    const ALGORITHM: Algorithm = Algorithm::Es256;

    fn sign(&self, input: &[u8]) -> Result<Vec<u8>, NoRandomness> {
        let signature = self.0.sign(&SystemRandom::new(), input).map_err(|_| NoRandomness)?;
        Ok(signature.as_ref().to_vec())
    }
}

/// A private RSA key, which signs with `RS256`.
pub struct RsaKey(RsaKeyPair);

impl fmt::Debug for RsaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RsaKey(***)")
    }
}

impl RsaKey {
    /// Reads a PEM of PKCS #8, as the service accounts of Google have it.
    ///
    /// # Errors
    /// [`KeyError::Pem`] if the text is not such a PEM, [`KeyError::Rsa`] if the key is another kind.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        RsaKeyPair::from_pkcs8(pkcs8(text)?.secret_pkcs8_der()).map(Self).map_err(|_| KeyError::Rsa)
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> PublicKey<'_> {
        PublicKey::rs256(self.0.public().as_ref())
    }
}

impl Sign for RsaKey {
    type Error = NoRandomness;
    const ALGORITHM: Algorithm = Algorithm::Rs256;

    fn sign(&self, input: &[u8]) -> Result<Vec<u8>, NoRandomness> {
        let mut signature = vec![0; self.0.public().modulus_len()];
        self.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input, &mut signature).map_err(|_| NoRandomness)?;
        Ok(signature)
    }
}

fn pkcs8(text: &str) -> Result<PrivatePkcs8KeyDer<'static>, KeyError> {
    PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()).map_err(|_| KeyError::Pem)
}

#[cfg(test)]
mod tests;
