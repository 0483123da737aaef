//! Keys of the hash maps. All fields are in host byte order unless said otherwise; padding is explicit and zero.

/// Identifies a virtual router on the wire: VRIDs are per interface, VLAN and address family (RFC 9568 section 5.2.3).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouterKey {
    /// Interface the XDP program is attached to.
    pub ifindex: u32,
    /// `outer VID << 16 | inner VID`; one tag sits in the low half; 0 is untagged.
    pub vlan: u32,
    pub vrid: u8,
    /// 4 or 6.
    pub family: u8,
    pub reserved: [u8; 2],
}

/// A virtual address. IPv4 is written as `::ffff:a.b.c.d`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct VipKey {
    /// Attach interface for link-local addresses, 0 for all others.
    pub ifindex: u32,
    /// Network byte order.
    pub address: [u8; 16],
}

/// A sender whose adverts a restricted virtual router accepts (unicast peers, later trusted peers).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceKey {
    /// Router slot.
    pub router: u32,
    /// Network byte order, IPv4 mapped as in [`VipKey`].
    pub address: [u8; 16],
}

/// Writes an IPv4 address in its mapped form.
pub const fn mapped(v4: [u8; 4]) -> [u8; 16] {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, v4[0], v4[1], v4[2], v4[3]]
}

/// Number of 64-bit words in the `VIP_FILTER` map: one bit for each value of [`filter_bit`].
pub const VIP_FILTER_WORDS: u32 = 1024;

/// Bit of an address in the `VIP_FILTER` map, from the last four bytes of the address as a big-endian word.
pub const fn filter_bit(low_word: u32) -> u32 {
    (low_word ^ (low_word >> 16)) & 0xffff
}
