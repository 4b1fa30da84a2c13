//! `tidings`: the local twin with its command line; or, executed again by the twin, one of its functions.

// Output goes through `sam_twin::cli::output`, which does not panic if the reader of a pipe is gone.
#![deny(clippy::print_stdout, clippy::print_stderr)]

use std::pin::Pin;
use std::process::ExitCode;

use sam_twin::cli::output;
use sam_twin::functions::{RUN_FUNCTION, end_with_the_twin};

/// A function, running until its runtime API is gone.
type Running = Pin<Box<dyn Future<Output = Result<(), tidings_lambda::Error>>>>;

/// The name of a function's binary, and the entry point that runs it.
type Function = (&'static str, fn() -> Running);

/// The functions in this program: those of the folder `functions`.
const FUNCTIONS: &[Function] = &include!(concat!(env!("OUT_DIR"), "/functions.rs"));

fn main() -> ExitCode {
    match std::env::var(RUN_FUNCTION) {
        Ok(name) if !name.is_empty() => run_function(&name),
        Ok(_) | Err(_) => match sam_twin::cli::runtime() {
            Ok(runtime) => runtime.block_on(tidings::cli::run()),
            Err(error) => {
                output::note(format_args!("tidings cannot start: {error}"));
                ExitCode::FAILURE
            }
        },
    }
}

fn run_function(name: &str) -> ExitCode {
    let Some((_, run)) = FUNCTIONS.iter().find(|(known, _)| *known == name) else {
        output::note(format_args!("this program has no function {name}: run the twin with artefacts of it instead"));
        return ExitCode::FAILURE;
    };
    let ended = end_with_the_twin().map(|()| tidings_lambda::block_on(run()));
    match ended {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            output::note(format_args!("{name}: {error}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            output::note(format_args!("{name} cannot start: {error}"));
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::FUNCTIONS;

    #[test]
    fn every_function_of_the_template_is_here() {
        let template = include_str!("../../template.yaml");
        let declared = template.lines().filter_map(|line| line.trim().strip_prefix("Binary: "));
        let mut declared: Vec<&str> = declared.collect();
        declared.sort_unstable();
        let here: Vec<&str> = FUNCTIONS.iter().map(|(name, _)| *name).collect();
        assert_eq!(declared, here);
    }
}
