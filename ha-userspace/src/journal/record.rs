//! The journal's file: JSON lines in the state directory, bounded, and never a reason to stop.
//!
//! Two files at most: `journal.jsonl` and, once that is full, `journal.old.jsonl`. A line that a crash tore is skipped
//! on reading and closed before the next one. What cannot be written is counted and still served from memory.

use super::{EventFeed, EventRecord, Occurrence};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;

/// File that is written.
const CURRENT: &str = "journal.jsonl";
/// The full one before it.
const OLD: &str = "journal.old.jsonl";
/// Bytes after which a new file is begun.
const ROTATE_AT: u64 = 4 * 1024 * 1024;
/// Owner writes, group reads.
const FILE_MODE: u32 = 0o640;

/// Writes events to disk and into the feed.
#[derive(Debug)]
pub struct Journal {
    directory: PathBuf,
    rotate_at: u64,
    /// `None` while it cannot be opened or written.
    file: Option<File>,
    size: u64,
    next_seq: u64,
    warned: bool,
    feed: EventFeed,
}

impl Journal {
    /// Reads what earlier runs left in `state_dir` and goes on from there. A directory that cannot be used costs the
    /// file, not the journal.
    pub fn open(state_dir: &Path) -> Self {
        Self::open_with(state_dir, ROTATE_AT)
    }

    fn open_with(state_dir: &Path, rotate_at: u64) -> Self {
        let feed = EventFeed::default();
        let mut next_seq = 1;
        for name in [OLD, CURRENT] {
            for record in read(&state_dir.join(name), rotate_at) {
                next_seq = next_seq.max(record.seq.saturating_add(1));
                feed.push(record);
            }
        }
        Self {
            directory: state_dir.to_owned(),
            rotate_at,
            file: None,
            size: 0,
            next_seq,
            warned: false,
            feed,
        }
    }

    /// The events in memory, shared.
    pub fn feed(&self) -> EventFeed {
        self.feed.clone()
    }

    /// Events that could not be written to disk since the start.
    pub fn failures(&self) -> u64 {
        self.feed.write_failures()
    }

    /// Numbers an event, writes it and serves it.
    pub fn append(&mut self, occurrence: Occurrence) -> EventRecord {
        let record = EventRecord {
            seq: self.next_seq,
            at: occurrence.at.into(),
            boot_ns: occurrence.boot_ns,
            event: occurrence.event,
        };
        self.next_seq = self.next_seq.saturating_add(1);
        match self.write(&record) {
            Ok(()) if self.warned => {
                self.warned = false;
                tracing::info!(lost = self.feed.write_failures(), "the journal can be written again");
            }
            Ok(()) => {}
            Err(error) => self.note_failure(&error),
        }
        self.feed.push(record.clone());
        record
    }

    /// Appends all that arrives until the last sender is gone. For a thread of its own.
    pub fn run(mut self, occurrences: &Receiver<Occurrence>) {
        while let Ok(occurrence) = occurrences.recv() {
            self.append(occurrence);
        }
    }

    fn write(&mut self, record: &EventRecord) -> io::Result<()> {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        let length = u64::try_from(line.len()).unwrap_or(u64::MAX);
        if self.file.is_some() && self.size.saturating_add(length) > self.rotate_at {
            self.file = None;
            fs::rename(self.directory.join(CURRENT), self.directory.join(OLD))?;
        }
        let mut file = match self.file.take() {
            Some(file) => file,
            None => self.open_current()?,
        };
        file.write_all(&line)?;
        self.size = self.size.saturating_add(length);
        self.file = Some(file);
        Ok(())
    }

    /// Opens the file at its end and closes a line that was left torn.
    fn open_current(&mut self) -> io::Result<File> {
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(FILE_MODE)
            .open(self.directory.join(CURRENT))?;
        self.size = file.metadata()?.len();
        if self.size > 0 {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
                self.size += 1;
            }
        }
        Ok(file)
    }

    fn note_failure(&mut self, error: &io::Error) {
        self.feed.note_write_failure();
        if !self.warned {
            self.warned = true;
            tracing::warn!(
                %error,
                directory = %self.directory.display(),
                "the journal cannot be written; events are kept in memory only (free space, or check node.state_dir)"
            );
        }
    }
}

/// The records of a file, oldest first; lines that are none are skipped, and so is what lies before the last
/// `limit` bytes. A file that cannot be read has none.
fn read(path: &Path, limit: u64) -> Vec<EventRecord> {
    let bytes = match read_tail(path, limit) {
        Ok(bytes) => bytes,
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(%error, path = %path.display(), "an earlier journal cannot be read; going on without it");
            }
            return Vec::new();
        }
    };
    records(&bytes).collect()
}

/// The records in a file's content; lines that are none are skipped.
pub fn records(content: &[u8]) -> impl Iterator<Item = EventRecord> {
    content.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok())
}

fn read_tail(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(limit)))?;
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::event::samples;
    use super::super::{Event, NoticeEvent};
    use super::*;
    use holdfast_engine::Cause;
    use std::sync::mpsc;
    use std::time::SystemTime;

    fn transition() -> Occurrence {
        let event = Event::from_transition(&samples::transition(Cause::AdvertTimeout), &samples::names());
        Occurrence { at: SystemTime::now(), boot_ns: 1, event }
    }

    fn seqs(journal: &Journal) -> Vec<u64> {
        journal.feed().since(None).iter().map(|record| record.seq).collect()
    }

    #[test]
    fn a_restart_goes_on_where_the_last_run_ended() {
        let directory = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(directory.path());
        let written = [journal.append(transition()), journal.append(transition())];
        drop(journal);
        let mut journal = Journal::open(directory.path());
        let kept: Vec<_> = journal.feed().since(None).iter().map(|record| (**record).clone()).collect();
        assert_eq!(kept, written);
        assert_eq!(journal.append(transition()).seq, 3);
        assert_eq!(journal.failures(), 0);
    }

    #[test]
    fn a_torn_last_line_costs_that_line_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(CURRENT);
        let mut journal = Journal::open(directory.path());
        journal.append(transition());
        journal.append(transition());
        drop(journal);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 20]).unwrap();

        let mut journal = Journal::open(directory.path());
        assert_eq!(seqs(&journal), [1]);
        journal.append(transition());
        drop(journal);
        assert_eq!(seqs(&Journal::open(directory.path())), [1, 2]);
    }

    #[test]
    fn garbage_is_skipped() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(CURRENT), b"\xff\xfe\0\n{}\n[1]\n\n").unwrap();
        let mut journal = Journal::open(directory.path());
        assert_eq!(seqs(&journal), [0; 0]);
        assert_eq!(journal.append(transition()).seq, 1);
    }

    #[test]
    fn the_files_are_bounded() {
        const ROTATE: u64 = 4_000;
        let directory = tempfile::tempdir().unwrap();
        let mut journal = Journal::open_with(directory.path(), ROTATE);
        for _ in 0..100 {
            journal.append(transition());
        }
        for name in [CURRENT, OLD] {
            let length = fs::metadata(directory.path().join(name)).unwrap().len();
            assert!(length > 0 && length <= ROTATE, "{name}: {length}");
        }
        drop(journal);
        let kept = seqs(&Journal::open_with(directory.path(), ROTATE));
        assert_eq!(kept.last(), Some(&100));
        assert!(kept.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{kept:?}");
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_served() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("missing");
        let mut journal = Journal::open(&missing);
        journal.append(transition());
        journal.append(transition());
        assert_eq!((journal.failures(), seqs(&journal)), (2, vec![1, 2]));
        fs::create_dir(&missing).unwrap();
        journal.append(transition());
        assert_eq!(journal.failures(), 2);
        assert_eq!(seqs(&Journal::open(&missing)), [3]);
    }

    #[test]
    fn a_full_disk_is_survived() {
        // Every write to /dev/full fails with ENOSPC.
        let directory = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/full", directory.path().join(CURRENT)).unwrap();
        let mut journal = Journal::open(directory.path());
        journal.append(transition());
        assert_eq!((journal.failures(), seqs(&journal)), (1, vec![1]));
    }

    #[test]
    fn the_thread_ends_with_its_last_sender() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::open(directory.path());
        let feed = journal.feed();
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::spawn(move || journal.run(&receiver));
        let event = Event::Notice(NoticeEvent::AddressRestored { router: "lan".to_owned() });
        sender.send(Occurrence { at: SystemTime::now(), boot_ns: 5, event }).unwrap();
        drop(sender);
        thread.join().unwrap();
        assert_eq!(feed.since(None).len(), 1);
    }
}
