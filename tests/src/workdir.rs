//! A node's files: configuration, sockets, logs. Gone with the value, unless the lab is left standing.

use crate::cleanup::{self, Leftover, Ticket};
use crate::netns::LabName;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// A directory for one node of a lab.
#[derive(Debug)]
pub struct WorkDir {
    path: PathBuf,
    ticket: Option<Ticket>,
}

impl WorkDir {
    /// Makes the directory of `part`, empty.
    pub fn create(lab: &LabName, part: &str) -> Result<Self> {
        let path = root().join(lab.part(part));
        cleanup::remove_directory(&path);
        let ticket = cleanup::register(Leftover::Directory(path.clone()));
        std::fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(WorkDir { path, ticket: Some(ticket) })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file into the directory and gives its path.
    pub fn write(&self, name: &str, content: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        std::fs::write(&path, content).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    /// Lets the directory outlive this value and this process.
    pub fn leave_standing(&mut self) {
        self.ticket = None;
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        if self.ticket.is_some() {
            cleanup::remove_directory(&self.path);
        }
    }
}

/// Where the directories of all labs are.
pub fn root() -> PathBuf {
    std::env::temp_dir()
}
