//! `.tidings/session.json`: the twin that runs in this folder, for the commands of another terminal.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::private_file;
use sam_twin::cli::failure::{Context, Failure};

const FILE: &str = ".tidings/session.json";

/// Where the twin is, and the key of its demo app.
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
    /// What the names of the apps' secrets begin with. A session of an older twin has none.
    #[serde(default)]
    pub(crate) provider_secrets: Option<String>,
    pub(crate) app_id: String,
    pub(crate) app_key: String,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("api_url", &self.api_url).field("app_key", &"***").finish_non_exhaustive()
    }
}

impl Session {
    /// The session of the current folder, if a twin has run here.
    pub(crate) fn read() -> Result<Option<Self>, Failure> {
        let Some(text) = private_file::read(Path::new(FILE))? else { return Ok(None) };
        let session = serde_json::from_str(&text).context(|| format!("read {FILE}"))?;
        Ok(Some(session))
    }

    pub(crate) fn write(&self) -> Result<(), Failure> {
        private_file::write(Path::new(FILE), &format!("{}\n", serde_json::to_string_pretty(self)?))
    }
}
