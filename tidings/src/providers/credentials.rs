//! Credentials for an app whose providers the twin emulates.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use tidings_crypto::encoding::base64url;
use tidings_providers::credentials::CredentialsError;
use tidings_providers::{Credentials, Reach};

use sam_twin::private_file;

/// `ring` generates no RSA keys, and this one need not be secret: it opens only twins.
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
        // This encoding is the only way in which `ring` exposes the scalar: after the headers of PKCS #8 and
        // ECPrivateKey, whose length does not vary.
        let private = pkcs8.as_ref().get(36..68)?.to_vec();
        Some(Self { private, public: pair.public_key().as_ref().to_vec(), pkcs8: pkcs8.as_ref().to_vec() })
    }

    fn pem(&self) -> String {
        let text = STANDARD.encode(&self.pkcs8);
        let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
    }
}

/// A document of credentials for the providers at `url`, with new keys; `None` if the system has no randomness.
#[must_use]
pub fn document(url: &str) -> Option<Value> {
    let (apns, vapid) = (Halves::new()?, Halves::new()?);
    Some(json!({
        "apns": {
            "keyId": "TIDINGSKEY", "teamId": "TIDINGSDEV", "topic": "com.example.tidings", "privateKey": apns.pem(),
        },
        "fcm": {
            "type": "service_account",
            "project_id": "tidings-local",
            "client_email": "push@tidings-local.iam.gserviceaccount.com",
            "private_key": RSA_KEY,
            "token_uri": format!("{url}/token"),
        },
        "webpush": {
            "subject": "mailto:push@example.com",
            "privateKey": base64url(&vapid.private),
            "publicKey": base64url(&vapid.public),
        },
        "mipush": {"appSecret": "tidings-local-secret", "packageName": "com.example.tidings"},
        "webhook": {"url": format!("{url}/webhook"), "secret": "whsec_dGlkaW5ncyBsb2NhbCB0d2luIHNlY3JldA=="},
    }))
}

/// Why a twin has no credentials for its providers.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The file cannot be read or written.
    #[error("use {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// It is not a document of credentials.
    #[error("read the credentials in {}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// The fault of the document.
        source: CredentialsError,
    },
    /// No keys can be generated.
    #[error("the system has no randomness for keys")]
    NoRandomness,
}

/// The document of a twin whose providers are at `url`, as text and parsed. It is the user's file, or is generated;
/// with `kept`, a generated one survives restarts.
///
/// # Errors
/// If there is no valid document, see [`DocumentError`].
pub fn obtain(url: &str, file: Option<&Path>, kept: Option<&Path>) -> Result<(String, Credentials), DocumentError> {
    let (mut document, path) = match (file, kept) {
        (Some(file), _) => (read(file)?, file),
        (None, Some(kept)) if kept.exists() => (read(kept)?, kept),
        (None, kept) => (document(url).ok_or(DocumentError::NoRandomness)?, kept.unwrap_or(Path::new(""))),
    };
    // The twin's FCM accepts only tokens of the twin's endpoint, and the user's keys must not go to Google.
    if let Some(fcm) = document.get_mut("fcm") {
        fcm["token_uri"] = format!("{url}/token").into();
    }
    // The twin's port may have changed; the webhook of a user's file stays as it is.
    if let (None, Some(webhook)) = (file, document.get_mut("webhook")) {
        webhook["url"] = format!("{url}/webhook").into();
    }
    let text = document.to_string();
    let wrong = |source| DocumentError::Wrong { path: path.to_owned(), source };
    let credentials = Credentials::parse(&text, Reach::Anywhere).map_err(wrong)?;
    if let (None, Some(kept)) = (file, kept) {
        let failed = |source| DocumentError::File { path: kept.to_owned(), source };
        private_file::write(kept, text.as_bytes()).map_err(failed)?;
    }
    Ok((text, credentials))
}

/// A document that is valid as it is.
fn read(path: &Path) -> Result<Value, DocumentError> {
    let failed = |source| DocumentError::File { path: path.to_owned(), source };
    let bytes = fs::read(path).map_err(failed)?;
    let text =
        tidings_text::decode(bytes).map_err(|wrong| failed(io::Error::new(io::ErrorKind::InvalidData, wrong)))?;
    let wrong = |source| DocumentError::Wrong { path: path.to_owned(), source };
    Credentials::parse(&text, Reach::Anywhere).map_err(wrong)?;
    serde_json::from_str(&text).map_err(|_| wrong(CredentialsError::Malformed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_a_restart_at_another_place() {
        let folder = tempfile::tempdir().unwrap();
        let kept = folder.path().join("data/providers.json");
        let (text, _) = obtain("http://127.0.0.1:7404", None, Some(&kept)).unwrap();
        let (again, credentials) = obtain("http://127.0.0.1:9", None, Some(&kept)).unwrap();
        assert_eq!(again, text.replace("127.0.0.1:7404", "127.0.0.1:9"));
        assert_eq!(credentials.fcm.unwrap().token_uri.uri().to_string(), "http://127.0.0.1:9/token");
        let (other, _) = obtain("http://127.0.0.1:7404", None, None).unwrap();
        assert_ne!(other, text);
    }

    #[test]
    fn a_file_says_which_providers_there_are() {
        let folder = tempfile::tempdir().unwrap();
        let (file, kept) = (folder.path().join("mine.json"), folder.path().join("providers.json"));
        let mut mine = document("https://oauth2.googleapis.com").unwrap();
        for part in ["apns", "webpush", "mipush"] {
            mine.as_object_mut().unwrap().remove(part);
        }
        mine["webhook"]["url"] = "http://127.0.0.1:3000/push".into();
        fs::write(&file, mine.to_string()).unwrap();
        let (_, credentials) = obtain("http://127.0.0.1:9", Some(&file), Some(&kept)).unwrap();
        assert!(credentials.apns.is_none() && !kept.exists());
        assert_eq!(credentials.fcm.unwrap().token_uri.uri().to_string(), "http://127.0.0.1:9/token");
        assert_eq!(credentials.webhook.unwrap().url.uri().to_string(), "http://127.0.0.1:3000/push");

        fs::write(&file, r#"{"mipush": {"appSecret": "x"}}"#).unwrap();
        let error = obtain("http://127.0.0.1:9", Some(&file), None).unwrap_err();
        assert!(matches!(error, DocumentError::Wrong { .. }));
        assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "mipush.packageName is missing");
        assert!(obtain("http://127.0.0.1:9", Some(&folder.path().join("none")), None).is_err());
    }
}
