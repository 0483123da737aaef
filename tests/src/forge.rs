//! Frames made by hand: ARP and ND questions, and VRRP adverts, right or wrong in any way a test needs.
//!
//! Written apart from the product's own wire code, so that an error there is not confirmed here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A hardware address.
pub type Mac = [u8; 6];

const BROADCAST: Mac = [0xff; 6];
const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_ARP: u16 = 0x0806;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const PROTOCOL_VRRP: u8 = 112;
const PROTOCOL_ICMPV6: u8 = 58;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// TTL and hop limit of everything that must not have been routed.
pub const ON_LINK_TTL: u8 = 255;
pub const VRRP_GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
pub const VRRP_GROUP6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);

/// `aa:bb:cc:dd:ee:ff`.
pub fn mac_text(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

fn ethernet(destination: Mac, source: Mac, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(14 + payload.len());
    frame.extend(destination);
    frame.extend(source);
    frame.extend(ethertype.to_be_bytes());
    frame.extend(payload);
    frame
}

/// An ARP request without a sender address, answered to `asker`.
pub(crate) fn arp_request(source: Mac, asker: Mac, target: Ipv4Addr) -> Vec<u8> {
    let mut arp = vec![0, 1, 8, 0, 6, 4, 0, 1];
    arp.extend(asker);
    arp.extend([0u8; 4 + 6]);
    arp.extend(target.octets());
    ethernet(BROADCAST, source, ETHERTYPE_ARP, &arp)
}

/// A gratuitous ARP request that claims `address` for `owner`.
pub fn gratuitous_arp(owner: Mac, address: Ipv4Addr) -> Vec<u8> {
    let mut arp = vec![0, 1, 8, 0, 6, 4, 0, 1];
    arp.extend(owner);
    arp.extend(address.octets());
    arp.extend(BROADCAST);
    arp.extend(address.octets());
    ethernet(BROADCAST, owner, ETHERTYPE_ARP, &arp)
}

/// A neighbour solicitation that is answered by unicast.
pub(crate) fn neighbour_solicitation(asker: Mac, source: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
    let last = target.octets();
    let group = Ipv6Addr::new(
        0xff02,
        0,
        0,
        0,
        0,
        1,
        0xff00 | u16::from(last[13]),
        u16::from_be_bytes([last[14], last[15]]),
    );
    let mut message = vec![SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
    message.extend(target.octets());
    message.extend([1, 1]);
    message.extend(asker);
    let sum = checksum(&pseudo_header(source.into(), group.into(), PROTOCOL_ICMPV6, message.len()), &message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let destination = [0x33, 0x33, 0xff, last[13], last[14], last[15]];
    let packet = ipv6(source, group, PROTOCOL_ICMPV6, ON_LINK_TTL, &message);
    ethernet(destination, asker, ETHERTYPE_IPV6, &packet)
}

/// Reads an ARP reply or a neighbour advertisement that claims `target`: whom it answers, and the MAC that claims it.
pub(crate) fn parse_ownership_answer(frame: &[u8], target: IpAddr) -> Option<(Mac, Mac)> {
    let to: Mac = *frame.first_chunk()?;
    let ethertype = u16::from_be_bytes(*frame.get(12..)?.first_chunk()?);
    match target {
        IpAddr::V4(target) if ethertype == ETHERTYPE_ARP => {
            let arp = frame.get(14..42)?;
            let is_reply = arp[..8] == [0, 1, 8, 0, 6, 4, 0, 2];
            (is_reply && arp[14..18] == target.octets()).then_some((to, *arp[8..].first_chunk()?))
        }
        IpAddr::V6(target) if ethertype == ETHERTYPE_IPV6 => {
            let (header, message) = (frame.get(14..54)?, frame.get(54..78)?);
            let claims = header[6] == PROTOCOL_ICMPV6
                && message[0] == ADVERTISEMENT
                && message[8..24] == target.octets();
            let option = frame.get(78..86).filter(|option| option[0] == 2);
            let source = *frame[6..].first_chunk()?;
            let owner = option.and_then(|option| option[2..].first_chunk().copied()).unwrap_or(source);
            claims.then_some((to, owner))
        }
        _ => None,
    }
}

/// Checksum form of a VRRPv3 advert over IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChecksumForm {
    /// Without pseudo-header (RFC 9568 section 5.2.8).
    Rfc9568,
    /// With pseudo-header (RFC 5798 as keepalived and FRR read it).
    Rfc5798,
    /// One that no form accepts.
    Wrong,
}

/// An advert to be sent. Begin with [`AdvertSpec::v3`] or [`AdvertSpec::v2`], change what the test is about.
#[derive(Clone, Debug)]
pub struct AdvertSpec {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub source_mac: Mac,
    pub destination_mac: Mac,
    pub ttl: u8,
    pub version: u8,
    /// 1 is ADVERTISEMENT, the only type there is.
    pub kind: u8,
    pub vrid: u8,
    pub priority: u8,
    /// v3: centiseconds in 12 bits; v2: seconds.
    pub interval: u16,
    pub addresses: Vec<IpAddr>,
    /// Overrides the count of addresses.
    pub address_count: Option<u8>,
    pub checksum: ChecksumForm,
    /// VRRPv2 authentication type.
    pub authentication: u8,
    /// Cuts the VRRP message to this many bytes; the IP length follows.
    pub truncate: Option<usize>,
}

impl AdvertSpec {
    /// A valid VRRPv3 advert at one second, from a physical MAC.
    pub fn v3(source: IpAddr, source_mac: Mac, vrid: u8, priority: u8, addresses: &[IpAddr]) -> Self {
        let (destination, destination_mac): (IpAddr, Mac) = match source {
            IpAddr::V4(_) => (VRRP_GROUP.into(), [0x01, 0x00, 0x5e, 0x00, 0x00, 0x12]),
            IpAddr::V6(_) => (VRRP_GROUP6.into(), [0x33, 0x33, 0x00, 0x00, 0x00, 0x12]),
        };
        AdvertSpec {
            source,
            destination,
            source_mac,
            destination_mac,
            ttl: ON_LINK_TTL,
            version: 3,
            kind: 1,
            vrid,
            priority,
            interval: 100,
            addresses: addresses.to_vec(),
            address_count: None,
            checksum: ChecksumForm::Rfc9568,
            authentication: 0,
            truncate: None,
        }
    }

    /// A valid VRRPv2 advert at one second, from a physical MAC.
    pub fn v2(source: Ipv4Addr, source_mac: Mac, vrid: u8, priority: u8, addresses: &[IpAddr]) -> Self {
        AdvertSpec {
            version: 2,
            interval: 1,
            ..Self::v3(source.into(), source_mac, vrid, priority, addresses)
        }
    }

    /// The complete frame.
    pub fn frame(&self) -> Vec<u8> {
        let message = self.message();
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let packet = ipv4(source, destination, PROTOCOL_VRRP, self.ttl, &message);
                ethernet(self.destination_mac, self.source_mac, ETHERTYPE_IPV4, &packet)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let packet = ipv6(source, destination, PROTOCOL_VRRP, self.ttl, &message);
                ethernet(self.destination_mac, self.source_mac, ETHERTYPE_IPV6, &packet)
            }
            _ => panic!("an advert's source and destination are of one family"),
        }
    }

    fn message(&self) -> Vec<u8> {
        let count = self.address_count.unwrap_or(self.addresses.len() as u8);
        let interval = if self.version == 2 {
            [self.authentication, self.interval as u8]
        } else {
            (self.interval & 0xfff).to_be_bytes()
        };
        let mut message = vec![self.version << 4 | self.kind, self.vrid, self.priority, count];
        message.extend(interval);
        message.extend([0, 0]);
        for address in &self.addresses {
            match address {
                IpAddr::V4(address) => message.extend(address.octets()),
                IpAddr::V6(address) => message.extend(address.octets()),
            }
        }
        if self.version == 2 {
            message.extend([0u8; 8]); // authentication data
        }
        let with_pseudo =
            self.version != 2 && (self.source.is_ipv6() || self.checksum != ChecksumForm::Rfc9568);
        let pseudo = if with_pseudo {
            pseudo_header(self.source, self.destination, PROTOCOL_VRRP, message.len())
        } else {
            Vec::new()
        };
        let mut sum = checksum(&pseudo, &message);
        if self.checksum == ChecksumForm::Wrong {
            const FLIPPED: u16 = 0x5a5a;
            sum ^= FLIPPED;
        }
        message[6..8].copy_from_slice(&sum.to_be_bytes());
        message.truncate(self.truncate.unwrap_or(usize::MAX));
        message
    }
}

fn ipv4(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, ttl: u8, payload: &[u8]) -> Vec<u8> {
    const HEADER: usize = 20;
    const CLASS_SELECTOR_6: u8 = 0xc0;
    let length = (HEADER + payload.len()) as u16;
    let mut header = vec![0x45, CLASS_SELECTOR_6];
    header.extend(length.to_be_bytes());
    header.extend([0, 0, 0, 0, ttl, protocol, 0, 0]);
    header.extend(source.octets());
    header.extend(destination.octets());
    let sum = checksum(&[], &header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    header.extend(payload);
    header
}

fn ipv6(source: Ipv6Addr, destination: Ipv6Addr, next: u8, hop_limit: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([next, hop_limit]);
    packet.extend(source.octets());
    packet.extend(destination.octets());
    packet.extend(payload);
    packet
}

pub(crate) fn pseudo_header(source: IpAddr, destination: IpAddr, protocol: u8, length: usize) -> Vec<u8> {
    let mut header = Vec::new();
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            header.extend(source.octets());
            header.extend(destination.octets());
            header.extend([0, protocol]);
            header.extend((length as u16).to_be_bytes());
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            header.extend(source.octets());
            header.extend(destination.octets());
            header.extend((length as u32).to_be_bytes());
            header.extend([0, 0, 0, protocol]);
        }
        _ => {}
    }
    header
}

/// The Internet checksum over both parts (RFC 1071). The first part has an even length.
pub(crate) fn checksum(pseudo: &[u8], message: &[u8]) -> u16 {
    let words = |bytes: &[u8]| -> u32 {
        bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from)).sum()
    };
    let mut sum = words(pseudo) + words(message);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
