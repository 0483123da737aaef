//! Kernel settings below /proc/sys/net of the calling thread's network namespace.
//!
//! [`Sysctls`] remembers what was changed for whom, so that each setting returns to what it was when its last user goes.

use super::record::SysctlRecord;
use holdfast_engine::RouterId;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::PathBuf;

const ROOT: &str = "/proc/sys/net";

/// Reads a setting, e.g. `ipv4/conf/lan0/arp_ignore`.
pub(super) fn read(path: &str) -> io::Result<String> {
    Ok(fs::read_to_string(full(path))?.trim().to_owned())
}

/// Writes a setting.
pub(super) fn write(path: &str, value: &str) -> io::Result<()> {
    fs::write(full(path), value)
}

fn full(path: &str) -> PathBuf {
    PathBuf::from(ROOT).join(path)
}

/// Puts a setting back, unless somebody else has changed it since or it is gone. True if it was put back.
pub(super) fn restore(change: &SysctlRecord) -> io::Result<bool> {
    match read(&change.path) {
        Ok(current) if current == change.set => write(&change.path, &change.before).map(|()| true),
        Ok(_) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[derive(Debug)]
struct Change {
    before: String,
    set: String,
    users: BTreeSet<RouterId>,
}

/// The settings that are changed at present.
#[derive(Debug, Default)]
pub(super) struct Sysctls {
    changes: BTreeMap<String, Change>,
}

impl Sysctls {
    /// Notes that `router` needs `path` at `value`, if it is not so already. Nothing is written yet: the record comes
    /// first.
    pub(super) fn plan(&mut self, router: RouterId, path: String, value: &str) -> io::Result<()> {
        if let Some(change) = self.changes.get_mut(&path) {
            change.users.insert(router);
            return Ok(());
        }
        let before = read(&path)?;
        if before != value {
            let change = Change { before, set: value.to_owned(), users: BTreeSet::from([router]) };
            self.changes.insert(path, change);
        }
        Ok(())
    }

    /// Writes everything that a router planned.
    pub(super) fn apply(&self, router: RouterId) -> Result<(), (String, io::Error)> {
        for (path, change) in self.changes.iter().filter(|(_, change)| change.users.contains(&router)) {
            write(path, &change.set).map_err(|error| (path.clone(), error))?;
        }
        Ok(())
    }

    /// Restores what only this router needed.
    pub(super) fn release(&mut self, router: RouterId) {
        self.changes.retain(|path, change| {
            change.users.remove(&router);
            if !change.users.is_empty() {
                return true;
            }
            let record =
                SysctlRecord { path: path.clone(), before: change.before.clone(), set: change.set.clone() };
            if let Err(error) = restore(&record) {
                tracing::warn!(path, %error, value = change.before, "a kernel setting could not be restored");
            }
            false
        });
    }

    /// For the record on disk.
    pub(super) fn records(&self) -> Vec<SysctlRecord> {
        let record = |(path, change): (&String, &Change)| SysctlRecord {
            path: path.clone(),
            before: change.before.clone(),
            set: change.set.clone(),
        };
        self.changes.iter().map(record).collect()
    }
}
