//! The record of what may have been added to this host, so that a later start, `unload` or exit can take it away.
//!
//! Written to `state_dir/addresses.json` before anything it names is added, atomically and through to the disk. It is
//! valid only for the boot and the network namespace it was written in: after a reboot nothing of it stands, and what
//! bears the same name is somebody else's. It never touches the network; `clean_up` does.

use crate::effects::durable;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// One directory for each process, among others.
const PROCESSES: &str = "/proc";
/// Where `ip netns` keeps its names.
const NAMED_NAMESPACES: &str = "/run/netns";

/// Name of the record in the state directory.
pub const FILE_NAME: &str = "addresses.json";
/// Format of the file.
const FORMAT: u32 = 1;

/// Why the record could not be read or written.
#[derive(Debug, Error)]
pub enum RecordError {
    #[error("cannot read {}, the record of added addresses: {source}; fix its permissions or run as root", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "{}, the record of added addresses, is damaged ({reason}): look with `ip address` for virtual addresses and \
         vrrp* links that a dead daemon left, remove them, then delete this file", path.display()
    )]
    Damaged { path: PathBuf, reason: String },
    #[error(
        "cannot write {}, the record of added addresses: {source}; make node.state_dir a writable directory on a disk \
         with free space", path.display()
    )]
    Write { path: PathBuf, source: io::Error },
}

/// What may have been added.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    format: u32,
    /// Boot and network namespace it holds for.
    pub origin: Origin,
    /// By name of the virtual router.
    pub routers: BTreeMap<String, RouterRecord>,
    pub sysctls: Vec<SysctlRecord>,
}

/// Where a record was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    pub boot: String,
    pub namespace: String,
}

/// What may have been added for one virtual router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouterRecord {
    pub interface: String,
    pub ifindex: u32,
    /// Name of the macvlan that carries the addresses, if any.
    pub macvlan: Option<String>,
    pub addresses: Vec<AddressRecord>,
}

/// An address that is ours to remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddressRecord {
    pub address: IpAddr,
    /// As configured; it may stand as a host address instead.
    pub prefix: u8,
}

/// A kernel setting that was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SysctlRecord {
    /// Below /proc/sys/net.
    pub path: String,
    pub before: String,
    pub set: String,
}

impl Origin {
    /// The present boot and the calling thread's network namespace.
    pub fn here() -> io::Result<Self> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned();
        let namespace = fs::read_link("/proc/thread-self/ns/net")?.to_string_lossy().into_owned();
        Ok(Self { boot, namespace })
    }

    /// Whether its network namespace is in use, by a process or under a name: what it names may stand there.
    pub fn namespace_exists(&self) -> bool {
        let inode = |path: PathBuf| fs::metadata(path).map(|found| format!("net:[{}]", found.ino())).ok();
        let processes = paths_in(PROCESSES).map(|process| process.join("ns/net"));
        processes.chain(paths_in(NAMED_NAMESPACES)).filter_map(inode).any(|found| found == self.namespace)
    }
}

/// Entries of a directory; none if it cannot be read.
fn paths_in(directory: &str) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path())
}

impl Record {
    /// An empty record for here and now.
    pub fn new(origin: Origin) -> Self {
        Self { format: FORMAT, origin, ..Self::default() }
    }

    /// Whether it names anything.
    pub fn is_empty(&self) -> bool {
        self.routers.is_empty() && self.sysctls.is_empty()
    }

    /// Path of the record of a state directory.
    pub fn path(state_dir: &Path) -> PathBuf {
        state_dir.join(FILE_NAME)
    }

    /// Reads the record; `None` if there is none.
    pub fn load(state_dir: &Path) -> Result<Option<Self>, RecordError> {
        let path = Self::path(state_dir);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(RecordError::Read { path, source }),
        };
        let damaged = |reason: String| RecordError::Damaged { path: path.clone(), reason };
        Self::parse(&text).map(Some).map_err(damaged)
    }

    /// Reads the file's content.
    ///
    /// # Errors
    ///
    /// How it is damaged.
    pub fn parse(content: &[u8]) -> Result<Self, String> {
        let record: Self = serde_json::from_slice(content).map_err(|error| error.to_string())?;
        if record.format != FORMAT {
            return Err(format!("format {} instead of {FORMAT}", record.format));
        }
        Ok(record)
    }

    /// Replaces the record on disk; when this returns, it survives a power cut.
    pub fn save(&self, state_dir: &Path) -> Result<(), RecordError> {
        let path = Self::path(state_dir);
        let content = serde_json::to_vec_pretty(self).map_err(io::Error::from);
        let written = content.and_then(|content| durable::replace(&path, &content));
        written.map_err(|source| RecordError::Write { path: path.clone(), source })
    }

    /// Deletes the record: nothing of ours stands any more.
    pub fn delete(state_dir: &Path) -> Result<(), RecordError> {
        let path = Self::path(state_dir);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(RecordError::Write { path, source })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Record {
        let mut record = Record::new(Origin { boot: "b".to_owned(), namespace: "net:[1]".to_owned() });
        let addresses = vec![AddressRecord { address: "192.0.2.1".parse().unwrap(), prefix: 24 }];
        let router = RouterRecord { interface: "lan0".to_owned(), ifindex: 7, macvlan: None, addresses };
        record.routers.insert("lan".to_owned(), router);
        record
    }

    #[test]
    fn survives_the_disk_and_leaves_no_temporary_file() {
        let directory = tempfile::tempdir().unwrap();
        let state_dir = directory.path().join("made/on/demand");
        assert_eq!(Record::load(&state_dir).unwrap(), None);
        sample().save(&state_dir).unwrap();
        assert_eq!(Record::load(&state_dir).unwrap(), Some(sample()));
        assert_eq!(fs::read_dir(&state_dir).unwrap().count(), 1);
        Record::delete(&state_dir).unwrap();
        Record::delete(&state_dir).unwrap();
        assert_eq!(Record::load(&state_dir).unwrap(), None);
    }

    #[test]
    fn damage_is_named_with_the_file_and_the_remedy() {
        let directory = tempfile::tempdir().unwrap();
        let path = Record::path(directory.path());
        for content in [
            "",
            "{",
            "{\"format\":1}",
            "\0\0\0\0",
            "{\"format\":9,\"origin\":{\"boot\":\"\",\"namespace\":\"\"},\"routers\":{},\"sysctls\":[]}",
        ] {
            fs::write(&path, content).unwrap();
            let error = Record::load(directory.path()).unwrap_err().to_string();
            assert!(
                error.contains(&*path.to_string_lossy()) && error.contains("delete this file"),
                "{error}"
            );
        }
    }

    #[test]
    fn an_unwritable_directory_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        let error = sample().save(&file).unwrap_err().to_string();
        assert!(error.contains("state_dir"), "{error}");
    }
}
