//! The fence, inbound and outbound: conformance section 7.

use super::fixture::{Fixture, as_backup, as_lapsed_owner, as_owner, received, transit};
use super::frames::*;
use super::plane::{EPOCH, Plane, V2, V2_VLAN, V4, V6};
use ha_common::maps::keys::mapped;
use ha_common::maps::values::{fence, flag};
use ha_common::verdict_reasons::VerdictReason::*;

fn without_fence(plane: &mut Plane) {
    plane.fence(fence::NONE);
}

fn as_revoked_owner(plane: &mut Plane) {
    as_owner(plane);
    plane.set_state(V4, |state| state.revoked_epoch = EPOCH);
}

fn as_owner_whose_grant_ended(plane: &mut Plane) {
    as_owner(plane);
    plane.policy(V4, |policy| policy.grant_until_ns = 1);
}

fn as_owner_without_accept(plane: &mut Plane) {
    as_owner(plane);
    [V4, V6, V2].iter().for_each(|slot| plane.policy(*slot, |policy| policy.flags &= !flag::ACCEPT));
}

/// The address is the VRRPv2 router's, wherever packets to it arrive.
fn as_owner_of_v2_without_accept(plane: &mut Plane) {
    as_owner_without_accept(plane);
    plane.virtual_address(V2, 0, mapped(VIP));
}

/// A host tells everybody its new link-layer address.
fn neighbour_of_another() -> Vec<u8> {
    neighbour_advertisement(PEER_LINK_LOCAL, ALL_NODES, STRANGER_V6)
}

fn without_fence_or_accept(plane: &mut Plane) {
    as_owner_without_accept(plane);
    without_fence(plane);
}

fn forwarding_backup(plane: &mut Plane) {
    plane.fence(fence::FORWARDING);
    plane.local_address(mapped(OUR_ADDRESS));
}

fn forwarding_owner(plane: &mut Plane) {
    as_owner(plane);
    forwarding_backup(plane);
}

fn forwarding_lapsed(plane: &mut Plane) {
    as_lapsed_owner(plane);
    forwarding_backup(plane);
}

fn forwarding_elsewhere(plane: &mut Plane) {
    forwarding_backup(plane);
    plane.link(0, 0);
}

/// Ours, but no advert has left yet: whoever owned it before still serves.
fn as_granted(plane: &mut Plane) {
    as_backup(plane);
    plane.grant(V4);
}

fn to_virtual_mac(frame: Vec<u8>, mac: [u8; 6]) -> Vec<u8> {
    with_macs(frame, mac, PEER_MAC)
}

fn from_virtual_mac(frame: Vec<u8>, mac: [u8; 6]) -> Vec<u8> {
    with_macs(frame, PEER_MAC, mac)
}

/// What is stopped on its way in, and what is not.
pub(crate) fn inbound() -> Vec<Fixture> {
    let stopped = |what, frame, router, reason| received(what, as_backup, frame, router, reason);
    let asked = || arp(1, PEER_ADDRESS, VIP);
    vec![
        stopped("V-127 ARP", asked(), V4, FenceArpIn),
        received(
            "V-137 ARP after the grant and before the first advert",
            as_granted,
            asked(),
            V4,
            FenceArpIn,
        ),
        stopped("V-127 ARP under a tag", tagged(asked(), &[9]), V4, FenceArpIn),
        received("revoked: ARP", as_revoked_owner, asked(), V4, FenceArpIn),
        received("lapsed: ARP", as_lapsed_owner, asked(), V4, FenceArpIn),
        received("grant ended: ARP", as_owner_whose_grant_ended, asked(), V4, FenceArpIn),
        transit("V-121 owned: ARP", as_owner, asked()),
        transit("gratuitous ARP", as_backup, arp(1, VIP, VIP)),
        transit("ARP reply", as_backup, arp(2, PEER_ADDRESS, VIP)),
        transit("ARP for a stranger", as_backup, arp(1, PEER_ADDRESS, STRANGER)),
        transit("fence none: ARP", without_fence, asked()),
        stopped("V-128 solicitation", solicitation(Some(PEER_LINK_LOCAL), VIP_GLOBAL), V6, FenceNdIn),
        stopped("V-128 duplicate address detection", solicitation(None, VIP_LINK_LOCAL), V6, FenceNdIn),
        transit("V-123 owned: solicitation", as_owner, solicitation(Some(PEER_LINK_LOCAL), VIP_GLOBAL)),
        transit("solicitation of a stranger", as_backup, solicitation(None, STRANGER_V6)),
        stopped("V-129 IPv4", udp_v4(VIP), V4, FenceIpIn),
        stopped("V-129 IPv6", udp_v6(VIP_GLOBAL), V6, FenceIpIn),
        stopped("V-129 link-local", udp_v6(VIP_LINK_LOCAL), V6, FenceIpIn),
        transit("owned: IPv4", as_owner, udp_v4(VIP)),
        transit("owned: IPv6", as_owner, udp_v6(VIP_GLOBAL)),
        transit("fence none: IPv4", without_fence, udp_v4(VIP)),
        transit("same filter bit, other address", as_backup, udp_v4([0, 0, 0xc2, 1])),
        stopped("V-130 IPv4", to_virtual_mac(udp_v4(STRANGER), VIRTUAL_MAC_V4), V4, FenceMacIn),
        stopped("V-130 IPv6", to_virtual_mac(udp_v6(STRANGER_V6), VIRTUAL_MAC_V6), V6, FenceMacIn),
        stopped("V-130 ARP", to_virtual_mac(asked(), VIRTUAL_MAC_V4), V4, FenceMacIn),
        stopped(
            "V-021 per VLAN",
            tagged(to_virtual_mac(udp_v4(STRANGER), VIRTUAL_MAC_V4), &[V2_VLAN]),
            V2,
            FenceMacIn,
        ),
        transit("V-131 owned: virtual MAC", as_owner, to_virtual_mac(udp_v4(STRANGER), VIRTUAL_MAC_V4)),
        transit(
            "another router's virtual MAC",
            as_backup,
            to_virtual_mac(udp_v4(STRANGER), [0, 0, 0x5e, 0, 1, 52]),
        ),
        received("V-132 IPv4", as_owner_without_accept, udp_v4(VIP), V4, AcceptOff),
        received("V-132 IPv6", as_owner_without_accept, udp_v6(VIP_GLOBAL), V6, AcceptOff),
        received("V-132 without a fence", without_fence_or_accept, udp_v4(VIP), V4, AcceptOff),
        received("V-060 VRRPv2", as_owner_of_v2_without_accept, udp_v4(VIP), V2, AcceptOff),
        transit("V-139 NA of another", as_backup, neighbour_of_another()),
        transit("V-139 NA of another, as owner", as_owner, neighbour_of_another()),
        transit("V-141 own address", as_backup, udp_v4(OUR_ADDRESS)),
        transit("V-141 own link-local address", as_backup, udp_v6(OUR_LINK_LOCAL)),
        transit("V-141 ARP for the own address", as_backup, arp(1, PEER_ADDRESS, OUR_ADDRESS)),
        transit("V-141 past the lease", as_lapsed_owner, udp_v4(OUR_ADDRESS)),
        transit(
            "V-133 NA",
            as_owner_without_accept,
            neighbour_advertisement(PEER_LINK_LOCAL, VIP_GLOBAL, PEER_LINK_LOCAL),
        ),
    ]
}

/// `fence = "forwarding"`.
pub(crate) fn forwarding() -> Vec<Fixture> {
    let stopped = |what, arrange, frame| received(what, arrange, frame, V4, FenceTransitIn).without_router();
    vec![
        stopped("transit IPv4", forwarding_backup, udp_v4(STRANGER)),
        stopped("transit IPv6", forwarding_backup, udp_v6(STRANGER_V6)),
        stopped("owned but lapsed", forwarding_lapsed, udp_v4(STRANGER)),
        transit("owned", forwarding_owner, udp_v4(STRANGER)),
        transit("owned, IPv6", forwarding_owner, udp_v6(STRANGER_V6)),
        transit("local", forwarding_backup, udp_v4(OUR_ADDRESS)),
        transit("multicast", forwarding_backup, udp_v4([239, 1, 1, 1])),
        transit("broadcast", forwarding_backup, udp_v4([255; 4])),
        transit("link-local", forwarding_backup, udp_v6(OUR_LINK_LOCAL)),
        transit("not to our MAC", forwarding_backup, with_macs(udp_v4(STRANGER), PEER_MAC, OUR_MAC)),
        transit("no router here", forwarding_elsewhere, udp_v4(STRANGER)),
        received("virtual address", forwarding_backup, udp_v4(VIP), V4, FenceIpIn),
    ]
}

fn sent_from(frame: Vec<u8>) -> Vec<u8> {
    from_source(frame, VIP)
}

/// What is stopped on its way out, and what is not.
pub(crate) fn outbound() -> Vec<Fixture> {
    let stopped = |what, frame, router, reason| received(what, as_backup, frame, router, reason).leaving();
    let passed = |what, arrange, frame| transit(what, arrange, frame).leaving();
    let from_vip_v6 = || ipv6(VIP_GLOBAL, STRANGER_V6, 17, &[0; 26]);
    let announced = || neighbour_advertisement(PEER_LINK_LOCAL, STRANGER_V6, VIP_GLOBAL);
    vec![
        stopped("our advert", our_advert(), V4, FenceAdvertOut),
        stopped("our IPv6 advert", our_advert_v6(), V6, FenceAdvertOut),
        stopped(
            "our advert from the real MAC",
            with_macs(our_advert(), PEER_MAC, OUR_MAC),
            V4,
            FenceAdvertOut,
        ),
        received("lapsed: our advert", as_lapsed_owner, our_advert(), V4, FenceAdvertOut).leaving(),
        passed("owned: our advert", as_owner, our_advert()),
        passed("fence none: our advert", without_fence, our_advert()),
        passed("another daemon's advert", as_backup, advert_v4(T2)),
        stopped("virtual MAC", from_virtual_mac(udp_v4(STRANGER), VIRTUAL_MAC_V4), V4, FenceMacOut),
        stopped("virtual MAC, IPv6", from_virtual_mac(udp_v6(STRANGER_V6), VIRTUAL_MAC_V6), V6, FenceMacOut),
        stopped("virtual MAC, ARP", from_virtual_mac(arp(1, VIP, VIP), VIRTUAL_MAC_V4), V4, FenceMacOut),
        passed("owned: virtual MAC", as_owner, from_virtual_mac(udp_v4(STRANGER), VIRTUAL_MAC_V4)),
        stopped("announcement", arp(1, VIP, VIP), V4, FenceArpOut),
        stopped("ARP reply", arp(2, VIP, PEER_ADDRESS), V4, FenceArpOut),
        passed("owned: announcement", as_owner, arp(1, VIP, VIP)),
        passed("ARP probe", as_backup, arp(1, [0; 4], VIP)),
        passed("fence none: announcement", without_fence, arp(1, VIP, VIP)),
        stopped("NA for a virtual address", announced(), V6, FenceNdOut),
        stopped("NS from a virtual address", ipv6(VIP_GLOBAL, STRANGER_V6, 58, &[135; 24]), V6, FenceNdOut),
        passed("owned: NA", as_owner, announced()),
        stopped("IPv4", sent_from(udp_v4(STRANGER)), V4, FenceIpOut),
        stopped("IPv6", from_vip_v6(), V6, FenceIpOut),
        passed("owned: IPv4", as_owner, sent_from(udp_v4(STRANGER))),
        passed("owned: IPv6", as_owner, from_vip_v6()),
        passed("stranger", as_backup, udp_v4(VIP)),
        stopped("three tags", tagged(udp_v4(STRANGER), &[1, 2, 3]), V4, VlanTooDeep).without_router(),
    ]
}
