//! Which request goes where and when, and what each ended check means: the probe thread without its thread.
//!
//! Instants, readings and the wire come from outside, so that tests can be late, deaf or cut off. Each path goes its own
//! way (`probed_path`), its peer is judged over all of them (`probed_peer`). Nothing here blocks.

use super::paths::ProbeSettings;
use super::phase::Jitter;
use super::probed_peer::ProbedPeer;
use super::readings::PathReadings;
use super::sockets::Wire;
use super::standing::{Identity, Standing};
use super::status::PeerStatus;
use crate::effects::schedule::BATCH_WINDOW;
use ha_common::wire::probe::PATH_BITS;
use holdfast_engine::{CheckSettings, Duration, Health, HealthChange, Instant, PathIndex, PeerId};
use std::collections::BTreeMap;

/// The first requests to the peers are spread over an interval, but over no more than this.
const LONGEST_SPREAD: Duration = Duration::from_millis(100);
/// Requests due within this part of an interval, and within the window that adverts have, leave in one wake-up.
const BATCH_DIVISOR: u64 = 64;
/// Sequences begin with the microseconds since boot, so that none is below one of an earlier run.
const NANOS_PER_SEQUENCE: u64 = 1_000;

/// What a check changed, for the controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeEvent {
    PathHealth {
        peer: PeerId,
        path: PathIndex,
        change: HealthChange,
    },
    /// A packet filter of this host lets no request to the peer out, on any path; or does again.
    Muzzled {
        peer: PeerId,
        muzzled: bool,
    },
    /// Over all paths of a peer, and over what is heard of it.
    PeerHealth {
        peer: PeerId,
        health: Health,
        silent_since: Option<Instant>,
        at: Instant,
    },
}

/// What the prober works with at one call.
pub(super) struct Surroundings<'a, W> {
    pub(super) clock: &'a dyn Fn() -> Instant,
    pub(super) readings: &'a mut dyn PathReadings,
    pub(super) wire: &'a mut W,
    pub(super) events: &'a mut dyn FnMut(ProbeEvent),
}

/// What every message of this node is made with.
pub(super) struct Common {
    pub(super) identity: Identity,
    pub(super) checks: CheckSettings,
    pub(super) port: u16,
    pub(super) standing: Standing,
    pub(super) jitter: Jitter,
    /// Last sequence, without the path's bits. One for all paths, so it rises on each, whatever becomes of them.
    sequence: u64,
}

/// All peers and paths.
pub(super) struct Prober {
    common: Common,
    peers: BTreeMap<PeerId, ProbedPeer>,
}

impl Common {
    pub(super) fn next_sequence(&mut self, path: PathIndex) -> u64 {
        self.sequence += 1;
        (self.sequence << PATH_BITS) | u64::from(path.0)
    }
}

impl Prober {
    /// `seed` spreads the jitter.
    pub(super) fn new(now: Instant, seed: u64) -> Self {
        let common = Common {
            identity: Identity { node: 0, cluster: 0, incarnation: 0 },
            checks: CheckSettings::new(Duration::from_secs(1), 1, 1),
            port: 0,
            standing: Standing::default(),
            jitter: Jitter::seeded(seed),
            sequence: now.as_nanos() / NANOS_PER_SEQUENCE,
        };
        Self { common, peers: BTreeMap::new() }
    }

    pub(super) fn set_standing(&mut self, standing: Standing) {
        self.common.standing = standing;
    }

    pub(super) fn extend_lease(&mut self, until: Instant) {
        self.common.standing.lease_until = until;
    }

    /// Peers and paths from now on. A path to the same address keeps its health, its statistics and, while its place and
    /// the interval stay, its open check and its phase.
    pub(super) fn configure<W: Wire>(&mut self, settings: ProbeSettings, around: &mut Surroundings<'_, W>) {
        let now = (around.clock)();
        let common = &mut self.common;
        let identity =
            Identity { node: settings.node, cluster: settings.cluster, incarnation: settings.incarnation };
        let same_pace = settings.checks.interval() == common.checks.interval();
        let same_self = identity == common.identity && settings.port == common.port;
        (common.identity, common.checks, common.port) = (identity, settings.checks, settings.port);

        let all = settings.peers.len().max(1) as u64;
        let spread = settings.checks.interval().min(LONGEST_SPREAD);
        let mut known = std::mem::take(&mut self.peers);
        for (place, wanted) in (0..).zip(settings.peers) {
            let start = now + spread.scaled(place, all);
            let mut peer = known
                .remove(&wanted.peer)
                .unwrap_or_else(|| ProbedPeer::new(wanted.peer, settings.checks, start));
            peer.configure(now, settings.checks, &wanted, (!same_pace).then_some(start), same_self);
            self.peers.insert(wanted.peer, peer);
        }
        let peers = &self.peers;
        around.wire.retain(&|peer, path| peers.get(&peer).is_some_and(|peer| peer.has(path)));
        self.peers.values_mut().for_each(|peer| peer.judge(settings.checks, around));
    }

    /// When something is to be done next.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.peers.values().filter_map(ProbedPeer::next_due).min()
    }

    /// Ends the checks that are due, begins the next, and tells addresses.
    pub(super) fn run_due<W: Wire>(&mut self, around: &mut Surroundings<'_, W>) {
        let now = (around.clock)();
        if self.next_due().is_none_or(|due| due > now) {
            return;
        }
        let horizon = now + self.common.checks.interval().scaled(1, BATCH_DIVISOR).min(BATCH_WINDOW);
        self.peers.values_mut().for_each(|peer| peer.run_due(horizon, &mut self.common, around));
    }

    /// A request on every path at once, for what changed. None is a check; a reply to one answers the check that is open.
    pub(super) fn announce<W: Wire>(&mut self, around: &mut Surroundings<'_, W>) {
        self.peers.values_mut().for_each(|peer| peer.announce(&mut self.common, around));
    }

    /// Brings a copy of the status up to date, in place where its rows are still the same peers and paths.
    pub(super) fn show(&mut self, board: &mut Vec<PeerStatus>) {
        let same = board.len() == self.peers.len()
            && board.iter().zip(self.peers.values()).all(|(row, peer)| peer.fits(row));
        if !same {
            board.clear();
            board.extend(self.peers.values().map(ProbedPeer::status));
        }
        for (row, peer) in board.iter_mut().zip(self.peers.values_mut()) {
            peer.show(row);
        }
    }
}
