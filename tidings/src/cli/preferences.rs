//! `tidings preferences`: shows and sets how a user wants to be notified.

use clap::builder::{NonEmptyStringValueParser, TypedValueParser};
use tidings_wire::{Preferences, json};

use super::target::{self, ApiArgs};
use sam_twin::cli::failure::Failure;
use sam_twin::cli::output;

/// The user, and the new preferences.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Name of the user in the app
    #[arg(value_parser = NonEmptyStringValueParser::new().try_map(|text| super::alias(&text)))]
    alias: String,
    /// The user's tenant
    #[arg(long, value_name = "CODE")]
    tenant: Option<String>,
    /// Set these, and replace all that was set before; without it they are shown
    #[arg(long, value_name = "JSON")]
    set: Option<String>,
    #[command(flatten)]
    api: ApiArgs,
}

const EXAMPLES: &str = r#"Examples:
  tidings preferences alice
  tidings preferences alice --set '{"channels": {"sms": false}}'
  tidings preferences alice --set '{"categories": {"news": {"muted": true}}}'
  tidings preferences alice --set '{"quietHours": {"from": "22:00", "to": "07:00"}, "timeZone": "Asia/Shanghai"}'
  tidings preferences alice --set '{}'      everything is welcome again"#;

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let api = args.api.resolve()?;
    let tenant = args.tenant.as_deref();
    let preferences = match args.set {
        Some(text) => {
            let wanted = read(&text).map_err(Failure::new)?;
            api.backend.set_preferences(&args.alias, tenant, &wanted).await.map_err(target::failure)?
        }
        None => api.backend.preferences(&args.alias, tenant).await.map_err(target::failure)?,
    };
    output::pretty_json(&preferences)
}

fn read(text: &str) -> Result<Preferences, String> {
    let object = json::object(text.as_bytes()).map_err(|error| format!("--set: {error}"))?;
    Preferences::parse(object).map_err(|problems| {
        let details: Vec<_> =
            problems.iter().map(|problem| format!("`{}` {}", problem.field, problem.detail)).collect();
        format!("--set: {}", details.join("; "))
    })
}
