//! Adverts in a peer's name that nothing authenticated bore out when they came: they wait a check interval for the peer's word.
//!
//! Per peer one claim and one release can wait. A later one takes the place of an earlier one of its kind, so that a
//! forger cannot keep the peer's own from being heard; the alarm is due for the first one all the same.

use super::election::RELEASED;
use crate::config::PeerId;
use crate::input::Advert;
use crate::time::Instant;
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, Hash)]
struct Pending {
    /// The latest.
    advert: Advert,
    until: Instant,
    /// The one that the alarm would name, and when.
    suspect: Advert,
    alarm_at: Instant,
}

/// What kind of change an advert would bring about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Kind {
    Claim,
    Release,
}

/// The adverts of one router that wait.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct PendingAdverts {
    waiting: BTreeMap<(PeerId, Kind), Pending>,
}

impl PendingAdverts {
    pub(crate) fn add(&mut self, peer: PeerId, advert: Advert, until: Instant) {
        let kind = if advert.priority == RELEASED { Kind::Release } else { Kind::Claim };
        let first = Pending { advert, until, suspect: advert, alarm_at: until };
        let pending = self.waiting.entry((peer, kind)).or_insert(first);
        (pending.advert, pending.until) = (advert, until);
    }

    /// What waits for this peer's word.
    pub(crate) fn of(&self, peer: PeerId) -> Vec<Advert> {
        let its = self.waiting.iter().filter(|((of, _), _)| *of == peer);
        its.map(|(_, pending)| pending.advert).collect()
    }

    /// The advert was borne out.
    pub(crate) fn settle(&mut self, peer: PeerId, advert: &Advert) {
        self.waiting.retain(|(of, _), pending| *of != peer || pending.advert != *advert);
    }

    /// Drops what has waited long enough and returns what is to be reported.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<Advert> {
        let mut suspects = Vec::new();
        self.waiting.retain(|_, pending| {
            if pending.alarm_at <= now {
                suspects.push(pending.suspect);
                (pending.suspect, pending.alarm_at) = (pending.advert, pending.until);
            }
            pending.until > now
        });
        suspects
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.waiting.values().map(|pending| pending.alarm_at).min()
    }

    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
    }

    pub(crate) fn retain_peers(&mut self, known: impl Fn(PeerId) -> bool) {
        self.waiting.retain(|(peer, _), _| known(*peer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;

    const PEER: PeerId = PeerId(1);

    fn advert(priority: u8, at: u64) -> Advert {
        Advert {
            at: Instant::from_nanos(at),
            source: "192.0.2.11".parse().unwrap(),
            priority,
            interval: Duration::from_secs(1),
            checksum: None,
            answered: false,
            addresses_differ: false,
            epoch: 0,
            revoked: false,
        }
    }

    #[test]
    fn a_claim_does_not_displace_a_release() {
        let mut pending = PendingAdverts::default();
        pending.add(PEER, advert(0, 1), Instant::from_nanos(10));
        pending.add(PEER, advert(255, 2), Instant::from_nanos(11));
        assert_eq!(pending.of(PEER), [advert(255, 2), advert(0, 1)]);
        assert_eq!(pending.of(PeerId(2)), []);
        pending.settle(PEER, &advert(0, 1));
        assert_eq!(pending.of(PEER), [advert(255, 2)]);
    }

    #[test]
    fn a_repetition_waits_anew_and_the_alarm_is_not_put_off() {
        let mut pending = PendingAdverts::default();
        pending.add(PEER, advert(255, 1), Instant::from_nanos(10));
        pending.add(PEER, advert(254, 8), Instant::from_nanos(17));
        assert_eq!(pending.deadline(), Some(Instant::from_nanos(10)));
        assert_eq!(pending.expire(Instant::from_nanos(9)), []);
        assert_eq!(pending.expire(Instant::from_nanos(10)), [advert(255, 1)]);
        assert_eq!(pending.of(PEER), [advert(254, 8)]);
        assert_eq!(pending.deadline(), Some(Instant::from_nanos(17)));
        assert_eq!(pending.expire(Instant::from_nanos(17)), [advert(254, 8)]);
        assert_eq!(pending.deadline(), None);
    }
}
