//! Frames sealed under the key of the device that they are for.

use tidings_crypto::{
    frame,
    keys::{KeyUse, RootKeys, UnknownVersion},
    random::RandomError,
};
use tidings_domain::{Connection, Device, DeviceId, announcement::Target};
use tidings_wire::Frame;

use crate::device_token::Signed;

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
    /// The operating system gave no randomness.
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

    /// The root keys.
    #[must_use]
    pub fn roots(&self) -> &RootKeys {
        &self.roots
    }

    /// Seals a frame for the device behind a connection, under the root key that the device connected with.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal(&self, frame: &Frame, to: &Connection) -> Result<String, SealError> {
        self.seal_under(frame, &to.device, to.generation, to.key_version)
    }

    /// Seals a frame for a device that asks over HTTP, under the root key that it has signed its token with.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal_for(&self, frame: &Frame, to: &Signed) -> Result<String, SealError> {
        self.seal_under(frame, &to.device.id, to.device.generation, to.key_version)
    }

    /// Seals a frame for the device behind a connection of an index.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal_to(&self, frame: &Frame, to: &Target) -> Result<String, SealError> {
        self.seal_under(frame, &to.device, to.generation, to.key_version)
    }

    /// Seals a frame for a device that holds no socket, under the root key that it was given its keys of.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal_for_push(&self, frame: &Frame, to: &Device, key_version: u32) -> Result<String, SealError> {
        self.seal_under(frame, &to.id, to.generation, key_version)
    }

    fn seal_under(
        &self,
        frame: &Frame,
        device: &DeviceId,
        generation: u32,
        key_version: u32,
    ) -> Result<String, SealError> {
        let keys = self.roots.device_keys(key_version, device.as_str(), generation)?;
        let kid = self.roots.key_id(device.as_str(), generation, KeyUse::Content);
        let kid = tidings_crypto::keys::KeyId { version: key_version, ..kid }.to_string();
        Ok(frame::seal_random(&keys.content, &kid, &serde_json::to_vec(frame)?)?)
    }
}
