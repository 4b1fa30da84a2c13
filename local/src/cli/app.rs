//! `tidings app`: apps and their keys.

use clap::Subcommand;
use tidings_crypto::random;

use super::aws;
use super::failure::Failure;
use super::session::Session;

/// What can be done with apps.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create an app and show its key, once
    Create(Create),
}

/// An app to be.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Create {
    /// What people call the app
    #[arg(long)]
    name: String,
    /// Id of the app: letters, digits, `-`, `_` [default: made from the name]
    #[arg(long)]
    id: Option<String>,
    /// Origin whose pages may connect, e.g. https://shop.example.com; repeatable [default: any]
    #[arg(long = "origin", value_name = "URL")]
    origins: Vec<String>,
    /// The deployment's table of apps (output DirectoryTableName) [default: the twin's]
    #[arg(long, env = "TIDINGS_DIRECTORY_TABLE", value_name = "TABLE", help_heading = "Deployment")]
    directory_table: Option<String>,
    /// Where AWS is played [default: the twin's, or AWS itself where --directory-table is given]
    #[arg(long, env = "AWS_ENDPOINT_URL", value_name = "URL", help_heading = "Deployment")]
    aws_endpoint: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  tidings app create --name Shop            in the twin that runs in this folder
  tidings app create --name Shop --id shop --origin https://shop.example.com
  AWS_PROFILE=prod tidings app create --name Shop --directory-table tidings-prod-DirectoryTable-1ABC

The key is on standard output and nowhere else: Tidings keeps only its hash.";

pub(crate) async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Create(create) => create.run().await,
    }
}

impl Create {
    async fn run(self) -> Result<(), Failure> {
        let id = match self.id {
            Some(id) => id,
            None => derive_id(&self.name, random::bytes()?),
        };
        let (endpoint, table) = match (self.aws_endpoint, self.directory_table) {
            (endpoint, Some(table)) => (endpoint, table),
            (endpoint, None) => {
                let session = Session::read()?.ok_or_else(|| {
                    Failure::new("no deployment to create the app in")
                        .hint("run `tidings up` in this folder, or give --directory-table")
                })?;
                (Some(endpoint.unwrap_or(session.aws_url)), session.directory_table)
            }
        };
        let directory = aws::directory(endpoint.as_deref(), &table).await;
        let key = aws::create_app(&directory, &id, &self.name, self.origins).await?;
        eprintln!("created the app {id}; this is its key, shown once:");
        println!("{}", key.expose());
        Ok(())
    }
}

/// A readable id that is unlikely to be taken: the name's letters and digits, and a few by chance.
fn derive_id(name: &str, random: [u8; 3]) -> String {
    let words: Vec<String> = name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    let stem: String = words.join("-").chars().take(40).collect();
    let stem = if stem.is_empty() { "app" } else { stem.trim_end_matches('-') };
    let [a, b, c] = random;
    format!("{stem}-{a:02x}{b:02x}{c:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_made_from_names() {
        assert_eq!(derive_id("My Shop!", [1, 2, 255]), "my-shop-0102ff");
        assert_eq!(derive_id("商店", [0; 3]), "app-000000");
        assert!(derive_id(&"a ".repeat(100), [0; 3]).parse::<tidings_domain::AppId>().is_ok());
    }
}
