//! Failover on low bandwidth: one guard per monitored link and direction.
//!
//! Input are rates, measured by whoever reads the counters, and whether this node owns. A guard says once that its link
//! passes too little; it moves nothing. It is made so that a quiet network moves nothing, and two nodes that both pass too
//! little do not pass ownership back and forth: only an owner that was seen to do better can fail.

use crate::rate::BitRate;
use crate::time::{Duration, Instant};
use serde::{Deserialize, Serialize};

/// A gap between samples longer than this part of the interval proves nothing about the time in it.
const GAP_DIVISOR: u64 = 2;
/// The guard's rates are averages over this part of the interval.
const MEASURE_DIVISOR: u64 = 5;

/// `[bandwidth]` and `[[link]]`, for one link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BandwidthSettings {
    pub minimum: BitRate,
    pub interval: Duration,
}

impl BandwidthSettings {
    /// Over what the rates that a guard is given are averaged ([`crate::RateWindow::rate_over`]): short enough that "the
    /// whole interval" is made of several, so that a shorter dip or burst is seen as one.
    pub const fn measured_over(&self) -> Duration {
        self.interval.scaled(1, MEASURE_DIVISOR)
    }
}

/// What a sample changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BandwidthEvent {
    /// This owner has passed the minimum for a whole interval: from now on less is a fault.
    Armed,
    /// Below the minimum for a whole interval although there was demand. Said once; then disarmed.
    TooLow { rate: BitRate, minimum: BitRate, demand: BitRate, since: Instant },
}

/// What status shows of a guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BandwidthView {
    pub minimum: BitRate,
    pub interval: Duration,
    pub armed: bool,
    /// As of the last sample.
    pub rate: Option<BitRate>,
    pub demand: Option<BitRate>,
    /// Since when an armed owner is below with demand: fires one interval later.
    pub below_since: Option<Instant>,
    pub failures: u64,
}

/// One link and direction of this node.
///
/// ```text
///              at the minimum or above, as owner,                below, with demand at the minimum or
///              in every sample of an interval                    above, in every sample of an interval
///   Disarmed ------------------------------------------> Armed ---------------------------------------> Disarmed, TooLow
///       ^                                                   |
///       +------------------ not owner ----------------------+
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BandwidthGuard {
    settings: BandwidthSettings,
    armed: bool,
    above_since: Option<Instant>,
    below_since: Option<Instant>,
    last: Option<Sample>,
    failures: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sample {
    at: Instant,
    rate: BitRate,
    demand: Option<BitRate>,
}

impl BandwidthGuard {
    pub const fn new(settings: BandwidthSettings) -> Self {
        Self { settings, armed: false, above_since: None, below_since: None, last: None, failures: 0 }
    }

    /// Other settings, at a reload: what was seen against another minimum or interval is forgotten.
    pub fn reconfigure(&mut self, settings: BandwidthSettings) {
        if self.settings != settings {
            *self = Self { failures: self.failures, ..Self::new(settings) };
        }
    }

    /// The link's rate over [`BandwidthSettings::measured_over`], several times per interval.
    ///
    /// `demand` is what arrives to be passed on through this link: the rate in the same direction on the other side of its
    /// pair; without pairs the greatest rate in on any other monitored link of this node. None, or less than the minimum,
    /// is a quiet network, where little passes because little is asked.
    pub fn sample(
        &mut self,
        now: Instant,
        owner: bool,
        rate: BitRate,
        demand: Option<BitRate>,
    ) -> Option<BandwidthEvent> {
        let longest_gap = self.settings.interval.scaled(1, GAP_DIVISOR);
        if self.last.is_none_or(|last| now.since(last.at) > longest_gap) {
            self.above_since = None;
            self.below_since = None;
        }
        self.last = Some(Sample { at: now, rate, demand });
        let minimum = self.settings.minimum;
        if !owner {
            self.armed = false;
            self.above_since = None;
            self.below_since = None;
            None
        } else if rate >= minimum {
            self.below_since = None;
            self.above(now)
        } else {
            self.above_since = None;
            self.below(now, rate, demand.filter(|demand| self.armed && *demand >= minimum))
        }
    }

    fn above(&mut self, now: Instant) -> Option<BandwidthEvent> {
        let since = *self.above_since.get_or_insert(now);
        let arms = !self.armed && now.since(since) >= self.settings.interval;
        self.armed |= arms;
        arms.then_some(BandwidthEvent::Armed)
    }

    fn below(&mut self, now: Instant, rate: BitRate, demand: Option<BitRate>) -> Option<BandwidthEvent> {
        let Some(demand) = demand else {
            self.below_since = None;
            return None;
        };
        let since = *self.below_since.get_or_insert(now);
        if now.since(since) < self.settings.interval {
            return None;
        }
        self.armed = false;
        self.below_since = None;
        self.failures += 1;
        Some(BandwidthEvent::TooLow { rate, minimum: self.settings.minimum, demand, since })
    }

    /// When the guard will arm or fire if its samples stay as they are; it does so on a sample, never by itself.
    pub fn deadline(&self) -> Option<Instant> {
        let arming = self.above_since.filter(|_| !self.armed);
        arming.or(self.below_since).map(|since| since + self.settings.interval)
    }

    pub const fn is_armed(&self) -> bool {
        self.armed
    }

    pub fn view(&self) -> BandwidthView {
        BandwidthView {
            minimum: self.settings.minimum,
            interval: self.settings.interval,
            armed: self.armed,
            rate: self.last.map(|last| last.rate),
            demand: self.last.and_then(|last| last.demand),
            below_since: self.below_since,
            failures: self.failures,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: BandwidthSettings =
        BandwidthSettings { minimum: BitRate::from_bps(10_000_000), interval: Duration::from_secs(10) };
    const GOOD: u64 = 12_000_000;
    const POOR: u64 = 9_999_999;

    /// A guard fed once a second.
    struct Feed {
        guard: BandwidthGuard,
        second: u64,
        owner: bool,
    }

    impl Feed {
        fn new() -> Self {
            Self { guard: BandwidthGuard::new(SETTINGS), second: 0, owner: true }
        }

        fn armed() -> Self {
            let mut feed = Self::new();
            assert_eq!(feed.seconds(11, GOOD, None), [(10, BandwidthEvent::Armed)]);
            feed
        }

        fn seconds(&mut self, seconds: u64, rate: u64, demand: Option<u64>) -> Vec<(u64, BandwidthEvent)> {
            let mut events = Vec::new();
            for _ in 0..seconds {
                let now = Instant::from_nanos(0) + Duration::from_secs(self.second);
                let rate = BitRate::from_bps(rate);
                let event = self.guard.sample(now, self.owner, rate, demand.map(BitRate::from_bps));
                events.extend(event.map(|event| (self.second, event)));
                self.second += 1;
            }
            events
        }
    }

    #[test]
    fn fires_once_after_a_whole_interval_below_with_demand() {
        let mut feed = Feed::armed();
        let began = Instant::from_nanos(0) + Duration::from_secs(11);
        assert_eq!(feed.guard.deadline(), None);
        assert_eq!(feed.seconds(10, POOR, Some(GOOD)), []);
        assert_eq!(feed.guard.deadline(), Some(began + SETTINGS.interval));
        let (rate, demand) = (BitRate::from_bps(POOR), BitRate::from_bps(GOOD));
        let fired = BandwidthEvent::TooLow { rate, minimum: SETTINGS.minimum, demand, since: began };
        assert_eq!(feed.seconds(100, POOR, Some(GOOD)), [(21, fired)]);
        assert_eq!(feed.guard.view().failures, 1);
    }

    #[test]
    fn a_dip_shorter_than_the_interval_is_forgiven() {
        let mut feed = Feed::armed();
        for _ in 0..10 {
            assert_eq!(feed.seconds(10, POOR, Some(GOOD)), []);
            assert_eq!(feed.seconds(1, GOOD, Some(GOOD)), []);
        }
        assert!(feed.guard.is_armed());
    }

    #[test]
    fn a_quiet_night_moves_nothing() {
        let mut feed = Feed::armed();
        assert_eq!(feed.seconds(1_000, 0, Some(POOR)), []);
        assert_eq!(feed.seconds(1_000, 0, None), []);
        assert!(feed.guard.is_armed(), "and the morning is guarded");
        assert_eq!(feed.seconds(11, 0, Some(GOOD)).len(), 1);
    }

    #[test]
    fn demand_must_last_the_whole_interval() {
        let mut feed = Feed::armed();
        for _ in 0..10 {
            assert_eq!(feed.seconds(10, 0, Some(GOOD)), []);
            assert_eq!(feed.seconds(1, 0, Some(POOR)), []);
        }
    }

    #[test]
    fn an_owner_that_never_did_better_does_not_fail() {
        let mut feed = Feed::new();
        assert_eq!(feed.seconds(100, POOR, Some(GOOD)), []);
        assert_eq!(feed.seconds(10, GOOD, Some(GOOD)), [], "nine seconds are no interval");
        assert_eq!(feed.seconds(100, POOR, Some(GOOD)), []);
    }

    #[test]
    fn losing_ownership_disarms() {
        let mut feed = Feed::armed();
        feed.seconds(9, POOR, Some(GOOD));
        feed.owner = false;
        assert_eq!(feed.seconds(1, GOOD, Some(GOOD)), []);
        feed.owner = true;
        assert_eq!(feed.seconds(100, POOR, Some(GOOD)), []);
    }

    #[test]
    fn a_gap_in_the_samples_proves_nothing() {
        let mut feed = Feed::new();
        feed.seconds(1, GOOD, None);
        feed.second += 100;
        assert_eq!(feed.seconds(1, GOOD, None), []);
        let mut feed = Feed::armed();
        feed.seconds(5, POOR, Some(GOOD));
        feed.second += 5;
        assert_eq!(feed.seconds(10, POOR, Some(GOOD)), []);
        assert_eq!(feed.seconds(1, POOR, Some(GOOD)).len(), 1);
    }

    #[test]
    fn another_minimum_starts_afresh_and_the_same_one_does_not() {
        let mut feed = Feed::armed();
        feed.guard.reconfigure(SETTINGS);
        assert!(feed.guard.is_armed());
        feed.guard.reconfigure(BandwidthSettings { minimum: BitRate::from_bps(1), ..SETTINGS });
        assert!(!feed.guard.is_armed());
    }
}
