//! The error of a whole invocation: of a socket's event, of a tick of the clock, of a batch that cannot be read.

use std::fmt;

use lambda_runtime::Diagnostic;

use crate::{Error, logs};

/// An invocation that failed. The runtime logs its `Debug` as the sentence of a line, and reports it to Lambda.
pub(crate) struct Failure(String);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(logs::chain(&*error))
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invocation failed: {}", self.0)
    }
}

impl From<Failure> for Diagnostic {
    fn from(failure: Failure) -> Self {
        Self { error_type: "InvocationFailed".to_owned(), error_message: failure.0 }
    }
}
