//! The deployment of a command: a flag, else the environment, else the twin that runs in this folder.

use std::path::PathBuf;

use clap::Args;
use tidings_client::Backend;
use tidings_crypto::app_key::AppKey;

use super::session::{self, Session};
use sam_twin::cli::failure::{Context, Failure};
use sam_twin::cli::style::printable;

/// The HTTP API and the app.
#[derive(Debug, Clone, Args)]
pub(crate) struct ApiArgs {
    /// HTTP API of the deployment [default: the twin that runs in this folder]
    #[arg(long, env = "TIDINGS_API_URL", value_name = "URL", help_heading = "Deployment")]
    api_url: Option<String>,
    /// Key of the app [default: the demo app of the twin]
    #[arg(long, env = "TIDINGS_APP_KEY", hide_env_values = true, value_name = "KEY", help_heading = "Deployment")]
    app_key: Option<AppKeyArg>,
}

/// An app key on the command line. Does not print.
#[derive(Debug, Clone)]
struct AppKeyArg(AppKey);

impl std::str::FromStr for AppKeyArg {
    type Err = tidings_crypto::app_key::AppKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        AppKey::parse(text).map(Self)
    }
}

/// The WebSocket API.
#[derive(Debug, Clone, Args)]
pub(crate) struct SocketArgs {
    /// WebSocket API of the deployment [default: the twin that runs in this folder]
    #[arg(long, env = "TIDINGS_SOCKET_URL", value_name = "URL", help_heading = "Deployment")]
    socket_url: Option<String>,
}

/// A backend that is ready to send requests.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    pub(crate) backend: Backend,
    pub(crate) app_id: String,
    pub(crate) url: String,
    /// The URL of the twin's AWS services and records, if the deployment is a twin that runs here.
    pub(crate) twin_url: Option<String>,
    /// The folder of its files. A twin that stops removes its session, and the folder stays the same.
    pub(crate) folder: PathBuf,
}

/// How to start a twin that a command finds.
pub(super) const HINT: &str =
    "run `tidings up`, or `cargo run` in the repository, in this folder or one above, in another terminal";

impl ApiArgs {
    pub(crate) fn resolve(self) -> Result<Api, Failure> {
        // A key is valid for one deployment only: URL and key come from the same source.
        let (url, key, twin_url) = match (self.api_url, self.app_key) {
            (Some(url), Some(key)) => (url, key.0, None),
            (Some(_), None) => {
                return Err(Failure::new("--api-url needs the --app-key of an app there")
                    .hint("`tidings app create --name NAME` makes an app and shows its key"));
            }
            (None, key) => {
                let session = Session::read()?.ok_or_else(|| {
                    Failure::new("no deployment to talk to").hint(format!("{HINT}, or give --api-url"))
                })?;
                let given = key.map(|key| key.0);
                let demo = AppKey::parse(&session.app_key).context(|| "read the session's app key".to_owned());
                (session.api_url, given.map_or(demo, Ok)?, Some(session.aws_url))
            }
        };
        let backend = Backend::new(&url, key.expose()).map_err(failure)?;
        Ok(Api { backend, app_id: key.app_id().to_owned(), url, twin_url, folder: session::folder() })
    }
}

impl SocketArgs {
    pub(crate) fn resolve(self) -> Result<String, Failure> {
        match self.socket_url {
            Some(url) => Ok(url),
            None => Session::read()?.map(|session| session.socket_url).ok_or_else(|| {
                Failure::new("no WebSocket API to connect to").hint(format!("{HINT}, or give --socket-url"))
            }),
        }
    }
}

/// The failure of a request, with a hint that may help.
pub(crate) fn failure(error: tidings_client::ApiError) -> Failure {
    use tidings_client::ApiError as E;
    let hint = match &error {
        E::Unreachable { .. } | E::Timeout { .. } => Some(format!("is it running? {HINT}")),
        E::Problem(problem) if problem.status == 401 => {
            Some("check the app key; a twin without --data forgets its apps when it stops".to_owned())
        }
        // The detail already contains a single problem.
        E::Problem(problem) if problem.errors.len() > 1 => {
            let named = problem.errors.iter().map(|at| printable(&format!("{}: {}", at.field, at.detail)));
            let named: Vec<_> = named.collect();
            Some(named.join("\n  "))
        }
        E::BadUrl { .. } => Some("it begins with http:// or https://, as the output ApiUrl does".to_owned()),
        E::Problem(_) | E::Unexpected { .. } | E::BadKey | E::BadName { .. } => None,
    };
    let failure = Failure::from(error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
