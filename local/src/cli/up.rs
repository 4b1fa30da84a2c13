//! `tidings up`: the twin until Ctrl-C.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use tidings_crypto::app_key::AppKey;
use tidings_crypto::random;
use tidings_store::Directory;

use super::failure::{Context, Failure};
use super::faults::FaultArgs;
use super::session::Session;
use super::start::{self, TwinArgs};
use super::style::Style;
use super::{aws, private_file};
use crate::stack::{Twin, TwinOptions, interrupted};

/// Where the twin listens and what it keeps.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Port of the HTTP API; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 7400)]
    http_port: u16,
    /// Port of the WebSocket API; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 7401)]
    socket_port: u16,
    /// Port of what plays DynamoDB, SQS, SES, SNS, Secrets Manager and @connections; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 7402)]
    aws_port: u16,
    /// Port of the console, a page that shows what the twin has; 0 takes a free one [default: 7403, or a free one where the
    /// HTTP API takes one]
    #[arg(long, value_name = "PORT")]
    console_port: Option<u16>,
    /// Port of what plays APNs, FCM, Web Push, Mi Push and a webhook; 0 takes a free one [default: 7404, or a free one where the
    /// HTTP API takes one]
    #[arg(long, value_name = "PORT")]
    providers_port: Option<u16>,
    /// Credentials that the push providers know, as `tidings app providers` takes them; every app has them that was given none
    /// of its own [default: made]
    #[arg(long, value_name = "FILE")]
    providers: Option<PathBuf>,
    /// Address to listen at; anything but loopback lets others in, and the twin checks no AWS signatures
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    address: IpAddr,
    /// Folder that keeps what was accepted, whatever happens to the twin [default: memory]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// What to log: error, warn, info, debug, or a filter such as warn,tidings_local=debug
    #[arg(long, default_value = "info")]
    log: String,
    #[command(flatten)]
    twin: TwinArgs,
    #[command(flatten)]
    faults: FaultArgs,
}

const EXAMPLES: &str = "\
Examples:
  tidings up                                on ports 7400 to 7404, in memory; open the console in a browser
  tidings up --data .tidings/data           keep everything; `kill -9` loses nothing that was accepted
  tidings up --http-port 0 --socket-port 0 --aws-port 0
  cargo lambda build --release && tidings up --artefacts target/lambda
  tidings up --faults all --retry-after 1   a bad day in the cloud; --help lists the faults

Other programs reach what plays AWS with AWS_ENDPOINT_URL=http://127.0.0.1:7402 and any credentials. What the functions
sent by SMS, email and push is at http://127.0.0.1:7402/_tidings/outbox; what is to go wrong with pushes is put to
http://127.0.0.1:7404/_tidings/rules.";

/// Where the console is, unless the arguments say otherwise.
const CONSOLE_PORT: u16 = 7403;

/// Where the push providers are, unless the arguments say otherwise.
const PROVIDERS_PORT: u16 = 7404;

/// The demo app's id.
const DEMO: &str = "demo";

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    super::log(&args.log)?;
    let data = args.data.clone();
    // Who takes a free port for the API runs a second twin, and wants no port that the first one has.
    let usual = |port| if args.http_port == 0 { 0 } else { port };
    let options = TwinOptions {
        address: args.address,
        api_port: args.http_port,
        socket_port: args.socket_port,
        aws_port: args.aws_port,
        console_port: Some(args.console_port.unwrap_or(usual(CONSOLE_PORT))),
        providers_port: args.providers_port.unwrap_or(usual(PROVIDERS_PORT)),
        providers: args.providers,
        data: args.data,
        ..args.twin.options()?
    };
    let options = args.faults.apply(options)?;
    let twin = Twin::start(options).await.map_err(|error| {
        let failure = Failure::from(error);
        if failure.reason().contains("in use") {
            failure.hint("another twin? --http-port 0 takes a free port, and so do the others")
        } else {
            failure
        }
    })?;
    start::show_logs(&twin);
    let style = Style::of_stdout();
    let first_steps = match start::directory_table(&twin) {
        Ok(directory_table) => match prepare(&twin, data.as_deref(), directory_table).await {
            Ok(session) => first_steps(&session, style),
            Err(failure) => {
                twin.shutdown().await;
                return Err(failure);
            }
        },
        // Any template with functions behind gateways runs here; only ours has apps.
        Err(_) => "\nThe template has no output DirectoryTableName, so no demo app is made.\n".to_owned(),
    };
    // The last line is told when everything is ready: whoever waits for it finds the session written.
    print!("{}{first_steps}Ctrl-C stops it.\n\n", urls(&twin, style));
    interrupted().await?;
    eprintln!("\nstopping…");
    twin.shutdown().await;
    eprintln!("stopped");
    Ok(())
}

/// Makes the demo app and tells the other terminals where everything is.
async fn prepare(twin: &Twin, data: Option<&Path>, directory_table: String) -> Result<Session, Failure> {
    let directory = aws::directory(Some(twin.aws_url()), &directory_table).await;
    let key = demo_app(&directory, data).await?;
    let session = Session {
        api_url: twin.api_url(),
        socket_url: twin.socket_url(),
        aws_url: twin.aws_url().to_owned(),
        providers_url: twin.providers().url().to_owned(),
        directory_table,
        provider_secrets: start::provider_secrets(twin),
        app_id: key.app_id().to_owned(),
        app_key: key.expose().to_owned(),
    };
    session.write()?;
    twin.introduce(&session.app_id, &session.app_key);
    Ok(session)
}

/// The demo app, made once. Its key stays the same over restarts, so that a shell that has it keeps it.
async fn demo_app(directory: &Directory, data: Option<&Path>) -> Result<AppKey, Failure> {
    let kept = data.map(|folder| folder.join("demo-app.key"));
    let known = match &kept {
        Some(file) => private_file::read(file)?,
        None => Session::read()?.map(|session| session.app_key),
    };
    let known = known.and_then(|text| AppKey::parse(text.trim()).ok());
    let mut key = match known {
        Some(key) => key,
        None => AppKey::generate(DEMO, random::bytes()?).context(|| "make the demo app's key".to_owned())?,
    };
    if !aws::put_app(directory, &key, "Demo", Vec::new()).await? {
        let app = directory.app(&key.app_id().parse()?).await?;
        let is_its_key = app.is_some_and(|app| app.key_hashes.iter().any(|hash| key.matches(hash)));
        if !is_its_key {
            // Its key was shown once and lost; the app itself stays with whoever uses it.
            let id = format!("{DEMO}-{}", random::id()?);
            key = aws::create_app(directory, &id, "Demo", Vec::new()).await?;
        }
    }
    if let Some(file) = kept {
        private_file::write(&file, key.expose())?;
    }
    Ok(key)
}

fn row(name: &str, value: &str) -> String {
    format!("  {name:<11}{value}\n")
}

fn urls(twin: &Twin, style: Style) -> String {
    let mut text = format!("\n{}\n\n", style.bold("The twin is up."));
    if let Some(url) = twin.console_url() {
        text += &row("console", &style.bold(url));
    }
    text += &row("HTTP API", &twin.api_url());
    text += &row("WebSocket", &twin.socket_url());
    text += &row("AWS", twin.aws_url());
    text += &row("providers", twin.providers().url());
    if let Some(plan) = twin.faults().plan() {
        // Whoever wants the same day again needs both.
        let rates: Vec<String> = plan.rates.iter().map(|(fault, rate)| format!("{fault}={rate}")).collect();
        text += &row("faults", &format!("--fault-seed {} --faults {}", plan.seed, rates.join(",")));
    }
    text
}

fn first_steps(session: &Session, style: Style) -> String {
    let mut text = row("demo app", &session.app_id);
    text += &row("its key", &session.app_key);
    text += "\nOpen the console in a browser, or go on in other terminals in this folder:\n\n";
    text += &format!("  {}\n", style.bold("tidings listen --alias alice"));
    text += &format!("  {}\n", style.bold("tidings send --to alice --alert 'Hello'"));
    text += "\nIf `tidings` is not on your path: cargo run -q -- listen --alias alice\n";
    text
}
