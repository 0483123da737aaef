//! The flap governor's memory: `state_dir/flaps.json`, written before a latch takes effect, so that neither a restart nor a
//! power cut releases it.
//!
//! It keeps and returns [`FlapRecord`]s and decides nothing about them. A file that is damaged is set aside as
//! `flaps.json.damaged` and said; the node then starts unlatched. That is the safer mistake: a latch that was lost comes
//! back after a few more flaps, while a node latched by rubbish would stay out of service until somebody looks.

use crate::effects::durable;
use holdfast_engine::FlapRecord;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use std::{fs, io};
use thiserror::Error;

/// Name of the file in the state directory.
pub const FILE_NAME: &str = "flaps.json";
/// Format of the file.
const FORMAT: u32 = 1;
/// What a damaged file is kept under; an earlier one gives way.
const DAMAGED_SUFFIX: &str = ".damaged";

/// Why the flaps could not be read or written.
#[derive(Debug, Error)]
pub enum LatchError {
    #[error(
        "cannot read {}, the record of flaps: {source}; fix its permissions or run as root. Until then this node runs as \
         if it had never flapped", path.display()
    )]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "{}, the record of flaps, is damaged ({reason}), so whether this node was latched is unknown; it starts unlatched \
         with no flaps counted. {aside}; engage bypass by hand if it should be out of service, and look after the disk",
        path.display()
    )]
    Damaged { path: PathBuf, reason: String, aside: Aside },
    #[error(
        "cannot write {}, the record of flaps: {source}; make node.state_dir a writable directory on a disk with free \
         space. Until then a restart forgets a latch", path.display()
    )]
    Write { path: PathBuf, source: io::Error },
}

/// What became of a damaged file.
#[derive(Debug, Error)]
pub enum Aside {
    #[error("The file was kept as {}", .0.display())]
    Kept(PathBuf),
    #[error("The file could not be renamed ({0}) and will be overwritten")]
    Stuck(io::Error),
}

/// The file as it stands on disk.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    format: u32,
    /// CRC-32 of the record's compact JSON. Found damage is accidental; nobody is kept from forging.
    crc32: u32,
    record: FlapRecord,
}

/// Only the format, to tell a newer file from a damaged one.
#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

/// The file of one state directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LatchFile {
    path: PathBuf,
}

impl LatchFile {
    pub fn new(state_dir: &Path) -> Self {
        Self { path: state_dir.join(FILE_NAME) }
    }

    /// What was last saved; `None` if nothing ever was. After [`LatchError::Damaged`] the file is out of the way.
    pub fn load(&self) -> Result<Option<FlapRecord>, LatchError> {
        let content = match fs::read(&self.path) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(LatchError::Read { path: self.path.clone(), source }),
        };
        parse(&content).map(Some).map_err(|reason| LatchError::Damaged {
            path: self.path.clone(),
            reason,
            aside: self.set_aside(),
        })
    }

    /// Replaces what was saved; when this returns well, it survives a power cut. On an error the previous state stands.
    pub fn save(&self, record: &FlapRecord) -> Result<(), LatchError> {
        let written = encode(record).and_then(|content| durable::replace(&self.path, &content));
        written.map_err(|source| LatchError::Write { path: self.path.clone(), source })
    }

    /// Where a damaged file is kept.
    pub fn damaged_path(&self) -> PathBuf {
        durable::with_suffix(&self.path, DAMAGED_SUFFIX)
    }

    fn set_aside(&self) -> Aside {
        let damaged = self.damaged_path();
        match durable::rename(&self.path, &damaged) {
            Ok(()) => Aside::Kept(damaged),
            Err(source) => Aside::Stuck(source),
        }
    }
}

/// Seconds since 1970, for [`FlapRecord::saved_at_unix`]; 0 before.
pub fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The file's content for a record.
///
/// # Errors
///
/// The record cannot be written as JSON; there is none like that.
pub fn encode(record: &FlapRecord) -> io::Result<Vec<u8>> {
    let envelope = Envelope { format: FORMAT, crc32: checksum(record)?, record: record.clone() };
    Ok(serde_json::to_vec_pretty(&envelope)?)
}

/// The inverse of [`encode`].
///
/// # Errors
///
/// How the content is damaged.
pub fn parse(content: &[u8]) -> Result<FlapRecord, String> {
    let text = |error: serde_json::Error| error.to_string();
    let FormatOnly { format } = serde_json::from_slice(content).map_err(text)?;
    if format != FORMAT {
        return Err(format!("format {format} instead of {FORMAT}"));
    }
    let envelope: Envelope = serde_json::from_slice(content).map_err(text)?;
    let expected = checksum(&envelope.record).map_err(text)?;
    if envelope.crc32 != expected {
        return Err(format!("checksum {} instead of {expected}", envelope.crc32));
    }
    Ok(envelope.record)
}

fn checksum(record: &FlapRecord) -> serde_json::Result<u32> {
    serde_json::to_vec(record).map(|content| crc32fast::hash(&content))
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_engine::{Duration, FlapEvent, FlapGovernor, FlapSettings, FlapUnit, Instant, LatchRelease};
    use std::os::unix::fs::symlink;

    const UNIT: FlapUnit = FlapUnit(3);
    const SETTINGS: FlapSettings =
        FlapSettings { maximum_allowed: 0, window: Duration::from_secs(600), release: LatchRelease::Manual };

    /// A governor that has just latched.
    fn latched() -> FlapGovernor {
        let mut governor = FlapGovernor::new(SETTINGS);
        let now = Instant::from_nanos(1_000_000_000);
        governor.regained(now, UNIT);
        governor.lost(now, UNIT, true);
        assert!(matches!(governor.regained(now, UNIT), Some(FlapEvent::Latched(_))));
        governor
    }

    fn sample() -> FlapRecord {
        latched().record(Instant::from_nanos(9_000_000_000), 1_800_000_000)
    }

    fn file() -> (tempfile::TempDir, LatchFile) {
        let directory = tempfile::tempdir().unwrap();
        let file = LatchFile::new(directory.path());
        (directory, file)
    }

    #[test]
    fn a_latch_survives_the_disk_and_a_release_too() {
        let (_directory, file) = file();
        assert_eq!(file.load().unwrap(), None);
        file.save(&sample()).unwrap();
        assert_eq!(file.load().unwrap(), Some(sample()));
        let boot = Instant::from_nanos(1);
        let mut governor =
            FlapGovernor::restore(SETTINGS, boot, 1_800_000_060, file.load().unwrap().unwrap());
        assert_eq!(governor.view(boot).latched.unwrap().age, Duration::from_secs(68));
        governor.release();
        file.save(&governor.record(boot, 1_800_000_061)).unwrap();
        assert_eq!(file.load().unwrap().unwrap().latch, None);
    }

    #[test]
    fn a_crash_before_the_rename_leaves_the_state_before() {
        let (_directory, file) = file();
        let fresh = durable::fresh_path(&file.path);
        for unfinished in ["", "{\"format\":1,", "{}"] {
            fs::write(&fresh, unfinished).unwrap();
            assert_eq!(file.load().unwrap(), None);
        }
        file.save(&sample()).unwrap();
        let whole = fs::read(&file.path).unwrap();
        let released = FlapRecord { latch: None, ..sample() };
        for written in 0..=whole.len() {
            fs::write(&fresh, &whole[..written]).unwrap();
            assert_eq!(file.load().unwrap(), Some(sample()));
        }
        file.save(&released).unwrap();
        assert_eq!(file.load().unwrap(), Some(released));
        assert!(!fresh.exists());
    }

    #[test]
    fn every_truncation_and_every_changed_figure_is_found() {
        let (_directory, file) = file();
        file.save(&sample()).unwrap();
        let whole = fs::read(&file.path).unwrap();
        let brace = whole.iter().rposition(|byte| *byte == b'}').unwrap();
        for length in 0..=brace {
            fs::write(&file.path, &whole[..length]).unwrap();
            assert!(matches!(file.load(), Err(LatchError::Damaged { .. })), "{length} bytes");
        }
        let mut figures = 0;
        for position in 0..whole.len() {
            if whole[position].is_ascii_digit() {
                let mut changed = whole.clone();
                changed[position] = if whole[position] == b'7' { b'3' } else { b'7' };
                fs::write(&file.path, &changed).unwrap();
                assert!(matches!(file.load(), Err(LatchError::Damaged { .. })), "byte {position}");
                figures += 1;
            }
        }
        assert!(figures > 20, "{figures}");
    }

    #[test]
    fn damage_is_named_with_the_file_and_the_remedy_and_kept_aside() {
        let (_directory, file) = file();
        let path = file.path.to_string_lossy().into_owned();
        for content in [
            "",
            "\0\0\0\0",
            "[1]",
            "{\"format\":1}",
            "{\"format\":9,\"anything\":{}}",
            "{\"format\":1,\"crc32\":0,\"record\":{},\"more\":1}",
        ] {
            fs::write(&file.path, content).unwrap();
            let error = file.load().unwrap_err().to_string();
            for part in [&*path, "starts unlatched", "by hand", "flaps.json.damaged"] {
                assert!(error.contains(part), "{part}: {error}");
            }
            assert_eq!(fs::read(file.damaged_path()).unwrap(), content.as_bytes());
            assert_eq!(file.load().unwrap(), None, "said once");
        }
        let newer = "{\"format\":9,\"anything\":{}}";
        fs::write(&file.path, newer).unwrap();
        assert!(file.load().unwrap_err().to_string().contains("format 9 instead of 1"));
    }

    #[test]
    fn a_damaged_file_that_cannot_be_moved_is_said_to_be_so() {
        let (_directory, file) = file();
        fs::write(&file.path, "rubbish").unwrap();
        fs::create_dir_all(file.damaged_path().join("in the way")).unwrap();
        let error = file.load().unwrap_err().to_string();
        assert!(error.contains("could not be renamed"), "{error}");
        file.save(&sample()).unwrap();
        assert_eq!(file.load().unwrap(), Some(sample()));
    }

    #[test]
    fn a_full_disk_keeps_the_state_before_and_is_named() {
        let (_directory, file) = file();
        file.save(&sample()).unwrap();
        symlink("/dev/full", durable::fresh_path(&file.path)).unwrap();
        let error = file.save(&FlapRecord::default()).unwrap_err().to_string();
        assert!(error.contains("free space") && error.contains("flaps.json"), "{error}");
        assert_eq!(file.load().unwrap(), Some(sample()));
    }

    #[test]
    fn a_directory_that_takes_no_files_is_named() {
        // No file can be made here, not even by root.
        let file = LatchFile::new(Path::new("/proc/self"));
        let error = file.save(&sample()).unwrap_err().to_string();
        assert!(error.contains("state_dir") && error.contains("forgets a latch"), "{error}");
        assert_eq!(file.load().unwrap(), None);
        let (directory, _) = self::file();
        let below_a_file = directory.path().join("file");
        fs::write(&below_a_file, "").unwrap();
        let file = LatchFile::new(&below_a_file);
        assert!(matches!(file.save(&sample()), Err(LatchError::Write { .. })));
        assert!(matches!(file.load(), Err(LatchError::Read { .. })));
    }
}
