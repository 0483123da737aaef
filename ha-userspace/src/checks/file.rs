//! `kind = "file"`: a regular file exists and, where asked for, its trimmed content is the expected one.
//!
//! Reads at most [`LIMIT`] bytes, opens nothing but regular files and follows symbolic links.

use super::examiner::Outcome;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Content longer than this is a failure, never read further.
const LIMIT: u64 = 64 << 10;
/// Of a file's content, this much is quoted.
const QUOTED_CHARS: usize = 60;

/// Looks at the file. Blocks as long as its filesystem does.
pub(super) fn look(path: &Path, content: Option<&str>) -> Outcome {
    match content {
        None => exists(path),
        Some(expected) => match read(path) {
            Ok(found) => compare(path, &found, expected.trim()),
            Err(outcome) => outcome,
        },
    }
}

fn exists(path: &Path) -> Outcome {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Outcome::good(format!("{} exists", path.display())),
        Ok(_) => Outcome::bad(format!("{} is not a regular file", path.display())),
        Err(error) => unreadable(path, &error),
    }
}

/// The content, or why there is none.
fn read(path: &Path) -> Result<Vec<u8>, Outcome> {
    let blame = |error: &io::Error| unreadable(path, error);
    // Opening a device can do things; so the kind is looked at first, and again after the opening.
    let regular = |metadata: io::Result<std::fs::Metadata>| match metadata {
        Ok(metadata) if metadata.is_file() => Ok(()),
        Ok(_) => Err(Outcome::bad(format!("{} is not a regular file", path.display()))),
        Err(error) => Err(blame(&error)),
    };
    regular(std::fs::metadata(path))?;
    let file = open(path).map_err(|error| blame(&error))?;
    regular(file.metadata())?;
    let mut content = Vec::new();
    file.take(LIMIT + 1).read_to_end(&mut content).map_err(|error| blame(&error))?;
    if content.len() as u64 > LIMIT {
        return Err(Outcome::bad(format!("{} is longer than {} KiB", path.display(), LIMIT >> 10)));
    }
    Ok(content)
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)
}

fn compare(path: &Path, found: &[u8], expected: &str) -> Outcome {
    let found = String::from_utf8_lossy(found);
    let found = found.trim();
    let quoted: String = found.chars().take(QUOTED_CHARS).collect();
    if found == expected {
        Outcome::good(format!("{} holds {quoted:?}", path.display()))
    } else {
        Outcome::bad(format!("{} holds {quoted:?}, wanted {expected:?}", path.display()))
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Outcome {
    match error.kind() {
        io::ErrorKind::NotFound => Outcome::bad(format!("{} does not exist", path.display())),
        _ => Outcome::bad(format!("{} cannot be read: {error}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory_with(content: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        std::fs::write(&path, content).unwrap();
        (directory, path)
    }

    #[test]
    fn existence() {
        let (directory, path) = directory_with(b"");
        assert!(look(&path, None).good);
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(look(&link, None).good, "a link to a file");
        let missing = look(&directory.path().join("none"), None);
        assert!(!missing.good && missing.detail.ends_with("/none does not exist"), "{missing:?}");
        let folder = look(directory.path(), None);
        assert!(!folder.good && folder.detail.contains("not a regular file"), "{folder:?}");
    }

    #[test]
    fn content_is_compared_trimmed() {
        let (directory, path) = directory_with(b"  ready \n");
        assert!(look(&path, Some("ready")).good && look(&path, Some("ready\n")).good);
        let other = look(&path, Some("rea"));
        assert!(!other.good && other.detail.contains(r#"holds "ready", wanted "rea""#), "{other:?}");
        let missing = look(&directory.path().join("none"), Some("ready"));
        assert!(missing.detail.contains("does not exist"), "{missing:?}");
    }

    #[test]
    fn reading_is_bounded_and_never_waits_for_a_writer() {
        let (directory, path) = directory_with(&vec![b'x'; LIMIT as usize]);
        assert!(look(&path, Some(&"x".repeat(LIMIT as usize))).good);
        std::fs::write(&path, vec![b'x'; LIMIT as usize + 1]).unwrap();
        assert!(look(&path, Some("x")).detail.contains("longer than 64 KiB"));
        let fifo = directory.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert!(look(&fifo, Some("x")).detail.contains("not a regular file"));
    }
}
