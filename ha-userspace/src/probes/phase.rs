//! When a peer's next requests leave. Pure: instants and chance come in.
//!
//! Drift-free: the next request is due one interval after the last was due, however late it left, and whole intervals
//! that passed meanwhile are skipped without a burst. Jitter only ever moves a request ahead of its due instant, so that
//! nodes started together do not stay in step, and detection never takes longer for it.

use crate::effects::schedule::following;
use holdfast_engine::{Duration, Instant};

/// Greatest jitter: a quarter of the interval.
const JITTER_DIVISOR: u64 = 4;

/// The schedule of one peer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Phase {
    interval: Duration,
    due: Instant,
    at: Instant,
}

impl Phase {
    /// Begins with a request at `first`.
    pub(super) fn new(first: Instant, interval: Duration) -> Self {
        Self { interval: interval.max(Duration::from_nanos(1)), due: first, at: first }
    }

    /// When to send.
    pub(super) const fn at(&self) -> Instant {
        self.at
    }

    /// What lateness is measured against.
    pub(super) fn due(&self) -> Instant {
        self.due.max(self.at)
    }

    /// Requests left, or failed to, until `sent`. The next have three quarters of an interval to be answered in at least,
    /// also when these were late.
    pub(super) fn sent(&mut self, sent: Instant, jitter: &mut Jitter) {
        let most = self.interval.scaled(1, JITTER_DIVISOR);
        let window = self.interval.scaled(JITTER_DIVISOR - 1, JITTER_DIVISOR);
        self.due = following(self.due, self.interval, sent);
        self.at = (self.due - jitter.below(most)).max(sent + window);
    }
}

/// A small generator of spread, not of secrets (SplitMix64).
#[derive(Clone, Debug)]
pub(super) struct Jitter(u64);

impl Jitter {
    const INCREMENT: u64 = 0x9e37_79b9_7f4a_7c15;

    pub(super) const fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(Self::INCREMENT);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A span from zero to `most`.
    fn below(&mut self, most: Duration) -> Duration {
        most.scaled(self.next() >> 32, u64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(10);

    fn at(micros: u64) -> Instant {
        Instant::from_nanos(micros * 1_000)
    }

    #[test]
    fn requests_stay_in_their_quarter_and_do_not_drift() {
        let mut jitter = Jitter::seeded(7);
        let mut phase = Phase::new(at(0), INTERVAL);
        let (mut least, mut most) = (u64::MAX, 0);
        for tick in 1..=10_000u64 {
            phase.sent(phase.at(), &mut jitter);
            let ahead = at(tick * 10_000).since(phase.at()).as_nanos();
            assert!(phase.at() <= at(tick * 10_000) && ahead <= 2_500_000, "tick {tick}: {ahead} ns ahead");
            (least, most) = (least.min(ahead), most.max(ahead));
        }
        assert!(least < 100_000 && most > 2_400_000, "spread over the quarter: {least} to {most}");
    }

    #[test]
    fn a_late_request_moves_no_other_for_long_and_shortens_no_window() {
        let mut jitter = Jitter::seeded(1);
        let mut phase = Phase::new(at(0), INTERVAL);
        let mut sent = at(9_000);
        for tick in 1..=10u64 {
            phase.sent(sent, &mut jitter);
            assert!(phase.at() >= sent + Duration::from_nanos(7_500_000), "tick {tick}");
            sent = phase.at();
        }
        assert!(at(100_000).since(sent) <= Duration::from_nanos(2_500_000) && sent <= at(100_000));
    }

    #[test]
    fn a_stall_skips_without_a_burst_and_keeps_the_phase() {
        let mut jitter = Jitter::seeded(1);
        let mut phase = Phase::new(at(0), INTERVAL);
        phase.sent(at(57_300), &mut jitter);
        assert_eq!(phase.due, at(60_000));
        assert_eq!(phase.at(), at(64_800), "three quarters of an interval after the late one");
        assert_eq!(phase.due(), at(64_800), "which does not make it late");
    }

    #[test]
    fn the_same_seed_gives_the_same_times() {
        let times = |seed| {
            let mut jitter = Jitter::seeded(seed);
            let mut phase = Phase::new(at(0), INTERVAL);
            (0..20)
                .map(|_| {
                    phase.sent(phase.at(), &mut jitter);
                    phase.at()
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(times(3), times(3));
        assert_ne!(times(3), times(4));
    }
}
