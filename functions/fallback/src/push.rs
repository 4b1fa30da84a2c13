//! Pushes: an app's credentials, read once and kept for a while; a call for each device; and what the answers come to.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_sdk_secretsmanager::error::ProvideErrorMetadata;
use futures_util::future;
use tidings_crypto::random;
use tidings_domain::{
    AppId, Device, Timestamp, UserKey, digest,
    fallback::{Outcome, PushCall, StepDue},
};
use tidings_providers::{
    Bases, Client, Credentials, Limits, Provider, Providers, Push, Reach, Sent, Target,
    apns::DeviceToken,
    backoff::Backoff,
    breaker::{Breakers, Rule},
    fcm::RegistrationToken,
    mipush,
    outcome::{self, Fate},
    push::{Effective, Invalid, Kind, Priority},
    webpush::Subscription,
};
use tidings_runtime::{
    Error, Sdk, Sealer,
    config::{self, ConfigError},
    logs,
    sdk::timeouts,
};
use tidings_wire::{Platform, PushAddress, send::Channel};

/// How long an app's credentials are believed unchanged, in seconds.
const FRESH_SECONDS: u64 = 300;

/// How long a provider may take to answer. Credentials, a token, a push, and both once more where the token had expired stay within
/// the function's own time.
const CALL: Duration = Duration::from_secs(5);

/// Apps whose clients are kept at most; beyond, the cache starts again.
const CACHED: usize = 200;

/// Pauses before a provider is asked again that could not take it.
const PAUSES: Backoff = Backoff { base: Duration::from_secs(2), cap: Duration::from_secs(60) };

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
            sealer: Sealer::new(config::root_keys()?),
            known: Mutex::default(),
            breakers: Mutex::new(Breakers::new(Rule::default())),
        })
    }

    /// The clients of an app; `None` where it has no credentials.
    async fn of(&self, app: &AppId, now: Timestamp) -> Result<Known, Error> {
        let cached = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(app).cloned();
        if let Some(read) = &cached
            && now < read.until
        {
            return Ok(read.known.clone());
        }
        let name = format!("{}/{app}", self.prefix);
        let text = match self.secrets.get_secret_value().secret_id(&name).send().await {
            Ok(answer) => answer.secret_string,
            // None, or one that is about to be deleted.
            Err(error) if matches!(error.code(), Some("ResourceNotFoundException" | "InvalidRequestException")) => None,
            Err(error) => return Err(error.into()),
        };
        let digest = text.as_ref().map(|text| digest(text.as_bytes()));
        let known = match (cached, text) {
            (Some(read), _) if read.digest == digest => read.known,
            (_, text) => text.and_then(|text| self.clients(app, &text)),
        };
        let until = now.plus_seconds(FRESH_SECONDS);
        let mut cache = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= CACHED {
            cache.clear();
        }
        cache.insert(app.clone(), Read { known: known.clone(), digest, until });
        Ok(known)
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
        let skipped = |reason: &str| Ok(Pushed::ended(Outcome::Skipped(reason.to_owned())));
        let Some(provider) = Provider::named(channel.as_str()) else { return skipped("not_served") };
        let app = &due.user.app;
        let Some(providers) = self.of(app, now).await? else { return skipped("not_configured") };
        let clock = u64::try_from(now.0).unwrap_or(0);
        if !self.breakers().allows(provider, app.as_str(), clock) {
            return Ok(Pushed::ended(Outcome::Refused("provider_down".to_owned())));
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
                self.breakers().record(provider, app.as_str(), sent.outcome.health(), clock);
            }
        }
        Ok(settle(&called, due.attempts))
    }

    fn breakers(&self) -> std::sync::MutexGuard<'_, Breakers> {
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
        let mut data = BTreeMap::from([("id".to_owned(), entry.id.to_string())]);
        match device {
            Some(device) => {
                let frame = device.push.as_ref().and_then(|push| {
                    let frame = entry.frame(&due.user, &device.id);
                    self.sealer.seal_for_push(&frame, device, push.key_version).ok()
                });
                data.extend(frame.map(|frame| (FRAME.to_owned(), frame)));
            }
            // The app's own server, over its own endpoint: it is told whom the message was for, and opens no frames.
            None => {
                data.insert("alias".to_owned(), due.user.alias.clone());
                data.extend(
                    Some(&due.user.tenant).filter(|it| !it.is_empty()).map(|it| ("tenantCode".to_owned(), it.clone())),
                );
                data.extend(entry.content.extra.as_ref().map(|extra| ("extra".to_owned(), extra.to_string())));
            }
        }
        Push {
            message_id: entry.id.to_string(),
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
                return Pushed::ended(Outcome::Skipped("not_configured".to_owned()));
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
                codes.insert("unreachable".to_owned());
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
            let random = random::bytes()
                .map_or(0.5, |bytes: [u8; 4]| f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX));
            let asked = Some(asked).filter(|asked| !asked.is_zero());
            return Pushed::Busy { code, pause: PAUSES.after(attempts + 1, random, asked), dead };
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
