//! The bypass wire: while a pair is engaged, what comes in on one port leaves by the other as it is.
//!
//! Comes right after counting. The controller's bypass driver writes `BYPASS_LINKS`, `BYPASS_PAIRS` and `BYPASS_PORTS`;
//! one write to a pair switches both directions. Where the configuration says so, a pair engages by itself once the
//! lease has ended. Four things never cross: unicast to the port's own MAC, questions for this host's own
//! addresses, VRRP, and what is no whole Ethernet header. They go on as if there were no wire.

use crate::{
    count,
    cursor::XdpFrame,
    maps::{BYPASS_LINKS, BYPASS_PAIRS, BYPASS_PORTS, LOCAL_ADDRESSES, link, link_slot},
    outcome::Outcome,
    rewrite,
    router::{lease_is_valid, now_ns},
    vips,
};
use aya_ebpf::bindings::xdp_md;
use ha_common::{
    maps::values::{BypassLink, BypassPair, bypass_flag},
    verdict_reasons::VerdictReason,
    wire::{
        Buffer, arp,
        ethernet::{self, Mac, ether_type},
        ipv4, ipv6, ndisc, vlan, vrrp,
    },
};

/// What [`cross`] returns for a frame that stays; no program returns this code otherwise.
const STAYS: u32 = u32::MAX;

/// Sends the frame over the wire if there is one and it is engaged. `None`: the frame stays here.
///
/// An interface without a pair pays for one array look-up, one with a released pair for two.
#[inline(always)]
pub fn hop(ctx: *mut xdp_md) -> Option<Outcome> {
    let wire = BYPASS_LINKS.get(link_slot())?;
    if wire.flags & bypass_flag::PAIRED == 0 || !is_engaged(BYPASS_PAIRS.get(wire.pair)?) {
        return None;
    }
    match cross(ctx) {
        STAYS => None,
        code => Some(Outcome::Concluded(code)),
    }
}

/// Sends a frame of an engaged pair over the wire; the XDP code, or [`STAYS`].
///
/// A function of its own, so that transit does not pay for its stack.
#[inline(never)]
fn cross(ctx: *mut xdp_md) -> u32 {
    match try_cross(ctx) {
        Some(reason) => Outcome::Judged(reason).conclude_xdp(),
        None => STAYS,
    }
}

#[inline(always)]
fn try_cross(ctx: *mut xdp_md) -> Option<VerdictReason> {
    let wire = BYPASS_LINKS.get(link_slot())?;
    let frame = XdpFrame::of(ctx);
    if stays(frame, wire)? {
        return None;
    }
    let linear = frame.len() as u64;
    let bytes = rewrite::frame_length(ctx);
    if bytes > linear {
        count::received_beyond(bytes - linear);
    }
    match BYPASS_PORTS.redirect(link_slot(), 0) {
        Ok(_) => {
            count::sent_by(wire.partner_slot, bytes);
            Some(VerdictReason::Bypassed)
        }
        Err(_) => Some(VerdictReason::BypassPortMissing),
    }
}

/// By order, or because the controller has gone. Only pairs that care about the latter pay for the clock.
#[inline(always)]
fn is_engaged(pair: &BypassPair) -> bool {
    pair.engaged != 0 || pair.on_controller_loss != 0 && !lease_is_valid(now_ns())
}

/// Whether the frame is this host's own business. `None` if it has no whole Ethernet header.
#[inline(always)]
fn stays(frame: XdpFrame, wire: &BypassLink) -> Option<bool> {
    let policy = link()?;
    // A slot may have a new interface before its wire is written anew.
    if policy.ifindex != wire.ifindex || ethernet::destination(frame)? == Mac::new(policy.mac) {
        return Some(true);
    }
    let layer = vlan::walk(frame)?;
    // Headers that end too early are not for this host to judge: they cross.
    Some(concerns_us(frame, layer.ether_type, layer.payload).unwrap_or(false))
}

#[inline(always)]
fn concerns_us(frame: XdpFrame, kind: u16, at: usize) -> Option<bool> {
    match kind {
        ether_type::IPV4 => Some(ipv4::protocol(frame, at)? == vrrp::PROTOCOL),
        ether_type::IPV6 => {
            let next = ipv6::next_header(frame, at)?;
            if next == ipv6::next_header::ICMPV6 {
                return solicits_us(frame, at + ipv6::HEADER_LENGTH);
            }
            let beyond = ipv6::extended_next_header(frame, at, next);
            Some(next == vrrp::PROTOCOL || beyond == Some(vrrp::PROTOCOL))
        }
        ether_type::ARP => {
            let packet = arp::parse(frame, at)?;
            Some(packet.operation == arp::REQUEST && is_own(ipv6::mapped(packet.target), packet.target))
        }
        _ => Some(false),
    }
}

#[inline(always)]
fn solicits_us(frame: XdpFrame, message: usize) -> Option<bool> {
    if ndisc::kind(frame, message)? != ndisc::Kind::Solicitation {
        return Some(false);
    }
    let target = ndisc::target_at(message);
    Some(is_own(ipv6::address(frame, target)?, ipv6::low_word(frame, target)?))
}

/// An address of this host that is not a virtual one: those belong to whoever serves now.
#[inline(always)]
fn is_own(address: ipv6::Words, low_word: u32) -> bool {
    LOCAL_ADDRESSES.get_ptr(ipv6::bytes(address)).is_some()
        && !(vips::may_be_virtual(low_word) && vips::router_of(address).is_some())
}
