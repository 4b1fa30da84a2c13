//! The device that signed a token, on the socket and over HTTP alike.

use tidings_crypto::{
    keys::RootKeys,
    token::{Claims, Token, TokenError},
};
use tidings_domain::{Device, DeviceId, KeyHolder, Timestamp};
use tidings_store::{Devices, StoreError};

/// A device that has proved who it is.
#[derive(Clone, Debug)]
pub struct Signed {
    /// The device.
    pub device: Device,
    /// The version of the root key that its keys are derived from.
    pub key_version: u32,
    /// What its token says.
    pub claims: Claims,
}

impl<'a> From<&'a Signed> for KeyHolder<'a> {
    /// The device with the keys that it signed its token with.
    fn from(signed: &'a Signed) -> Self {
        signed.device.key_holder(signed.key_version)
    }
}

/// Why a token proves nothing. For logs: whoever presents one is told the same each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSigned {
    /// The id in the token is none of a device.
    #[error("malformed device id")]
    DeviceId,
    /// Nobody has registered the device, or it was unregistered.
    #[error("unknown device")]
    UnknownDevice,
    /// The device has changed hands since it was given the key.
    #[error("a key of an earlier registration")]
    EarlierKey,
    /// The root key that the device's key was derived from is gone.
    #[error("a root key that was withdrawn")]
    WithdrawnRoot,
    /// The signature, or what it covers.
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// Verifies the tokens that devices sign.
#[derive(Debug)]
pub struct DeviceTokens {
    devices: Devices,
    roots: RootKeys,
}

impl DeviceTokens {
    /// Over the devices, and the root keys that their keys are derived from.
    #[must_use]
    pub fn new(devices: Devices, roots: RootKeys) -> Self {
        Self { devices, roots }
    }

    /// The device that signed a token: the token names its key, the device is read, its key derived, and only then the
    /// signature believed. Whether the token was used before is for the caller to check.
    ///
    /// # Errors
    /// [`StoreError`]; inside, why the token proves nothing.
    pub async fn verify(&self, token: Token<'_>, now: Timestamp) -> Result<Result<Signed, NotSigned>, StoreError> {
        let key = token.key_id().clone();
        let Ok(id) = key.device.parse::<DeviceId>() else { return Ok(Err(NotSigned::DeviceId)) };
        let Some(device) = self.devices.get(&id, now).await? else { return Ok(Err(NotSigned::UnknownDevice)) };
        if key.generation != device.generation {
            return Ok(Err(NotSigned::EarlierKey));
        }
        let Ok(keys) = self.roots.device_keys(key.version, device.id.as_str(), device.generation) else {
            return Ok(Err(NotSigned::WithdrawnRoot));
        };
        match token.verify(&keys.token, u64::try_from(now.seconds()).unwrap_or(0)) {
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

    /// Notes at most once a day that a device is in use. If that fails, the next use is noted.
    async fn note_use(&self, device: &Device, now: Timestamp) {
        if !device.wants_note(now) {
            return;
        }
        if let Err(error) = self.devices.note_use(device, now).await {
            tracing::warn!(device = %device.id, %error, "use of device was not noted");
        }
    }
}
