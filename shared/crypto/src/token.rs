//! The connect token: a JWT (RFC 7519) that a device signs for itself with HS256 to open its socket.
//!
//! It lives at most a minute and its `jti` serves once, so that what a proxy logged of a URL is worth nothing. Reading
//! one takes two steps, because the key depends on what the token says: [`Token::parse`] gives the key's id,
//! unverified, and [`Token::verify`] believes nothing until the signature holds.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::encoding;
use crate::keys::{KeyId, KeyUse};

/// The signature algorithm of every token.
pub const ALGORITHM: &str = "HS256";
/// The audience of every token.
pub const AUDIENCE: &str = "tidings";
/// The longest life of a token, in seconds from `iat` to `exp`.
pub const MAX_LIFETIME: u64 = 60;
/// How far a device's clock may differ from ours, in seconds, at both ends of the token's life.
pub const LEEWAY: u64 = 5;
/// No token is longer than this, in bytes; API Gateway would refuse the header before.
const MAX_LENGTH: usize = 4096;
/// The longest `jti`, in bytes: it becomes a key in the table of used ones.
const MAX_JTI: usize = 128;

/// The key with which a device signs its tokens.
#[derive(Clone)]
pub struct TokenKey(Zeroizing<[u8; 32]>);

impl TokenKey {
    /// Takes the key's bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn mac(&self, signing_input: &str) -> Vec<u8> {
        let Ok(mac) = Hmac::<Sha256>::new_from_slice(self.as_bytes()) else {
            unreachable!("HMAC takes a key of any length")
        };
        mac.chain_update(signing_input).finalize().into_bytes().to_vec()
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The device that connects.
    pub sub: String,
    /// For whom the token is: [`AUDIENCE`].
    pub aud: String,
    /// When it was made, in seconds of Unix time.
    pub iat: u64,
    /// From when it is no longer good.
    pub exp: u64,
    /// Its id, which serves once.
    pub jti: String,
}

impl Claims {
    /// The claims of a token that `device` makes at `now`, good for [`MAX_LIFETIME`].
    pub fn new(device: &str, now: u64, jti: String) -> Self {
        let exp = now.saturating_add(MAX_LIFETIME);
        Self { sub: device.to_owned(), aud: AUDIENCE.to_owned(), iat: now, exp, jti }
    }

    /// Until when a used `jti` must be remembered: afterwards the token is refused for its age.
    pub fn remember_until(&self) -> u64 {
        self.exp.saturating_add(LEEWAY)
    }
}

/// Why a token was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a token of ours: three parts of base64url, `alg: HS256`, a device's `kid`, and the claims complete.
    #[error("the connect token is malformed")]
    Malformed,
    /// Not signed with the device's key.
    #[error("the connect token's signature is wrong")]
    BadSignature,
    /// Made for somebody else.
    #[error("the connect token's audience is not `{AUDIENCE}`")]
    WrongAudience,
    /// The subject is another device than the key's.
    #[error("the connect token's subject is not the device that signed it")]
    WrongSubject,
    /// Made in the future, more than [`LEEWAY`] ahead: the device's clock is fast.
    #[error("the connect token is not yet valid: check the device's clock")]
    NotYetValid,
    /// Past its `exp` by more than [`LEEWAY`].
    #[error("the connect token has expired")]
    Expired,
    /// `exp` is more than [`MAX_LIFETIME`] after `iat`.
    #[error("the connect token lives longer than {MAX_LIFETIME} seconds")]
    TooLongLived,
}

#[derive(Serialize)]
struct OutgoingHeader<'a> {
    alg: &'a str,
    kid: &'a str,
    typ: &'a str,
}

/// `crit` and whatever else we do not implement is refused, not ignored.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IncomingHeader {
    alg: String,
    kid: String,
    typ: Option<String>,
}

/// Signs `claims` with the device's key.
pub fn sign(key: &TokenKey, kid: &KeyId, claims: &Claims) -> String {
    let header = OutgoingHeader { alg: ALGORITHM, kid: &kid.with_use(KeyUse::Token).to_string(), typ: "JWT" };
    let input = format!("{}.{}", part(&header), part(claims));
    let signature = encoding::encode(&key.mac(&input));
    format!("{input}.{signature}")
}

fn part(value: &impl Serialize) -> String {
    let Ok(json) = serde_json::to_vec(value) else { unreachable!("strings and numbers always serialize") };
    encoding::encode(&json)
}

/// A token that was taken apart and not yet believed.
pub struct Token<'a> {
    key_id: KeyId,
    claims: Claims,
    signing_input: &'a str,
    signature: Vec<u8>,
}

impl fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The rest could be presented to us by whoever reads a log.
        f.debug_struct("Token").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

impl<'a> Token<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// [`TokenError::Malformed`] and nothing else.
    pub fn parse(text: &'a str) -> Result<Self, TokenError> {
        Self::take_apart(text).ok_or(TokenError::Malformed)
    }

    fn take_apart(text: &'a str) -> Option<Self> {
        if text.len() > MAX_LENGTH {
            return None;
        }
        let (signing_input, signature) = text.rsplit_once('.')?;
        let (header, claims) = signing_input.split_once('.')?;
        let header: IncomingHeader = encoding::decode_object(header)?;
        let claims: Claims = encoding::decode_object(claims)?;
        let signature = encoding::decode(signature)?;
        let key_id: KeyId = header.kid.parse().ok()?;
        let is_ours = header.alg == ALGORITHM
            && header.typ.is_none_or(|typ| typ.eq_ignore_ascii_case("JWT"))
            && key_id.key_use == KeyUse::Token
            && claims.exp > claims.iat
            && (1..=MAX_JTI).contains(&claims.jti.len());
        is_ours.then_some(Self { key_id, claims, signing_input, signature })
    }

    /// The key that the token claims to be signed with: derive it and [`verify`](Self::verify). Unverified.
    pub fn key_id(&self) -> &KeyId {
        &self.key_id
    }

    /// Believes the token if it was signed with `key` and is good at `now` (seconds of Unix time, ours). Whether the
    /// `jti` was used before is for the caller to know.
    ///
    /// # Errors
    /// The signature is judged before anything that it covers.
    pub fn verify(self, key: &TokenKey, now: u64) -> Result<Claims, TokenError> {
        let expected = key.mac(self.signing_input);
        if !bool::from(expected.as_slice().ct_eq(&self.signature)) {
            return Err(TokenError::BadSignature);
        }
        let claims = self.claims;
        if claims.aud != AUDIENCE {
            return Err(TokenError::WrongAudience);
        }
        if claims.sub != self.key_id.device {
            return Err(TokenError::WrongSubject);
        }
        if claims.exp - claims.iat > MAX_LIFETIME {
            return Err(TokenError::TooLongLived);
        }
        if claims.iat > now.saturating_add(LEEWAY) {
            return Err(TokenError::NotYetValid);
        }
        if now >= claims.remember_until() {
            return Err(TokenError::Expired);
        }
        Ok(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn key() -> TokenKey {
        TokenKey::from_bytes([4; 32])
    }

    fn kid() -> KeyId {
        "device-1.1.0.sig".parse().unwrap()
    }

    fn claims() -> Claims {
        Claims::new("device-1", NOW, "once".to_owned())
    }

    fn verify(token: &str, now: u64) -> Result<Claims, TokenError> {
        Token::parse(token)?.verify(&key(), now)
    }

    #[test]
    fn a_token_names_its_key_and_says_what_it_said() {
        let token = sign(&key(), &kid(), &claims());
        assert_eq!(Token::parse(&token).unwrap().key_id(), &kid());
        assert_eq!(verify(&token, NOW).unwrap(), claims());
    }

    #[test]
    fn the_signature_is_that_of_rfc_7515_appendix_a_1() {
        // The RFC's key is 64 bytes long, ours 32: the MAC is compared over the same construction.
        let input = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly\
9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let key =
            encoding::decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
                .unwrap();
        let mac = Hmac::<Sha256>::new_from_slice(&key).unwrap().chain_update(input).finalize().into_bytes();
        assert_eq!(encoding::encode(&mac), "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    }

    #[test]
    fn time_is_judged_with_a_leeway_of_five_seconds() {
        let token = sign(&key(), &kid(), &claims());
        assert!(verify(&token, NOW - 5).is_ok());
        assert_eq!(verify(&token, NOW - 6), Err(TokenError::NotYetValid));
        assert!(verify(&token, NOW + 64).is_ok());
        assert_eq!(verify(&token, NOW + 65), Err(TokenError::Expired));
        assert_eq!(claims().remember_until(), NOW + 65);
    }

    #[test]
    fn each_wrong_claim_has_its_own_error() {
        let with = |change: fn(&mut Claims)| {
            let mut claims = claims();
            change(&mut claims);
            verify(&sign(&key(), &kid(), &claims), NOW)
        };
        assert_eq!(with(|c| c.aud = "elsewhere".to_owned()), Err(TokenError::WrongAudience));
        assert_eq!(with(|c| c.sub = "device-2".to_owned()), Err(TokenError::WrongSubject));
        assert_eq!(with(|c| c.exp += 1), Err(TokenError::TooLongLived));
        assert_eq!(with(|c| c.exp = u64::MAX), Err(TokenError::TooLongLived));
        assert_eq!(with(|c| c.exp = c.iat), Err(TokenError::Malformed));
        assert_eq!(with(|c| c.jti.clear()), Err(TokenError::Malformed));
        assert_eq!(with(|c| c.jti = "j".repeat(129)), Err(TokenError::Malformed));
    }

    #[test]
    fn another_key_is_a_bad_signature_whatever_the_claims() {
        let mut other = claims();
        other.aud = "elsewhere".to_owned();
        let token = sign(&TokenKey::from_bytes([5; 32]), &kid(), &other);
        assert_eq!(verify(&token, NOW), Err(TokenError::BadSignature));
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let token = sign(&key(), &kid(), &claims());
        for position in 0..token.len() {
            for bit in 0..7 {
                let mut bytes = token.clone().into_bytes();
                bytes[position] ^= 1 << bit;
                let changed = String::from_utf8(bytes).unwrap();
                let refused = verify(&changed, NOW).unwrap_err();
                assert!(matches!(refused, TokenError::Malformed | TokenError::BadSignature), "{position} {refused}");
            }
        }
    }

    #[test]
    fn headers_that_ask_for_anything_else_are_malformed() {
        for header in [
            r#"{"alg":"none","kid":"device-1.1.0.sig"}"#,
            r#"{"alg":"HS512","kid":"device-1.1.0.sig"}"#,
            r#"{"alg":"HS256","kid":"device-1.1.0.enc"}"#,
            r#"{"alg":"HS256","kid":"device-1"}"#,
            r#"{"alg":"HS256"}"#,
            r#"{"alg":"HS256","kid":"device-1.1.0.sig","crit":["b64"],"b64":false}"#,
            r#"{"alg":"HS256","kid":"device-1.1.0.sig","typ":"JOSE"}"#,
        ] {
            let input = format!("{}.{}", encoding::encode(header.as_bytes()), part(&claims()));
            let token = format!("{input}.{}", encoding::encode(&key().mac(&input)));
            assert_eq!(Token::parse(&token).unwrap_err(), TokenError::Malformed, "{header}");
        }
        for text in ["", "a.b", "..", "a.b.c.d", &"x".repeat(5000)] {
            assert_eq!(Token::parse(text).unwrap_err(), TokenError::Malformed);
        }
    }

    #[test]
    fn nothing_of_a_token_prints_but_its_key_id() {
        let token = sign(&key(), &kid(), &claims());
        let printed = format!("{:?} {:?}", Token::parse(&token).unwrap(), key());
        assert!(!printed.contains("once") && printed.ends_with("***"));
    }
}
