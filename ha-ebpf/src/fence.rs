//! The inbound fence: what belongs to a virtual address that this node does not own dies here.
//!
//! Who serves is decided by `Router::serves`; the mode comes from the settings. A frame that no router is concerned by
//! is transit. The outbound fence is `egress`.

use crate::{
    count,
    cursor::XdpFrame,
    maps::{LOCAL_ADDRESSES, fence_mode, link},
    outcome::Outcome,
    router::{Router, lease_is_valid, now_ns},
    vips,
};
use ha_common::{
    maps::values::{LinkPolicy, fence, flag},
    verdict_reasons::VerdictReason,
    wire::{
        arp::{self, Arp},
        ethernet::{self, Mac},
        ipv6,
    },
};

/// Counts the verdict for its router and returns it as the outcome.
#[inline(always)]
pub fn stopped(router: &Router, reason: VerdictReason) -> Outcome {
    count::router_verdict(router.slot, reason);
    Outcome::Judged(reason)
}

/// Whether the fence holds for a router at this moment.
#[inline(always)]
pub fn is_closed(router: &Router) -> bool {
    fence_mode() != fence::NONE && !router.serves()
}

/// A frame to a virtual MAC; `None` if the fence does not stop it.
#[inline(always)]
pub fn virtual_mac_in(vlan: u32, vrid: u8, family: u8) -> Option<Outcome> {
    let router = Router::find(vlan, vrid, family)?;
    is_closed(&router).then(|| stopped(&router, VerdictReason::FenceMacIn))
}

/// An ARP packet. Announcements (sender is target) and replies pass: they are news, not questions.
#[inline(always)]
pub fn arp_in(packet: Arp) -> Outcome {
    if packet.operation == arp::REQUEST
        && packet.sender != packet.target
        && let Some(router) = vips::router_of_v4(packet.target)
        && is_closed(&router)
    {
        return stopped(&router, VerdictReason::FenceArpIn);
    }
    Outcome::Transit
}

/// A neighbour solicitation whose target address is at offset `target`, duplicate address detection included (V-128);
/// `None` if the fence does not stop it.
#[inline(always)]
pub fn solicitation_in(frame: XdpFrame, target: usize) -> Option<Outcome> {
    let router = router_at(frame, target)?;
    is_closed(&router).then(|| stopped(&router, VerdictReason::FenceNdIn))
}

#[inline(always)]
fn router_at(frame: XdpFrame, address: usize) -> Option<Router> {
    use ha_common::wire::ipv6::low_word;
    if !vips::may_be_virtual(low_word(frame, address)?) {
        return None;
    }
    vips::router_of(ipv6::address(frame, address)?)
}

/// An IPv4 packet to `destination`.
#[inline(always)]
pub fn packet_in_v4(frame: XdpFrame, destination: u32) -> Outcome {
    if let Some(router) = vips::router_of_v4(destination) {
        return to_virtual_address(&router, false);
    }
    if fence_mode() == fence::FORWARDING && is_routable_v4(destination) {
        return forwarded(frame, ipv6::mapped(destination)).unwrap_or(Outcome::Transit);
    }
    Outcome::Transit
}

/// An IPv6 packet whose destination address is at offset `destination`.
#[inline(always)]
pub fn packet_in_v6(frame: XdpFrame, destination: usize, is_neighbour: bool) -> Option<Outcome> {
    if let Some(router) = router_at(frame, destination) {
        return Some(to_virtual_address(&router, is_neighbour));
    }
    if fence_mode() == fence::FORWARDING {
        let address = ipv6::address(frame, destination)?;
        if !ipv6::is_multicast(&address) && !ipv6::is_link_local(&address) {
            return forwarded(frame, address);
        }
    }
    None
}

/// A packet to a virtual address: fenced while not owned, for this host only if it accepts (V-129, V-132, V-133).
#[inline(always)]
fn to_virtual_address(router: &Router, is_neighbour: bool) -> Outcome {
    let owned = router.serves();
    if !owned {
        if fence_mode() == fence::NONE {
            return Outcome::Transit;
        }
        return stopped(router, VerdictReason::FenceIpIn);
    }
    if router.policy.flags & flag::ACCEPT == 0 && !is_neighbour {
        return stopped(router, VerdictReason::AcceptOff);
    }
    Outcome::Transit
}

/// Not multicast, class E or broadcast, nor 169.254.0.0/16.
#[inline(always)]
const fn is_routable_v4(address: u32) -> bool {
    const LINK_LOCAL: u32 = 0xa9fe;
    address >> 29 != 0b111 && address >> 16 != LINK_LOCAL
}

/// A packet to an address that can only be local or transit; `None` if it may go on.
#[inline(always)]
fn forwarded(frame: XdpFrame, destination: ipv6::Words) -> Option<Outcome> {
    let link = link()?;
    if link.routers == 0 || !is_for_us(frame, link)? {
        return None;
    }
    // The one clock read on the way of transit, and only in this mode.
    if link.owned > 0 && lease_is_valid(now_ns()) {
        return None;
    }
    let address = ipv6::bytes(destination);
    if LOCAL_ADDRESSES.get_ptr(address).is_some() {
        return None;
    }
    Some(Outcome::Judged(VerdictReason::FenceTransitIn))
}

/// Whether the frame is addressed to this interface, or to a virtual MAC that got past [`virtual_mac_in`].
#[inline(always)]
fn is_for_us(frame: XdpFrame, link: &LinkPolicy) -> Option<bool> {
    let destination = ethernet::destination(frame)?;
    Some(destination == Mac::new(link.mac) || destination.virtual_router().is_some())
}
