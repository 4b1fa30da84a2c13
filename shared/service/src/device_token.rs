//! Authentication of devices by their signed token, on the socket and over HTTP alike.

use std::sync::Arc;

use tidings_crypto::token::{Claims, Token, TokenError};
use tidings_domain::{Device, DeviceId, KeyHolder, Timestamp};
use tidings_store::{Devices, StoreError};

use crate::roots::Roots;

/// An authenticated device.
#[derive(Clone, Debug)]
pub struct Signed {
    /// The device.
    pub device: Device,
    /// The version of the root key that its keys are derived from.
    pub key_version: u32,
    /// The claims of its token.
    pub claims: Claims,
}

impl<'a> From<&'a Signed> for KeyHolder<'a> {
    /// The device with the keys that it signed its token with.
    fn from(signed: &'a Signed) -> Self {
        signed.device.key_holder(signed.key_version)
    }
}

/// The reason why a token is not valid. For logs only: the caller gets the same answer for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSigned {
    /// The id in the token is not a device id.
    #[error("malformed device id")]
    DeviceId,
    /// The device was never registered, or was unregistered.
    #[error("unknown device")]
    UnknownDevice,
    /// The device has changed hands since it received the key.
    #[error("a key of an earlier registration")]
    EarlierKey,
    /// The root key that the device's key was derived from is gone.
    #[error("a root key that was withdrawn")]
    WithdrawnRoot,
    /// The signature or the claims are not valid.
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// Verifies the tokens that devices sign.
#[derive(Debug)]
pub struct DeviceTokens {
    devices: Devices,
    roots: Arc<Roots>,
}

impl DeviceTokens {
    /// Over the devices, and the root keys for tokens.
    #[must_use]
    pub fn new(devices: Devices, roots: Arc<Roots>) -> Self {
        Self { devices, roots }
    }

    /// Verifies a token: the token names its key, the device is read, its key is derived, and then the signature is
    /// checked. The caller checks whether the token was used before.
    ///
    /// # Errors
    /// [`StoreError`]; the inner error is why the token is not valid.
    pub async fn verify(&self, token: Token<'_>, now: Timestamp) -> Result<Result<Signed, NotSigned>, StoreError> {
        let key = token.key_id().clone();
        let Ok(id) = key.device.parse::<DeviceId>() else { return Ok(Err(NotSigned::DeviceId)) };
        let Some(device) = self.devices.get(&id, now).await? else { return Ok(Err(NotSigned::UnknownDevice)) };
        if key.generation != device.generation {
            return Ok(Err(NotSigned::EarlierKey));
        }
        let roots = self.roots.keys_with(key.version).await;
        let Ok(token_key) = roots.token_key(device.user.app.as_str(), &key) else {
            return Ok(Err(NotSigned::WithdrawnRoot));
        };
        match token.verify(&token_key, u64::try_from(now.seconds()).unwrap_or(0)) {
            Ok(claims) => {
                self.note_use(&device, now).await;
                Ok(Ok(Signed { device, key_version: key.version, claims }))
            }
            Err(error) => {
                tracing::info!(device = %device.id, %error, "token refused");
                Ok(Err(error.into()))
            }
        }
    }

    /// Records at most once a day that a device is in use. If that fails, the next use is recorded.
    async fn note_use(&self, device: &Device, now: Timestamp) {
        if !device.wants_note(now) {
            return;
        }
        if let Err(error) = self.devices.note_use(device, now).await {
            tracing::warn!(device = %device.id, %error, "use of device was not noted");
        }
    }
}
