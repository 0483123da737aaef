//! Link pairs: whether enough of them pass traffic for this node to count as up.
//!
//! Input are the states of the ports, by netlink events and by the regular reading, and whether traffic passes where it is
//! expected. A pair falls out at once and comes back only after it was good for the recovery time, so that a flapping
//! cable does not become a flapping node. It only says up or down and why; what follows from it is decided elsewhere.

use crate::time::{Duration, Instant};
use core::fmt;
use serde::{Deserialize, Serialize};

/// A `[[link_pair]]`, by its position in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PairId(pub u32);

/// One port of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PairSide {
    Inside,
    Outside,
}

impl fmt::Display for PairSide {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Inside => "inside",
            Self::Outside => "outside",
        })
    }
}

/// State of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PortState {
    /// Administratively up, with carrier.
    Up,
    Down,
    /// There is no such interface.
    Missing,
}

/// `[links]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairSettings {
    /// Fewer active pairs take the node down; of no effect without pairs.
    pub minimum_active: u32,
    /// How long a pair that failed must be good again before it counts.
    pub recovery_time: Duration,
}

/// Why a pair does not count. The port named is the first one found wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PairFault {
    /// Nothing is known of this port yet.
    Unread(PairSide),
    Missing(PairSide),
    Down(PairSide),
    /// Both ports are up, and what arrives at one does not leave at the other.
    NotPassing,
    /// Good since then, for less than the recovery time.
    Recovering {
        since: Instant,
    },
}

/// What status shows of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairView {
    pub pair: PairId,
    pub inside: Option<PortState>,
    pub outside: Option<PortState>,
    pub passing: Option<bool>,
    /// None: it is active.
    pub fault: Option<PairFault>,
}

/// The node went up or down as far as its links are concerned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinksChange {
    pub at: Instant,
    pub up: bool,
    pub active: u32,
    pub minimum: u32,
    /// Pairs that do not count, and why.
    pub faults: Vec<(PairId, PairFault)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Not all ports were read yet: the first good reading counts at once, for nothing has failed.
    Starting,
    Active,
    Failed,
    Recovering {
        since: Instant,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pair {
    id: PairId,
    inside: Option<PortState>,
    outside: Option<PortState>,
    passing: Option<bool>,
    standing: Standing,
}

impl Pair {
    const fn new(id: PairId) -> Self {
        Self { id, inside: None, outside: None, passing: None, standing: Standing::Starting }
    }

    /// What is wrong at this moment, history apart.
    fn defect(&self) -> Option<PairFault> {
        let port = |side, state| match state {
            None => Some(PairFault::Unread(side)),
            Some(PortState::Missing) => Some(PairFault::Missing(side)),
            Some(PortState::Down) => Some(PairFault::Down(side)),
            Some(PortState::Up) => None,
        };
        port(PairSide::Inside, self.inside)
            .or_else(|| port(PairSide::Outside, self.outside))
            .or((self.passing == Some(false)).then_some(PairFault::NotPassing))
    }

    fn fault(&self) -> Option<PairFault> {
        match (self.defect(), self.standing) {
            (Some(defect), _) => Some(defect),
            (None, Standing::Recovering { since }) => Some(PairFault::Recovering { since }),
            (None, _) => None,
        }
    }

    fn settle(&mut self, now: Instant, recovery_time: Duration) {
        self.standing = match (self.defect(), self.standing) {
            (Some(PairFault::Unread(_)), Standing::Starting) => Standing::Starting,
            (Some(_), _) => Standing::Failed,
            (None, Standing::Starting | Standing::Active) => Standing::Active,
            (None, Standing::Failed) => Standing::Recovering { since: now },
            (None, recovering @ Standing::Recovering { .. }) => recovering,
        };
        if recovered_at(self.standing, recovery_time).is_some_and(|at| at <= now) {
            self.standing = Standing::Active;
        }
    }
}

fn recovered_at(standing: Standing, recovery_time: Duration) -> Option<Instant> {
    match standing {
        Standing::Recovering { since } => Some(since + recovery_time),
        _ => None,
    }
}

/// All pairs of this node. Without any it is always up; with some it is down until enough of them are known to be good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairMonitor {
    settings: PairSettings,
    pairs: Vec<Pair>,
    up: bool,
}

impl PairMonitor {
    /// Up if there are no pairs, or none are needed.
    pub fn new(settings: PairSettings, pairs: impl IntoIterator<Item = PairId>) -> Self {
        let pairs = pairs.into_iter().map(Pair::new).collect();
        let mut monitor = Self { settings, pairs, up: true };
        monitor.up = monitor.judge();
        monitor
    }

    /// Other settings and pairs, at a reload. A pair that stays keeps its state; call [`Self::forget`] where its ports
    /// changed.
    pub fn reconfigure(
        &mut self,
        now: Instant,
        settings: PairSettings,
        pairs: impl IntoIterator<Item = PairId>,
    ) -> Option<LinksChange> {
        let known = core::mem::take(&mut self.pairs);
        let keep = |id| known.iter().find(|pair| pair.id == id).copied().unwrap_or(Pair::new(id));
        self.pairs = pairs.into_iter().map(keep).collect();
        self.settings = settings;
        self.settle(now)
    }

    /// Forgets what is known of a pair: its ports are others now.
    pub fn forget(&mut self, now: Instant, pair: PairId) -> Option<LinksChange> {
        self.update(now, pair, |found| *found = Pair::new(pair))
    }

    /// State of a port. A pair that is not configured (any more) is ignored.
    pub fn port(
        &mut self,
        now: Instant,
        pair: PairId,
        side: PairSide,
        state: PortState,
    ) -> Option<LinksChange> {
        self.update(now, pair, |found| match side {
            PairSide::Inside => found.inside = Some(state),
            PairSide::Outside => found.outside = Some(state),
        })
    }

    /// Whether what arrives at one port leaves at the other; none where no traffic is expected.
    pub fn passing(&mut self, now: Instant, pair: PairId, passing: Option<bool>) -> Option<LinksChange> {
        self.update(now, pair, |found| found.passing = passing)
    }

    /// Time has passed: counts the pairs that have recovered.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<LinksChange> {
        self.settle(now)
    }

    /// When the next pair has recovered, if it stays good.
    pub fn deadline(&self) -> Option<Instant> {
        let recovery_time = self.settings.recovery_time;
        self.pairs.iter().filter_map(|pair| recovered_at(pair.standing, recovery_time)).min()
    }

    /// Whether the node counts as up as far as its links are concerned.
    pub const fn is_up(&self) -> bool {
        self.up
    }

    pub fn is_active(&self, pair: PairId) -> bool {
        self.pairs.iter().any(|found| found.id == pair && found.standing == Standing::Active)
    }

    /// Number of active pairs.
    pub fn active(&self) -> u32 {
        let active = self.pairs.iter().filter(|pair| pair.standing == Standing::Active).count();
        u32::try_from(active).unwrap_or(u32::MAX)
    }

    /// Pairs that do not count, and why.
    pub fn faults(&self) -> Vec<(PairId, PairFault)> {
        self.pairs.iter().filter_map(|pair| Some((pair.id, pair.fault()?))).collect()
    }

    pub fn views(&self) -> impl Iterator<Item = PairView> {
        self.pairs.iter().map(|pair| PairView {
            pair: pair.id,
            inside: pair.inside,
            outside: pair.outside,
            passing: pair.passing,
            fault: pair.fault(),
        })
    }

    fn update(&mut self, now: Instant, pair: PairId, change: impl FnOnce(&mut Pair)) -> Option<LinksChange> {
        if let Some(found) = self.pairs.iter_mut().find(|found| found.id == pair) {
            change(found);
        }
        self.settle(now)
    }

    fn settle(&mut self, now: Instant) -> Option<LinksChange> {
        for pair in &mut self.pairs {
            pair.settle(now, self.settings.recovery_time);
        }
        let up = self.judge();
        if up == self.up {
            return None;
        }
        self.up = up;
        let (active, minimum) = (self.active(), self.settings.minimum_active);
        Some(LinksChange { at: now, up, active, minimum, faults: self.faults() })
    }

    fn judge(&self) -> bool {
        self.pairs.is_empty() || self.active() >= self.settings.minimum_active
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use PairSide::{Inside, Outside};
    use PortState::{Down, Missing, Up};

    const FIRST: PairId = PairId(0);
    const SECOND: PairId = PairId(1);
    const SETTINGS: PairSettings = PairSettings { minimum_active: 1, recovery_time: Duration::from_secs(1) };

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(0) + Duration::from_millis(millis)
    }

    /// Two good pairs, of which so many are needed.
    fn good(minimum_active: u32) -> PairMonitor {
        let mut monitor = PairMonitor::new(PairSettings { minimum_active, ..SETTINGS }, [FIRST, SECOND]);
        for pair in [FIRST, SECOND] {
            monitor.port(at(0), pair, Inside, Up);
            monitor.port(at(0), pair, Outside, Up);
        }
        assert!(monitor.is_up());
        monitor
    }

    #[test]
    fn without_pairs_or_without_need_the_node_is_up() {
        assert!(PairMonitor::new(PairSettings { minimum_active: 9, ..SETTINGS }, []).is_up());
        assert!(PairMonitor::new(PairSettings { minimum_active: 0, ..SETTINGS }, [FIRST]).is_up());
    }

    #[test]
    fn a_start_needs_no_recovery_but_both_ports() {
        let mut monitor = PairMonitor::new(SETTINGS, [FIRST]);
        assert!(!monitor.is_up());
        assert_eq!(monitor.port(at(0), FIRST, Outside, Up), None);
        assert_eq!(monitor.faults(), [(FIRST, PairFault::Unread(Inside))]);
        let up = monitor.port(at(5), FIRST, Inside, Up).unwrap();
        assert_eq!(up, LinksChange { at: at(5), up: true, active: 1, minimum: 1, faults: vec![] });
    }

    #[test]
    fn a_start_on_a_dead_port_recovers_like_any_other() {
        for dead in [Down, Missing] {
            let mut monitor = PairMonitor::new(SETTINGS, [FIRST]);
            monitor.port(at(0), FIRST, Outside, dead);
            monitor.port(at(0), FIRST, Inside, Up);
            assert_eq!(monitor.port(at(10), FIRST, Outside, Up), None);
            assert_eq!(monitor.deadline(), Some(at(1_010)));
        }
    }

    #[test]
    fn down_at_once_up_after_the_recovery_time() {
        let mut monitor = good(2);
        let down = monitor.port(at(100), SECOND, Outside, Down).unwrap();
        let faults = vec![(SECOND, PairFault::Down(Outside))];
        assert_eq!(down, LinksChange { at: at(100), up: false, active: 1, minimum: 2, faults });
        assert_eq!(monitor.port(at(200), SECOND, Outside, Up), None);
        assert_eq!(monitor.faults(), [(SECOND, PairFault::Recovering { since: at(200) })]);
        assert_eq!(monitor.deadline(), Some(at(1_200)));
        assert_eq!(monitor.handle_timeout(at(1_200) - Duration::from_nanos(1)), None);
        assert!(monitor.handle_timeout(at(1_200)).unwrap().up);
        assert_eq!((monitor.deadline(), monitor.faults()), (None, vec![]));
    }

    #[test]
    fn a_flapping_cable_does_not_come_back_in_between() {
        let mut monitor = good(2);
        monitor.port(at(0), FIRST, Inside, Down);
        for flap in 1..20 {
            assert_eq!(monitor.port(at(flap * 1_000 - 999), FIRST, Inside, Up), None);
            assert_eq!(monitor.port(at(flap * 1_000), FIRST, Inside, Down), None);
        }
        assert!(!monitor.is_up());
    }

    #[test]
    fn one_lost_pair_of_two_is_no_loss_where_one_is_enough() {
        let mut monitor = good(1);
        assert_eq!(monitor.port(at(1), FIRST, Inside, Missing), None);
        assert!(!monitor.is_active(FIRST) && monitor.is_active(SECOND));
        assert!(!monitor.port(at(2), SECOND, Inside, Down).unwrap().up);
    }

    #[test]
    fn a_pair_that_does_not_pass_what_is_expected_does_not_count() {
        let mut monitor = good(2);
        assert_eq!(monitor.passing(at(1), FIRST, None), None);
        assert_eq!(monitor.passing(at(2), FIRST, Some(true)), None);
        let down = monitor.passing(at(3), FIRST, Some(false)).unwrap();
        assert_eq!(down.faults, [(FIRST, PairFault::NotPassing)]);
        assert_eq!(monitor.passing(at(4), FIRST, None), None);
        assert!(monitor.handle_timeout(at(1_004)).unwrap().up);
    }

    #[test]
    fn an_event_after_the_recovery_finds_it_done() {
        let mut monitor = good(2);
        monitor.port(at(0), FIRST, Inside, Down);
        monitor.port(at(1), FIRST, Inside, Up);
        assert!(monitor.port(at(1_001), SECOND, Inside, Up).unwrap().up);
        monitor.port(at(1_002), FIRST, Inside, Down);
        monitor.port(at(1_003), FIRST, Inside, Up);
        assert_eq!(monitor.port(at(5_000), SECOND, Inside, Down), None, "never up in between");
        assert!(!monitor.is_up());
    }

    #[test]
    fn a_reload_keeps_the_pairs_that_stay() {
        let mut monitor = good(2);
        assert!(
            !monitor.reconfigure(at(1), PairSettings { minimum_active: 2, ..SETTINGS }, [SECOND]).unwrap().up
        );
        assert!(monitor.reconfigure(at(2), SETTINGS, [SECOND]).unwrap().up);
        assert!(!monitor.forget(at(3), SECOND).unwrap().up);
        assert!(monitor.reconfigure(at(4), SETTINGS, []).unwrap().up);
        assert_eq!(monitor.port(at(5), FIRST, Inside, Down), None);
        assert_eq!(monitor.views().count(), 0);
    }
}
