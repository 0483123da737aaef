//! Values and keys of the peer maps: who may probe us on which path, with which keys, and what they said.
//!
//! One writer each, as everywhere: the controller writes [`NodePolicy`], [`PeerPolicy`] and [`PathPolicy`], the data plane writes
//! [`NodeState`], [`PeerState`] and [`PathState`]. All instants are boot-clock nanoseconds of this host unless said otherwise.

use super::values::Head;

/// Most peers one node knows.
pub const MAX_PEERS: u32 = 32;
/// Most probe paths to one peer: one bit each in [`PeerState::hears`].
pub const MAX_PATHS_PER_PEER: u32 = 16;
/// Most probe paths of all peers together.
pub const MAX_PATHS: u32 = MAX_PEERS * MAX_PATHS_PER_PEER;
/// Most sync units (groups, and virtual routers without one): one bit each in the probe.
pub const MAX_UNITS: u32 = 64;
/// [`RouterPolicy::unit`](super::values::RouterPolicy::unit) of a router that no probe speaks of.
pub const NO_UNIT: u8 = u8::MAX;
/// Secrets valid at a time: the one that proves, and the other one while rotating.
pub const KEY_SLOTS: usize = 2;

/// A path as a received probe shows it. Addresses are in network byte order, IPv4 mapped.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct PathKey {
    /// Interface the XDP program is attached to.
    pub ifindex: u32,
    /// As in `RouterKey::vlan`.
    pub vlan: u32,
    pub local: [u8; 16],
    pub remote: [u8; 16],
}

/// A SipHash-2-4 key: the two words `k0`, `k1` of its 16 bytes, little-endian.
pub type MacKey = [u64; 2];

/// What this node says of itself in probes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NodePolicy {
    pub head: Head,
    /// 32-bit name of the cluster. The start of the SHA-256 of its name.
    pub cluster: u32,
    /// Start counter (high half) and random number (low half) of this run.
    pub incarnation: u64,
    /// Units of which this node holds a grant, one bit each. Valid while the lease is.
    pub owned: u64,
    /// Units this node could own now.
    pub ready: u64,
    /// Rises with each grant: revocations noted under an earlier number are over.
    pub grant: u64,
    /// Digest of what all nodes must have in common: units and their advertisement intervals.
    pub digest: u32,
    /// One of the bits of `probe::health`.
    pub health: u16,
    /// `ha.controller_lease` in units of 10 ms.
    pub lease_centis: u16,
    /// This node's number; 0 while no peers are configured.
    pub node: u16,
    /// UDP port of probes, host byte order; 0: none is answered.
    pub port: u16,
    /// Greatest effective priority of this node's virtual routers.
    pub priority: u16,
    /// Bits of `probe::flag` for what this node sends.
    pub flags: u16,
}

/// What the data plane did to this node's standing.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NodeState {
    pub head: Head,
    pub reserved: u32,
    /// Units whose ownership a winner's advert ended, under the grant number below.
    pub revoked: u64,
    /// [`NodePolicy::grant`] in force then.
    pub grant: u64,
}

/// Bits of [`PeerPolicy::flags`].
pub mod peer_flag {
    /// Its adverts count without corroboration: it has not yet authenticated itself, or its authentication is failing.
    pub const PLAIN: u16 = 1;
}

/// What the controller says about a peer. It cannot be printed: it holds keys.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct PeerPolicy {
    pub head: Head,
    /// Its number; 0 is an empty slot.
    pub node: u16,
    /// Bits of [`peer_flag`].
    pub flags: u16,
    /// Keys of what it sends to us.
    pub receive: [MacKey; KEY_SLOTS],
    /// Keys of what we send to it.
    pub send: [MacKey; KEY_SLOTS],
    /// Names of the keys on the wire; equal indices in all three arrays.
    pub key_ids: [u16; KEY_SLOTS],
    /// Paths on which we hear it, one bit each, for our replies.
    pub hears: u16,
    pub reserved: u16,
    /// How old its last authenticated message may be and still speak for it: interval times failure threshold.
    pub fresh_ns: u64,
    /// `peer_check.interval`: a report of an uncorroborated advert is made at most once in this time.
    pub interval_ns: u64,
    /// Shortest time between two replies to repeated requests.
    pub repeat_ns: u64,
}

/// What the data plane heard from a peer, over all its paths. Only authenticated, fresh messages get here.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PeerState {
    pub head: Head,
    pub reserved: u32,
    /// Its incarnation; 0 while unknown.
    pub incarnation: u64,
    /// When the last such message arrived.
    pub heard_at_ns: u64,
    /// Its own clock in that message (T1 of a request, T2 of a reply): an older one does not undo a newer one.
    pub their_clock_ns: u64,
    /// Units it owns, as of then.
    pub owned: u64,
    /// Units it could own.
    pub ready: u64,
    /// End of its lease by our clock.
    pub lease_until_ns: u64,
    pub digest: u32,
    pub health: u16,
    /// Its lease in units of 10 ms.
    pub lease_centis: u16,
    pub priority: u16,
    /// Paths on which it hears us, one bit each, by its own numbering.
    pub hears: u16,
    /// Bits of `probe::flag`.
    pub flags: u16,
    pub reserved_2: u16,
    /// Messages under its number and addresses whose MAC was wrong or whose key is not in use.
    pub bad_macs: u64,
    pub bad_mac_at_ns: u64,
    /// Challenges sent to it.
    pub challenges: u64,
}

/// What the controller says about a path.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PathPolicy {
    pub head: Head,
    /// Slot of its peer.
    pub peer: u32,
    /// Our number of the path, below [`MAX_PATHS_PER_PEER`]: the low bits of our sequence numbers on it.
    pub index: u32,
    pub reserved: u32,
    /// Oldest reply that counts, by the time its request was sent.
    pub reply_deadline_ns: u64,
}

/// What the data plane saw on a path.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PathState {
    pub head: Head,
    /// The peer's number of this path plus one; 0 while unknown.
    pub their_index: u32,
    /// Its incarnation when `request_sequence` was heard.
    pub request_incarnation: u64,
    /// Highest sequence of its requests.
    pub request_sequence: u64,
    pub request_at_ns: u64,
    /// Highest sequence of ours that it answered.
    pub reply_sequence: u64,
    pub reply_at_ns: u64,
    /// Round trip of that reply.
    pub rtt_ns: u64,
    pub requests: u64,
    pub replies: u64,
    /// Last answer to a repeated request.
    pub repeated_at_ns: u64,
    /// Its link-local address on this path's segment, as it said; zero while unknown.
    pub link_local: [u8; 16],
}

impl Default for PeerState {
    fn default() -> Self {
        // SAFETY: every field is an integer or an array of integers, for which zero is a value.
        unsafe { core::mem::zeroed() }
    }
}

impl Default for PathState {
    fn default() -> Self {
        // SAFETY: as above.
        unsafe { core::mem::zeroed() }
    }
}

#[cfg(feature = "user")]
mod pod {
    use super::*;

    macro_rules! pod {
        ($($type:ty),* $(,)?) => {$(
            // SAFETY: `repr(C)`, integers only, no padding (asserted in `layout`), any bit pattern is valid.
            unsafe impl aya::Pod for $type {}
        )*};
    }

    pod!(PathKey, NodePolicy, NodeState, PeerPolicy, PeerState, PathPolicy, PathState);
}
