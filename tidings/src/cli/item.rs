//! `tidings item`: shows, closes and opens an item that messages are about.

use clap::{Subcommand, builder::NonEmptyStringValueParser};

use super::target::{self, ApiArgs};
use sam_twin::cli::failure::Failure;
use sam_twin::cli::output;

/// The commands on items.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show whether an item is open
    Show(Args),
    /// Close an item: messages that depend on it send no more fallbacks
    #[command(after_help = EXAMPLES)]
    Close(Args),
    /// Open an item again
    Open(Args),
}

/// The item.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name of the item in the app, up to 128 characters
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    item: String,
    /// Its tenant
    #[arg(long, value_name = "CODE")]
    tenant: Option<String>,
    #[command(flatten)]
    api: ApiArgs,
}

const EXAMPLES: &str = "\
Examples:
  tidings send --to alice,bob --alert 'Order 4711 waits for you' --fallback email:600,sms:600 --item-open order:4711
  tidings item close order:4711             it is done: the fallbacks that are left are not sent";

pub(crate) async fn run(command: Command) -> Result<(), Failure> {
    let (Args { item, tenant, api }, open) = match command {
        Command::Show(args) => (args, None),
        Command::Close(args) => (args, Some(false)),
        Command::Open(args) => (args, Some(true)),
    };
    let (api, tenant) = (api.resolve()?, tenant.as_deref());
    let answer = match open {
        None => api.backend.item(&item, tenant).await,
        Some(open) => api.backend.set_item(&item, tenant, open).await,
    };
    output::pretty_json(&answer.map_err(target::failure)?)
}
