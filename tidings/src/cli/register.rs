//! `tidings register`: registers a device and keeps it in a file.

use tidings_wire::Platform;

use super::device_file::{DeviceFile, Reach};
use super::target::ApiArgs;
use sam_twin::cli::failure::Failure;
use sam_twin::cli::output;
use sam_twin::cli::style::printable;

/// The device to register.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Name of the user in the app
    #[arg(long, value_parser = super::alias)]
    alias: String,
    /// Platform of the device: ANDROID, IOS, PC or WEB
    #[arg(long, default_value = "PC", value_parser = platform)]
    platform: Platform,
    /// Token that identifies the device; the same one keeps its device id [default: generated and kept]
    #[arg(long)]
    native_token: Option<String>,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    api: ApiArgs,
}

const EXAMPLES: &str = "\
Examples:
  tidings register --alias alice
  tidings register --alias alice --platform WEB --mobile +8613800138000 --email alice@example.com
  tidings register --alias alice --platform IOS --push '{\"channel\": \"mipush\"}'

The device's two keys are kept in .tidings/devices/alice.json, readable by you only. `tidings listen --alias alice`
is that device.";

/// Parses a device's platform; `ALL` is for sending only.
pub(crate) fn platform(text: &str) -> Result<Platform, String> {
    use tidings_wire::Choice as _;
    Platform::from_word(&text.to_ascii_uppercase())
        .filter(|platform| *platform != Platform::All)
        .ok_or_else(|| "expected ANDROID, IOS, PC or WEB".to_owned())
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let api = args.api.resolve()?;
    let file = DeviceFile::register(&api, &args.alias, args.platform, args.native_token, args.reach).await?;
    let path = file.write()?;
    output::line(&file.registered.id)?;
    let alias = printable(&args.alias);
    output::note(format_args!("registered for {alias}; its keys are in {}", path.display()));
    output::note(format_args!("next: tidings listen --alias {alias}"));
    Ok(())
}
