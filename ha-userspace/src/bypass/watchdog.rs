//! When the hardware's watchdog is petted: once per interval, and only while the data plane has proven a round trip
//! within the last one. No proof, no pet: then the hardware bridges the ports, which is what it is for.

use holdfast_engine::{Duration, Instant};

/// How often a withheld pet is looked at again, in parts of the interval.
const LOOKS_PER_INTERVAL: u64 = 8;

/// The pets' timing. Time comes in by argument.
#[derive(Debug)]
pub(super) struct PetTimer {
    pub(super) timeout: std::time::Duration,
    interval: Duration,
    due_at: Instant,
}

impl PetTimer {
    pub(super) fn new(timeout: std::time::Duration, interval: std::time::Duration, now: Instant) -> Self {
        let nanos = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
        Self { timeout, interval: Duration::from_nanos(nanos), due_at: now }
    }

    /// Whether to pet now, given when the data plane last proved a round trip.
    pub(super) fn is_due(&self, now: Instant, proven_at: Option<Instant>) -> bool {
        now >= self.due_at && proven_at.is_some_and(|at| now.since(at) <= self.interval)
    }

    /// Whether a whole interval has passed beyond the instant at which a pet was due.
    pub(super) fn is_withheld(&self, now: Instant) -> bool {
        now > self.due_at + self.interval
    }

    /// Notes that pets were given.
    pub(super) fn petted(&mut self, now: Instant) {
        self.due_at = now + self.interval;
    }

    /// When to look again.
    pub(super) fn next_look(&self, now: Instant) -> Instant {
        if self.due_at > now { self.due_at } else { now + self.interval.scaled(1, LOOKS_PER_INTERVAL) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: std::time::Duration = std::time::Duration::from_secs(1);

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(1_000_000 * (10_000 + ms))
    }

    fn timer() -> PetTimer {
        PetTimer::new(3 * SECOND, SECOND, at(0))
    }

    #[test]
    fn nothing_is_petted_without_proof() {
        let timer = timer();
        assert!(!timer.is_due(at(0), None));
        assert!(!timer.is_due(at(60_000), None));
        assert!(timer.is_withheld(at(1001)) && !timer.is_withheld(at(1000)));
    }

    #[test]
    fn a_proof_counts_for_one_interval() {
        let mut timer = timer();
        assert!(timer.is_due(at(5), Some(at(5))));
        timer.petted(at(5));
        assert!(!timer.is_due(at(1004), Some(at(1004))), "not before its time");
        assert!(timer.is_due(at(1005), Some(at(5))), "just fresh enough");
        assert!(!timer.is_due(at(1006), Some(at(5))), "too old");
        assert!(timer.is_due(at(1500), Some(at(1500))), "as soon as there is proof again");
    }

    #[test]
    fn the_next_look_is_the_next_pet_or_soon_where_it_is_withheld() {
        let mut timer = timer();
        timer.petted(at(0));
        assert_eq!(timer.next_look(at(1)), at(1000));
        assert_eq!(timer.next_look(at(1000)), at(1125));
    }
}
