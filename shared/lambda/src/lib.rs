//! The Lambda side of every function. No other shared crate knows Lambda or reads the environment.
//!
//! - [`config`]: the environment, read once at start; [`sdk`]: AWS clients built for a Lambda that freezes
//! - [`http`]: axum routers, extractors and problems
//! - [`socket`]: WebSocket events, and their answers
//! - [`batch`]: SQS events, each record by itself
//! - [`logs`]: one JSON object a line, without any user content

pub mod batch;
pub mod config;
mod failure;
pub mod http;
pub mod logs;
pub mod sdk;
pub mod socket;

pub use lambda_runtime::Error;
pub use sdk::Sdk;

use tidings_domain::preferences::time_zone_data;

/// Runs a function until the Runtime API is gone, deployed and in the twin alike. It uses one thread, since Lambda
/// gives a process one invocation at a time; a multi-threaded runtime costs 14 to 23 % more CPU.
///
/// # Errors
/// Those of the function, and if the runtime cannot be built.
pub fn block_on(function: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(function)
}

/// Starts logging and reads the SDK's configuration from the environment. Every function calls it first, builds its
/// handler's dependencies, and ends with `serve` of [`http`], [`socket`] or [`batch`].
///
/// # Errors
/// If the environment lacks a variable, or the TLS stack cannot be set up.
pub fn start() -> Result<Sdk, Error> {
    logs::init();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), time_zones = time_zone_data(), "function starts");
    Sdk::from_env()
}
