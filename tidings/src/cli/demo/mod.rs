//! `tidings demo`: one message that is delivered and one that falls back, checked step by step.
//!
//! Every step waits for its condition, never for time to pass. The demo reads nothing inside the twin: it sees what any
//! backend and any device would see, so it also runs against a deployment elsewhere.

mod outbox;
mod story;
mod watch;

use std::time::Duration;

use sam_twin::cli::failure::Failure;
use sam_twin::cli::logs;
use sam_twin::cli::options::TwinArgs;
use sam_twin::cli::output;
use sam_twin::cli::style::Style;
use sam_twin::stack::Twin;
use tidings_client::TokenIn;

use self::outbox::{Outbox, OutboxKind};
use self::story::{Completed, Story};
use super::start;
use crate::providers::ProvidersOptions;

/// The deployment of the story, and its options.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// HTTP API of a deployment that runs already [default: a new twin, in memory, on free ports]
    #[arg(long, value_name = "URL", requires_all = ["socket_url", "directory_table"], help_heading = "Deployment")]
    api_url: Option<String>,
    /// Its WebSocket API
    #[arg(long, value_name = "URL", requires = "api_url", help_heading = "Deployment")]
    socket_url: Option<String>,
    /// Its table of apps (output DirectoryTableName)
    #[arg(long, value_name = "TABLE", requires = "api_url", help_heading = "Deployment")]
    directory_table: Option<String>,
    /// Its KMS key (output SealKeyArn), if it seals at rest
    #[arg(long, value_name = "KEY", requires = "api_url", help_heading = "Deployment")]
    seal_key: Option<String>,
    /// URL of an AWS emulator [default: AWS itself, with your credentials]
    #[arg(long, value_name = "URL", requires = "api_url", help_heading = "Deployment")]
    aws_endpoint: Option<String>,
    /// Outbox in which SMS and email are checked: a twin's, ministack's, or only the trail
    #[arg(long, value_enum, default_value_t = OutboxKind::Trail, requires = "api_url", help_heading = "Deployment")]
    outbox: OutboxKind,
    /// Phone number that gets the SMS; on AWS itself, use your own
    #[arg(long, default_value = "+8613800138000")]
    mobile: String,
    /// Address that gets the email; on AWS itself, use your own
    #[arg(long, default_value = "alice@example.com")]
    email: String,
    /// Seconds that each step may take
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    step_timeout: u64,
    /// Level of the log: error, warn, info, debug, or a filter
    #[arg(long, default_value = "error")]
    log: String,
    #[command(flatten)]
    twin: TwinArgs,
}

const EXAMPLES: &str = "\
Examples:
  tidings demo
  tidings demo --artefacts target/lambda    with the artefacts of `cargo lambda build --release`
  tidings demo --api-url http://127.0.0.1:7400 --socket-url ws://127.0.0.1:7401/prod \\
    --aws-endpoint http://127.0.0.1:7402 --directory-table TABLE --outbox tidings

The exit code is 0 only if every step truly happened.";

/// The deployment of the story.
pub(crate) struct Stage {
    pub(crate) api_url: String,
    pub(crate) socket_url: String,
    pub(crate) aws_endpoint: Option<String>,
    pub(crate) directory_table: String,
    pub(crate) seal_key: Option<String>,
    pub(crate) outbox: Outbox,
    pub(crate) token_in: TokenIn,
    pub(crate) mobile: String,
    pub(crate) email: String,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    logs::log(&args.log)?;
    let mut story = Story::new(Duration::from_secs(args.step_timeout), Style::of_stdout());
    let twin = match args.api_url {
        Some(_) => None,
        None => Some(own_twin(&args, &mut story).await?),
    };
    let result = match stage(args, twin.as_ref()) {
        Ok(stage) => tokio::select! {
            result = story.run(&stage) => result,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                Err(Failure::new("interrupted"))
            }
        },
        Err(failure) => Err(failure),
    };
    if let Some(twin) = twin {
        twin.shutdown().await;
    }
    let Completed { steps, took } = result?;
    let happened = story.style().good(&format!("All {steps} steps happened, in {:.1} s.", took.as_secs_f64()));
    output::line(format_args!("\n{happened}"))
}

async fn own_twin(args: &Args, story: &mut Story) -> Result<Twin, Failure> {
    let (options, _) = start::options(args.twin.clone(), ProvidersOptions::default())?;
    story
        .step("a twin starts, in memory", async |_| {
            let twin = Twin::start(options).await?;
            logs::show_functions(&twin);
            let detail = format!("{}, {}", twin.api_url(), twin.socket_url());
            Ok((twin, detail))
        })
        .await
}

fn stage(args: Args, twin: Option<&Twin>) -> Result<Stage, Failure> {
    let (mobile, email) = (args.mobile, args.email);
    if let Some(twin) = twin {
        return Ok(Stage {
            api_url: twin.api_url(),
            socket_url: twin.socket_url(),
            aws_endpoint: Some(twin.aws_url().to_owned()),
            directory_table: start::directory_table(twin)?,
            seal_key: start::seal_key(twin),
            outbox: Outbox::new(OutboxKind::Tidings, Some(twin.aws_url()))?,
            token_in: TokenIn::Subprotocol,
            mobile,
            email,
        });
    }
    let missing = |flag: &str| Failure::new(format!("{flag} is missing"));
    Ok(Stage {
        api_url: args.api_url.ok_or_else(|| missing("--api-url"))?,
        socket_url: args.socket_url.ok_or_else(|| missing("--socket-url"))?,
        outbox: Outbox::new(args.outbox, args.aws_endpoint.as_deref())?,
        aws_endpoint: args.aws_endpoint,
        directory_table: args.directory_table.ok_or_else(|| missing("--directory-table"))?,
        seal_key: args.seal_key,
        // ministack does not pass a function's headers on to the handshake.
        token_in: if args.outbox == OutboxKind::Ministack { TokenIn::Query } else { TokenIn::Subprotocol },
        mobile,
        email,
    })
}
