//! Functions as real processes, and both gateways in front of them, over real sockets.
//!
//! The functions under test are this binary, executed once more: with `TWIN_RUN_FUNCTION` set, the test
//! `function_process` is not a test but a Lambda function on `lambda_runtime`.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails where it panics")]
#![expect(clippy::disallowed_methods, reason = "a test's own server")]

mod edges;
mod example;
mod faults;
mod functions;
mod http;
mod probe;
mod rights;
mod schedule;
mod stack;
mod twin;
mod websocket;

/// The function that a twin started; otherwise an empty test.
#[tokio::test]
async fn function_process() {
    if let Ok(name) = std::env::var(sam_twin::functions::RUN_FUNCTION) {
        // Every test must also hold for a function that does not know its twin: no watch on standard input here.
        probe::run(&name).await;
    }
}

/// A twin that a test ends with `kill -9`; otherwise an empty test.
#[tokio::test]
async fn twin_process() {
    if std::env::var_os(twin::DOOMED).is_some() {
        twin::run_doomed().await;
    }
}
