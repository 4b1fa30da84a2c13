//! `.tidings/session.json`: the twin that runs in this folder, for commands in another terminal, which may be in a
//! folder below.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::private_file;
use sam_twin::cli::failure::{Context, Failure};
use sam_twin::cli::nearest::nearest;
use sam_twin::cli::options::TEMPLATE;
use sam_twin::client::Client;

const FILE: &str = ".tidings/session.json";

/// How long a twin of an earlier session may take to answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// The URLs of the twin, and the key of its demo app.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Session {
    pub(crate) api_url: String,
    pub(crate) socket_url: String,
    pub(crate) aws_url: String,
    /// A session of an older twin has none.
    #[serde(default)]
    pub(crate) providers_url: String,
    pub(crate) directory_table: String,
    /// The KMS key that wraps the keys of apps, if the deployment seals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) seal_key: Option<String>,
    /// The prefix of the names of the apps' secrets. A session of an older twin has none.
    #[serde(default)]
    pub(crate) provider_secrets: Option<String>,
    /// The secrets with the root keys. A session of an older twin has none.
    #[serde(default)]
    pub(crate) root_keys: Option<RootKeySecrets>,
    pub(crate) app_id: String,
    pub(crate) app_key: String,
}

/// The names or ARNs of the secrets with the root keys, one a purpose.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RootKeySecrets {
    pub(crate) content: String,
    pub(crate) tokens: String,
    pub(crate) links: String,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("api_url", &self.api_url).field("app_key", &"***").finish_non_exhaustive()
    }
}

impl Session {
    /// The session of the current folder, or of the nearest folder above in which a twin has run.
    pub(crate) fn read() -> Result<Option<Self>, Failure> {
        let Some(path) = nearest(FILE) else { return Ok(None) };
        let Some(text) = private_file::read(&path)? else { return Ok(None) };
        let session = serde_json::from_str(&text).context(|| format!("read {}", path.display()))?;
        Ok(Some(session))
    }

    /// Stores the session beside the nearest template, in this folder or above, or in this folder if there is none. A
    /// session whose twin still runs stays, and is returned.
    pub(crate) async fn keep(&self) -> Result<Option<Self>, Failure> {
        let path = session_file();
        if let Some(text) = private_file::read(&path)?
            // A session that cannot be parsed belongs to no twin.
            && let Ok(other) = serde_json::from_str::<Self>(&text)
            && other.aws_url != self.aws_url
            && other.is_running().await
        {
            return Ok(Some(other));
        }
        private_file::write(&path, &self.text()?)?;
        Ok(None)
    }

    /// Removes the session, if it is still this one: no command looks for a twin that has ended.
    pub(crate) fn give_back(&self) -> Result<(), Failure> {
        let path = session_file();
        if private_file::read(&path)? == Some(self.text()?) {
            std::fs::remove_file(&path).context(|| format!("remove {}", path.display()))?;
        }
        Ok(())
    }

    fn text(&self) -> Result<String, Failure> {
        Ok(format!("{}\n", serde_json::to_string_pretty(self)?))
    }

    /// Whether a twin answers at this session's URL.
    async fn is_running(&self) -> bool {
        let outputs = format!("{}/_twin/outputs", self.aws_url);
        Client::new(ANSWERS_WITHIN).json::<Value>(Method::GET, &outputs).await.is_ok()
    }
}

/// The file of the twin that runs here.
fn session_file() -> PathBuf {
    let template = nearest(TEMPLATE);
    template.as_deref().and_then(Path::parent).unwrap_or(Path::new("")).join(FILE)
}

/// The file of the demo app's key, which outlives a twin without a data folder.
pub(crate) fn demo_key_file() -> PathBuf {
    session_file().with_file_name("demo-app.key")
}

/// The folder `.tidings` of the session, whether it exists or not: related files are beside it, wherever a command
/// runs.
pub(crate) fn folder() -> PathBuf {
    let beside_template = || Some(nearest(TEMPLATE)?.with_file_name(FILE));
    let session = nearest(FILE).or_else(beside_template).unwrap_or_else(|| FILE.into());
    session.parent().unwrap_or(Path::new("")).to_owned()
}
