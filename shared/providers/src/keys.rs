//! Signing keys, and the tokens that are signed with them (JWS compact, RFC 7515).

use std::fmt;

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::{PrivatePkcs8KeyDer, pem::PemObject};
use serde_json::Value;

use crate::encoding::base64url;
use crate::push::Invalid;

/// Why a text is not a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No PEM of PKCS #8.
    #[error("not a PEM document of a PKCS #8 key (-----BEGIN PRIVATE KEY-----)")]
    Pem,
    /// Another kind of key, or a damaged one.
    #[error("not a P-256 key that holds its public key too")]
    P256,
    /// Another kind of key, or a damaged one.
    #[error("not an RSA key of 2048 to 4096 bits")]
    Rsa,
}

/// A key that signs with ES256: ECDSA on P-256 with SHA-256 (RFC 7518 §3.4).
pub struct EcKey(EcdsaKeyPair);

/// A key that signs with RS256: RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518 §3.3).
pub struct RsaKey(RsaKeyPair);

impl fmt::Debug for EcKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EcKey(***)")
    }
}

impl fmt::Debug for RsaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RsaKey(***)")
    }
}

impl EcKey {
    /// Reads a PEM of PKCS #8, as Apple's `.p8` files are and `openssl genpkey` writes.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let pkcs8 = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()).map_err(|_| KeyError::Pem)?;
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.secret_pkcs8_der(), &random);
        pair.map(Self).map_err(|_| KeyError::P256)
    }

    /// Takes the two halves as VAPID keys are written: a scalar of 32 bytes, and an uncompressed point of 65.
    ///
    /// # Errors
    /// [`KeyError::P256`], also where the two do not belong together.
    pub fn from_halves(private: &[u8], public: &[u8]) -> Result<Self, KeyError> {
        let random = SystemRandom::new();
        let alg = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pair = EcdsaKeyPair::from_private_key_and_public_key(alg, private, public, &random);
        pair.map(Self).map_err(|_| KeyError::P256)
    }

    /// The public key: an uncompressed point, 65 bytes.
    #[must_use]
    pub fn public(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    /// A token with `alg: ES256`.
    pub(crate) fn token(&self, header: Value, claims: &Value) -> Result<String, Invalid> {
        token(header, "ES256", claims, |text| {
            let signature = self.0.sign(&SystemRandom::new(), text).map_err(|_| Invalid::NoRandomness)?;
            Ok(signature.as_ref().to_vec())
        })
    }
}

impl RsaKey {
    /// Reads a PEM of PKCS #8, as the service accounts of Google have it.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let pkcs8 = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()).map_err(|_| KeyError::Pem)?;
        RsaKeyPair::from_pkcs8(pkcs8.secret_pkcs8_der()).map(Self).map_err(|_| KeyError::Rsa)
    }

    /// The public key: `RSAPublicKey` in DER (RFC 8017 A.1.1).
    #[must_use]
    pub fn public(&self) -> &[u8] {
        self.0.public().as_ref()
    }

    /// A token with `alg: RS256`.
    pub(crate) fn token(&self, header: Value, claims: &Value) -> Result<String, Invalid> {
        token(header, "RS256", claims, |text| {
            let mut signature = vec![0; self.0.public().modulus_len()];
            self.0
                .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature)
                .map_err(|_| Invalid::NoRandomness)?;
            Ok(signature)
        })
    }
}

fn token(
    mut header: Value,
    alg: &str,
    claims: &Value,
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, Invalid>,
) -> Result<String, Invalid> {
    header["alg"] = alg.into();
    let part = |value: &Value| base64url(value.to_string().as_bytes());
    let text = format!("{}.{}", part(&header), part(claims));
    let signature = base64url(&sign(text.as_bytes())?);
    Ok(format!("{text}.{signature}"))
}

#[cfg(test)]
pub(crate) mod tests {
    use ring::signature::{
        ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
    };
    use serde_json::json;

    use super::*;
    use crate::encoding::from_base64url;

    pub(crate) const EC_PEM: &str = include_str!("../tests/keys/p256.pem");
    pub(crate) const RSA_PEM: &str = include_str!("../tests/keys/rsa2048.pem");

    /// The header and claims of a token whose signature is right.
    pub(crate) fn verified(token: &str, alg: &'static dyn VerificationAlgorithm, public: &[u8]) -> (Value, Value) {
        let (text, signature) = token.rsplit_once('.').unwrap();
        let signature = from_base64url(signature).unwrap();
        UnparsedPublicKey::new(alg, public).verify(text.as_bytes(), &signature).unwrap();
        let (header, claims) = text.split_once('.').unwrap();
        let part = |part| serde_json::from_slice(&from_base64url(part).unwrap()).unwrap();
        (part(header), part(claims))
    }

    #[test]
    fn tokens_are_signed() {
        let (ec, rsa) = (EcKey::from_pem(EC_PEM).unwrap(), RsaKey::from_pem(RSA_PEM).unwrap());
        let claims = json!({"iss": "me"});
        let token = ec.token(json!({"kid": "K1"}), &claims).unwrap();
        let seen = verified(&token, &ECDSA_P256_SHA256_FIXED, ec.public());
        assert_eq!(seen, (json!({"alg": "ES256", "kid": "K1"}), claims.clone()));
        let token = rsa.token(json!({"typ": "JWT"}), &claims).unwrap();
        let seen = verified(&token, &RSA_PKCS1_2048_8192_SHA256, rsa.public());
        assert_eq!(seen, (json!({"alg": "RS256", "typ": "JWT"}), claims));
    }

    #[test]
    fn what_is_no_key_is_told() {
        assert_eq!(EcKey::from_pem("nonsense").err(), Some(KeyError::Pem));
        assert_eq!(EcKey::from_pem(&EC_PEM[..60]).err(), Some(KeyError::Pem));
        assert_eq!(EcKey::from_pem(RSA_PEM).err(), Some(KeyError::P256));
        assert_eq!(RsaKey::from_pem(EC_PEM).err(), Some(KeyError::Rsa));
        // The certificate, where the key belongs.
        let other = EC_PEM.replace("PRIVATE KEY", "CERTIFICATE");
        assert_eq!(EcKey::from_pem(&other).err(), Some(KeyError::Pem));
        let key = EcKey::from_pem(EC_PEM).unwrap();
        assert_eq!(EcKey::from_halves(&[7; 32], key.public()).err(), Some(KeyError::P256));
        assert_eq!(format!("{key:?}"), "EcKey(***)");
    }
}
