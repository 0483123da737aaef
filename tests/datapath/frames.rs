//! Frames to feed to the data plane, each a valid one that a fixture then bends.

use ha_common::wire::checksum::{fold, sum_words, term};

pub(crate) const OUR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x10];
pub(crate) const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x11];
pub(crate) const VIRTUAL_MAC_V4: [u8; 6] = [0, 0, 0x5e, 0, 1, 51];
pub(crate) const VIRTUAL_MAC_V6: [u8; 6] = [0, 0, 0x5e, 0, 2, 51];
const GROUP_MAC_V4: [u8; 6] = [1, 0, 0x5e, 0, 0, 0x12];
const GROUP_MAC_V6: [u8; 6] = [0x33, 0x33, 0, 0, 0, 0x12];
const BROADCAST: [u8; 6] = [0xff; 6];

pub(crate) const OUR_ADDRESS: [u8; 4] = [192, 0, 2, 10];
pub(crate) const PEER_ADDRESS: [u8; 4] = [192, 0, 2, 11];
pub(crate) const VIP: [u8; 4] = [192, 0, 2, 1];
pub(crate) const STRANGER: [u8; 4] = [198, 51, 100, 7];

pub(crate) const OUR_LINK_LOCAL: &str = "fe800000000000000000000000000010";
pub(crate) const PEER_LINK_LOCAL: &str = "fe800000000000000000000000000011";
pub(crate) const VIP_LINK_LOCAL: &str = "fe800000000000000000000000000001";
pub(crate) const VIP_GLOBAL: &str = "20010db8000000000000000000000001";
pub(crate) const ALL_NODES: &str = "ff020000000000000000000000000001";
pub(crate) const STRANGER_V6: &str = "20010db8000100000000000000000007";
const GROUP_V6: &str = "ff020000000000000000000000000012";
const SOLICITED_NODE: &str = "ff0200000000000000000001ff000001";
const UNSPECIFIED: &str = "00000000000000000000000000000000";

/// The vectors of the conformance list: VRRP bytes only.
pub(crate) const T1: &str = "213364010001b8c8c00002010000000000000000";
pub(crate) const T2: &str = "313364010064a865c0000201";
pub(crate) const T3: &str = "31336401006405cbc0000201";
pub(crate) const T4: &str =
    "3133640200643febfe80000000000000000000000000000120010db8000000000000000000000001";
pub(crate) const T5: &str = "3133000100640c66c0000201";
pub(crate) const T5_PSEUDO: &str = "31330001006469cbc0000201";
pub(crate) const T6: &str = "3133c8020fff72c6c0000201c0000202";
pub(crate) const T6_PSEUDO: &str = "3133c8020fffd027c0000201c0000202";
pub(crate) const T7: &str = "31336401f064b864c0000201";

const TTL_AT: usize = 22;
const IPV4_AT: usize = 14;
const MESSAGE_AT_V4: usize = 34;
const MESSAGE_AT_V6: usize = 54;

pub(crate) fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
}

pub(crate) fn address_v6(text: &str) -> [u8; 16] {
    hex(text).try_into().expect("sixteen bytes")
}

fn ethernet(destination: [u8; 6], source: [u8; 6], ether_type: u16, payload: &[u8]) -> Vec<u8> {
    [&destination[..], &source, &ether_type.to_be_bytes(), payload].concat()
}

fn checksum(bytes: &[u8], at: usize, length: usize, extra: u64) -> [u8; 2] {
    let sum = sum_words::<2048, _>(bytes, at, length / 4).expect("inside the frame") + extra;
    (!fold(sum)).to_ne_bytes()
}

/// Sets the IPv4 total length and header checksum of an untagged frame.
pub(crate) fn seal_ipv4(frame: &mut [u8]) {
    let header = usize::from(frame[IPV4_AT] & 15) * 4;
    frame[IPV4_AT + 10..IPV4_AT + 12].fill(0);
    let sum = checksum(frame, IPV4_AT, header, 0);
    frame[IPV4_AT + 10..IPV4_AT + 12].copy_from_slice(&sum);
}

/// Sets the message-only VRRP checksum over `length` bytes of an untagged IPv4 frame without options.
pub(crate) fn seal_message_v4(frame: &mut [u8], length: usize) {
    frame[MESSAGE_AT_V4 + 6..MESSAGE_AT_V4 + 8].fill(0);
    let sum = checksum(frame, MESSAGE_AT_V4, length, 0);
    frame[MESSAGE_AT_V4 + 6..MESSAGE_AT_V4 + 8].copy_from_slice(&sum);
}

pub(crate) fn seal_message_v6(frame: &mut [u8]) {
    let length = frame.len() - MESSAGE_AT_V6;
    frame[MESSAGE_AT_V6 + 6..MESSAGE_AT_V6 + 8].fill(0);
    let addresses = sum_words::<8, _>(&*frame, IPV4_AT + 8, 8).expect("addresses");
    let sum = checksum(frame, MESSAGE_AT_V6, length, addresses + term(112) + term(length as u16));
    frame[MESSAGE_AT_V6 + 6..MESSAGE_AT_V6 + 8].copy_from_slice(&sum);
}

pub(crate) fn ipv4(source: [u8; 4], destination: [u8; 4], protocol: u8, payload: &[u8]) -> Vec<u8> {
    let total = (20 + payload.len()) as u16;
    let mut packet = vec![0x45, 0xc0, 0, 0, 0, 0, 0, 0, 255, protocol, 0, 0];
    packet[2..4].copy_from_slice(&total.to_be_bytes());
    packet.extend(source);
    packet.extend(destination);
    packet.extend(payload);
    let mut frame = ethernet(OUR_MAC, PEER_MAC, 0x0800, &packet);
    seal_ipv4(&mut frame);
    frame
}

pub(crate) fn ipv6(source: &str, destination: &str, next_header: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, 0, next_header, 255];
    packet[4..6].copy_from_slice(&(payload.len() as u16).to_be_bytes());
    packet.extend(hex(source));
    packet.extend(hex(destination));
    packet.extend(payload);
    ethernet(OUR_MAC, PEER_MAC, 0x86dd, &packet)
}

pub(crate) fn udp_v4(destination: [u8; 4]) -> Vec<u8> {
    ipv4(STRANGER, destination, 17, &[0; 26])
}

pub(crate) fn udp_v6(destination: &str) -> Vec<u8> {
    ipv6(STRANGER_V6, destination, 17, &[0; 26])
}

pub(crate) fn with_macs(mut frame: Vec<u8>, destination: [u8; 6], source: [u8; 6]) -> Vec<u8> {
    frame[..6].copy_from_slice(&destination);
    frame[6..12].copy_from_slice(&source);
    frame
}

/// An advert of the peer with these VRRP bytes.
pub(crate) fn advert_v4(message: &str) -> Vec<u8> {
    with_macs(ipv4(PEER_ADDRESS, [224, 0, 0, 18], 112, &hex(message)), GROUP_MAC_V4, PEER_MAC)
}

pub(crate) fn advert_v6(message: &str) -> Vec<u8> {
    with_macs(ipv6(PEER_LINK_LOCAL, GROUP_V6, 112, &hex(message)), GROUP_MAC_V6, PEER_MAC)
}

/// T2 with another priority.
pub(crate) fn advert_of_priority(priority: u8) -> Vec<u8> {
    let mut frame = advert_v4(T2);
    frame[MESSAGE_AT_V4 + 2] = priority;
    seal_message_v4(&mut frame, 12);
    frame
}

/// T1 with another priority.
pub(crate) fn advert_v2_of_priority(priority: u8) -> Vec<u8> {
    let mut frame = advert_v4(T1);
    frame[MESSAGE_AT_V4 + 2] = priority;
    seal_message_v4(&mut frame, 20);
    frame
}

pub(crate) fn from_source(mut frame: Vec<u8>, source: [u8; 4]) -> Vec<u8> {
    frame[26..30].copy_from_slice(&source);
    seal_ipv4(&mut frame);
    frame
}

pub(crate) fn to_destination(mut frame: Vec<u8>, destination: [u8; 4]) -> Vec<u8> {
    frame[30..34].copy_from_slice(&destination);
    seal_ipv4(&mut frame);
    frame
}

/// One byte of the IPv4 header changed, header checksum right.
pub(crate) fn with_ip_byte(mut frame: Vec<u8>, offset: usize, value: u8) -> Vec<u8> {
    frame[IPV4_AT + offset] = value;
    seal_ipv4(&mut frame);
    frame
}

pub(crate) fn with_ttl(frame: Vec<u8>, ttl: u8) -> Vec<u8> {
    with_ip_byte(frame, TTL_AT - IPV4_AT, ttl)
}

/// One byte of the VRRP message changed, checksum right over `length` bytes.
pub(crate) fn with_message_byte(mut frame: Vec<u8>, offset: usize, value: u8, length: usize) -> Vec<u8> {
    frame[MESSAGE_AT_V4 + offset] = value;
    seal_message_v4(&mut frame, length);
    frame
}

/// The VRRPv3 advert whose first address is global.
pub(crate) fn advert_v6_global_first() -> Vec<u8> {
    let mut frame = advert_v6(T4);
    frame[MESSAGE_AT_V6 + 8] = 0x20;
    seal_message_v6(&mut frame);
    frame
}

/// An IPv4 advert that lists 255 addresses.
pub(crate) fn advert_of_255_addresses() -> Vec<u8> {
    let list: String = (0..255u32).map(|host| format!("{:08x}", 0xc000_0200 + host)).collect();
    let mut frame = advert_v4(&format!("313364ff00640000{list}"));
    seal_message_v4(&mut frame, 8 + 4 * 255);
    frame
}

/// An IPv6 advert that lists as many addresses as an MTU of 1500 holds.
pub(crate) fn advert_of_90_addresses() -> Vec<u8> {
    let list: String = (0..90u32).map(|host| format!("fe80{:028x}", host + 1)).collect();
    let mut frame = advert_v6(&format!("3133645a00640000{list}"));
    seal_message_v6(&mut frame);
    frame
}

/// Four bytes of IP options in front of the message (V-018).
pub(crate) fn with_ip_options(mut frame: Vec<u8>) -> Vec<u8> {
    frame.splice(MESSAGE_AT_V4..MESSAGE_AT_V4, [0x94, 4, 0, 0]);
    frame[IPV4_AT] = 0x46;
    frame[IPV4_AT + 3] += 4;
    seal_ipv4(&mut frame);
    frame
}

/// Bytes behind the message, inside the IP length.
pub(crate) fn with_trailing_bytes(mut frame: Vec<u8>, count: u8) -> Vec<u8> {
    frame.extend(vec![0x5a; usize::from(count)]);
    frame[IPV4_AT + 3] += count;
    seal_ipv4(&mut frame);
    frame
}

/// Ethernet padding, which is no data.
pub(crate) fn padded(mut frame: Vec<u8>) -> Vec<u8> {
    frame.resize(frame.len().max(60), 0xaa);
    frame
}

/// VLAN tags, outermost first.
pub(crate) fn tagged(mut frame: Vec<u8>, vids: &[u16]) -> Vec<u8> {
    for (position, vid) in vids.iter().enumerate().rev() {
        let kind: u16 = if position + 1 == vids.len() { 0x8100 } else { 0x88a8 };
        let tag = [kind.to_be_bytes(), vid.to_be_bytes()].concat();
        frame.splice(12..12, tag);
    }
    frame
}

pub(crate) fn arp(operation: u16, sender: [u8; 4], target: [u8; 4]) -> Vec<u8> {
    let mut packet = vec![0, 1, 8, 0, 6, 4];
    packet.extend(operation.to_be_bytes());
    packet.extend(PEER_MAC);
    packet.extend(sender);
    packet.extend([0; 6]);
    packet.extend(target);
    ethernet(BROADCAST, PEER_MAC, 0x0806, &packet)
}

/// A neighbour solicitation; `source` `None` is duplicate address detection.
pub(crate) fn solicitation(source: Option<&str>, target: &str) -> Vec<u8> {
    let message = [vec![135, 0, 0, 0, 0, 0, 0, 0], hex(target)].concat();
    ipv6(source.unwrap_or(UNSPECIFIED), SOLICITED_NODE, 58, &message)
}

pub(crate) fn neighbour_advertisement(source: &str, destination: &str, target: &str) -> Vec<u8> {
    let message = [vec![136, 0, 0, 0, 0xa0, 0, 0, 0], hex(target)].concat();
    ipv6(source, destination, 58, &message)
}

/// VRRP behind a hop-by-hop header.
pub(crate) fn advert_behind_extension_header() -> Vec<u8> {
    let payload = [vec![112, 0, 1, 4, 0, 0, 0, 0], hex(T4)].concat();
    with_macs(ipv6(PEER_LINK_LOCAL, GROUP_V6, 0, &payload), GROUP_MAC_V6, PEER_MAC)
}

/// What we would send: T2 as from our address, padded to the Ethernet minimum.
pub(crate) fn our_advert() -> Vec<u8> {
    let frame = from_source(advert_v4(T2), OUR_ADDRESS);
    let mut frame = with_macs(frame, GROUP_MAC_V4, VIRTUAL_MAC_V4);
    frame.resize(60, 0);
    frame
}

pub(crate) fn our_advert_v6() -> Vec<u8> {
    let mut frame = with_macs(ipv6(OUR_LINK_LOCAL, GROUP_V6, 112, &hex(T4)), GROUP_MAC_V6, VIRTUAL_MAC_V6);
    seal_message_v6(&mut frame);
    frame
}
