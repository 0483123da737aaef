//! IPv6 fixed header (RFC 8200). Extension headers are recognised, not walked.

use super::Buffer;

/// Bytes of the fixed header.
pub const HEADER_LENGTH: usize = 40;

const PAYLOAD_LENGTH: usize = 4;
const NEXT_HEADER: usize = 6;
const HOP_LIMIT: usize = 7;
const SOURCE: usize = 8;
const DESTINATION: usize = 24;
/// Offset, inside an address, of the word that tells addresses of one prefix apart.
const LOW_WORD: usize = 12;
const VERSION_MASK: u8 = 0xf0;
const VERSION_6: u8 = 0x60;

/// Values of the next-header field.
pub mod next_header {
    pub const HOP_BY_HOP: u8 = 0;
    pub const ROUTING: u8 = 43;
    pub const FRAGMENT: u8 = 44;
    pub const ICMPV6: u8 = 58;
    pub const DESTINATION_OPTIONS: u8 = 60;
}

/// An address: its 32-bit words as they lie in memory.
pub type Words = [u32; 4];

#[inline(always)]
pub fn is_version_6<B: Buffer>(buffer: B, at: usize) -> Option<bool> {
    Some(buffer.u8(at)? & VERSION_MASK == VERSION_6)
}

/// Bytes behind the fixed header, as the header says.
#[inline(always)]
pub fn payload_length<B: Buffer>(buffer: B, at: usize) -> Option<usize> {
    buffer.be16(at + PAYLOAD_LENGTH).map(usize::from)
}

#[inline(always)]
pub fn next_header<B: Buffer>(buffer: B, at: usize) -> Option<u8> {
    buffer.u8(at + NEXT_HEADER)
}

/// Next header of the extension header right behind the fixed one; `None` if there is no such extension header.
#[inline(always)]
pub fn extended_next_header<B: Buffer>(buffer: B, at: usize, next: u8) -> Option<u8> {
    use next_header::{DESTINATION_OPTIONS, FRAGMENT, HOP_BY_HOP, ROUTING};
    match next {
        HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION_OPTIONS => buffer.u8(at + HEADER_LENGTH),
        _ => None,
    }
}

#[inline(always)]
pub fn hop_limit<B: Buffer>(buffer: B, at: usize) -> Option<u8> {
    buffer.u8(at + HOP_LIMIT)
}

/// The address at `offset`.
#[inline(always)]
pub fn address<B: Buffer>(buffer: B, offset: usize) -> Option<Words> {
    buffer.words(offset)
}

/// Last four bytes of the address at `offset`, big-endian.
#[inline(always)]
pub fn low_word<B: Buffer>(buffer: B, offset: usize) -> Option<u32> {
    buffer.be32(offset + LOW_WORD)
}

/// Offset of the source address.
#[inline(always)]
pub const fn source_at(at: usize) -> usize {
    at + SOURCE
}

/// Offset of the destination address.
#[inline(always)]
pub const fn destination_at(at: usize) -> usize {
    at + DESTINATION
}

/// fe80::/10.
#[inline(always)]
pub const fn is_link_local(address: &Words) -> bool {
    u32::from_be(address[0]) >> 22 == 0xfe80 >> 6
}

/// ff00::/8.
#[inline(always)]
pub const fn is_multicast(address: &Words) -> bool {
    u32::from_be(address[0]) >> 24 == 0xff
}

/// The words of an IPv4 address in its mapped form, `::ffff:a.b.c.d`; `v4` is the address as a big-endian number.
#[inline(always)]
pub const fn mapped(v4: u32) -> Words {
    [0, 0, 0xffff_u32.to_be(), v4.to_be()]
}

/// The sixteen bytes of an address, network byte order.
#[inline(always)]
pub const fn bytes(address: Words) -> [u8; 16] {
    // SAFETY: both types are sixteen plain bytes.
    unsafe { core::mem::transmute::<Words, [u8; 16]>(address) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_classes() {
        let words = |first: [u8; 4]| [u32::from_ne_bytes(first), 0, 0, 0];
        assert!(is_link_local(&words([0xfe, 0x80, 0, 0])));
        assert!(is_link_local(&words([0xfe, 0xbf, 0, 0])));
        assert!(!is_link_local(&words([0xfe, 0xc0, 0, 0])));
        assert!(is_multicast(&words([0xff, 2, 0, 0])));
        assert!(!is_multicast(&words([0x20, 1, 0x0d, 0xb8])));
    }

    #[test]
    fn mapped_words_are_the_mapped_bytes() {
        assert_eq!(bytes(mapped(0xc000_0201)), crate::maps::keys::mapped([192, 0, 2, 1]));
    }

    #[test]
    fn extension_headers_are_recognised() {
        let mut packet = [0u8; 48];
        packet[40] = 112;
        for next in [0, 43, 44, 60] {
            assert_eq!(extended_next_header(packet.as_slice(), 0, next), Some(112));
        }
        assert_eq!(extended_next_header(packet.as_slice(), 0, 58), None);
        assert_eq!(extended_next_header(&packet[..40], 0, 0), None);
    }
}
