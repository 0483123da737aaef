//! Health of one probe path to a peer, from its checks.
//!
//! Whoever sends the probes tells [`PathMonitor::checked`] once per interval how the check that just ended went. Time
//! alone changes nothing here, so there is no deadline: a sender that stops is its own fault and judges nobody.
//! `peer_health` puts the paths of a peer together.

use crate::time::{Duration, Instant};
use core::fmt;
use serde::{Deserialize, Serialize};

/// A check sent later than this much of its interval counts against nobody: one half.
const LATE_DIVISOR: u64 = 2;
/// Lateness that is forgiven at any interval.
const LEAST_LATENESS: Duration = Duration::from_millis(1);
/// Weight of one round trip in the smoothed one: one eighth (as RFC 6298 section 2.3).
const SMOOTHING: u64 = 8;

/// A path to a peer, by the position of its address in `peer.addresses`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PathIndex(pub u8);

/// How a path or a peer fares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Not judged yet.
    #[default]
    Unknown,
    Healthy,
    Unhealthy,
}

impl fmt::Display for Health {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        })
    }
}

/// How one check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// A reply came in time. It counts however late we were ourselves.
    Answered { rtt: Duration },
    /// Sent in time, awaited throughout, and not answered.
    Missed,
    /// Not answered, but sent late ([`CheckSettings::is_late`]) or ended by a loop that had a gap: our own fault.
    /// `heard_others`: frames of others arrived on this path's interface meanwhile, so we were not deaf.
    Void { heard_others: bool },
}

/// `[peer_check]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckSettings {
    interval: Duration,
    failure_threshold: u32,
    recovery_threshold: u32,
}

impl CheckSettings {
    /// A threshold of 0 is taken as 1.
    pub const fn new(interval: Duration, failure_threshold: u32, recovery_threshold: u32) -> Self {
        const fn at_least_one(threshold: u32) -> u32 {
            if threshold == 0 { 1 } else { threshold }
        }
        Self {
            interval,
            failure_threshold: at_least_one(failure_threshold),
            recovery_threshold: at_least_one(recovery_threshold),
        }
    }

    pub const fn interval(&self) -> Duration {
        self.interval
    }

    pub const fn failure_threshold(&self) -> u32 {
        self.failure_threshold
    }

    pub const fn recovery_threshold(&self) -> u32 {
        self.recovery_threshold
    }

    /// Time in which a dead path is found: interval times failure threshold.
    pub const fn detection_time(&self) -> Duration {
        self.interval.scaled(self.failure_threshold as u64, 1)
    }

    /// Whether a check that was due at `due` and left (or was looked at) at `done` was too late to count against the
    /// peer: by more than half an interval and more than a millisecond.
    pub fn is_late(&self, due: Instant, done: Instant) -> bool {
        done.since(due) > self.interval.scaled(1, LATE_DIVISOR).max(LEAST_LATENESS)
    }
}

/// A path or a peer changed its health.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthChange {
    pub at: Instant,
    pub from: Health,
    pub to: Health,
    /// When what is unhealthy fell silent: see [`PathMonitor::missing_since`] and [`crate::PeerMonitor::silent_since`].
    pub silent_since: Option<Instant>,
}

/// Round-trip times of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundTrips {
    pub last: Duration,
    pub smoothed: Duration,
    pub least: Duration,
    pub most: Duration,
}

impl RoundTrips {
    const fn first(rtt: Duration) -> Self {
        Self { last: rtt, smoothed: rtt, least: rtt, most: rtt }
    }

    fn then(self, rtt: Duration) -> Self {
        Self {
            last: rtt,
            smoothed: self.smoothed.scaled(SMOOTHING - 1, SMOOTHING) + rtt.scaled(1, SMOOTHING),
            least: self.least.min(rtt),
            most: self.most.max(rtt),
        }
    }
}

/// Checks of a path since it was configured: `ended = answered + lost + void`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckCounts {
    pub ended: u64,
    pub answered: u64,
    /// Counted against the path.
    pub lost: u64,
    /// Counted against nobody.
    pub void: u64,
}

/// One probe path of a peer.
///
/// ```text
///            1 answered                failure_threshold lost in a row
///   Unknown ------------> Healthy ------------------------------------> Unhealthy
///      |                     ^                                           ^   |
///      |                     +------- recovery_threshold answered -------|---+
///      +----------- failure_threshold lost in a row --------------------+
/// ```
///
/// A void check leaves both rows as they are. At most `failure_threshold` void checks in a row are forgiven; from then on
/// a void check is counted as lost if others were heard meanwhile, for then the path had its chance. While we were deaf
/// to everybody, any number is forgiven.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathMonitor {
    settings: CheckSettings,
    health: Health,
    answered_in_row: u32,
    lost_in_row: u32,
    void_in_row: u32,
    missing_since: Option<Instant>,
    last_answer: Option<Instant>,
    counts: CheckCounts,
    round_trips: Option<RoundTrips>,
}

/// What status shows of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathView {
    pub path: PathIndex,
    pub health: Health,
    pub missing_since: Option<Instant>,
    pub last_answer: Option<Instant>,
    pub answered_in_row: u32,
    pub lost_in_row: u32,
    pub counts: CheckCounts,
    pub round_trips: Option<RoundTrips>,
}

impl PathMonitor {
    pub const fn new(settings: CheckSettings) -> Self {
        Self {
            settings,
            health: Health::Unknown,
            answered_in_row: 0,
            lost_in_row: 0,
            void_in_row: 0,
            missing_since: None,
            last_answer: None,
            counts: CheckCounts { ended: 0, answered: 0, lost: 0, void: 0 },
            round_trips: None,
        }
    }

    /// Other thresholds count from the next check on; what was judged stays.
    pub const fn reconfigure(&mut self, settings: CheckSettings) {
        self.settings = settings;
    }

    /// One check ended at `now`.
    pub fn checked(&mut self, now: Instant, check: Check) -> Option<HealthChange> {
        let before = self.health;
        self.counts.ended += 1;
        match check {
            Check::Answered { rtt } => self.answered(now, rtt),
            Check::Missed => {
                self.void_in_row = 0;
                self.lost(now);
            }
            Check::Void { heard_others } => self.void(now, heard_others),
        }
        (self.health != before).then_some(HealthChange {
            at: now,
            from: before,
            to: self.health,
            silent_since: self.missing_since,
        })
    }

    fn answered(&mut self, now: Instant, rtt: Duration) {
        self.counts.answered += 1;
        self.round_trips = Some(self.round_trips.map_or(RoundTrips::first(rtt), |known| known.then(rtt)));
        self.last_answer = Some(now);
        self.missing_since = None;
        self.lost_in_row = 0;
        self.void_in_row = 0;
        self.answered_in_row = self.answered_in_row.saturating_add(1);
        if self.health == Health::Unknown || self.answered_in_row >= self.settings.recovery_threshold {
            self.health = Health::Healthy;
        }
    }

    fn lost(&mut self, now: Instant) {
        self.counts.lost += 1;
        self.missing_since = self.missing_since.or(Some(now));
        self.answered_in_row = 0;
        self.lost_in_row = self.lost_in_row.saturating_add(1);
        if self.lost_in_row >= self.settings.failure_threshold {
            self.health = Health::Unhealthy;
        }
    }

    fn void(&mut self, now: Instant, heard_others: bool) {
        let forgiven = self.void_in_row < self.settings.failure_threshold;
        self.void_in_row = self.void_in_row.saturating_add(1);
        if forgiven || !heard_others {
            self.counts.void += 1;
        } else {
            self.lost(now);
        }
    }

    pub const fn health(&self) -> Health {
        self.health
    }

    /// When the first lost check of the running row was given up; none while the last check that counted was answered.
    ///
    /// What was heard of the peer before may have left it before it died, and is no sign of life. What was heard after
    /// is. With a failure threshold of 1 there is no time in between, so nothing can speak for the peer.
    pub const fn missing_since(&self) -> Option<Instant> {
        self.missing_since
    }

    /// End of the last answered check.
    pub const fn last_answer(&self) -> Option<Instant> {
        self.last_answer
    }

    pub const fn view(&self, path: PathIndex) -> PathView {
        PathView {
            path,
            health: self.health,
            missing_since: self.missing_since,
            last_answer: self.last_answer,
            answered_in_row: self.answered_in_row,
            lost_in_row: self.lost_in_row,
            counts: self.counts,
            round_trips: self.round_trips,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(10);
    const ANSWERED: Check = Check::Answered { rtt: Duration::from_nanos(200_000) };
    const DEAF: Check = Check::Void { heard_others: false };
    const LATE: Check = Check::Void { heard_others: true };

    fn at(check: u64) -> Instant {
        Instant::from_nanos(1_000_000_000) + INTERVAL.scaled(check, 1)
    }

    /// A monitor of thresholds 3 and 5 and its health after each check.
    fn run(checks: &[Check]) -> (PathMonitor, Vec<Health>) {
        let mut monitor = PathMonitor::new(CheckSettings::new(INTERVAL, 3, 5));
        let mut healths = Vec::new();
        for (number, check) in (0..).zip(checks) {
            let before = monitor.health();
            let change = monitor.checked(at(number), *check);
            assert_eq!(change.is_some(), monitor.health() != before, "check {number}");
            healths.push(monitor.health());
        }
        (monitor, healths)
    }

    #[test]
    fn one_answer_makes_an_unknown_path_healthy() {
        assert_eq!(run(&[ANSWERED]).1, [Health::Healthy]);
        assert_eq!(run(&[Check::Missed, Check::Missed, ANSWERED]).1[1..], [Health::Unknown, Health::Healthy]);
    }

    #[test]
    fn only_a_whole_row_of_misses_makes_it_unhealthy() {
        let two = [ANSWERED, Check::Missed, Check::Missed];
        assert_eq!(run(&[two, two, two].concat()).0.health(), Health::Healthy);
        let (monitor, healths) = run(&[ANSWERED, Check::Missed, Check::Missed, Check::Missed, Check::Missed]);
        assert_eq!(healths[2..], [Health::Healthy, Health::Unhealthy, Health::Unhealthy]);
        assert_eq!(monitor.missing_since(), Some(at(1)));
        assert_eq!(monitor.last_answer(), Some(at(0)));
    }

    #[test]
    fn recovery_takes_its_whole_row_and_forgets_the_silence_at_once() {
        let down = [Check::Missed; 3];
        let four = [ANSWERED; 4];
        let (monitor, _) = run(&[&down[..], &four, &[Check::Missed], &four].concat());
        assert_eq!((monitor.health(), monitor.missing_since()), (Health::Unhealthy, None));
        let (monitor, healths) = run(&[&down[..], &four, &[ANSWERED]].concat());
        assert_eq!(healths[6..], [Health::Unhealthy, Health::Healthy]);
        assert_eq!(monitor.missing_since(), None);
    }

    #[test]
    fn a_void_check_leaves_both_rows_as_they_are() {
        let (monitor, _) = run(&[ANSWERED, Check::Missed, LATE, Check::Missed, LATE, Check::Missed]);
        assert_eq!(monitor.health(), Health::Unhealthy);
        let recovering = [[Check::Missed; 3].as_slice(), &[ANSWERED; 4], &[LATE, ANSWERED]].concat();
        assert_eq!(run(&recovering).0.health(), Health::Healthy);
    }

    #[test]
    fn late_checks_are_forgiven_as_often_as_misses_are_and_not_once_more() {
        let late = [[ANSWERED].as_slice(), &[LATE; 6]].concat();
        let (monitor, healths) = run(&late);
        assert_eq!(healths[5..], [Health::Healthy, Health::Unhealthy]);
        assert_eq!(monitor.missing_since(), Some(at(4)));
        let counts = CheckCounts { ended: 7, answered: 1, lost: 3, void: 3 };
        assert_eq!(monitor.view(PathIndex(0)).counts, counts);
    }

    #[test]
    fn our_own_deafness_judges_nobody_however_long() {
        let (monitor, _) = run(&[[ANSWERED].as_slice(), &[DEAF; 1_000]].concat());
        assert_eq!((monitor.health(), monitor.missing_since()), (Health::Healthy, None));
        assert_eq!(run(&[DEAF; 1_000]).0.health(), Health::Unknown);
    }

    #[test]
    fn lateness_is_half_an_interval_and_at_least_a_millisecond() {
        let slow = CheckSettings::new(INTERVAL, 3, 5);
        let due = at(0);
        assert!(!slow.is_late(due, due + Duration::from_millis(5)));
        assert!(slow.is_late(due, due + Duration::from_nanos(5_000_001)));
        let fast = CheckSettings::new(Duration::from_millis(1), 3, 5);
        assert!(!fast.is_late(due, due + Duration::from_millis(1)));
        assert!(fast.is_late(due, due + Duration::from_nanos(1_000_001)));
        assert!(!slow.is_late(due, due - Duration::from_millis(9)));
    }

    #[test]
    fn round_trips_are_smoothed_by_an_eighth() {
        let answer = |micros: u64| Check::Answered { rtt: Duration::from_nanos(micros * 1_000) };
        let (monitor, _) = run(&[answer(800), answer(1_600), answer(100)]);
        let times = monitor.view(PathIndex(0)).round_trips.unwrap();
        assert_eq!(times.last, Duration::from_nanos(100_000));
        assert_eq!(times.least, Duration::from_nanos(100_000));
        assert_eq!(times.most, Duration::from_nanos(1_600_000));
        assert_eq!(times.smoothed, Duration::from_nanos(900_000).scaled(7, 8) + Duration::from_nanos(12_500));
    }

    #[test]
    fn a_threshold_of_zero_is_one() {
        let mut monitor = PathMonitor::new(CheckSettings::new(INTERVAL, 0, 0));
        assert_eq!(monitor.checked(at(0), Check::Missed).map(|change| change.to), Some(Health::Unhealthy));
        assert_eq!(monitor.checked(at(1), ANSWERED).map(|change| change.to), Some(Health::Healthy));
    }
}
