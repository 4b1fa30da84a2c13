//! The clients of each app, by its credentials, and the breakers before its providers.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aws_sdk_secretsmanager::{
    Client as Secrets,
    config::Builder,
    error::{ProvideErrorMetadata, SdkError},
    operation::get_secret_value::GetSecretValueError,
};
use aws_types::SdkConfig;
use tidings_domain::{AppId, Timestamp, digest};
use tidings_providers::{
    Bases, Client, Credentials, Limits, Providers, Reach, Sent,
    breaker::{Breakers, Rule},
};
use tidings_wire::send::Channel;

use crate::aws;

/// How long an app's credentials are cached, in seconds.
const FRESH_SECONDS: u64 = 300;

/// How long a provider may take to answer. The credentials, a token and a push, and the latter two once more if the
/// token had expired, stay within the function's timeout.
const CALL: Duration = Duration::from_secs(5);

/// How long one read of a secret may take, and all attempts of it.
const SECRET: (Duration, Duration) = (Duration::from_millis(1_500), Duration::from_secs(4));

/// Most apps whose clients are kept; the cache is emptied before it grows beyond.
const CACHED: usize = 200;

/// The credentials of an app could not be read.
#[derive(Debug, thiserror::Error)]
#[error("read the provider credentials of {app}")]
pub struct UnreadCredentials {
    app: AppId,
    source: Box<SdkError<GetSecretValueError>>,
}

/// An app's clients; `None` if it has no credentials that can be used.
type Known = Option<Arc<Providers>>;

/// An app's credentials as they were read.
#[derive(Clone, Debug)]
struct Read {
    known: Known,
    /// SHA-256 of the document. The clients are kept while it is the same, and so are the access tokens, which
    /// providers want reused.
    digest: Option<String>,
    until: Timestamp,
}

impl Read {
    /// An app's credentials after its document was read again: `clients` makes clients only if the document changed.
    fn after(before: Option<&Self>, text: Option<&str>, until: Timestamp, clients: impl FnOnce(&str) -> Known) -> Self {
        let digest = text.map(|text| digest(text.as_bytes()));
        let known = match before {
            Some(before) if before.digest == digest => before.known.clone(),
            _ => text.and_then(clients),
        };
        Self { known, digest, until }
    }
}

/// The key of a breaker: the server that is called for an app. A server that fails is skipped for this app and this
/// channel alone, so that one person's dead push service does not stop the pushes to other people.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Server {
    pub(crate) app: AppId,
    pub(crate) channel: Channel,
    /// Its origin, if the app or a browser has chosen it; other channels have one provider.
    pub(crate) origin: Option<String>,
}

/// The clients of all apps.
#[derive(Debug)]
pub(crate) struct Clients {
    secrets: Secrets,
    prefix: String,
    http: Client,
    bases: Bases,
    reach: Reach,
    known: Mutex<HashMap<AppId, Read>>,
    breakers: Mutex<Breakers<Server>>,
}

impl Clients {
    /// Clients by the secrets whose names begin with `prefix`. If there is a `providers_url`, they call it, and the
    /// private addresses that production refuses are allowed.
    pub(crate) fn new(config: &SdkConfig, prefix: String, providers_url: Option<&str>) -> Self {
        let reach = if providers_url.is_some() { Reach::Anywhere } else { Reach::Public };
        let (attempt, all) = SECRET;
        let secrets = Builder::from(config).timeout_config(aws::timeouts(config, attempt, all));
        Self {
            secrets: Secrets::from_conf(secrets.build()),
            prefix,
            http: Client::new(Limits { request: CALL, ..Limits::default() }, reach),
            bases: providers_url.map(Bases::all_at).unwrap_or_default(),
            reach,
            known: Mutex::default(),
            breakers: Mutex::new(Breakers::new(Rule::default())),
        }
    }

    /// The addresses that may be called.
    pub(crate) fn reach(&self) -> Reach {
        self.reach
    }

    /// The clients of an app; `None` if it has no credentials that can be used.
    pub(crate) async fn of(&self, app: &AppId, now: Timestamp) -> Result<Known, UnreadCredentials> {
        let fresh = self.known().get(app).filter(|read| now < read.until).cloned();
        if let Some(read) = fresh {
            return Ok(read.known);
        }
        let name = format!("{}/{app}", self.prefix);
        let text = match self.secrets.get_secret_value().secret_id(&name).send().await {
            Ok(answer) => answer.secret_string,
            // The secret does not exist, or it is about to be deleted.
            Err(error) if matches!(error.code(), Some("ResourceNotFoundException" | "InvalidRequestException")) => None,
            Err(error) => return Err(UnreadCredentials { app: app.clone(), source: Box::new(error) }),
        };
        let until = now.plus_seconds(FRESH_SECONDS);
        let mut cache = self.known();
        // Looked up a second time: a concurrent step may have read the same document, and both must use the same
        // clients.
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

    /// The clients of an app's document. A document that cannot be used counts as none: the chain goes on, and
    /// the log names the part that is wrong.
    fn clients(&self, app: &AppId, text: &str) -> Known {
        match Credentials::parse(text, self.reach) {
            Ok(credentials) => Some(Arc::new(Providers::new(credentials, self.http.clone(), self.bases.clone()))),
            Err(error) => {
                tracing::error!(%app, %error, "an app's provider credentials cannot be used");
                None
            }
        }
    }

    /// Whether a server may be called now. A call that is allowed must be recorded.
    pub(crate) fn allows(&self, server: &Server, now: Timestamp) -> bool {
        self.breakers().allows(server, millis(now))
    }

    /// Records how a call ended that was allowed at `now`.
    pub(crate) fn record(&self, server: Server, sent: &Sent, now: Timestamp) {
        self.breakers().record(server, sent.outcome.health(), millis(now));
    }

    fn breakers(&self) -> MutexGuard<'_, Breakers<Server>> {
        self.breakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn millis(at: Timestamp) -> u64 {
    u64::try_from(at.0).unwrap_or(0)
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
