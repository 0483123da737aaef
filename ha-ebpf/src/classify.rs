//! Ingress: from the Ethernet header to the part that judges the frame.
//!
//! Transit leaves here after the header fields that could concern a virtual router have been looked at, without a clock
//! read and without a hash look-up. `None` inside means that the frame ends too early to be any of ours.

use crate::{bypass, count, cursor::XdpFrame, fence, maps::node, outcome::Outcome, probe, rewrite, vrrp};
use aya_ebpf::programs::XdpContext;
use ha_common::{
    verdict_reasons::VerdictReason,
    wire::{
        Buffer, arp,
        ethernet::{self, ether_type},
        ipv4, ipv6, ndisc, udp, vlan,
        vrrp::PROTOCOL,
    },
};

/// Bound of the offset of what lies behind the VLAN tags, and of the number of tags, in a form that [`below`] takes.
///
/// [`below`]: crate::cursor::below
pub const PAYLOAD_BOUND: usize =
    (ethernet::HEADER_LENGTH + vlan::MAX_TAGS * vlan::TAG_LENGTH + 1).next_power_of_two();
pub const TAGS_BOUND: usize = (vlan::MAX_TAGS + 1).next_power_of_two();

/// Judges a received frame.
#[inline(always)]
pub fn ingress(ctx: &XdpContext) -> Outcome {
    if let Some(outcome) = bypass::hop(ctx.ctx) {
        return outcome;
    }
    inspect(ctx).unwrap_or(Outcome::Transit)
}

#[inline(always)]
fn inspect(ctx: &XdpContext) -> Option<Outcome> {
    let frame = XdpFrame::of(ctx.ctx);
    let link = vlan::walk(frame)?;
    let at = link.payload;
    match link.ether_type {
        ether_type::IPV4 => {
            let protocol = ipv4::protocol(frame, at)?;
            if protocol == PROTOCOL {
                return Some(Outcome::Concluded(vrrp::vrrp_v4(ctx.ctx, at, link.vlan, link.tags)));
            }
            let destination = ipv4::destination(frame, at)?;
            count_fragments(ctx, frame, at + ipv4::total_length(frame, at)?);
            let is_probe = protocol == udp::PROTOCOL && is_to_ha_port_v4(frame, at);
            if is_probe {
                let code = probe::probe_v4(ctx.ctx, at, link.vlan);
                if code != probe::PATH_UNKNOWN {
                    return Some(Outcome::Concluded(code));
                }
            }
            Some(or_stray(fenced_v4(frame, link.vlan, destination), is_probe))
        }
        ether_type::IPV6 => ipv6_packet(ctx, frame, link.vlan, link.tags, at),
        ether_type::ARP => {
            if let Some(outcome) = to_virtual_mac(frame, link.vlan) {
                return Some(outcome);
            }
            Some(fence::arp_in(arp::parse(frame, at)?))
        }
        _ if link.too_deep() => Some(Outcome::Judged(VerdictReason::VlanTooDeep)),
        _ => to_virtual_mac(frame, link.vlan),
    }
}

/// What the fence makes of an IPv4 packet that nothing else claims.
#[inline(always)]
fn fenced_v4(frame: XdpFrame, vlan: u32, destination: u32) -> Outcome {
    to_virtual_mac(frame, vlan).unwrap_or_else(|| fence::packet_in_v4(frame, destination))
}

/// A probe that goes on although it came by no path of ours is counted.
#[inline(always)]
fn or_stray(outcome: Outcome, is_probe: bool) -> Outcome {
    match outcome {
        Outcome::Transit if is_probe => Outcome::Judged(VerdictReason::ProbePathUnknown),
        outcome => outcome,
    }
}

/// Whether a UDP packet behind an IPv4 header at `at` is for the HA port. A later fragment has no port.
#[inline(always)]
fn is_to_ha_port_v4(frame: XdpFrame, at: usize) -> bool {
    ipv4::header_length(frame, at).is_some_and(|header| is_to_ha_port(frame, at + header))
        && ipv4::is_later_fragment(frame, at) == Some(false)
}

/// Whether a UDP header at `at` names the HA port.
#[inline(always)]
fn is_to_ha_port(frame: XdpFrame, at: usize) -> bool {
    let port = node().map_or(0, |node| node.port);
    port != 0 && udp::destination_port(frame, at) == Some(port)
}

#[inline(always)]
fn ipv6_packet(ctx: &XdpContext, frame: XdpFrame, vlan: u32, tags: usize, at: usize) -> Option<Outcome> {
    let next = ipv6::next_header(frame, at)?;
    if next == PROTOCOL {
        return Some(Outcome::Concluded(vrrp::vrrp_v6(ctx.ctx, at, vlan, tags)));
    }
    if ipv6::extended_next_header(frame, at, next) == Some(PROTOCOL) {
        return Some(Outcome::Judged(VerdictReason::ExtensionHeader));
    }
    let message = at + ipv6::HEADER_LENGTH;
    count_fragments(ctx, frame, message + ipv6::payload_length(frame, at)?);
    let is_probe = next == udp::PROTOCOL && is_to_ha_port(frame, message);
    if is_probe {
        let code = probe::probe_v6(ctx.ctx, at, vlan);
        if code != probe::PATH_UNKNOWN {
            return Some(Outcome::Concluded(code));
        }
    }
    Some(or_stray(fenced_v6(frame, vlan, at, next).unwrap_or(Outcome::Transit), is_probe))
}

/// What the fence makes of an IPv6 packet that nothing else claims.
#[inline(always)]
fn fenced_v6(frame: XdpFrame, vlan: u32, at: usize, next: u8) -> Option<Outcome> {
    if let Some(outcome) = to_virtual_mac(frame, vlan) {
        return Some(outcome);
    }
    let message = at + ipv6::HEADER_LENGTH;
    let discovery = if next == ipv6::next_header::ICMPV6 { ndisc::kind(frame, message) } else { None };
    if discovery == Some(ndisc::Kind::Solicitation)
        && let Some(outcome) = fence::solicitation_in(frame, ndisc::target_at(message))
    {
        return Some(outcome);
    }
    let is_neighbour = matches!(discovery, Some(ndisc::Kind::Solicitation | ndisc::Kind::Advertisement));
    fence::packet_in_v6(frame, ipv6::destination_at(at), is_neighbour)
}

/// Counts what lies beyond the linear part of a frame that is longer by its IP header. Only then is the kernel asked
/// for the length: the call costs as much as all the rest of transit.
#[inline(always)]
fn count_fragments(ctx: &XdpContext, frame: XdpFrame, length: usize) {
    let linear = frame.len();
    if length > linear {
        count::received_beyond(rewrite::frame_length(ctx.ctx) - linear as u64);
    }
}

#[inline(always)]
fn to_virtual_mac(frame: XdpFrame, vlan: u32) -> Option<Outcome> {
    let (family, vrid) = ethernet::destination(frame)?.virtual_router()?;
    fence::virtual_mac_in(vlan, vrid, family)
}
