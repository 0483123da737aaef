//! Says in the log that frames of a virtual router are being discarded, and why: at once, and then at a bounded rate
//! (RFC 9568 section 7.1, V-062). The counters tell the whole; this is what wakes somebody up to look at them.

use ha_common::verdict_reasons::{Verdict, VerdictReason};
use holdfast_engine::{Duration, Instant, RouterId};
use std::collections::BTreeMap;

/// Between two looks at the counters.
const PERIOD: Duration = Duration::from_secs(1);
/// Between two lines about one reason of one router.
const QUIET: Duration = Duration::from_secs(60);

/// Reasons that need no line: normal operation, or the fence at work.
const EXPECTED: &[VerdictReason] = &[
    VerdictReason::AdvertAbsorbed,
    VerdictReason::AdvertReported,
    VerdictReason::AdvertAnswered,
    VerdictReason::AdvertLowerIgnored,
    VerdictReason::AdvertRevoked,
    VerdictReason::AdvertInitialize,
    VerdictReason::FenceArpIn,
    VerdictReason::FenceNdIn,
    VerdictReason::FenceIpIn,
    VerdictReason::FenceMacIn,
    VerdictReason::FenceTransitIn,
    VerdictReason::FenceArpOut,
    VerdictReason::FenceNdOut,
    VerdictReason::FenceIpOut,
    VerdictReason::FenceMacOut,
    VerdictReason::FenceAdvertOut,
    VerdictReason::AcceptOff,
];

/// Remembers what was counted and what was said.
#[derive(Debug, Default)]
pub(super) struct DiscardWatch {
    looked_at: Instant,
    said: BTreeMap<(RouterId, &'static str), Said>,
}

#[derive(Debug)]
struct Said {
    at: Instant,
    count: u64,
}

/// A line for the log.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Remark {
    pub(super) reason: &'static str,
    /// Frames since the last line about it.
    pub(super) frames: u64,
    pub(super) meaning: &'static str,
}

impl DiscardWatch {
    /// Whether it is time to look at the counters again.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let due = now.since(self.looked_at) >= PERIOD;
        if due {
            self.looked_at = now;
        }
        due
    }

    /// What is to be said about a router whose counters read `counts`.
    pub(super) fn look(
        &mut self,
        now: Instant,
        router: RouterId,
        counts: &BTreeMap<&'static str, u64>,
    ) -> Vec<Remark> {
        let watched = VerdictReason::ALL
            .iter()
            .filter(|reason| reason.verdict() == Verdict::Drop && !EXPECTED.contains(reason));
        let mut remarks = Vec::new();
        for reason in watched {
            let count = counts.get(reason.name()).copied().unwrap_or_default();
            let said = self.said.get(&(router, reason.name()));
            let before = said.map_or(0, |said| said.count);
            if count <= before || said.is_some_and(|said| now.since(said.at) < QUIET) {
                continue;
            }
            self.said.insert((router, reason.name()), Said { at: now, count });
            let meaning = reason.description().trim();
            remarks.push(Remark { reason: reason.name(), frames: count - before, meaning });
        }
        remarks
    }

    /// Forgets a router whose counters begin anew.
    pub(super) fn forget(&mut self, router: RouterId) {
        self.said.retain(|(known, _), _| *known != router);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTER: RouterId = RouterId(3);

    fn at(secs: u64) -> Instant {
        Instant::from_nanos(secs * 1_000_000_000)
    }

    fn frames(watch: &mut DiscardWatch, secs: u64, count: u64) -> Vec<(&'static str, u64)> {
        let counts = BTreeMap::from([("ttl-invalid", count), ("advert-absorbed", 1_000 + count)]);
        watch
            .look(at(secs), ROUTER, &counts)
            .into_iter()
            .map(|remark| (remark.reason, remark.frames))
            .collect()
    }

    #[test]
    fn v062_the_first_discard_is_said_at_once_and_the_rest_at_a_bounded_rate() {
        let mut watch = DiscardWatch::default();
        assert_eq!(frames(&mut watch, 100, 0), []);
        assert_eq!(frames(&mut watch, 101, 1), [("ttl-invalid", 1)]);
        for secs in 102..161 {
            assert_eq!(frames(&mut watch, secs, secs * 1_000), [], "at {secs}");
        }
        assert_eq!(frames(&mut watch, 161, 500_001), [("ttl-invalid", 500_000)]);
        assert_eq!(frames(&mut watch, 500, 500_001), [], "nothing new");
        watch.forget(ROUTER);
        assert_eq!(frames(&mut watch, 501, 2), [("ttl-invalid", 2)]);
    }

    #[test]
    fn the_counters_are_looked_at_once_a_second() {
        let mut watch = DiscardWatch::default();
        assert!(watch.is_due(at(5)));
        assert!(!watch.is_due(at(5)));
        assert!(watch.is_due(at(6)));
    }
}
