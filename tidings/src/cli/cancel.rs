//! `tidings cancel`: cancels a message.

use super::target::{self, ApiArgs};
use sam_twin::cli::failure::Failure;
use sam_twin::cli::output;

/// The message to cancel.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The request id that `send` printed
    id: String,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    api: ApiArgs,
}

const EXAMPLES: &str = "\
Examples:
  tidings cancel 0196f0a1-5c5e-7b1e-9d0c-3f6f0b1f2a3b

A message that is to be sent later is not sent. A message that was sent causes no further fallback step, redelivery or
replay; what a device has shown stays shown.";

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let api = args.api.resolve()?;
    let answer = api.backend.cancel(&args.id).await.map_err(target::failure)?;
    if args.json {
        output::pretty_json(&answer)?;
    } else {
        output::line(format_args!("cancelled at {}", answer.cancelled_at))?;
    }
    Ok(())
}
