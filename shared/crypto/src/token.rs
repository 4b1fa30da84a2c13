//! The connect token: a JWT (RFC 7519) that a device signs for itself with HS256 to open its socket.
//!
//! It lives at most a minute and its `jti` is accepted once, so a URL in a proxy's log is worth nothing. Reading a
//! token takes two steps, because the key depends on the token: [`Token::parse`] returns the key's id, unverified, and
//! [`Token::verify`] returns the claims once the signature holds.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::jws::{self, Algorithm, Header, Hs256, Unverified};
use crate::keys::{KeyId, KeyUse, TokenKey};

/// The signature algorithm of every token.
pub const ALGORITHM: Algorithm = Algorithm::Hs256;
/// The audience of every token.
pub const AUDIENCE: &str = "tidings";
/// The longest life of a token, in seconds from `iat` to `exp`.
pub const MAX_LIFETIME: u64 = 60;
/// How far a device's clock may differ from the service's, in seconds, at both ends of the token's life.
pub const LEEWAY: u64 = 5;
/// No token is longer than this, in bytes: API Gateway refuses a longer header anyway.
const MAX_LENGTH: usize = 4096;
/// The longest `jti`, in bytes: it becomes a key in the table of used ones.
const MAX_JTI: usize = 128;

/// The claims of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The device that connects.
    pub sub: String,
    /// The audience: [`AUDIENCE`].
    pub aud: String,
    /// When it was made, in seconds of Unix time.
    pub iat: u64,
    /// When it expires, in seconds of Unix time.
    pub exp: u64,
    /// When it becomes valid, in seconds of Unix time, if that is not at once.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub nbf: Option<u64>,
    /// Its id, which is accepted once.
    pub jti: String,
}

impl Claims {
    /// The claims of a token that `device` makes at `now`, valid for [`MAX_LIFETIME`].
    pub fn new(device: &str, now: u64, jti: String) -> Self {
        let exp = now.saturating_add(MAX_LIFETIME);
        Self { sub: device.to_owned(), aud: AUDIENCE.to_owned(), iat: now, exp, nbf: None, jti }
    }

    /// The time until which a used `jti` must be stored: afterwards the token has expired.
    pub fn remember_until(&self) -> u64 {
        self.exp.saturating_add(LEEWAY)
    }
}

/// Why a token was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a connect token: three parts of base64url, `alg: HS256`, a device's `kid`, and the claims complete.
    #[error("the connect token is malformed")]
    Malformed,
    /// Not signed with the device's key.
    #[error("the connect token's signature is wrong")]
    BadSignature,
    /// Made for another audience.
    #[error("the connect token's audience is not `{AUDIENCE}`")]
    WrongAudience,
    /// The subject is another device than the key's.
    #[error("the connect token's subject is not the device that signed it")]
    WrongSubject,
    /// Made, or valid only, more than [`LEEWAY`] in the future: the device's clock is fast.
    #[error("the connect token is not yet valid: check the device's clock")]
    NotYetValid,
    /// Past its `exp` by more than [`LEEWAY`].
    #[error("the connect token has expired")]
    Expired,
    /// `exp` is more than [`MAX_LIFETIME`] after `iat`.
    #[error("the connect token lives longer than {MAX_LIFETIME} seconds")]
    TooLongLived,
}

/// Signs `claims` with the device's key.
pub fn sign(key: &TokenKey, kid: &KeyId, claims: &Claims) -> String {
    let key = Hs256(key.as_bytes());
    let header = Header::of(&key).with_kid(kid.with_use(KeyUse::Token).to_string()).with_type();
    let Ok(token) = jws::sign(&key, header, claims);
    token
}

/// A parsed token that is not verified yet.
pub struct Token<'a> {
    key_id: KeyId,
    claims: Claims,
    signed: Unverified<'a>,
}

impl fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A reader of the log could present the rest as a token.
        f.debug_struct("Token").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

impl<'a> Token<'a> {
    /// Parses a token.
    ///
    /// # Errors
    /// [`TokenError::Malformed`] if the text is not a connect token.
    pub fn parse(text: &'a str) -> Result<Self, TokenError> {
        Self::take_apart(text).ok_or(TokenError::Malformed)
    }

    fn take_apart(text: &'a str) -> Option<Self> {
        if text.len() > MAX_LENGTH {
            return None;
        }
        let signed = Unverified::parse(text)?;
        let claims: Claims = signed.claims()?;
        let Header { alg, kid, typ, others } = signed.header();
        let key_id: KeyId = kid.as_deref()?.parse().ok()?;
        // Unknown members are refused, not ignored: no client writes any.
        let is_ours = *alg == ALGORITHM
            && typ.as_ref().is_none_or(|typ| typ.eq_ignore_ascii_case("JWT"))
            && others.is_empty()
            && key_id.key_use == KeyUse::Token
            && claims.exp > claims.iat
            && (1..=MAX_JTI).contains(&claims.jti.len());
        is_ours.then_some(Self { key_id, claims, signed })
    }

    /// The key that the token claims to be signed with: derive it and [`verify`](Self::verify). Unverified.
    pub fn key_id(&self) -> &KeyId {
        &self.key_id
    }

    /// Returns the claims if the token was signed with `key` and is valid at `now`, in seconds of Unix time by the
    /// service's clock. The caller checks whether the `jti` was used before.
    ///
    /// # Errors
    /// If the token is refused. The signature is checked before anything that it covers.
    pub fn verify(self, key: &TokenKey, now: u64) -> Result<Claims, TokenError> {
        if !self.signed.is_signed_with(&Hs256(key.as_bytes())) {
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
        if claims.iat.max(claims.nbf.unwrap_or(0)) > now.saturating_add(LEEWAY) {
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
    use crate::{encoding, mac};

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
        assert_eq!(with(|c| c.nbf = Some(NOW + LEEWAY + 1)), Err(TokenError::NotYetValid));
        assert_eq!(with(|c| c.nbf = Some(u64::MAX)), Err(TokenError::NotYetValid));
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
            let claims = serde_json::to_vec(&claims()).unwrap();
            let input = format!("{}.{}", encoding::base64url(header.as_bytes()), encoding::base64url(&claims));
            let signature = mac::hmac_sha256(key().as_bytes(), input.as_bytes());
            let token = format!("{input}.{}", encoding::base64url(&signature));
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
