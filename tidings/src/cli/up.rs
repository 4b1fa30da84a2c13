//! `tidings up`: the twin until Ctrl-C.

use std::path::{Path, PathBuf};

use sam_twin::cli::failure::{Context, Failure};
use sam_twin::cli::faults::FaultArgs;
use sam_twin::cli::options::{self, ListenArgs, TwinArgs};
use sam_twin::cli::style::Style;
use sam_twin::cli::{addresses, faults_row, logs, row, stay_up};
use sam_twin::stack::{Twin, interruption};
use tidings_crypto::app_key::AppKey;
use tidings_crypto::random;
use tidings_store::Apps;

use super::session::{Session, demo_key_file};
use super::{aws, private_file, start};
use crate::additions::Additions;
use crate::providers::ProvidersOptions;

/// The addresses of the twin and the data that it keeps.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    listen: ListenArgs,
    /// Port of the push providers' emulation (APNs, FCM, Web Push, Mi Push and a webhook); 0 takes a free one [default:
    /// the first port + 4, or a free one if the HTTP API takes one]
    #[arg(long, value_name = "PORT", value_parser = options::port)]
    providers_port: Option<u16>,
    /// Credentials of the emulated push providers, as `tidings app providers` takes them; apps without credentials use
    /// them too [default: generated]
    #[arg(long, value_name = "FILE")]
    providers: Option<PathBuf>,
    #[command(flatten)]
    twin: TwinArgs,
    #[command(flatten)]
    faults: FaultArgs,
}

const EXAMPLES: &str = "\
Examples:
  tidings up                                on ports 7400 to 7404, in memory; open the console in a browser
  tidings up --data .tidings/data           keep everything; `kill -9` loses nothing that was accepted
  tidings up --ports 0                      on free ports, beside another twin; --ports 7500 takes 7500 to 7504
  cargo lambda build --release && tidings up --artefacts target/lambda
  tidings up --faults all --retry-after 1   with every fault at its usual rate; --help lists them

Other programs reach the emulated AWS services with AWS_ENDPOINT_URL=http://127.0.0.1:7402 and any credentials. What
the functions sent by SMS, email and push is at http://127.0.0.1:7402/_twin/outbox; http://127.0.0.1:7404/_twin/rules
takes rules for failing pushes.";

/// The offset of the push providers' port from the first one, unless the arguments give another.
const PROVIDERS_OFFSET: u16 = 4;

/// The demo app's id.
const DEMO: &str = "demo";

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    logs::log(args.listen.log())?;
    let data = args.listen.data().map(Path::to_path_buf);
    let providers = ProvidersOptions {
        port: args.providers_port.unwrap_or(args.listen.usual(PROVIDERS_OFFSET)),
        credentials: args.providers,
    };
    let (options, additions) = start::options(args.twin, providers)?;
    let twin = sam_twin::cli::start(args.faults.apply(args.listen.apply(options))?).await?;
    logs::show_functions(&twin);
    let style = Style::of_stdout();
    let mut session = None;
    let first_steps = match start::directory_table(&twin) {
        Ok(directory_table) => match prepare(&twin, &additions, data.as_deref(), directory_table).await {
            Ok(prepared) => {
                let text = first_steps(&prepared, style);
                session = Some(prepared.session);
                text
            }
            Err(failure) => {
                twin.shutdown().await;
                return Err(failure);
            }
        },
        // Any template with functions behind gateways runs here; only that of Tidings has apps.
        Err(_) => "\nThe template has no output DirectoryTableName, so no demo app is made.\n".to_owned(),
    };
    let interrupted = interruption()?;
    // The last line is printed when everything is ready: a script that waits for it finds the session.
    let text = format!("{}{first_steps}Ctrl-C stops it.\n\n", urls(&twin, &additions, style));
    let stayed = stay_up(twin, &text, interrupted).await;
    session.map_or(Ok(()), |session| session.give_back())?;
    stayed
}

/// Creates the demo app and writes the session for other terminals.
async fn prepare(
    twin: &Twin,
    additions: &Additions,
    data: Option<&Path>,
    directory_table: String,
) -> Result<Prepared, Failure> {
    let seal_key = start::seal_key(twin);
    let apps = aws::apps(Some(twin.aws_url()), &directory_table, seal_key.as_deref()).await;
    let key = demo_app(&apps, data).await?;
    let session = Session {
        api_url: twin.api_url(),
        socket_url: twin.socket_url(),
        aws_url: twin.aws_url().to_owned(),
        providers_url: additions.providers.url().to_owned(),
        directory_table,
        seal_key,
        provider_secrets: start::provider_secrets(twin),
        root_keys: start::root_keys(twin),
        app_id: key.app_id().to_owned(),
        app_key: key.expose().to_owned(),
    };
    let other = session.keep().await?;
    additions.console.introduce(&session.app_id, &session.app_key);
    Ok(Prepared { session, other })
}

/// The session of this twin, and the one of another twin that runs in the same folder.
struct Prepared {
    session: Session,
    other: Option<Session>,
}

/// The demo app, made once. Its key stays the same over restarts, so that a shell can go on using it.
async fn demo_app(apps: &Apps, data: Option<&Path>) -> Result<AppKey, Failure> {
    let kept = data.map_or_else(demo_key_file, |folder| folder.join("demo-app.key"));
    let known = private_file::read(&kept)?;
    let known = known.and_then(|text| AppKey::parse(text.trim()).ok());
    let mut key = match known {
        Some(key) => key,
        None => AppKey::generate(DEMO, random::bytes()?).context(|| "make the demo app's key".to_owned())?,
    };
    // Read first, so that a healthy start makes no request that is refused.
    let is_its_key = match apps.get(&key.app_id().parse()?).await? {
        Some(app) => app.key_hashes.iter().any(|hash| key.matches(hash)),
        None => aws::put_app(apps, &key, "Demo", Vec::new()).await?,
    };
    if !is_its_key {
        // The app's key was shown once and is lost; the app itself stays for those who still use it.
        let id = format!("{DEMO}-{}", random::id()?);
        key = aws::create_app(apps, &id, "Demo", Vec::new()).await?;
    }
    private_file::write(&kept, key.expose())?;
    Ok(key)
}

fn urls(twin: &Twin, additions: &Additions, style: Style) -> String {
    addresses(twin, style) + &row("providers", additions.providers.url()) + &faults_row(twin)
}

fn first_steps(Prepared { session, other }: &Prepared, style: Style) -> String {
    let mut text = row("demo app", &session.app_id);
    text += &row("its key", &session.app_key);
    if let Some(other) = other {
        let Session { api_url, socket_url, app_key, .. } = session;
        text += &format!(
            "\nThe twin at {} runs in this folder, too: commands without a URL talk to that one.\n",
            other.api_url
        );
        text += "To talk to this one, in another terminal:\n\n";
        text += &format!("  export TIDINGS_API_URL={api_url} TIDINGS_SOCKET_URL={socket_url}\n");
        return text + &format!("  export TIDINGS_APP_KEY={app_key}\n\n");
    }
    text += "\nOpen the console in a browser, or go on in other terminals in this folder:\n\n";
    text += &format!("  {}\n", style.bold("tidings listen --alias alice"));
    text += &format!("  {}\n", style.bold("tidings send --to alice --alert 'Hello'"));
    text += "\nIf `tidings` is not on your path: cargo run -q -- listen --alias alice\n";
    text
}
