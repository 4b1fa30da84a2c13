//! All providers of one app.

use std::fmt;

use crate::credentials::Credentials;
use crate::http::Client;
use crate::outcome::Outcome;
use crate::push::{Effective, Invalid, Push};
use crate::{apns, fcm, mipush, webhook, webpush};

/// A provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provider {
    /// Apple Push Notification service.
    Apns,
    /// Firebase Cloud Messaging.
    Fcm,
    /// Web Push.
    Webpush,
    /// Mi Push.
    Mipush,
    /// A webhook of the app's own.
    Webhook,
}

impl Provider {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Apns, Self::Fcm, Self::Webpush, Self::Mipush, Self::Webhook];

    /// Its name, as in credentials and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Apns => "apns",
            Self::Fcm => "fcm",
            Self::Webpush => "webpush",
            Self::Mipush => "mipush",
            Self::Webhook => "webhook",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.as_str() == name)
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Whom a push reaches, by which provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// An app on an Apple device.
    Apns(apns::DeviceToken),
    /// An app that is registered with Firebase.
    Fcm(fcm::RegistrationToken),
    /// A page in a browser.
    Webpush(webpush::Subscription),
    /// An app that is registered with Xiaomi.
    Mipush(mipush::Recipient),
    /// The app's own server.
    Webhook,
}

impl Target {
    /// By which provider.
    #[must_use]
    pub fn provider(&self) -> Provider {
        match self {
            Self::Apns(_) => Provider::Apns,
            Self::Fcm(_) => Provider::Fcm,
            Self::Webpush(_) => Provider::Webpush,
            Self::Mipush(_) => Provider::Mipush,
            Self::Webhook => Provider::Webhook,
        }
    }
}

/// Where the providers are, where that is not where they are in production: `http://127.0.0.1:4571`, without a path.
///
/// Web Push and webhooks have no place of their own, and FCM's token endpoint is one of its credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bases {
    /// In the place of [`apns::PRODUCTION`] and [`apns::SANDBOX`].
    pub apns: Option<String>,
    /// In the place of [`fcm::BASE`].
    pub fcm: Option<String>,
    /// In the place of [`mipush::BASE`].
    pub mipush: Option<String>,
}

impl Bases {
    /// All of them at one place, as the local twin has them.
    #[must_use]
    pub fn all_at(base: &str) -> Self {
        Self { apns: Some(base.to_owned()), fcm: Some(base.to_owned()), mipush: Some(base.to_owned()) }
    }
}

/// What was asked for, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// What the provider was asked for.
    pub effective: Effective,
    /// How it ended.
    pub outcome: Outcome,
}

/// The clients of an app. To be kept: their tokens and connections are reused.
#[derive(Debug)]
pub struct Providers {
    http: Client,
    apns: Option<apns::Apns>,
    fcm: Option<fcm::Fcm>,
    webpush: Option<webpush::Webpush>,
    mipush: Option<mipush::Mipush>,
    webhook: Option<webhook::Webhook>,
}

impl Providers {
    /// Clients with these credentials.
    #[must_use]
    pub fn new(credentials: Credentials, http: Client, bases: Bases) -> Self {
        Self {
            http,
            apns: credentials.apns.map(|part| apns::Apns::new(part, bases.apns)),
            fcm: credentials.fcm.map(|part| fcm::Fcm::new(part, bases.fcm)),
            webpush: credentials.webpush.map(webpush::Webpush::new),
            mipush: credentials.mipush.map(|part| mipush::Mipush::new(part, bases.mipush)),
            webhook: credentials.webhook.map(webhook::Webhook::new),
        }
    }

    /// Sends a push, once; `now` is in seconds since 1970.
    ///
    /// # Errors
    /// [`Invalid`]; then nothing was sent.
    pub async fn send(&self, push: &Push, to: &Target, now: u64) -> Result<Sent, Invalid> {
        let missing = Invalid::NotConfigured(to.provider());
        match to {
            Target::Apns(device) => self.apns.as_ref().ok_or(missing)?.send(&self.http, push, device, now).await,
            Target::Fcm(token) => self.fcm.as_ref().ok_or(missing)?.send(&self.http, push, token, now).await,
            Target::Webpush(to) => self.webpush.as_ref().ok_or(missing)?.send(&self.http, push, to, now).await,
            Target::Mipush(to) => self.mipush.as_ref().ok_or(missing)?.send(&self.http, push, to, now).await,
            Target::Webhook => self.webhook.as_ref().ok_or(missing)?.send(&self.http, push, now).await,
        }
    }
}
