//! What peers say and how they fare, and what follows for the routers: takeover by verdict, hold by vouching, adverts borne out
//! or not, fitness to own.

use crate::action::{Action, Cause, Notice};
use crate::config::{InterfaceId, PeerId, RouterId, Takeover, UnitId};
use crate::engine::Engine;
use crate::input::{Advert, Standing};
use crate::peers::{PeerHealth, PeerReport, Units};
use crate::time::{Duration, Instant};
use crate::vrrp::{Impairment, Pending, ReleaseKind, Router, State};

/// Floor of the wait for an advert to be borne out: a message that was sent in time can be this late on any machine.
const SHORTEST_WAIT: Duration = Duration::from_millis(20);
/// An unfit Active that released without a successor tries again after this, where a peer says it is ready.
const GIVE_WAY_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// Floor of the time after which being unheard is certain, so that a start or a hiccup is none.
const SHORTEST_IMPAIRMENT: Duration = Duration::from_millis(500);

impl Engine {
    /// A peer's latest word.
    pub(crate) fn peer_report(&mut self, now: Instant, id: PeerId, report: PeerReport) {
        let Some(before) = self.peers.file(id, report) else { return };
        self.review_trust(now, id);
        let ids: Vec<RouterId> = self.roster().map(|router| router.config.id).collect();
        for router in ids {
            self.review_router(now, router, id, before);
        }
        self.release_unfit(now);
    }

    fn review_router(&mut self, now: Instant, router: RouterId, peer: PeerId, before: Units) {
        let Some((unit, interface)) = self.place(router) else { return };
        self.review_pending(now, router, unit);
        self.review_rival(now, router, peer, unit, before);
        self.review_hearing(now, router, interface);
        let vouched = self.vouched(now, router);
        if let Some((router, _)) = self.touch(router) {
            router.review_vouch(now, vouched);
        }
    }

    fn place(&self, router: RouterId) -> Option<(UnitId, InterfaceId)> {
        let config = &self.router(router)?.config;
        Some((config.unit?, config.interface))
    }

    /// Who vouches for the owner of a Backup's router, and until when.
    pub(crate) fn vouched(&self, now: Instant, router: RouterId) -> Option<(PeerId, Instant)> {
        let (unit, interface) = self.place(router)?;
        let router = self.router(router)?;
        let silent_from = router.silent_from()?;
        // One that is heard but cannot hear lets the owner be for as long as that one says it owns.
        if router.impairment == Impairment::Certain
            && let Some((peer, owner)) = self.peers.claimant(unit, now)
        {
            return Some((peer, owner.report.lease_until));
        }
        self.peers.vouched_until(unit, interface, silent_from, now)
    }

    /// An advert that nothing bore out when it came.
    pub(crate) fn uncorroborated(&mut self, now: Instant, router: RouterId, peer: PeerId, advert: Advert) {
        let wait = self.peers.check_interval().max(SHORTEST_WAIT);
        let Some(unit) = self.place(router).map(|(unit, _)| unit) else { return };
        let pending = Pending { peer, advert, until: now + wait };
        if let Some((router, _)) = self.touch(router)
            && !matches!(router.state, State::Initialize)
            && router.pending.is_none()
        {
            router.pending = Some(pending);
        }
        self.out.push(Action::ProbeNow { peer });
        self.review_pending(now, router, unit);
    }

    /// Takes a pending advert as heard if its peer's own word agrees with it by now.
    fn review_pending(&mut self, now: Instant, router: RouterId, unit: UnitId) {
        let Some((pending, own_interval)) = self
            .router(router)
            .and_then(|router| Some((router.pending?, router.config.advertisement_interval)))
        else {
            return;
        };
        // Its word must be younger than the advert: what it said before cannot bear out a change.
        let spoke_since = self
            .peers
            .get(pending.peer)
            .and_then(|peer| peer.report.heard_at)
            .is_some_and(|at| at >= pending.advert.at);
        let borne_out = self.peers.bears_out(pending.peer, unit, &pending.advert, own_interval, now);
        if !spoke_since || borne_out != Some(true) {
            return;
        }
        if let Some((router, _)) = self.touch(router) {
            router.pending = None;
        }
        self.advert(now, router, &pending.advert);
    }

    /// A rival's claim has ended: its last announcements may still stand in the hosts' caches.
    fn review_rival(&mut self, now: Instant, router: RouterId, peer: PeerId, unit: UnitId, before: Units) {
        let window = self.peers.window();
        let claims = self.peers.get(peer).is_some_and(|peer| self.peers.claims(peer, unit, now));
        let Some((router, out)) = self.touch(router) else { return };
        if !matches!(&router.state, State::Active(active) if active.release.is_none()) {
            router.contested_since = None;
            return;
        }
        if !claims {
            router.contested_since = None;
            if before.contains(unit) {
                router.announce_against_rival(now, out);
            }
            return;
        }
        let since = *router.contested_since.get_or_insert(now);
        if now.since(since) > window {
            router.remark_two_owners(now, peer, out);
        }
    }

    /// Whether this node is deaf or mute on the router's segment.
    fn review_hearing(&mut self, now: Instant, router: RouterId, interface: InterfaceId) {
        let hearing = self.peers.hearing_on(interface, now);
        let settle = self.peers.window().max(SHORTEST_IMPAIRMENT);
        let frames = self.frames.get(&interface).copied();
        let quiet = frames.is_none_or(|at| now.since(at) > settle);
        let impaired = (hearing.is_deaf() && quiet) || hearing.is_mute();
        let Some((router, out)) = self.touch(router) else { return };
        let next = match (router.impairment, impaired) {
            (_, false) => Impairment::None,
            (Impairment::None, true) => Impairment::Suspected(now),
            (Impairment::Suspected(since), true) if now.since(since) > settle => Impairment::Certain,
            (kept, true) => kept,
        };
        if next != router.impairment {
            router.reassess(now, |_, impairment| *impairment = next, out);
        }
    }

    /// Tells the data plane whether a peer's adverts count by themselves, and the operator if its authentication fails.
    fn review_trust(&mut self, now: Instant, id: PeerId) {
        let Some(peer) = self.peers.get(id) else { return };
        let plain = self.peers.is_plain(peer, now);
        let failing = self.peers.is_authentication_failing(peer, now);
        let before = peer.plain;
        if before == Some(plain) {
            return;
        }
        if let Some(peer) = self.peers.get_mut(id) {
            peer.plain = Some(plain);
        }
        self.out.push(Action::TrustPeer { peer: id, plain });
        if failing {
            self.out.push(Action::Notify(Notice::AuthenticationFailing { peer: id }));
        }
    }

    /// The verdict of a peer's checks.
    pub(crate) fn peer_health(
        &mut self,
        now: Instant,
        id: PeerId,
        health: PeerHealth,
        silent_since: Option<Instant>,
    ) {
        let Some(peer) = self.peers.get_mut(id) else { return };
        let before = core::mem::replace(&mut peer.health, health);
        let (owned, lease_until) = (peer.report.owned, peer.report.lease_until);
        if before == health {
            return;
        }
        match health {
            PeerHealth::Unhealthy => {
                self.out.push(Action::Notify(Notice::PeerUnhealthy { peer: id }));
                let due = match self.takeover {
                    Takeover::Fast => now,
                    Takeover::AfterLease => now.max(lease_until),
                };
                // One that was never heard of in this run has not fallen silent: adverts tell whether it owns.
                if before == PeerHealth::Healthy {
                    self.take_over_from(now, id, owned, silent_since.unwrap_or(now), due);
                }
            }
            PeerHealth::Healthy => {
                if before == PeerHealth::Unhealthy {
                    self.out.push(Action::Notify(Notice::PeerHealthy { peer: id }));
                }
                for router in self.owned_by(owned) {
                    if let Some((router, _)) = self.touch(router) {
                        router.owner_found();
                    }
                }
            }
            PeerHealth::Unknown => {}
        }
        self.release_unfit(now);
    }

    fn owned_by(&self, owned: Units) -> Vec<RouterId> {
        let of = |router: &&Router| router.config.unit.is_some_and(|unit| owned.contains(unit));
        self.roster().filter(of).map(|router| router.config.id).collect()
    }

    /// The routers that a silent peer owned, where a path of it ran over the router's own interface and nobody has a better
    /// claim.
    fn take_over_from(&mut self, now: Instant, id: PeerId, owned: Units, since: Instant, due: Instant) {
        for router in self.owned_by(owned) {
            let Some((unit, interface)) = self.place(router) else { continue };
            let own_priority = self.router(router).map_or(0, Router::own_priority);
            let here = self.peers.get(id).is_some_and(|peer| {
                peer.report.paths.iter().any(|path| path.interface == Some(interface))
            });
            let owned_elsewhere = self.peers.claimant(unit, now).is_some_and(|(other, _)| other != id);
            if !here || owned_elsewhere || self.peers.has_better_heir(id, unit, own_priority, now) {
                continue;
            }
            if let Some((router, _)) = self.touch(router) {
                router.owner_lost(since, due);
            }
        }
    }

    /// This node's fitness to own a router has changed.
    pub(crate) fn fitness(&mut self, now: Instant, router: RouterId, standing: Standing) {
        if let Some((router, out)) = self.touch(router) {
            router.reassess(now, |own, _| *own = standing, out);
        }
        self.release_unfit(now);
    }

    /// Actives that are not fit give way, where somebody is known to be ready or nobody can be asked. A unit moves as one.
    pub(crate) fn release_unfit(&mut self, now: Instant) {
        if self.is_stopping() {
            return;
        }
        let unfit: Vec<(RouterId, Cause)> = self
            .roster()
            .filter(|router| matches!(&router.state, State::Active(active) if active.release.is_none()))
            .filter_map(|router| Some((router.config.id, router.unfit()?)))
            .collect();
        for (id, cause) in unfit {
            let Some(router) = self.router(id) else { continue };
            let rested = router.in_vain_at.is_none_or(|at| now.since(at) > GIVE_WAY_AGAIN_AFTER);
            let ready = match router.config.unit {
                Some(unit) if !self.peers.is_empty() => rested && self.peers.is_any_ready(unit, now),
                _ => router.in_vain_at.is_none(),
            };
            if !ready {
                continue;
            }
            let group = router.config.group;
            let unit = group.map_or_else(|| vec![id], |group| self.groups.members(group));
            self.release_unit(now, &unit, ReleaseKind::GiveWay { cause, aside: false });
        }
    }

    /// Gives everything up and stays out.
    pub(crate) fn stand_down(&mut self, now: Instant, cause: Cause) {
        if self.stood_down.is_some() || self.is_stopping() {
            return;
        }
        self.stood_down = Some(false);
        self.leave_all(now, cause);
    }

    /// Takes part again.
    pub(crate) fn stand_up(&mut self, now: Instant) {
        if self.stood_down.take().is_none() {
            return;
        }
        let ids: Vec<RouterId> = self.roster().map(|router| router.config.id).collect();
        for id in ids {
            self.try_start(now, id);
        }
    }
}

impl Router {
    /// An advert that was not borne out in time is taken for a forgery.
    pub(crate) fn pending_timeout(&mut self, now: Instant, out: &mut crate::engine::Outbox) {
        if let Some(pending) = self.pending.filter(|pending| pending.until <= now) {
            self.pending = None;
            self.remark_forgery(now, &pending.advert, out);
        }
    }
}
