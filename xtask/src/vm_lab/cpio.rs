//! The archive form that the kernel unpacks as its first file system ("newc", cpio(5)).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const MAGIC: &str = "070701";
const TRAILER: &str = "TRAILER!!!";
const ALIGNMENT: usize = 4;
const DIRECTORY: u32 = 0o040_755;
const FILE: u32 = 0o100_000;

/// An archive in the making.
#[derive(Debug, Default)]
pub(crate) struct Cpio {
    bytes: Vec<u8>,
    number: u32,
    directories: BTreeSet<PathBuf>,
    files: BTreeSet<PathBuf>,
}

impl Cpio {
    /// Adds a file under an absolute path, and the directories above it. A second file of that name is left out.
    pub(crate) fn file(&mut self, path: &Path, permissions: u32, content: &[u8]) {
        if !self.files.insert(path.to_owned()) {
            return;
        }
        let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
        above.reverse();
        for directory in above {
            self.directory(directory);
        }
        self.entry(&name(path), FILE | permissions, content);
    }

    fn directory(&mut self, path: &Path) {
        if path != Path::new("/") && self.directories.insert(path.to_owned()) {
            self.entry(&name(path), DIRECTORY, &[]);
        }
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.number += 1;
        let links = 1;
        // Inode, mode, user, group, links, time, size, device (2), special device (2), length of the name, checksum.
        let size = content.len() as u32;
        let fields = [self.number, mode, 0, 0, links, 0, size, 0, 0, 0, 0, name.len() as u32 + 1, 0]
            .map(|field| format!("{field:08x}"));
        self.bytes.extend_from_slice(MAGIC.as_bytes());
        self.bytes.extend_from_slice(fields.concat().as_bytes());
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend_from_slice(content);
        self.align();
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGNMENT), 0);
    }

    /// The whole archive.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.entry(TRAILER, 0, &[]);
        self.bytes
    }
}

/// Names in an archive are relative to its root.
fn name(path: &Path) -> String {
    path.to_string_lossy().trim_start_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_comes_after_its_directories_and_only_once() {
        let mut archive = Cpio::default();
        archive.file(Path::new("/etc/a/b"), 0o644, b"12345");
        archive.file(Path::new("/etc/a/b"), 0o644, b"again");
        let bytes = archive.finish();
        let text = String::from_utf8_lossy(&bytes);
        let at = |word: &str| text.find(word).unwrap_or_else(|| panic!("{word} is missing"));
        assert!(at("etc\0") < at("etc/a\0") && at("etc/a\0") < at("etc/a/b\0"));
        assert!(at("12345") < at(TRAILER) && !text.contains("again"));
        assert_eq!(text.matches(MAGIC).count(), 4);
        assert_eq!(bytes.len() % ALIGNMENT, 0);
        assert_eq!(&text[..14], "07070100000001", "the first inode");
    }
}
