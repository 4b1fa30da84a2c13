//! The command line, `tidings`. One file per command; each resolves its arguments once, then works.
//!
//! | file | what it is |
//! | --- | --- |
//! | `up` | the local twin until Ctrl-C |
//! | `demo` | the whole story of a message, checked step by step |
//! | `app` | apps, their keys, chains, categories and credentials |
//! | `register`, `listen` | a device in the terminal |
//! | `send`, `cancel`, `trail`, `announce`, `item`, `preferences` | a backend in the terminal |
//! | `target`, `session` | which deployment is meant: flags, environment, or the twin that runs in this folder |

mod announce;
mod app;
mod aws;
mod cancel;
mod demo;
mod device_file;
mod item;
mod listen;
mod preferences;
mod private_file;
mod register;
mod send;
mod session;
mod start;
mod target;
mod trail;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use sam_twin::cli::output;

/// Push notifications on AWS Lambda: the local twin of a deployment, and a device and a backend in the terminal.
///
/// Without a command it runs the twin, as `tidings up` does.
#[derive(Debug, Parser)]
#[command(name = "tidings", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    up: up::Args,
}

const PROGRAM: &str = "tidings";

const EXAMPLES: &str = "\
Examples:
  tidings                                   run everything here, on loopback; Ctrl-C stops it
  tidings demo                              watch one message go all the way, and one that nobody takes
  tidings soak --faults all                 hold it to its promises while everything goes wrong

  In three terminals, in the same folder:
  tidings up
  tidings listen --alias alice              a device
  tidings send --to alice --alert 'Hello'   a backend; prints the request id
  tidings trail <request id>                what became of it

The commands find the twin that runs in this folder, or in one above, by .tidings/session.json. To talk to another deployment, give
--api-url, --socket-url and --app-key, or set TIDINGS_API_URL, TIDINGS_SOCKET_URL and TIDINGS_APP_KEY.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the local twin: the functions, both APIs, and the AWS services that they use
    Up(up::Args),
    /// Run the whole story of a message, step by step, and say whether every step truly happened
    Demo(demo::Args),
    /// Drive real clients against a twin in which things go wrong, and check every promise from outside
    Soak(tidings_soak::Args),
    /// Manage apps
    #[command(subcommand)]
    App(app::Command),
    /// Register a device and keep its keys in .tidings/devices
    Register(register::Args),
    /// Be a device: print each message, acknowledge it, come back after every loss
    Listen(listen::Args),
    /// Send a message; prints its request id
    Send(Box<send::Args>),
    /// Cancel a message: nothing of it begins any more
    Cancel(cancel::Args),
    /// Say something to everyone, list what was said, or withdraw it
    #[command(subcommand)]
    Announce(announce::Command),
    /// Tell or say whether something that messages are about is still open
    #[command(subcommand)]
    Item(item::Command),
    /// Tell what became of a message
    Trail(trail::Args),
    /// Show or set what a user wants to be told of
    Preferences(preferences::Args),
}

/// Runs the command line and says how it ended.
pub async fn run() -> ExitCode {
    let cli: Cli = match output::arguments(PROGRAM) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let command = cli.command.unwrap_or(Command::Up(cli.up));
    let ended = match command {
        Command::Up(args) => up::run(args).await,
        Command::Demo(args) => demo::run(args).await,
        Command::Soak(args) => tidings_soak::run(args).await,
        Command::App(command) => app::run(command).await,
        Command::Register(args) => register::run(args).await,
        Command::Listen(args) => listen::run(args).await,
        Command::Send(args) => send::run(*args).await,
        Command::Cancel(args) => cancel::run(args).await,
        Command::Announce(command) => announce::run(command).await,
        Command::Item(command) => item::run(command).await,
        Command::Trail(args) => trail::run(args).await,
        Command::Preferences(args) => preferences::run(args).await,
    };
    output::exit_code(ended, PROGRAM)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_fit_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn without_a_command_it_is_up() {
        let cli = Cli::try_parse_from(["tidings", "--http-port", "0"]).unwrap();
        assert!(cli.command.is_none());
        assert!(Cli::try_parse_from(["tidings", "--http-port", "0", "demo"]).is_err());
        assert!(matches!(Cli::try_parse_from(["tidings", "up"]).unwrap().command, Some(Command::Up(_))));
    }

    #[test]
    fn every_command_teaches_by_example() {
        for command in Cli::command().get_subcommands() {
            let taught = command.get_after_help().is_some() || command.has_subcommands();
            assert!(taught, "`tidings {} --help` has no example", command.get_name());
        }
    }
}
