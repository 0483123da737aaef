//! What peers say and how they fare, and what follows for the routers: takeover by verdict, hold by vouching, trust, dual
//! ownership. Whether their adverts are borne out is in [`crate::corroboration`], fitness to own in [`crate::fitness`].

use crate::action::{Action, Notice};
use crate::config::{InterfaceId, PeerId, RouterId, UnitId};
use crate::engine::Engine;
use crate::peers::{PeerHealth, PeerReport, Units};
use crate::time::{Duration, Instant};
use crate::vrrp::{Router, State};

/// The same alarm about a peer's authentication is not repeated sooner.
const ALARM_AGAIN_AFTER: Duration = Duration::from_secs(60);

impl Engine {
    /// A peer's latest word.
    pub(crate) fn peer_report(&mut self, now: Instant, id: PeerId, report: PeerReport) {
        let Some(filed) = self.peers.file(id, report, now) else { return };
        self.review_trust(now, id);
        let ids: Vec<RouterId> = self.roster().map(|router| router.config.id).collect();
        let mut changed = Vec::new();
        for router in ids {
            let Some((unit, interface)) = self.place(router) else { continue };
            self.review_pending(now, router, id, unit);
            self.review_successor(now, router, unit);
            self.review_rival(now, router, unit);
            self.review_lost(router, id);
            if self.review_hearing(now, router, unit, interface) {
                changed.push(router);
            }
            let vouched = self.vouched(now, router);
            if let Some((router, out)) = self.touch(router) {
                router.review_vouch(now, vouched);
                if filed.returned {
                    router.speak_up(now, out);
                }
            }
        }
        self.release_unfit(now);
        self.advertise_anew(changed);
    }

    /// What the probes speak of a router as, and where it is; `None` where no peers are configured.
    pub(crate) fn place(&self, router: RouterId) -> Option<(UnitId, InterfaceId)> {
        let config = &self.router(router)?.config;
        Some((config.unit?, config.interface))
    }

    /// Who vouches for the owner of a Backup's router, and until when.
    pub(crate) fn vouched(&self, now: Instant, router: RouterId) -> Option<(PeerId, Instant)> {
        let (unit, interface) = self.place(router)?;
        let router = self.router(router)?;
        let silent_from = router.silent_from()?;
        // One that is not fit, or is heard but cannot hear, lets the owner be for as long as that one says it owns: it would
        // take over only to give way to it again.
        if (router.unfit().is_some() || router.impairment.is_certain())
            && let Some((peer, owner)) = self.peers.claimant(unit, now)
        {
            return Some((peer, owner.report.lease_until));
        }
        self.peers.vouched_until(unit, interface, silent_from, now)
    }

    /// A releasing Active may not hear its successor's adverts; the successor's own word is as good.
    fn review_successor(&mut self, now: Instant, id: RouterId, unit: UnitId) {
        let Some(State::Active(active)) = self.router(id).map(|router| &router.state) else { return };
        let Some(release) = active.release else { return };
        if !self.peers.is_claimed_since(unit, release.began, now) {
            return;
        }
        if let Some((router, out)) = self.touch(id) {
            router.succeeded_by_claim(now, release, out);
        }
        self.group_left(now, id);
    }

    /// A peer claims what this node owns, or has ceased to: its last announcements may still stand in the hosts' caches.
    fn review_rival(&mut self, now: Instant, router: RouterId, unit: UnitId) {
        let window = self.peers.window();
        let rival = self.peers.claimant(unit, now).map(|(id, _)| id);
        let Some((router, out)) = self.touch(router) else { return };
        if !matches!(&router.state, State::Active(active) if active.release.is_none()) {
            router.contested_since = None;
            return;
        }
        match (rival, router.contested_since) {
            (Some(peer), Some(since)) if now.since(since) > window => {
                router.remark_two_owners(now, peer, out);
            }
            (Some(_), since) => router.contested_since = since.or(Some(now)),
            (None, Some(_)) => {
                router.contested_since = None;
                router.announce_against_rival(now, out);
            }
            (None, None) => {}
        }
    }

    /// Tells the data plane whether a peer's adverts count by themselves, and the operator if its authentication fails.
    pub(crate) fn review_trust(&mut self, now: Instant, id: PeerId) {
        let Some(peer) = self.peers.get_mut(id) else { return };
        let plain = peer.is_plain();
        let told = peer.plain.replace(plain) == Some(plain);
        let rested = peer.alarmed_at.is_none_or(|at| now.since(at) >= ALARM_AGAIN_AFTER);
        let alarm = peer.failing && rested;
        if alarm {
            peer.alarmed_at = Some(now);
        }
        if !told {
            self.out.push(Action::TrustPeer { peer: id, plain });
        }
        if alarm {
            self.out.push(Action::Notify(Notice::AuthenticationFailing { peer: id }));
        }
    }

    /// Whether this host lets requests to a peer out. A forger on the segment has no part in that, so the peer's adverts may
    /// count by themselves; otherwise two nodes whose filters were closed alike would both own.
    pub(crate) fn peer_muzzled(&mut self, now: Instant, id: PeerId, muzzled: bool) {
        let Some(peer) = self.peers.get_mut(id) else { return };
        if core::mem::replace(&mut peer.muzzled, muzzled) == muzzled {
            return;
        }
        if muzzled {
            self.out.push(Action::Notify(Notice::Muzzled { peer: id }));
        }
        self.review_trust(now, id);
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
        let (owned, muzzled) = (peer.report.owned, peer.muzzled);
        if before == health {
            return;
        }
        if health == PeerHealth::Unhealthy {
            self.out.push(Action::Notify(Notice::PeerUnhealthy { peer: id }));
            // One that was never heard of in this run has not fallen silent: adverts tell whether it owns. So they do of one
            // that may live under another secret, or that was not asked.
            if before == PeerHealth::Healthy && !muzzled && !self.peers.is_attacked(id, now) {
                let since = self.peers.silent_from(silent_since, now);
                self.take_over_from(now, id, owned, since);
            }
        } else if before == PeerHealth::Unhealthy {
            if health == PeerHealth::Healthy {
                self.out.push(Action::Notify(Notice::PeerHealthy { peer: id }));
            }
            self.peer_found(|lost| lost == id);
        }
        self.release_unfit(now);
    }

    /// What was to be taken over from these peers is not.
    pub(crate) fn peer_found(&mut self, found: impl Fn(PeerId) -> bool) {
        let waits = |router: &&Router| router.lost().is_some_and(|(peer, _)| found(peer));
        let waiting: Vec<RouterId> = self.roster().filter(waits).map(|router| router.config.id).collect();
        for router in waiting {
            if let Some((router, _)) = self.touch(router) {
                router.owner_found();
            }
        }
    }

    /// A peer that answers no check but speaks is not silent yet.
    fn review_lost(&mut self, router: RouterId, id: PeerId) {
        let lost = self.router(router).and_then(Router::lost).filter(|(peer, _)| *peer == id);
        if let Some((_, since)) = lost
            && let Some(due) = self.peers.takeover_due(id, since)
            && let Some((router, _)) = self.touch(router)
        {
            router.postpone_takeover(due);
        }
    }

    fn owned_by(&self, owned: Units) -> Vec<RouterId> {
        let of = |router: &&Router| router.config.unit.is_some_and(|unit| owned.contains(unit));
        self.roster().filter(of).map(|router| router.config.id).collect()
    }

    /// The routers that a silent peer owned, where a path of it ran over the router's own interface and nobody has a better
    /// claim.
    fn take_over_from(&mut self, now: Instant, id: PeerId, owned: Units, since: Instant) {
        let due = self.peers.takeover_due(id, since).map_or(now, |due| due.max(now));
        let adverts_from = self.peers.adverts_speak_from(id, since);
        for router in self.owned_by(owned) {
            let Some((unit, interface)) = self.place(router) else { continue };
            let own_priority = self.router(router).map_or(0, Router::own_priority);
            let here = self
                .peers
                .get(id)
                .is_some_and(|peer| peer.report.paths.iter().any(|path| path.interface == Some(interface)));
            let owned_elsewhere = self.peers.is_claimed_beside(id, unit, now);
            if !here || owned_elsewhere || self.peers.has_better_heir(id, unit, own_priority, now) {
                continue;
            }
            if let Some((router, _)) = self.touch(router) {
                router.owner_lost(id, since, adverts_from, due);
            }
        }
    }
}
