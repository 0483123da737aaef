//! Fingerprints in which time is relative: what matters of an instant is how long ago it was, or how far ahead it is.
//!
//! The engine's instants and its numbers of grants, which are made of instants, are the only integers of 64 bits as large as
//! [`EPOCH`]; spans, counters and bit sets are far smaller. Ages past the longest span that any rule looks back are one age.

use holdfast_engine::{Duration, Instant};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Where the model's clock begins. Nothing but instants and numbers of grants is as large.
pub const EPOCH: u64 = 1_000_000_000_000_000;
/// Far below the clock's beginning, far above every span.
const SMALLEST_INSTANT: u64 = EPOCH / 2;

/// Hashes relative to an instant.
#[derive(Debug)]
pub struct RelativeHasher {
    now: u64,
    oldest: u64,
    inner: DefaultHasher,
}

impl RelativeHasher {
    /// `memory`: ages beyond it are one age.
    pub fn new(now: Instant, memory: Duration) -> Self {
        RelativeHasher { now: now.as_nanos(), oldest: memory.as_nanos(), inner: DefaultHasher::new() }
    }

    /// The fingerprint of a value at `now`.
    pub fn of(value: &impl Hash, now: Instant, memory: Duration) -> u64 {
        let mut hasher = RelativeHasher::new(now, memory);
        value.hash(&mut hasher);
        hasher.finish()
    }
}

impl Hasher for RelativeHasher {
    fn finish(&self) -> u64 {
        self.inner.finish()
    }

    fn write(&mut self, bytes: &[u8]) {
        self.inner.write(bytes);
    }

    fn write_u64(&mut self, value: u64) {
        if value < SMALLEST_INSTANT {
            self.inner.write_u64(value);
        } else if value > self.now {
            self.inner.write_i64((value - self.now).cast_signed());
        } else {
            self.inner.write_i64(-(self.now - value).min(self.oldest).cast_signed());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMORY: Duration = Duration::from_secs(10);

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(EPOCH) + Duration::from_millis(millis)
    }

    #[test]
    fn the_same_distance_is_the_same_and_another_is_not() {
        let print = |value: Instant, now| RelativeHasher::of(&value, now, MEMORY);
        assert_eq!(print(at(1_000), at(1_500)), print(at(7_000), at(7_500)));
        assert_ne!(print(at(1_000), at(1_500)), print(at(1_000), at(1_501)));
        assert_eq!(print(at(2_000), at(1_500)), print(at(8_000), at(7_500)));
        assert_ne!(print(at(2_000), at(1_500)), print(at(1_000), at(1_500)), "ahead is not ago");
    }

    #[test]
    fn beyond_memory_all_ages_are_one_and_spans_stay_what_they_are() {
        let print = |value: Instant, now| RelativeHasher::of(&value, now, MEMORY);
        assert_eq!(print(at(0), at(10_000)), print(at(0), at(99_000)));
        let span = |span: Duration, now| RelativeHasher::of(&span, now, MEMORY);
        assert_eq!(span(Duration::from_secs(3), at(0)), span(Duration::from_secs(3), at(9)));
        assert_ne!(span(Duration::from_secs(3), at(0)), span(Duration::from_secs(4), at(0)));
    }
}
