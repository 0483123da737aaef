//! What the other nodes say of themselves over the probe channel, and what may be concluded from it.
//!
//! Reports come from the data plane, which lets only authenticated, fresh messages in. A report speaks for its sender as
//! long as it is younger than the time in which a healthy peer is heard again (interval times failure threshold), and
//! of ownership only while the sender's lease lasts. Nothing here changes a router; the engine does, from these answers.

use crate::config::{InterfaceId, PeerCheck, PeerId, UnitId};
use crate::input::Advert;
pub use crate::path_health::Health as PeerHealth;
use crate::time::{Duration, Instant};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Leases for which replies over the virtual router's own interface vouch for an owner whose adverts are missing.
const LONGEST_VOUCH_LEASES: u64 = 10;
/// Priority by which an owner steps down.
const RELEASED: u8 = 0;

/// A set of sync units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Units(pub u64);

impl Units {
    pub const NONE: Units = Units(0);

    pub const fn contains(self, unit: UnitId) -> bool {
        unit.0 < 64 && self.0 & (1 << unit.0) != 0
    }

    /// All of it, or nothing.
    #[must_use]
    pub const fn filter(self, keep: bool) -> Self {
        if keep { self } else { Units::NONE }
    }

    #[must_use]
    pub const fn with(self, unit: UnitId) -> Self {
        if unit.0 < 64 { Units(self.0 | (1 << unit.0)) } else { self }
    }
}

/// What is known of one path to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathReport {
    /// The interface it runs over, if that is one of ours at this time.
    pub interface: Option<InterfaceId>,
    /// Last authenticated message on it.
    pub heard_at: Option<Instant>,
    /// Last reply to a probe of ours.
    pub replied_at: Option<Instant>,
    /// Whether the peer says it hears us on this path; `None` where its numbering is not known yet.
    pub hears_us: Option<bool>,
}

/// What is known of a peer at this moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerReport {
    /// Last authenticated message; `None` before the first.
    pub heard_at: Option<Instant>,
    pub owned: Units,
    pub ready: Units,
    /// End of its controller's lease, by our clock.
    pub lease_until: Instant,
    /// Length of that lease.
    pub lease: Duration,
    /// Greatest effective priority of its virtual routers.
    pub priority: u8,
    /// Its units and advertisement intervals are ours.
    pub same_configuration: bool,
    /// It is stopping.
    pub draining: bool,
    /// Last message in its name with a wrong MAC.
    pub bad_mac_at: Option<Instant>,
    pub paths: Vec<PathReport>,
}

/// One other node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peer {
    pub(crate) health: PeerHealth,
    pub(crate) report: PeerReport,
    /// It has proven its key in this run.
    authenticated: bool,
    /// Its adverts count without being borne out; as last told to the data plane.
    pub(crate) plain: Option<bool>,
}

/// All other nodes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peers {
    known: BTreeMap<PeerId, Peer>,
    check: PeerCheck,
}

impl Peers {
    /// Takes up a configuration; peers that stay keep what they said.
    pub(crate) fn configure(&mut self, ids: &[PeerId], check: PeerCheck) {
        self.check = check;
        self.known.retain(|id, _| ids.contains(id));
        for id in ids {
            self.known.entry(*id).or_default();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    pub(crate) fn get_mut(&mut self, id: PeerId) -> Option<&mut Peer> {
        self.known.get_mut(&id)
    }

    pub(crate) fn get(&self, id: PeerId) -> Option<&Peer> {
        self.known.get(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (PeerId, &Peer)> {
        self.known.iter().map(|(id, peer)| (*id, peer))
    }

    pub(crate) fn check_interval(&self) -> Duration {
        self.check.interval
    }

    /// How long a message speaks for its sender.
    pub(crate) fn window(&self) -> Duration {
        self.check.interval.scaled(u64::from(self.check.failure_threshold.max(1)), 1)
    }

    pub(crate) fn is_recent(&self, at: Option<Instant>, now: Instant) -> bool {
        at.is_some_and(|at| now.since(at) <= self.window())
    }

    /// Whether the peer was heard, authenticated, within the window.
    pub(crate) fn is_fresh(&self, peer: &Peer, now: Instant) -> bool {
        self.is_recent(peer.report.heard_at, now)
    }

    /// Files a report; returns what the peer owned before.
    pub(crate) fn file(&mut self, id: PeerId, report: PeerReport) -> Option<Units> {
        let peer = self.known.get_mut(&id)?;
        peer.authenticated |= report.heard_at.is_some();
        let before = core::mem::replace(&mut peer.report, report).owned;
        Some(before)
    }

    /// A peer that says, freshly and under a valid lease, that it owns the unit.
    pub(crate) fn claimant(&self, unit: UnitId, now: Instant) -> Option<(PeerId, &Peer)> {
        self.iter().find(|(_, peer)| self.claims(peer, unit, now))
    }

    /// Whether the peer says, freshly and under a valid lease, that it owns the unit.
    pub(crate) fn claims(&self, peer: &Peer, unit: UnitId, now: Instant) -> bool {
        self.is_fresh(peer, now) && peer.report.owned.contains(unit) && peer.report.lease_until > now
    }

    /// Whether some peer could own the unit now.
    pub(crate) fn is_any_ready(&self, unit: UnitId, now: Instant) -> bool {
        self.iter().any(|(_, peer)| self.is_ready(peer, unit, now))
    }

    fn is_ready(&self, peer: &Peer, unit: UnitId, now: Instant) -> bool {
        peer.health != PeerHealth::Unhealthy
            && self.is_fresh(peer, now)
            && peer.report.ready.contains(unit)
            && !peer.report.draining
    }

    /// Whether another peer than `lost` is ready for the unit with a better claim than ours: it is left to it.
    pub(crate) fn has_better_heir(&self, lost: PeerId, unit: UnitId, own_priority: u8, now: Instant) -> bool {
        self.iter().any(|(id, peer)| {
            id != lost && self.is_ready(peer, unit, now) && peer.report.priority > own_priority
        })
    }

    /// Until when a peer's data plane vouches for the owner of `unit`, whose adverts have been missing since `heard`.
    ///
    /// A lease after the last advert at most: what a peer that has gone quiet renews does not prolong it. Replies over the
    /// router's own interface, where the hosts are served, prolong it to ten leases.
    pub(crate) fn vouched_until(
        &self,
        unit: UnitId,
        interface: InterfaceId,
        heard: Instant,
        now: Instant,
    ) -> Option<(PeerId, Instant)> {
        let (id, peer) = self.claimant(unit, now)?;
        let lease = peer.report.lease;
        let replies_here =
            peer.report.paths.iter().any(|path| {
                path.interface == Some(interface) && self.is_recent(path.replied_at, now)
            });
        let leases = if replies_here { LONGEST_VOUCH_LEASES } else { 1 };
        let last_word = peer.report.heard_at? + self.window();
        let until = (heard + lease.scaled(leases, 1)).min(peer.report.lease_until).min(last_word);
        (until > now).then_some((id, until))
    }

    /// Whether the peer's own authenticated word agrees with an advert in its name. `None` while it has none that is fresh.
    pub(crate) fn bears_out(
        &self,
        id: PeerId,
        unit: UnitId,
        advert: &Advert,
        own_interval: Duration,
        now: Instant,
    ) -> Option<bool> {
        let peer = self.known.get(&id)?;
        if !self.is_fresh(peer, now) {
            return None;
        }
        let report = &peer.report;
        let owns = report.owned.contains(unit);
        if advert.priority == RELEASED {
            return Some(!owns || report.draining);
        }
        let interval = advert.interval == own_interval || !report.same_configuration || report.draining;
        Some(owns && interval && advert.priority <= report.priority)
    }

    /// Whether the peer's adverts are to count by themselves: it has not proven its key yet, or its authentication is
    /// failing, which plain VRRP must then survive.
    pub(crate) fn is_plain(&self, peer: &Peer, now: Instant) -> bool {
        !peer.authenticated || self.is_authentication_failing(peer, now)
    }

    /// Only wrong MACs come in its name.
    pub(crate) fn is_authentication_failing(&self, peer: &Peer, now: Instant) -> bool {
        self.is_recent(peer.report.bad_mac_at, now) && !self.is_fresh(peer, now)
    }

    /// How this node hears and is heard on a segment, as far as peers can tell that are heard at all.
    pub(crate) fn hearing_on(&self, interface: InterfaceId, now: Instant) -> SegmentHearing {
        let mut hearing = SegmentHearing::default();
        for (_, peer) in self.iter().filter(|(_, peer)| self.is_fresh(peer, now)) {
            for path in peer.report.paths.iter().filter(|path| path.interface == Some(interface)) {
                let we_hear = self.is_recent(path.heard_at, now);
                hearing.anybody |= we_hear;
                hearing.heard_unheard |= !we_hear && path.hears_us == Some(true);
                hearing.unheard_by_all &= path.hears_us == Some(false);
                hearing.paths += 1;
            }
        }
        hearing
    }
}

/// Answers of [`Peers::hearing_on`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHearing {
    /// Paths that peers who are heard somewhere have on the segment.
    pub(crate) paths: usize,
    /// We hear some peer here.
    pub(crate) anybody: bool,
    /// A peer hears us here and we do not hear it.
    pub(crate) heard_unheard: bool,
    /// Every peer says that it does not hear us here.
    pub(crate) unheard_by_all: bool,
}

impl Default for SegmentHearing {
    fn default() -> Self {
        Self { paths: 0, anybody: false, heard_unheard: false, unheard_by_all: true }
    }
}

impl SegmentHearing {
    /// We hear nobody while others hear us.
    pub(crate) fn is_deaf(self) -> bool {
        self.heard_unheard && !self.anybody
    }

    /// We hear others, and none of them hears us.
    pub(crate) fn is_mute(self) -> bool {
        self.paths > 0 && self.anybody && self.unheard_by_all
    }
}
