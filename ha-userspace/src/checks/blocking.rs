//! Work that may block without end (a file on a dead network filesystem, a user directory that does not answer, the start
//! of a program) on a thread of the runtime's pool, one at a time for each check.
//!
//! A thread that hangs cannot be stopped. It is waited for instead, and until it is back no further one is started, so a
//! check occupies one thread at most.

use std::time::Duration;
use thiserror::Error;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

/// Threads that do such work side by side as a rule. Each costs a resident stack, and the work is short.
const PLACES: usize = 8;
/// Where the places are held by work that hangs, others do not wait for one longer than this, nor longer than this part of
/// their time.
const PATIENCE: Duration = Duration::from_millis(200);
const PATIENCE_PART: u32 = 4;

static CROWD: Semaphore = Semaphore::const_new(PLACES);

/// `None`: there was none in time, and it goes without.
async fn place(deadline: Instant) -> Option<SemaphorePermit<'static>> {
    let patience = PATIENCE.min(deadline.saturating_duration_since(Instant::now()) / PATIENCE_PART);
    timeout(patience, CROWD.acquire()).await.ok()?.ok()
}

/// Why there is no result.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(super) enum BlockingError {
    #[error("the kernel did not answer in time")]
    Late,
    #[error("an earlier run still hangs in the kernel")]
    StillHanging,
    #[error("the run ended without a result")]
    Lost,
}

/// The place for one piece of blocking work. Results that come too late are dropped.
#[derive(Debug)]
pub(super) struct BlockingSlot<T> {
    hanging: Option<JoinHandle<T>>,
}

impl<T> Default for BlockingSlot<T> {
    fn default() -> Self {
        Self { hanging: None }
    }
}

impl<T: Send + 'static> BlockingSlot<T> {
    /// Does `work` and waits for it until `deadline`.
    pub(super) async fn run(
        &mut self,
        deadline: Instant,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, BlockingError> {
        if let Some(hanging) = &mut self.hanging {
            if timeout_at(deadline, hanging).await.is_err() {
                return Err(BlockingError::StillHanging);
            }
            self.hanging = None;
        }
        let place = place(deadline).await;
        let work = move || {
            let _place = place;
            work()
        };
        // Held in the slot while it runs: whoever drops this future finds it there next time.
        let task = self.hanging.insert(tokio::task::spawn_blocking(work));
        let ended = timeout_at(deadline, task).await.map_err(|_| BlockingError::Late)?;
        self.hanging = None;
        ended.map_err(|_| BlockingError::Lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(20)
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    #[test]
    fn work_that_hangs_is_waited_for_and_never_doubled() {
        runtime().block_on(async {
            let mut slot = BlockingSlot::default();
            let (release, gate) = mpsc::channel::<()>();
            let hang = move || gate.recv().map_or(0, |()| 1);
            assert_eq!(slot.run(soon(), hang).await, Err(BlockingError::Late));
            assert_eq!(slot.run(soon(), || 2).await, Err(BlockingError::StillHanging));
            release.send(()).unwrap();
            let later = Instant::now() + Duration::from_secs(10);
            assert_eq!(slot.run(later, || 3).await, Ok(3), "the late result is not taken for the new one");
        });
    }

    #[test]
    fn hanging_work_of_others_delays_and_does_not_prevent() {
        runtime().block_on(async {
            let (release, gate) = mpsc::channel::<()>();
            let gate = std::sync::Arc::new(std::sync::Mutex::new(gate));
            let mut slots: Vec<BlockingSlot<()>> = (0..2 * PLACES).map(|_| BlockingSlot::default()).collect();
            for slot in &mut slots {
                let gate = std::sync::Arc::clone(&gate);
                let hang = move || gate.lock().unwrap().recv().unwrap_or(());
                assert_eq!(slot.run(soon(), hang).await, Err(BlockingError::Late));
            }
            let began = Instant::now();
            let later = began + Duration::from_secs(10);
            assert_eq!(BlockingSlot::default().run(later, || 5).await, Ok(5));
            assert!(began.elapsed() >= PATIENCE, "it waited for a place");
            drop(release);
            for slot in &mut slots {
                assert_eq!(slot.run(later, || ()).await, Ok(()));
            }
        });
    }

    #[test]
    fn a_panic_is_a_lost_result() {
        runtime().block_on(async {
            let mut slot = BlockingSlot::<u32>::default();
            let later = Instant::now() + Duration::from_secs(10);
            assert_eq!(slot.run(later, || panic!("on purpose")).await, Err(BlockingError::Lost));
            assert_eq!(slot.run(later, || 4).await, Ok(4));
        });
    }
}
