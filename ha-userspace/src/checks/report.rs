//! What leaves the checks' thread: reports of changes, and a board with the standing of every check.
//!
//! The board is written by the checks' thread and read by whoever shows status. A reader never waits for the writer, so a
//! real-time thread may read.

use super::judgement::CheckState;
use holdfast_engine::Instant;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

/// How often a reader looks again before it makes do with what it saw last.
const READ_ATTEMPTS: usize = 64;

/// A change of a check's judged state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckReport {
    pub name: String,
    pub state: CheckState,
    /// Why, in one line.
    pub detail: String,
    /// By the boot clock.
    pub at: Instant,
}

/// Where a check stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckStatus {
    pub name: String,
    pub state: CheckState,
    /// Whether the last run was good; `None` before the first has ended.
    pub last_good: Option<bool>,
    /// What the last run found, in one line; empty before the first has ended.
    pub detail: String,
    /// Results like the last one, in a row.
    pub consecutive: u32,
    /// How long the last run took.
    pub last_duration: Option<Duration>,
    /// Runs that ended, those at their timeout included.
    pub runs: u64,
    /// Runs that ended at their timeout.
    pub timeouts: u64,
    /// When the state was last judged anew, by the boot clock.
    pub changed_at: Option<Instant>,
}

type Statuses = BTreeMap<String, Arc<CheckStatus>>;

/// The standing of every check. Each hold of the lock is a lookup or a copy of pointers.
#[derive(Debug, Default)]
pub(super) struct StatusBoard {
    current: Mutex<Statuses>,
    /// What was read last; only readers come here.
    read: Mutex<Vec<Arc<CheckStatus>>>,
}

impl StatusBoard {
    /// All checks by name. While the writer holds the board, that is what the last reader saw.
    pub(super) fn read(&self) -> Vec<Arc<CheckStatus>> {
        let mut last = lock(&self.read);
        for _ in 0..READ_ATTEMPTS {
            match self.current.try_lock() {
                Ok(current) => {
                    *last = current.values().cloned().collect();
                    break;
                }
                Err(TryLockError::Poisoned(poisoned)) => {
                    *last = poisoned.into_inner().values().cloned().collect();
                    break;
                }
                Err(TryLockError::WouldBlock) => std::hint::spin_loop(),
            }
        }
        last.clone()
    }

    /// The standing of one check, for the writer.
    pub(super) fn find(&self, name: &str) -> Option<Arc<CheckStatus>> {
        lock(&self.current).get(name).cloned()
    }

    pub(super) fn put(&self, status: CheckStatus) {
        let status = Arc::new(status);
        let key = status.name.clone();
        // The replaced status is freed after the lock.
        let replaced = lock(&self.current).insert(key, status);
        drop(replaced);
    }

    pub(super) fn remove(&self, name: &str) {
        let removed = lock(&self.current).remove(name);
        drop(removed);
    }
}

/// A status is replaced whole, so a panic elsewhere leaves nothing half-written.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(name: &str, runs: u64) -> CheckStatus {
        CheckStatus { name: name.to_owned(), runs, ..CheckStatus::default() }
    }

    #[test]
    fn what_is_put_is_read_by_name() {
        let board = StatusBoard::default();
        assert_eq!(board.read(), []);
        board.put(status("gateway", 1));
        board.put(status("disk", 1));
        board.put(status("gateway", 2));
        let read: Vec<_> = board.read().iter().map(|status| (status.name.clone(), status.runs)).collect();
        assert_eq!(read, [("disk".to_owned(), 1), ("gateway".to_owned(), 2)]);
        board.remove("disk");
        assert_eq!(board.find("disk"), None);
        assert_eq!(board.read().len(), 1);
    }

    #[test]
    fn a_reader_does_not_wait_for_the_writer() {
        let board = StatusBoard::default();
        board.put(status("gateway", 7));
        assert_eq!(board.read().len(), 1);
        let held = board.current.lock().unwrap();
        assert_eq!(board.read()[0].runs, 7, "what was seen last");
        drop(held);
    }
}
