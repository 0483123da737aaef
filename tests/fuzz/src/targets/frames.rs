//! Frames as XDP sees them: every header decoder of `ha-common`, on a slice, on the kernel's view and against pnet.

use crate::kernel_view::Page;
use ha_common::wire::arp::Arp;
use ha_common::wire::ethernet::{self, Mac, ether_type};
use ha_common::wire::ndisc::Kind;
use ha_common::wire::vlan::{LinkLayer, MAX_TAGS, TAG_LENGTH};
use ha_common::wire::{Buffer, arp, checksum, ipv4, ipv6, ndisc, udp, vlan, vrrp};
use pnet::packet::Packet;
use pnet::packet::arp::ArpPacket;
use pnet::packet::ethernet::EthernetPacket;
use pnet::packet::icmpv6::ndp::NeighborAdvertPacket;
use pnet::packet::ipv4::Ipv4Packet;
use pnet::packet::ipv6::Ipv6Packet;
use pnet::packet::udp::UdpPacket;
use pnet::packet::vlan::VlanPacket;

/// Everything that the decoders say about a frame; `None` where it ends too early for a field.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    macs: [Option<Mac>; 2],
    link: Option<LinkLayer>,
    v4: SeenV4,
    v6: SeenV6,
    arp: Option<Arp>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct SeenV4 {
    header: Option<usize>,
    total: Option<usize>,
    fragment: [Option<bool>; 2],
    ttl: Option<u8>,
    protocol: Option<u8>,
    source: Option<u32>,
    destination: Option<u32>,
    intact: Option<bool>,
    udp: SeenUdp,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct SeenV6 {
    version: Option<bool>,
    payload: Option<usize>,
    next: Option<u8>,
    extended: Option<u8>,
    hop_limit: Option<u8>,
    source: Option<ipv6::Words>,
    destination: Option<ipv6::Words>,
    discovery: Option<Kind>,
    target: Option<ipv6::Words>,
    udp: SeenUdp,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct SeenUdp {
    port: Option<u16>,
    length: Option<usize>,
}

pub(super) fn run(input: &[u8]) {
    let seen = decode(input);
    let page = Page::holding(input);
    assert_eq!(seen, decode(page.frame()), "the kernel's view differs from the slice's");
    // What a frame says does not change when bytes follow, and nothing is read that is not there.
    for cut in [13, 14, 18, 22, 34, 42, 54, 62, 78] {
        if let Some(front) = input.get(..cut) {
            assert_holds_still(&decode(front), &seen);
        }
    }
    check_bounds(input, &seen);
    compare_ethernet(input, &seen);
    if let Some(link) = seen.link {
        let payload = input.get(link.payload..).unwrap_or_default();
        compare_v4(payload, &seen.v4);
        compare_v6(payload, &seen.v6);
        compare_arp(payload, seen.arp);
    }
}

fn decode<B: Buffer>(frame: B) -> Seen {
    let link = vlan::walk(frame);
    let at = link.map(|link| link.payload);
    Seen {
        macs: [ethernet::destination(frame), ethernet::source(frame)],
        link,
        v4: at.map_or_else(SeenV4::default, |at| decode_v4(frame, at)),
        v6: at.map_or_else(SeenV6::default, |at| decode_v6(frame, at)),
        arp: at.and_then(|at| arp::parse(frame, at)),
    }
}

fn decode_v4<B: Buffer>(frame: B, at: usize) -> SeenV4 {
    let header = ipv4::header_length(frame, at);
    SeenV4 {
        header,
        total: ipv4::total_length(frame, at),
        fragment: [ipv4::is_fragment(frame, at), ipv4::is_later_fragment(frame, at)],
        ttl: ipv4::ttl(frame, at),
        protocol: ipv4::protocol(frame, at),
        source: ipv4::source(frame, at),
        destination: ipv4::destination(frame, at),
        intact: header.and_then(|header| ipv4::is_intact(frame, at, header)),
        udp: header.map_or_else(SeenUdp::default, |header| decode_udp(frame, at + header)),
    }
}

fn decode_v6<B: Buffer>(frame: B, at: usize) -> SeenV6 {
    let next = ipv6::next_header(frame, at);
    let message = at + ipv6::HEADER_LENGTH;
    SeenV6 {
        version: ipv6::is_version_6(frame, at),
        payload: ipv6::payload_length(frame, at),
        next,
        extended: next.and_then(|next| ipv6::extended_next_header(frame, at, next)),
        hop_limit: ipv6::hop_limit(frame, at),
        source: ipv6::address(frame, ipv6::source_at(at)),
        destination: ipv6::address(frame, ipv6::destination_at(at)),
        discovery: ndisc::kind(frame, message),
        target: ndisc::target(frame, message),
        udp: decode_udp(frame, message),
    }
}

fn decode_udp<B: Buffer>(frame: B, at: usize) -> SeenUdp {
    SeenUdp { port: udp::destination_port(frame, at), length: udp::length(frame, at) }
}

/// What was said of the front of a frame is said of the whole.
fn assert_holds_still(front: &Seen, whole: &Seen) {
    fn same<T: PartialEq + std::fmt::Debug>(front: &Option<T>, whole: &Option<T>) {
        assert!(front.is_none() || front == whole, "{front:?} became {whole:?}");
    }
    same(&front.macs[0], &whole.macs[0]);
    same(&front.macs[1], &whole.macs[1]);
    same(&front.link, &whole.link);
    if front.link.is_none() {
        return;
    }
    same(&front.arp, &whole.arp);
    let (a, b) = (&front.v4, &whole.v4);
    same(&a.header, &b.header);
    same(&a.total, &b.total);
    same(&a.source, &b.source);
    same(&a.destination, &b.destination);
    same(&a.intact, &b.intact);
    same(&a.udp.port, &b.udp.port);
    same(&a.udp.length, &b.udp.length);
    let (a, b) = (&front.v6, &whole.v6);
    same(&a.payload, &b.payload);
    same(&a.extended, &b.extended);
    same(&a.source, &b.source);
    same(&a.destination, &b.destination);
    same(&a.discovery, &b.discovery);
    same(&a.target, &b.target);
    same(&a.udp.port, &b.udp.port);
}

fn check_bounds(input: &[u8], seen: &Seen) {
    let Some(link) = seen.link else {
        assert!(input.len() < ethernet::HEADER_LENGTH + MAX_TAGS * TAG_LENGTH, "a whole header was refused");
        return;
    };
    assert!(link.payload <= input.len(), "the payload begins past the frame's end");
    assert_eq!(link.payload, ethernet::HEADER_LENGTH + link.tags * TAG_LENGTH);
    assert!(link.tags <= MAX_TAGS && (link.tags == MAX_TAGS || !link.too_deep()));
    assert!(link.vlan >> 28 == 0 && link.vlan & 0xf000 == 0, "a VLAN number has twelve bits");
    assert!(link.tags == MAX_TAGS || link.vlan >> 16 == 0, "an outer VLAN needs two tags");
    if let Some(header) = seen.v4.header {
        assert!((ipv4::MIN_HEADER_LENGTH..=60).contains(&header) && header.is_multiple_of(4));
        if seen.v4.intact.is_some() {
            assert!(link.payload + header <= input.len(), "a header was summed past the frame's end");
        }
    }
    if seen.v4.fragment[1] == Some(true) {
        assert_eq!(seen.v4.fragment[0], Some(true), "a later fragment is a fragment");
    }
    for family in [4, 6] {
        if let Ok(carrier) = vrrp::carrier(input, link.payload, family) {
            assert!(carrier.message <= input.len(), "a message begins past the frame's end");
            assert!(carrier.length <= usize::from(u16::MAX));
        }
    }
}

fn compare_ethernet(input: &[u8], seen: &Seen) {
    let Some(packet) = EthernetPacket::new(input) else {
        assert_eq!(seen.link, None, "pnet finds no header");
        return;
    };
    assert_eq!(seen.macs[0], Some(Mac::new(packet.get_destination().into())));
    assert_eq!(seen.macs[1], Some(Mac::new(packet.get_source().into())));
    let (mut kind, mut rest) = (packet.get_ethertype().0, packet.payload());
    let mut vlan = 0;
    for _ in 0..MAX_TAGS {
        if kind != ether_type::VLAN && kind != ether_type::QINQ {
            break;
        }
        let Some(tag) = VlanPacket::new(rest) else {
            assert_eq!(seen.link, None, "pnet finds the tag cut short");
            return;
        };
        vlan = vlan << 16 | u32::from(tag.get_vlan_identifier());
        kind = tag.get_ethertype().0;
        rest = &rest[TAG_LENGTH..];
    }
    assert_eq!(seen.link.map(|link| (link.ether_type, link.vlan)), Some((kind, vlan)));
}

fn compare_v4(payload: &[u8], seen: &SeenV4) {
    let Some(packet) = Ipv4Packet::new(payload) else { return };
    let header = usize::from(packet.get_header_length()) * 4;
    let is_header = packet.get_version() == 4 && header >= ipv4::MIN_HEADER_LENGTH;
    assert_eq!(seen.header, is_header.then_some(header));
    assert_eq!(seen.total, Some(usize::from(packet.get_total_length())));
    let more_fragments = packet.get_flags() & 1 != 0;
    let offset = packet.get_fragment_offset();
    assert_eq!(seen.fragment, [Some(more_fragments || offset != 0), Some(offset != 0)]);
    assert_eq!((seen.ttl, seen.protocol), (Some(packet.get_ttl()), Some(packet.get_next_level_protocol().0)));
    assert_eq!(seen.source, Some(packet.get_source().into()));
    assert_eq!(seen.destination, Some(packet.get_destination().into()));
    if let Some(intact) = seen.intact {
        // Both zeros of the ones-complement sum are the same number.
        let wanted = pnet::packet::ipv4::checksum(&packet) % u16::MAX;
        assert_eq!(intact, packet.get_checksum() % u16::MAX == wanted, "header checksum");
        compare_udp(&payload[header..], &seen.udp);
    }
}

fn compare_v6(payload: &[u8], seen: &SeenV6) {
    let Some(packet) = Ipv6Packet::new(payload) else { return };
    assert_eq!(seen.version, Some(packet.get_version() == 6));
    assert_eq!(seen.payload, Some(usize::from(packet.get_payload_length())));
    assert_eq!(seen.next, Some(packet.get_next_header().0));
    assert_eq!(seen.hop_limit, Some(packet.get_hop_limit()));
    assert_eq!(seen.source.map(ipv6::bytes), Some(packet.get_source().octets()));
    assert_eq!(seen.destination.map(ipv6::bytes), Some(packet.get_destination().octets()));
    if let Some(source) = seen.source {
        assert_eq!(ipv6::is_link_local(&source), packet.get_source().is_unicast_link_local());
        assert_eq!(ipv6::is_multicast(&source), packet.get_source().is_multicast());
    }
    let message = &payload[ipv6::HEADER_LENGTH..];
    compare_udp(message, &seen.udp);
    if let Some(advert) = NeighborAdvertPacket::new(message) {
        let expected = match advert.get_icmpv6_type().0 {
            135 => Some(Kind::Solicitation),
            136 => Some(Kind::Advertisement),
            133 | 134 | 137 => Some(Kind::Other),
            _ => None,
        };
        assert_eq!(seen.discovery, expected);
        assert_eq!(seen.target.map(ipv6::bytes), Some(advert.get_target_addr().octets()));
    }
}

fn compare_udp(message: &[u8], seen: &SeenUdp) {
    let Some(packet) = UdpPacket::new(message) else { return };
    assert_eq!(seen.port, Some(packet.get_destination()));
    assert_eq!(seen.length, Some(usize::from(packet.get_length())));
    // One sum, whichever way it is added up.
    let words = message.len() / 16 * 4;
    let by_words = checksum::sum_words::<512, _>(message, 0, words.min(512));
    let by_quads = checksum::sum_quads::<128, _>(message, 0, words.min(512) / 4);
    assert_eq!(by_words.map(checksum::fold), by_quads.map(checksum::fold));
    let fed = by_words.map_or(0, checksum::fold).to_be();
    let expected = !pnet::util::checksum(&message[..words.min(512) * 4], usize::MAX);
    assert_eq!(fed % u16::MAX, expected % u16::MAX, "folded sum");
}

fn compare_arp(payload: &[u8], seen: Option<Arp>) {
    let Some(packet) = ArpPacket::new(payload) else {
        assert_eq!(seen, None, "pnet finds no ARP packet");
        return;
    };
    let over_ethernet = packet.get_hardware_type().0 == 1
        && packet.get_protocol_type().0 == ether_type::IPV4
        && (packet.get_hw_addr_len(), packet.get_proto_addr_len()) == (6, 4);
    let expected = Arp {
        operation: packet.get_operation().0,
        sender: packet.get_sender_proto_addr().into(),
        target: packet.get_target_proto_addr().into(),
    };
    assert_eq!(seen, over_ethernet.then_some(expected));
}
