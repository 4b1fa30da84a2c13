//! `tidings preferences`: what a user wants to be told of.

use clap::builder::{NonEmptyStringValueParser, TypedValueParser};
use tidings_wire::{Preferences, json};

use super::target::{self, ApiArgs};
use sam_twin::cli::failure::Failure;
use sam_twin::cli::output;

/// Whose, and what is new.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Name of the user in the app
    #[arg(value_parser = NonEmptyStringValueParser::new().try_map(|text| super::alias(&text)))]
    alias: String,
    /// The user's tenant
    #[arg(long, value_name = "CODE")]
    tenant: Option<String>,
    /// Set these, in place of all that was set before; without it they are shown
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
            api.backend.set_preferences(&args.alias, tenant, &wanted).await.map_err(target::told)?
        }
        None => api.backend.preferences(&args.alias, tenant).await.map_err(target::told)?,
    };
    output::pretty_json(&preferences)
}

fn read(text: &str) -> Result<Preferences, String> {
    let object = json::object(text.as_bytes()).map_err(|error| format!("--set: {error}"))?;
    Preferences::parse(object).map_err(|problems| {
        let told: Vec<_> = problems.iter().map(|problem| format!("`{}` {}", problem.field, problem.detail)).collect();
        format!("--set: {}", told.join("; "))
    })
}
