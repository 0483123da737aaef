//! What is known of the interfaces: a snapshot kept current by events, and the choice of a router's source address.
//!
//! Events come from `link_monitor`; whoever needs the state applies them to an [`Interfaces`] of its own. Pure: no
//! socket and no clock.

use super::frames::MacAddress;
use holdfast_engine::Family;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What an interface did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// An interface appeared or changed.
    Link(LinkState),
    /// An interface is gone, and its addresses with it.
    LinkGone { ifindex: u32 },
    /// An address appeared or changed (`added`), or is gone.
    Address { ifindex: u32, address: InterfaceAddress, added: bool },
}

/// An interface without its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkState {
    pub ifindex: u32,
    pub name: String,
    /// Administratively up and carrier present.
    pub up: bool,
    /// All zeros where the device has none.
    pub mac: MacAddress,
    pub mtu: u32,
    /// `veth`, `vlan`, `macvlan` and so on; `None` for hardware.
    pub kind: Option<String>,
    /// The interface a VLAN or macvlan sits on.
    pub parent: Option<u32>,
    pub vlan: Option<u16>,
}

/// An address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterfaceAddress {
    pub address: IpAddr,
    pub prefix: u8,
    /// IPv4: shares the subnet of an earlier, primary address.
    pub secondary: bool,
    /// IPv6: duplicate detection is running or has failed, so it must not be used.
    pub tentative: bool,
}

/// An interface with its addresses in the kernel's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    pub link: LinkState,
    pub addresses: Vec<InterfaceAddress>,
}

/// The interfaces of one network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interfaces {
    by_index: BTreeMap<u32, Interface>,
}

impl Interfaces {
    /// Takes an event in; false if it told nothing new.
    pub fn apply(&mut self, event: &LinkEvent) -> bool {
        match event {
            LinkEvent::Link(link) => self.apply_link(link),
            LinkEvent::LinkGone { ifindex } => self.by_index.remove(ifindex).is_some(),
            LinkEvent::Address { ifindex, address, added } => {
                let Some(interface) = self.by_index.get_mut(ifindex) else { return false };
                if *added { interface.put(*address) } else { interface.take(address) }
            }
        }
    }

    fn apply_link(&mut self, link: &LinkState) -> bool {
        match self.by_index.get_mut(&link.ifindex) {
            Some(known) if known.link == *link => false,
            Some(known) => {
                known.link = link.clone();
                true
            }
            None => {
                let fresh = Interface { link: link.clone(), addresses: Vec::new() };
                self.by_index.insert(link.ifindex, fresh);
                true
            }
        }
    }

    pub fn by_name(&self, name: &str) -> Option<&Interface> {
        self.by_index.values().find(|interface| interface.link.name == name)
    }

    pub fn by_index(&self, ifindex: u32) -> Option<&Interface> {
        self.by_index.get(&ifindex)
    }

    /// In the order of their index.
    pub fn iter(&self) -> impl Iterator<Item = &Interface> {
        self.by_index.values()
    }

    /// The events that turn `self` into `other`: what a fresh dump told that no event did.
    pub fn difference(&self, other: &Interfaces) -> Vec<LinkEvent> {
        let mut events = Vec::new();
        for (&ifindex, old) in &self.by_index {
            match other.by_index.get(&ifindex) {
                None => events.push(LinkEvent::LinkGone { ifindex }),
                Some(new) => {
                    let gone = old.addresses.iter().filter(|address| new.find(address).is_none());
                    events.extend(gone.map(|&address| LinkEvent::Address { ifindex, address, added: false }));
                }
            }
        }
        for (&ifindex, new) in &other.by_index {
            let old = self.by_index.get(&ifindex);
            if old.is_none_or(|old| old.link != new.link) {
                events.push(LinkEvent::Link(new.link.clone()));
            }
            let fresh = new.addresses.iter().filter(|address| {
                old.and_then(|old| old.find(address)).is_none_or(|known| known != *address)
            });
            events.extend(fresh.map(|&address| LinkEvent::Address { ifindex, address, added: true }));
        }
        events
    }
}

impl Interface {
    fn find(&self, wanted: &InterfaceAddress) -> Option<&InterfaceAddress> {
        self.addresses.iter().find(|known| known.same_as(wanted))
    }

    fn put(&mut self, address: InterfaceAddress) -> bool {
        match self.addresses.iter_mut().find(|known| known.same_as(&address)) {
            Some(known) if *known == address => false,
            Some(known) => {
                *known = address;
                true
            }
            None => {
                self.addresses.push(address);
                true
            }
        }
    }

    fn take(&mut self, address: &InterfaceAddress) -> bool {
        let before = self.addresses.len();
        self.addresses.retain(|known| !known.same_as(address));
        self.addresses.len() != before
    }

    /// Whether this address stands here, under any prefix.
    pub fn holds(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|known| known.address == address)
    }

    /// The source address of adverts: the primary IPv4 address (V-010), or a link-local IPv6 address past duplicate
    /// detection (V-011). Never one of `virtual_addresses`, whoever put it there, unless `owner`: an address owner may
    /// have no other.
    pub fn source(&self, family: Family, virtual_addresses: &[IpAddr], owner: bool) -> Option<IpAddr> {
        let candidates = || self.addresses.iter().filter(|candidate| candidate.can_be_source(family));
        let real = || candidates().filter(|candidate| !virtual_addresses.contains(&candidate.address));
        let chosen = real().find(|candidate| !candidate.secondary).or_else(|| real().next());
        let fallback = || if owner { candidates().next() } else { None };
        chosen.or_else(fallback).map(|candidate| candidate.address)
    }
}

impl InterfaceAddress {
    /// IPv4 tells addresses apart by prefix as well; IPv6 does not.
    fn same_as(&self, other: &Self) -> bool {
        self.address == other.address && (self.address.is_ipv6() || self.prefix == other.prefix)
    }

    fn can_be_source(&self, family: Family) -> bool {
        match (family, self.address) {
            (Family::Ipv4, IpAddr::V4(_)) => true,
            (Family::Ipv6, IpAddr::V6(address)) => address.is_unicast_link_local() && !self.tentative,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn address(text: &str, prefix: u8) -> InterfaceAddress {
        InterfaceAddress { address: ip(text), prefix, secondary: false, tentative: false }
    }

    fn link(ifindex: u32, name: &str) -> LinkState {
        LinkState {
            ifindex,
            name: name.to_owned(),
            up: true,
            mac: MacAddress::default(),
            mtu: 1500,
            kind: None,
            parent: None,
            vlan: None,
        }
    }

    fn with(addresses: &[InterfaceAddress]) -> Interface {
        Interface { link: link(2, "lan0"), addresses: addresses.to_vec() }
    }

    #[test]
    fn v010_the_source_is_the_primary_and_never_a_vip() {
        let secondary = InterfaceAddress { secondary: true, ..address("192.0.2.20", 24) };
        let interface = with(&[address("192.0.2.1", 32), secondary, address("192.0.2.10", 24)]);
        let vips = [ip("192.0.2.1")];
        assert_eq!(interface.source(Family::Ipv4, &vips, false), Some(ip("192.0.2.10")));
        assert_eq!(with(&[secondary]).source(Family::Ipv4, &vips, false), Some(ip("192.0.2.20")));
        let only_vip = with(&[address("192.0.2.1", 24)]);
        assert_eq!(only_vip.source(Family::Ipv4, &vips, false), None);
        assert_eq!(only_vip.source(Family::Ipv4, &vips, true), Some(ip("192.0.2.1")), "the address owner");
    }

    #[test]
    fn v011_the_source_is_a_settled_link_local() {
        let tentative = InterfaceAddress { tentative: true, ..address("fe80::10", 64) };
        let vips = [ip("fe80::1")];
        let unusable = with(&[address("2001:db8::10", 64), address("fe80::1", 64), tentative]);
        assert_eq!(unusable.source(Family::Ipv6, &vips, false), None);
        let settled = with(&[address("fe80::1", 64), address("fe80::10", 64)]);
        assert_eq!(settled.source(Family::Ipv6, &vips, false), Some(ip("fe80::10")));
        assert_eq!(settled.source(Family::Ipv4, &vips, false), None);
    }

    #[test]
    fn events_are_taken_in_once() {
        let mut interfaces = Interfaces::default();
        let up = LinkEvent::Link(link(2, "lan0"));
        assert!(interfaces.apply(&up) && !interfaces.apply(&up));
        let added = |text, added| LinkEvent::Address { ifindex: 2, address: address(text, 24), added };
        assert!(interfaces.apply(&added("192.0.2.10", true)));
        assert!(!interfaces.apply(&added("192.0.2.10", true)));
        assert!(!interfaces.apply(&added("192.0.2.11", false)), "it was not there");
        assert!(interfaces.by_name("lan0").unwrap().holds(ip("192.0.2.10")));
        assert!(interfaces.apply(&added("192.0.2.10", false)));
        assert!(!interfaces.by_name("lan0").unwrap().holds(ip("192.0.2.10")));
        assert!(interfaces.apply(&LinkEvent::LinkGone { ifindex: 2 }));
        assert_eq!(interfaces, Interfaces::default());
        assert!(!interfaces.apply(&added("192.0.2.10", true)), "no interface, no address");
    }

    #[test]
    fn a_difference_leads_from_one_snapshot_to_the_other() {
        let mut old = Interfaces::default();
        let mut new = Interfaces::default();
        let at = |ifindex, text| LinkEvent::Address { ifindex, address: address(text, 24), added: true };
        let before =
            [LinkEvent::Link(link(2, "lan0")), at(2, "192.0.2.10"), LinkEvent::Link(link(3, "wan0"))];
        let after = [
            LinkEvent::Link(LinkState { up: false, ..link(2, "lan0") }),
            at(2, "192.0.2.11"),
            LinkEvent::Link(link(4, "dmz0")),
            at(4, "203.0.113.1"),
        ];
        before.iter().for_each(|event| assert!(old.apply(event)));
        after.iter().for_each(|event| assert!(new.apply(event)));
        let events = old.difference(&new);
        events.iter().for_each(|event| assert!(old.apply(event), "{event:?}"));
        assert_eq!(old, new);
        assert_eq!(old.difference(&new), []);
    }
}
