//! Errors of the store.

use aws_sdk_dynamodb::{
    error::{ProvideErrorMetadata, SdkError},
    operation::{put_item::PutItemError, transact_write_items::TransactWriteItemsError, update_item::UpdateItemError},
};

type Source = Box<dyn std::error::Error + Send + Sync>;

/// A request to DynamoDB that failed, or an item that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// DynamoDB refused, or did not answer.
    #[error("{operation}: {code}")]
    Request {
        /// The failed operation.
        operation: &'static str,
        /// DynamoDB's code, or the reason for the missing answer.
        code: String,
        /// The SDK's error.
        #[source]
        source: Source,
    },
    /// An item is unreadable: it does not have the shape that this version writes.
    #[error("{operation}: unreadable item")]
    Item {
        /// The failed operation.
        operation: &'static str,
        /// What is wrong with it.
        #[source]
        source: Source,
    },
    /// The app is gone, and with it the keyring that opens its data.
    #[error("{operation}: the app does not exist")]
    NoApp {
        /// The failed operation.
        operation: &'static str,
    },
}

/// DynamoDB's code for a request that it cannot carry out as it is: an item over 400 KB, for instance.
const INVALID: &str = "ValidationException";

/// Codes that no repeat of the request changes: the request, the table or the rights have to change.
const PERMANENT: &[&str] = &[
    INVALID,
    "AccessDeniedException",
    "IncompleteSignatureException",
    "InvalidSignatureException",
    "ItemCollectionSizeLimitExceededException",
    "MissingAuthenticationTokenException",
    "ResourceNotFoundException",
    "SerializationException",
    "UnrecognizedClientException",
    CONSTRUCTION,
];

const CONSTRUCTION: &str = "construction failure";

impl StoreError {
    /// Whether the same request may succeed later. One that DynamoDB finds invalid, or does not permit, never does.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Request { code, .. } => !PERMANENT.contains(&code.as_str()),
            Self::Item { .. } | Self::NoApp { .. } => false,
        }
    }

    /// Whether an item cannot be read by this version.
    #[must_use]
    pub fn is_unreadable(&self) -> bool {
        match self {
            Self::Item { .. } | Self::NoApp { .. } => true,
            Self::Request { .. } => false,
        }
    }

    pub(crate) fn item(operation: &'static str, source: impl Into<Source>) -> Self {
        Self::Item { operation, source: source.into() }
    }

    pub(crate) fn request<E, R>(operation: &'static str, error: SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        let code = match &error {
            SdkError::ServiceError(service) => service.err().code().unwrap_or("unknown").to_owned(),
            SdkError::ConstructionFailure(_) => CONSTRUCTION.to_owned(),
            SdkError::TimeoutError(_) => "timeout".to_owned(),
            SdkError::DispatchFailure(_) => "no connection".to_owned(),
            SdkError::ResponseError(_) => "unreadable answer".to_owned(),
            // The SDK's enum is open; the source describes a kind that it adds.
            _ => "unknown".to_owned(),
        };
        Self::Request { operation, code, source: Box::new(error) }
    }
}

/// An error of a write that may have a condition.
pub(crate) trait Conditional {
    /// Whether the write was refused because its condition did not hold, and for no other reason.
    fn is_refused(&self) -> bool;

    /// Whether a part of it is invalid, although the error's code differs.
    fn is_invalid(&self) -> bool {
        false
    }
}

impl Conditional for PutItemError {
    fn is_refused(&self) -> bool {
        self.is_conditional_check_failed_exception()
    }
}

impl Conditional for UpdateItemError {
    fn is_refused(&self) -> bool {
        self.is_conditional_check_failed_exception()
    }
}

impl Conditional for TransactWriteItemsError {
    fn is_refused(&self) -> bool {
        refused_writes(self).contains(&true)
    }

    fn is_invalid(&self) -> bool {
        cancelled_writes(self, "ValidationError").contains(&true)
    }
}

/// For each write of a cancelled transaction, in their order, whether its condition did not hold. A transaction is
/// cancelled for other reasons too, for instance a conflict with another one.
pub(crate) fn refused_writes(error: &TransactWriteItemsError) -> Vec<bool> {
    cancelled_writes(error, "ConditionalCheckFailed")
}

/// For each write of a cancelled transaction, in their order, whether this code is its reason.
fn cancelled_writes(error: &TransactWriteItemsError, code: &str) -> Vec<bool> {
    match error {
        TransactWriteItemsError::TransactionCanceledException(cancelled) => {
            cancelled.cancellation_reasons().iter().map(|reason| reason.code() == Some(code)).collect()
        }
        _ => Vec::new(),
    }
}

/// Whether a conditional write took place: `false` if its condition did not hold.
pub(crate) fn took_place<T, E, R>(
    operation: &'static str,
    written: Result<T, SdkError<E, R>>,
) -> Result<bool, StoreError>
where
    E: Conditional + ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    match written {
        Ok(_) => Ok(true),
        Err(error) if error.as_service_error().is_some_and(Conditional::is_refused) => Ok(false),
        Err(error) if error.as_service_error().is_some_and(Conditional::is_invalid) => {
            Err(StoreError::Request { operation, code: INVALID.to_owned(), source: Box::new(error) })
        }
        Err(error) => Err(StoreError::request(operation, error)),
    }
}

#[cfg(test)]
mod tests;
