//! The machine's own stalls: how late a clock of one millisecond is on each processor, above everything else that runs.
//!
//! What a hypervisor takes away, no priority brings back: a figure of milliseconds means little without this one beside
//! it. One thread per processor, at the highest real-time priority below the kernel's own.

use crate::clock::{Moment, prefer_priority};
use crate::processors;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

const TICK: Duration = Duration::from_millis(1);
/// What is not kept: a clock that is this late is in time.
const IN_TIME: Duration = Duration::from_micros(50);
const PRIORITY: i32 = 98;

/// Running clocks and what they found.
#[derive(Debug)]
pub struct StallWatch {
    late: Arc<Mutex<Vec<(Moment, Duration)>>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl StallWatch {
    pub fn start() -> Self {
        let late = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let watch = |processor: usize| {
            let (late, stop) = (Arc::clone(&late), Arc::clone(&stop));
            std::thread::spawn(move || tick(processor, &late, &stop))
        };
        let threads = (0..processors::count()).map(watch).collect();
        StallWatch { late, stop, threads }
    }

    /// The longest time between two ticks that ended between the moments, on any processor.
    pub fn longest_gap(&self, from: Moment, to: Moment) -> Duration {
        let late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        let inside = late.iter().filter(|(at, _)| *at >= from && *at < to);
        TICK + inside.map(|(_, late)| *late).max().unwrap_or(IN_TIME)
    }
}

impl Drop for StallWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn tick(processor: usize, found: &Mutex<Vec<(Moment, Duration)>>, stop: &AtomicBool) {
    processors::stay_on(processor);
    prefer_priority(PRIORITY);
    let mut next = Moment::now() + TICK;
    while !stop.load(Ordering::Relaxed) {
        next.sleep_until();
        let now = Moment::now();
        let late = now.since(next);
        if late > IN_TIME {
            found.lock().unwrap_or_else(PoisonError::into_inner).push((now, late));
        }
        next = (next + TICK).max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_at_least_a_tick() {
        let watch = StallWatch::start();
        let begin = Moment::now();
        std::thread::sleep(Duration::from_millis(20));
        let gap = watch.longest_gap(begin, Moment::now());
        assert!(gap >= TICK && gap < Duration::from_secs(5), "{gap:?}");
    }

    #[test]
    fn only_the_window_counts() {
        let at = |ms: u64| Moment::from_nanos(ms * 1_000_000);
        let late = vec![(at(5), Duration::from_millis(3)), (at(50), Duration::from_millis(9))];
        let (late, stop) = (Arc::new(Mutex::new(late)), Arc::new(AtomicBool::new(false)));
        let watch = StallWatch { late, stop, threads: Vec::new() };
        assert_eq!(watch.longest_gap(at(0), at(50)), Duration::from_millis(4));
        assert_eq!(watch.longest_gap(at(0), at(51)), Duration::from_millis(10));
    }
}
