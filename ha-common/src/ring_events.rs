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
