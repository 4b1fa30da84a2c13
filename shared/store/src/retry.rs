//! Which of DynamoDB's refusals are worth another try. The SDK covers throttling, server errors and lost answers;
//! conflicts between transactions are left to us.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use aws_sdk_dynamodb::{
    Client,
    config::{
        ConfigBag, Intercept, RuntimeComponents,
        interceptors::{BeforeTransmitInterceptorContextRef, InterceptorContext},
        retry::{ClassifyRetry, RetryAction, RetryConfig},
    },
    error::{BoxError, ProvideErrorMetadata},
    operation::{
        delete_item::DeleteItemError, put_item::PutItemError, transact_write_items::TransactWriteItemsError,
        update_item::UpdateItemError,
    },
};

/// A client that also retries if another transaction held an item.
#[must_use]
pub fn client(config: &aws_types::SdkConfig) -> Client {
    let config = aws_sdk_dynamodb::config::Builder::from(config).retry_classifier(TransactionConflicts).build();
    Client::from_conf(config)
}

/// Attempts of a patient client, and its first backoff, which doubles: up to three seconds in all.
const PATIENT_ATTEMPTS: u32 = 6;
const PATIENT_BACKOFF: Duration = Duration::from_millis(100);

/// The same client with more retries, for writes whose loss costs a minute and the step's outcome: a claim that is
/// neither ended nor released counts as one whose worker died.
pub(crate) fn patient(client: &Client) -> Client {
    let config = client.config();
    let retry = config.retry_config().cloned().unwrap_or_else(RetryConfig::standard);
    let retry = retry.with_max_attempts(PATIENT_ATTEMPTS).with_initial_backoff(PATIENT_BACKOFF);
    Client::from_conf(config.to_builder().retry_config(retry).build())
}

/// Counts the attempts of one request. After several, a condition may have failed because an earlier attempt took
/// effect and its answer was lost.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attempts(Arc<AtomicU32>);

impl Attempts {
    pub(crate) fn were_several(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 1
    }
}

impl Intercept for Attempts {
    fn name(&self) -> &'static str {
        "Attempts"
    }

    fn read_before_attempt(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Classifies conflicts of two transactions, or of a transaction and a write, at one item: the loser has changed
/// nothing.
#[derive(Debug)]
struct TransactionConflicts;

impl ClassifyRetry for TransactionConflicts {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let error = context.output_or_error().and_then(Result::err).and_then(|error| error.as_operation_error());
        let single = [
            error.and_then(|error| error.downcast_ref::<PutItemError>()).and_then(ProvideErrorMetadata::code),
            error.and_then(|error| error.downcast_ref::<UpdateItemError>()).and_then(ProvideErrorMetadata::code),
            error.and_then(|error| error.downcast_ref::<DeleteItemError>()).and_then(ProvideErrorMetadata::code),
        ];
        let transaction = error.and_then(|error| error.downcast_ref::<TransactWriteItemsError>());
        if single.contains(&Some("TransactionConflictException")) || transaction.is_some_and(is_conflict) {
            RetryAction::transient_error()
        } else {
            RetryAction::NoActionIndicated
        }
    }

    fn name(&self) -> &'static str {
        "transaction conflicts"
    }
}

/// Whether a transaction was cancelled for conflicts only: a condition that does not hold will not hold next time.
fn is_conflict(error: &TransactWriteItemsError) -> bool {
    match error {
        TransactWriteItemsError::TransactionCanceledException(cancelled) => {
            let codes = || cancelled.cancellation_reasons().iter().filter_map(|reason| reason.code());
            let known = |code| matches!(code, "None" | "TransactionConflict" | "ThrottlingError");
            codes().any(|code| code != "None") && codes().all(known)
        }
        TransactWriteItemsError::TransactionInProgressException(_) => true,
        _ => false,
    }
}
