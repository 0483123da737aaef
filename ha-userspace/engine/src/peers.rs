//! What the other nodes say of themselves over the probe channel, and what may be concluded from it.
//!
//! Reports come from the data plane, which lets only authenticated, fresh messages in. A report speaks for its sender as
//! long as it is younger than the time in which a healthy peer is heard again (interval times failure threshold), and
//! of ownership only while the sender's lease lasts. Nothing here changes a router; the engine does, from these answers.

use crate::config::{InterfaceId, PeerCheck, PeerId, Takeover, UnitId};
use crate::input::Advert;
pub use crate::path_health::Health as PeerHealth;
use crate::time::{Duration, Instant};
use crate::vrrp::election::RELEASED;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Leases for which replies over the virtual router's own interface vouch for an owner whose adverts are missing.
const LONGEST_VOUCH_LEASES: u64 = 10;
/// How much sooner than after an interval a check may follow on the last one.
const CHECK_JITTER_PERCENT: u64 = 25;
/// Floor of the time after which hearing nobody is certain, so that a start or a hiccup is none.
const SHORTEST_DEAFNESS: Duration = Duration::from_millis(400);
/// Checks by which being heard by nobody settles later than hearing nobody: whoever is deaf has said so by then.
const MUTE_MARGIN_CHECKS: u64 = 3;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Peer {
    pub(crate) health: PeerHealth,
    pub(crate) report: PeerReport,
    /// It has proven its key in this run.
    authenticated: bool,
    /// Only wrong MACs came in its name, and nothing right since.
    pub(crate) failing: bool,
    /// This host lets no request to it out, so that it cannot answer.
    pub(crate) muzzled: bool,
    /// Its adverts count without being borne out; as last told to the data plane.
    pub(crate) plain: Option<bool>,
    /// When its failing authentication was last told.
    pub(crate) alarmed_at: Option<Instant>,
}

impl Peer {
    /// It says that it owns the unit under a lease that lasts.
    fn owns(&self, unit: UnitId, now: Instant) -> bool {
        self.report.owned.contains(unit) && self.report.lease_until > now
    }

    /// Whether its adverts are to count by themselves: it has not proven its key yet, its authentication is failing, or
    /// this host itself keeps us from asking. Plain VRRP must then do.
    pub(crate) const fn is_plain(&self) -> bool {
        !self.authenticated || self.failing || self.muzzled
    }
}

/// What a report changed beyond its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Filed {
    /// The peer is heard after a time in which it was not.
    pub(crate) returned: bool,
}

/// All other nodes.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Peers {
    known: BTreeMap<PeerId, Peer>,
    check: PeerCheck,
    takeover: Takeover,
}

impl Peers {
    /// Takes up a configuration; peers that stay keep what they said.
    pub(crate) fn configure(&mut self, ids: &[PeerId], check: PeerCheck, takeover: Takeover) {
        self.check = check;
        self.takeover = takeover;
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

    /// How long hearing nobody must last to be certain. What the others say of us is as old as a window and a check.
    pub(crate) fn deaf_after(&self) -> Duration {
        (self.window() + self.check.interval).max(SHORTEST_DEAFNESS)
    }

    /// How long being heard by nobody must last. Longer: a peer that is deaf itself has said by then that it is not ready.
    pub(crate) fn mute_after(&self) -> Duration {
        self.deaf_after() + self.window() + self.check.interval.scaled(MUTE_MARGIN_CHECKS, 1)
    }

    /// Files a report. Wrong MACs count as failing authentication until a right one comes.
    pub(crate) fn file(&mut self, id: PeerId, report: PeerReport, now: Instant) -> Option<Filed> {
        let fresh = self.is_recent(report.heard_at, now);
        let attacked = self.is_recent(report.bad_mac_at, now);
        let window = self.window();
        let peer = self.known.get_mut(&id)?;
        let gap = match (peer.report.heard_at, report.heard_at) {
            (Some(before), Some(after)) => after.since(before) > window,
            (before, after) => before != after,
        };
        peer.authenticated |= report.heard_at.is_some();
        peer.failing = !fresh && (peer.failing || attacked);
        peer.report = report;
        Some(Filed { returned: fresh && gap })
    }

    /// A peer that says, freshly and under a valid lease, that it owns the unit.
    pub(crate) fn claimant(&self, unit: UnitId, now: Instant) -> Option<(PeerId, &Peer)> {
        self.iter().find(|(_, peer)| self.is_fresh(peer, now) && peer.owns(unit, now))
    }

    /// Whether another peer than `lost` says that it owns the unit.
    pub(crate) fn is_claimed_beside(&self, lost: PeerId, unit: UnitId, now: Instant) -> bool {
        self.iter().any(|(id, peer)| id != lost && self.is_fresh(peer, now) && peer.owns(unit, now))
    }

    /// Whether a peer has said since `since` that it owns the unit, and says so still.
    pub(crate) fn is_claimed_since(&self, unit: UnitId, since: Instant, now: Instant) -> bool {
        let spoke = |peer: &Peer| peer.report.heard_at.is_some_and(|at| at >= since);
        self.iter().any(|(_, peer)| self.is_fresh(peer, now) && peer.owns(unit, now) && spoke(peer))
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

    /// From when on a sign of life speaks against a verdict of silence that is formed now.
    ///
    /// A row of missed checks that is shorter than checks can be apart, or none at all, belongs to a path that was unhealthy
    /// already and has answered since.
    pub(crate) fn silent_from(&self, silent_since: Option<Instant>, now: Instant) -> Instant {
        let checks_apart = u64::from(self.check.failure_threshold.saturating_sub(1));
        let shortest_row = self.check.interval.scaled(checks_apart * (100 - CHECK_JITTER_PERCENT), 100);
        silent_since.map_or(now - self.window(), |since| since.min(now - shortest_row))
    }

    /// When what a peer owned may be taken over that has answered no check since `since`: as soon as nothing else was heard from
    /// it for the window either, and, where so configured, its lease is over. `None` is at once.
    pub(crate) fn takeover_due(&self, id: PeerId, since: Instant) -> Option<Instant> {
        let report = &self.known.get(&id)?.report;
        let spoke = report.heard_at.filter(|at| *at > since).map(|at| at + self.window());
        let lease = (self.takeover == Takeover::AfterLease).then_some(report.lease_until);
        spoke.max(lease)
    }

    /// From when on an advert in the peer's name speaks against its silence since `since`. What came earlier can have been
    /// borne out by a word from before the silence, and anybody can copy an advert.
    pub(crate) fn adverts_speak_from(&self, id: PeerId, since: Instant) -> Instant {
        let peer = self.known.get(&id).filter(|peer| !peer.is_plain());
        let spoken_for = peer.and_then(|peer| peer.report.heard_at).map(|at| at + self.window());
        spoken_for.map_or(since, |until| until.max(since))
    }

    /// Whether messages with wrong MACs come in the peer's name.
    pub(crate) fn is_attacked(&self, id: PeerId, now: Instant) -> bool {
        self.known.get(&id).is_some_and(|peer| self.is_recent(peer.report.bad_mac_at, now))
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
        let vouches = |(id, peer): (PeerId, &Peer)| {
            let until = self.vouch_end(peer, unit, interface, heard, now)?;
            (until > now).then_some((id, until))
        };
        self.iter().filter_map(vouches).max_by_key(|(_, until)| *until)
    }

    fn vouch_end(
        &self,
        peer: &Peer,
        unit: UnitId,
        interface: InterfaceId,
        heard: Instant,
        now: Instant,
    ) -> Option<Instant> {
        if !peer.owns(unit, now) {
            return None;
        }
        let replies_here = peer
            .report
            .paths
            .iter()
            .any(|path| path.interface == Some(interface) && self.is_recent(path.replied_at, now));
        let leases = if replies_here { LONGEST_VOUCH_LEASES } else { 1 };
        let granted = (heard + peer.report.lease.scaled(leases, 1)).min(peer.report.lease_until);
        match self.takeover {
            // Its last word holds as long as it would be heard again if it lived.
            Takeover::Fast => Some(granted.min(peer.report.heard_at? + self.window())),
            // Silence proves nothing before the lease is over.
            Takeover::AfterLease => Some(granted),
        }
    }

    /// Whether the peer has said since an advert in its name, under its key, what the advert says. What it said before cannot
    /// bear out a change.
    pub(crate) fn bears_out(
        &self,
        id: PeerId,
        unit: UnitId,
        advert: &Advert,
        own_interval: Duration,
        now: Instant,
    ) -> bool {
        let Some(peer) = self.known.get(&id) else { return false };
        let report = &peer.report;
        let spoke_since = report.heard_at.is_some_and(|at| at >= advert.at);
        if !spoke_since || !self.is_fresh(peer, now) {
            return false;
        }
        let owns = report.owned.contains(unit);
        if advert.priority == RELEASED {
            return !owns || report.draining;
        }
        // Nodes that agree on the intervals announce what they agreed on, except to hold a successor off while they drain.
        let interval = advert.interval == own_interval || !report.same_configuration || report.draining;
        owns && interval && advert.priority <= report.priority
    }

    /// How this node hears and is heard on a segment, as far as peers can tell that are heard at all.
    ///
    /// That nobody hears us counts only from peers who are ready for the unit: one that is not may be deaf itself.
    pub(crate) fn hearing_on(&self, interface: InterfaceId, unit: UnitId, now: Instant) -> SegmentHearing {
        let mut hearing = SegmentHearing::default();
        for (_, peer) in self.iter().filter(|(_, peer)| self.is_fresh(peer, now)) {
            let witness = self.is_ready(peer, unit, now);
            for path in peer.report.paths.iter().filter(|path| path.interface == Some(interface)) {
                let we_hear = self.is_recent(path.heard_at, now);
                hearing.paths += 1;
                hearing.anybody |= we_hear;
                hearing.both_ways |= we_hear && path.hears_us == Some(true);
                hearing.heard_unheard |= !we_hear && path.hears_us == Some(true);
                hearing.unheard_by_all &= path.hears_us == Some(false) || !witness;
                hearing.witnesses += usize::from(witness && we_hear);
            }
        }
        hearing
    }
}

/// Answers of [`Peers::hearing_on`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHearing {
    /// Paths here of peers that are heard, here or elsewhere.
    pub(crate) paths: usize,
    /// Paths on which we hear a peer that is ready for the unit.
    pub(crate) witnesses: usize,
    /// We hear some peer here.
    pub(crate) anybody: bool,
    /// We hear a peer here that says it hears us.
    pub(crate) both_ways: bool,
    /// A peer hears us here and we do not hear it.
    pub(crate) heard_unheard: bool,
    /// Every peer that is ready says that it does not hear us here.
    pub(crate) unheard_by_all: bool,
}

impl Default for SegmentHearing {
    fn default() -> Self {
        Self {
            paths: 0,
            witnesses: 0,
            anybody: false,
            both_ways: false,
            heard_unheard: false,
            unheard_by_all: true,
        }
    }
}

impl SegmentHearing {
    /// We hear nobody while others hear us.
    pub(crate) fn is_deaf(self) -> bool {
        self.heard_unheard && !self.anybody
    }

    /// We hear others, and none of those who could own hears us.
    pub(crate) fn is_mute(self) -> bool {
        self.witnesses > 0 && self.unheard_by_all
    }
}
