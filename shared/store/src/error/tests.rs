use aws_sdk_dynamodb::{
    error::ErrorMetadata,
    types::{CancellationReason, error::TransactionCanceledException},
};

use super::*;

fn refused(code: &str) -> StoreError {
    let error = PutItemError::generic(ErrorMetadata::builder().code(code).build());
    StoreError::request("test", SdkError::service_error(error, ()))
}

#[test]
fn a_request_that_dynamodb_finds_invalid_is_not_transient() {
    for permanent in ["ValidationException", "AccessDeniedException", "ResourceNotFoundException"] {
        assert!(!refused(permanent).is_transient(), "{permanent}");
    }
    for transient in ["ThrottlingException", "ProvisionedThroughputExceededException", "InternalServerError", "new"] {
        assert!(refused(transient).is_transient(), "{transient}");
    }
    let no_answer: SdkError<PutItemError, ()> = SdkError::timeout_error("slow");
    assert!(StoreError::request("test", no_answer).is_transient());
    assert!(!StoreError::item("test", "an attribute").is_transient());
}

#[test]
fn a_transaction_with_an_invalid_write_is_not_transient() {
    let cancelled = |codes: &[&str]| {
        let reasons = codes.iter().map(|code| CancellationReason::builder().code(*code).build()).collect();
        let error = TransactionCanceledException::builder().set_cancellation_reasons(Some(reasons)).build();
        let error = TransactWriteItemsError::TransactionCanceledException(error);
        took_place::<(), _, _>("test", Err(SdkError::service_error(error, ())))
    };
    assert!(cancelled(&["None", "ThrottlingError"]).is_err_and(|error| error.is_transient()));
    assert!(cancelled(&["None", "ValidationError"]).is_err_and(|error| !error.is_transient()));
    assert!(cancelled(&["ConditionalCheckFailed", "None"]).is_ok_and(|took_place| !took_place));
}
