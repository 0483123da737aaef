//! Probes: the message's layout, its MAC against the standard library's SipHash-2-4, and the frame around it.
//!
//! Any 96 bytes are a message; what makes one count is its MAC. An input is a key, three choices, and the message.

use crate::choices::Choices;
use crate::kernel_view::Page;
use ha_common::wire::probe::{LENGTH, Message, PATH_BITS, SIGNED_WORDS};
use ha_common::wire::siphash::SipHash;
use ha_common::wire::{Buffer, ethernet, ipv4, ipv6, udp, vlan};
use pnet::packet::ip::IpNextHeaderProtocol;
use pnet::packet::ipv4::{MutableIpv4Packet, checksum};
use pnet::packet::ipv6::MutableIpv6Packet;
use pnet::packet::udp::MutableUdpPacket;
use std::hash::Hasher;

const UDP_LENGTH: usize = udp::HEADER_LENGTH + LENGTH;
const PORT: u16 = 8612;

pub(super) fn run(input: &[u8]) {
    let mut choices = Choices::new(input);
    let key = [choices.be64(), choices.be64()];
    let (bit, family, port) = (usize::from(choices.be16()), choices.byte(), choices.be16());
    let bytes: [u8; LENGTH] = choices.bytes();
    let message: Message = bytemuck::pod_read_unaligned(&bytes);
    check_layout(&message, &bytes);
    check_mac(message, key, bit);
    check_hash(key, input);
    check_frame(message, if family & 1 == 0 { 4 } else { 6 }, port);
}

/// Field by field where the format puts them, little-endian.
fn check_layout(message: &Message, bytes: &[u8; LENGTH]) {
    let number = |at: usize, size: usize| {
        bytes[at..at + size].iter().rev().fold(0_u64, |value, byte| value << 8 | u64::from(*byte))
    };
    let fields: [(u64, usize, usize); 21] = [
        (message.magic.into(), 0, 2),
        (message.version.into(), 2, 1),
        (message.kind.into(), 3, 1),
        (message.key_id.into(), 4, 2),
        (message.flags.into(), 6, 2),
        (message.cluster.into(), 8, 4),
        (message.from.into(), 12, 2),
        (message.to.into(), 14, 2),
        (message.prober_incarnation, 16, 8),
        (message.sequence, 24, 8),
        (message.t1_ns, 32, 8),
        (message.responder_incarnation, 40, 8),
        (message.t2_ns, 48, 8),
        (message.owned, 56, 8),
        (message.ready, 64, 8),
        (message.remaining_us.into(), 72, 4),
        (message.priority.into(), 76, 2),
        (message.hears.into(), 78, 2),
        (message.digest.into(), 80, 4),
        (message.health.into(), 84, 2),
        (message.lease_centis.into(), 86, 2),
    ];
    for (field, at, size) in fields {
        assert_eq!(field, number(at, size), "the field at {at}");
    }
    assert_eq!(message.mac, number(88, 8));
    assert_eq!(bytemuck::bytes_of(message), bytes, "a message reads back as it was sent");
    for (position, word) in message.words().into_iter().enumerate() {
        assert_eq!(word, number(position * 8, 8), "word {position}");
    }
    assert!(message.path_index() < 1 << PATH_BITS);
    assert_eq!(u64::from(message.path_index()), message.sequence % 16);
}

#[expect(
    deprecated,
    reason = "the standard library's SipHash-2-4 has no other name, and is written by others"
)]
fn reference(key: [u64; 2], bytes: &[u8]) -> u64 {
    let mut hasher = std::hash::SipHasher::new_with_keys(key[0], key[1]);
    hasher.write(bytes);
    hasher.finish()
}

fn check_mac(message: Message, key: [u64; 2], bit: usize) {
    let signed = message.signed(key);
    let bytes = bytemuck::bytes_of(&signed);
    assert_eq!(signed.mac, reference(key, &bytes[..SIGNED_WORDS * 8]), "MAC");
    assert_eq!(signed.compute_mac(key), signed.mac, "a signed message proves itself");
    assert_eq!(Message { mac: message.mac, ..signed }, message, "signing changes nothing but the MAC");
    let mut forged: [u8; LENGTH] = bytemuck::cast(signed);
    let bit = bit % (SIGNED_WORDS * 64);
    forged[bit / 8] ^= 1 << (bit % 8);
    let forged: Message = bytemuck::cast(forged);
    assert_ne!(forged.compute_mac(key), forged.mac, "bit {bit} is not under the MAC");
    assert_ne!(
        signed.compute_mac([key[0] ^ 1 << (bit % 64), key[1]]),
        signed.mac,
        "another key proves it too"
    );
}

/// The hash over any words and any tail.
fn check_hash(key: [u64; 2], input: &[u8]) {
    let mut hash = SipHash::new(key);
    let words = input.chunks_exact(8);
    let tail = words.remainder();
    for word in words {
        hash = hash.word(u64::from_le_bytes(word.try_into().unwrap_or_default()));
    }
    let last = tail.iter().rev().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    assert_eq!(hash.finish(last, tail.len() as u64), reference(key, input), "{} bytes", input.len());
}

/// Put into a frame by pnet, found by the decoders that XDP uses, in either view.
fn check_frame(message: Message, family: u8, port: u16) {
    let mut payload = vec![0; UDP_LENGTH];
    if let Some(mut header) = MutableUdpPacket::new(&mut payload) {
        header.set_source(PORT);
        header.set_destination(port);
        header.set_length(UDP_LENGTH as u16);
        header.set_payload(bytemuck::bytes_of(&message));
    }
    let next = IpNextHeaderProtocol::new(udp::PROTOCOL);
    let header_length = if family == 4 { ipv4::MIN_HEADER_LENGTH } else { ipv6::HEADER_LENGTH };
    let mut packet = vec![0; header_length];
    packet.extend(payload);
    if family == 4 {
        let length = packet.len() as u16;
        if let Some(mut header) = MutableIpv4Packet::new(&mut packet) {
            header.set_version(4);
            header.set_header_length(5);
            header.set_total_length(length);
            header.set_ttl(255);
            header.set_next_level_protocol(next);
            let sum = checksum(&header.to_immutable());
            header.set_checksum(sum);
        }
    } else if let Some(mut header) = MutableIpv6Packet::new(&mut packet) {
        header.set_version(6);
        header.set_payload_length(UDP_LENGTH as u16);
        header.set_hop_limit(255);
        header.set_next_header(next);
    }
    let kind: [u8; 2] = if family == 4 { [8, 0] } else { [0x86, 0xdd] };
    let frame = [&[0; ethernet::ADDRESSES_LENGTH][..], &kind, &packet].concat();
    assert_found(frame.as_slice(), message, family, port);
    assert_found(Page::holding(&frame).frame(), message, family, port);
}

fn assert_found<B: Buffer>(frame: B, message: Message, family: u8, port: u16) {
    let Some(link) = vlan::walk(frame) else { panic!("no Ethernet header") };
    let at = link.payload;
    let udp = if family == 4 {
        assert_eq!(ipv4::is_intact(frame, at, ipv4::MIN_HEADER_LENGTH), Some(true));
        assert_eq!(ipv4::total_length(frame, at), Some(ipv4::MIN_HEADER_LENGTH + UDP_LENGTH));
        assert_eq!(ipv4::is_fragment(frame, at), Some(false));
        at + ipv4::MIN_HEADER_LENGTH
    } else {
        assert_eq!(ipv6::payload_length(frame, at), Some(UDP_LENGTH));
        at + ipv6::HEADER_LENGTH
    };
    assert_eq!(udp::destination_port(frame, udp), Some(port));
    assert_eq!(udp::length(frame, udp), Some(UDP_LENGTH));
    let words: Option<Vec<u32>> =
        (0..LENGTH / 4).map(|word| frame.ne32(udp + udp::HEADER_LENGTH + 4 * word)).collect();
    let words = words.unwrap_or_default();
    assert_eq!(bytemuck::cast_slice::<u32, u8>(&words), bytemuck::bytes_of(&message));
    assert_eq!(frame.ne32(udp + UDP_LENGTH), None, "the frame ends with the message");
}
