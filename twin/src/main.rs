//! `sam-twin`: the twin of a SAM template, in a terminal.

// All output goes through `cli::output`, which does not panic when its reader is gone.
#![deny(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

fn main() -> ExitCode {
    match sam_twin::cli::runtime() {
        Ok(runtime) => runtime.block_on(sam_twin::cli::run()),
        Err(error) => {
            sam_twin::cli::output::note(format_args!("sam-twin cannot start: {error}"));
            ExitCode::FAILURE
        }
    }
}
