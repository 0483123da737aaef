//! Adverts in a peer's name that the data plane held back: what the peer itself says under its key decides whether they count.
//!
//! Until then they change nothing: no timer, no learned interval, no role. What is not borne out within a check interval
//! is reported as a suspected forgery.

use crate::action::Action;
use crate::config::{PeerId, RouterId, UnitId};
use crate::engine::{Engine, Outbox};
use crate::input::Advert;
use crate::time::{Duration, Instant};
use crate::vrrp::{Router, State, election};

/// Floor of the wait for an advert to be borne out: a message that was sent in time can be this late on any machine.
const SHORTEST_WAIT: Duration = Duration::from_millis(20);

impl Engine {
    /// An advert that nothing bore out when it came.
    pub(crate) fn uncorroborated(&mut self, now: Instant, router: RouterId, peer: PeerId, advert: Advert) {
        let until = now + self.peers.check_interval().max(SHORTEST_WAIT);
        let Some((unit, _)) = self.place(router).filter(|_| self.peers.get(peer).is_some()) else { return };
        let Some((held, out)) = self.touch(router) else { return };
        if matches!(held.state, State::Initialize) {
            return;
        }
        held.pending.add(peer, Advert { at: advert.at.min(now), ..advert }, until);
        out.push(Action::ProbeNow { peer });
        self.review_pending(now, router, peer, unit);
    }

    /// Takes pending adverts as heard where their peer's own word agrees with them by now.
    pub(crate) fn review_pending(&mut self, now: Instant, router: RouterId, peer: PeerId, unit: UnitId) {
        let Some(waiting) = self.router(router) else { return };
        let own_interval = waiting.config.advertisement_interval;
        let borne_out = |advert: &Advert| self.peers.bears_out(peer, unit, advert, own_interval, now);
        let adverts: Vec<Advert> = waiting.pending.of(peer).into_iter().filter(borne_out).collect();
        for advert in adverts {
            if let Some((router, _)) = self.touch(router) {
                router.pending.settle(peer, &advert);
            }
            self.advert(now, router, &advert);
        }
    }

    /// Whether an advert of priority 0 comes from somebody else than the owner that a Backup follows. Where peers say who
    /// owns, such a release gives nothing up: it may not start a succession beside a living owner.
    pub(crate) fn is_foreign_release(&self, router: RouterId, advert: &Advert) -> bool {
        let is_release = advert.priority == election::RELEASED;
        let keyed = !self.peers.is_empty() && self.place(router).is_some();
        is_release && keyed && self.router(router).is_some_and(|router| router.follows_another(advert.source))
    }
}

impl Router {
    /// What was not borne out in time is taken for a forgery.
    pub(crate) fn pending_timeout(&mut self, now: Instant, out: &mut Outbox) {
        for advert in self.pending.expire(now) {
            self.remark_forgery(now, &advert, out);
        }
    }
}
