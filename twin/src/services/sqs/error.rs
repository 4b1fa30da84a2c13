//! The errors of SQS, with the names by which SDKs identify them.

use thiserror::Error;

/// An error of SQS.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct SqsError {
    /// Its code.
    pub code: Code,
    /// Its message, in the words of SQS.
    pub message: String,
}

impl SqsError {
    /// An error with this message.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// The errors of SQS that the twin can answer.
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
    /// The twin failed, for instance to write its journal.
    InternalError,
    /// The id of an entry has forbidden characters.
    InvalidBatchEntryId,
    /// A queue has no such attribute.
    InvalidAttributeName,
    /// A body has forbidden characters.
    InvalidMessageContents,
    /// A parameter has an invalid value.
    InvalidParameterValue,
    /// This consumer does not have the message in flight.
    MessageNotInflight,
    /// A parameter is missing.
    MissingParameter,
    /// There is no such queue.
    QueueDoesNotExist,
    /// The receipt handle is malformed or has expired.
    ReceiptHandleIsInvalid,
    /// There is no such queue or message move task.
    ResourceNotFound,
    /// A batch has more than ten entries.
    TooManyEntriesInBatchRequest,
    /// The queue is throttled.
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

    /// Whether the error is the sender's fault.
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
