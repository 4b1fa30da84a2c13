//! The identity of a device: its id and its two keys, from the answer to its registration.

use tidings_crypto::frame::{self, ContentKey, OpenError};
use tidings_crypto::jwk::JwkError;
use tidings_crypto::keys::{KeyId, KeyIdError, TokenKey};
use tidings_crypto::random::{self, RandomError};
use tidings_crypto::token::{self, Claims};
use tidings_wire::RegisterAnswer;

/// A registered device. Prints its id only.
#[derive(Debug, Clone)]
pub struct Identity {
    id: String,
    content: ContentKey,
    content_kid: String,
    token: TokenKey,
    token_kid: KeyId,
}

/// The answer to a registration is not a valid identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// One of its keys cannot be read.
    #[error("read the device's key")]
    Key(#[from] JwkError),
    /// A key's id is not a key id.
    #[error("read the id of the device's key")]
    KeyId(#[from] KeyIdError),
    /// A key belongs to another device.
    #[error("the key {kid} is another device's")]
    AnotherDevice {
        /// The key's id.
        kid: String,
    },
}

impl Identity {
    /// Takes id and keys from the answer to a registration, new or from a file.
    ///
    /// # Errors
    /// If a key is missing, malformed or another device's.
    pub fn from_answer(answer: &RegisterAnswer) -> Result<Self, IdentityError> {
        let (content, token) = (answer.keys.content.clone(), answer.keys.token.clone());
        let identity = Self {
            id: answer.id.clone(),
            content: content.content_key()?,
            content_kid: content.kid,
            token: token.token_key()?,
            token_kid: token.kid.parse()?,
        };
        for kid in [identity.content_kid.parse::<KeyId>()?, identity.token_kid.clone()] {
            if kid.device != identity.id {
                return Err(IdentityError::AnotherDevice { kid: kid.to_string() });
            }
        }
        Ok(identity)
    }

    /// The device's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Signs a connect token, valid for a minute from `now` (seconds of Unix time) and for one connection.
    ///
    /// # Errors
    /// If the operating system has no randomness to give.
    pub fn connect_token(&self, now: u64) -> Result<String, RandomError> {
        Ok(token::sign(&self.token, &self.token_kid, &Claims::new(&self.id, now, random::id()?)))
    }

    /// Opens a frame that was sealed for this device.
    ///
    /// # Errors
    /// The same error for every fault of the frame.
    pub fn open(&self, sealed: &str) -> Result<Vec<u8>, OpenError> {
        frame::open(&self.content, &self.content_kid, sealed)
    }
}
