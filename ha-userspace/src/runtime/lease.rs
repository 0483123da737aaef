//! The controller's lease: when to extend it, and whether it has lapsed unnoticed.
//!
//! The lease is the controller's word that it is alive. It is extended only after a full pass of the loop, every
//! tenth of its span, and never across a lapse: a controller that slept past it has lost what it owned.

use holdfast_engine::{Duration, Instant};

/// Extensions per lease span.
const EXTENSIONS_PER_SPAN: u64 = 10;

/// The lease as last written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    span: Duration,
    until: Instant,
    extended_at: Instant,
}

impl Lease {
    pub(super) fn new(span: Duration, now: Instant) -> Self {
        Self { span, until: now, extended_at: now }
    }

    pub(super) fn span(&self) -> Duration {
        self.span
    }

    /// End of the lease as written to the map.
    pub(super) fn until(&self) -> Instant {
        self.until
    }

    pub(super) fn remaining(&self, now: Instant) -> Duration {
        self.until.since(now)
    }

    /// A reload may change the span; the next extension uses it.
    pub(super) fn set_span(&mut self, span: Duration) {
        self.span = span;
    }

    pub(super) fn lapsed(&self, now: Instant) -> bool {
        now > self.until
    }

    /// When the next extension is due.
    pub(super) fn next_extension(&self) -> Instant {
        self.extended_at + self.span.scaled(1, EXTENSIONS_PER_SPAN)
    }

    /// Notes an extension at `now`; returns the instant to write.
    pub(super) fn extend(&mut self, now: Instant) -> Instant {
        self.extended_at = now;
        self.until = now + self.span;
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Duration = Duration::from_secs(1);

    #[test]
    fn is_extended_every_tenth_and_lapses_after_its_span() {
        let start = Instant::from_nanos(5_000_000_000);
        let mut lease = Lease::new(SPAN, start);
        assert_eq!(lease.extend(start), start + SPAN);
        assert_eq!(lease.next_extension(), start + Duration::from_millis(100));
        assert!(!lease.lapsed(start + SPAN));
        assert!(lease.lapsed(start + SPAN + Duration::from_nanos(1)));
        assert_eq!(lease.remaining(start + Duration::from_millis(300)), Duration::from_millis(700));
    }

    #[test]
    fn a_new_span_counts_from_the_next_extension() {
        let start = Instant::from_nanos(0);
        let mut lease = Lease::new(SPAN, start);
        lease.extend(start);
        lease.set_span(Duration::from_secs(2));
        assert_eq!(lease.until(), start + SPAN);
        assert_eq!(lease.extend(start + Duration::from_millis(200)), start + Duration::from_millis(2200));
    }
}
