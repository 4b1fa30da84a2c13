//! The search for a file upwards from the current folder, so that commands work in the folders below it, too.

use std::path::{Path, PathBuf};

/// The path of `name` in the current folder, or in the nearest one above that has it. In the current folder it is
/// relative.
#[must_use]
pub fn nearest(name: &str) -> Option<PathBuf> {
    let here = PathBuf::from(name);
    if here.is_file() {
        return Some(here);
    }
    let current = std::env::current_dir().ok()?;
    above(&current, name)
}

/// Searches the folders above. The search ends at a folder that is writable for all users, such as `/tmp`: any of them
/// may have put the file there.
fn above(folder: &Path, name: &str) -> Option<PathBuf> {
    let folders = folder.ancestors().skip(1).take_while(|folder| !is_world_writable(folder));
    folders.map(|folder| folder.join(name)).find(|path| path.is_file())
}

#[cfg(unix)]
fn is_world_writable(folder: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    folder.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o002 != 0)
}

#[cfg(not(unix))]
fn is_world_writable(_: &Path) -> bool {
    false
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_nearest_above_is_found_and_not_beyond_a_folder_of_everybody() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("one/two/three");
        fs::create_dir_all(&inner).unwrap();
        fs::write(root.path().join("file"), "").unwrap();
        assert_eq!(above(&inner, "file"), Some(root.path().join("file")));
        fs::write(root.path().join("one/file"), "").unwrap();
        assert_eq!(above(&inner, "file"), Some(root.path().join("one/file")));
        assert_eq!(above(&inner, "none"), None);
        fs::set_permissions(root.path().join("one/two"), Permissions::from_mode(0o777)).unwrap();
        assert_eq!(above(&inner, "file"), None);
    }
}
