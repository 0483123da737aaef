//! Builds what leaves this host in the name of a virtual router: adverts, gratuitous ARP, unsolicited neighbour adverts.
//!
//! Input is plain values from the configuration and the interface, output complete untagged Ethernet frames (or bare IP
//! packets for unicast peers, whose MAC the kernel resolves). A router with `virtual_mac` sends from
//! 00:00:5e:00:01/02:VRID (V-012, V-013). Without it, frames carry the interface's own MAC, as keepalived does: a known
//! deviation from RFC 9568 section 7.3 that V-017 makes every receiver accept. Nothing here sends, or knows a socket.

use ha_common::wire::vrrp_encode::{self, EncodeError, Ipv4Checksum};
use holdfast_engine::{ChecksumForm, Duration, Family, Version};
use pnet::packet::arp::{ArpHardwareTypes, ArpOperations, MutableArpPacket};
use pnet::packet::ethernet::{EtherType, EtherTypes, MutableEthernetPacket};
use pnet::packet::icmpv6::ndp::{
    MutableNeighborAdvertPacket, NdpOption, NdpOptionTypes, NeighborAdvertFlags,
};
use pnet::packet::icmpv6::{self, Icmpv6Code, Icmpv6Packet, Icmpv6Types};
use pnet::packet::ip::{IpNextHeaderProtocol, IpNextHeaderProtocols};
use pnet::packet::ipv4::{self, MutableIpv4Packet};
use pnet::packet::ipv6::MutableIpv6Packet;
use pnet::util::MacAddr;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use thiserror::Error;

/// Bytes of an untagged Ethernet header.
pub const ETHERNET_LENGTH: usize = 14;
/// 224.0.0.18 (RFC 9568 section 5.1.1.2).
pub const IPV4_GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
/// ff02::12 (RFC 9568 section 5.1.2.2).
pub const IPV6_GROUP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);
/// ff02::1, to which unsolicited neighbour adverts go.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

const IPV4_LENGTH: usize = 20;
const IPV6_LENGTH: usize = 40;
const ARP_LENGTH: usize = 28;
/// ICMPv6 header, flags, target, and one link-layer address option.
const NEIGHBOUR_ADVERT_LENGTH: usize = 32;
/// In units of eight bytes.
const LINK_LAYER_OPTION_UNITS: u8 = 1;
/// The only value that receivers accept (RFC 9568 section 5.1.1.3, RFC 4861 section 7.1.2).
const HOP_LIMIT: u8 = 255;
/// DSCP CS6, network control: TOS and traffic class 0xC0 (V-020).
const DSCP_CS6: u8 = 0x30;
const TRAFFIC_CLASS: u8 = 0xC0;
const NANOS_PER_CENTI: u64 = 10_000_000;
const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// An Ethernet address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// 00:00:5e:00:01:VRID or 00:00:5e:00:02:VRID (RFC 9568 section 7.3).
    pub const fn of_virtual_router(family: Family, vrid: u8) -> Self {
        let kind = match family {
            Family::Ipv4 => 1,
            Family::Ipv6 => 2,
        };
        Self([0x00, 0x00, 0x5e, 0x00, kind, vrid])
    }

    /// Group MAC of a multicast address; `None` for any other.
    pub const fn of_group(address: IpAddr) -> Option<Self> {
        if !address.is_multicast() {
            return None;
        }
        Some(match address {
            IpAddr::V4(group) => {
                let [_, b, c, d] = group.octets();
                Self([0x01, 0x00, 0x5e, b & 0x7f, c, d])
            }
            IpAddr::V6(group) => {
                let [.., a, b, c, d] = group.octets();
                Self([0x33, 0x33, a, b, c, d])
            }
        })
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl From<MacAddress> for MacAddr {
    fn from(mac: MacAddress) -> Self {
        mac.0.into()
    }
}

/// Why a frame could not be built.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum FrameError {
    #[error("advert of VRID {vrid}: {source}")]
    Encode { vrid: u8, source: EncodeError },
    #[error("advert of VRID {vrid}: an interval of {nanos} ns cannot be carried by this VRRP version")]
    Interval { vrid: u8, nanos: u64 },
    #[error("advert of VRID {vrid}: {address} is of the wrong family")]
    Family { vrid: u8, address: IpAddr },
    #[error("advert of VRID {vrid}: VRRPv2 has no IPv6")]
    NoIpv6InVersion2 { vrid: u8 },
}

/// What a router's adverts say, but for the priority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdvertContent {
    pub version: Version,
    pub vrid: u8,
    /// In the order of the configuration; one family.
    pub addresses: Vec<IpAddr>,
    pub interval: Duration,
    /// Primary IPv4 or link-local IPv6 address of the interface (V-010, V-011).
    pub source: IpAddr,
    /// Form of the VRRPv3 IPv4 checksum; without meaning elsewhere.
    pub checksum: ChecksumForm,
}

impl AdvertContent {
    /// The group of the family, for multicast adverts.
    pub fn group(&self) -> IpAddr {
        match self.source {
            IpAddr::V4(_) => IpAddr::V4(IPV4_GROUP),
            IpAddr::V6(_) => IpAddr::V6(IPV6_GROUP),
        }
    }

    /// The advert to the group as an Ethernet frame.
    pub fn multicast_frame(&self, priority: u8, source_mac: MacAddress) -> Result<Vec<u8>, FrameError> {
        let group = self.group();
        self.frame(priority, source_mac, group, MacAddress::of_group(group).unwrap_or(MacAddress::BROADCAST))
    }

    /// The advert to `destination` as an Ethernet frame.
    pub fn frame(
        &self,
        priority: u8,
        source_mac: MacAddress,
        destination: IpAddr,
        destination_mac: MacAddress,
    ) -> Result<Vec<u8>, FrameError> {
        let packet = self.packet(priority, destination)?;
        let kind = if destination.is_ipv4() { EtherTypes::Ipv4 } else { EtherTypes::Ipv6 };
        Ok(ethernet(source_mac, destination_mac, kind, &packet))
    }

    /// The advert to `destination` as an IP packet.
    pub fn packet(&self, priority: u8, destination: IpAddr) -> Result<Vec<u8>, FrameError> {
        match (self.source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => self.ipv4_packet(priority, source, destination),
            (IpAddr::V6(source), IpAddr::V6(destination)) => self.ipv6_packet(priority, source, destination),
            (_, address) => Err(FrameError::Family { vrid: self.vrid, address }),
        }
    }

    fn ipv4_packet(
        &self,
        priority: u8,
        source: Ipv4Addr,
        destination: Ipv4Addr,
    ) -> Result<Vec<u8>, FrameError> {
        let vrid = self.vrid;
        let addresses = self.of_family(|address| match address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        })?;
        let length = match self.version {
            Version::V2 => vrrp_encode::v2_length(addresses.len()),
            Version::V3 => vrrp_encode::v3_ipv4_length(addresses.len()),
        };
        let mut packet = vec![0; IPV4_LENGTH + length];
        let message = &mut packet[IPV4_LENGTH..];
        match self.version {
            Version::V2 => {
                let seconds = self.interval_in(NANOS_PER_SECOND, u64::from(u8::MAX))? as u8;
                vrrp_encode::encode_v2(message, vrid, priority, seconds, &addresses)
            }
            Version::V3 => {
                let form = match self.checksum {
                    ChecksumForm::Rfc9568 => Ipv4Checksum::MessageOnly,
                    ChecksumForm::Rfc5798 => Ipv4Checksum::PseudoHeader { source, destination },
                };
                vrrp_encode::encode_v3_ipv4(message, vrid, priority, self.centis()?, &addresses, form)
            }
        }
        .map_err(|source| FrameError::Encode { vrid, source })?;
        put_ipv4_header(&mut packet, source, destination);
        Ok(packet)
    }

    fn ipv6_packet(
        &self,
        priority: u8,
        source: Ipv6Addr,
        destination: Ipv6Addr,
    ) -> Result<Vec<u8>, FrameError> {
        let vrid = self.vrid;
        if self.version == Version::V2 {
            return Err(FrameError::NoIpv6InVersion2 { vrid });
        }
        let addresses = self.of_family(|address| match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => Some(address),
        })?;
        let mut packet = vec![0; IPV6_LENGTH + vrrp_encode::v3_ipv6_length(addresses.len())];
        let message = &mut packet[IPV6_LENGTH..];
        vrrp_encode::encode_v3_ipv6(message, vrid, priority, self.centis()?, &addresses, source, destination)
            .map_err(|source| FrameError::Encode { vrid, source })?;
        let next = IpNextHeaderProtocol::new(vrrp_encode::PROTOCOL);
        put_ipv6_header(&mut packet, source, destination, next, TRAFFIC_CLASS);
        Ok(packet)
    }

    fn of_family<T>(&self, pick: impl Fn(IpAddr) -> Option<T>) -> Result<Vec<T>, FrameError> {
        let wrong = |address| FrameError::Family { vrid: self.vrid, address };
        self.addresses.iter().map(|&address| pick(address).ok_or_else(|| wrong(address))).collect()
    }

    fn centis(&self) -> Result<u16, FrameError> {
        Ok(self.interval_in(NANOS_PER_CENTI, u64::from(vrrp_encode::MAX_INTERVAL_CENTIS))? as u16)
    }

    /// The interval as a whole number of `unit` nanoseconds from 1 to `most`.
    fn interval_in(&self, unit: u64, most: u64) -> Result<u64, FrameError> {
        let nanos = self.interval.as_nanos();
        let units = nanos / unit;
        if units == 0 || units > most || !nanos.is_multiple_of(unit) {
            return Err(FrameError::Interval { vrid: self.vrid, nanos });
        }
        Ok(units)
    }
}

/// What tells the segment where `address` is now: a gratuitous ARP request or an unsolicited neighbour advert.
pub fn announcement(source_mac: MacAddress, address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => gratuitous_arp(source_mac, address),
        IpAddr::V6(address) => unsolicited_neighbour_advert(source_mac, address),
    }
}

/// A broadcast ARP request with sender and target IP `address` (V-117). The target MAC is all ones, as keepalived and
/// FRR send it; receivers take the sender's.
pub fn gratuitous_arp(source_mac: MacAddress, address: Ipv4Addr) -> Vec<u8> {
    let mut payload = [0; ARP_LENGTH];
    if let Some(mut arp) = MutableArpPacket::new(&mut payload) {
        arp.set_hardware_type(ArpHardwareTypes::Ethernet);
        arp.set_protocol_type(EtherTypes::Ipv4);
        arp.set_hw_addr_len(6);
        arp.set_proto_addr_len(4);
        arp.set_operation(ArpOperations::Request);
        arp.set_sender_hw_addr(source_mac.into());
        arp.set_sender_proto_addr(address);
        arp.set_target_hw_addr(MacAddress::BROADCAST.into());
        arp.set_target_proto_addr(address);
    }
    ethernet(source_mac, MacAddress::BROADCAST, EtherTypes::Arp, &payload)
}

/// An unsolicited neighbour advert for `address` to all nodes: Router, Override, not Solicited (V-118). It is sent from
/// the address it announces, so that the fence judges it by source and by target alike.
pub fn unsolicited_neighbour_advert(source_mac: MacAddress, address: Ipv6Addr) -> Vec<u8> {
    let mut packet = vec![0; IPV6_LENGTH + NEIGHBOUR_ADVERT_LENGTH];
    let message = &mut packet[IPV6_LENGTH..];
    if let Some(mut advert) = MutableNeighborAdvertPacket::new(message) {
        advert.set_icmpv6_type(Icmpv6Types::NeighborAdvert);
        advert.set_icmpv6_code(Icmpv6Code(0));
        advert.set_flags(NeighborAdvertFlags::Router | NeighborAdvertFlags::Override);
        advert.set_target_addr(address);
        advert.set_options(&[NdpOption {
            option_type: NdpOptionTypes::TargetLLAddr,
            length: LINK_LAYER_OPTION_UNITS,
            data: source_mac.0.to_vec(),
        }]);
    }
    if let Some(view) = Icmpv6Packet::new(message) {
        let checksum = icmpv6::checksum(&view, &address, &ALL_NODES);
        message[2..4].copy_from_slice(&checksum.to_be_bytes());
    }
    put_ipv6_header(&mut packet, address, ALL_NODES, IpNextHeaderProtocols::Icmpv6, 0);
    let group = MacAddress::of_group(IpAddr::V6(ALL_NODES)).unwrap_or(MacAddress::BROADCAST);
    ethernet(source_mac, group, EtherTypes::Ipv6, &packet)
}

fn put_ipv4_header(packet: &mut [u8], source: Ipv4Addr, destination: Ipv4Addr) {
    let length = packet.len();
    let Some(mut header) = MutableIpv4Packet::new(packet) else { return };
    header.set_version(4);
    header.set_header_length((IPV4_LENGTH / 4) as u8);
    header.set_dscp(DSCP_CS6);
    header.set_total_length(length as u16);
    header.set_ttl(HOP_LIMIT);
    header.set_next_level_protocol(IpNextHeaderProtocol::new(vrrp_encode::PROTOCOL));
    header.set_source(source);
    header.set_destination(destination);
    let checksum = ipv4::checksum(&header.to_immutable());
    header.set_checksum(checksum);
}

fn put_ipv6_header(
    packet: &mut [u8],
    source: Ipv6Addr,
    destination: Ipv6Addr,
    next: IpNextHeaderProtocol,
    traffic_class: u8,
) {
    let length = packet.len() - IPV6_LENGTH;
    let Some(mut header) = MutableIpv6Packet::new(packet) else { return };
    header.set_version(6);
    header.set_traffic_class(traffic_class);
    header.set_payload_length(length as u16);
    header.set_next_header(next);
    header.set_hop_limit(HOP_LIMIT);
    header.set_source(source);
    header.set_destination(destination);
}

fn ethernet(source: MacAddress, destination: MacAddress, kind: EtherType, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; ETHERNET_LENGTH + payload.len()];
    if let Some(mut header) = MutableEthernetPacket::new(&mut frame) {
        header.set_source(source.into());
        header.set_destination(destination.into());
        header.set_ethertype(kind);
        header.set_payload(payload);
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: MacAddress = MacAddress([0x02, 0, 0, 0, 0, 0x0b]);

    fn content(version: Version, addresses: &[&str], source: &str) -> AdvertContent {
        AdvertContent {
            version,
            vrid: 51,
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
            interval: Duration::from_secs(1),
            source: source.parse().unwrap(),
            checksum: ChecksumForm::Rfc9568,
        }
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    /// Ones-complement sum as receivers compute it, checksum field included; correct is 0xffff.
    fn folded(parts: &[&[u8]]) -> u64 {
        let mut total: u64 = 0;
        for word in parts.iter().flat_map(|part| part.chunks(2)) {
            total += u64::from(word[0]) * 256 + word.get(1).map_or(0, |&low| u64::from(low));
        }
        while total > 0xffff {
            total = (total >> 16) + (total & 0xffff);
        }
        total
    }

    #[test]
    fn v3_ipv4_frame_is_byte_exact_in_both_forms() {
        let mac = MacAddress::of_virtual_router(Family::Ipv4, 51);
        let mut advert = content(Version::V3, &["192.0.2.1"], "192.0.2.11");
        let head = "01005e000012 00005e000133 0800 45c00020 00000000 ff70 1890 c000020b e0000012";
        let t2 = format!("{head} 31336401 0064a865 c0000201");
        assert_eq!(advert.multicast_frame(100, mac).unwrap(), hex(&t2));
        assert_eq!(folded(&[&hex(&t2)[14..34]]), 0xffff, "IPv4 header sum");
        advert.checksum = ChecksumForm::Rfc5798;
        let t3 = format!("{head} 31336401 006405cb c0000201");
        assert_eq!(advert.multicast_frame(100, mac).unwrap(), hex(&t3));
        assert_eq!(advert.multicast_frame(0, mac).unwrap()[40..42], [0x69, 0xcb], "T5");
    }

    #[test]
    fn v2_frame_is_byte_exact_from_the_interface_mac() {
        let advert = content(Version::V2, &["192.0.2.1"], "192.0.2.11");
        let frame = advert.multicast_frame(100, MAC).unwrap();
        assert_eq!(frame[..14], hex("01005e000012 02000000000b 0800")[..]);
        assert_eq!(frame[16..18], [0, 40], "IP total length");
        assert_eq!(frame[34..], hex("21336401 0001b8c8 c0000201 0000000000000000")[..]);
        assert_eq!(folded(&[&frame[14..34]]), 0xffff);
    }

    #[test]
    fn v3_ipv6_frame_is_byte_exact() {
        let mac = MacAddress::of_virtual_router(Family::Ipv6, 51);
        let frame = content(Version::V3, &["fe80::1", "2001:db8::1"], "fe80::11").multicast_frame(100, mac);
        let expected = "333300000012 00005e000233 86dd 6c000000 0028 70 ff \
            fe800000000000000000000000000011 ff020000000000000000000000000012 \
            31336402 00643feb fe800000000000000000000000000001 20010db8000000000000000000000001";
        assert_eq!(frame.unwrap(), hex(expected));
    }

    #[test]
    fn v165_unicast_packets_are_summed_for_their_own_destination() {
        let mut advert = content(Version::V3, &["192.0.2.1"], "192.0.2.11");
        advert.checksum = ChecksumForm::Rfc5798;
        let packet = advert.packet(100, "192.0.2.12".parse().unwrap()).unwrap();
        assert_eq!(packet[16..20], [192, 0, 2, 12]);
        assert_eq!(folded(&[&[192, 0, 2, 11, 192, 0, 2, 12, 0, 112, 0, 12], &packet[20..]]), 0xffff);
        let v6 = content(Version::V3, &["fe80::1"], "fe80::11").packet(100, "fe80::12".parse().unwrap());
        let v6 = v6.unwrap();
        assert_eq!(folded(&[&v6[8..40], &[0, 24, 0, 112], &v6[40..]]), 0xffff);
    }

    #[test]
    fn v029_intervals_are_carried_exactly_or_refused() {
        let mut advert = content(Version::V3, &["192.0.2.1"], "192.0.2.11");
        for (millis, wire) in [(1000, [0x00, 0x64]), (10, [0x00, 0x01]), (40_950, [0x0f, 0xff])] {
            advert.interval = Duration::from_millis(millis);
            assert_eq!(advert.multicast_frame(100, MAC).unwrap()[38..40], wire);
        }
        for millis in [0, 5, 15, 40_960] {
            advert.interval = Duration::from_millis(millis);
            assert!(matches!(advert.multicast_frame(100, MAC), Err(FrameError::Interval { .. })), "{millis}");
        }
        advert.version = Version::V2;
        advert.interval = Duration::from_millis(500);
        assert!(matches!(advert.multicast_frame(100, MAC), Err(FrameError::Interval { .. })));
    }

    #[test]
    fn mixed_families_and_v2_over_ipv6_are_refused() {
        let mixed = content(Version::V3, &["192.0.2.1", "fe80::1"], "192.0.2.11").multicast_frame(100, MAC);
        assert_eq!(mixed, Err(FrameError::Family { vrid: 51, address: "fe80::1".parse().unwrap() }));
        let v2 = content(Version::V2, &["fe80::1"], "fe80::11").multicast_frame(100, MAC);
        assert_eq!(v2, Err(FrameError::NoIpv6InVersion2 { vrid: 51 }));
    }

    #[test]
    fn v117_gratuitous_arp_is_byte_exact() {
        let mac = MacAddress::of_virtual_router(Family::Ipv4, 51);
        let expected = "ffffffffffff 00005e000133 0806 0001 0800 06 04 0001 \
            00005e000133 c0000201 ffffffffffff c0000201";
        assert_eq!(announcement(mac, "192.0.2.1".parse().unwrap()), hex(expected));
    }

    #[test]
    fn v118_unsolicited_neighbour_advert_is_byte_exact() {
        let mac = MacAddress::of_virtual_router(Family::Ipv6, 51);
        let frame = announcement(mac, "2001:db8::1".parse().unwrap());
        let head = "333300000001 00005e000233 86dd 60000000 0020 3a ff \
            20010db8000000000000000000000001 ff020000000000000000000000000001 8800";
        assert_eq!(frame[..56], hex(head)[..]);
        assert_eq!(frame[58..], hex("a0000000 20010db8000000000000000000000001 0201 00005e000233")[..]);
        assert_eq!(folded(&[&frame[22..54], &[0, 32, 0, 58], &frame[54..]]), 0xffff, "ICMPv6 sum");
    }
}
