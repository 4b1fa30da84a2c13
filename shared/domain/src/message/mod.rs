//! From a send request to a message that can be stored, queued and settled.

mod accept;

use serde::{Deserialize, Serialize};
use tidings_wire::{
    Open, Timestamp,
    send::{Downgrade, Priority},
};

use crate::{AppId, Delivery, Letter, UserKey};

pub(crate) use accept::too_large;
pub use accept::{accept, check_recipients};

/// A message that has been accepted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// What travels with it to its recipients.
    pub letter: Letter,
    /// The app that sends it.
    pub app: AppId,
    /// The tenant within the app; empty for none.
    pub tenant: String,
    /// Who receives it.
    pub audience: Audience,
    /// When its request was accepted.
    pub accepted: Timestamp,
    /// When it is sent, if that is later than its acceptance.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub send_at: Option<Timestamp>,
    /// Seconds that it is kept for its recipients, from the moment at which it is sent.
    pub ttl: u64,
    /// Whether it is kept at all.
    pub persist: bool,
    /// Its lane.
    pub priority: Open<Priority>,
    /// Seconds of redelivery, if it has to be confirmed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub duration: Option<u64>,
    /// What takes effect differently from what the request asks for.
    pub downgrades: Vec<Downgrade>,
}

/// Who receives a message, as named by the sender, each name once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Audience {
    /// Users.
    Aliases(Vec<String>),
    /// The users behind these devices.
    Devices(Vec<String>),
}

impl Message {
    /// The delivery for each of `aliases`.
    pub fn deliveries<'a>(&'a self, aliases: &'a [String]) -> impl Iterator<Item = Delivery> + 'a {
        aliases.iter().map(|alias| Delivery {
            letter: self.letter.clone(),
            user: UserKey { app: self.app.clone(), tenant: self.tenant.clone(), alias: alias.clone() },
            persist: self.persist,
            scheduled: self.send_at.is_some(),
        })
    }
}

#[cfg(test)]
mod tests;
