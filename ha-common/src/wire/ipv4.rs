//! IPv4 header, with options (RFC 791).

use super::{Buffer, checksum};

/// Bytes of a header without options.
pub const MIN_HEADER_LENGTH: usize = 20;
/// 32-bit words of the longest header.
const MAX_HEADER_WORDS: usize = 15;

const TOTAL_LENGTH: usize = 2;
const FRAGMENT: usize = 6;
const TTL: usize = 8;
const PROTOCOL: usize = 9;
const SOURCE: usize = 12;
const DESTINATION: usize = 16;

/// `more fragments` flag and fragment offset.
const FRAGMENT_MASK: u16 = 0x3fff;
const FRAGMENT_OFFSET_MASK: u16 = 0x1fff;
const WORDS_MASK: u8 = 0x0f;
const VERSION_4: u8 = 0x40;

/// Header length in bytes (at most 60), if the first byte is that of a possible header.
#[inline(always)]
pub fn header_length<B: Buffer>(buffer: B, at: usize) -> Option<usize> {
    let first = buffer.u8(at)?;
    let length = usize::from(first & WORDS_MASK) * 4;
    (first & !WORDS_MASK == VERSION_4 && length >= MIN_HEADER_LENGTH).then_some(length)
}

/// Bytes of header and payload together, as the header says.
#[inline(always)]
pub fn total_length<B: Buffer>(buffer: B, at: usize) -> Option<usize> {
    buffer.be16(at + TOTAL_LENGTH).map(usize::from)
}

/// Whether the packet is any fragment, the first included.
#[inline(always)]
pub fn is_fragment<B: Buffer>(buffer: B, at: usize) -> Option<bool> {
    Some(buffer.be16(at + FRAGMENT)? & FRAGMENT_MASK != 0)
}

/// Whether the packet is a fragment that does not begin with the payload's first byte.
#[inline(always)]
pub fn is_later_fragment<B: Buffer>(buffer: B, at: usize) -> Option<bool> {
    Some(buffer.be16(at + FRAGMENT)? & FRAGMENT_OFFSET_MASK != 0)
}

#[inline(always)]
pub fn ttl<B: Buffer>(buffer: B, at: usize) -> Option<u8> {
    buffer.u8(at + TTL)
}

#[inline(always)]
pub fn protocol<B: Buffer>(buffer: B, at: usize) -> Option<u8> {
    buffer.u8(at + PROTOCOL)
}

/// Source address, as a big-endian number.
#[inline(always)]
pub fn source<B: Buffer>(buffer: B, at: usize) -> Option<u32> {
    buffer.be32(at + SOURCE)
}

/// Destination address, as a big-endian number.
#[inline(always)]
pub fn destination<B: Buffer>(buffer: B, at: usize) -> Option<u32> {
    buffer.be32(at + DESTINATION)
}

/// Whether the header checksum holds; `length` is [`header_length`].
#[inline(always)]
pub fn is_intact<B: Buffer>(buffer: B, at: usize, length: usize) -> Option<bool> {
    buffer.sum_words::<MAX_HEADER_WORDS>(at, length / 4).map(checksum::is_intact)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Header with one option word, do-not-fragment set.
    const HEADER: [u8; 24] =
        [0x46, 0xc0, 0, 36, 0, 1, 0x40, 0, 255, 112, 0, 0, 192, 0, 2, 11, 224, 0, 0, 18, 0x94, 4, 0, 0];

    #[test]
    fn fields_are_where_the_rfc_puts_them() {
        let header = HEADER.as_slice();
        assert_eq!(header_length(header, 0), Some(24));
        assert_eq!(total_length(header, 0), Some(36));
        assert_eq!((ttl(header, 0), protocol(header, 0)), (Some(255), Some(112)));
        assert_eq!(source(header, 0), Some(0xc000_020b));
        assert_eq!(destination(header, 0), Some(0xe000_0012));
        assert_eq!(is_fragment(header, 0), Some(false));
    }

    #[test]
    fn first_and_later_fragments_differ() {
        let mut header = HEADER;
        header[6] = 0x20;
        assert_eq!(is_fragment(header.as_slice(), 0), Some(true));
        assert_eq!(is_later_fragment(header.as_slice(), 0), Some(false));
        header[7] = 3;
        assert_eq!(is_later_fragment(header.as_slice(), 0), Some(true));
    }

    #[test]
    fn short_or_foreign_headers_have_no_length() {
        let mut header = HEADER;
        header[0] = 0x44;
        assert_eq!(header_length(header.as_slice(), 0), None);
        header[0] = 0x66;
        assert_eq!(header_length(header.as_slice(), 0), None);
    }
}
