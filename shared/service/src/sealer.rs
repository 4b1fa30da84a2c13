//! Frames, sealed under the key of the receiving device.

use tidings_crypto::{
    frame,
    keys::{KeyId, KeyUse, RootKeys, UnknownVersion},
    random::RandomError,
};
use tidings_domain::KeyHolder;
use tidings_wire::Frame;

/// Seals frames. Device keys are derived from the root key each time and stored nowhere.
#[derive(Debug)]
pub struct Sealer {
    roots: RootKeys,
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
    /// Over the root keys.
    #[must_use]
    pub fn new(roots: RootKeys) -> Self {
        Self { roots }
    }

    /// Seals a frame for a device under the keys that it holds.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal<'a>(&self, frame: &Frame, to: impl Into<KeyHolder<'a>>) -> Result<String, SealError> {
        let KeyHolder { device, generation, key_version } = to.into();
        let keys = self.roots.device_keys(key_version, device.as_str(), generation)?;
        let kid = self.roots.key_id(device.as_str(), generation, KeyUse::Content);
        let kid = KeyId { version: key_version, ..kid }.to_string();
        Ok(frame::seal_random(&keys.content, &kid, &serde_json::to_vec(frame)?)?)
    }
}
