//! Frames, sealed under the key of the receiving device.

use std::sync::Arc;

use tidings_crypto::{
    frame,
    keys::{KeyId, UnknownVersion},
    random::RandomError,
};
use tidings_domain::KeyHolder;
use tidings_wire::Frame;

use crate::roots::Roots;

/// Seals frames. Device keys are derived from the root key each time and stored nowhere.
#[derive(Clone, Debug)]
pub struct Sealer {
    content: Arc<Roots>,
}

/// A frame that could not be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The device uses a root key that has been withdrawn.
    #[error("derive the device's key")]
    Key(#[from] UnknownVersion),
    /// The operating system provided no randomness.
    #[error("draw an initialisation vector")]
    Random(#[from] RandomError),
    /// The frame cannot be written as JSON.
    #[error("write the frame")]
    Json(#[from] serde_json::Error),
}

impl Sealer {
    /// Over the root keys for content.
    #[must_use]
    pub fn new(content: Arc<Roots>) -> Self {
        Self { content }
    }

    /// Seals a frame for a device under the keys that it holds.
    ///
    /// # Errors
    /// [`SealError`].
    pub async fn seal<'a>(&self, frame: &Frame, to: impl Into<KeyHolder<'a>>) -> Result<String, SealError> {
        let KeyHolder { app, device, generation, key_version } = to.into();
        let id = KeyId::content(device.as_str(), key_version, generation);
        let key = self.content.keys_with(key_version).await.content_key(app.as_str(), &id)?;
        Ok(frame::seal_random(&key, &id.to_string(), &serde_json::to_vec(frame)?)?)
    }
}
