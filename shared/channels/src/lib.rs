//! The channels around the socket: each turns one call of a fallback step into one answer.
//!
//! | module | channel |
//! | --- | --- |
//! | `apns`, `fcm`, `webpush`, `mipush` | pushes to devices |
//! | `webhook` | the app's own server |
//! | `sms` | text messages, by Amazon SNS |
//! | `email` | emails, by Amazon SES v2 |
//!
//! The parts that pushes and webhooks share are in `push`; credentials and breakers are in `clients`. Nothing here
//! decides what follows an answer: `tidings_domain::fallback` does.

mod apns;
mod aws;
mod clients;
mod email;
mod fcm;
mod mipush;
mod push;
mod sms;
mod webhook;
mod webpush;

use std::{collections::BTreeMap, sync::Arc};

use aws_types::SdkConfig;
use tidings_domain::{
    Entry, UserKey,
    chain::StepDue,
    fallback::{Call, Called, PushTarget},
};
use tidings_providers::{Target, push::Downgrade};
use tidings_service::{Roots, Sealer};
use tidings_wire::{FieldProblem, Open, Platform, PushAddress, send::Channel, trail::RefusalCode};

use email::Emails;
use push::{Addressed, Pushes};
use sms::Sms;

pub use clients::UnreadCredentials;
pub use tidings_providers::Reach;

/// Settings of the channels.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Sender of emails.
    pub email_from: String,
    /// URL of the HTTP API, for links in emails.
    pub api_url: String,
    /// Root keys for links in emails.
    pub links: Arc<Roots>,
    /// Sealer of the frames in pushes.
    pub sealer: Sealer,
    /// Prefix of the names of the secrets that hold apps' credentials, without a slash at its end.
    pub secrets: String,
    /// URL of all push providers if they are not the real ones: the local twin plays them.
    pub providers_url: Option<String>,
}

/// All channels.
#[derive(Debug)]
pub struct Channels {
    sms: Sms,
    emails: Emails,
    pushes: Pushes,
}

impl Channels {
    /// Channels that call AWS with this configuration.
    #[must_use]
    pub fn new(config: &SdkConfig, settings: Settings) -> Self {
        let Settings { email_from, api_url, links, sealer, secrets, providers_url } = settings;
        Self {
            sms: Sms::new(config),
            emails: Emails::new(config, email_from, api_url, links),
            pushes: Pushes::new(config, secrets, providers_url.as_deref(), sealer),
        }
    }

    /// Makes the call of a step, once for each device if it goes to devices; `entry` is the message.
    ///
    /// # Errors
    /// [`UnreadCredentials`] if the app's credentials could not be read; then nothing was called.
    pub async fn call(&self, call: &Call, due: &StepDue, entry: &Entry) -> Result<Vec<Called>, UnreadCredentials> {
        match call {
            Call::Sms { to, text, is_cut } => {
                let downgrades = is_cut.then(|| Downgrade::TextCut { field: "text" }.to_string());
                let answer = self.sms.send(to, text).await;
                Ok(vec![Called { downgrades: Vec::from_iter(downgrades), ..answer.into() }])
            }
            Call::Email { to, subject, text, unsubscribe } => {
                Ok(vec![self.emails.send(to, subject, text, unsubscribe).await.into()])
            }
            Call::Push { channel, to, notice } => {
                let addressed = to.iter().map(|to| self.address(to, due)).collect();
                self.pushes.send(*channel, addressed, notice, due, entry).await
            }
            Call::Webhook { notice } => {
                self.pushes.send(Channel::Webhook, vec![webhook::addressed(due, entry)], notice, due, entry).await
            }
        }
    }

    fn address<'a>(&self, to: &'a PushTarget, due: &StepDue) -> Addressed<'a> {
        let target = target(&to.push.address, &due.user, to.device.platform, self.pushes.reach());
        // The address was stored under an older limit, or for a twin that may call any address.
        let target = target.inspect_err(|problem| {
            tracing::warn!(device = %to.device.id, field = problem.field, "a stored push address cannot be used");
        });
        Addressed { device: Some(to), target: target.map_err(|_| RefusalCode::Address), data: BTreeMap::new() }
    }
}

/// Parses the address that a device registers for pushes.
///
/// # Errors
/// The [`FieldProblem`] of an address that no provider would take.
pub fn target(
    address: &PushAddress,
    user: &UserKey,
    platform: Open<Platform>,
    reach: Reach,
) -> Result<Target, FieldProblem> {
    match address {
        PushAddress::Apns { token } => apns::target(token),
        PushAddress::Fcm { token } => fcm::target(token),
        PushAddress::Webpush { endpoint, keys } => webpush::target(endpoint, keys, reach),
        PushAddress::Mipush => Ok(mipush::target(user, platform)),
    }
}
