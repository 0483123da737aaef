//! What is to be probed, and where a path leaves this host.
//!
//! A path is a peer's address; its place, the interface and local address that face it, comes and goes with interfaces.
//! Pure.

use super::keys::PairKeys;
use super::readings::Slots;
use crate::effects::interfaces::{Interface, InterfaceAddress, Interfaces};
use ha_common::maps::peers::MAX_PATHS_PER_PEER;
use holdfast_engine::{CheckSettings, PeerId};
use std::cmp::Reverse;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

/// Everything the probe thread is told at start, at a reload, and when interfaces change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeSettings {
    /// `node.id`.
    pub node: u16,
    /// [`super::keys::ClusterKeys::cluster`].
    pub cluster: u32,
    /// [`super::incarnation::Incarnation::value`] of this run.
    pub incarnation: u64,
    /// `ha.port`, source and destination alike.
    pub port: u16,
    pub checks: CheckSettings,
    pub peers: Vec<ProbePeer>,
}

/// A peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbePeer {
    pub peer: PeerId,
    pub keys: PairKeys,
    /// By position in `peer.addresses`, which is the path's index on the wire; at most [`MAX_PATHS_PER_PEER`].
    pub paths: Vec<ProbePath>,
}

/// One of a peer's addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbePath {
    pub remote: IpAddr,
    pub slots: Slots,
    /// `None` while no interface faces the peer: nothing can be sent then.
    pub place: Option<Place>,
}

/// Where a path leaves this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub ifindex: u32,
    /// Name of the interface, for status.
    pub interface: Arc<str>,
    pub local: IpAddr,
    /// Link-local address of the interface, told to the peer so that it can trust IPv6 adverts from there.
    pub link_local: Option<Ipv6Addr>,
}

impl ProbePeer {
    /// The paths that have a number on the wire.
    pub(super) fn numbered(&self) -> &[ProbePath] {
        &self.paths[..self.paths.len().min(MAX_PATHS_PER_PEER as usize)]
    }
}

/// The place that faces `remote`: an interface, on `interface` only if one is named, with a usable address whose subnet
/// holds it, longest prefix first. Never one of `virtual_addresses`, which move. `None` also for a link-local `remote` that
/// several interfaces could mean.
pub fn place(
    interfaces: &Interfaces,
    remote: IpAddr,
    interface: Option<&str>,
    virtual_addresses: &[IpAddr],
) -> Option<Place> {
    let wanted = |found: &&Interface| interface.is_none_or(|name| found.link.name == name);
    let facing = |found| facing_address(found, remote, virtual_addresses).map(|address| (found, address));
    let candidates: Vec<(&Interface, &InterfaceAddress)> =
        interfaces.iter().filter(wanted).filter_map(facing).collect();
    if candidates.len() > 1 && is_link_local(remote) {
        return None;
    }
    let (found, address) = candidates
        .into_iter()
        .max_by_key(|(found, address)| (address.prefix, found.link.up, Reverse(found.link.ifindex)))?;
    Some(Place {
        ifindex: found.link.ifindex,
        interface: found.link.name.as_str().into(),
        local: address.address,
        link_local: link_local(found, virtual_addresses),
    })
}

fn facing_address<'a>(
    interface: &'a Interface,
    remote: IpAddr,
    virtual_addresses: &[IpAddr],
) -> Option<&'a InterfaceAddress> {
    usable(interface, virtual_addresses)
        .filter(|known| known.address != remote && same_subnet(known.address, remote, known.prefix))
        .max_by_key(|known| (known.prefix, !known.secondary))
}

fn link_local(interface: &Interface, virtual_addresses: &[IpAddr]) -> Option<Ipv6Addr> {
    usable(interface, virtual_addresses).find_map(|known| match known.address {
        IpAddr::V6(address) if address.is_unicast_link_local() => Some(address),
        _ => None,
    })
}

fn usable<'a>(
    interface: &'a Interface,
    virtual_addresses: &[IpAddr],
) -> impl Iterator<Item = &'a InterfaceAddress> {
    let real = |known: &&InterfaceAddress| {
        !known.tentative && !known.address.is_loopback() && !virtual_addresses.contains(&known.address)
    };
    interface.addresses.iter().filter(real)
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

fn same_subnet(one: IpAddr, other: IpAddr, prefix: u8) -> bool {
    let (difference, width) = match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => (u128::from(one.to_bits() ^ other.to_bits()), u32::BITS),
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits() ^ other.to_bits(), u128::BITS),
        _ => return false,
    };
    difference.checked_shr(width.saturating_sub(u32::from(prefix))).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effects::frames::MacAddress;
    use crate::effects::interfaces::{LinkEvent, LinkState};

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn host(links: &[(u32, &str, bool, &[&str])]) -> Interfaces {
        let mut interfaces = Interfaces::default();
        for (ifindex, name, up, addresses) in links {
            interfaces.apply(&LinkEvent::Link(LinkState {
                ifindex: *ifindex,
                name: (*name).to_owned(),
                up: *up,
                mac: MacAddress::default(),
                mtu: 1500,
                kind: None,
                parent: None,
                vlan: None,
            }));
            for text in *addresses {
                let (address, prefix) = text.split_once('/').unwrap();
                let prefix = prefix.parse().unwrap();
                let address =
                    InterfaceAddress { address: ip(address), prefix, secondary: false, tentative: false };
                interfaces.apply(&LinkEvent::Address { ifindex: *ifindex, address, added: true });
            }
        }
        interfaces
    }

    fn found(host: &Interfaces, remote: &str, interface: Option<&str>) -> Option<(u32, IpAddr)> {
        place(host, ip(remote), interface, &[ip("192.0.2.1"), ip("fe80::1")])
            .map(|place| (place.ifindex, place.local))
    }

    #[test]
    fn the_longest_prefix_faces_the_peer_and_no_virtual_address_does() {
        let host = host(&[
            (1, "lo", true, &["127.0.0.1/8"]),
            (2, "lan0", true, &["192.0.2.1/25", "192.0.2.10/24", "fe80::1/64", "fe80::a/64"]),
            (3, "sync0", true, &["10.0.0.1/30", "fe80::b/64"]),
            (4, "wide0", true, &["10.0.0.9/8", "2001:db8::a/64"]),
        ]);
        assert_eq!(found(&host, "192.0.2.11", None), Some((2, ip("192.0.2.10"))));
        assert_eq!(found(&host, "10.0.0.2", None), Some((3, ip("10.0.0.1"))));
        assert_eq!(found(&host, "10.7.0.2", None), Some((4, ip("10.0.0.9"))));
        assert_eq!(found(&host, "2001:db8::b", None), Some((4, ip("2001:db8::a"))));
        assert_eq!(found(&host, "198.51.100.1", None), None);
        assert_eq!(found(&host, "10.0.0.1", Some("sync0")), None, "our own address is no peer");
        let lan = place(&host, ip("192.0.2.11"), None, &[ip("fe80::1")]).unwrap();
        assert_eq!((&*lan.interface, lan.link_local), ("lan0", Some("fe80::a".parse().unwrap())));
    }

    #[test]
    fn a_link_local_peer_needs_its_interface_where_several_could_be_meant() {
        let host = host(&[(2, "lan0", true, &["fe80::a/64"]), (3, "sync0", true, &["fe80::b/64"])]);
        assert_eq!(found(&host, "fe80::c", None), None);
        assert_eq!(found(&host, "fe80::c", Some("sync0")), Some((3, ip("fe80::b"))));
    }

    #[test]
    fn of_two_interfaces_on_one_subnet_the_one_that_is_up_is_taken() {
        let host = host(&[(2, "lan0", false, &["192.0.2.10/24"]), (3, "lan1", true, &["192.0.2.12/24"])]);
        assert_eq!(found(&host, "192.0.2.11", None), Some((3, ip("192.0.2.12"))));
    }
}
