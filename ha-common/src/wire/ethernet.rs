//! Ethernet II header: addresses, EtherTypes, and the VRRP virtual MACs (RFC 9568 section 7.3).

use super::Buffer;

/// Bytes of an untagged header.
pub const HEADER_LENGTH: usize = 14;
/// Bytes of both addresses.
pub const ADDRESSES_LENGTH: usize = 12;

const SOURCE: usize = 6;
pub(super) const ETHER_TYPE: usize = 12;

/// EtherTypes the data plane looks at.
pub mod ether_type {
    pub const IPV4: u16 = 0x0800;
    pub const ARP: u16 = 0x0806;
    pub const VLAN: u16 = 0x8100;
    pub const IPV6: u16 = 0x86dd;
    pub const QINQ: u16 = 0x88a8;
}

/// 00:00:5e:00, the first four bytes of every virtual MAC.
const VIRTUAL_PREFIX: u32 = 0x0000_5e00;
/// Fifth byte of a virtual MAC of an IPv4 router.
const VIRTUAL_IPV4: u16 = 0x01;
/// Fifth byte of a virtual MAC of an IPv6 router.
const VIRTUAL_IPV6: u16 = 0x02;

/// A MAC address as its leading four and trailing two bytes, big-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mac {
    pub high: u32,
    pub low: u16,
}

impl Mac {
    /// From the bytes as they are sent.
    #[inline(always)]
    pub const fn new(bytes: [u8; 6]) -> Self {
        Mac {
            high: u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
            low: u16::from_be_bytes([bytes[4], bytes[5]]),
        }
    }

    /// Family (4 or 6) and VRID of a virtual MAC; `None` for any other address.
    #[inline(always)]
    pub const fn virtual_router(self) -> Option<(u8, u8)> {
        if self.high != VIRTUAL_PREFIX {
            return None;
        }
        match self.low >> 8 {
            VIRTUAL_IPV4 => Some((4, self.low as u8)),
            VIRTUAL_IPV6 => Some((6, self.low as u8)),
            _ => None,
        }
    }
}

#[inline(always)]
fn mac<B: Buffer>(buffer: B, offset: usize) -> Option<Mac> {
    Some(Mac { high: buffer.be32(offset)?, low: buffer.be16(offset + 4)? })
}

/// Destination address of the frame.
#[inline(always)]
pub fn destination<B: Buffer>(frame: B) -> Option<Mac> {
    mac(frame, 0)
}

/// Source address of the frame.
#[inline(always)]
pub fn source<B: Buffer>(frame: B) -> Option<Mac> {
    mac(frame, SOURCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn virtual_macs_name_their_router() {
        assert_eq!(Mac::new([0, 0, 0x5e, 0, 1, 51]).virtual_router(), Some((4, 51)));
        assert_eq!(Mac::new([0, 0, 0x5e, 0, 2, 255]).virtual_router(), Some((6, 255)));
        assert_eq!(Mac::new([0, 0, 0x5e, 0, 3, 1]).virtual_router(), None);
        assert_eq!(Mac::new([1, 0, 0x5e, 0, 0, 0x12]).virtual_router(), None);
    }

    #[test]
    fn addresses_are_read_in_place() {
        let frame: &[u8] = &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 8, 0];
        assert_eq!(destination(frame), Some(Mac::new([1, 2, 3, 4, 5, 6])));
        assert_eq!(source(frame), Some(Mac::new([7, 8, 9, 10, 11, 12])));
        assert_eq!(source(&frame[..11]), None);
    }
}
