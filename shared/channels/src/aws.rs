//! The calls of AWS's providers: each is called once, and the table of codes classifies its answer.

use std::{
    error::Error,
    iter::successors,
    time::{Duration, SystemTime},
};

use aws_sdk_sns::{
    config::{http::HttpResponse, retry::RetryConfig, timeout::TimeoutConfig},
    error::{ProvideErrorMetadata, SdkError},
};
use aws_types::SdkConfig;
use tidings_domain::fallback::{AddressState, Answer};
use tidings_providers::{
    answer,
    meaning::{self, Meaning},
};
use tidings_wire::trail::RefusalCode;

/// Time limit of one attempt: an answer that comes later leaves the step unknown.
const PATIENCE: Duration = Duration::from_secs(9);

/// One attempt. The provider could not recognise a second one as a repetition.
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

/// The answer behind an error. Only a request that was certainly not acted on may be sent again.
pub(crate) fn answer<E>(error: &SdkError<E, HttpResponse>) -> Answer
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let (name, response) = match error {
        SdkError::ConstructionFailure(_) => return no_request(),
        SdkError::DispatchFailure(failure) if failure.as_connector_error().is_some_and(|it| is_unsent(it)) => {
            return Answer::Unreachable;
        }
        SdkError::ServiceError(refused) => (refused.err().code(), refused.raw()),
        SdkError::ResponseError(unread) => (None, unread.raw()),
        // The connection ended, or the time was up, after the request was on its way. The enumeration may grow.
        SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) | _ => return Answer::Unanswered,
    };
    let status = response.status().as_u16();
    let code = name.map_or_else(|| status.to_string(), str::to_owned);
    match meaning::of_aws(name, status) {
        Meaning::Refused => Answer::Refused { code, address: AddressState::Alive },
        Meaning::Throttled | Meaning::Failing => {
            let asked = response.headers().get("retry-after");
            Answer::Busy { code, retry_after: asked.and_then(|text| answer::retry_after(text, SystemTime::now())) }
        }
        Meaning::Unknown => Answer::Unanswered,
    }
}

/// Whether a request was certainly not sent: there was no connection for it.
fn is_unsent(error: &(dyn Error + 'static)) -> bool {
    let is_connect = |error: &hyper_util::client::legacy::Error| error.is_connect();
    successors(Some(error), |&error| error.source()).any(|error| error.downcast_ref().is_some_and(is_connect))
}

/// The answer if the SDK cannot build a request.
pub(crate) fn no_request() -> Answer {
    Answer::Unsendable(RefusalCode::Request)
}
