//! Writes VRRP advertisements: VRRPv2 (RFC 3768 section 5) and VRRPv3 for both families (RFC 9568 section 5).
//!
//! Input is plain values, output a byte slice that holds the VRRP message only; IP and Ethernet are the caller's.
//! Reserved bits and VRRPv2 authentication data are always zero. It never allocates and never sends.

use core::net::{Ipv4Addr, Ipv6Addr};

/// IP protocol number and IPv6 next header of VRRP.
pub const PROTOCOL: u8 = 112;
/// Bytes before the first address, in both versions.
pub const HEADER_LENGTH: usize = 8;
/// Authentication data that ends a VRRPv2 message.
pub const V2_TRAILER_LENGTH: usize = 8;
/// Largest Max Advertise Interval, 12 bits of centiseconds (RFC 9568 section 5.2.7).
pub const MAX_INTERVAL_CENTIS: u16 = 4095;
/// Most addresses a message can count.
pub const MAX_ADDRESSES: usize = 255;

const TYPE_ADVERTISEMENT: u8 = 1;
const VERSION_2: u8 = 2;
const VERSION_3: u8 = 3;
const CHECKSUM_OFFSET: usize = 6;

/// Why a message could not be written. Nothing useful is in the buffer then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodeError {
    /// The buffer is shorter than the message, which has this many bytes.
    BufferTooSmall { needed: usize },
    /// None, or more than 255 (RFC 9568 section 5.2.5).
    AddressCount(usize),
    /// 0, or more than 4095 centiseconds (EID 8301), or 0 seconds in VRRPv2.
    Interval(u16),
    /// VRID 0 names no router (RFC 9568 section 5.2.3).
    Vrid,
}

impl core::fmt::Display for EncodeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::BufferTooSmall { needed } => write!(f, "the buffer is too small for {needed} bytes"),
            Self::AddressCount(count) => write!(f, "{count} addresses do not fit an advert (1 to 255)"),
            Self::Interval(interval) => write!(f, "interval {interval} cannot be carried"),
            Self::Vrid => f.write_str("VRID 0 is not a router (1 to 255)"),
        }
    }
}

impl core::error::Error for EncodeError {}

/// What VRRPv3 over IPv4 sums (conformance V-033, V-034).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ipv4Checksum {
    /// The message only (RFC 9568 section 5.2.8).
    MessageOnly,
    /// With the pseudo-header of the packet that carries it, as readers of RFC 5798 do.
    PseudoHeader { source: Ipv4Addr, destination: Ipv4Addr },
}

/// Bytes of a VRRPv2 message with this many addresses.
pub const fn v2_length(addresses: usize) -> usize {
    HEADER_LENGTH + 4 * addresses + V2_TRAILER_LENGTH
}

/// Bytes of a VRRPv3 message with this many IPv4 addresses.
pub const fn v3_ipv4_length(addresses: usize) -> usize {
    HEADER_LENGTH + 4 * addresses
}

/// Bytes of a VRRPv3 message with this many IPv6 addresses.
pub const fn v3_ipv6_length(addresses: usize) -> usize {
    HEADER_LENGTH + 16 * addresses
}

/// Writes a VRRPv2 advert with authentication type 0 and returns its length.
pub fn encode_v2(
    out: &mut [u8],
    vrid: u8,
    priority: u8,
    interval_seconds: u8,
    addresses: &[Ipv4Addr],
) -> Result<usize, EncodeError> {
    if interval_seconds == 0 {
        return Err(EncodeError::Interval(0));
    }
    let length = v2_length(addresses.len());
    let message = begin(out, length, VERSION_2, vrid, priority, addresses.len())?;
    // Byte 4 is authentication type 0, which `begin` left there.
    message[5] = interval_seconds;
    put_ipv4(&mut message[HEADER_LENGTH..], addresses);
    finish(message, 0);
    Ok(length)
}

/// Writes a VRRPv3 advert for IPv4 and returns its length.
pub fn encode_v3_ipv4(
    out: &mut [u8],
    vrid: u8,
    priority: u8,
    interval_centis: u16,
    addresses: &[Ipv4Addr],
    checksum: Ipv4Checksum,
) -> Result<usize, EncodeError> {
    let length = v3_ipv4_length(addresses.len());
    let message = begin(out, length, VERSION_3, vrid, priority, addresses.len())?;
    put_interval(message, interval_centis)?;
    put_ipv4(&mut message[HEADER_LENGTH..], addresses);
    let pseudo = match checksum {
        Ipv4Checksum::MessageOnly => 0,
        Ipv4Checksum::PseudoHeader { source, destination } => {
            pseudo_header(&source.octets(), &destination.octets(), length)
        }
    };
    finish(message, pseudo);
    Ok(length)
}

/// Writes a VRRPv3 advert for IPv6, summed with the pseudo-header of RFC 8200 section 8.1, and returns its length.
pub fn encode_v3_ipv6(
    out: &mut [u8],
    vrid: u8,
    priority: u8,
    interval_centis: u16,
    addresses: &[Ipv6Addr],
    source: Ipv6Addr,
    destination: Ipv6Addr,
) -> Result<usize, EncodeError> {
    let length = v3_ipv6_length(addresses.len());
    let message = begin(out, length, VERSION_3, vrid, priority, addresses.len())?;
    put_interval(message, interval_centis)?;
    for (slot, address) in message[HEADER_LENGTH..].chunks_exact_mut(16).zip(addresses) {
        slot.copy_from_slice(&address.octets());
    }
    finish(message, pseudo_header(&source.octets(), &destination.octets(), length));
    Ok(length)
}

/// Zeroes the message's place in `out` and writes what both versions share.
fn begin(
    out: &mut [u8],
    length: usize,
    version: u8,
    vrid: u8,
    priority: u8,
    addresses: usize,
) -> Result<&mut [u8], EncodeError> {
    if vrid == 0 {
        return Err(EncodeError::Vrid);
    }
    if addresses == 0 || addresses > MAX_ADDRESSES {
        return Err(EncodeError::AddressCount(addresses));
    }
    let message = out.get_mut(..length).ok_or(EncodeError::BufferTooSmall { needed: length })?;
    message.fill(0);
    message[0] = version << 4 | TYPE_ADVERTISEMENT;
    message[1] = vrid;
    message[2] = priority;
    message[3] = addresses as u8;
    Ok(message)
}

fn put_interval(message: &mut [u8], centis: u16) -> Result<(), EncodeError> {
    if centis == 0 || centis > MAX_INTERVAL_CENTIS {
        return Err(EncodeError::Interval(centis));
    }
    message[4..6].copy_from_slice(&centis.to_be_bytes());
    Ok(())
}

fn put_ipv4(out: &mut [u8], addresses: &[Ipv4Addr]) {
    for (slot, address) in out.chunks_exact_mut(4).zip(addresses) {
        slot.copy_from_slice(&address.octets());
    }
}

/// Sum of a pseudo-header. One form serves both families: zero bytes add nothing.
fn pseudo_header(source: &[u8], destination: &[u8], length: usize) -> u32 {
    // A message has at most 4,088 bytes, so its length is one word.
    sum(source) + sum(destination) + u32::from(PROTOCOL) + length as u32
}

fn finish(message: &mut [u8], pseudo: u32) {
    let mut total = pseudo + sum(message);
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    message[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].copy_from_slice(&(!(total as u16)).to_be_bytes());
}

/// Sum of big-endian words. Every part of a message has an even length, and 2,044 words cannot overflow 32 bits.
fn sum(bytes: &[u8]) -> u32 {
    bytes.chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const VRID: u8 = 51;
    const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    const VIP_2: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
    const PSEUDO: Ipv4Checksum = Ipv4Checksum::PseudoHeader {
        source: Ipv4Addr::new(192, 0, 2, 11),
        destination: Ipv4Addr::new(224, 0, 0, 18),
    };

    fn v3(priority: u8, centis: u16, addresses: &[Ipv4Addr], form: Ipv4Checksum) -> ([u8; 64], usize) {
        let mut out = [0xaa; 64];
        let length = encode_v3_ipv4(&mut out, VRID, priority, centis, addresses, form).unwrap();
        (out, length)
    }

    /// The sum over a correct message, checksum included, is all ones; computed byte by byte, not as the encoder does.
    fn verifies(parts: &[&[u8]]) -> bool {
        let mut total = 0u64;
        for part in parts {
            for (index, byte) in part.iter().enumerate() {
                total += u64::from(*byte) << if index % 2 == 0 { 8 } else { 0 };
            }
        }
        total != 0 && total.is_multiple_of(0xffff)
    }

    #[test]
    fn t1_vrrpv2() {
        let mut out = [0xaa; 32];
        let length = encode_v2(&mut out, VRID, 100, 1, &[VIP]).unwrap();
        let expected =
            [0x21, 0x33, 0x64, 0x01, 0x00, 0x01, 0xb8, 0xc8, 0xc0, 0x00, 0x02, 0x01, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(out[..length], expected);
        assert!(verifies(&[&expected]));
        assert_eq!(out[length..], [0xaa; 12], "nothing is written past the message");
    }

    #[test]
    fn t2_v3_ipv4_message_only() {
        let (out, length) = v3(100, 100, &[VIP], Ipv4Checksum::MessageOnly);
        let expected = [0x31, 0x33, 0x64, 0x01, 0x00, 0x64, 0xa8, 0x65, 0xc0, 0x00, 0x02, 0x01];
        assert_eq!(out[..length], expected);
        assert!(verifies(&[&expected]));
    }

    #[test]
    fn t3_v3_ipv4_pseudo_header() {
        let (out, length) = v3(100, 100, &[VIP], PSEUDO);
        let expected = [0x31, 0x33, 0x64, 0x01, 0x00, 0x64, 0x05, 0xcb, 0xc0, 0x00, 0x02, 0x01];
        assert_eq!(out[..length], expected);
        assert!(verifies(&[&[192, 0, 2, 11, 224, 0, 0, 18, 0, 112, 0, 12], &expected]));
    }

    #[test]
    fn t4_v3_ipv6() {
        let mut out = [0xaa; 64];
        let first: Ipv6Addr = "fe80::1".parse().unwrap();
        let second: Ipv6Addr = "2001:db8::1".parse().unwrap();
        let source: Ipv6Addr = "fe80::11".parse().unwrap();
        let group: Ipv6Addr = "ff02::12".parse().unwrap();
        let length = encode_v3_ipv6(&mut out, VRID, 100, 100, &[first, second], source, group).unwrap();
        assert_eq!(length, 40);
        assert_eq!(out[..8], [0x31, 0x33, 0x64, 0x02, 0x00, 0x64, 0x3f, 0xeb]);
        assert_eq!(out[8..24], first.octets());
        assert_eq!(out[24..40], second.octets());
        let tail = [0, 0, 0, 40, 0, 0, 0, 112];
        assert!(verifies(&[&source.octets(), &group.octets(), &tail, &out[..40]]));
    }

    #[test]
    fn t5_priority_zero_in_both_forms() {
        assert_eq!(v3(0, 100, &[VIP], Ipv4Checksum::MessageOnly).0[6..8], [0x0c, 0x66]);
        assert_eq!(v3(0, 100, &[VIP], PSEUDO).0[6..8], [0x69, 0xcb]);
    }

    #[test]
    fn t6_longest_interval_two_addresses_in_both_forms() {
        let (out, length) = v3(200, 4095, &[VIP, VIP_2], Ipv4Checksum::MessageOnly);
        let expected =
            [0x31, 0x33, 0xc8, 0x02, 0x0f, 0xff, 0x72, 0xc6, 0xc0, 0x00, 0x02, 0x01, 0xc0, 0x00, 0x02, 0x02];
        assert_eq!(out[..length], expected);
        assert_eq!(v3(200, 4095, &[VIP, VIP_2], PSEUDO).0[6..8], [0xd0, 0x27]);
    }

    #[test]
    fn t7_is_t2_with_reserved_bits_that_we_never_send() {
        let t7 = [0x31, 0x33, 0x64, 0x01, 0xf0, 0x64, 0xb8, 0x64, 0xc0, 0x00, 0x02, 0x01];
        assert!(verifies(&[&t7]));
        let (out, _) = v3(100, 100, &[VIP], Ipv4Checksum::MessageOnly);
        assert_eq!(out[4] & 0xf0, 0, "V-027");
        assert_eq!((out[4] | 0xf0, out[5]), (t7[4], t7[5]));
    }

    #[test]
    fn v030_interval_is_refused_never_wrapped() {
        let mut out = [0; 64];
        for centis in [0, 4096, u16::MAX] {
            let refused = encode_v3_ipv4(&mut out, VRID, 100, centis, &[VIP], Ipv4Checksum::MessageOnly);
            assert_eq!(refused, Err(EncodeError::Interval(centis)));
        }
        assert_eq!(encode_v2(&mut out, VRID, 100, 0, &[VIP]), Err(EncodeError::Interval(0)));
    }

    #[test]
    fn v025_counts_and_lengths() {
        let mut out = [0; 1100];
        for count in [1, 2, 20, 255] {
            let addresses = [VIP; 255];
            let form = Ipv4Checksum::MessageOnly;
            let length = encode_v3_ipv4(&mut out, VRID, 1, 1, &addresses[..count], form).unwrap();
            assert_eq!(length, 8 + 4 * count);
            assert_eq!(usize::from(out[3]), count);
            assert!(verifies(&[&out[..length]]));
        }
        let none = encode_v2(&mut out, VRID, 100, 1, &[]);
        assert_eq!(none, Err(EncodeError::AddressCount(0)));
        assert_eq!(encode_v2(&mut out, VRID, 100, 1, &[VIP; 256]), Err(EncodeError::AddressCount(256)));
    }

    #[test]
    fn short_buffer_and_vrid_zero_are_refused() {
        assert_eq!(
            encode_v2(&mut [0; 19], VRID, 100, 1, &[VIP]),
            Err(EncodeError::BufferTooSmall { needed: 20 })
        );
        assert_eq!(encode_v2(&mut [0; 20], 0, 100, 1, &[VIP]), Err(EncodeError::Vrid));
    }
}
