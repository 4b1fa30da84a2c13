//! Tokens that the providers' callers sign (JWS compact, RFC 7515).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::signature::{ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm};
use serde_json::Value;

/// The header and claims of a token, if this key has signed it with ES256.
pub(super) fn es256(token: &str, public: &[u8]) -> Option<(Value, Value)> {
    verified(token, "ES256", &ECDSA_P256_SHA256_FIXED, public)
}

/// The header and claims of a token, if this key has signed it with RS256.
pub(super) fn rs256(token: &str, public: &[u8]) -> Option<(Value, Value)> {
    verified(token, "RS256", &RSA_PKCS1_2048_8192_SHA256, public)
}

fn verified(
    token: &str,
    name: &str,
    algorithm: &'static dyn VerificationAlgorithm,
    public: &[u8],
) -> Option<(Value, Value)> {
    let (text, signature) = token.rsplit_once('.')?;
    let (header, claims) = text.split_once('.')?;
    let part = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok();
    let header: Value = part(header)?;
    // The algorithm is the verifier's choice, never the token's.
    if header["alg"] != name {
        return None;
    }
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    UnparsedPublicKey::new(algorithm, public).verify(text.as_bytes(), &signature).ok()?;
    Some((header, part(claims)?))
}
