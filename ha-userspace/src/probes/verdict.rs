//! When a peer counts as unhealthy: no answer on any path, and nothing heard from it since. Pure.
//!
//! The monitor says whether the peer answers. A peer whose requests still come is alive though it answers nobody (our
//! requests or its replies are lost), so that verdict waits until its requests have been missing for as long as answers
//! must be. It ends by itself with either: answers again, or silence.

use holdfast_engine::{Duration, Health, Instant, PeerMonitor};

/// What was told about a peer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Verdict {
    told: Health,
}

/// A peer's health changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) health: Health,
    /// Since when it has been silent, if it is unhealthy.
    pub(super) silent_since: Option<Instant>,
}

impl Verdict {
    pub(super) const fn told(&self) -> Health {
        self.told
    }

    /// Whether a verdict of the monitor is waiting for the peer's requests to end.
    pub(super) fn is_withheld(&self, monitor: &PeerMonitor) -> bool {
        monitor.health() == Health::Unhealthy && self.told != Health::Unhealthy
    }

    /// Looks again. `last_request` is when the last request of the peer came on any path.
    pub(super) fn judge(
        &mut self,
        now: Instant,
        monitor: &PeerMonitor,
        last_request: Option<Instant>,
        detection: Duration,
    ) -> Option<Change> {
        let health = monitor.health();
        if health == self.told {
            return None;
        }
        let mut silent_since = None;
        if health == Health::Unhealthy {
            // None: answers have begun to come again.
            let unanswered_since = monitor.silent_since()?;
            let heard = last_request.filter(|heard| *heard > unanswered_since);
            if heard.is_some_and(|heard| now.since(heard) < detection) {
                return None;
            }
            silent_since = heard.or(Some(unanswered_since));
        }
        self.told = health;
        Some(Change { health, silent_since })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_engine::{Check, CheckSettings, PathIndex};

    const SETTINGS: CheckSettings = CheckSettings::new(Duration::from_millis(10), 3, 2);
    const PATH: PathIndex = PathIndex(0);
    const ANSWERED: Check = Check::Answered { rtt: Duration::from_nanos(1) };

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    /// A peer that answered once, then missed three checks, at 10 to 30 ms.
    fn silent_peer() -> (PeerMonitor, Verdict) {
        let mut monitor = PeerMonitor::new(SETTINGS, 1);
        monitor.checked(at(0), PATH, ANSWERED);
        let mut verdict = Verdict::default();
        let first = verdict.judge(at(0), &monitor, None, SETTINGS.detection_time());
        assert_eq!(first, Some(Change { health: Health::Healthy, silent_since: None }));
        for millis in [10, 20, 30] {
            monitor.checked(at(millis), PATH, Check::Missed);
        }
        (monitor, verdict)
    }

    fn judge(verdict: &mut Verdict, now: u64, monitor: &PeerMonitor, heard: u64) -> Option<Change> {
        verdict.judge(at(now), monitor, Some(at(heard)), SETTINGS.detection_time())
    }

    #[test]
    fn what_was_heard_before_the_first_miss_saves_nobody() {
        let (monitor, mut verdict) = silent_peer();
        let unhealthy = Change { health: Health::Unhealthy, silent_since: Some(at(10)) };
        assert_eq!(judge(&mut verdict, 30, &monitor, 10), Some(unhealthy));
        assert_eq!(judge(&mut verdict, 40, &monitor, 10), None, "told once");
    }

    #[test]
    fn requests_heard_since_the_first_miss_delay_until_they_end() {
        let (monitor, mut verdict) = silent_peer();
        assert_eq!(judge(&mut verdict, 30, &monitor, 11), None);
        assert!(verdict.is_withheld(&monitor));
        assert_eq!(judge(&mut verdict, 1_000, &monitor, 995), None, "however long");
        assert_eq!(judge(&mut verdict, 1_024, &monitor, 995), None);
        let unhealthy = Change { health: Health::Unhealthy, silent_since: Some(at(995)) };
        assert_eq!(judge(&mut verdict, 1_025, &monitor, 995), Some(unhealthy));
        assert!(!verdict.is_withheld(&monitor));
    }

    #[test]
    fn answers_that_come_back_end_what_was_withheld_untold() {
        let (mut monitor, mut verdict) = silent_peer();
        assert_eq!(judge(&mut verdict, 30, &monitor, 29), None);
        monitor.checked(at(40), PATH, ANSWERED);
        assert_eq!(judge(&mut verdict, 500, &monitor, 29), None, "answering again, not yet recovered");
        monitor.checked(at(50), PATH, ANSWERED);
        assert_eq!(judge(&mut verdict, 510, &monitor, 29), None);
        assert_eq!(verdict.told(), Health::Healthy);
    }
}
