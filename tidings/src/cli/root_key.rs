//! `tidings root-key`: the versions of a deployment's root keys, listed, added and taken out. A value is never printed.

mod set;

use clap::Subcommand;
use tidings_crypto::{encoding::hex, random};

use self::set::{Change, NotPossible, Sets};
use super::aws;
use super::session::{RootKeySecrets, Session};
use super::target::HINT;
use sam_twin::cli::failure::{Context, Failure};
use sam_twin::cli::output;

/// The commands on root keys.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show which versions each set holds
    List(List),
    /// Add the next version to every set, beside the others
    Add(Add),
    /// Take a version out of the sets for content and tokens
    Retire(Retire),
}

/// The secrets with the root keys.
#[derive(Debug, clap::Args)]
struct Deployment {
    /// Secret for content (output ContentRootKeysArn) [default: the twin's]
    #[arg(long, env = "TIDINGS_CONTENT_ROOT_KEYS", value_name = "ARN", help_heading = "Deployment")]
    #[arg(requires_all = ["token_root_keys", "link_root_keys"])]
    content_root_keys: Option<String>,
    /// Secret for tokens (output TokenRootKeysArn) [default: the twin's]
    #[arg(long, env = "TIDINGS_TOKEN_ROOT_KEYS", value_name = "ARN", help_heading = "Deployment")]
    #[arg(requires_all = ["content_root_keys", "link_root_keys"])]
    token_root_keys: Option<String>,
    /// Secret for links (output LinkRootKeysArn) [default: the twin's]
    #[arg(long, env = "TIDINGS_LINK_ROOT_KEYS", value_name = "ARN", help_heading = "Deployment")]
    #[arg(requires_all = ["content_root_keys", "token_root_keys"])]
    link_root_keys: Option<String>,
    /// URL of an AWS emulator [default: the twin's, or AWS itself if the secrets are given]
    #[arg(long, env = "AWS_ENDPOINT_URL", value_name = "URL", help_heading = "Deployment")]
    aws_endpoint: Option<String>,
}

/// The versions of each set.
#[derive(Debug, clap::Args)]
#[command(after_help = LIST_EXAMPLES)]
pub(crate) struct List {
    #[command(flatten)]
    deployment: Deployment,
}

const LIST_EXAMPLES: &str = "\
Examples:
  tidings root-key list                     those of the twin that runs in this folder
  AWS_PROFILE=prod tidings root-key list --content-root-keys ARN --token-root-keys ARN --link-root-keys ARN";

/// A new version.
#[derive(Debug, clap::Args)]
#[command(after_help = ADD_EXAMPLES)]
pub(crate) struct Add {
    #[command(flatten)]
    deployment: Deployment,
}

const ADD_EXAMPLES: &str = "\
Examples:
  tidings root-key add

Devices get keys of the new version when they register; the others keep theirs. No deployment follows: every function
reads the sets within five minutes, and at once if a device names a version that it does not know. If the command breaks
off, it completes the version when it is run again.";

/// A version to take out.
#[derive(Debug, clap::Args)]
#[command(after_help = RETIRE_EXAMPLES)]
pub(crate) struct Retire {
    /// The version
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    version: u32,
    /// Also take it out of the set for links: those in emails sent under it stop working
    #[arg(long)]
    links: bool,
    /// It may be known to others: add a new version if it is the newest, and take it out of every set at once
    #[arg(long, conflicts_with = "links")]
    leaked: bool,
    #[command(flatten)]
    deployment: Deployment,
}

const RETIRE_EXAMPLES: &str = "\
Examples:
  tidings root-key retire 1                 when devices have registered again; the newest version cannot be taken out
  tidings root-key retire 1 --leaked        at once: devices of version 1 have to register again

Within five minutes devices that still use the version are refused with 401 until their app registers them again, and
frames no longer reach their open connections. What they miss waits in their mailboxes.";

pub(crate) async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::List(List { deployment }) => {
            let secrets = deployment.resolve().await?;
            show(&secrets.read().await?)
        }
        Command::Add(Add { deployment }) => {
            let secrets = deployment.resolve().await?;
            secrets.change(Sets::add).await
        }
        Command::Retire(Retire { version, links, leaked, deployment }) => {
            let secrets = deployment.resolve().await?;
            if leaked {
                secrets.change(|sets, secret| sets.withdraw_leaked(version, secret)).await
            } else {
                secrets.change(|sets, _| sets.retire(version, links)).await
            }
        }
    }
}

impl Deployment {
    async fn resolve(self) -> Result<Secrets, Failure> {
        let given = match (self.content_root_keys, self.token_root_keys, self.link_root_keys) {
            (Some(content), Some(tokens), Some(links)) => Some(RootKeySecrets { content, tokens, links }),
            _ => None,
        };
        let (endpoint, names) = match given {
            Some(names) => (self.aws_endpoint, names),
            None => {
                let none = || Failure::new("no deployment to find root keys in");
                let session =
                    Session::read()?.ok_or_else(|| none().hint(format!("{HINT}, or give --content-root-keys")))?;
                let names = session.root_keys.ok_or_else(|| none().hint("start the twin again"))?;
                (Some(self.aws_endpoint.unwrap_or(session.aws_url)), names)
            }
        };
        Ok(Secrets { client: aws::secrets(endpoint.as_deref()).await, names })
    }
}

/// The three secrets of a deployment.
struct Secrets {
    client: aws_sdk_secretsmanager::Client,
    names: RootKeySecrets,
}

impl Secrets {
    /// In the order of [`set::PURPOSES`].
    fn names(&self) -> [&str; 3] {
        let RootKeySecrets { content, tokens, links } = &self.names;
        [content, tokens, links]
    }

    async fn read(&self) -> Result<Sets, Failure> {
        let mut texts = Vec::new();
        for name in self.names() {
            let answer = self.client.get_secret_value().secret_id(name).send().await;
            let answer = answer.context(|| format!("read the secret {name}"))?;
            texts.push(answer.secret_string.unwrap_or_default());
        }
        let texts: [&str; 3] = [&texts[0], &texts[1], &texts[2]];
        Sets::parse(texts).map_err(|(purpose, error)| {
            Failure::new(format!("the secret with the root keys for {purpose} cannot be used")).because(error)
        })
    }

    /// Reads the sets, changes them, stores those that have changed, and shows them.
    async fn change(
        &self,
        change: impl FnOnce(&mut Sets, &dyn Fn() -> Result<String, random::RandomError>) -> Result<Change, NotPossible>,
    ) -> Result<(), Failure> {
        let mut sets = self.read().await?;
        let Change { changed, note } = change(&mut sets, &|| Ok(hex(&random::bytes::<32>()?)))?;
        for (place, name) in self.names().into_iter().enumerate().filter(|(place, _)| changed[*place]) {
            let put = self.client.put_secret_value().secret_id(name).secret_string(sets.text(place));
            put.send().await.context(|| format!("put the secret {name}; run the command again"))?;
        }
        output::note(note);
        show(&sets)
    }
}

fn show(sets: &Sets) -> Result<(), Failure> {
    for (purpose, versions) in sets.versions() {
        let versions: Vec<_> = versions.iter().map(ToString::to_string).collect();
        output::line(format_args!("{purpose:<8} {}", versions.join(", ")))?;
    }
    Ok(())
}
