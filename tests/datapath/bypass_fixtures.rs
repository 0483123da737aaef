//! The bypass wire, frame by frame: what crosses, what stays, and when.

use super::fixture::{Fixture, as_backup, as_owner, received, transit};
use super::frames::*;
use super::plane::{Plane, SECOND_NS, V4, V6, now_ns};
use ha_common::maps::keys::mapped;
use ha_common::verdict_reasons::VerdictReason::{self, *};

const LLDP_GROUP: [u8; 6] = [1, 0x80, 0xc2, 0, 0, 0x0e];
const LLDP: u16 = 0x88cc;
const STRANGER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x77];

/// Engaged by order; the partner exists.
pub(crate) fn engaged(plane: &mut Plane) {
    plane.wire(true);
    plane.bypass_pair(true, false);
    plane.local_address(mapped(OUR_ADDRESS));
    plane.local_address(mapped(VIP));
    plane.local_address(address_v6(OUR_LINK_LOCAL));
    plane.local_address(address_v6(VIP_LINK_LOCAL));
}

fn engaged_without_a_partner(plane: &mut Plane) {
    engaged(plane);
    plane.wire(false);
}

fn engaged_as_owner(plane: &mut Plane) {
    as_owner(plane);
    engaged(plane);
}

/// Paired, neither ordered nor lost.
pub(crate) fn released(plane: &mut Plane) {
    engaged(plane);
    plane.bypass_pair(false, false);
}

/// Set to engage by itself, with the controller alive.
pub(crate) fn on_guard(plane: &mut Plane) {
    engaged(plane);
    plane.bypass_pair(false, true);
}

/// Set to engage by itself, with the controller gone.
fn abandoned(plane: &mut Plane) {
    on_guard(plane);
    plane.lease_until(now_ns() - SECOND_NS);
}

/// The lease has ended, and nobody asked for a wire then.
fn lapsed_without_a_wire(plane: &mut Plane) {
    released(plane);
    plane.lease_until(now_ns() - SECOND_NS);
}

/// The wire was written for an interface that had the slot before.
fn engaged_for_another_interface(plane: &mut Plane) {
    engaged(plane);
    plane.wire_of_interface(super::plane::IFINDEX + 1);
}

/// A frame to a host behind the wire.
pub(crate) fn to_stranger(mut frame: Vec<u8>) -> Vec<u8> {
    frame[..6].copy_from_slice(&STRANGER_MAC);
    frame
}

fn lldp() -> Vec<u8> {
    let mut frame = [&LLDP_GROUP[..], &PEER_MAC, &LLDP.to_be_bytes()].concat();
    frame.resize(60, 0x42);
    frame
}

/// A neighbour solicitation as it is sent: to a group.
fn asked_for(target: &str) -> Vec<u8> {
    const SOLICITED: [u8; 6] = [0x33, 0x33, 0xff, 0, 0, 1];
    with_macs(solicitation(Some(PEER_LINK_LOCAL), target), SOLICITED, PEER_MAC)
}

fn crosses(what: &'static str, arrange: fn(&mut Plane), frame: Vec<u8>) -> Fixture {
    received(what, arrange, frame, V4, Bypassed).without_router()
}

fn judged(what: &'static str, frame: Vec<u8>, router: u32, verdict: VerdictReason) -> Fixture {
    received(what, engaged, frame, router, verdict)
}

/// What an engaged wire carries.
pub(crate) fn crossing() -> Vec<Fixture> {
    let jumbo = to_stranger(ipv4(STRANGER, STRANGER, 17, &vec![7; 8900]));
    vec![
        crosses("IPv4", engaged, to_stranger(udp_v4(STRANGER))),
        crosses("IPv6", engaged, to_stranger(udp_v6(STRANGER_V6))),
        crosses("one tag", engaged, to_stranger(tagged(udp_v4(STRANGER), &[17]))),
        crosses("two tags", engaged, to_stranger(tagged(udp_v4(STRANGER), &[40, 41]))),
        crosses("three tags", engaged, to_stranger(tagged(udp_v4(STRANGER), &[1, 2, 3]))),
        crosses("LLDP", engaged, lldp()),
        crosses("a jumbo frame in several buffers", engaged, jumbo.clone()),
        crosses("a tagged jumbo frame", engaged, tagged(jumbo, &[9])),
        crosses("ARP request of others", engaged, arp(1, PEER_ADDRESS, STRANGER)),
        crosses("ARP request for the virtual address", engaged, arp(1, PEER_ADDRESS, VIP)),
        crosses("solicitation for a virtual address", engaged, asked_for(VIP_LINK_LOCAL)),
        crosses("solicitation of others", engaged, asked_for(PEER_LINK_LOCAL)),
        crosses("IPv4 to a virtual address behind the wire", engaged, to_stranger(udp_v4(VIP))),
        crosses("a header cut short", engaged, to_stranger(udp_v4(STRANGER))[..16].to_vec()),
        crosses("with the virtual router still ours", engaged_as_owner, to_stranger(udp_v4(STRANGER))),
        crosses("controller gone", abandoned, to_stranger(udp_v4(STRANGER))),
        received(
            "no partner",
            engaged_without_a_partner,
            to_stranger(udp_v4(STRANGER)),
            V4,
            BypassPortMissing,
        )
        .without_router(),
    ]
}

/// What stays in spite of an engaged wire.
pub(crate) fn staying() -> Vec<Fixture> {
    vec![
        transit("to our own MAC", engaged, udp_v4(OUR_ADDRESS)),
        transit("to our own MAC, tagged", engaged, tagged(udp_v4(STRANGER), &[17])),
        transit("to our own MAC, controller gone", abandoned, udp_v4(STRANGER)),
        transit("ARP request for our own address", engaged, arp(1, PEER_ADDRESS, OUR_ADDRESS)),
        transit("solicitation for our own address", engaged, asked_for(OUR_LINK_LOCAL)),
        judged("to our own MAC and a fenced address", udp_v4(VIP), V4, FenceIpIn),
        judged("IPv4 advert", advert_v4(T2), V4, AdvertReported),
        judged("IPv6 advert", advert_v6(T4), V6, AdvertReported),
        judged("advert of another VRID", with_message_byte(advert_v4(T2), 1, 52, 12), V4, VridUnknown)
            .without_router(),
        judged("advert behind an extension header", advert_behind_extension_header(), V6, ExtensionHeader)
            .without_router(),
    ]
}

/// Frames that would cross, were the wire engaged.
pub(crate) fn not_engaged() -> Vec<Fixture> {
    let frame = || to_stranger(udp_v4(STRANGER));
    vec![
        transit("no pair", as_backup, frame()),
        transit("a released pair", released, frame()),
        transit("on guard, controller alive", on_guard, frame()),
        transit("controller gone, no wire wanted", lapsed_without_a_wire, frame()),
        transit("a wire of another interface", engaged_for_another_interface, frame()),
    ]
}

/// Bytes of a frame on the partner's counters.
#[test]
fn a_bypassed_frame_counts_as_sent_by_the_partner_whole() {
    let mut plane = Plane::new();
    engaged(&mut plane);
    let jumbo = tagged(to_stranger(ipv4(STRANGER, STRANGER, 17, &vec![7; 8900])), &[9]);
    let small = to_stranger(udp_v4(STRANGER));
    for frame in [&jumbo, &small] {
        plane.ingress(frame);
    }
    let bytes = (jumbo.len() + small.len()) as u64;
    let partner = plane.partner_traffic();
    assert_eq!((partner.tx_packets, partner.tx_bytes), (2, bytes));
    assert_eq!((partner.rx_packets, partner.rx_bytes), (0, 0));
    let own = plane.traffic();
    assert_eq!((own.rx_packets, own.rx_bytes, own.tx_packets), (2, bytes, 0));

    plane.wire(false);
    plane.ingress(&small);
    assert_eq!(plane.partner_traffic().tx_packets, 2, "what was not sent does not count as sent");
}

#[test]
fn a_wire_ends_by_itself_when_the_lease_is_extended() {
    let mut plane = Plane::new();
    abandoned(&mut plane);
    let frame = to_stranger(udp_v4(STRANGER));
    plane.ingress(&frame);
    assert_eq!(plane.verdict(Bypassed), 1);
    plane.lease_until(now_ns() + 60 * SECOND_NS);
    plane.ingress(&frame);
    assert_eq!(plane.verdict(Bypassed), 1);
}
