//! Files that hold keys: readable by their owner only, and replaced in one step.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::de::DeserializeOwned;

/// Reads a JSON file; the default if there is none.
///
/// # Errors
/// If the file cannot be read or has another content. The error names the file.
pub fn read_json<T: DeserializeOwned + Default>(path: &Path) -> io::Result<T> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    match fs::read(path) {
        Ok(bytes) => {
            serde_json::from_slice(&bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, named(&error)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(T::default()),
        Err(error) => Err(io::Error::new(error.kind(), named(&error))),
    }
}

/// Writes a file of mode 0600, completely or not at all, in a folder of mode 0700 that is created if needed.
///
/// # Errors
/// If the folder or the file cannot be written.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
    }
    // A crash in between leaves the old file, not half of the new one.
    let unfinished = unfinished(path);
    let written = write_new(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, path));
    if written.is_err() {
        // The failure is reported; the rest of the file is useless.
        let _ = fs::remove_file(&unfinished);
    }
    written
}

/// A name beside `path` that no other writer uses: neither another process nor another thread of this one.
fn unfinished(path: &Path) -> PathBuf {
    static WRITES: AtomicU64 = AtomicU64::new(0);
    let write = WRITES.fetch_add(1, Ordering::Relaxed);
    path.with_added_extension(format!("{}-{write}.unfinished", std::process::id()))
}

/// Writes a new file. An existing one is never reused: it has another mode, or may be a link to another file.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = options().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Creates a folder of mode 0700 with its parents, unless it exists.
pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Options that create a file of mode 0600, unless it exists.
pub(crate) fn options() -> fs::OpenOptions {
    let mut options = fs::OpenOptions::new();
    options.create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_the_owner_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made/here/key.json");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn what_was_readable_by_others_is_not_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.json");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        fs::write(&path, "open").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        write(&path, b"closed").unwrap();
        assert_eq!(mode(&path), 0o600);
        // Left by a crash, or put there by another user: a file of another mode, and a link to elsewhere.
        let left = folder.path().join("left");
        fs::write(&left, "open").unwrap();
        fs::set_permissions(&left, fs::Permissions::from_mode(0o666)).unwrap();
        write_new(&left, b"closed").unwrap();
        assert_eq!((mode(&left), fs::read_to_string(&left).unwrap().as_str()), (0o600, "closed"));
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&left, &link).unwrap();
        write_new(&link, b"other").unwrap();
        assert_eq!(fs::read_to_string(&left).unwrap(), "closed");
    }

    #[test]
    fn many_may_write_one_file_and_nothing_is_left_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.json");
        std::thread::scope(|threads| {
            for writer in 0..8_u8 {
                let path = &path;
                threads.spawn(move || (0..20).for_each(|_| write(path, &[b'a' + writer; 4_096]).unwrap()));
            }
        });
        let whole = fs::read(&path).unwrap();
        assert!(whole.len() == 4_096 && whole.iter().all(|byte| *byte == whole[0]));
        assert!(write(folder.path(), b"a folder is there").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left over");
    }
}
