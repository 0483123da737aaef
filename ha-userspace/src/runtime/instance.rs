//! One daemon per `run_dir` and per `bpf_dir`: the directories and the locks on them.

use crate::config::validated::Node;
use crate::datapath::DatapathError;
use crate::datapath::bpffs::PinDirectory;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const LOCK_FILE: &str = "holdfast.lock";
/// Owner and group: operators in the group may use the control socket.
const DIRECTORY_MODE: u32 = 0o750;
const LOCK_MODE: u32 = 0o640;

/// Why a daemon cannot have its directories.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    #[error("{setting}: cannot create {path}: {source}")]
    Directory { setting: &'static str, path: PathBuf, source: io::Error },
    #[error("{path}: {source}")]
    Lock { path: PathBuf, source: io::Error },
    #[error(
        "another Holdfast daemon runs with node.run_dir = {path}; stop it, or give this one directories of its own"
    )]
    Running { path: PathBuf },
    #[error(transparent)]
    Pins(#[from] DatapathError),
}

/// The lock on `run_dir`, held while it lives.
#[derive(Debug)]
pub struct RunLock {
    _lock: Flock<File>,
}

/// Everything a daemon holds exclusively.
#[derive(Debug)]
pub struct Instance {
    pub run_lock: RunLock,
    pub pins: PinDirectory,
}

impl Instance {
    /// Creates the directories where missing and takes both locks.
    pub fn claim(node: &Node) -> Result<Self, InstanceError> {
        create("node.run_dir", &node.run_dir)?;
        create("node.state_dir", &node.state_dir)?;
        let run_lock = lock(&node.run_dir)?;
        let pins = PinDirectory::open(&node.bpf_dir)?;
        Ok(Self { run_lock, pins })
    }
}

fn create(setting: &'static str, path: &Path) -> Result<(), InstanceError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(path)
        .map_err(|source| InstanceError::Directory { setting, path: path.into(), source })
}

fn lock(run_dir: &Path) -> Result<RunLock, InstanceError> {
    let path = run_dir.join(LOCK_FILE);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(LOCK_MODE)
        .open(&path)
        .map_err(|source| InstanceError::Lock { path, source })?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(RunLock { _lock: lock }),
        Err(_) => Err(InstanceError::Running { path: run_dir.into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_daemon_on_the_same_run_dir_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let first = lock(directory.path()).unwrap();
        let refused = lock(directory.path()).unwrap_err().to_string();
        assert!(refused.starts_with("another Holdfast daemon runs with node.run_dir = "), "{refused}");
        drop(first);
        lock(directory.path()).unwrap();
    }
}
