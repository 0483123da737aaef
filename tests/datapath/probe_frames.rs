//! Probes as they lie on the wire, written and read field by field from the message's table, not with the code under test.

use super::frames::{OUR_ADDRESS, PEER_ADDRESS, ipv4, ipv6, tagged};
use ha_common::maps::peers::MacKey;
use ha_common::wire::checksum::{fold, sum_words, term};
use ha_common::wire::probe::{LENGTH, MAGIC, Message, VERSION, health, kind};
use std::hash::Hasher;

pub(crate) const PORT: u16 = 8612;
pub(crate) const CLUSTER: u32 = 0x5eed_cafe;
pub(crate) const NODE: u16 = 1;
pub(crate) const PEER_NODE: u16 = 2;
/// The responder's incarnation: this node's.
pub(crate) const OURS: u64 = 0x0000_0005_89ab_cdef;
/// The peer's.
pub(crate) const THEIRS: u64 = 0x0000_0007_0123_4567;
pub(crate) const DIGEST: u32 = 0xd16e_57ed;
/// The peer's numbers of the two paths.
pub(crate) const THEIR_INDEX_V4: u64 = 3;
pub(crate) const THEIR_INDEX_V6: u64 = 5;
pub(crate) const OUR_GLOBAL: &str = "20010db8000000000000000000000010";
pub(crate) const PEER_GLOBAL: &str = "20010db8000000000000000000000011";

/// Both directions' keys of one secret, and their name.
pub(crate) struct Secret {
    pub(crate) id: u16,
    /// Of what the peer sends to us.
    pub(crate) receive: MacKey,
    /// Of what we send to the peer.
    pub(crate) send: MacKey,
}

pub(crate) const FIRST: Secret = Secret {
    id: 0x0101,
    receive: [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908],
    send: [0x1716_1514_1312_1110, 0x1f1e_1d1c_1b1a_1918],
};
pub(crate) const SECOND: Secret = Secret {
    id: 0x0202,
    receive: [0x2726_2524_2322_2120, 0x2f2e_2d2c_2b2a_2928],
    send: [0x3736_3534_3332_3130, 0x3f3e_3d3c_3b3a_3938],
};

pub(crate) const UDP_V4: usize = 34;
pub(crate) const UDP_V6: usize = 54;
pub(crate) const MESSAGE_V4: usize = UDP_V4 + 8;
pub(crate) const MESSAGE_V6: usize = UDP_V6 + 8;
const MAC_AT: usize = LENGTH - 8;

/// The peer's request number `number` on the IPv4 path.
pub(crate) fn request(number: u64) -> Message {
    Message {
        magic: MAGIC,
        version: VERSION,
        kind: kind::REQUEST,
        key_id: FIRST.id,
        flags: 0,
        cluster: CLUSTER,
        from: PEER_NODE,
        to: NODE,
        prober_incarnation: THEIRS,
        sequence: number << 4 | THEIR_INDEX_V4,
        t1_ns: 1_000_000 + number,
        responder_incarnation: OURS,
        t2_ns: 0,
        owned: 0b1001,
        ready: 0b1011,
        remaining_us: 900_000,
        priority: 120,
        hears: 0b11,
        digest: DIGEST,
        health: health::LINKS,
        lease_centis: 100,
        mac: 0,
    }
}

/// The same on the IPv6 path.
pub(crate) fn request_v6(number: u64) -> Message {
    Message { sequence: number << 4 | THEIR_INDEX_V6, ..request(number) }
}

/// The peer's reply to our request number `number` on the path with our `index`, sent at `t1_ns`.
pub(crate) fn reply(number: u64, index: u32, t1_ns: u64) -> Message {
    Message {
        kind: kind::REPLY,
        prober_incarnation: OURS,
        sequence: number << 4 | u64::from(index),
        t1_ns,
        responder_incarnation: THEIRS,
        t2_ns: 2_000_000 + number,
        ..request(number)
    }
}

/// The peer's word that its link-local address is `address`.
pub(crate) fn address_message(number: u64, address: [u8; 16]) -> Message {
    let half = |at: usize| u64::from_le_bytes(address[at..at + 8].try_into().expect("eight bytes"));
    Message { kind: kind::ADDRESS, t1_ns: half(0), responder_incarnation: half(8), ..request(number) }
}

/// The message's bytes as its table has them.
pub(crate) fn encode(message: &Message) -> Vec<u8> {
    let m = message;
    let mut bytes = Vec::new();
    bytes.extend(m.magic.to_le_bytes());
    bytes.extend([m.version, m.kind]);
    bytes.extend(m.key_id.to_le_bytes());
    bytes.extend(m.flags.to_le_bytes());
    bytes.extend(m.cluster.to_le_bytes());
    bytes.extend(m.from.to_le_bytes());
    bytes.extend(m.to.to_le_bytes());
    for word in
        [m.prober_incarnation, m.sequence, m.t1_ns, m.responder_incarnation, m.t2_ns, m.owned, m.ready]
    {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(m.remaining_us.to_le_bytes());
    bytes.extend(m.priority.to_le_bytes());
    bytes.extend(m.hears.to_le_bytes());
    bytes.extend(m.digest.to_le_bytes());
    bytes.extend(m.health.to_le_bytes());
    bytes.extend(m.lease_centis.to_le_bytes());
    bytes.extend(m.mac.to_le_bytes());
    assert_eq!(bytes.len(), LENGTH);
    bytes
}

/// The inverse of [`encode`].
pub(crate) fn decode(bytes: &[u8]) -> Message {
    assert_eq!(bytes.len(), LENGTH);
    let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    Message {
        magic: u16_at(0),
        version: bytes[2],
        kind: bytes[3],
        key_id: u16_at(4),
        flags: u16_at(6),
        cluster: u32_at(8),
        from: u16_at(12),
        to: u16_at(14),
        prober_incarnation: u64_at(16),
        sequence: u64_at(24),
        t1_ns: u64_at(32),
        responder_incarnation: u64_at(40),
        t2_ns: u64_at(48),
        owned: u64_at(56),
        ready: u64_at(64),
        remaining_us: u32_at(72),
        priority: u16_at(76),
        hears: u16_at(78),
        digest: u32_at(80),
        health: u16_at(84),
        lease_centis: u16_at(86),
        mac: u64_at(MAC_AT),
    }
}

/// SipHash-2-4 of the standard library over the bytes in front of the MAC.
#[expect(deprecated, reason = "the only SipHash-2-4 at hand that is not the code under test")]
pub(crate) fn mac(bytes: &[u8], key: MacKey) -> u64 {
    let mut hasher = std::hash::SipHasher::new_with_keys(key[0], key[1]);
    hasher.write(&bytes[..MAC_AT]);
    hasher.finish()
}

/// The message's bytes with their MAC under `key`.
pub(crate) fn signed(message: &Message, key: MacKey) -> Vec<u8> {
    let bytes = encode(message);
    encode(&Message { mac: mac(&bytes, key), ..*message })
}

fn udp(payload: &[u8]) -> Vec<u8> {
    let length = (8 + payload.len()) as u16;
    [&PORT.to_be_bytes()[..], &PORT.to_be_bytes(), &length.to_be_bytes(), &[0, 0], payload].concat()
}

/// An IPv4 packet of the peer with these bytes as its UDP payload.
pub(crate) fn carried_v4(payload: &[u8]) -> Vec<u8> {
    ipv4(PEER_ADDRESS, OUR_ADDRESS, 17, &udp(payload))
}

pub(crate) fn carried_v6(payload: &[u8]) -> Vec<u8> {
    ipv6(PEER_GLOBAL, OUR_GLOBAL, 17, &udp(payload))
}

/// A message of the peer, signed as it should be.
pub(crate) fn probe_v4(message: &Message) -> Vec<u8> {
    carried_v4(&signed(message, FIRST.receive))
}

pub(crate) fn probe_v6(message: &Message) -> Vec<u8> {
    carried_v6(&signed(message, FIRST.receive))
}

/// The frame that answers `frame` with `answer`: ends swapped, checksum right.
pub(crate) fn turned(frame: &[u8], answer: &Message, tags: &[u16]) -> Vec<u8> {
    let mut bare = frame.to_vec();
    bare.drain(12..12 + 4 * tags.len());
    let is_v6 = bare[12] == 0x86;
    let (addresses, length, message) = if is_v6 { (22, 16, MESSAGE_V6) } else { (26, 4, MESSAGE_V4) };
    for (at, length) in [(0, 6), (addresses, length), (message - 8, 2)] {
        bare[at..at + 2 * length].rotate_left(length);
    }
    bare[message..].copy_from_slice(&signed(answer, FIRST.send));
    bare[message - 2..message].fill(0);
    let sum = udp_sum(&bare, addresses, length, message - 8);
    let checksum = match !fold(sum) {
        0 => u16::MAX,
        sum => sum,
    };
    bare[message - 2..message].copy_from_slice(&checksum.to_ne_bytes());
    tagged(bare, tags)
}

fn udp_sum(frame: &[u8], addresses: usize, length: usize, udp: usize) -> u64 {
    let ends = sum_words::<8, _>(frame, addresses, 2 * length / 4).expect("addresses");
    let packet = sum_words::<26, _>(frame, udp, 26).expect("packet");
    ends + packet + term(17) + term(104)
}

/// The message in an answer to an untagged frame.
pub(crate) fn answer_v4(frame: &[u8]) -> Message {
    decode(&frame[MESSAGE_V4..])
}

pub(crate) fn answer_v6(frame: &[u8]) -> Message {
    decode(&frame[MESSAGE_V6..])
}
