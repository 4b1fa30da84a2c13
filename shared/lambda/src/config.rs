//! Configuration: environment variables, read once at start. A missing or invalid variable stops the function, by name.

use std::env;

/// An environment variable that is missing or invalid.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not set, or empty.
    #[error("the environment variable {0} is not set")]
    Missing(&'static str),
    /// Not a whole number within its range.
    #[error("the environment variable {0} is not a whole number from {1} to {2}")]
    Number(&'static str, u64, u64),
}

/// Table of users, their devices, connections and mailboxes.
pub const USERS_TABLE: &str = "TIDINGS_USERS_TABLE";
/// Table of look-ups by device and by connection.
pub const LOOKUPS_TABLE: &str = "TIDINGS_LOOKUPS_TABLE";
/// Table of messages.
pub const MESSAGES_TABLE: &str = "TIDINGS_MESSAGES_TABLE";
/// Table of apps.
pub const DIRECTORY_TABLE: &str = "TIDINGS_DIRECTORY_TABLE";
/// Table of timers.
pub const DUE_TABLE: &str = "TIDINGS_DUE_TABLE";
/// KMS key that wraps the keys of what is sealed at rest; without it data is stored in clear.
pub const SEAL_KEY: &str = "TIDINGS_SEAL_KEY";
/// Queue of deliveries.
pub const DELIVER_QUEUE_URL: &str = "TIDINGS_DELIVER_QUEUE_URL";
/// Queue of deliveries of bulk sends, and of redeliveries.
pub const BULK_QUEUE_URL: &str = "TIDINGS_BULK_QUEUE_URL";
/// Queue of fallback steps that are due.
pub const FALLBACK_QUEUE_URL: &str = "TIDINGS_FALLBACK_QUEUE_URL";
/// Queue of timers up to fifteen minutes ahead.
pub const LATER_QUEUE_URL: &str = "TIDINGS_LATER_QUEUE_URL";
/// Queue of announcements on their way.
pub const FANOUT_QUEUE_URL: &str = "TIDINGS_FANOUT_QUEUE_URL";
/// Endpoint of the WebSocket API's management API: `https://{api}.execute-api.{region}.amazonaws.com/{stage}`.
pub const CONNECTIONS_ENDPOINT: &str = "TIDINGS_CONNECTIONS_ENDPOINT";
/// ARN of the secret with the root keys for content.
pub const CONTENT_ROOT_KEYS: &str = "TIDINGS_CONTENT_ROOT_KEYS";
/// ARN of the secret with the root keys for tokens.
pub const TOKEN_ROOT_KEYS: &str = "TIDINGS_TOKEN_ROOT_KEYS";
/// ARN of the secret with the root keys for links.
pub const LINK_ROOT_KEYS: &str = "TIDINGS_LINK_ROOT_KEYS";
/// Age at which root keys are read again, in seconds.
pub const ROOT_KEYS_REFRESH: &str = "TIDINGS_ROOT_KEYS_REFRESH_SECONDS";
/// Seconds that API Gateway lets a connection live.
pub const CONNECTION_LIFE: &str = "TIDINGS_CONNECTION_LIFE_SECONDS";
/// Base URL of the HTTP API, without a slash at its end.
pub const API_URL: &str = "TIDINGS_API_URL";
/// Base URL of all push providers, without the protection from loopback addresses: set in the local twin only.
pub const PROVIDERS_URL: &str = "TIDINGS_PROVIDERS_URL";
/// Prefix of the names of the secrets that hold apps' provider credentials, without a slash at its end.
pub const PROVIDER_SECRETS: &str = "TIDINGS_PROVIDER_SECRETS";
/// Sender of e-mail.
pub const EMAIL_FROM: &str = "TIDINGS_EMAIL_FROM";
/// Least severe level that is logged; `info` if it is not set.
pub const LOG: &str = "TIDINGS_LOG";

/// The value of a variable.
///
/// # Errors
/// [`ConfigError::Missing`], also if it is empty.
pub fn text(name: &'static str) -> Result<String, ConfigError> {
    env::var(name).ok().filter(|value| !value.is_empty()).ok_or(ConfigError::Missing(name))
}

/// The value of a numeric variable within a range.
///
/// # Errors
/// [`ConfigError`].
pub fn number(name: &'static str, range: std::ops::RangeInclusive<u64>) -> Result<u64, ConfigError> {
    let number = text(name)?.parse().ok().filter(|number| range.contains(number));
    number.ok_or(ConfigError::Number(name, *range.start(), *range.end()))
}
