//! The data folder: where what was accepted outlives the twin.

use std::io;
use std::path::{Path, PathBuf};

use crate::template::Secrets;

/// The data folder, or memory.
#[derive(Debug, Clone)]
pub struct DataFolder(Option<PathBuf>);

/// The data folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("use the data folder {}", folder.display())]
pub struct DataError {
    /// The folder.
    pub folder: PathBuf,
    /// What the system reported.
    #[source]
    pub source: io::Error,
}

impl DataFolder {
    /// The folder, made if needed; memory if there is none.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn open(folder: Option<&Path>) -> Result<Self, DataError> {
        let data = Self(folder.map(Path::to_path_buf));
        folder.map_or(Ok(()), std::fs::create_dir_all).map_err(|source| data.error(source))?;
        Ok(data)
    }

    /// The path of a file in the folder; `None` in memory.
    #[must_use]
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.0.as_ref().map(|folder| folder.join(name))
    }

    /// The secrets that the template generates.
    pub(crate) fn secrets(&self) -> Result<Secrets, DataError> {
        let Some(path) = self.path("secrets.json") else { return Ok(Secrets::in_memory()) };
        Secrets::open(path).map_err(|source| self.error(source))
    }

    /// The error of a file in the folder.
    pub(crate) fn error(&self, source: io::Error) -> DataError {
        DataError { folder: self.0.clone().unwrap_or_default(), source }
    }
}
