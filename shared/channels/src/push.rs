//! Pushes and webhooks: one call for each device, with the same notice and the message's sealed frame.

use std::collections::BTreeMap;

use aws_types::SdkConfig;
use futures_util::future;
use tidings_domain::{
    Entry, Timestamp,
    chain::StepDue,
    fallback::{AddressState, Answer, Called, Notice, PushTarget},
};
use tidings_providers::{
    Push, Reach, Sent, Target,
    outcome::{Fate, Outcome},
    push::{Effective, Invalid, Kind, Priority},
};
use tidings_service::Sealer;
use tidings_wire::{send::Channel, trail::RefusalCode};

use crate::clients::{Clients, Server, UnreadCredentials};

/// The name under which an app finds the sealed frame in a push.
const FRAME: &str = "frame";

/// A call that is to be made.
#[derive(Debug)]
pub(crate) struct Addressed<'a> {
    /// The device, if the call goes to one.
    pub(crate) device: Option<&'a PushTarget>,
    /// The target, or the code of the reason why the stored address cannot be used.
    pub(crate) target: Result<Target, RefusalCode>,
    /// Data for the app beside the message's id and frame.
    pub(crate) data: BTreeMap<&'static str, String>,
}

/// The push providers of all apps.
#[derive(Debug)]
pub(crate) struct Pushes {
    clients: Clients,
    sealer: Sealer,
}

impl Pushes {
    pub(crate) fn new(config: &SdkConfig, secrets: String, providers_url: Option<&str>, sealer: Sealer) -> Self {
        Self { clients: Clients::new(config, secrets, providers_url), sealer }
    }

    /// The addresses that may be called.
    pub(crate) fn reach(&self) -> Reach {
        self.clients.reach()
    }

    /// Makes each call once.
    ///
    /// # Errors
    /// [`UnreadCredentials`] if the app's credentials could not be read; then nothing was called.
    pub(crate) async fn send(
        &self,
        channel: Channel,
        calls: Vec<Addressed<'_>>,
        notice: &Notice,
        due: &StepDue,
        entry: &Entry,
    ) -> Result<Vec<Called>, UnreadCredentials> {
        let (now, app) = (Timestamp::now(), &due.user.app);
        let Some(providers) = self.clients.of(app, now).await? else {
            return Ok(vec![Answer::NotConfigured.into()]);
        };
        let seconds = u64::try_from(now.seconds()).unwrap_or(0);
        let calls = calls.into_iter().map(|call| {
            let providers = providers.clone();
            async move {
                let push = self.push(&call, notice, due, entry).await;
                let target = match &call.target {
                    Ok(target) => target,
                    Err(problem) => return (call.device, Err(Answer::Unsendable(*problem))),
                };
                let server = Server { app: app.clone(), channel, origin: providers.origin(target) };
                if !self.clients.allows(&server, now) {
                    return (call.device, Err(Answer::ProviderDown));
                }
                let sent = providers.send(&push, target, seconds).await.map_err(|why| unsent(&why));
                if let Ok(sent) = &sent {
                    self.record(server, sent, now);
                }
                (call.device, sent)
            }
        });
        let ended = future::join_all(calls).await;
        Ok(ended.into_iter().map(|(device, sent)| called(device, sent)).collect())
    }

    /// Records how a call ended.
    fn record(&self, server: Server, sent: &Sent, now: Timestamp) {
        if let Outcome::Unreachable { cause } = &sent.outcome {
            let Server { app, channel, origin } = &server;
            let origin = origin.as_deref().unwrap_or_default();
            tracing::warn!(%app, channel = channel.as_str(), origin, cause, "a push provider cannot be reached");
        }
        self.clients.record(server, sent, now);
    }

    /// The push for a device: the notice, and the frame that the device would receive on a socket, sealed under its
    /// key. A webhook carries no frame, because the app's server cannot open one.
    async fn push(&self, call: &Addressed<'_>, notice: &Notice, due: &StepDue, entry: &Entry) -> Push {
        let frame = match call.device {
            Some(PushTarget { device, push }) => {
                let frame = entry.frame(&due.user, &device.id);
                self.sealer.seal(&frame, device.key_holder(push.key_version)).await.ok()
            }
            None => None,
        };
        let data = call.data.iter().map(|(name, value)| (*name, value.clone()));
        let data = data.chain([("id", entry.letter.id.to_string())]).chain(frame.map(|frame| (FRAME, frame)));
        let content = &notice.content;
        let is_shown = content.alert.is_some();
        Push {
            message_id: entry.letter.id.to_string(),
            step: due.step,
            kind: if is_shown { Kind::Alert } else { Kind::Background },
            title: content.sender.clone(),
            body: content.alert.clone(),
            badge: content.badge.and_then(|badge| u32::try_from(badge).ok()),
            sound: content.sound.clone(),
            mutable: true,
            data: data.map(|(name, value)| (name.to_owned(), value)).collect(),
            priority: if is_shown { Priority::High } else { Priority::Normal },
            ttl: notice.ttl,
            collapse_key: notice.collapse.clone(),
        }
    }
}

/// The answer of a push that was not sent. The log holds the sentence, the trail the code.
fn unsent(why: &Invalid) -> Answer {
    tracing::warn!(error = %why, "a push cannot be sent");
    match why {
        Invalid::NotConfigured(_) => Answer::NotConfigured,
        Invalid::TooLarge { .. } => Answer::Unsendable(RefusalCode::TooLarge),
        Invalid::ReservedName { .. } | Invalid::Unspeakable => Answer::Unsendable(RefusalCode::Request),
        // The next attempt may succeed.
        Invalid::NoRandomness => Answer::Unreachable,
    }
}

fn called(to: Option<&PushTarget>, sent: Result<Sent, Answer>) -> Called {
    let device = to.map(|to| to.device.clone());
    match sent {
        Ok(Sent { effective, outcome }) => {
            Called { device, answer: answer(outcome), downgrades: downgrades(&effective) }
        }
        Err(answer) => Called { device, answer, downgrades: Vec::new() },
    }
}

/// The answer in the types of the chain.
fn answer(outcome: Outcome) -> Answer {
    match outcome {
        Outcome::Accepted { id } => Answer::Accepted(id),
        Outcome::Refused { code, fate, .. } => Answer::Refused { code, address: address(fate) },
        Outcome::Busy { code, retry_after, .. } => Answer::Busy { code, retry_after },
        Outcome::Unanswered(_) => Answer::Unanswered,
        Outcome::Unreachable { .. } => Answer::Unreachable,
    }
}

fn address(fate: Fate) -> AddressState {
    match fate {
        Fate::Keep => AddressState::Alive,
        Fate::Remove { since } => {
            AddressState::Dead { since: since.and_then(|since| i64::try_from(since).ok()).map(Timestamp) }
        }
    }
}

/// The downgrades of a push, in words: what the provider was asked for that differs from the sender's request.
fn downgrades(effective: &Effective) -> Vec<String> {
    let ttl = effective.ttl.map(|ttl| format!("ttl {ttl} s"));
    ttl.into_iter().chain(effective.downgrades.iter().map(ToString::to_string)).collect()
}
