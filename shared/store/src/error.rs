//! What can go wrong between us and DynamoDB.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

type Source = Box<dyn std::error::Error + Send + Sync>;

/// A request to DynamoDB that failed, or an item that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// DynamoDB refused, or did not answer.
    #[error("{operation}: {code}")]
    Request {
        /// What was being done.
        operation: &'static str,
        /// DynamoDB's code, or what kept the answer away.
        code: String,
        /// The SDK's error.
        #[source]
        source: Source,
    },
    /// An item does not have the shape that this version writes.
    #[error("{operation}: unreadable item")]
    Item {
        /// What was being done.
        operation: &'static str,
        /// What is wrong with it.
        #[source]
        source: Source,
    },
}

impl StoreError {
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
            SdkError::ConstructionFailure(_) => "construction failure".to_owned(),
            SdkError::TimeoutError(_) => "timeout".to_owned(),
            SdkError::DispatchFailure(_) => "no connection".to_owned(),
            SdkError::ResponseError(_) => "unreadable answer".to_owned(),
            // The SDK's enum is open; a kind that it adds is told by its own words in the source.
            _ => "unknown".to_owned(),
        };
        Self::Request { operation, code, source: Box::new(error) }
    }
}
