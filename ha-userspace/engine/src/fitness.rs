//! Whether this node is fit to own what it owns: requirements, being heard and hearing, and standing down by order.
//!
//! An Active that is not fit gives way where a peer says that it is ready, or, where no peers are configured, once. It
//! never leaves the address to nobody on purpose.

use crate::action::Cause;
use crate::config::{InterfaceId, RouterId, UnitId};
use crate::engine::Engine;
use crate::input::Standing;
use crate::time::{Duration, Instant};
use crate::vrrp::{Impairment, ReleaseKind, State};

/// An unfit Active that released without a successor tries again after this, where a peer says it is ready.
const GIVE_WAY_AGAIN_AFTER: Duration = Duration::from_secs(10);

impl Engine {
    /// This node's fitness to own a router has changed.
    pub(crate) fn fitness(&mut self, now: Instant, router: RouterId, standing: Standing) {
        let changed = self
            .touch(router)
            .is_some_and(|(router, out)| router.reassess(now, |own, _| *own = standing, out));
        self.release_unfit(now);
        self.advertise_anew(changed.then_some(router));
    }

    /// Actives that still stand say at once what has changed about their adverts.
    pub(crate) fn advertise_anew(&mut self, routers: impl IntoIterator<Item = RouterId>) {
        for router in routers {
            if let Some((router, out)) = self.touch(router) {
                router.advertise_anew(out);
            }
        }
    }

    /// Whether this node is deaf or mute on the router's segment. True if its adverts have to change.
    pub(crate) fn review_hearing(
        &mut self,
        now: Instant,
        router: RouterId,
        unit: UnitId,
        interface: InterfaceId,
    ) -> bool {
        let hearing = self.peers.hearing_on(interface, unit, now);
        let quiet = !self.peers.is_recent(self.frames.get(&interface).copied(), now);
        let settle = if hearing.is_deaf() && quiet {
            Some(self.peers.deaf_after())
        } else {
            hearing.is_mute().then(|| self.peers.mute_after())
        };
        let (doubt, window) = (self.peers.mute_after(), self.peers.window());
        let Some((router, out)) = self.touch(router) else { return false };
        // What showed it may be gone and it not over: who is not heard is not sent to for long, since its address cannot be
        // resolved any more. Only both directions proven end it, or time where no peer is there to tell.
        let next = match (router.impairment, settle) {
            (_, None) if hearing.both_ways => Impairment::None,
            (Impairment::Certain | Impairment::Doubtful(_), None) if hearing.paths > 0 => Impairment::Certain,
            (Impairment::Certain, None) => Impairment::Doubtful(now),
            (Impairment::Doubtful(since), None) if now.since(since) <= doubt => Impairment::Doubtful(since),
            // The peers' words are handed in one after the other: seen beside an older word of another, the newest may hide a
            // sign for a moment.
            (kept @ Impairment::Suspected { shown, .. }, None) if now.since(shown) <= window => kept,
            (_, None) => Impairment::None,
            (Impairment::None, Some(_)) => Impairment::Suspected { since: now, shown: now },
            (Impairment::Suspected { since, .. }, Some(settle)) if now.since(since) <= settle => {
                Impairment::Suspected { since, shown: now }
            }
            (Impairment::Suspected { .. }, Some(_)) => Impairment::Certain,
            (Impairment::Doubtful(_), Some(_)) => Impairment::Certain,
            (kept, Some(_)) => kept,
        };
        next != router.impairment && router.reassess(now, |_, impairment| *impairment = next, out)
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

    /// Takes part again. What is still releasing becomes a Backup afterwards, or stays Active if nobody succeeds.
    pub(crate) fn stand_up(&mut self, now: Instant) {
        if self.is_stopping() || self.stood_down.take().is_none() {
            return;
        }
        let ids: Vec<RouterId> = self.roster().map(|router| router.config.id).collect();
        for id in ids {
            if let Some((router, _)) = self.touch(id) {
                router.stay();
            }
            self.try_start(now, id);
        }
    }
}
