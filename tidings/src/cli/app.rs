//! `tidings app`: apps, their keys, their chains and categories, and their push credentials.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use tidings_crypto::encoding::{base64url, hex};
use tidings_crypto::random;
use tidings_domain::chain::Step;
use tidings_domain::{AppId, categories};
use tidings_providers::{Credentials, Provider, Reach, endpoint::Endpoint};
use tidings_wire::limits;
use tidings_wire::send::{Channel, FallbackStep, paid_too_often};

use super::aws;
use super::deployment::Deployment;
use sam_twin::cli::failure::{Context, Failure};
use sam_twin::cli::output;
use sam_twin::cli::style::printable;

/// The commands on apps.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create an app and show its key, once
    Create(Create),
    /// Show or set the fallback chain of messages that name none
    Chain(Chain),
    /// Show or set which categories its messages and its users' preferences may name
    Categories(CategoriesArgs),
    /// Set an app's push credentials, or show its providers
    Providers(ProvidersArgs),
}

/// The app to create.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Create {
    /// Name of the app, for people
    #[arg(long)]
    name: String,
    /// Id of the app: letters, digits, `-`, `_` [default: made from the name]
    #[arg(long)]
    id: Option<String>,
    /// Origin whose pages may connect, e.g. https://shop.example.com; repeatable [default: any]
    #[arg(long = "origin", value_name = "URL", value_parser = origin)]
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
        Command::Categories(categories) => categories.run().await,
        Command::Providers(providers) => providers.run().await,
    }
}

impl Create {
    async fn run(self) -> Result<(), Failure> {
        let id = match self.id {
            Some(id) => id,
            None => derive_id(&self.name, random::bytes()?),
        };
        let apps = self.deployment.apps().await?;
        let key = aws::create_app(&apps, &id, &self.name, self.origins).await?;
        output::note(format_args!("created the app {id}; this is its key, shown once:"));
        output::line(key.expose())?;
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
    /// Only for messages of this category, one of the app's [default: for those without a chain for their category]
    #[arg(long)]
    category: Option<String>,
    /// The steps: channels, each with its pause in seconds; without them, --none and --unset the chains are shown
    #[arg(long, value_delimiter = ',', value_name = "CHANNEL[:SECONDS]", value_parser = super::send::step)]
    steps: Vec<FallbackStep>,
    /// A chain without steps: messages send no fallback unless they request one
    #[arg(long, conflicts_with = "steps")]
    none: bool,
    /// Remove this category's chain: the general chain applies to it again
    #[arg(long, requires = "category", conflicts_with_all = ["steps", "none"])]
    unset: bool,
    #[command(flatten)]
    deployment: Deployment,
}

const CHAIN_EXAMPLES: &str = "\
Examples:
  tidings app chain --id demo --steps sms:60,email:300
  tidings app chain --id demo --category news --none
  tidings app chain --id demo --category news --unset
  tidings app chain --id demo

A message with `fallback` or `smsMessage` has its own chain, and one that is not to be shown (CMD) or not kept has none.
A change takes up to a minute to be seen everywhere.";

impl Chain {
    async fn run(self) -> Result<(), Failure> {
        if self.steps.len() > limits::FALLBACK_STEPS {
            let (many, most) = (self.steps.len(), limits::FALLBACK_STEPS);
            return Err(Failure::new(format!("--steps has {many} of them; the limit is {most}")));
        }
        if let Some((step, channel)) = Channel::too_often(self.steps.iter().map(|step| step.channel)) {
            return Err(Failure::new(format!("step {} of --steps {}", step + 1, paid_too_often(channel))));
        }
        let longest = *limits::FALLBACK_AFTER_SECONDS.end();
        if self.steps.iter().any(|step| step.after > Some(longest)) {
            return Err(Failure::new(format!("--steps has a pause of more than {longest} seconds")));
        }
        // A category that an older version accepted can still be unset.
        if let Some(category) = self.category.as_deref().filter(|_| !self.unset) {
            check_category(category).map_err(|wrong| Failure::new(format!("--category {category:?}: {wrong}")))?;
        }
        let id: AppId = self.id.parse()?;
        let unknown = || no_app(&id);
        let apps = self.deployment.apps().await?;
        let app = apps.get(&id).await?.ok_or_else(unknown)?;
        let mut chains = app.chains;
        if self.none || self.unset || !self.steps.is_empty() {
            let steps =
                self.steps.iter().map(|step| Step { channel: step.channel.into(), after: step.after }).collect();
            match self.category {
                Some(category) if self.unset => {
                    if chains.categories.remove(&category).is_none() {
                        output::note(format_args!("the category {category:?} has no chain: nothing to unset"));
                    }
                }
                Some(category) => {
                    if let Some(problem) = categories::check(&app.categories, Some(&category)) {
                        return Err(Failure::new(format!("--category {category:?} {}", problem.detail))
                            .hint("declare it first, beside the others, with `tidings app categories --set`"));
                    }
                    chains.categories.insert(category, steps);
                }
                None => chains.general = steps,
            }
            if !apps.set_chains(&id, &chains).await? {
                return Err(unknown());
            }
        }
        output::pretty_json(&chains)?;
        Ok(())
    }
}

/// Whether an app could declare a category of this name.
fn check_category(name: &str) -> Result<(), String> {
    if name.contains(',') {
        return Err("a category that is declared has no comma".to_owned());
    }
    categories::name(name).map(drop)
}

/// The categories of an app.
#[derive(Debug, clap::Args)]
#[command(after_help = CATEGORIES_EXAMPLES)]
pub(crate) struct CategoriesArgs {
    /// Id of the app
    #[arg(long)]
    id: AppId,
    /// Declare these, up to 200, and replace those before; without it and --any they are shown
    #[arg(long, value_delimiter = ',', value_name = "CATEGORY", value_parser = categories::name)]
    set: Vec<String>,
    /// Remove the declaration: any category is accepted, as in an app that has never declared one
    #[arg(long, conflicts_with = "set")]
    any: bool,
    #[command(flatten)]
    deployment: Deployment,
}

const CATEGORIES_EXAMPLES: &str = "\
Examples:
  tidings app categories --id demo
  tidings app categories --id demo --set orders,news
  tidings app categories --id demo --any

Once an app has declared some, a message, an announcement or preferences that name another one are refused. What was
accepted before stays as it is. A change takes up to a minute to be seen everywhere.";

impl CategoriesArgs {
    async fn run(self) -> Result<(), Failure> {
        let wanted = categories::declare(self.set).map_err(|wrong| Failure::new(format!("--set has {wrong}")))?;
        let apps = self.deployment.apps().await?;
        let app = apps.get(&self.id).await?.ok_or_else(|| no_app(&self.id))?;
        let is_change = self.any || !wanted.is_empty();
        if is_change {
            let left_out: Vec<&str> = categories::left_out(&wanted, &app.chains).collect();
            if let [first, ..] = left_out.as_slice() {
                let (left_out, id) = (left_out.join(", "), self.id.as_str());
                return Err(Failure::new(format!("--set leaves out categories that have a chain: {left_out}")).hint(
                    format!("add it, or remove its chain: tidings app chain --id {id} --category {first:?} --unset"),
                ));
            }
            if !apps.set_categories(&self.id, &wanted).await? {
                return Err(no_app(&self.id));
            }
        }
        let declared = if is_change { wanted } else { app.categories };
        if declared.is_empty() {
            output::note(format_args!("the app {} has declared none: any category is accepted", self.id.as_str()));
        }
        for name in declared {
            output::line(printable(&name))?;
        }
        Ok(())
    }
}

/// The credentials of an app.
#[derive(Debug, clap::Args)]
#[command(after_help = providers_examples())]
pub(crate) struct ProvidersArgs {
    /// Id of the app
    #[arg(long)]
    app: AppId,
    /// File with the credentials, - for standard input; without it the app's providers are shown, with the public key
    /// of Web Push
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Stage of the deployment, as its template's parameter Stage has it; --directory-table needs it [default: the
    /// twin's]
    #[arg(long, help_heading = "Deployment")]
    stage: Option<String>,
    #[command(flatten)]
    deployment: Deployment,
}

/// The examples, with a part of the document for each provider.
fn providers_examples() -> String {
    let parts = Provider::ALL.map(|provider| format!("    \"{provider}\": {}", provider.example())).join(",\n");
    format!("{PROVIDERS_BEGIN}\n  {{\n{parts}\n  }}\n{PROVIDERS_END}")
}

const PROVIDERS_BEGIN: &str = "\
Examples:
  tidings app providers --app demo
  tidings app providers --app demo --file credentials.json
  AWS_PROFILE=prod tidings app providers --app shop --file - --stage prod \\
    --directory-table tidings-prod-DirectoryTable-1ABC

The document is one JSON object, and each part of it is optional:
";

const PROVIDERS_END: &str = "
It becomes the secret tidings/<stage>/providers/<app> in Secrets Manager and replaces the one before. A change takes up
to five minutes to be seen everywhere. In the twin, an app without credentials uses the twin's.";

impl ProvidersArgs {
    async fn run(self) -> Result<(), Failure> {
        let found = self.deployment.resolve()?;
        // A guess would overwrite the credentials of another deployment.
        let secrets_of_stage =
            self.stage.map(|stage| format!("tidings/{stage}/providers")).or_else(|| found.provider_secrets.clone());
        let secrets_of_stage = secrets_of_stage.ok_or_else(|| {
            Failure::new("--stage is missing: the name of the secret that has an app's credentials contains the stage")
                .hint("give the template's parameter Stage as the deployment has it, for example --stage prod")
        })?;
        // An emulator may call providers on this machine; AWS itself cannot reach them.
        let reach = if found.endpoint.is_some() { Reach::Anywhere } else { Reach::Public };
        let given = match &self.file {
            Some(file) => {
                let text = document(file)?;
                let credentials = Credentials::parse(&text, reach).context(|| format!("read {}", file.display()))?;
                Some((text, credentials))
            }
            None => None,
        };
        // No function would read the secret of an app that does not exist.
        let apps = found.apps().await;
        apps.get(&self.app).await?.ok_or_else(|| no_app(&self.app))?;
        let secrets = aws::secrets(found.endpoint.as_deref()).await;
        let name = format!("{secrets_of_stage}/{}", self.app.as_str());
        let credentials = match given {
            Some((text, credentials)) => {
                put(&secrets, &name, &text).await?;
                output::note(format_args!("the credentials are in the secret {name}"));
                credentials
            }
            None => match get(&secrets, &name).await? {
                Some(text) => {
                    Credentials::parse(&text, Reach::Anywhere).context(|| format!("read the secret {name}"))?
                }
                None => Credentials::default(),
            },
        };
        let lines = public_parts(&credentials);
        if lines.is_empty() {
            output::note(format_args!("the app {} has no providers", self.app.as_str()));
        }
        for line in lines {
            output::line(line)?;
        }
        Ok(())
    }
}

/// The providers by name, and the key that a page needs to subscribe to Web Push.
fn public_parts(credentials: &Credentials) -> Vec<String> {
    let line = |provider| match (provider, &credentials.webpush) {
        (Provider::Webpush, Some(webpush)) => {
            format!("{provider} publicKey={}", base64url(webpush.key.public().bytes()))
        }
        _ => provider.to_string(),
    };
    credentials.providers().into_iter().map(line).collect()
}

/// The text of a file, or of standard input for `-`, without its byte order mark.
fn document(file: &Path) -> Result<String, Failure> {
    let what = || format!("read {}", file.display());
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        std::io::stdin().read_to_end(&mut bytes).context(what)?;
    } else {
        bytes = std::fs::read(file).context(what)?;
    }
    tidings_text::decode(bytes).context(what)
}

/// Creates a secret, or replaces its value.
async fn put(secrets: &aws_sdk_secretsmanager::Client, name: &str, text: &str) -> Result<(), Failure> {
    let description = "Credentials by which an app of Tidings pushes";
    let created = secrets.create_secret().name(name).description(description).secret_string(text).send().await;
    match created {
        Ok(_) => Ok(()),
        Err(error) if error.as_service_error().is_some_and(|error| error.is_resource_exists_exception()) => {
            let put = secrets.put_secret_value().secret_id(name).secret_string(text).send().await;
            put.map(drop).context(|| format!("put the secret {name}"))
        }
        Err(error) => Err(error).context(|| format!("create the secret {name}")),
    }
}

/// The text of a secret, if there is one.
async fn get(secrets: &aws_sdk_secretsmanager::Client, name: &str) -> Result<Option<String>, Failure> {
    match secrets.get_secret_value().secret_id(name).send().await {
        Ok(answer) => Ok(Some(answer.secret_string.unwrap_or_default())),
        Err(error) if error.as_service_error().is_some_and(|error| error.is_resource_not_found_exception()) => Ok(None),
        Err(error) => Err(error).context(|| format!("read the secret {name}")),
    }
}

fn no_app(id: &AppId) -> Failure {
    Failure::new(format!("there is no app {:?}", id.as_str()))
}

/// An origin as browsers send it. Another spelling would never match.
fn origin(text: &str) -> Result<String, String> {
    if !text.starts_with("http://") && !text.starts_with("https://") {
        // A custom scheme, such as capacitor://localhost, has no canonical spelling; `null` is a page without an
        // origin.
        let is_scheme = text == "null"
            || text.split_once("://").is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty());
        return if is_scheme {
            Ok(text.to_owned())
        } else {
            Err("not an origin such as https://shop.example.com".to_owned())
        };
    }
    let sent = Endpoint::parse(text, Reach::Anywhere).map_err(|wrong| wrong.to_string())?.origin();
    if sent == text { Ok(sent) } else { Err(format!("a browser sends it as {sent}")) }
}

/// A readable id that is unlikely to be taken: the name's letters and digits, and a few random characters.
fn derive_id(name: &str, random: [u8; 3]) -> String {
    let words: Vec<String> = name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    let stem: String = words.join("-").chars().take(40).collect();
    let stem = if stem.is_empty() { "app" } else { stem.trim_end_matches('-') };
    format!("{stem}-{}", hex(&random))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_spelt_as_browsers_send_it() {
        for good in [
            "https://shop.example.com",
            "http://localhost:8080",
            "https://[::1]:8443",
            "capacitor://localhost",
            "chrome-extension://abc",
            "null",
        ] {
            assert_eq!(origin(good).as_deref(), Ok(good));
        }
        for (bad, expected) in [
            ("https://shop.example.com/", "a browser sends it as https://shop.example.com"),
            ("https://shop.example.com/x?y", "a browser sends it as https://shop.example.com"),
            ("https://Shop.example.com", "a browser sends it as https://shop.example.com"),
            ("https://shop.example.com:443", "a browser sends it as https://shop.example.com"),
            (
                "https://shop.example.com:99999",
                "the port of the URL is not a number from 1 to 65535, without zeros before it",
            ),
            (
                "https://shop.example.com:09",
                "the port of the URL is not a number from 1 to 65535, without zeros before it",
            ),
            ("http://localhost:", "the port of the URL is not a number from 1 to 65535, without zeros before it"),
            ("https://a@shop.example.com", "the URL has a user name"),
            ("https://shop.example.com#x", "the URL has a fragment"),
            ("shop.example.com", "not an origin such as https://shop.example.com"),
            ("://x", "not an origin such as https://shop.example.com"),
            ("", "not an origin such as https://shop.example.com"),
        ] {
            assert_eq!(origin(bad), Err(expected.to_owned()), "{bad}");
        }
    }

    #[test]
    fn of_credentials_only_what_a_page_needs_is_shown() {
        let document = crate::providers::document("http://127.0.0.1:7404").unwrap();
        let credentials = Credentials::parse(&document.to_string(), Reach::Anywhere).unwrap();
        let webpush = format!("webpush publicKey={}", document["webpush"]["publicKey"].as_str().unwrap());
        assert_eq!(public_parts(&credentials), ["apns", "fcm", &webpush, "mipush", "webhook"]);
        assert!(public_parts(&Credentials::default()).is_empty());
    }

    #[test]
    fn ids_are_made_from_names() {
        assert_eq!(derive_id("My Shop!", [1, 2, 255]), "my-shop-0102ff");
        assert_eq!(derive_id("商店", [0; 3]), "app-000000");
        assert!(derive_id(&"a ".repeat(100), [0; 3]).parse::<tidings_domain::AppId>().is_ok());
    }
}
