//! What simulated nodes know of each other: words exchanged over paths, missed checks, verdicts.
//!
//! A message carries the sender's word as its data plane would put it at that instant; who is paused still answers, and
//! says so when its lease is over.

use crate::support::*;
use holdfast_engine::{Input, Instant, InterfaceId, PathReport, PeerHealth, PeerId, PeerReport, Units};

/// Every node has a path to every other over each of these.
pub(crate) const PATHS: [InterfaceId; 2] = [LAN, SYNC];
/// Answered checks in a row until an unhealthy path is healthy again.
const RECOVERY_THRESHOLD: u32 = 5;

/// What a node says of itself to one other node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Word {
    pub(crate) owned: Units,
    pub(crate) ready: Units,
    pub(crate) lease_until: Instant,
    pub(crate) priority: u8,
    /// On which paths it hears the other.
    pub(crate) hears: [bool; PATHS.len()],
}

#[derive(Clone, Copy, Debug, Default)]
struct Path {
    heard_at: Option<Instant>,
    replied_at: Option<Instant>,
    missing_since: Option<Instant>,
    misses: u32,
    answers: u32,
    health: PeerHealth,
}

/// What a node knows of one other.
#[derive(Clone, Debug)]
pub(crate) struct Acquaintance {
    pub(crate) peer: PeerId,
    word: Option<(Instant, Word)>,
    paths: [Path; PATHS.len()],
    health: PeerHealth,
    /// As the engine told the data plane.
    pub(crate) plain: bool,
}

impl Acquaintance {
    pub(crate) fn new(peer: PeerId) -> Self {
        Acquaintance {
            peer,
            word: None,
            paths: [Path::default(); PATHS.len()],
            health: PeerHealth::Unknown,
            plain: true,
        }
    }

    /// A message of the peer arrived.
    pub(crate) fn hear(&mut self, path: usize, word: Word, now: Instant) {
        self.paths[path].heard_at = Some(now);
        self.word = Some((now, word));
    }

    /// On which paths the peer was heard of late.
    pub(crate) fn hears(&self, now: Instant) -> [bool; PATHS.len()] {
        self.paths.map(|path| path.heard_at.is_some_and(|at| now.since(at) <= WINDOW))
    }

    /// A check of a path has ended.
    pub(crate) fn checked(&mut self, path: usize, answered: bool, now: Instant) {
        let path = &mut self.paths[path];
        if answered {
            path.replied_at = Some(now);
            (path.misses, path.missing_since) = (0, None);
            path.answers += 1;
            if path.health == PeerHealth::Unknown || path.answers >= RECOVERY_THRESHOLD {
                path.health = PeerHealth::Healthy;
            }
        } else {
            path.answers = 0;
            path.misses += 1;
            path.missing_since.get_or_insert(now);
            if path.misses >= CHECK.failure_threshold {
                path.health = PeerHealth::Unhealthy;
            }
        }
    }

    /// What the engine is told after checks: the word first, then a verdict that changed.
    pub(crate) fn tell(&mut self, now: Instant) -> Vec<Input> {
        let mut inputs = vec![self.report(now)];
        let is = |health: PeerHealth| move |path: &Path| path.health == health;
        let health = if self.paths.iter().any(is(PeerHealth::Healthy)) {
            PeerHealth::Healthy
        } else if self.paths.iter().all(is(PeerHealth::Unhealthy)) {
            PeerHealth::Unhealthy
        } else {
            self.health
        };
        if health != self.health {
            self.health = health;
            let silent_since = self.paths.iter().filter_map(|path| path.missing_since).max();
            inputs.push(Input::PeerHealth { peer: self.peer, health, silent_since });
        }
        inputs
    }

    pub(crate) fn report(&self, now: Instant) -> Input {
        let (heard_at, word) = self.word.unzip();
        let path = |number: usize| PathReport {
            interface: Some(PATHS[number]),
            heard_at: self.paths[number].heard_at,
            replied_at: self.paths[number].replied_at,
            hears_us: word.map(|word| word.hears[number]),
        };
        let report = PeerReport {
            heard_at,
            owned: word.map_or(Units::NONE, |word| word.owned),
            ready: word.map_or(Units::NONE, |word| word.ready),
            lease_until: word.map_or(now, |word| word.lease_until),
            lease: LEASE,
            priority: word.map_or(0, |word| word.priority),
            same_configuration: true,
            draining: false,
            bad_mac_at: None,
            paths: (0..PATHS.len()).map(path).collect(),
        };
        Input::Peer { peer: self.peer, report }
    }

    /// The data plane's judgement of an advert in the peer's name: whether its last word, if young, says the same.
    pub(crate) fn bears_out(&self, priority: u8, same_interval: bool, now: Instant) -> bool {
        let Some((at, word)) = self.word.filter(|_| !self.plain) else { return self.plain };
        let owned = word.owned.contains(UNIT);
        let agrees = if priority == 0 { !owned } else { owned && same_interval && priority <= word.priority };
        now.since(at) <= WINDOW && agrees
    }
}
