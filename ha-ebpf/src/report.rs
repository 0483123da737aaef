//! Records for the controller. A full ring loses the record, not the fact: the state map holds it, and the loss is
//! counted.

use crate::{
    count,
    maps::{EVENTS, attach_ifindex},
    peers::Path,
    router::Router,
};
use ha_common::{
    maps::values::Head,
    ring_events::{AdvertEvent, PeerEvent},
    verdict_reasons::VerdictReason,
    wire::{ipv6, vrrp::Advert},
};

/// Tells the controller of an advert; `flags` are added to those of the advert, `epoch` is the grant in force or 0.
#[inline(always)]
pub fn advert(router: &Router, advert: &Advert, at_ns: u64, epoch: u64, flags: u16) {
    let Some(mut entry) = EVENTS.reserve::<AdvertEvent>(0) else {
        count::advisory(router.slot, VerdictReason::RingOverflow);
        return;
    };
    entry.write(AdvertEvent {
        at_ns,
        epoch,
        source: ipv6::bytes(advert.source),
        router: router.slot,
        ifindex: attach_ifindex(),
        interval: advert.interval,
        flags: advert.flags | flags,
        priority: advert.priority,
        version: advert.version,
        checksum: advert.checksum,
        address_count: advert.address_count,
        head: Head::of::<AdvertEvent>(),
        reserved: 0,
    });
    entry.submit(0);
}

/// Tells the controller about the peer at the far end of a path; `kind` is one of `peer_event`, `owned` the units that the
/// peer owned before and owns now.
#[inline(always)]
pub fn peer(path: &Path, kind: u32, at_ns: u64, owned: (u64, u64)) {
    let Some(mut entry) = EVENTS.reserve::<PeerEvent>(0) else {
        count::verdict(VerdictReason::RingOverflow as u32);
        return;
    };
    entry.write(PeerEvent {
        at_ns,
        owned_before: owned.0,
        owned: owned.1,
        head: Head::of::<PeerEvent>(),
        peer: path.peer.slot as u16,
        path: path.slot as u16,
        kind,
        reserved: 0,
    });
    entry.submit(0);
}
