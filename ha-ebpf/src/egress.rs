//! Egress: notes our own adverts and stops what claims a virtual router that this node does not own.
//!
//! `None` means that a header which is needed lies outside the linear part of the packet.

use crate::{
    count,
    cursor::TcFrame,
    fence::{is_closed, stopped},
    maps::fence_mode,
    outcome::Outcome,
    router::{Router, now_ns},
    vips,
};
use aya_ebpf::programs::TcContext;
use ha_common::{
    maps::values::{fence, flag},
    verdict_reasons::VerdictReason,
    wire::{
        arp,
        ethernet::{self, ether_type},
        ipv4, ipv6, ndisc,
        vlan::{self, LinkLayer, MAX_TAGS},
        vrrp,
    },
};

/// Bytes to make linear when a header is not: Ethernet, two tags, the longest IPv4 header and a VRRP header fit.
const HEADERS_LENGTH: u32 = 96;
/// As it is, and once more after the headers have been made linear.
const ATTEMPTS: usize = 2;

/// Judges a frame that is about to leave.
#[inline(always)]
pub fn egress(ctx: &TcContext) -> Outcome {
    for _ in 0..ATTEMPTS {
        if let Some(outcome) = inspect(ctx) {
            return outcome;
        }
        // A frame that is too short for its own headers claims nothing.
        if ctx.pull_data(ctx.len().min(HEADERS_LENGTH)).is_err() {
            break;
        }
    }
    Outcome::Transit
}

/// In-frame tags, and the one that the kernel keeps beside the packet.
#[inline(always)]
fn link_layer(ctx: &TcContext, frame: TcFrame) -> Option<LinkLayer> {
    let link = vlan::walk(frame)?;
    // SAFETY: the context is the kernel's.
    let (present, control) = unsafe { ((*ctx.skb.skb).vlan_present, (*ctx.skb.skb).vlan_tci) };
    Some(if present != 0 { link.behind_outer_tag(control as u16) } else { link })
}

#[inline(always)]
fn inspect(ctx: &TcContext) -> Option<Outcome> {
    let frame = TcFrame::of(ctx.skb.skb);
    let link = link_layer(ctx, frame)?;
    // SAFETY: the context is the kernel's.
    let outside = usize::from(unsafe { (*ctx.skb.skb).vlan_present } != 0);
    if link.too_deep() || link.tags + outside > MAX_TAGS {
        return Some(Outcome::Judged(VerdictReason::VlanTooDeep));
    }
    let at = link.payload;
    match link.ether_type {
        ether_type::IPV4 => {
            if ipv4::protocol(frame, at)? == vrrp::PROTOCOL
                && let Some(outcome) = advert(frame, link.vlan, at, 4)?
            {
                return Some(outcome);
            }
            let source = ipv4::source(frame, at)?;
            if let Some(outcome) = from_virtual_mac(frame, link.vlan)? {
                return Some(outcome);
            }
            Some(claim(vips::router_of_v4(source), VerdictReason::FenceIpOut))
        }
        ether_type::IPV6 => ipv6_packet(frame, link.vlan, at),
        ether_type::ARP => {
            if let Some(outcome) = from_virtual_mac(frame, link.vlan)? {
                return Some(outcome);
            }
            let sender = arp::parse(frame, at)?.sender;
            Some(claim(vips::router_of_v4(sender), VerdictReason::FenceArpOut))
        }
        _ => Some(from_virtual_mac(frame, link.vlan)?.unwrap_or(Outcome::Transit)),
    }
}

#[inline(always)]
fn ipv6_packet(frame: TcFrame, vlan: u32, at: usize) -> Option<Outcome> {
    let next = ipv6::next_header(frame, at)?;
    if next == vrrp::PROTOCOL
        && let Some(outcome) = advert(frame, vlan, at, 6)?
    {
        return Some(outcome);
    }
    if let Some(outcome) = from_virtual_mac(frame, vlan)? {
        return Some(outcome);
    }
    let message = at + ipv6::HEADER_LENGTH;
    let mut reason = VerdictReason::FenceIpOut;
    if next == ipv6::next_header::ICMPV6
        && let Some(kind) = ndisc::kind(frame, message)
    {
        reason = VerdictReason::FenceNdOut;
        if kind == ndisc::Kind::Advertisement {
            let claimed = router_at(frame, ndisc::target_at(message))?;
            if claimed.as_ref().is_some_and(is_closed) {
                return Some(claim(claimed, reason));
            }
        }
    }
    Some(claim(router_at(frame, ipv6::source_at(at))?, reason))
}

#[inline(always)]
fn router_at(frame: TcFrame, address: usize) -> Option<Option<Router>> {
    if !vips::may_be_virtual(ipv6::low_word(frame, address)?) {
        return Some(None);
    }
    Some(vips::router_of(ipv6::address(frame, address)?))
}

/// A frame that speaks for `router`'s virtual address.
#[inline(always)]
fn claim(router: Option<Router>, reason: VerdictReason) -> Outcome {
    match router {
        Some(router) if is_closed(&router) => stopped(&router, reason),
        _ => Outcome::Transit,
    }
}

/// A frame from the virtual MAC of a router that uses one.
#[inline(always)]
fn from_virtual_mac(frame: TcFrame, vlan: u32) -> Option<Option<Outcome>> {
    let Some((family, vrid)) = ethernet::source(frame)?.virtual_router() else {
        return Some(None);
    };
    let Some(router) = Router::find(vlan, vrid, family) else {
        return Some(None);
    };
    let ours = router.policy.flags & flag::VIRTUAL_MAC != 0;
    Some((ours && is_closed(&router)).then(|| stopped(&router, VerdictReason::FenceMacOut)))
}

/// An advert; the inner `None` means that it is not one of ours.
#[inline(always)]
fn advert(frame: TcFrame, vlan: u32, at: usize, family: u8) -> Option<Option<Outcome>> {
    let Ok(vrid) = vrrp::vrid(frame, at, family) else {
        return if vrrp_header_is_linear(frame, at, family) { Some(None) } else { None };
    };
    let Some(router) = Router::find(vlan, vrid, family) else {
        return Some(None);
    };
    let source = source_of(frame, at, family)?;
    let from_us = u128::from_ne_bytes(ipv6::bytes(source)) == u128::from_ne_bytes(router.policy.source);
    if !from_us && ethernet::source(frame)?.virtual_router() != Some((family, vrid)) {
        return Some(None);
    }
    let priority = vrrp::priority(frame, at, family)?;
    let now = now_ns();
    if fence_mode() != fence::NONE && !router.is_owned(now) {
        return Some(Some(stopped(&router, VerdictReason::FenceAdvertOut)));
    }
    note_sent(&router, priority, now);
    Some(Some(Outcome::Transit))
}

#[inline(always)]
fn vrrp_header_is_linear(frame: TcFrame, at: usize, family: u8) -> bool {
    vrrp::priority(frame, at, family).is_some()
}

#[inline(always)]
fn source_of(frame: TcFrame, at: usize, family: u8) -> Option<ipv6::Words> {
    if family == 6 {
        ipv6::address(frame, ipv6::source_at(at))
    } else {
        ipv4::source(frame, at).map(ipv6::mapped)
    }
}

#[inline(always)]
fn note_sent(router: &Router, priority: u8, now: u64) {
    // SAFETY: `state` is a valid map value that only the data plane writes.
    unsafe {
        count::add(&raw mut (*router.state).adverts_sent);
        if priority == 0 {
            count::add(&raw mut (*router.state).priority_zero_sent);
        } else {
            (*router.state).last_sent_ns = now;
        }
    }
}
