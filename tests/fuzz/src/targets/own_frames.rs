//! What this host sends in a router's name, read by the decoders that receivers and the egress program use.
//!
//! An input chooses the content of an advert, or an address to announce. Whatever content the builder takes must arrive;
//! what it refuses it must refuse for a reason.

use crate::choices::Choices;
use crate::reference_advert::mapped;
use ha_common::maps::peers::NO_UNIT;
use ha_common::maps::values::{Head, MAX_ADVERT_FRAME, RouterPolicy, checksum_form, role};
use ha_common::wire::ethernet::{Mac, ether_type};
use ha_common::wire::{arp, ethernet, ipv4, ipv6, ndisc, vlan, vrrp};
use holdfast::effects::frames::{AdvertContent, FrameError, MacAddress, announcement};
use holdfast_engine::{ChecksumForm, Duration, Family, Version};
use pnet::packet::Packet;
use pnet::packet::icmpv6::{self, Icmpv6Packet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A frame with so many addresses of its family fits one that XDP can hold.
const MOST_V4_IN_A_TEMPLATE: usize = 255;
const MOST_V6_IN_A_TEMPLATE: usize = 90;
const CENTISECOND_NS: u64 = 10_000_000;

pub(super) fn run(input: &[u8]) {
    let mut choices = Choices::new(input);
    let kind = choices.byte();
    let mac = MacAddress(choices.bytes());
    if kind & 1 == 0 {
        announce(mac, address(&mut choices, kind & 2 != 0));
    } else {
        advertise(mac, kind, &mut choices);
    }
}

fn address(choices: &mut Choices<'_>, v6: bool) -> IpAddr {
    if v6 {
        Ipv6Addr::from(choices.bytes::<16>()).into()
    } else {
        Ipv4Addr::from(choices.bytes::<4>()).into()
    }
}

fn announce(mac: MacAddress, address: IpAddr) {
    let frame = announcement(mac, address);
    let frame = frame.as_slice();
    assert_eq!(ethernet::source(frame), Some(Mac::new(mac.0)));
    let Some(link) = vlan::walk(frame) else { panic!("no Ethernet header") };
    match address {
        IpAddr::V4(address) => {
            let own = u32::from(address);
            assert_eq!(link.ether_type, ether_type::ARP);
            let expected = arp::Arp { operation: arp::REQUEST, sender: own, target: own };
            assert_eq!(arp::parse(frame, link.payload), Some(expected));
            assert_eq!(ethernet::destination(frame), Some(Mac::new([0xff; 6])));
        }
        IpAddr::V6(address) => {
            let message = link.payload + ipv6::HEADER_LENGTH;
            assert_eq!(link.ether_type, ether_type::IPV6);
            assert_eq!(ndisc::kind(frame, message), Some(ndisc::Kind::Advertisement));
            assert_eq!(ndisc::target(frame, message).map(ipv6::bytes), Some(address.octets()));
            let source = ipv6::address(frame, ipv6::source_at(link.payload));
            assert_eq!(
                source.map(ipv6::bytes),
                Some(address.octets()),
                "the fence judges by source and target alike"
            );
            assert_eq!(ipv6::payload_length(frame, link.payload), Some(frame.len() - message));
            let advert = Icmpv6Packet::new(&frame[message..]);
            let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
            let sum =
                advert.map(|advert| (advert.get_checksum(), icmpv6::checksum(&advert, &address, &all_nodes)));
            assert!(sum.is_some_and(|(carried, right)| carried == right && carried != 0), "{sum:?}");
        }
    }
}

fn advertise(mac: MacAddress, kind: u8, choices: &mut Choices<'_>) {
    let v6 = kind & 2 != 0;
    let content = AdvertContent {
        version: if kind & 4 == 0 { Version::V3 } else { Version::V2 },
        vrid: choices.byte(),
        interval: Duration::from_nanos(if kind & 8 == 0 {
            u64::from(choices.be16()) * CENTISECOND_NS
        } else {
            choices.be64()
        }),
        source: address(choices, v6),
        checksum: if kind & 16 == 0 { ChecksumForm::Rfc9568 } else { ChecksumForm::Rfc5798 },
        addresses: (0..choices.be16() % 300).map(|_| address(choices, v6)).collect(),
    };
    let priority = choices.byte();
    match content.multicast_frame(priority, mac) {
        Ok(frame) => check_advert(&frame, &content, priority, mac),
        Err(error) => check_refusal(&error, &content),
    }
}

fn check_refusal(error: &FrameError, content: &AdvertContent) {
    let nanos = content.interval.as_nanos();
    let (unit, most) = match content.version {
        Version::V2 => (1_000_000_000, 255),
        Version::V3 => (CENTISECOND_NS, 4095),
    };
    let carried = nanos > 0 && nanos.is_multiple_of(unit) && nanos / unit <= most;
    let justified = match error {
        FrameError::Interval { .. } => !carried,
        FrameError::NoIpv6InVersion2 { .. } => content.version == Version::V2 && content.source.is_ipv6(),
        FrameError::Encode { .. } => content.vrid == 0 || !(1..=255).contains(&content.addresses.len()),
        FrameError::Family { .. } => false,
    };
    assert!(justified, "{error}");
    assert!(error.to_string().contains(&format!("VRID {}", content.vrid)), "{error}");
}

fn check_advert(frame: &[u8], content: &AdvertContent, priority: u8, mac: MacAddress) {
    let Some(link) = vlan::walk(frame) else { panic!("no Ethernet header") };
    let family: u8 = if content.source.is_ipv4() { 4 } else { 6 };
    assert_eq!(ethernet::source(frame), Some(Mac::new(mac.0)));
    assert_eq!(vrrp::vrid(frame, link.payload, family), Ok(content.vrid));
    let virtual_mac =
        MacAddress::of_virtual_router(if family == 4 { Family::Ipv4 } else { Family::Ipv6 }, content.vrid);
    assert_eq!(Mac::new(virtual_mac.0).virtual_router(), Some((family, content.vrid)));
    if family == 4 {
        assert_eq!(ipv4::total_length(frame, link.payload), Some(frame.len() - link.payload));
    } else {
        let message = link.payload + ipv6::HEADER_LENGTH;
        assert_eq!(ipv6::payload_length(frame, link.payload), Some(frame.len() - message));
    }
    let most = if family == 4 { MOST_V4_IN_A_TEMPLATE } else { MOST_V6_IN_A_TEMPLATE };
    assert!(frame.len() <= MAX_ADVERT_FRAME || content.addresses.len() > most, "does not fit a template");

    let policy = receiver(content, family);
    let carrier = vrrp::carrier(frame, link.payload, family);
    let advert = carrier.and_then(|carrier| vrrp::validate(frame, &carrier, &policy, |_| false));
    let Ok(advert) = advert else { panic!("a receiver discards our own advert: {advert:?} of {content:?}") };
    let unit = if content.version == Version::V2 { 1_000_000_000 } else { CENTISECOND_NS };
    assert_eq!(u64::from(advert.interval) * unit, content.interval.as_nanos());
    assert_eq!(advert.priority, priority);
    assert_eq!(usize::from(advert.address_count), content.addresses.len());
    let first_link_local =
        matches!(content.addresses.first(), Some(IpAddr::V6(first)) if first.is_unicast_link_local());
    let notes = if family == 6 && !first_link_local {
        ha_common::ring_events::event_flag::FIRST_NOT_LINK_LOCAL
    } else {
        0
    };
    assert_eq!(advert.flags, notes);
    let by_pnet = pnet::packet::ethernet::EthernetPacket::new(frame);
    assert!(by_pnet.is_some_and(|packet| packet.payload().len() == frame.len() - link.payload));
}

/// A router that is configured like the sender, with another address of its own.
fn receiver(content: &AdvertContent, family: u8) -> RouterPolicy {
    let bytes = |address: &IpAddr| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let list: Vec<u8> = content.addresses.iter().flat_map(bytes).collect();
    let words = list.chunks(4).filter_map(|word| word.try_into().ok());
    RouterPolicy {
        head: Head::of::<RouterPolicy>(),
        ifindex: 2,
        epoch: 1,
        granted_at_ns: 0,
        grant_until_ns: u64::MAX,
        interval_ns: content.interval.as_nanos(),
        addresses_sum: words.map(|word| u64::from(u32::from_ne_bytes(word))).sum(),
        source: mapped(content.source).map(|byte| !byte),
        vlan: 0,
        answers_per_interval: 10,
        flags: 0,
        vrid: content.vrid,
        family,
        version: if content.version == Version::V2 { 2 } else { 3 },
        role: role::BACKUP,
        priority: 100,
        checksum: match content.checksum {
            ChecksumForm::Rfc9568 => checksum_form::RFC9568,
            ChecksumForm::Rfc5798 => checksum_form::RFC5798,
        },
        address_count: content.addresses.len() as u8,
        unit: NO_UNIT,
        reserved: [0; 2],
        generation: 0,
    }
}
