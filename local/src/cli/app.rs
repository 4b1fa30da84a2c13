//! `tidings app`: apps and their keys.

use clap::Subcommand;
use tidings_crypto::random;
use tidings_domain::AppId;
use tidings_domain::fallback::Step;
use tidings_store::Directory;
use tidings_wire::limits;
use tidings_wire::send::FallbackStep;

use super::aws;
use super::failure::Failure;
use super::session::Session;

/// What can be done with apps.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create an app and show its key, once
    Create(Create),
    /// Show or set what happens while nobody confirms a message that says nothing of it
    Chain(Chain),
}

/// Where the apps are.
#[derive(Debug, clap::Args)]
struct Deployment {
    /// The deployment's table of apps (output DirectoryTableName) [default: the twin's]
    #[arg(long, env = "TIDINGS_DIRECTORY_TABLE", value_name = "TABLE", help_heading = "Deployment")]
    directory_table: Option<String>,
    /// Where AWS is played [default: the twin's, or AWS itself where --directory-table is given]
    #[arg(long, env = "AWS_ENDPOINT_URL", value_name = "URL", help_heading = "Deployment")]
    aws_endpoint: Option<String>,
}

impl Deployment {
    async fn directory(self) -> Result<Directory, Failure> {
        let (endpoint, table) = match (self.aws_endpoint, self.directory_table) {
            (endpoint, Some(table)) => (endpoint, table),
            (endpoint, None) => {
                let session = Session::read()?.ok_or_else(|| {
                    Failure::new("no deployment to find apps in")
                        .hint("run `tidings up` in this folder, or give --directory-table")
                })?;
                (Some(endpoint.unwrap_or(session.aws_url)), session.directory_table)
            }
        };
        Ok(aws::directory(endpoint.as_deref(), &table).await)
    }
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
    #[command(flatten)]
    deployment: Deployment,
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
        Command::Chain(chain) => chain.run().await,
    }
}

impl Create {
    async fn run(self) -> Result<(), Failure> {
        let id = match self.id {
            Some(id) => id,
            None => derive_id(&self.name, random::bytes()?),
        };
        let directory = self.deployment.directory().await?;
        let key = aws::create_app(&directory, &id, &self.name, self.origins).await?;
        eprintln!("created the app {id}; this is its key, shown once:");
        println!("{}", key.expose());
        Ok(())
    }
}

/// A chain of an app.
#[derive(Debug, clap::Args)]
#[command(after_help = CHAIN_EXAMPLES)]
pub(crate) struct Chain {
    /// Id of the app
    #[arg(long)]
    id: String,
    /// Only for messages of this category [default: for those that have none of their own]
    #[arg(long)]
    category: Option<String>,
    /// The steps: channels, each with its pause in seconds; without them and --none the chains are shown
    #[arg(long, value_delimiter = ',', value_name = "CHANNEL[:SECONDS]", value_parser = super::send::step)]
    steps: Vec<FallbackStep>,
    /// No steps: for a category, that the general chain ends there
    #[arg(long, conflicts_with = "steps")]
    none: bool,
    #[command(flatten)]
    deployment: Deployment,
}

const CHAIN_EXAMPLES: &str = "\
Examples:
  tidings app chain --id demo --steps sms:60,email:300
  tidings app chain --id demo --category news --none
  tidings app chain --id demo

A message with `fallback` or `smsMessage` has its own chain, and one that is not to be shown (CMD) or not kept has none. A change
takes up to a minute to be seen everywhere.";

impl Chain {
    async fn run(self) -> Result<(), Failure> {
        if self.steps.len() > limits::FALLBACK_STEPS {
            let (many, most) = (self.steps.len(), limits::FALLBACK_STEPS);
            return Err(Failure::new(format!("--steps has {many} of them; the limit is {most}")));
        }
        let longest = *limits::FALLBACK_AFTER_SECONDS.end();
        if self.steps.iter().any(|step| step.after > Some(longest)) {
            return Err(Failure::new(format!("--steps has a pause of more than {longest} seconds")));
        }
        let id: AppId = self.id.parse()?;
        let unknown = || Failure::new(format!("there is no app {:?}", id.as_str()));
        let directory = self.deployment.directory().await?;
        let mut chains = directory.app(&id).await?.ok_or_else(unknown)?.chains;
        if self.none || !self.steps.is_empty() {
            let steps = self.steps.iter().map(|step| Step { channel: step.channel, after: step.after }).collect();
            match self.category {
                Some(category) => drop(chains.categories.insert(category, steps)),
                None => chains.general = steps,
            }
            if !directory.set_chains(&id, &chains).await? {
                return Err(unknown());
            }
        }
        println!("{}", serde_json::to_string_pretty(&chains)?);
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
