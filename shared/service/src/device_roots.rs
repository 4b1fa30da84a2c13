//! The keys that devices are given: both of one version, each from its own root.

use std::sync::Arc;

use futures_util::future;
use tidings_crypto::{
    jwk::Jwk,
    keys::{DeviceKeys, KeyId, RootKeys, UnknownVersion},
};
use tidings_domain::{AppId, DeviceId};
use tidings_wire::device;

use crate::roots::Roots;

/// The root keys from which both keys of a device are derived.
#[derive(Debug)]
pub struct DeviceRoots {
    content: Arc<Roots>,
    tokens: Arc<Roots>,
}

/// The newest version that both sets of root keys hold, at one moment.
#[derive(Debug)]
pub struct Newest {
    version: u32,
    content: Arc<RootKeys>,
    tokens: Arc<RootKeys>,
}

impl DeviceRoots {
    /// Over the root keys for content and for tokens.
    #[must_use]
    pub fn new(content: Arc<Roots>, tokens: Arc<Roots>) -> Self {
        Self { content, tokens }
    }

    /// The newest version that both sets hold. A set that lacks a version of the other one is read again first: during
    /// a rotation, one may have been read before the other.
    ///
    /// # Errors
    /// If the sets share no version.
    pub async fn newest(&self) -> Result<Newest, UnknownVersion> {
        let (content, tokens) = future::join(self.content.keys(), self.tokens.keys()).await;
        let newest = content.current().max(tokens.current());
        let (content, tokens) = future::join(self.content.keys_with(newest), self.tokens.keys_with(newest)).await;
        let version = content.newest_shared(&tokens).ok_or(UnknownVersion { version: newest })?;
        Ok(Newest { version, content, tokens })
    }
}

impl Newest {
    /// The version.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The keys of an app's device under this version.
    ///
    /// # Errors
    /// If a set has no root key of this version, which [`DeviceRoots::newest`] rules out.
    pub fn keys(&self, app: &AppId, device: &DeviceId, generation: u32) -> Result<device::DeviceKeys, UnknownVersion> {
        let id = KeyId::content(device.as_str(), self.version, generation);
        let DeviceKeys { content, token } = DeviceKeys::derive(&self.content, &self.tokens, app.as_str(), &id)?;
        Ok(device::DeviceKeys { content: Jwk::of_content(&id, &content), token: Jwk::of_token(&id, &token) })
    }
}
