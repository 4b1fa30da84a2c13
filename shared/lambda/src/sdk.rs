//! AWS clients for a Lambda: one HTTP client for all of them, few root certificates, short timeouts.

use std::{sync::Arc, time::Duration};

use aws_sdk_dynamodb::config::{
    BehaviorVersion, Credentials, Region, SharedCredentialsProvider, retry::RetryConfig, timeout::TimeoutConfig,
};
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use aws_types::SdkConfig;
use tidings_gateway::Gateway;
use tidings_queue::{DeliverQueue, FanoutQueue, StepQueue, TimerQueue, Visibility};
use tidings_service::{AppCache, Fanouts, Lanes, Purpose, Roots, Sealer, Steps, Timers};
use tidings_store::{Announcements, Apps, Claims, Connections, Devices, Due, Items, Mailboxes, Messages, Users, Vault};

use crate::{
    Error,
    batch::Batches,
    config::{self, ConfigError},
    logs,
};

/// The root certificates of AWS endpoints (<https://www.amazontrust.com/repository/>). A cold start parses these five
/// instead of a system's hundred and more.
const AMAZON_ROOTS: &str = include_str!("../certs/amazon-trust-services.pem");

/// The range of the age at which root keys are read again, in seconds.
const REFRESH_SECONDS: std::ops::RangeInclusive<u64> = 1..=3_600;

/// Time limits of one attempt and of all attempts of a request, in milliseconds.
#[must_use]
pub fn timeouts(attempt: u64, all: u64) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_millis(1_000))
        .operation_attempt_timeout(Duration::from_millis(attempt))
        .operation_timeout(Duration::from_millis(all))
        .build()
}

/// The SDK's configuration, shared by all clients of a function.
#[derive(Clone, Debug)]
pub struct Sdk {
    config: SdkConfig,
    vault: Vault,
}

impl Sdk {
    /// Reads region, credentials and endpoint from the environment, as Lambda sets them.
    ///
    /// # Errors
    /// If a variable is missing, or the TLS stack cannot be set up.
    pub fn from_env() -> Result<Self, Error> {
        let roots = TrustStore::empty().with_pem_certificate(AMAZON_ROOTS);
        let tls = TlsContext::builder().with_trust_store(roots).build()?;
        let http = Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .tls_context(tls)
            // A frozen Lambda wakes with dead sockets: reuse only recently used ones.
            .pool_idle_timeout(Duration::from_secs(20))
            .build_https();
        // Lambda passes region and credentials in the environment, for as long as the process lives. The SDK's loader
        // would add every other source, with an STS client, to every binary.
        let credentials = Credentials::new(
            config::text("AWS_ACCESS_KEY_ID")?,
            config::text("AWS_SECRET_ACCESS_KEY")?,
            config::text("AWS_SESSION_TOKEN").ok(),
            None,
            "Lambda",
        );
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(config::text("AWS_REGION")?))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(http)
            .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
            .timeout_config(timeouts(3_000, 8_000))
            .retry_config(RetryConfig::standard().with_max_attempts(3).with_initial_backoff(Duration::from_millis(50)));
        let config = match config::text("AWS_ENDPOINT_URL") {
            Ok(endpoint) => config.endpoint_url(endpoint),
            Err(_) => config,
        };
        let config = config.build();
        let vault = vault(&config)?;
        Ok(Self { config, vault })
    }

    /// The configuration, for further clients.
    #[must_use]
    pub fn config(&self) -> &SdkConfig {
        &self.config
    }

    fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        tidings_store::client(&self.config)
    }

    fn sqs(&self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::new(&self.config)
    }

    /// Batches of any queue.
    #[must_use]
    pub fn batches(&self) -> Batches {
        Batches::new(Visibility::new(self.sqs()), self.vault.clone())
    }

    /// Users, over the table that the environment names.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn users(&self) -> Result<Users, ConfigError> {
        Ok(Users::new(self.dynamodb(), self.vault.clone(), config::text(config::USERS_TABLE)?))
    }

    /// Devices, over the tables that the environment names.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn devices(&self) -> Result<Devices, ConfigError> {
        Ok(Devices::new(
            self.dynamodb(),
            self.vault.clone(),
            config::text(config::USERS_TABLE)?,
            config::text(config::LOOKUPS_TABLE)?,
        ))
    }

    /// Connections, over the tables that the environment names.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn connections(&self) -> Result<Connections, ConfigError> {
        Ok(Connections::new(
            self.dynamodb(),
            self.vault.clone(),
            config::text(config::USERS_TABLE)?,
            config::text(config::LOOKUPS_TABLE)?,
        ))
    }

    /// Mailboxes, over the table that the environment names.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn mailboxes(&self) -> Result<Mailboxes, ConfigError> {
        Ok(Mailboxes::new(self.dynamodb(), self.vault.clone(), config::text(config::USERS_TABLE)?))
    }

    /// The claims on fallback steps, over the mailboxes.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn claims(&self) -> Result<Claims, ConfigError> {
        Ok(Claims::new(self.mailboxes()?))
    }

    /// Messages, over the table that the environment names.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn messages(&self) -> Result<Messages, ConfigError> {
        Ok(Messages::new(self.dynamodb(), self.vault.clone(), config::text(config::MESSAGES_TABLE)?))
    }

    /// The items that apps have closed, over the table that the environment names.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn items(&self) -> Result<Items, ConfigError> {
        Ok(Items::new(self.dynamodb(), self.vault.clone(), config::text(config::DIRECTORY_TABLE)?))
    }

    /// The logs of announcements, over the table that the environment names.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn announcements(&self) -> Result<Announcements, ConfigError> {
        Ok(Announcements::new(self.dynamodb(), self.vault.clone(), config::text(config::DIRECTORY_TABLE)?))
    }

    /// The due table.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn due(&self) -> Result<Due, ConfigError> {
        Ok(Due::new(self.dynamodb(), self.vault.clone(), config::text(config::DUE_TABLE)?))
    }

    /// The delivery queues, one for each priority.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn lanes(&self) -> Result<Lanes, ConfigError> {
        let queue = |url| DeliverQueue::new(self.sqs(), url);
        let (high, normal) = (config::text(config::DELIVER_QUEUE_URL)?, config::text(config::BULK_QUEUE_URL)?);
        Ok(Lanes::new(queue(high), queue(normal), self.vault.clone()))
    }

    /// Timers, over the `later` queue and the due table.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn timers(&self) -> Result<Timers, ConfigError> {
        let later = config::text(config::LATER_QUEUE_URL)?;
        Ok(Timers::new(TimerQueue::new(self.sqs(), later), self.due()?, self.vault.clone()))
    }

    /// Fallback steps, over the `fallback` queue and the timers.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn steps(&self) -> Result<Steps, ConfigError> {
        let fallback = config::text(config::FALLBACK_QUEUE_URL)?;
        Ok(Steps::new(StepQueue::new(self.sqs(), fallback), self.timers()?))
    }

    /// Apps by their keys, over the table that the environment names.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn apps(&self) -> Result<AppCache, ConfigError> {
        Ok(AppCache::new(Apps::new(self.dynamodb(), self.vault.clone(), config::text(config::DIRECTORY_TABLE)?)))
    }

    /// The root keys of a purpose, from the secret that the environment names. A function that needs several sets reads
    /// them at the same time, and after its other settings, since only these take a request.
    ///
    /// # Errors
    /// If a variable is missing or invalid, or the secret cannot be read or holds no root keys.
    pub async fn roots(&self, purpose: Purpose) -> Result<Arc<Roots>, Error> {
        let secret = config::text(match purpose {
            Purpose::Content => config::CONTENT_ROOT_KEYS,
            Purpose::Tokens => config::TOKEN_ROOT_KEYS,
            Purpose::Links => config::LINK_ROOT_KEYS,
        })?;
        let refresh_seconds = config::number(config::ROOT_KEYS_REFRESH, REFRESH_SECONDS)?;
        let roots = Roots::read(&self.config, purpose, secret, refresh_seconds).await;
        // The runtime prints the debug form alone, which does not name the cause as an operator needs it.
        Ok(Arc::new(roots.inspect_err(|error| tracing::error!(error = logs::chain(error), "function cannot start"))?))
    }

    /// The sealer, under the root keys for content.
    ///
    /// # Errors
    /// As [`Self::roots`].
    pub async fn sealer(&self) -> Result<Sealer, Error> {
        Ok(Sealer::new(self.roots(Purpose::Content).await?))
    }

    /// The queue of announcements on their way.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn fanouts(&self) -> Result<Fanouts, ConfigError> {
        let queue = FanoutQueue::new(self.sqs(), config::text(config::FANOUT_QUEUE_URL)?);
        Ok(Fanouts::new(queue, self.vault.clone()))
    }

    /// The management API of the WebSocket API.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn gateway(&self) -> Result<Gateway, ConfigError> {
        let endpoint = config::text(config::CONNECTIONS_ENDPOINT)?;
        // One slow connection must not use up the time of the deliveries behind it.
        let config = aws_sdk_apigatewaymanagement::config::Builder::from(&self.config)
            .endpoint_url(endpoint)
            .timeout_config(timeouts(1_000, 2_500))
            .retry_config(RetryConfig::standard().with_max_attempts(2).with_initial_backoff(Duration::from_millis(50)))
            .build();
        Ok(Gateway::new(aws_sdk_apigatewaymanagement::Client::from_conf(config)))
    }
}

/// The keyrings of apps, if the environment names the KMS key that wraps them; without it data is in clear.
fn vault(config: &SdkConfig) -> Result<Vault, ConfigError> {
    let Ok(key) = config::text(config::SEAL_KEY) else { return Ok(Vault::clear()) };
    let directory = config::text(config::DIRECTORY_TABLE)?;
    Ok(Vault::new(tidings_store::client(config), directory, tidings_store::kms(config), key))
}
