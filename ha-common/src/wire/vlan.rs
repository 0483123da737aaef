//! VLAN tags (802.1Q, 802.1ad), up to two, and where the payload begins behind them.

use super::Buffer;
use super::ethernet::{ETHER_TYPE, HEADER_LENGTH, ether_type};

/// Bytes of one tag.
pub const TAG_LENGTH: usize = 4;
/// Most tags that are looked through.
pub const MAX_TAGS: usize = 2;

const VID_MASK: u16 = 0x0fff;

/// What lies between the addresses and the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkLayer {
    /// EtherType of the payload; that of a third tag where there are more than [`MAX_TAGS`].
    pub ether_type: u16,
    /// As in `RouterKey::vlan`; VID 0 (a priority tag) counts as no VLAN.
    pub vlan: u32,
    /// Offset of the payload.
    pub payload: usize,
    /// Tags in the frame, 0 to [`MAX_TAGS`].
    pub tags: usize,
}

impl LinkLayer {
    /// More than [`MAX_TAGS`] tags: nothing behind them was looked at.
    #[inline(always)]
    pub const fn too_deep(&self) -> bool {
        is_tag(self.ether_type)
    }

    /// Adds a tag that the device keeps outside the frame, in front of those inside it.
    #[inline(always)]
    pub const fn behind_outer_tag(mut self, tag_control: u16) -> Self {
        let outer = (tag_control & VID_MASK) as u32;
        self.vlan = if self.tags == 0 { outer } else { outer << 16 | self.vlan & 0xffff };
        self
    }
}

#[inline(always)]
const fn is_tag(ether_type: u16) -> bool {
    ether_type == ether_type::VLAN || ether_type == ether_type::QINQ
}

/// Walks from the Ethernet header to the payload.
#[inline(always)]
pub fn walk<B: Buffer>(frame: B) -> Option<LinkLayer> {
    let mut link =
        LinkLayer { ether_type: frame.be16(ETHER_TYPE)?, vlan: 0, payload: HEADER_LENGTH, tags: 0 };
    for _ in 0..MAX_TAGS {
        if !is_tag(link.ether_type) {
            break;
        }
        let vid = frame.be16(link.payload)? & VID_MASK;
        link.ether_type = frame.be16(link.payload + 2)?;
        link.vlan = link.vlan << 16 | vid as u32;
        link.payload += TAG_LENGTH;
        link.tags += 1;
    }
    Some(link)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    fn frame(tags: &[(u16, u16)]) -> Vec<u8> {
        let mut bytes = std::vec![0; 12];
        for (kind, control) in tags {
            bytes.extend(kind.to_be_bytes());
            bytes.extend(control.to_be_bytes());
        }
        bytes.extend(ether_type::IPV4.to_be_bytes());
        bytes
    }

    #[test]
    fn tags_are_looked_through_up_to_two() {
        let plain = walk(frame(&[]).as_slice()).expect("whole header");
        assert_eq!(plain, LinkLayer { ether_type: ether_type::IPV4, vlan: 0, payload: 14, tags: 0 });
        let one = walk(frame(&[(0x8100, 0xe00a)]).as_slice()).expect("whole header");
        assert_eq!((one.vlan, one.payload, one.tags), (10, 18, 1));
        let two = walk(frame(&[(0x88a8, 7), (0x8100, 9)]).as_slice()).expect("whole header");
        assert_eq!((two.vlan, two.payload, two.too_deep()), (7 << 16 | 9, 22, false));
        let three = walk(frame(&[(0x88a8, 7), (0x8100, 9), (0x8100, 1)]).as_slice()).expect("whole header");
        assert!(three.too_deep());
    }

    #[test]
    fn a_tag_cut_short_is_no_header() {
        let bytes = frame(&[(0x8100, 5)]);
        assert_eq!(walk(&bytes[..17]), None);
        assert_eq!(walk(&bytes[..13]), None);
    }

    #[test]
    fn an_offloaded_tag_is_the_outer_one() {
        let plain = walk(frame(&[]).as_slice()).expect("whole header");
        assert_eq!(plain.behind_outer_tag(0x2005).vlan, 5);
        let one = walk(frame(&[(0x8100, 9)]).as_slice()).expect("whole header");
        assert_eq!(one.behind_outer_tag(7).vlan, 7 << 16 | 9);
    }
}
