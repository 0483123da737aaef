//! Whether an advert of a peer is borne out by what that peer said under its key.
//!
//! An advert is plain text that any host of the segment can forge. Where the router asks for corroboration, an advert in a
//! peer's name counts only if the peer's last authenticated message is young and says the same.

use crate::{
    maps::{ADVERT_SOURCES, node},
    peers::Peer,
    router::Router,
};
use ha_common::{
    maps::{
        keys::SourceKey,
        peers::{MAX_UNITS, PeerState, peer_flag},
        values::flag,
    },
    ring_events::event_flag,
    wire::{ipv6, probe, vrrp::Advert},
};

/// What `ADVERT_SOURCES` says of an advert's sender.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Sender(u32);

impl Sender {
    /// Its word suffices.
    const TRUSTED: Self = Sender(0);
    /// No list was asked; no peer has this slot.
    pub const UNLISTED: Self = Sender(u32::MAX);

    /// The sender at an address (IPv4 mapped), if the router listens to it.
    #[inline(always)]
    pub fn find(router: u32, address: ipv6::Words) -> Option<Self> {
        let key = SourceKey { router, address: ipv6::bytes(address) };
        // SAFETY: the value is one word, which is read at once.
        unsafe { ADVERT_SOURCES.get(key) }.copied().map(Sender)
    }

    #[inline(always)]
    fn peer(self) -> Option<Peer> {
        Peer::at(self.0.wrapping_sub(1))
    }

    /// Shortest time between two reports of adverts of this sender that nothing bears out.
    #[inline(always)]
    pub fn report_interval_ns(self, router: &Router) -> u64 {
        self.peer().map_or(router.policy.interval_ns, |peer| peer.policy.interval_ns)
    }
}

/// Whether a valid advert counts.
#[inline(always)]
pub fn is_borne_out(router: &Router, advert: &Advert, sender: Sender, now_ns: u64) -> bool {
    if router.policy.flags & flag::CORROBORATE == 0 || sender == Sender::TRUSTED {
        return true;
    }
    let Some(peer) = sender.peer() else {
        return false;
    };
    if peer.policy.flags & peer_flag::PLAIN != 0 {
        return true;
    }
    // A unit that no message speaks of is borne out by none.
    let unit = u32::from(router.policy.unit);
    if !peer.is_fresh(now_ns) || unit >= MAX_UNITS {
        return false;
    }
    // SAFETY: `state` is a valid map value.
    says_the_same(advert, unsafe { &*peer.state }, 1 << unit)
}

/// Whether a peer's own words agree with an advert in its name, for the unit whose bit is `unit`.
#[inline(always)]
fn says_the_same(advert: &Advert, peer: &PeerState, unit: u64) -> bool {
    let owns = peer.owned & unit != 0;
    let draining = peer.flags & probe::flag::DRAINING != 0;
    if advert.priority == 0 {
        return !owns || draining;
    }
    // Nodes that agree on the intervals announce what they agreed on, except to hold a successor off while they drain.
    let agreed = node().is_some_and(|node| node.digest == peer.digest);
    let differs = advert.flags & event_flag::INTERVAL_DIFFERS != 0;
    owns && u16::from(advert.priority) <= peer.priority && (!agreed || !differs || draining)
}
