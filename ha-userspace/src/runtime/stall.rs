//! Notices when the controller itself did not run, and what the data plane heard meanwhile.
//!
//! The data plane stamps adverts without us, so our own lateness is no evidence against a peer. Only a stall in which
//! an interface heard nothing at all may be the whole node's, and is reported as such (design: own lateness).

use holdfast_engine::{Duration, Input, Instant, InterfaceId};
use std::collections::BTreeMap;

/// Received packets per interface.
pub(super) type Heard = BTreeMap<InterfaceId, u64>;

/// Watches the gaps between planned and actual wake-ups.
#[derive(Debug)]
pub(super) struct StallWatch {
    threshold: Duration,
    pass_ended: Instant,
    planned_wake: Instant,
    heard: Heard,
    longest: Duration,
}

impl StallWatch {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            threshold: Duration::ZERO,
            pass_ended: now,
            planned_wake: now,
            heard: Heard::new(),
            longest: Duration::ZERO,
        }
    }

    /// Gaps up to `threshold` are scheduling noise: the shortest advertisement interval is a good choice.
    pub(super) fn set_threshold(&mut self, threshold: Duration) {
        self.threshold = threshold;
    }

    /// Longest lateness of the loop so far.
    pub(super) fn longest(&self) -> Duration {
        self.longest
    }

    /// Called first thing on wake-up. Returns what to tell the engine if the gap counts as a stall.
    pub(super) fn woke(&mut self, now: Instant, heard: impl FnOnce() -> Heard) -> Option<Input> {
        let lateness = now.since(self.planned_wake);
        self.longest = self.longest.max(lateness);
        if lateness <= self.threshold {
            return None;
        }
        let heard = heard();
        let silent =
            heard.iter().filter(|(id, count)| self.heard.get(id) == Some(count)).map(|(id, _)| *id).collect();
        Some(Input::Stalled { began: self.pass_ended, ended: now, silent })
    }

    /// Called last before waiting until `planned_wake`.
    pub(super) fn pass_ended(&mut self, now: Instant, planned_wake: Instant, heard: Heard) {
        self.pass_ended = now;
        self.planned_wake = planned_wake;
        self.heard = heard;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn heard(first: u64, second: u64) -> Heard {
        Heard::from([(InterfaceId(1), first), (InterfaceId(2), second)])
    }

    #[test]
    fn only_interfaces_without_a_single_frame_are_silent() {
        let mut watch = StallWatch::new(at(0));
        watch.set_threshold(Duration::from_millis(10));
        watch.pass_ended(at(0), at(100), heard(5, 5));
        let stalled = watch.woke(at(150), || heard(5, 6));
        let expected = Input::Stalled { began: at(0), ended: at(150), silent: vec![InterfaceId(1)] };
        assert_eq!(stalled, Some(expected));
        assert_eq!(watch.longest(), Duration::from_millis(50));
    }

    #[test]
    fn noise_is_not_a_stall() {
        let mut watch = StallWatch::new(at(0));
        watch.set_threshold(Duration::from_millis(10));
        watch.pass_ended(at(0), at(100), heard(5, 5));
        assert_eq!(watch.woke(at(110), || panic!("counters are read only after a stall")), None);
    }
}
