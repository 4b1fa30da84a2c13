//! `tidings user`: what an operator asks about one user.

use clap::Subcommand;
use tidings_domain::{AppId, UserKey};

use super::deployment::Deployment;
use sam_twin::cli::failure::Failure;
use sam_twin::cli::output;

/// The commands on users.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the pseudonym that log lines have instead of a user
    Hash(Hash),
}

/// The user to find in the logs.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Hash {
    /// Id of the app
    #[arg(long)]
    app: AppId,
    /// The app's name for the user
    #[arg(long, value_parser = super::alias)]
    alias: String,
    /// The tenant within the app
    #[arg(long, default_value = "", hide_default_value = true)]
    tenant: String,
    #[command(flatten)]
    deployment: Deployment,
}

const EXAMPLES: &str = "\
Examples:
  tidings user hash --app demo --alias alice
  AWS_PROFILE=prod tidings user hash --app shop --alias alice --directory-table tidings-prod-DirectoryTable-1ABC \\
    --seal-key arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab

If the deployment seals at rest, the pseudonym is a keyed hash: computing it takes the app's keyring, and with it the
rights to read the table of apps and to decrypt with the KMS key.";

pub(crate) async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Hash(Hash { app, alias, tenant, deployment }) => {
            let seal = deployment.resolve()?.vault().await.of(&app).await?;
            output::line(seal.pseudonym(&UserKey { app, tenant, alias }))
        }
    }
}
