//! Answers to probes: what this node says of itself, and the frame turned around in place.
//!
//! Every answer depends on the controller's lease: past it, a program that outlives its controller says so itself.

use crate::{
    cursor::Part,
    maps::{LEASE, NODE_STATE},
    peers::Peer,
    probe::{Packet, UDP_LENGTH},
};
use core::mem::offset_of;
use ha_common::{
    maps::peers::{MacKey, NodePolicy},
    wire::{
        Buffer,
        checksum::{fold, term},
        ethernet::ADDRESSES_LENGTH,
        ipv6,
        probe::{Message, flag, kind},
        siphash::SipHash,
        udp,
    },
};

const MICROSECOND_NS: u64 = 1_000;
/// Bytes of a word of the checksum, and words of an address.
const WORD: usize = 4;
const WORDS_V4: usize = 1;
const WORDS_V6: usize = 4;
/// Offset of the checksum in the UDP header.
const CHECKSUM: usize = 6;
/// A checksum of 0 means that there is none (RFC 768), so the sum 0 is sent as its other form.
const NO_CHECKSUM: u16 = 0;

/// What an answer is to the prober.
#[derive(Clone, Copy)]
pub enum Kind {
    Reply,
    /// "Say it again with my incarnation."
    Challenge,
}

/// What the lease leaves of this node's claims.
struct Standing {
    owned: u64,
    ready: u64,
    remaining_us: u32,
    priority: u16,
    flags: u16,
}

/// The answer to `request`, without its MAC.
#[inline(always)]
pub fn to(request: &Message, kind: Kind, node: &NodePolicy, peer: &Peer, now_ns: u64) -> Message {
    let standing = standing(node, now_ns);
    Message {
        magic: request.magic,
        version: request.version,
        kind: match kind {
            Kind::Reply => kind::REPLY,
            Kind::Challenge => kind::CHALLENGE,
        },
        key_id: request.key_id,
        flags: standing.flags,
        cluster: request.cluster,
        from: request.to,
        to: request.from,
        prober_incarnation: request.prober_incarnation,
        sequence: request.sequence,
        t1_ns: request.t1_ns,
        responder_incarnation: node.incarnation,
        t2_ns: now_ns,
        owned: standing.owned,
        ready: standing.ready,
        remaining_us: standing.remaining_us,
        priority: standing.priority,
        hears: peer.policy.hears,
        digest: node.digest,
        health: node.health,
        lease_centis: node.lease_centis,
        mac: 0,
    }
}

#[inline(always)]
fn standing(node: &NodePolicy, now_ns: u64) -> Standing {
    let until_ns = LEASE.get(0).map_or(0, |lease| lease.until_ns);
    let left_ns = until_ns.saturating_sub(now_ns);
    if left_ns == 0 {
        let flags = node.flags | flag::STALE;
        return Standing { owned: 0, ready: 0, remaining_us: 0, priority: 0, flags };
    }
    let revoked =
        NODE_STATE.get(0).map_or(0, |state| if state.grant == node.grant { state.revoked } else { 0 });
    Standing {
        owned: node.owned & !revoked,
        ready: node.ready,
        remaining_us: left_ns.div_ceil(MICROSECOND_NS).min(u64::from(u32::MAX)) as u32,
        priority: node.priority,
        flags: node.flags,
    }
}

/// Swaps the ends of the packet, puts `answer` in the place of the message and signs it. The IP header's checksum holds as it
/// is; the UDP checksum is computed in full. `None` is for the compiler: every offset lies inside the packet.
#[inline(always)]
pub fn write<const LENGTH: usize>(packet: &Packet<LENGTH>, answer: &Message, key: MacKey) -> Option<()> {
    let udp = LENGTH - UDP_LENGTH;
    swap_macs(packet.macs)?;
    // The addresses end where the UDP header begins, in both families.
    let addresses = if udp == ipv6::HEADER_LENGTH {
        swap_addresses::<_, WORDS_V6>(packet.ip, udp)?
    } else {
        swap_addresses::<_, WORDS_V4>(packet.ip, udp)?
    };
    swap::<_, u16>(packet.ip, udp, udp + size_of::<u16>())?;
    let ports = packet.ip.ne32(udp)?;
    let message = udp + udp::HEADER_LENGTH;
    // The UDP length counts twice: in the pseudo-header and in the header.
    let mut sum = addresses + term(u16::from(udp::PROTOCOL)) + 2 * term(UDP_LENGTH as u16) + u64::from(ports);
    let mut hash = SipHash::new(key);
    // Stored, signed and summed word by word: a word that is read back behind narrower stores has to wait for them.
    for (position, &word) in answer.words().iter().enumerate() {
        set(packet.ip, message + position * size_of::<u64>(), word)?;
        hash = hash.word(word);
        sum += halves(word);
    }
    let mac = hash.finish(0, 0);
    set(packet.ip, message + offset_of!(Message, mac), mac)?;
    let checksum = !fold(sum + halves(mac));
    set(packet.ip, udp + CHECKSUM, if checksum == NO_CHECKSUM { !NO_CHECKSUM } else { checksum })
}

/// The sum of a word's two 32-bit words.
#[inline(always)]
const fn halves(word: u64) -> u64 {
    (word & 0xffff_ffff) + (word >> 32)
}

#[inline(always)]
fn set<const LENGTH: usize, T>(part: Part<LENGTH>, at: usize, value: T) -> Option<()> {
    // SAFETY: inside the packet, as `Part` says; stores may be unaligned, as loads in `cursor`.
    part.pointer::<T>(at).map(|place| unsafe { *place = value })
}

/// Swaps two values and returns them.
#[inline(always)]
fn swap<const LENGTH: usize, T: Copy>(part: Part<LENGTH>, one: usize, other: usize) -> Option<(T, T)> {
    let (one, other) = (part.pointer::<T>(one)?, part.pointer::<T>(other)?);
    // SAFETY: inside the packet, as `Part` says; unaligned as in `cursor`.
    unsafe {
        let values = (*one, *other);
        (*one, *other) = (values.1, values.0);
        Some(values)
    }
}

/// In words, because a copy of six bytes becomes arithmetic on packet pointers that the verifier refuses.
#[inline(always)]
fn swap_macs(macs: Part<ADDRESSES_LENGTH>) -> Option<()> {
    swap::<_, u32>(macs, 0, 6)?;
    swap::<_, u16>(macs, 4, 10)?;
    Some(())
}

/// Swaps two addresses of `WORDS` words each that end at `end`, and returns their sum.
#[inline(always)]
fn swap_addresses<const LENGTH: usize, const WORDS: usize>(ip: Part<LENGTH>, end: usize) -> Option<u64> {
    let mut sum = 0;
    for word in 0..WORDS {
        let destination = end - (WORDS - word) * WORD;
        let (one, other) = swap::<_, u32>(ip, destination - WORDS * WORD, destination)?;
        sum += u64::from(one) + u64::from(other);
    }
    Some(sum)
}
