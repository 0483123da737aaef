//! Remarks on a peer's adverts (V-067 to V-070), bounded so that a talkative or hostile peer fills no log (V-062).

use super::instance::Router;
use crate::action::{Action, Notice};
use crate::config::{PeerId, Version};
use crate::engine::Outbox;
use crate::input::Advert;
use crate::time::{Duration, Instant};
use core::net::IpAddr;

/// The same remark about the same peer is not repeated sooner.
const REPEAT_AFTER: Duration = Duration::from_secs(60);
/// The same remark about another peer is not made sooner, so that alternating senders stay bounded.
const OTHER_PEER_AFTER: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
enum Remark {
    Interval,
    Addresses,
    Owner,
    Equal,
    Forgery,
    TwoOwners,
}

const REMARKS: usize = 6;

/// When each remark was last made, and about whom.
#[derive(Clone, Debug, Default)]
pub(crate) struct NoticeLimiter {
    last: [Option<(IpAddr, Instant)>; REMARKS],
}

impl NoticeLimiter {
    fn admits(&mut self, remark: Remark, peer: IpAddr, now: Instant) -> bool {
        let last = &mut self.last[remark as usize];
        if let Some((about, at)) = *last {
            let wait = if about == peer { REPEAT_AFTER } else { OTHER_PEER_AFTER };
            if now < at + wait {
                return false;
            }
        }
        *last = Some((peer, now));
        true
    }
}

impl Router {
    /// Says what is odd about an advert that is processed all the same.
    pub(super) fn remark(&mut self, now: Instant, advert: &Advert, out: &mut Outbox) {
        let (router, peer) = (self.config.id, advert.source);
        let own = self.own_priority();
        let mut say = |applies: bool, remark: Remark, notice: Notice| {
            if applies && self.notices.admits(remark, peer, now) {
                out.push(Action::Notify(notice));
            }
        };
        let interval = advert.interval;
        let differs = interval != self.config.advertisement_interval;
        // A VRRPv2 advert of another interval never gets here (V-053); a releasing sender may carry any (V-084).
        let speaks = advert.priority != super::election::RELEASED;
        say(
            differs && speaks && self.config.version == Version::V3,
            Remark::Interval,
            Notice::IntervalDiffers { router, peer, interval },
        );
        say(advert.addresses_differ, Remark::Addresses, Notice::AddressesDiffer { router, peer });
        let equal = speaks && advert.priority == own;
        let owner = own == super::election::OWNER;
        say(equal && owner, Remark::Owner, Notice::OwnerConflict { router, peer });
        say(equal && !owner, Remark::Equal, Notice::EqualPriority { router, peer });
    }
}

impl Router {
    /// An advert in a peer's name was not borne out in time.
    pub(crate) fn remark_forgery(&mut self, now: Instant, advert: &Advert, out: &mut Outbox) {
        let (router, source, priority) = (self.config.id, advert.source, advert.priority);
        if self.notices.admits(Remark::Forgery, source, now) {
            out.push(Action::Notify(Notice::SuspectedForgery { router, source, priority }));
        }
    }

    /// A peer goes on claiming what this node owns.
    pub(crate) fn remark_two_owners(&mut self, now: Instant, peer: PeerId, out: &mut Outbox) {
        let router = self.config.id;
        let Some(own) = self.source else { return };
        if self.notices.admits(Remark::TwoOwners, own, now) {
            out.push(Action::Notify(Notice::TwoOwners { router, peer }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v062_a_remark_is_made_at_once_and_then_bounded() {
        let mut limiter = NoticeLimiter::default();
        let (one, two): (IpAddr, IpAddr) = ("192.0.2.11".parse().unwrap(), "192.0.2.12".parse().unwrap());
        let at = |seconds| Instant::default() + Duration::from_secs(seconds);
        assert!(limiter.admits(Remark::Equal, one, at(5)));
        assert!(!limiter.admits(Remark::Equal, one, at(6)));
        assert!(limiter.admits(Remark::Owner, one, at(6)));
        assert!(limiter.admits(Remark::Equal, two, at(6)));
        assert!(!limiter.admits(Remark::Equal, two, at(65)));
        assert!(limiter.admits(Remark::Equal, two, at(66)));
    }
}
