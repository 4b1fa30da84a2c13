//! `tidings announce`: sends, lists and withdraws announcements.

use clap::Subcommand;
use serde_json::Value;
use tidings_wire::announcement::AnnouncementAnswer;
use tidings_wire::{AnnounceRequest, Content, Platform};

use super::send::json;
use super::target::{self, ApiArgs};
use sam_twin::cli::failure::Failure;
use sam_twin::cli::output;
use sam_twin::cli::style::Style;

/// Announcements.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Command {
    /// Send an announcement to everyone; prints its request id
    Send(Box<Send>),
    /// List the announcements that are kept, newest first
    List(List),
    /// Withdraw an announcement: devices that have not received it yet do not receive it any more
    Withdraw(Withdraw),
}

const EXAMPLES: &str = "\
Examples:
  tidings announce send --alert 'We are open on Sunday, too'
  tidings announce send --alert 'Version 2 is out' --platform IOS --ttl 604800
  tidings announce list
  tidings announce withdraw 0196f0a1-5c5e-7b1e-9d0c-3f6f0b1f2a3b

Connected devices receive it at once, all others when they connect. Announcements are not acknowledged.";

/// The announcement to send.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Send {
    /// Text that is shown
    #[arg(long, required_unless_present = "extra")]
    alert: Option<String>,
    /// The app's own data: any JSON
    #[arg(long, value_name = "JSON", value_parser = json)]
    extra: Option<Value>,
    /// Name of the sender, as shown
    #[arg(long)]
    sender: Option<String>,
    /// Category by which the app lists announcements
    #[arg(long)]
    category: Option<String>,
    /// Only devices of this platform: ANDROID, IOS, PC or WEB
    #[arg(long, value_parser = super::register::platform)]
    platform: Option<Platform>,
    /// Seconds for which it is kept for devices that are not connected, 60 to 2419200 [default: 72 hours]
    #[arg(long, value_name = "SECONDS")]
    ttl: Option<u64>,
    /// Only users of this tenant
    #[arg(long, value_name = "CODE")]
    tenant: Option<String>,
    /// Idempotency key: requests with the same key announce once
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Print the whole answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    api: ApiArgs,
}

/// The announcements to list.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct List {
    /// Only announcements of this tenant
    #[arg(long, value_name = "CODE")]
    tenant: Option<String>,
    /// One line of JSON for each
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    api: ApiArgs,
}

/// The announcement to withdraw.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Withdraw {
    /// The request id that `announce send` printed
    id: String,
    #[command(flatten)]
    api: ApiArgs,
}

pub(crate) async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Send(args) => send(*args).await,
        Command::List(args) => list(args).await,
        Command::Withdraw(args) => withdraw(args).await,
    }
}

async fn send(args: Send) -> Result<(), Failure> {
    let api = args.api.resolve()?;
    let request = AnnounceRequest {
        app_id: Some(api.app_id.clone()),
        tenant_code: args.tenant,
        platform: args.platform,
        content: Content {
            alert: args.alert,
            extra: args.extra,
            sender: args.sender,
            category: args.category,
            ..Content::default()
        },
        ttl: args.ttl,
    };
    let answer = api.backend.announce(&request, args.idempotency_key.as_deref()).await.map_err(target::failure)?;
    if args.json { output::pretty_json(&answer) } else { output::line(answer.request_id) }
}

async fn list(args: List) -> Result<(), Failure> {
    let api = args.api.resolve()?;
    let mut before = None;
    loop {
        let page = api.backend.announcements(args.tenant.as_deref(), before).await.map_err(target::failure)?;
        for announcement in &page.announcements {
            if args.json {
                output::json(announcement)?;
            } else {
                output::line(line(announcement, Style::of_stdout()))?;
            }
        }
        match page.next {
            Some(next) => before = Some(next),
            None => return Ok(()),
        }
    }
}

async fn withdraw(args: Withdraw) -> Result<(), Failure> {
    let api = args.api.resolve()?;
    let answer = api.backend.withdraw(&args.id).await.map_err(target::failure)?;
    output::line(format_args!("withdrawn at {}", answer.withdrawn_at))
}

fn line(announcement: &AnnouncementAnswer, style: Style) -> String {
    let AnnouncementAnswer { request_id, accepted_at, withdrawn_at, posts, content, .. } = announcement;
    let extra = || content.extra.as_ref().map(ToString::to_string);
    let text = content.alert.clone().or_else(extra).unwrap_or_default();
    let state = withdrawn_at.map_or_else(|| format!("{posts} pushed"), |at| format!("withdrawn {at}"));
    format!(
        "{} {}  {}",
        style.faint(&accepted_at.to_string()),
        style.bold(&text),
        style.faint(&format!("({request_id}, {state})"))
    )
}
