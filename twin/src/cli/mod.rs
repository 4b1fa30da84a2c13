//! The command line, `sam-twin`, in parts that another command line can use.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`options`] | the template, the ports, the data folder |
//! | [`faults`] | faults, and times that are shorter than on AWS |
//! | [`output`], [`logs`], [`style`] | the output in a terminal |
//! | [`nearest`] | files in the folders above the current one |
//! | [`failure`] | the message of a failed command |

pub mod failure;
pub mod faults;
pub mod logs;
pub mod nearest;
pub mod options;
pub mod output;
pub mod style;

use std::io;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use self::failure::Failure;
use self::faults::FaultArgs;
use self::options::{ListenArgs, TwinArgs};
use self::style::Style;
use crate::descriptors;
use crate::functions::Source;
use crate::stack::{StartError, Twin, TwinOptions, interruption};

/// Serves a SAM template on this machine: its functions, both APIs, and the AWS services that the functions use.
#[derive(Debug, Parser)]
#[command(name = "sam-twin", version, after_help = EXAMPLES)]
struct Args {
    #[command(flatten)]
    listen: ListenArgs,
    #[command(flatten)]
    twin: TwinArgs,
    #[command(flatten)]
    faults: FaultArgs,
}

const PROGRAM: &str = "sam-twin";

const EXAMPLES: &str = "\
Examples:
  sam-twin                                  template.yaml, on ports 7400 to 7403; each CodeUri has a bootstrap
  sam-twin --artefacts .aws-sam/build       the output of `sam build`; that of `cargo lambda build` is in target/lambda
  sam-twin --data .twin                     keep everything; `kill -9` loses nothing that was accepted
  sam-twin --faults all --retry-after 1     inject every kind of fault; --help lists them

Other programs use the twin as AWS with AWS_ENDPOINT_URL=http://127.0.0.1:7402 and any credentials.";

/// The runtime of a program in a terminal, with a thread for each core. It ignores `TOKIO_WORKER_THREADS`, because
/// `tokio` panics if that is not a number.
///
/// # Errors
/// If the system grants no threads.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    tokio::runtime::Builder::new_multi_thread().worker_threads(cores).enable_all().build()
}

/// Runs the command line.
pub async fn run() -> ExitCode {
    match output::arguments(Args::command()) {
        Ok(args) => output::exit_code(serve(args).await, PROGRAM),
        Err(code) => code,
    }
}

async fn serve(args: Args) -> Result<(), Failure> {
    logs::log(args.listen.log())?;
    let source = Source::CodeUri(args.twin.folder());
    let options = args.faults.apply(args.listen.apply(args.twin.options(source)?))?;
    let twin = start(options).await?;
    logs::show_functions(&twin);
    let interrupted = interruption()?;
    let text = format!("{}{}\nCtrl-C stops it.\n\n", addresses(&twin, Style::of_stdout()), faults_row(&twin));
    stay_up(twin, &text, interrupted).await
}

/// Prints the addresses, and stops the twin on an interruption; at once if the text cannot be printed.
///
/// # Errors
/// If standard output cannot be written.
pub async fn stay_up(twin: Twin, text: &str, interrupted: impl Future<Output = ()>) -> Result<(), Failure> {
    let printed = output::print(text);
    if printed.is_ok() {
        interrupted.await;
        output::note("\nstopping…");
    }
    twin.shutdown().await;
    printed?;
    output::note("stopped");
    Ok(())
}

/// Starts a twin, with as many sockets as the system grants.
///
/// # Errors
/// See [`StartError`]. A port that is taken comes with a hint.
pub async fn start(options: TwinOptions) -> Result<Twin, Failure> {
    match descriptors::raise() {
        Ok(limit) => tracing::debug!(limit, "raised the limit of open files and sockets"),
        Err(error) => tracing::warn!(%error, "the limit of open files and sockets stays low"),
    }
    Twin::start(options).await.map_err(|error: StartError| {
        let is_taken = matches!(&error, StartError::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse);
        let failure = Failure::from(error);
        if is_taken {
            failure.hint("another twin? --ports 0 takes free ports, --ports 7500 those from 7500 on")
        } else {
            failure
        }
    })
}

/// One line about the running twin.
#[must_use]
pub fn row(name: &str, value: &str) -> String {
    format!("  {name:<11}{value}\n")
}

/// The addresses of everything that the template has.
#[must_use]
pub fn addresses(twin: &Twin, style: Style) -> String {
    let mut text = format!("\n{}\n\n", style.bold("The twin is up."));
    if let Some(url) = twin.console_url() {
        text += &row("console", &style.bold(url));
    }
    if twin.template().http_api.is_some() {
        text += &row("HTTP API", &twin.api_url());
    }
    if twin.template().websocket_api.is_some() {
        text += &row("WebSocket", &twin.socket_url());
    }
    text + &row("AWS", twin.aws_url())
}

/// The faults that strike by chance, as arguments that repeat them.
#[must_use]
pub fn faults_row(twin: &Twin) -> String {
    let Some(plan) = twin.faults().plan() else { return String::new() };
    let rates: Vec<String> = plan.rates.iter().map(|(fault, rate)| format!("{fault}={rate}")).collect();
    row("faults", &format!("--fault-seed {} --faults {}", plan.seed, rates.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_fit_together() {
        Args::command().debug_assert();
    }
}
