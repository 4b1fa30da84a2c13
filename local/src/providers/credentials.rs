//! Credentials for an app whose providers the twin plays.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

/// `ring` makes no RSA keys, and this one need not be secret: it opens nothing but a twin.
const RSA_KEY: &str = include_str!("rsa2048.pem");

/// A key pair on P-256, as its two halves: a scalar of 32 bytes and an uncompressed point of 65.
pub(super) struct Halves {
    pub(super) private: Vec<u8>,
    pub(super) public: Vec<u8>,
    pkcs8: Vec<u8>,
}

impl Halves {
    /// A new pair, if the system has randomness.
    pub(super) fn new() -> Option<Self> {
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).ok()?;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).ok()?;
        // The one place where `ring` shows the scalar: behind the headers of PKCS #8 and ECPrivateKey, which do not vary.
        let private = pkcs8.as_ref().get(36..68)?.to_vec();
        Some(Self { private, public: pair.public_key().as_ref().to_vec(), pkcs8: pkcs8.as_ref().to_vec() })
    }

    fn pem(&self) -> String {
        let text = base64::engine::general_purpose::STANDARD.encode(&self.pkcs8);
        let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
    }
}

/// A document of credentials for the providers at `url`, with new keys; nothing where the system has no randomness.
#[must_use]
pub fn document(url: &str) -> Option<Value> {
    let (apns, vapid) = (Halves::new()?, Halves::new()?);
    Some(json!({
        "apns": {"keyId": "TIDINGSKEY", "teamId": "TIDINGSDEV", "topic": "com.example.tidings", "privateKey": apns.pem()},
        "fcm": {
            "type": "service_account",
            "project_id": "tidings-local",
            "client_email": "push@tidings-local.iam.gserviceaccount.com",
            "private_key": RSA_KEY,
            "token_uri": format!("{url}/token"),
        },
        "webpush": {
            "subject": "mailto:push@example.com",
            "privateKey": URL_SAFE_NO_PAD.encode(&vapid.private),
            "publicKey": URL_SAFE_NO_PAD.encode(&vapid.public),
        },
        "mipush": {"appSecret": "tidings-local-secret", "packageName": "com.example.tidings"},
        "webhook": {"url": format!("{url}/webhook"), "secret": "whsec_dGlkaW5ncyBsb2NhbCB0d2luIHNlY3JldA=="},
    }))
}
