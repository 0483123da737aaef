//! What the nodes know of each other: words over paths, checks, verdicts. Verdicts are the engine's own monitors'.

use crate::faults::PATHS;
use crate::settings::{FAILURE_THRESHOLD, RECOVERY_THRESHOLD, Settings, TICK, span};
use holdfast_engine::{
    Check, CheckSettings, Duration, Input, Instant, InterfaceId, PathIndex, PathReport, PeerId, PeerMonitor,
    PeerReport, UnitId, Units,
};
use std::hash::{Hash, Hasher};

/// The sync unit of the only router.
pub const UNIT: UnitId = UnitId(0);
/// Interfaces of the paths, by their numbers.
pub const INTERFACES: [InterfaceId; PATHS] = [InterfaceId(10), InterfaceId(20)];
const CHECKS: CheckSettings = CheckSettings::new(TICK, FAILURE_THRESHOLD, RECOVERY_THRESHOLD);
/// How long a word speaks for its sender.
pub const WINDOW: Duration = CHECKS.detection_time();

/// What a node says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Word {
    pub owned: bool,
    pub ready: bool,
    pub lease_until: Instant,
    pub priority: u8,
    /// On which paths it hears the other.
    pub hears: [bool; PATHS],
}

#[derive(Clone, Copy, Debug, Default, Hash)]
struct Path {
    heard_at: Option<Instant>,
    replied_at: Option<Instant>,
}

/// What a node knows of the other.
#[derive(Clone, Debug)]
pub struct Acquaintance {
    pub peer: PeerId,
    word: Option<(Instant, Word)>,
    paths: [Path; PATHS],
    monitor: PeerMonitor,
    /// Its adverts count by themselves, as the engine told.
    pub plain: bool,
}

impl Hash for Acquaintance {
    /// Of the monitors' rows only what still decides: past its threshold a row is as long as it needs to be.
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (self.word, self.paths, self.plain, self.monitor.health()).hash(hasher);
        for path in self.monitor.view(self.peer).paths {
            let rows =
                (path.answered_in_row.min(RECOVERY_THRESHOLD), path.lost_in_row.min(FAILURE_THRESHOLD));
            (path.health, path.missing_since, rows).hash(hasher);
        }
    }
}

impl Acquaintance {
    pub fn new(peer: PeerId) -> Self {
        Acquaintance {
            peer,
            word: None,
            paths: [Path::default(); PATHS],
            monitor: PeerMonitor::new(CHECKS, PATHS),
            plain: true,
        }
    }

    /// A message of the peer arrived on a path; `reply` if it answers one of ours.
    pub fn hear(&mut self, path: usize, word: Word, reply: bool, now: Instant) {
        self.paths[path].heard_at = Some(now);
        if reply {
            self.paths[path].replied_at = Some(now);
        }
        self.word = Some((now, word));
    }

    /// On which paths the peer was heard of late.
    pub fn hears(&self, now: Instant) -> [bool; PATHS] {
        self.paths.map(|path| path.heard_at.is_some_and(|at| now.since(at) <= WINDOW))
    }

    /// The checks of this step have ended. Gives the verdict if it changed.
    pub fn checked(&mut self, answered: [bool; PATHS], now: Instant) -> Option<Input> {
        let mut changed = None;
        for (path, answered) in (0..).map(PathIndex).zip(answered) {
            let check = if answered { Check::Answered { rtt: Duration::ZERO } } else { Check::Missed };
            changed = self.monitor.checked(now, path, check).peer.or(changed);
        }
        let change = changed?;
        Some(Input::PeerHealth { peer: self.peer, health: change.to, silent_since: change.silent_since })
    }

    /// The peer's latest word for the engine.
    pub fn report(&self, now: Instant, settings: &Settings) -> Input {
        let (heard_at, word) = self.word.unzip();
        let path = |number: usize| PathReport {
            interface: Some(INTERFACES[number]),
            heard_at: self.paths[number].heard_at,
            replied_at: self.paths[number].replied_at,
            hears_us: word.map(|word| word.hears[number]),
        };
        let units =
            |claims: fn(&Word) -> bool| Units::NONE.with(UNIT).filter(word.as_ref().is_some_and(claims));
        let report = PeerReport {
            heard_at,
            owned: units(|word| word.owned),
            ready: units(|word| word.ready),
            lease_until: word.map_or(now, |word| word.lease_until),
            lease: span(settings.lease),
            priority: word.map_or(0, |word| word.priority),
            same_configuration: true,
            draining: false,
            bad_mac_at: None,
            paths: (0..PATHS).map(path).collect(),
        };
        Input::Peer { peer: self.peer, report }
    }

    /// The data plane's judgement of an advert in the peer's name.
    pub fn bears_out(&self, priority: u8, now: Instant) -> bool {
        if self.plain {
            return true;
        }
        let Some((at, word)) = self.word else { return false };
        let agrees = if priority == 0 { !word.owned } else { word.owned && priority <= word.priority };
        now.since(at) <= WINDOW && agrees
    }
}
