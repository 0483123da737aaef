//! How a virtual address is put on an interface, and the requests that do it. Pure.
//!
//! A virtual address must never become the primary address of its interface, move a route, or take other addresses with
//! it when it goes. So where the interface already has an address of the same subnet, an IPv4 address is added as /32: it
//! then belongs to no subnet group of the kernel, and the connected route is the one that stands. Only where nothing
//! covers it is the configured prefix used, with its route. IPv6 has no such groups: the prefix stays, and
//! IFA_F_NOPREFIXROUTE leaves routes alone. IPv6 addresses skip duplicate detection (the fence and the election see to
//! uniqueness) and are deprecated from the start, so that the kernel never picks one as the source of its own traffic.

use super::interfaces::{Interface, InterfaceAddress};
use crate::config::validated::VirtualAddress;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope, CacheInfo,
};
use std::net::IpAddr;

const IPV4_BITS: u8 = 32;
const IPV6_BITS: u8 = 128;
/// `INFINITY_LIFE_TIME` of the kernel.
const FOREVER: u32 = u32::MAX;

/// How one address is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PlannedAddress {
    pub(super) address: IpAddr,
    pub(super) prefix: u8,
    /// Whether the kernel adds the connected route of the prefix.
    pub(super) prefix_route: bool,
}

/// Decides how `wanted` is added. `base` is the router's interface; `virtual_addresses` are those of all routers, which
/// cover nothing. A link-local address on a macvlan is the only one there and brings the route its answers need.
pub(super) fn plan(
    wanted: VirtualAddress,
    base: &Interface,
    virtual_addresses: &[IpAddr],
    on_macvlan: bool,
) -> PlannedAddress {
    let VirtualAddress { address, prefix } = wanted;
    let own = base.addresses.iter().filter(|known| !virtual_addresses.contains(&known.address));
    let covered = own.into_iter().any(|known| covers(known, address));
    match address {
        IpAddr::V4(_) if covered => PlannedAddress { address, prefix: IPV4_BITS, prefix_route: false },
        IpAddr::V4(_) => PlannedAddress { address, prefix, prefix_route: prefix < IPV4_BITS },
        IpAddr::V6(ipv6) => {
            let alone = on_macvlan && ipv6.is_unicast_link_local();
            PlannedAddress { address, prefix, prefix_route: prefix < IPV6_BITS && (alone || !covered) }
        }
    }
}

/// Whether the subnet of `known` is a real one and contains `address`.
fn covers(known: &InterfaceAddress, address: IpAddr) -> bool {
    match (known.address, address) {
        (IpAddr::V4(known_address), IpAddr::V4(address)) => {
            let differing = known_address.to_bits() ^ address.to_bits();
            known.prefix < IPV4_BITS && differing.leading_zeros() >= u32::from(known.prefix)
        }
        (IpAddr::V6(known_address), IpAddr::V6(address)) => {
            let differing = known_address.to_bits() ^ address.to_bits();
            known.prefix < IPV6_BITS && differing.leading_zeros() >= u32::from(known.prefix)
        }
        _ => false,
    }
}

/// The request that adds an address.
pub(super) fn add_message(ifindex: u32, planned: &PlannedAddress) -> AddressMessage {
    let mut message = base_message(ifindex, planned.address, planned.prefix);
    let mut flags = AddressFlags::empty();
    if !planned.prefix_route {
        flags |= AddressFlags::Noprefixroute;
    }
    if planned.address.is_ipv6() {
        flags |= AddressFlags::Nodad;
        message.header.flags |= AddressHeaderFlags::Nodad;
        let mut lifetimes = CacheInfo::default();
        lifetimes.ifa_valid = FOREVER;
        lifetimes.ifa_preferred = 0;
        message.attributes.push(AddressAttribute::CacheInfo(lifetimes));
    }
    message.attributes.push(AddressAttribute::Flags(flags));
    message
}

/// The request that removes an address.
pub(super) fn remove_message(ifindex: u32, address: IpAddr, prefix: u8) -> AddressMessage {
    base_message(ifindex, address, prefix)
}

fn base_message(ifindex: u32, address: IpAddr, prefix: u8) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    message.header.prefix_len = prefix;
    message.header.scope = AddressScope::Universe;
    message.header.index = ifindex;
    message.attributes = vec![AddressAttribute::Local(address), AddressAttribute::Address(address)];
    message
}

#[cfg(test)]
mod tests {
    use super::super::frames::MacAddress;
    use super::super::interfaces::LinkState;
    use super::*;

    fn interface(addresses: &[(&str, u8)]) -> Interface {
        let link = LinkState {
            ifindex: 2,
            name: "lan0".to_owned(),
            up: true,
            mac: MacAddress::default(),
            mtu: 1500,
            kind: None,
            parent: None,
            vlan: None,
        };
        let own = |&(text, prefix): &(&str, u8)| InterfaceAddress {
            address: text.parse().unwrap(),
            prefix,
            secondary: false,
            tentative: false,
        };
        Interface { link, addresses: addresses.iter().map(own).collect() }
    }

    fn planned(address: &str, prefix: u8, on: &[(&str, u8)], on_macvlan: bool) -> (u8, bool) {
        let wanted = VirtualAddress { address: address.parse().unwrap(), prefix };
        let vips = ["192.0.2.2".parse().unwrap(), "192.0.2.1".parse().unwrap()];
        let plan = plan(wanted, &interface(on), &vips, on_macvlan);
        assert_eq!(plan.address, wanted.address);
        (plan.prefix, plan.prefix_route)
    }

    #[test]
    fn a_covered_ipv4_address_is_a_host_address() {
        let host = (32, false);
        assert_eq!(planned("192.0.2.1", 24, &[("192.0.2.10", 24)], false), host);
        assert_eq!(planned("192.0.2.1", 24, &[("192.0.2.10", 25)], true), host);
        assert_eq!(planned("192.0.2.1", 32, &[], false), host);
    }

    #[test]
    fn an_uncovered_ipv4_address_brings_its_subnet() {
        let subnet = (24, true);
        assert_eq!(planned("192.0.2.1", 24, &[], false), subnet);
        assert_eq!(planned("192.0.2.1", 24, &[("198.51.100.1", 24)], false), subnet);
        assert_eq!(
            planned("192.0.2.1", 24, &[("192.0.2.2", 24)], false),
            subnet,
            "another VIP covers nothing"
        );
        assert_eq!(
            planned("192.0.2.1", 24, &[("192.0.2.9", 32)], false),
            subnet,
            "a host address covers nothing"
        );
        assert_eq!(planned("192.0.2.200", 24, &[("192.0.2.10", 25)], false), subnet);
    }

    #[test]
    fn ipv6_keeps_its_prefix_and_brings_a_route_only_where_none_is() {
        let own = [("fe80::10", 64), ("2001:db8::10", 64)];
        assert_eq!(planned("2001:db8::1", 64, &own, false), (64, false));
        assert_eq!(planned("2001:db8::1", 64, &own, true), (64, false));
        assert_eq!(planned("2001:db8:1::1", 64, &own, false), (64, true));
        assert_eq!(planned("fe80::1", 64, &own, false), (64, false));
        assert_eq!(planned("fe80::1", 64, &own, true), (64, true));
        assert_eq!(planned("fe80::1", 128, &own, true), (128, false));
    }
}
