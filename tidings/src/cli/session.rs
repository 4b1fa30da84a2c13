//! `.tidings/session.json`: the twin that runs in this folder, for the commands of another terminal, which may be in a folder
//! below.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::private_file;
use sam_twin::cli::failure::{Context, Failure};
use sam_twin::cli::nearest::nearest;
use sam_twin::cli::options::TEMPLATE;

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
    /// The session of the current folder, or of the nearest one above in which a twin has run.
    pub(crate) fn read() -> Result<Option<Self>, Failure> {
        let Some(path) = nearest(FILE) else { return Ok(None) };
        let Some(text) = private_file::read(&path)? else { return Ok(None) };
        let session = serde_json::from_str(&text).context(|| format!("read {}", path.display()))?;
        Ok(Some(session))
    }

    /// Keeps the session beside the template of this folder or of the nearest one above; without one in this folder.
    pub(crate) fn write(&self) -> Result<(), Failure> {
        let template = nearest(TEMPLATE);
        let folder = template.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
        private_file::write(&folder.join(FILE), &format!("{}\n", serde_json::to_string_pretty(self)?))
    }
}

/// The folder `.tidings` that holds the session, or would: what belongs to it is beside it, wherever a command runs.
pub(crate) fn folder() -> PathBuf {
    let beside_template = || Some(nearest(TEMPLATE)?.with_file_name(FILE));
    let session = nearest(FILE).or_else(beside_template).unwrap_or_else(|| FILE.into());
    session.parent().unwrap_or(Path::new("")).to_owned()
}
