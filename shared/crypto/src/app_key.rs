//! The key with which a backend sends: `td_<appId>.<43 characters>`, shown once and kept as a hash.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::encoding;

const PREFIX: &str = "td_";
/// The longest app id that a key can carry.
pub const MAX_APP_ID: usize = 64;

/// An app key. The app's id is in it, so that one read finds the app; the 256 random bits behind it are the secret.
#[derive(Clone)]
pub struct AppKey {
    text: Zeroizing<String>,
    app_id_end: usize,
}

/// The text is not an app key, or the id cannot be in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AppKeyError {
    /// It has another form.
    #[error("not an app key: expected `td_<appId>.` and 43 characters")]
    Malformed,
    /// It has an ellipsis, as keys are printed in documents.
    #[error("the app key is cut short with an ellipsis; copy all of it, `td_<appId>.` and 43 characters")]
    CutShort,
}

impl AppKey {
    /// Makes the key of an app from 32 random bytes ([`crate::random::bytes`]).
    ///
    /// # Errors
    /// If the id is empty, longer than [`MAX_APP_ID`], or has other characters than letters, digits, `-` and `_`.
    pub fn generate(app_id: &str, random: [u8; 32]) -> Result<Self, AppKeyError> {
        let random = Zeroizing::new(random);
        Self::parse(&Zeroizing::new(format!("{PREFIX}{app_id}.{}", encoding::base64url(random.as_slice()))))
    }

    /// Parses a key as a caller presented it; [`AppKey::matches`] checks the secret.
    ///
    /// # Errors
    /// If the text does not have the form of a key.
    pub fn parse(text: &str) -> Result<Self, AppKeyError> {
        let is_cut = text.contains('…') || text.ends_with("...");
        let wrong = if is_cut { AppKeyError::CutShort } else { AppKeyError::Malformed };
        let (app_id, secret) = text.strip_prefix(PREFIX).and_then(|rest| rest.split_once('.')).ok_or(wrong)?;
        let id_fits = (1..=MAX_APP_ID).contains(&app_id.len())
            && app_id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        let secret = encoding::from_base64url(secret).map(Zeroizing::new).ok_or(wrong)?;
        if !id_fits || secret.len() != 32 {
            return Err(wrong);
        }
        Ok(Self { text: Zeroizing::new(text.to_owned()), app_id_end: PREFIX.len() + app_id.len() })
    }

    /// The app whose key this claims to be.
    pub fn app_id(&self) -> &str {
        &self.text[PREFIX.len()..self.app_id_end]
    }

    /// The key in clear, to show once to the operator who created the app.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The stored hash: SHA-256 in base64url. A slow hash would add nothing, because the key is random.
    pub fn hash(&self) -> String {
        encoding::base64url(&Sha256::digest(self.text.as_bytes()))
    }

    /// Whether this key has the stored hash, in constant time.
    pub fn matches(&self, stored_hash: &str) -> bool {
        self.hash().as_bytes().ct_eq(stored_hash.as_bytes()).into()
    }
}

impl fmt::Debug for AppKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}.***", self.app_id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_by_its_hash_only() {
        let key = AppKey::generate("shop", [5; 32]).unwrap();
        assert_eq!(key.expose().len(), "td_shop.".len() + 43);
        assert_eq!(key.app_id(), "shop");
        let presented = AppKey::parse(key.expose()).unwrap();
        assert!(presented.matches(&key.hash()));
        assert!(!AppKey::generate("shop", [6; 32]).unwrap().matches(&key.hash()));
        assert!(!AppKey::generate("shop2", [5; 32]).unwrap().matches(&key.hash()));
        assert!(!presented.matches(""));
        assert_eq!(format!("{key:?}"), "td_shop.***");
    }

    #[test]
    fn other_texts_are_no_keys() {
        let good = AppKey::generate("shop", [5; 32]).unwrap();
        let secret = good.expose().split_once('.').unwrap().1.to_owned();
        for text in [
            String::new(),
            "td_shop".to_owned(),
            "td_shop.".to_owned(),
            format!("td_.{secret}"),
            format!("td_sh op.{secret}"),
            format!("td_{}.{secret}", "a".repeat(65)),
            format!("tx_shop.{secret}"),
            format!("td_shop.{secret}A"),
            format!("td_shop.{}", &secret[1..]),
            format!("td_shop.{secret}="),
        ] {
            assert_eq!(AppKey::parse(&text).unwrap_err(), AppKeyError::Malformed, "{text}");
        }
    }

    #[test]
    fn a_key_as_documents_print_it_is_cut_short() {
        for text in ["td_demo.…", "td_demo.el1lb94O…", "td_demo...", "td_demo.el1lb94O...", "…"] {
            let error = AppKey::parse(text).unwrap_err();
            assert_eq!(error, AppKeyError::CutShort, "{text}");
            assert!(error.to_string().contains("copy all of it"), "{error}");
        }
    }
}
