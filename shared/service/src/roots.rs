//! Root keys of one purpose, as Secrets Manager holds them: read when a process starts, and again as they age, so that
//! a rotation needs no deployment.

mod schedule;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aws_sdk_secretsmanager::{Client, config::timeout::TimeoutConfig, error::ProvideErrorMetadata};
use tidings_crypto::keys::{RootKeys, RootKeysError};
use tidings_domain::Timestamp;

use schedule::Schedule;

/// How long one read of a secret may take, and all attempts of it. A request that finds the keys aged waits for it.
const READ: (Duration, Duration) = (Duration::from_millis(1_500), Duration::from_secs(4));

/// The use of a set of root keys. Each is a secret, and a function reads only those that it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Sealing frames.
    Content,
    /// Verifying the tokens of devices.
    Tokens,
    /// Signing links.
    Links,
}

impl Purpose {
    /// The word in logs and errors.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::Tokens => "tokens",
            Self::Links => "links",
        }
    }
}

/// Root keys that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the root keys for {} cannot be read from the secret {secret}", .purpose.as_str())]
pub struct UnreadRoots {
    purpose: Purpose,
    secret: String,
    source: Reason,
}

/// Why root keys could not be read.
#[derive(Debug, thiserror::Error)]
enum Reason {
    /// Secrets Manager refused the request, or did not answer. Only the texts of the SDK's error are kept: its debug
    /// form may show an answer, and with it a secret.
    #[error("{0}")]
    Request(String),
    /// The secret is binary.
    #[error("its value is no text")]
    Binary,
    /// The text is not a set of root keys.
    #[error(transparent)]
    Malformed(#[from] RootKeysError),
}

/// The root keys of one purpose.
pub struct Roots {
    client: Client,
    purpose: Purpose,
    secret: String,
    known: Mutex<Known>,
    /// Held by the one that reads the secret.
    turn: futures_util::lock::Mutex<()>,
}

/// The keys as they were read last, and when to read them again.
struct Known {
    keys: Arc<RootKeys>,
    schedule: Schedule,
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { purpose, secret, .. } = self;
        f.debug_struct("Roots").field("purpose", purpose).field("secret", secret).finish_non_exhaustive()
    }
}

impl Roots {
    /// Reads the secret of this ARN. It is read again when what was read is `refresh_seconds` old.
    ///
    /// # Errors
    /// [`UnreadRoots`], which shows nothing of the secret.
    pub async fn read(
        config: &aws_types::SdkConfig,
        purpose: Purpose,
        secret: String,
        refresh_seconds: u64,
    ) -> Result<Self, UnreadRoots> {
        let (attempt, all) = READ;
        let timeouts = config.timeout_config().map_or_else(TimeoutConfig::builder, TimeoutConfig::to_builder);
        let timeouts = timeouts.operation_attempt_timeout(attempt).operation_timeout(all).build();
        let config = aws_sdk_secretsmanager::config::Builder::from(config).timeout_config(timeouts).build();
        let client = Client::from_conf(config);
        let keys = match fetch(&client, &secret).await {
            Ok(keys) => keys,
            Err(source) => return Err(UnreadRoots { purpose, secret, source }),
        };
        let known = Known { keys: Arc::new(keys), schedule: Schedule::begin(Timestamp::now(), refresh_seconds) };
        Ok(Self { client, purpose, secret, known: Mutex::new(known), turn: Default::default() })
    }

    /// The keys. If they are aged they are read again; if that fails, the old ones stay.
    pub async fn keys(&self) -> Arc<RootKeys> {
        if self.known().schedule.is_aged(Timestamp::now())
            // While another one reads them, the old ones serve.
            && let Some(_turn) = self.turn.try_lock()
            && self.known().schedule.is_aged(Timestamp::now())
        {
            self.refresh().await;
        }
        self.known().keys.clone()
    }

    /// The keys, for a use of this version. If it is newer than those that are known, another function may have read
    /// it first: the keys are read again, at most once in ten seconds, since a version can be made up.
    pub async fn keys_with(&self, version: u32) -> Arc<RootKeys> {
        let keys = self.keys().await;
        // Versions only grow: a lower one that is missing was withdrawn.
        if version <= keys.current() {
            return keys;
        }
        let _turn = self.turn.lock().await;
        // Another one may have read them meanwhile.
        let is_unknown = version > self.known().keys.current();
        if is_unknown && self.known().schedule.may_look_up(Timestamp::now()) {
            self.refresh().await;
            self.known().schedule.looked_up(Timestamp::now());
        }
        self.known().keys.clone()
    }

    /// Reads the keys once more.
    async fn refresh(&self) {
        let read = fetch(&self.client, &self.secret).await;
        let now = Timestamp::now();
        let mut known = self.known();
        match read {
            Ok(keys) => {
                if keys != *known.keys {
                    tracing::info!(purpose = self.purpose.as_str(), version = keys.current(), "root keys have changed");
                    known.keys = Arc::new(keys);
                }
                known.schedule.succeeded(now);
            }
            Err(error) => {
                let (purpose, secret) = (self.purpose.as_str(), &self.secret);
                tracing::error!(purpose, secret, error = %error, "root keys were not refreshed: the old ones stay");
                known.schedule.failed(now);
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn fetch(client: &Client, secret: &str) -> Result<RootKeys, Reason> {
    let answer = client.get_secret_value().secret_id(secret).send().await.map_err(|error| {
        let code = error.code().unwrap_or("no answer");
        let message = error.message().map(str::to_owned).unwrap_or_else(|| error.to_string());
        Reason::Request(format!("{code}: {message}"))
    })?;
    let text = answer.secret_string.ok_or(Reason::Binary)?;
    Ok(RootKeys::parse(&text)?)
}
