//! Answers to probes: what this node says of itself, and the frame turned around in place.
//!
//! Every answer depends on the controller's lease: past it, a program that outlives its controller says so itself.

use crate::{
    cursor::XdpFrame,
    maps::{LEASE, NODE_STATE},
    peers::Peer,
};
use ha_common::{
    maps::peers::NodePolicy,
    wire::{
        checksum::{fold, term},
        ethernet::ADDRESSES_LENGTH,
        ipv4, ipv6,
        probe::{LENGTH, Message, flag, kind},
        udp,
    },
};

const MICROSECOND_NS: u64 = 1_000;
const UDP_LENGTH: usize = udp::HEADER_LENGTH + LENGTH;
/// Offsets and length of the IP addresses in words, from the source address on.
const SOURCE_V4: usize = 12;
const WORD: usize = 4;
const WORDS_V4: usize = 1;
const WORDS_V6: usize = 4;
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

/// The answer to `request`, not yet signed.
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

/// Swaps the ends of the packet and puts `answer` in the place of the message. The IP header's checksum holds as it is; the
/// UDP checksum is computed in full. `None`: the frame is shorter than the checks before have said, and nothing is sent.
#[inline(always)]
pub fn write(frame: XdpFrame, at: usize, family: u8, answer: &Message) -> Option<()> {
    let macs = frame.region::<ADDRESSES_LENGTH>(0)?;
    let (header, addresses) = if family == 6 {
        let region = frame.region::<{ 2 * WORD * WORDS_V6 }>(ipv6::source_at(at))?;
        (ipv6::HEADER_LENGTH, region)
    } else {
        let region = frame.region::<{ 2 * WORD * WORDS_V4 }>(at + SOURCE_V4)?;
        (ipv4::MIN_HEADER_LENGTH, region)
    };
    let packet = frame.region::<UDP_LENGTH>(at + header)?;
    // SAFETY: the regions lie inside the packet and have the lengths that are written; stores may be unaligned.
    unsafe {
        swap_macs(macs);
        let pseudo_header = if family == 6 {
            swap_addresses::<WORDS_V6>(addresses.cast())
        } else {
            swap_addresses::<WORDS_V4>(addresses.cast())
        };
        write_udp(packet, answer, pseudo_header + term(u16::from(udp::PROTOCOL)) + term(UDP_LENGTH as u16));
    }
    Some(())
}

/// In words, because a copy of six bytes becomes arithmetic on packet pointers that the verifier refuses.
///
/// # Safety
/// `macs` points to twelve bytes.
#[inline(always)]
unsafe fn swap_macs(macs: *mut u8) {
    // SAFETY: the caller's promise.
    unsafe {
        let destination = (*macs.cast::<u32>(), *macs.add(4).cast::<u16>());
        let source = (*macs.add(6).cast::<u32>(), *macs.add(10).cast::<u16>());
        *macs.cast::<u32>() = source.0;
        *macs.add(4).cast::<u16>() = source.1;
        *macs.add(6).cast::<u32>() = destination.0;
        *macs.add(10).cast::<u16>() = destination.1;
    }
}

/// Swaps two addresses of `WORDS` words each and returns their sum.
///
/// # Safety
/// `words` points to both addresses.
#[inline(always)]
unsafe fn swap_addresses<const WORDS: usize>(words: *mut u32) -> u64 {
    let mut sum = 0;
    for word in 0..WORDS {
        // SAFETY: the caller's promise.
        unsafe {
            let (source, destination) = (*words.add(word), *words.add(WORDS + word));
            *words.add(word) = destination;
            *words.add(WORDS + word) = source;
            sum += u64::from(source) + u64::from(destination);
        }
    }
    sum
}

/// # Safety
/// `packet` points to a UDP header and a message.
#[inline(always)]
unsafe fn write_udp(packet: *mut u8, answer: &Message, pseudo_header: u64) {
    // SAFETY: the caller's promise.
    unsafe {
        let ports = packet.cast::<u16>();
        let (source, destination) = (*ports, *ports.add(1));
        *ports = destination;
        *ports.add(1) = source;
        let message = packet.add(udp::HEADER_LENGTH);
        *message.cast::<Message>() = *answer;
        let mut sum = pseudo_header + u64::from(source) + u64::from(destination) + term(UDP_LENGTH as u16);
        for word in 0..LENGTH / WORD {
            sum += u64::from(*message.cast::<u32>().add(word));
        }
        let checksum = !fold(sum);
        *ports.add(3) = if checksum == NO_CHECKSUM { !NO_CHECKSUM } else { checksum };
    }
}
