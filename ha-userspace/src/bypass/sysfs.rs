//! Bypass NICs that are steered by files. Which files, and what they mean, stands in the configuration.
//!
//! Files are opened without blocking and never created: a missing one is an error that names it.

use super::driver::{BypassDriver, DriverError, ReadBack, Reading};
use super::pair::PortPair;
use super::template::fill;
use crate::config::validated::{SysfsBypass, SysfsWatchdog};
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest content that is read; such files hold a word.
const MOST_READ: u64 = 4096;

/// Driver for bypass NICs that are steered by files.
pub(super) struct SysfsDriver {
    files: SysfsBypass,
}

impl SysfsDriver {
    pub(super) fn new(files: SysfsBypass) -> Self {
        Self { files }
    }

    fn set(&self, pair: &PortPair, value: &str) -> Result<String, DriverError> {
        let path = PathBuf::from(fill(&self.files.control_path, pair, None)?);
        let value = fill(value, pair, None)?;
        write(&path, &value)?;
        Ok(format!("`{value}` to {}", path.display()))
    }

    fn read(&self, pair: &PortPair) -> Result<ReadBack, DriverError> {
        let path = PathBuf::from(fill(&self.files.read_path, pair, None)?);
        let content = read(&path)?;
        let found = content.trim();
        let is_one_of = |readings: &[String]| readings.iter().any(|reading| reading == found);
        let reading = if is_one_of(&self.files.engaged_readings) {
            Reading::Engaged
        } else if is_one_of(&self.files.released_readings) {
            Reading::Released
        } else {
            let found = found.to_owned();
            Reading::Unknown(DriverError::Unexpected { path: path.clone(), found }.to_string())
        };
        Ok(ReadBack { reading, evidence: format!("`{found}` from {}", path.display()) })
    }

    fn watchdog(&self) -> Result<&SysfsWatchdog, DriverError> {
        self.files.watchdog.as_ref().ok_or(DriverError::NoWatchdog { driver: "sysfs" })
    }
}

impl BypassDriver for SysfsDriver {
    fn engage(&mut self, pair: &PortPair) -> Result<String, DriverError> {
        self.set(pair, &self.files.engage_value)
    }

    fn release(&mut self, pair: &PortPair) -> Result<String, DriverError> {
        self.set(pair, &self.files.release_value)
    }

    fn read_back(&mut self, pair: &PortPair) -> ReadBack {
        self.read(pair).unwrap_or_else(|error| ReadBack::unknown(&error))
    }

    fn arm_watchdog(&mut self, pair: &PortPair, timeout: Duration) -> Result<(), DriverError> {
        let files = self.watchdog()?;
        let path = fill(&files.arm_path, pair, None)?;
        write(Path::new(&path), &fill(&files.arm_value, pair, Some(timeout))?)
    }

    fn pet(&mut self, pair: &PortPair) -> Result<(), DriverError> {
        let files = self.watchdog()?;
        let path = PathBuf::from(fill(&files.pet_path, pair, None)?);
        match &files.pet_value {
            Some(value) => write(&path, &fill(value, pair, None)?),
            None => read(&path).map(drop),
        }
    }

    fn disarm(&mut self, pair: &PortPair) -> Result<(), DriverError> {
        let files = self.watchdog()?;
        write(Path::new(&fill(&files.arm_path, pair, None)?), &fill(&files.disarm_value, pair, None)?)
    }
}

fn write(path: &Path, value: &str) -> Result<(), DriverError> {
    let written = OpenOptions::new()
        .write(true)
        .truncate(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .and_then(|mut file| file.write_all(value.as_bytes()));
    written.map_err(|source| DriverError::Write { value: value.into(), path: path.into(), source })
}

/// Content of a file up to [`MOST_READ`]; what is no text is replaced. A pipe that is empty for now has ended.
fn read(path: &Path) -> Result<String, DriverError> {
    let failed = |source| DriverError::Read { path: path.into(), source };
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(failed)?;
    let mut content = Vec::new();
    match file.take(MOST_READ).read_to_end(&mut content) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Err(error) => return Err(failed(error)),
    }
    Ok(String::from_utf8_lossy(&content).into_owned())
}

#[cfg(test)]
#[path = "sysfs_tests.rs"]
mod tests;
