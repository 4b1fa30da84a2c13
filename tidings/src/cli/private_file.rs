//! Files that hold keys, for commands.

use std::io;
use std::path::Path;

use sam_twin::cli::failure::{Context, Failure};
use sam_twin::private_file;

/// Writes `text` to `path`, for its owner alone and in one step.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    private_file::write(path, text.as_bytes()).context(|| format!("write {}", path.display()))
}

/// Reads `path`; `None` if there is no such file.
pub(crate) fn read(path: &Path) -> Result<Option<String>, Failure> {
    match std::fs::read(path) {
        Ok(bytes) => tidings_text::decode(bytes).map(Some).context(|| format!("read {}", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::new(format!("read {}", path.display())).because(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_what_is_absent_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made/here/key.json");
        write(&path, "two").unwrap();
        assert_eq!(read(&path).unwrap().as_deref(), Some("two"));
        assert!(read(&folder.path().join("absent")).unwrap().is_none());
    }

    #[test]
    fn a_file_that_an_editor_has_marked_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("device.json");
        std::fs::write(&path, "\u{feff}{}").unwrap();
        assert_eq!(read(&path).unwrap().as_deref(), Some("{}"));
        std::fs::write(&path, b"\xff\xfe{\0}\0").unwrap();
        let report = read(&path).unwrap_err().report("tidings");
        assert!(report.contains("UTF-16"), "{report}");
    }
}
