//! What the providers of AWS have in common: each is called once, and a code is a refusal.

use std::time::Duration;

use aws_sdk_sns::config::{retry::RetryConfig, timeout::TimeoutConfig};
use aws_types::SdkConfig;
use tidings_domain::fallback::{AddressState, Answer};
use tidings_wire::trail::RefusalCode;

/// How long one attempt may take: an answer that is not awaited leaves the step unknown.
const PATIENCE: Duration = Duration::from_secs(9);

/// One attempt. The provider would not recognise a second one.
pub(crate) fn once() -> RetryConfig {
    RetryConfig::disabled()
}

pub(crate) fn patient(config: &SdkConfig) -> TimeoutConfig {
    timeouts(config, PATIENCE, PATIENCE)
}

/// Time limits of one attempt, and of all attempts of a request.
pub(crate) fn timeouts(config: &SdkConfig, attempt: Duration, all: Duration) -> TimeoutConfig {
    let base = config.timeout_config().map(TimeoutConfig::to_builder).unwrap_or_default();
    base.operation_attempt_timeout(attempt).operation_timeout(all).build()
}

/// The answer behind an error: with a code it is the provider's refusal; without one the end of the call is not known.
pub(crate) fn answer(code: Option<&str>) -> Answer {
    match code {
        Some(code) => Answer::Refused { code: code.to_owned(), address: AddressState::Alive },
        None => Answer::Unanswered,
    }
}

/// The answer if the SDK cannot build a request.
pub(crate) fn no_request() -> Answer {
    Answer::Unsendable(RefusalCode::Request.to_string())
}
