//! Records of the event ring: what the data plane tells the controller.

/// Bits of [`AdvertEvent::flags`].
pub mod event_flag {
    /// XDP answered the advert with ours; nothing needs to be sent.
    pub const ANSWERED: u16 = 1;
    /// XDP revoked the grant `epoch` because of this advert.
    pub const REVOKED: u16 = 1 << 1;
    /// The advert lists other addresses than ours (V-068).
    pub const ADDRESSES_DIFFER: u16 = 1 << 2;
    /// The advert announces another interval than ours (V-067).
    pub const INTERVAL_DIFFERS: u16 = 1 << 3;
    /// Bytes followed the last address inside the IP length (V-044).
    pub const TRAILING_BYTES: u16 = 1 << 4;
    /// The first IPv6 address is not link-local (V-040).
    pub const FIRST_NOT_LINK_LOCAL: u16 = 1 << 5;
    /// Nothing authenticated bears the advert out; it changed nothing in the data plane.
    pub const UNCORROBORATED: u16 = 1 << 6;
}

/// Values of [`PeerEvent::kind`].
pub mod peer_event {
    /// What the peer owns or could own changed, or it was heard again after a silence, or under a new incarnation.
    pub const REPORT: u32 = 1;
    /// A message in its name had a wrong MAC; told at most once per check interval.
    pub const BAD_MAC: u32 = 2;
    /// It told its link-local address on this path, and it is another than before.
    pub const LINK_LOCAL: u32 = 3;
}

/// Something about a peer that the controller should look at now; the facts stand in the peer's and the path's state.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct PeerEvent {
    /// Boot clock, nanoseconds, read in XDP.
    pub at_ns: u64,
    /// Units owned before and after, where that changed.
    pub owned_before: u64,
    pub owned: u64,
    pub head: crate::maps::values::Head,
    /// Peer slot.
    pub peer: u16,
    /// Path slot.
    pub path: u16,
    /// One of [`peer_event`].
    pub kind: u32,
    pub reserved: u32,
}

/// A valid advert that changed something.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct AdvertEvent {
    /// Boot clock, nanoseconds, read in XDP.
    pub at_ns: u64,
    /// Grant in force when the advert was judged; 0 where the router was not owned.
    pub epoch: u64,
    /// Network byte order, IPv4 mapped.
    pub source: [u8; 16],
    /// Router slot.
    pub router: u32,
    /// Attach interface.
    pub ifindex: u32,
    /// VRRPv3: centiseconds; VRRPv2: seconds.
    pub interval: u16,
    pub flags: u16,
    pub priority: u8,
    /// VRRP version, 2 or 3.
    pub version: u8,
    /// One of `maps::values::checksum_form`.
    pub checksum: u8,
    pub address_count: u8,
    pub head: crate::maps::values::Head,
    pub reserved: u32,
}

#[cfg(feature = "user")]
// SAFETY: `repr(C)`, integers only, no padding (asserted in `maps::layout`), any bit pattern is valid.
unsafe impl aya::Pod for AdvertEvent {}
#[cfg(feature = "user")]
// SAFETY: as above.
unsafe impl aya::Pod for PeerEvent {}
