//! Which run of this node a probe comes from: a start counter kept in `state_dir`, and a random number.
//!
//! Peers accept probes of a rising incarnation only, so that what was captured of an earlier run teaches nobody. The file
//! keeps the counter rising; the wall clock lifts it where the file is lost or older than the last start (a new disk, a
//! restored backup). Where neither helps, because the clock stands in the past too, nothing unsafe follows: a peer that
//! has not restarted since goes on answering and merely learns nothing from us until the counter has overtaken.

use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use thiserror::Error;

/// Name of the file in the state directory.
pub const FILE_NAME: &str = "incarnation";
/// Format of the file.
const FORMAT: u32 = 1;
/// More than this is not read: the file is damaged.
const MAX_LENGTH: u64 = 1024;
const COUNTER_SHIFT: u32 = 32;
const RANDOM_SOURCE: &str = "/dev/urandom";

/// Why no incarnation could be begun. The daemon must not probe then: it would pose as its former self.
#[derive(Debug, Error)]
pub enum IncarnationError {
    #[error("cannot read {}, the count of this node's starts: {source}; fix its permissions or run as root", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "cannot write {}, the count of this node's starts, without which peers cannot tell old probes from new: \
         {source}; make node.state_dir a writable directory on a disk with free space", path.display()
    )]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot draw a random number from {RANDOM_SOURCE}: {source}")]
    Random { source: io::Error },
}

/// A run of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incarnation {
    /// Start counter in the high half, random number in the low half; never 0.
    pub value: u64,
    /// What to tell the operator where the file was damaged.
    pub warning: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    format: u32,
    starts: u32,
}

/// What the file says of the starts before this one.
#[derive(Debug, PartialEq, Eq)]
enum Before {
    Missing,
    Starts(u32),
    Damaged(String),
}

impl Incarnation {
    /// Counts this start, through to the disk. Call it once per start of the daemon.
    pub fn begin(state_dir: &Path) -> Result<Self, IncarnationError> {
        let path = state_dir.join(FILE_NAME);
        let (starts, warning) = match before(&path)? {
            Before::Missing => (0, None),
            Before::Starts(starts) => (starts, None),
            Before::Damaged(reason) => {
                let shown = path.display();
                let warning = format!(
                    "{shown}, the count of this node's starts, is damaged ({reason}): it is begun anew from the wall \
                     clock; if peers keep learning nothing from this node, set its clock and restart it"
                );
                (0, Some(warning))
            }
        };
        let counter = following(starts, wall_clock_seconds());
        save(state_dir, &path, counter)
            .map_err(|source| IncarnationError::Write { path: path.clone(), source })?;
        let random = random().map_err(|source| IncarnationError::Random { source })?;
        Ok(Self { value: (u64::from(counter) << COUNTER_SHIFT) | u64::from(random), warning })
    }

    /// The start counter.
    pub const fn counter(&self) -> u32 {
        (self.value >> COUNTER_SHIFT) as u32
    }
}

/// The next counter: above every earlier one, and not below the clock.
fn following(starts: u32, clock: u32) -> u32 {
    starts.saturating_add(1).max(clock)
}

fn wall_clock_seconds() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // Past 2106 the file alone counts.
    u32::try_from(since.as_secs()).unwrap_or(0)
}

fn before(path: &Path) -> Result<Before, IncarnationError> {
    let read = |source| IncarnationError::Read { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Before::Missing),
        Err(error) => return Err(read(error)),
    };
    let mut text = Vec::new();
    file.take(MAX_LENGTH).read_to_end(&mut text).map_err(read)?;
    Ok(parse(&text).map_or_else(Before::Damaged, Before::Starts))
}

/// The starts that the file's content counts.
///
/// # Errors
///
/// How it is damaged.
pub fn parse(content: &[u8]) -> Result<u32, String> {
    match serde_json::from_slice::<Content>(content) {
        Ok(content) if content.format != FORMAT => {
            Err(format!("format {} instead of {FORMAT}", content.format))
        }
        Ok(content) if content.starts == u32::MAX => Err("the counter is at its end".to_owned()),
        Ok(content) => Ok(content.starts),
        Err(error) => Err(error.to_string()),
    }
}

fn save(state_dir: &Path, path: &Path, starts: u32) -> io::Result<()> {
    fs::create_dir_all(state_dir)?;
    let fresh = path.with_extension("new");
    let mut file = File::create(&fresh)?;
    file.write_all(&serde_json::to_vec(&Content { format: FORMAT, starts })?)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    File::open(state_dir)?.sync_all()
}

fn random() -> io::Result<u32> {
    let mut bytes = [0; 4];
    File::open(RANDOM_SOURCE)?.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_with_every_start_and_leaves_no_temporary_file() {
        let directory = tempfile::tempdir().unwrap();
        let state_dir = directory.path().join("made/on/demand");
        let first = Incarnation::begin(&state_dir).unwrap();
        let second = Incarnation::begin(&state_dir).unwrap();
        let third = Incarnation::begin(&state_dir).unwrap();
        assert!(first.value < second.value && second.value < third.value);
        assert!(first.counter() >= 1 && third.counter() >= first.counter() + 2);
        assert_eq!(third.warning, None);
        assert_eq!(fs::read_dir(&state_dir).unwrap().count(), 1);
    }

    #[test]
    fn the_clock_lifts_the_counter_and_never_lowers_it() {
        assert_eq!(following(0, 0), 1);
        assert_eq!(following(0, 1_700_000_000), 1_700_000_000, "a lost file");
        assert_eq!(following(1_800_000_000, 1_700_000_000), 1_800_000_001, "a clock set back");
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(FILE_NAME), "{\"format\":1,\"starts\":4000000000}").unwrap();
        let begun = Incarnation::begin(directory.path()).unwrap();
        assert_eq!((begun.counter(), begun.warning), (4_000_000_001, None));
    }

    #[test]
    fn damage_is_reported_once_and_healed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        let end = format!("{{\"format\":1,\"starts\":{}}}", u32::MAX);
        for content in ["", "{", "7", "\0\0\0\0", "{\"format\":9,\"starts\":1}", end.as_str()] {
            fs::write(&path, content).unwrap();
            let warning = Incarnation::begin(directory.path()).unwrap().warning.unwrap();
            assert!(warning.contains(&*path.to_string_lossy()) && warning.contains("anew"), "{warning}");
            assert_eq!(Incarnation::begin(directory.path()).unwrap().warning, None);
        }
    }

    #[test]
    fn an_unwritable_directory_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        let error = Incarnation::begin(&file).unwrap_err().to_string();
        assert!(error.contains(&*file.to_string_lossy()), "{error}");
        let directory = directory.path().join("taken");
        fs::create_dir_all(directory.join("incarnation.new")).unwrap();
        let error = Incarnation::begin(&directory).unwrap_err().to_string();
        assert!(error.contains("node.state_dir"), "{error}");
    }
}
