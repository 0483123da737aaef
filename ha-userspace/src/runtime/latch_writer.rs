//! The thread that keeps the flap record on disk, so that the controller's loop never waits for it.
//!
//! Takes records in, writes the newest, tells what came of it. One that could not be written is tried again until a
//! newer one replaces it.

use crate::effects::latch::{LatchError, LatchFile};
use holdfast_engine::FlapRecord;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

const THREAD_NAME: &str = "hf-latch";
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
    pub(super) fn save(&self, revision: u64, content: FlapRecord) {
        let sent =
            self.records.as_ref().is_some_and(|records| records.send(Record { revision, content }).is_ok());
        if !sent {
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
    let mut unwritten: Option<Record> = None;
    loop {
        let received = match unwritten {
            Some(_) => queue.recv_timeout(RETRY),
            None => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        let next = match received {
            // Only the newest matters.
            Ok(record) => Some(queue.try_iter().last().unwrap_or(record)),
            Err(RecvTimeoutError::Timeout) => unwritten.take(),
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let Some(record) = next else { continue };
        let outcome = file.save(&record.content);
        let revision = record.revision;
        unwritten = outcome.is_err().then_some(record);
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
            writer.save(revision, FlapRecord { saved_at_unix: revision, ..FlapRecord::default() });
        }
        drop(writer);
        assert_eq!(file.load().unwrap().unwrap().saved_at_unix, 20);
        let last = outcomes.try_iter().last().unwrap();
        assert!(last.revision == 20 && last.outcome.is_ok());
    }

    #[test]
    fn a_failure_is_told() {
        let (told, outcomes) = channel();
        let file = LatchFile::new(Path::new("/proc/self"));
        let writer = LatchWriter::spawn(file, move |saved| drop(told.send(saved))).unwrap();
        writer.save(7, FlapRecord::default());
        let saved = outcomes.recv_timeout(SOON).unwrap();
        assert!(saved.revision == 7 && saved.outcome.is_err());
    }
}
