//! Bit rates from cumulative byte counters, averaged over a sliding window in integers.
//!
//! Readings come at any pace and may restart from zero (a counter that was recreated). Nothing is judged here;
//! `bandwidth` does.

use crate::time::{Duration, Instant};
use core::fmt;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

const BITS_PER_BYTE: u128 = 8;
const NANOS_PER_SECOND: u128 = 1_000_000_000;
/// Readings closer together than this part of the window replace each other, which bounds the memory.
const SLOTS: u64 = 64;

/// Bits per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BitRate(u64);

impl BitRate {
    pub const fn from_bps(bits_per_second: u64) -> Self {
        Self(bits_per_second)
    }

    pub const fn as_bps(self) -> u64 {
        self.0
    }
}

impl fmt::Display for BitRate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} bit/s", self.0)
    }
}

/// A counter at a moment, free of restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reading {
    at: Instant,
    bytes: u128,
}

/// The recent readings of one byte counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateWindow {
    span: Duration,
    counter: u64,
    /// Oldest first. The first is the last one at or before the window's beginning, once the window is filled.
    readings: VecDeque<Reading>,
}

impl RateWindow {
    /// A window that answers for up to `span`.
    pub const fn new(span: Duration) -> Self {
        Self { span, counter: 0, readings: VecDeque::new() }
    }

    /// A counter that fell was restarted: what it shows now came after. A reading older than the last is ignored.
    pub fn sample(&mut self, now: Instant, counter: u64) {
        let Some(last) = self.readings.back().copied() else {
            self.counter = counter;
            self.readings.push_back(Reading { at: now, bytes: 0 });
            return;
        };
        if now <= last.at {
            return;
        }
        let added = counter.checked_sub(self.counter).unwrap_or(counter);
        self.counter = counter;
        let reading = Reading { at: now, bytes: last.bytes + u128::from(added) };
        if self.readings.len() > 1 && last.at.since(self.before_last()) < self.span.scaled(1, SLOTS) {
            self.readings.pop_back();
        }
        self.readings.push_back(reading);
        let begin = now - self.span;
        while self.readings.get(1).is_some_and(|second| second.at <= begin) {
            self.readings.pop_front();
        }
    }

    fn before_last(&self) -> Instant {
        let before = self.readings.len().checked_sub(2).and_then(|position| self.readings.get(position));
        before.map_or(Instant::default(), |reading| reading.at)
    }

    /// Average over the whole window; none until it is filled.
    pub fn rate(&self) -> Option<BitRate> {
        self.rate_over(self.span)
    }

    /// Average over the last `span` of the window, at least: it begins at a reading. None until so much is known.
    pub fn rate_over(&self, span: Duration) -> Option<BitRate> {
        let last = self.readings.back()?;
        let first = self.readings.iter().rev().find(|reading| last.at.since(reading.at) >= span)?;
        let nanos = u128::from(last.at.since(first.at).as_nanos());
        let bits = (last.bytes - first.bytes) * BITS_PER_BYTE;
        let rate = bits.checked_mul(NANOS_PER_SECOND)?.checked_div(nanos)?;
        Some(BitRate(u64::try_from(rate).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Duration = Duration::from_secs(10);

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(7) + Duration::from_millis(millis)
    }

    #[test]
    fn the_average_covers_the_window_and_nothing_older() {
        let mut window = RateWindow::new(SPAN);
        // 8 kbit/s for 10 s, then nothing.
        for second in 0..=10 {
            assert_eq!(window.rate(), None, "{second}");
            window.sample(at(second * 1_000), 5_000 + second * 1_000);
        }
        assert_eq!(window.rate(), Some(BitRate(8_000)));
        for second in 11..=15 {
            window.sample(at(second * 1_000), 15_000);
        }
        assert_eq!(window.rate(), Some(BitRate(4_000)));
        assert_eq!(window.rate_over(Duration::from_secs(2)), Some(BitRate(0)));
        assert_eq!(window.rate_over(Duration::from_secs(6)), Some(BitRate(1_333)));
    }

    #[test]
    fn a_counter_that_restarts_loses_nothing_after_the_restart() {
        let mut window = RateWindow::new(SPAN);
        window.sample(at(0), u64::MAX - 1_000);
        window.sample(at(5_000), u64::MAX);
        window.sample(at(10_000), 1_500);
        assert_eq!(window.rate(), Some(BitRate(2_500 * 8 / 10)));
    }

    #[test]
    fn a_gap_is_averaged_over_its_whole_length() {
        let mut window = RateWindow::new(SPAN);
        window.sample(at(0), 0);
        window.sample(at(100_000), 1_000_000);
        assert_eq!(window.rate(), Some(BitRate(80_000)));
        window.sample(at(99_000), 9_000_000);
        assert_eq!(window.rate(), Some(BitRate(80_000)), "an older reading is ignored");
    }

    #[test]
    fn memory_is_bounded_at_any_pace() {
        let mut window = RateWindow::new(SPAN);
        for milli in 0..40_000 {
            window.sample(at(milli), milli * 125);
        }
        assert!(window.readings.len() <= SLOTS as usize + 3, "{}", window.readings.len());
        assert_eq!(window.rate(), Some(BitRate(1_000_000)));
    }

    #[test]
    fn the_fastest_counter_overflows_nothing() {
        let mut window = RateWindow::new(Duration::from_nanos(1));
        for nano in 0..4 {
            window.sample(Instant::from_nanos(nano), if nano % 2 == 0 { 0 } else { u64::MAX });
        }
        assert_eq!(window.rate(), Some(BitRate(u64::MAX)));
    }
}
