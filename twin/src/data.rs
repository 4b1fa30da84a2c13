//! The data folder, which keeps accepted data beyond the life of the twin.
//!
//! It belongs to one twin at a time, and only its owner can read it.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::private_file;
use crate::template::Secrets;

/// The file that a twin locks while it runs, and that names this twin.
const LOCK: &str = "twin.lock";

/// The tables.
const TABLES: &str = "dynamodb.sqlite";

/// Files by which a folder is recognized as a twin's.
const OWN: [&str; 7] =
    [LOCK, TABLES, "sqs.journal", "outbox.journal", "secretsmanager.json", "kms.json", "secrets.json"];

/// The header of every SQLite file.
const SQLITE: &[u8] = b"SQLite format 3\0";

/// The data folder, or memory. A clone is the same folder; dropping the last one unlocks it.
#[derive(Debug, Clone)]
pub struct DataFolder(Option<Arc<Folder>>);

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    /// The locked file: the lock ends with the process, even on a kill.
    _lock: File,
}

/// The reason for which the data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The system refused an operation.
    #[error("use the data folder {}", folder.display())]
    Use {
        /// The folder.
        folder: PathBuf,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
    /// A file in it cannot be read.
    #[error(
        "the data folder {} is damaged: restore it, or move it away and begin with an empty one",
        folder.display()
    )]
    Damaged {
        /// The folder.
        folder: PathBuf,
        /// The error of the file.
        #[source]
        source: io::Error,
    },
    /// Another twin uses it.
    #[error(
        "the data folder {} is in use by another twin ({other}): end that one, or give this one another folder",
        folder.display()
    )]
    InUse {
        /// The folder.
        folder: PathBuf,
        /// The other twin: its process, and the address of its HTTP API.
        other: String,
    },
    /// It holds the data of another template.
    #[error("the data folder {} is of another template, {what}: give this one another folder", folder.display())]
    OtherTemplate {
        /// The folder.
        folder: PathBuf,
        /// The evidence for that.
        what: String,
    },
    /// It holds other files, and none of a twin.
    #[error(
        "the folder {} has other files ({files}) and nothing of a twin: give --data an empty or a new folder",
        folder.display()
    )]
    Foreign {
        /// The folder.
        folder: PathBuf,
        /// Some of the files.
        files: String,
    },
}

impl DataFolder {
    /// Opens the folder: creates it if needed, and locks it. Without a folder, everything is in memory. `twin` is the
    /// address of this twin, which another twin shows if it finds the folder in use.
    ///
    /// # Errors
    /// If another twin uses the folder, if it holds other files only, or if the system refuses access.
    pub fn open(folder: Option<&Path>, twin: &str) -> Result<Self, DataError> {
        let Some(path) = folder else { return Ok(Self(None)) };
        let failed = |source| DataError::Use { folder: path.to_owned(), source };
        private_file::make_folder(path).map_err(failed)?;
        refuse_foreign(path)?;
        let lock = lock(path, twin)?;
        close_to_others(path).map_err(failed)?;
        Ok(Self(Some(Arc::new(Folder { path: path.to_owned(), _lock: lock }))))
    }

    /// The path of a file in the folder; `None` in memory.
    #[must_use]
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.0.as_ref().map(|folder| folder.path.join(name))
    }

    /// The path of the tables' file, which is created empty if needed; `None` in memory.
    pub(crate) fn tables(&self) -> Result<Option<PathBuf>, DataError> {
        let Some(path) = self.path(TABLES) else { return Ok(None) };
        let file = private_file::options().read(true).append(true).open(&path).map_err(|error| self.error(error))?;
        let mut begin = Vec::new();
        let read = file.take(SQLITE.len() as u64).read_to_end(&mut begin);
        read.map_err(|error| self.error(error))?;
        if !begin.is_empty() && begin != SQLITE {
            let message = format!("{} is no SQLite database", path.display());
            return Err(self.error(io::Error::new(io::ErrorKind::InvalidData, message)));
        }
        Ok(Some(path))
    }

    /// The secrets that the template generates.
    pub(crate) fn secrets(&self) -> Result<Secrets, DataError> {
        let Some(path) = self.path("secrets.json") else { return Ok(Secrets::in_memory()) };
        Secrets::open(path).map_err(|source| self.error(source))
    }

    /// The error of a folder that holds the data of another template.
    pub(crate) fn other_template(&self, what: String) -> DataError {
        let folder = self.0.as_ref().map(|folder| folder.path.clone()).unwrap_or_default();
        DataError::OtherTemplate { folder, what }
    }

    /// The error of a file in the folder.
    pub(crate) fn error(&self, source: io::Error) -> DataError {
        let folder = self.0.as_ref().map(|folder| folder.path.clone()).unwrap_or_default();
        match source.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => DataError::Damaged { folder, source },
            _ => DataError::Use { folder, source },
        }
    }
}

/// Refuses a folder that has files, but none of a twin.
fn refuse_foreign(folder: &Path) -> Result<(), DataError> {
    let failed = |source| DataError::Use { folder: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        if OWN.contains(&name.as_str()) {
            return Ok(());
        }
        // Files that the system or an editor leaves in every folder do not count.
        if !name.starts_with('.') && name != "lost+found" {
            files.push(name);
        }
    }
    if files.is_empty() {
        return Ok(());
    }
    files.sort();
    files.truncate(3);
    Err(DataError::Foreign { folder: folder.to_owned(), files: files.join(", ") })
}

/// Locks a folder for this process, and writes into the lock's file which process it is.
fn lock(folder: &Path, twin: &str) -> Result<File, DataError> {
    let failed = |source| DataError::Use { folder: folder.to_owned(), source };
    let path = folder.join(LOCK);
    let mut file = private_file::options().read(true).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::Error(source)) => return Err(failed(source)),
        Err(TryLockError::WouldBlock) => {
            let mut other = String::new();
            // Enough to find the other twin.
            let _ = file.take(200).read_to_string(&mut other);
            return Err(DataError::InUse { folder: folder.to_owned(), other: other.trim().to_owned() });
        }
    }
    let write = |file: &mut File| {
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        writeln!(file, "process {}, {twin}", std::process::id())
    };
    write(&mut file).map_err(failed)?;
    Ok(file)
}

/// Restricts the folder and its files to their owner, which older twins did not.
fn close_to_others(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        for name in OWN {
            match fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o600)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_folder_has_one_twin_and_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        let open = || DataFolder::open(Some(&path), "HTTP API at http://127.0.0.1:7400");
        let first = open().unwrap();
        let refused = open().unwrap_err();
        assert!(matches!(refused, DataError::InUse { .. }));
        let other = format!("(process {}, HTTP API at http://127.0.0.1:7400)", std::process::id());
        assert!(refused.to_string().contains(&other), "{refused}");
        drop(first);
        open().unwrap();
    }

    #[test]
    fn a_folder_with_foreign_files_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".gitignore"), "*").unwrap();
        fs::write(folder.path().join("thesis.txt"), "x").unwrap();
        let refused = DataFolder::open(Some(folder.path()), "").unwrap_err().to_string();
        assert!(refused.contains("has other files (thesis.txt)"), "{refused}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        fs::remove_file(folder.path().join("thesis.txt")).unwrap();
        drop(DataFolder::open(Some(folder.path()), "").unwrap());
        // A twin's folder may have more files, which a program adds.
        fs::write(folder.path().join("more.json"), "x").unwrap();
        DataFolder::open(Some(folder.path()), "").unwrap();
    }

    #[test]
    fn nothing_in_it_is_for_others_to_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("sqs.journal"), "").unwrap();
        fs::set_permissions(path.join("sqs.journal"), fs::Permissions::from_mode(0o644)).unwrap();
        let data = DataFolder::open(Some(&path), "").unwrap();
        data.tables().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o700);
        for name in [LOCK, TABLES, "sqs.journal"] {
            assert_eq!(mode(&path.join(name)), 0o600, "{name}");
        }
    }

    #[test]
    fn a_damaged_file_is_named_with_its_folder_and_the_cure() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(TABLES), "this is no database").unwrap();
        fs::write(folder.path().join("secrets.json"), "{").unwrap();
        let data = DataFolder::open(Some(folder.path()), "").unwrap();
        for error in [data.tables().unwrap_err(), data.secrets().unwrap_err()] {
            let cure = format!("the data folder {} is damaged: restore it, or move it away", folder.path().display());
            assert!(error.to_string().starts_with(&cure), "{error}");
        }
    }
}
