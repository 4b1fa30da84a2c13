//! The deployment whose apps a command is about.

use tidings_store::{Apps, Vault};

use super::aws;
use super::session::Session;
use super::target::HINT;
use sam_twin::cli::failure::Failure;

/// The table that holds the apps.
#[derive(Debug, clap::Args)]
pub(super) struct Deployment {
    /// The deployment's table of apps (output DirectoryTableName) [default: the twin's]
    #[arg(long, env = "TIDINGS_DIRECTORY_TABLE", value_name = "TABLE", help_heading = "Deployment")]
    directory_table: Option<String>,
    /// The KMS key of a deployment that seals at rest (output SealKeyArn) [default: the twin's]
    #[arg(long, env = "TIDINGS_SEAL_KEY", value_name = "KEY", help_heading = "Deployment")]
    seal_key: Option<String>,
    /// URL of an AWS emulator [default: the twin's, or AWS itself if --directory-table is given]
    #[arg(long, env = "AWS_ENDPOINT_URL", value_name = "URL", help_heading = "Deployment")]
    aws_endpoint: Option<String>,
}

impl Deployment {
    pub(super) async fn apps(self) -> Result<Apps, Failure> {
        Ok(self.resolve()?.apps().await)
    }

    pub(super) fn resolve(self) -> Result<Found, Failure> {
        Ok(match (self.aws_endpoint, self.directory_table) {
            (endpoint, Some(table)) => Found { endpoint, table, seal_key: self.seal_key, provider_secrets: None },
            (endpoint, None) => {
                let session = Session::read()?.ok_or_else(|| {
                    Failure::new("no deployment to find apps in").hint(format!("{HINT}, or give --directory-table"))
                })?;
                Found {
                    endpoint: Some(endpoint.unwrap_or(session.aws_url)),
                    table: session.directory_table,
                    seal_key: self.seal_key.or(session.seal_key),
                    provider_secrets: session.provider_secrets,
                }
            }
        })
    }
}

/// A deployment that was found.
pub(super) struct Found {
    /// The URL of the emulator, if AWS is emulated.
    pub(super) endpoint: Option<String>,
    /// The table of apps.
    pub(super) table: String,
    /// The KMS key that wraps their keys, if the deployment seals.
    pub(super) seal_key: Option<String>,
    /// The prefix of the names of their secrets, if the deployment states it.
    pub(super) provider_secrets: Option<String>,
}

impl Found {
    pub(super) async fn vault(&self) -> Vault {
        aws::vault(self.endpoint.as_deref(), &self.table, self.seal_key.as_deref()).await
    }

    pub(super) async fn apps(&self) -> Apps {
        aws::apps(self.endpoint.as_deref(), &self.table, self.seal_key.as_deref()).await
    }
}
