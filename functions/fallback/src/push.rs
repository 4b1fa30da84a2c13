//! Pushes: an app's credentials, read once and kept for a while; a call for each device; and what the answers come to.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aws_sdk_secretsmanager::error::ProvideErrorMetadata;
use futures_util::future;
use tidings_crypto::random;
use tidings_domain::{
    AppId, Device, Timestamp, UserKey,
    chain::{Outcome, StepDue},
    digest,
    fallback::PushCall,
};
use tidings_lambda::{
    Error, Sdk,
    config::{self, ConfigError},
    logs,
    sdk::timeouts,
};
use tidings_providers::{
    Bases, Client, Credentials, Limits, Provider, Providers, Push, Reach, Sent, Target,
    apns::DeviceToken,
    breaker::{Breakers, Rule},
    fcm::RegistrationToken,
    mipush,
    outcome::{self, Fate},
    push::{Effective, Invalid, Kind, Priority},
    webpush::Subscription,
};
use tidings_service::Sealer;
use tidings_wire::{
    Backoff, Platform, PushAddress,
    send::Channel,
    trail::{RefusalCode, SkipReason},
};

/// How long an app's credentials are believed unchanged, in seconds.
const FRESH_SECONDS: u64 = 300;

/// How long a provider may take to answer. Credentials, a token, a push, and both once more where the token had expired stay within
/// the function's own time.
const CALL: Duration = Duration::from_secs(5);

/// AppCache whose clients are kept at most; beyond, the cache starts again.
const CACHED: usize = 200;

/// Pauses before a provider is asked again that could not take it.
const PAUSES: Backoff = Backoff { first: Duration::from_secs(2), longest: Duration::from_secs(60) };

/// The name under which an app finds the sealed frame in a push.
const FRAME: &str = "frame";

/// An app's clients, or that it has none.
type Known = Option<Arc<Providers>>;

/// What was read of an app's credentials.
#[derive(Clone, Debug)]
struct Read {
    known: Known,
    /// SHA-256 of the document: clients are kept while it is the same, and with them the tokens that providers want reused.
    digest: Option<String>,
    until: Timestamp,
}

impl Read {
    /// What is known once an app's document was read again: `clients` makes clients only where it is another one.
    fn after(before: Option<&Self>, text: Option<&str>, until: Timestamp, clients: impl FnOnce(&str) -> Known) -> Self {
        let digest = text.map(|text| digest(text.as_bytes()));
        let known = match before {
            Some(before) if before.digest == digest => before.known.clone(),
            _ => text.and_then(clients),
        };
        Self { known, digest, until }
    }
}

/// The push providers of all apps.
#[derive(Debug)]
pub(crate) struct Pushes {
    secrets: aws_sdk_secretsmanager::Client,
    prefix: String,
    http: Client,
    bases: Bases,
    reach: Reach,
    sealer: Sealer,
    known: Mutex<HashMap<AppId, Read>>,
    breakers: Mutex<Breakers>,
}

/// What came of a push.
#[derive(Debug)]
pub(crate) enum Pushed {
    /// The step has ended.
    Ended {
        /// How.
        outcome: Outcome,
        /// What the providers were asked for in the end.
        detail: Option<String>,
        /// Devices whose address is dead.
        dead: Vec<Device>,
    },
    /// No provider has acted, and one may later.
    Busy {
        /// Its code.
        code: String,
        /// How long to leave it alone.
        pause: Duration,
        /// Devices whose address is dead all the same.
        dead: Vec<Device>,
    },
}

impl Pushed {
    fn ended(outcome: Outcome) -> Self {
        Self::Ended { outcome, detail: None, dead: Vec::new() }
    }
}

/// What became of the call for one device.
type Called<'a> = (Option<&'a Device>, Result<Sent, Invalid>);

impl Pushes {
    pub(crate) fn from_env(sdk: &Sdk) -> Result<Self, ConfigError> {
        let elsewhere = config::text(config::PROVIDERS_URL).ok();
        let reach = if elsewhere.is_some() { Reach::Anywhere } else { Reach::Public };
        let secrets = aws_sdk_secretsmanager::config::Builder::from(sdk.config());
        let secrets = secrets.timeout_config(timeouts(1_500, 4_000)).build();
        Ok(Self {
            secrets: aws_sdk_secretsmanager::Client::from_conf(secrets),
            prefix: config::text(config::PROVIDER_SECRETS)?,
            http: Client::new(Limits { request: CALL, ..Limits::default() }, reach),
            bases: elsewhere.as_deref().map(Bases::all_at).unwrap_or_default(),
            reach,
            sealer: sdk.sealer()?,
            known: Mutex::default(),
            breakers: Mutex::new(Breakers::new(Rule::default())),
        })
    }

    /// The clients of an app; `None` where it has no credentials.
    async fn of(&self, app: &AppId, now: Timestamp) -> Result<Known, Error> {
        let fresh = self.known().get(app).filter(|read| now < read.until).cloned();
        if let Some(read) = fresh {
            return Ok(read.known);
        }
        let name = format!("{}/{app}", self.prefix);
        let text = match self.secrets.get_secret_value().secret_id(&name).send().await {
            Ok(answer) => answer.secret_string,
            // None, or one that is about to be deleted.
            Err(error) if matches!(error.code(), Some("ResourceNotFoundException" | "InvalidRequestException")) => None,
            Err(error) => return Err(error.into()),
        };
        let until = now.plus_seconds(FRESH_SECONDS);
        let mut cache = self.known();
        // Seen again: a step beside this one may have read the same, and both are to use the same clients.
        let read = Read::after(cache.get(app), text.as_deref(), until, |text| self.clients(app, text));
        if cache.len() >= CACHED && !cache.contains_key(app) {
            cache.clear();
        }
        cache.insert(app.clone(), read.clone());
        Ok(read.known)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<AppId, Read>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The clients that an app's document makes. One that cannot be used counts as none: the chain goes on, and the log says which
    /// part is wrong.
    fn clients(&self, app: &AppId, text: &str) -> Known {
        match Credentials::parse(text, self.reach) {
            Ok(credentials) => Some(Arc::new(Providers::new(credentials, self.http.clone(), self.bases.clone()))),
            Err(error) => {
                tracing::error!(%app, error = logs::chain(&error), "an app's provider credentials cannot be used");
                None
            }
        }
    }

    /// Calls a provider once for each device.
    ///
    /// # Errors
    /// Where nothing was called, because the credentials could not be read.
    pub(crate) async fn push(&self, call: &PushCall, due: &StepDue) -> Result<Pushed, Error> {
        let (now, channel) = (Timestamp::now(), call.channel);
        let skipped = |reason| Ok(Pushed::ended(Outcome::Skipped(reason)));
        let Some(provider) = Provider::named(channel.as_str()) else { return skipped(SkipReason::NotConfigured) };
        let app = &due.user.app;
        let Some(providers) = self.of(app, now).await? else { return skipped(SkipReason::NotConfigured) };
        let clock = u64::try_from(now.0).unwrap_or(0);
        if !self.breakers().allows(provider, app.as_str(), clock) {
            return Ok(Pushed::ended(Outcome::Refused(RefusalCode::ProviderDown.to_string())));
        }
        let devices: Vec<Option<&Device>> = match channel {
            Channel::Webhook => vec![None],
            _ => call.to.iter().map(Some).collect(),
        };
        let calls = devices.into_iter().map(|device| {
            let (providers, now) = (providers.clone(), clock / 1_000);
            async move {
                let called = match self.target(device, due) {
                    Some(target) => providers.send(&self.message(device, call, due), &target, now).await,
                    None => Err(Invalid::Unspeakable),
                };
                (device, called)
            }
        });
        let called: Vec<Called<'_>> = future::join_all(calls).await;
        for (_, sent) in &called {
            if let Ok(sent) = sent {
                if let outcome::Outcome::Unreachable { cause } = &sent.outcome {
                    tracing::warn!(%app, channel = channel.as_str(), cause, "a push provider cannot be reached");
                }
                self.breakers().record(provider, app.as_str(), sent.outcome.health(), clock);
            }
        }
        Ok(settle(&called, due.attempts))
    }

    fn breakers(&self) -> MutexGuard<'_, Breakers> {
        self.breakers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a device is reached; `None` where what was registered cannot be used any more.
    fn target(&self, device: Option<&Device>, due: &StepDue) -> Option<Target> {
        let Some(device) = device else { return Some(Target::Webhook) };
        Some(match &device.push.as_ref()?.address {
            PushAddress::Apns { token } => Target::Apns(DeviceToken::parse(token).ok()?),
            PushAddress::Fcm { token } => Target::Fcm(RegistrationToken::parse(token).ok()?),
            address @ PushAddress::Webpush { .. } => {
                Target::Webpush(Subscription::parse(&serde_json::to_string(address).ok()?, self.reach).ok()?)
            }
            PushAddress::Mipush => {
                let platform = match device.platform {
                    Platform::Ios => mipush::Platform::Ios,
                    Platform::All | Platform::Android | Platform::Pc | Platform::Web => mipush::Platform::Android,
                };
                // An alias of one tenant is nobody's of another.
                let UserKey { tenant, alias, .. } = &due.user;
                let name = if tenant.is_empty() { alias.clone() } else { format!("{tenant}|{alias}") };
                Target::Mipush(mipush::Recipient { audience: mipush::Audience::user(&name), platform })
            }
        })
    }

    /// What a device is told: the notice, and beside it the frame that it would be given on a socket, sealed under its key.
    fn message(&self, device: Option<&Device>, call: &PushCall, due: &StepDue) -> Push {
        let PushCall { notice, entry, .. } = call;
        let mut data = BTreeMap::from([("id".to_owned(), entry.letter.id.to_string())]);
        match device {
            Some(device) => {
                let frame = device.push.as_ref().and_then(|push| {
                    let frame = entry.frame(&due.user, &device.id);
                    self.sealer.seal(&frame, device.key_holder(push.key_version)).ok()
                });
                data.extend(frame.map(|frame| (FRAME.to_owned(), frame)));
            }
            // The app's own server, over its own endpoint: it is told whom the message was for, and opens no frames.
            None => {
                data.insert("alias".to_owned(), due.user.alias.clone());
                data.extend(
                    Some(&due.user.tenant).filter(|it| !it.is_empty()).map(|it| ("tenantCode".to_owned(), it.clone())),
                );
                data.extend(entry.letter.content.extra.as_ref().map(|extra| ("extra".to_owned(), extra.to_string())));
            }
        }
        Push {
            message_id: entry.letter.id.to_string(),
            step: due.step,
            kind: if notice.text.is_some() { Kind::Alert } else { Kind::Background },
            title: notice.title.clone(),
            body: notice.text.clone(),
            badge: notice.badge.and_then(|badge| u32::try_from(badge).ok()),
            sound: notice.sound.clone(),
            mutable: true,
            data,
            priority: if notice.text.is_some() { Priority::High } else { Priority::Normal },
            ttl: notice.ttl,
            collapse_key: notice.collapse.clone(),
        }
    }
}

/// What the calls of one step come to: accepted where one was; unknown where none was and one has no answer; put off where one
/// could not be taken; else refused, with every code.
fn settle(called: &[Called<'_>], attempts: u32) -> Pushed {
    let (mut ids, mut codes, mut busy, mut details) = (Vec::new(), BTreeSet::new(), None, BTreeSet::new());
    let (mut is_accepted, mut unanswered, mut dead) = (false, false, Vec::new());
    for (device, called) in called {
        let sent = match called {
            Ok(sent) => sent,
            Err(Invalid::NotConfigured(_)) => {
                return Pushed::ended(Outcome::Skipped(SkipReason::NotConfigured));
            }
            Err(invalid) => {
                codes.insert(invalid.to_string());
                continue;
            }
        };
        details.extend(told(&sent.effective));
        match &sent.outcome {
            outcome::Outcome::Accepted { id } => {
                is_accepted = true;
                ids.extend(id.clone());
            }
            outcome::Outcome::Refused { code, fate, .. } => {
                codes.insert(code.clone());
                dead.extend(device.filter(|device| is_dead(*fate, device)).cloned());
            }
            outcome::Outcome::Busy { code, retry_after, .. } => {
                codes.insert(code.clone());
                busy = busy.max(Some(retry_after.unwrap_or_default()));
            }
            outcome::Outcome::Unanswered(_) => unanswered = true,
            outcome::Outcome::Unreachable { .. } => {
                codes.insert(RefusalCode::Unreachable.to_string());
                busy = busy.max(Some(Duration::ZERO));
            }
        }
    }
    let joined = |all: Vec<String>| all.join(", ");
    let code = joined(codes.into_iter().collect());
    let outcome = match (is_accepted, unanswered, busy) {
        (true, ..) => Outcome::Accepted(joined(ids)),
        (false, true, _) => Outcome::Unknown,
        (false, false, Some(asked)) => {
            let random = random::bytes().map_or(u64::MAX / 2, u64::from_be_bytes);
            // Jitter on top of what the provider asked for, so that what it refused together does not come back together.
            return Pushed::Busy { code, pause: asked.saturating_add(PAUSES.pause(attempts, random)), dead };
        }
        (false, false, None) => Outcome::Refused(code),
    };
    let detail = joined(details.into_iter().collect());
    Pushed::Ended { outcome, detail: Some(detail).filter(|detail| !detail.is_empty()), dead }
}

/// Whether an address is to be forgotten: not one that was registered after the provider saw it die.
fn is_dead(fate: Fate, device: &Device) -> bool {
    match fate {
        Fate::Keep => false,
        Fate::Remove { since } => {
            since.and_then(|since| i64::try_from(since).ok()).is_none_or(|since| device.registered.0 <= since)
        }
    }
}

/// What a provider was asked for that is less or other than what was asked of us, in words.
fn told(effective: &Effective) -> Vec<String> {
    let mut told: Vec<String> = effective.ttl.map(|ttl| format!("ttl {ttl} s")).into_iter().collect();
    told.extend(effective.downgrades.iter().map(ToString::to_string));
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNTIL: Timestamp = Timestamp(300_000);

    fn document(secret: &str) -> String {
        format!(r#"{{"mipush": {{"appSecret": "{secret}", "packageName": "com.example.app"}}}}"#)
    }

    fn clients(text: &str) -> Known {
        let http = Client::new(Limits::default(), Reach::Public);
        let credentials = Credentials::parse(text, Reach::Public).ok()?;
        Some(Arc::new(Providers::new(credentials, http, Bases::default())))
    }

    fn read(before: Option<&Read>, text: Option<&str>) -> Read {
        Read::after(before, text, UNTIL, clients)
    }

    #[test]
    fn the_same_document_keeps_the_very_clients_and_with_them_their_tokens() {
        let first = read(None, Some(&document("one")));
        let later = Timestamp(UNTIL.0 + 1);
        let again = Read::after(Some(&first), Some(&document("one")), later, |_| panic!("it is the same"));
        assert!(Arc::ptr_eq(&first.known.unwrap(), again.known.as_ref().unwrap()));
        assert_eq!(again.until, later, "and is believed for a while again");
        let third = read(Some(&again), Some(&document("one")));
        assert!(Arc::ptr_eq(&again.known.unwrap(), &third.known.unwrap()), "however often it is read");
    }

    #[test]
    fn another_document_makes_other_clients() {
        let one = read(None, Some(&document("one")));
        let two = read(Some(&one), Some(&document("two")));
        assert!(!Arc::ptr_eq(&one.known.unwrap(), two.known.as_ref().unwrap()));
        let back = read(Some(&two), Some(&document("one")));
        assert!(!Arc::ptr_eq(&two.known.unwrap(), &back.known.unwrap()));
    }

    #[test]
    fn credentials_that_are_gone_are_not_used_and_new_ones_are() {
        let none = read(None, None);
        assert!(none.known.is_none());
        let there = read(Some(&none), Some(&document("one")));
        let first = there.known.clone().unwrap();
        let gone = read(Some(&there), None);
        assert!(gone.known.is_none());
        let back = read(Some(&gone), Some(&document("one")));
        assert!(!Arc::ptr_eq(&first, &back.known.unwrap()));
    }

    #[test]
    fn what_cannot_be_used_is_neither_used_nor_tried_again_until_it_is_another() {
        let good = read(None, Some(&document("one")));
        let broken = read(Some(&good), Some("{"));
        assert!(broken.known.is_none(), "the old ones are not what the app wants any more");
        let again = Read::after(Some(&broken), Some("{"), UNTIL, |_| panic!("it was read, and the log has it"));
        assert!(again.known.is_none());
        assert!(read(Some(&again), Some(&document("one"))).known.is_some());
    }
}
