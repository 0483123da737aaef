//! The keyed probe: 96 bytes over UDP, request and reply of one size, little-endian, authenticated by SipHash-2-4.
//!
//! A message is read and written whole, as words in host order; every supported target is little-endian.

use super::siphash::SipHash;
use crate::maps::peers::MacKey;

/// First two bytes.
pub const MAGIC: u16 = 0x4648;
pub const VERSION: u8 = 1;
/// Bytes of a message.
pub const LENGTH: usize = 96;
/// Words of a message that its MAC covers: all but the MAC itself.
pub const SIGNED_WORDS: usize = LENGTH / size_of::<u64>() - 1;
/// TTL or hop limit of every message, so that none comes from beyond the segment.
pub const TTL: u8 = 255;
/// Low bits of a sequence number that name the sender's path.
pub const PATH_BITS: u32 = 4;
/// Mask of those bits.
pub const PATH_MASK: u64 = (1 << PATH_BITS) - 1;

/// Values of [`Message::kind`].
pub mod kind {
    /// Answered in XDP.
    pub const REQUEST: u8 = 1;
    pub const REPLY: u8 = 2;
    /// "Say it again with my incarnation": carries it, teaches nothing else.
    pub const CHALLENGE: u8 = 3;
    /// Tells the sender's link-local address on this segment (`t1_ns` and `responder_incarnation` hold its 16 bytes). Never answered.
    pub const ADDRESS: u8 = 4;
}

/// Bits of [`Message::flags`].
pub mod flag {
    /// The operator keeps this node out of elections.
    pub const MAINTENANCE: u16 = 1;
    /// The controller's lease has ended: nothing is owned.
    pub const STALE: u16 = 1 << 1;
    /// A graceful stop is under way.
    pub const DRAINING: u16 = 1 << 2;
    /// The node is in bypass.
    pub const BYPASS: u16 = 1 << 3;
}

/// Bits of [`Message::health`].
pub mod health {
    /// Enough link pairs are active.
    pub const LINKS: u16 = 1;
    /// No check with the weight of a requirement fails.
    pub const CHECKS: u16 = 1 << 1;
    /// Flaps have latched this node.
    pub const LATCHED: u16 = 1 << 2;
}

/// A message. Prober means the node that sent the request, in replies too.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct Message {
    pub magic: u16,
    pub version: u8,
    /// One of [`kind`].
    pub kind: u8,
    /// Which secret's key it is signed with.
    pub key_id: u16,
    /// Bits of [`flag`].
    pub flags: u16,
    pub cluster: u32,
    pub from: u16,
    pub to: u16,
    /// Start counter (high half) and random number of the prober's run.
    pub prober_incarnation: u64,
    /// Rising per incarnation and path; the low [`PATH_BITS`] name the prober's path.
    pub sequence: u64,
    /// Prober's boot clock when it sent the request.
    pub t1_ns: u64,
    /// Request: last known, 0 if none. Reply and challenge: the responder's own.
    pub responder_incarnation: u64,
    /// Responder's boot clock; 0 in a request.
    pub t2_ns: u64,
    /// Units the sender owns.
    pub owned: u64,
    /// Units the sender could own.
    pub ready: u64,
    /// What is left of the sender's lease, microseconds rounded up; 0: none.
    pub remaining_us: u32,
    /// Greatest effective priority of the sender's virtual routers.
    pub priority: u16,
    /// Paths on which the sender hears the other, by its own numbering.
    pub hears: u16,
    /// Digest of units and advertisement intervals.
    pub digest: u32,
    /// Bits of [`health`].
    pub health: u16,
    /// Length of the sender's lease in units of 10 ms.
    pub lease_centis: u16,
    pub mac: u64,
}

const _: () = assert!(size_of::<Message>() == LENGTH);
const _: () = assert!(cfg!(target_endian = "little"));

#[inline(always)]
const fn half(low: u16, high: u16) -> u32 {
    (low as u32) | (high as u32) << 16
}

#[inline(always)]
const fn word(low: u32, high: u32) -> u64 {
    (low as u64) | (high as u64) << 32
}

impl Message {
    /// The words in front of the MAC, as they lie on the wire.
    #[inline(always)]
    pub const fn words(&self) -> [u64; SIGNED_WORDS] {
        [
            self.first_word(),
            word(self.cluster, half(self.from, self.to)),
            self.prober_incarnation,
            self.sequence,
            self.t1_ns,
            self.responder_incarnation,
            self.t2_ns,
            self.owned,
            self.ready,
            word(self.remaining_us, half(self.priority, self.hears)),
            word(self.digest, half(self.health, self.lease_centis)),
        ]
    }

    #[inline(always)]
    const fn first_word(&self) -> u64 {
        let kind = (self.version as u16) | (self.kind as u16) << 8;
        word(half(self.magic, kind), half(self.key_id, self.flags))
    }

    /// The MAC over all that stands before it.
    #[inline(always)]
    pub fn compute_mac(&self, key: MacKey) -> u64 {
        let mut hash = SipHash::new(key);
        for word in self.words() {
            hash = hash.word(word);
        }
        hash.finish(0, 0)
    }

    /// The message with its MAC under `key`.
    #[inline(always)]
    pub fn signed(self, key: MacKey) -> Self {
        Self { mac: self.compute_mac(key), ..self }
    }

    /// Index of the sender's path in a request, of ours in a reply.
    #[inline(always)]
    pub const fn path_index(&self) -> u32 {
        (self.sequence & PATH_MASK) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_under_the_mac() {
        let message = Message { magic: MAGIC, version: VERSION, ..Message::default() };
        let key = [1, 2];
        let mac = message.compute_mac(key);
        // SAFETY: `Message` is 96 bytes of integers without padding.
        let bytes: [u8; LENGTH] = unsafe { core::mem::transmute(message) };
        for bit in 0..(LENGTH - 8) * 8 {
            let mut changed = bytes;
            changed[bit / 8] ^= 1 << (bit % 8);
            // SAFETY: any bit pattern is a message.
            let changed: Message = unsafe { core::mem::transmute(changed) };
            assert_ne!(changed.compute_mac(key), mac, "bit {bit}");
        }
        assert_ne!(message.compute_mac([1, 3]), mac);
    }
}
