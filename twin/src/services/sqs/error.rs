//! The errors of SQS, with the names that SDKs know them by.

use thiserror::Error;

/// An error as SQS answers it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct SqsError {
    /// Which error.
    pub code: Code,
    /// What SQS says about it.
    pub message: String,
}

impl SqsError {
    /// An error with this message.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// The errors that SQS knows and the twin can meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The caller's role does not allow it.
    AccessDenied,
    /// Two entries of a batch have the same id.
    BatchEntryIdsNotDistinct,
    /// The entries of a batch are too long together.
    BatchRequestTooLong,
    /// A batch is empty.
    EmptyBatchRequest,
    /// The twin itself failed, for instance to write its journal.
    InternalError,
    /// The id of an entry has characters that it may not have.
    InvalidBatchEntryId,
    /// There is no such attribute of a queue.
    InvalidAttributeName,
    /// A body has characters that it may not have.
    InvalidMessageContents,
    /// A parameter has a value that it may not have.
    InvalidParameterValue,
    /// The message is not in the hands of this consumer.
    MessageNotInflight,
    /// A parameter is missing.
    MissingParameter,
    /// There is no such queue.
    QueueDoesNotExist,
    /// The receipt handle is none.
    ReceiptHandleIsInvalid,
    /// There is no such queue or task to move messages by.
    ResourceNotFound,
    /// A batch has more than ten entries.
    TooManyEntriesInBatchRequest,
    /// The queue is asked for too much.
    RequestThrottled,
    /// The twin does not have this operation.
    UnsupportedOperation,
}

impl Code {
    /// The name in the JSON protocol.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AccessDenied => "AccessDeniedException",
            Self::BatchEntryIdsNotDistinct => "BatchEntryIdsNotDistinct",
            Self::BatchRequestTooLong => "BatchRequestTooLong",
            Self::EmptyBatchRequest => "EmptyBatchRequest",
            Self::InternalError => "InternalFailure",
            Self::InvalidAttributeName => "InvalidAttributeName",
            Self::InvalidBatchEntryId => "InvalidBatchEntryId",
            Self::InvalidMessageContents => "InvalidMessageContents",
            Self::InvalidParameterValue => "InvalidParameterValueException",
            Self::MessageNotInflight => "MessageNotInflight",
            Self::MissingParameter => "MissingRequiredParameterException",
            Self::QueueDoesNotExist => "QueueDoesNotExist",
            Self::ReceiptHandleIsInvalid => "ReceiptHandleIsInvalid",
            Self::RequestThrottled => "RequestThrottled",
            Self::ResourceNotFound => "ResourceNotFoundException",
            Self::TooManyEntriesInBatchRequest => "TooManyEntriesInBatchRequest",
            Self::UnsupportedOperation => "UnsupportedOperation",
        }
    }

    /// The name in the older query protocol, which the header `x-amzn-query-error` keeps alive.
    #[must_use]
    pub fn query_name(self) -> &'static str {
        match self {
            Self::AccessDenied => "AccessDenied",
            Self::BatchEntryIdsNotDistinct => "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
            Self::BatchRequestTooLong => "AWS.SimpleQueueService.BatchRequestTooLong",
            Self::EmptyBatchRequest => "AWS.SimpleQueueService.EmptyBatchRequest",
            Self::InternalError => "InternalFailure",
            Self::InvalidAttributeName => "InvalidAttributeName",
            Self::InvalidBatchEntryId => "AWS.SimpleQueueService.InvalidBatchEntryId",
            Self::InvalidMessageContents => "InvalidMessageContents",
            Self::InvalidParameterValue => "InvalidParameterValue",
            Self::MessageNotInflight => "AWS.SimpleQueueService.MessageNotInflight",
            Self::MissingParameter => "MissingParameter",
            Self::QueueDoesNotExist => "AWS.SimpleQueueService.NonExistentQueue",
            Self::ReceiptHandleIsInvalid => "ReceiptHandleIsInvalid",
            Self::RequestThrottled => "RequestThrottled",
            Self::ResourceNotFound => "ResourceNotFoundException",
            Self::TooManyEntriesInBatchRequest => "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
            Self::UnsupportedOperation => "AWS.SimpleQueueService.UnsupportedOperation",
        }
    }

    /// Whether the sender is to blame.
    #[must_use]
    pub fn is_senders_fault(self) -> bool {
        self != Self::InternalError
    }
}

/// A parameter within its bounds, or the error of SQS.
pub(super) fn bounded(name: &str, value: u64, least: u64, most: u64) -> Result<u64, SqsError> {
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    let message = format!(
        "Value {value} for parameter {name} is invalid. Reason: Must be >= {least} and <= {most}, if provided."
    );
    Err(SqsError::new(Code::InvalidParameterValue, message))
}
