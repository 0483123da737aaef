//! The thread that keeps the flap record on disk, so that the controller's loop never waits for it.
//!
//! Takes records in, writes the newest, tells what came of it. What is not urgent waits a moment: a router that moves has
//! its addresses recorded on the same disk, and the hosts wait for those. A record that could not be written is tried
//! again until a newer one replaces it.

use crate::effects::latch::{LatchError, LatchFile};
use holdfast_engine::FlapRecord;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const THREAD_NAME: &str = "hf-latch";
/// How long what is not urgent waits; what comes meanwhile goes with it.
const CALM: Duration = Duration::from_millis(500);
/// Between two attempts at a record that could not be written.
const RETRY: Duration = Duration::from_secs(5);

/// What came of a record, and of all before it.
#[derive(Debug)]
pub(super) struct Saved {
    pub(super) revision: u64,
    pub(super) outcome: Result<(), LatchError>,
}

#[derive(Debug)]
struct Record {
    revision: u64,
    content: FlapRecord,
    is_urgent: bool,
}

/// Handle of the thread. Dropping it waits until what was handed over has been written, or could not be.
#[derive(Debug)]
pub(super) struct LatchWriter {
    records: Option<Sender<Record>>,
    thread: Option<JoinHandle<()>>,
}

impl LatchWriter {
    pub(super) fn spawn(file: LatchFile, tell: impl Fn(Saved) + Send + 'static) -> io::Result<Self> {
        let (records, queue) = channel();
        let thread =
            std::thread::Builder::new().name(THREAD_NAME.into()).spawn(move || run(&file, &queue, tell))?;
        Ok(Self { records: Some(records), thread: Some(thread) })
    }

    /// Hands a record over; [`Saved`] comes back.
    pub(super) fn save(&self, revision: u64, content: FlapRecord, is_urgent: bool) {
        let record = Record { revision, content, is_urgent };
        if self.records.as_ref().is_none_or(|records| records.send(record).is_err()) {
            tracing::error!("the thread that keeps the flap record has ended; restart the daemon");
        }
    }
}

impl Drop for LatchWriter {
    fn drop(&mut self) {
        self.records = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that keeps the flap record has panicked");
        }
    }
}

fn run(file: &LatchFile, queue: &Receiver<Record>, tell: impl Fn(Saved)) {
    let mut waiting: Option<(Record, Instant)> = None;
    let mut goes_on = true;
    while goes_on {
        let received = match &waiting {
            Some((_, due)) => queue.recv_timeout(due.saturating_duration_since(Instant::now())),
            None => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match received {
            Ok(record) => {
                let due = waiting.take().map_or_else(|| Instant::now() + CALM, |(_, due)| due);
                let due = if record.is_urgent { Instant::now() } else { due };
                waiting = Some((record, due));
                continue;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => goes_on = false,
        }
        let Some((record, _)) = waiting.take() else { continue };
        let outcome = file.save(&record.content);
        let revision = record.revision;
        if outcome.is_err() {
            waiting = Some((record, Instant::now() + RETRY));
        }
        tell(Saved { revision, outcome });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const SOON: Duration = Duration::from_secs(5);

    #[test]
    fn what_was_handed_over_is_on_disk_once_the_handle_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let file = LatchFile::new(directory.path());
        let (told, outcomes) = channel();
        let writer = LatchWriter::spawn(file.clone(), move |saved| drop(told.send(saved))).unwrap();
        for revision in 1..=20 {
            writer.save(revision, FlapRecord { saved_at_unix: revision, ..FlapRecord::default() }, false);
        }
        drop(writer);
        assert_eq!(file.load().unwrap().unwrap().saved_at_unix, 20);
        let last = outcomes.try_iter().last().unwrap();
        assert!(last.revision == 20 && last.outcome.is_ok());
    }

    #[test]
    fn what_is_urgent_takes_along_what_waits() {
        let directory = tempfile::tempdir().unwrap();
        let (told, outcomes) = channel();
        let file = LatchFile::new(directory.path());
        let writer = LatchWriter::spawn(file, move |saved| drop(told.send(saved))).unwrap();
        let begin = Instant::now();
        writer.save(1, FlapRecord::default(), false);
        writer.save(2, FlapRecord::default(), true);
        assert_eq!(outcomes.recv_timeout(SOON).unwrap().revision, 2);
        writer.save(3, FlapRecord::default(), false);
        assert_eq!(outcomes.recv_timeout(SOON).unwrap().revision, 3);
        assert!(begin.elapsed() >= CALM, "not at once");
    }

    #[test]
    fn a_failure_is_told() {
        let (told, outcomes) = channel();
        let file = LatchFile::new(Path::new("/proc/self"));
        let writer = LatchWriter::spawn(file, move |saved| drop(told.send(saved))).unwrap();
        writer.save(7, FlapRecord::default(), true);
        let saved = outcomes.recv_timeout(SOON).unwrap();
        assert!(saved.revision == 7 && saved.outcome.is_err());
    }
}
