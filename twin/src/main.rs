//! `sam-twin`: the twin of a SAM template, in a terminal.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    sam_twin::cli::run().await
}
