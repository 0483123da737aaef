//! Files of the state directory that must survive a power cut whole: the old content or the new, never a part of either.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Where the new content is written before it takes the file's name. A crash may leave it; the next write replaces it.
pub fn fresh_path(path: &Path) -> PathBuf {
    with_suffix(path, ".new")
}

/// The path with this after its whole name.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Replaces the file, making its directory if need be. When this returns well, the content survives a power cut; when it
/// does not, what stood there before still stands.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = directory_of(path);
    fs::create_dir_all(directory)?;
    let fresh = fresh_path(path);
    let write = || -> io::Result<()> {
        let mut file = File::create(&fresh)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    };
    write().inspect_err(|_| {
        // It may be what fills the disk.
        let _ = fs::remove_file(&fresh);
    })?;
    sync_directory(directory)
}

/// Gives the file another name in the same directory, through to the disk.
pub fn rename(path: &Path, to: &Path) -> io::Result<()> {
    fs::rename(path, to)?;
    sync_directory(directory_of(to))
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_replaced_file_leaves_nothing_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("made/on/demand/file.json");
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_crash_left_in_the_middle_of_a_write_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file.json");
        replace(&path, b"old").unwrap();
        fs::write(fresh_path(&path), b"a part of somethi").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert!(!fresh_path(&path).exists());
    }

    #[test]
    fn a_full_disk_leaves_the_old_content_and_no_rubbish() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file.json");
        replace(&path, b"old").unwrap();
        // Whatever is written here meets a full device.
        symlink("/dev/full", fresh_path(&path)).unwrap();
        let error = replace(&path, b"new").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert!(fresh_path(&path).symlink_metadata().is_err());
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn a_rename_that_fails_leaves_no_rubbish() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file.json");
        fs::create_dir_all(path.join("in the way")).unwrap();
        assert!(replace(&path, b"new").is_err());
        assert!(!fresh_path(&path).exists());
    }
}
