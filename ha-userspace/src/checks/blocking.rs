//! Work that may block without end (a file on a dead network filesystem, a name server that does not answer, the start of
//! a program) on a thread of the runtime's pool, one at a time for each check.
//!
//! A thread that hangs cannot be stopped. It is waited for instead, and until it is back no further one is started, so a
//! check occupies one thread at most.

use thiserror::Error;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

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
    fn a_panic_is_a_lost_result() {
        runtime().block_on(async {
            let mut slot = BlockingSlot::<u32>::default();
            let later = Instant::now() + Duration::from_secs(10);
            assert_eq!(slot.run(later, || panic!("on purpose")).await, Err(BlockingError::Lost));
            assert_eq!(slot.run(later, || 4).await, Ok(4));
        });
    }
}
