//! `sam-twin`: the twin of a SAM template, in a terminal.

// What is printed goes through `cli::output`, which does not panic when nobody reads it.
#![deny(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    sam_twin::cli::run().await
}
