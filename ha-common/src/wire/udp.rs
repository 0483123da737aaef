//! UDP header (RFC 768).

use super::Buffer;

/// IP protocol and IPv6 next header.
pub const PROTOCOL: u8 = 17;
/// Bytes of the header.
pub const HEADER_LENGTH: usize = 8;

const DESTINATION_PORT: usize = 2;
const LENGTH: usize = 4;

#[inline(always)]
pub fn destination_port<B: Buffer>(buffer: B, at: usize) -> Option<u16> {
    buffer.be16(at + DESTINATION_PORT)
}

/// Bytes of header and payload together, as the header says.
#[inline(always)]
pub fn length<B: Buffer>(buffer: B, at: usize) -> Option<usize> {
    buffer.be16(at + LENGTH).map(usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_where_the_rfc_puts_them() {
        let header: &[u8] = &[0x12, 0x34, 0x21, 0xa4, 0, 104, 0, 0];
        assert_eq!(destination_port(header, 0), Some(8612));
        assert_eq!(length(header, 0), Some(104));
        assert_eq!(length(&header[..5], 0), None);
    }
}
