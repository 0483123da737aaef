//! Whether what arrives at one port of a link pair leaves at the other, from the data plane's counters. Pure.
//!
//! Little can be said for certain: a host may talk to the gateway itself, and broadcasts go nowhere. So a pair is found at
//! fault only while this node serves on it, only after it was seen to pass traffic in the same service (or to have failed
//! before), and only where much arrives, nothing but our own adverts leaves at the other port, and nobody is answered. As
//! a Backup has no traffic to prove itself with, the verdict then stands for a time that doubles with each failure.

use holdfast_engine::{Duration, Instant};
use std::collections::VecDeque;

/// Arrivals, packets per second, from which on something is expected to leave.
pub(super) const EXPECTED_PPS: u64 = 100;
/// Fewer answers than this part of the arrivals: they are not a conversation with this host.
const ANSWERED_PART: u64 = 10;
/// A frame that leaves may stand for many that arrived, where the kernel joins them.
const JOINED_PACKETS: u64 = 100;
/// How long a failed pair is not tried again, at first and at most.
const SHORTEST_RETRY: Duration = Duration::from_secs(60);
const LONGEST_RETRY: Duration = Duration::from_secs(3_600);

/// Packets of one port since the start; `tx` without our own adverts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PortTraffic {
    pub(super) rx: u64,
    pub(super) tx: u64,
}

impl PortTraffic {
    fn since(self, earlier: Self) -> Option<Self> {
        Some(Self { rx: self.rx.checked_sub(earlier.rx)?, tx: self.tx.checked_sub(earlier.tx)? })
    }
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    at: Instant,
    inside: PortTraffic,
    outside: PortTraffic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    Passes,
    Stuck,
    Quiet,
}

/// One pair.
#[derive(Debug, Default)]
pub(super) struct PassingWatch {
    readings: VecDeque<Reading>,
    /// It was seen to pass since this node began to serve on it.
    proven: bool,
    /// Since when it counts as not passing.
    failed_at: Option<Instant>,
    /// Failures in a row, without passing in between.
    failures: u32,
    passes: bool,
}

impl PassingWatch {
    /// A port changed: whatever was wrong may be mended.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// The verdict after a reading, over `window`. `serves`: this node is Active on one of the ports.
    pub(super) fn sample(
        &mut self,
        now: Instant,
        window: Duration,
        serves: bool,
        inside: PortTraffic,
        outside: PortTraffic,
    ) -> Option<bool> {
        if self.failed_at.is_some_and(|at| now.since(at) >= self.retry_after()) {
            self.failed_at = None;
        }
        if !serves {
            self.readings.clear();
            (self.proven, self.passes) = (false, false);
            return self.verdict();
        }
        match self.look(Reading { at: now, inside, outside }, window) {
            Some(Finding::Passes) => {
                *self = Self {
                    readings: std::mem::take(&mut self.readings),
                    proven: true,
                    passes: true,
                    ..Self::default()
                };
            }
            Some(Finding::Stuck) if self.failed_at.is_none() && (self.proven || self.failures > 0) => {
                self.failed_at = Some(now);
                self.failures = self.failures.saturating_add(1);
                self.passes = false;
            }
            Some(Finding::Stuck | Finding::Quiet) => self.passes = false,
            None => {}
        }
        self.verdict()
    }

    fn verdict(&self) -> Option<bool> {
        match self.failed_at {
            Some(_) => Some(false),
            None => self.passes.then_some(true),
        }
    }

    fn retry_after(&self) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(u64::BITS / 4);
        SHORTEST_RETRY.scaled(1 << doublings, 1).min(LONGEST_RETRY)
    }

    /// What the last `window` shows; none until it is filled.
    fn look(&mut self, last: Reading, window: Duration) -> Option<Finding> {
        self.readings.push_back(last);
        while self.readings.get(1).is_some_and(|second| last.at.since(second.at) >= window) {
            self.readings.pop_front();
        }
        let first = *self.readings.front()?;
        let span = last.at.since(first.at);
        if span < window {
            return None;
        }
        let moved = last.inside.since(first.inside).zip(last.outside.since(first.outside));
        let Some((inside, outside)) = moved else {
            // The counters began anew.
            self.readings.clear();
            return None;
        };
        let expected = EXPECTED_PPS.saturating_mul(span.as_nanos()) / Duration::from_secs(1).as_nanos();
        Some(match (way(inside, outside, expected), way(outside, inside, expected)) {
            (Finding::Stuck, _) | (_, Finding::Stuck) => Finding::Stuck,
            (Finding::Passes, _) | (_, Finding::Passes) => Finding::Passes,
            (Finding::Quiet, Finding::Quiet) => Finding::Quiet,
        })
    }
}

/// One direction: what arrived at `from` and left at `to`.
fn way(from: PortTraffic, to: PortTraffic, expected: u64) -> Finding {
    if from.rx < expected {
        Finding::Quiet
    } else if to.tx >= (from.rx / JOINED_PACKETS).max(1) {
        Finding::Passes
    } else if to.tx == 0 && from.tx.saturating_mul(ANSWERED_PART) < from.rx {
        Finding::Stuck
    } else {
        Finding::Quiet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(1);
    const TICK_MS: u64 = 100;

    /// A pair under constant rates, packets per second: inside rx and tx, outside rx and tx.
    #[derive(Default)]
    struct Feed {
        watch: PassingWatch,
        ms: u64,
        inside: PortTraffic,
        outside: PortTraffic,
    }

    impl Feed {
        fn seconds(&mut self, seconds: u64, serves: bool, rates: [u64; 4]) -> Option<bool> {
            let mut verdict = None;
            for _ in 0..seconds * 1_000 / TICK_MS {
                self.ms += TICK_MS;
                let add = |count: &mut u64, rate: u64| *count += rate * TICK_MS / 1_000;
                add(&mut self.inside.rx, rates[0]);
                add(&mut self.inside.tx, rates[1]);
                add(&mut self.outside.rx, rates[2]);
                add(&mut self.outside.tx, rates[3]);
                let now = Instant::from_nanos(0) + Duration::from_millis(self.ms);
                verdict = self.watch.sample(now, WINDOW, serves, self.inside, self.outside);
            }
            verdict
        }
    }

    const FLOWS: [u64; 4] = [1_000, 900, 900, 1_000];
    const EATEN: [u64; 4] = [1_000, 0, 0, 0];

    #[test]
    fn what_passed_and_no_longer_leaves_is_a_fault() {
        let mut feed = Feed::default();
        assert_eq!(feed.seconds(3, true, FLOWS), Some(true));
        assert_eq!(feed.seconds(3, true, EATEN), Some(false));
    }

    #[test]
    fn both_directions_count() {
        let mut feed = Feed::default();
        assert_eq!(feed.seconds(3, true, [0, 1_000, 1_000, 0]), Some(true));
        assert_eq!(feed.seconds(3, true, [0, 0, 1_000, 0]), Some(false));
    }

    #[test]
    fn a_pair_that_never_passed_is_not_judged() {
        assert_eq!(Feed::default().seconds(60, true, EATEN), None);
    }

    #[test]
    fn a_quiet_network_and_a_talk_with_the_gateway_are_no_fault() {
        for rates in [[0, 0, 0, 0], [99, 0, 0, 0], [1_000, 500, 0, 0]] {
            let mut feed = Feed::default();
            feed.seconds(3, true, FLOWS);
            assert_eq!(feed.seconds(60, true, rates), None, "{rates:?}");
        }
    }

    #[test]
    fn a_backup_is_not_judged_by_what_it_sees() {
        let mut feed = Feed::default();
        feed.seconds(3, true, FLOWS);
        assert_eq!(feed.seconds(3, false, EATEN), None);
        assert_eq!(feed.seconds(3, true, EATEN), None, "and has to prove itself again");
    }

    #[test]
    fn a_fault_outlasts_the_service_and_is_tried_again_at_growing_distances() {
        let mut feed = Feed::default();
        feed.seconds(3, true, FLOWS);
        assert_eq!(feed.seconds(2, true, EATEN), Some(false));
        assert_eq!(feed.seconds(55, false, [0; 4]), Some(false));
        assert_eq!(feed.seconds(10, false, [0; 4]), None);
        assert_eq!(feed.seconds(2, true, EATEN), Some(false), "what has failed needs no further proof");
        assert_eq!(feed.seconds(110, false, [0; 4]), Some(false));
        assert_eq!(feed.seconds(15, false, [0; 4]), None);
        assert_eq!(feed.seconds(2, true, FLOWS), Some(true));
        assert_eq!(feed.watch.failures, 0);
    }

    #[test]
    fn traffic_that_flows_again_ends_the_fault_at_once() {
        let mut feed = Feed::default();
        feed.seconds(3, true, FLOWS);
        feed.seconds(2, true, EATEN);
        assert_eq!(feed.seconds(2, true, FLOWS), Some(true));
    }

    #[test]
    fn counters_that_begin_anew_prove_nothing() {
        let mut feed = Feed::default();
        feed.seconds(3, true, FLOWS);
        (feed.inside, feed.outside) = Default::default();
        assert_eq!(feed.seconds(1, true, EATEN), Some(true), "as before, until a window is filled");
    }
}
