//! The command line, `tidings`. One file per command; each resolves its arguments once, then works.
//!
//! | file | commands |
//! | --- | --- |
//! | `up` | the local twin until Ctrl-C |
//! | `demo` | the whole story of a message, checked step by step |
//! | `root_key` | versions of root keys: listed, added, taken out |
//! | `app` | apps, their keys, chains, categories and credentials |
//! | `register`, `listen` | a device in the terminal |
//! | `send`, `cancel`, `trail`, `announce`, `item`, `preferences` | a backend in the terminal |
//! | `target`, `session` | the deployment to use: flags, environment, or the twin that runs in this folder |

mod announce;
mod app;
mod aws;
mod cancel;
mod demo;
mod deployment;
mod device_file;
mod item;
mod listen;
mod preferences;
mod private_file;
mod register;
mod root_key;
mod send;
mod session;
mod start;
mod target;
mod trail;
mod up;
mod user;

use std::{process::ExitCode, sync::LazyLock};

use clap::{CommandFactory, Parser, Subcommand};
use sam_twin::cli::output;
use tidings_wire::name;

/// Push notifications on AWS Lambda: the local twin of a deployment, and a device and a backend in the terminal.
///
/// Without a command it runs the twin, as `tidings up` does and with the same options.
#[derive(Debug, Parser)]
#[command(name = "tidings", version = version(), after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    up: up::Args,
}

const PROGRAM: &str = "tidings";

/// The program's version, and the version of its time zone data.
fn version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| {
        format!("{} (time zones of {})", env!("CARGO_PKG_VERSION"), tidings_domain::preferences::time_zone_data())
    });
    &VERSION
}

/// Parses the alias of a user and catches typing mistakes; the service checks the rest.
fn alias(text: &str) -> Result<String, String> {
    if name::is_everyone(text) { Err(name::EVERYONE.to_owned()) } else { Ok(text.to_owned()) }
}

const EXAMPLES: &str = "\
Examples:
  tidings                                   run everything here, on loopback; Ctrl-C stops it
  tidings listen --alias alice              in another terminal: a device
  tidings send --to alice --alert 'Hello'   in a third one: a backend; prints the request id
  tidings trail <request id>                what became of it

`tidings help <COMMAND>` describes a command, with examples. The commands find the twin that runs in this folder, or in
one above, by .tidings/session.json. To talk to another deployment, give --api-url, --socket-url and --app-key, or set
TIDINGS_API_URL, TIDINGS_SOCKET_URL and TIDINGS_APP_KEY.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the local twin: the functions, both APIs, and the AWS services that they use
    Up(up::Args),
    /// Run the whole story of a message, step by step, and check that every step happened
    Demo(demo::Args),
    /// Run real clients against a twin with injected faults, and check every guarantee from outside
    Soak(tidings_soak::Args),
    /// Create an app; show or set its chains, categories and push credentials
    #[command(subcommand)]
    App(app::Command),
    /// List, add and retire versions of the root keys
    #[command(subcommand)]
    RootKey(root_key::Command),
    /// Find a user in the logs
    #[command(subcommand)]
    User(user::Command),
    /// Register a device and keep its keys in .tidings/devices
    Register(register::Args),
    /// Act as a device: print each message, acknowledge it, reconnect after every loss
    Listen(listen::Args),
    /// Send a message; prints its request id
    Send(Box<send::Args>),
    /// Cancel a message: steps that have not started yet do not start
    Cancel(cancel::Args),
    /// Send an announcement to everyone, list announcements, or withdraw one
    #[command(subcommand)]
    Announce(announce::Command),
    /// Show, close or open an item that messages are about
    #[command(subcommand)]
    Item(item::Command),
    /// Show the trail of a message
    Trail(trail::Args),
    /// Show or set how a user wants to be notified
    Preferences(preferences::Args),
}

/// The command line. Without a command, the options are those of `up`, whose own help describes them.
fn command_line() -> clap::Command {
    Cli::command().mut_args(|argument| argument.hide(true))
}

/// Runs the command line and returns its exit code.
pub async fn run() -> ExitCode {
    let cli: Cli = match output::arguments(command_line()) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let command = cli.command.unwrap_or(Command::Up(cli.up));
    let ended = match command {
        Command::Up(args) => up::run(args).await,
        Command::Demo(args) => demo::run(args).await,
        Command::Soak(args) => tidings_soak::run(args).await,
        Command::App(command) => app::run(command).await,
        Command::RootKey(command) => root_key::run(command).await,
        Command::User(command) => user::run(command).await,
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

    #[test]
    fn the_arguments_fit_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_of_the_whole_fits_on_a_screen() {
        let help = command_line().render_long_help().to_string();
        assert!(help.lines().count() < 45 && !help.contains("--http-port"), "{help}");
        for command in ["up", "listen", "preferences"] {
            assert!(help.contains(&format!("\n  {command} ")), "{help}");
        }
        let mut up = command_line().find_subcommand("up").unwrap().clone();
        assert!(up.render_long_help().to_string().contains("--http-port"));
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
