//! Bits per second of each monitored link and direction, from the data plane's counters.

use ha_common::maps::values::LinkCounters;
use holdfast_engine::{Duration, Instant};
use std::collections::BTreeMap;

/// Shortest span a rate is formed over; a reading sooner repeats the last one.
const SHORTEST_SPAN: Duration = Duration::from_millis(900);
const NANOS_PER_SECOND: u128 = 1_000_000_000;
const BITS_PER_BYTE: u128 = 8;

/// Rates of one link, bits per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rates {
    pub(super) rx_bps: u64,
    pub(super) tx_bps: u64,
}

/// Remembers the last reading of each link.
#[derive(Debug, Default)]
pub(super) struct BandwidthMeter {
    links: BTreeMap<u32, Reading>,
}

#[derive(Debug)]
struct Reading {
    at: Instant,
    counters: LinkCounters,
    rates: Rates,
}

impl BandwidthMeter {
    /// Takes a reading of a link if the last is old enough.
    pub(super) fn update(&mut self, ifindex: u32, now: Instant, counters: LinkCounters) {
        let Some(last) = self.links.get_mut(&ifindex) else {
            self.links.insert(ifindex, Reading { at: now, counters, rates: Rates::default() });
            return;
        };
        let span = now.since(last.at);
        if span < SHORTEST_SPAN {
            return;
        }
        last.rates = Rates {
            rx_bps: rate(last.counters.rx_bytes, counters.rx_bytes, span),
            tx_bps: rate(last.counters.tx_bytes, counters.tx_bytes, span),
        };
        (last.at, last.counters) = (now, counters);
    }

    pub(super) fn rates(&self, ifindex: u32) -> Rates {
        self.links.get(&ifindex).map(|reading| reading.rates).unwrap_or_default()
    }

    /// Forgets links that are no longer monitored.
    pub(super) fn retain(&mut self, monitored: impl Fn(u32) -> bool) {
        self.links.retain(|ifindex, _| monitored(*ifindex));
    }
}

fn rate(before: u64, after: u64, span: Duration) -> u64 {
    let bits = u128::from(after.saturating_sub(before)) * BITS_PER_BYTE;
    u64::try_from(bits * NANOS_PER_SECOND / u128::from(span.as_nanos())).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_bits_over_the_span_between_readings() {
        let mut meter = BandwidthMeter::default();
        let counters = |rx_bytes, tx_bytes| LinkCounters { rx_bytes, tx_bytes, ..LinkCounters::default() };
        let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
        meter.update(3, at(0), counters(0, 1_000));
        assert_eq!(meter.rates(3), Rates::default());
        meter.update(3, at(500), counters(9_999_999, 9_999_999));
        assert_eq!(meter.rates(3), Rates::default(), "too soon to form a rate");
        meter.update(3, at(2_000), counters(2_500_000, 1_250_000 + 1_000));
        assert_eq!(meter.rates(3), Rates { rx_bps: 10_000_000, tx_bps: 5_000_000 });
        meter.retain(|ifindex| ifindex != 3);
        assert_eq!(meter.rates(3), Rates::default());
    }
}
