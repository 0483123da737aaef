//! ARP for IPv4 over Ethernet (RFC 826).

use super::Buffer;

/// Hardware type 1, protocol type 0x0800.
const TYPES: u32 = 0x0001_0800;
/// Hardware length 6, protocol length 4.
const LENGTHS: u16 = 0x0604;
const OPERATION: usize = 6;
const SENDER_ADDRESS: usize = 14;
const TARGET_ADDRESS: usize = 24;

/// Operation of a request.
pub const REQUEST: u16 = 1;

/// What an ARP packet asks or says; addresses as big-endian numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    pub operation: u16,
    pub sender: u32,
    pub target: u32,
}

/// Reads the packet at `at`; `None` also for other hardware or protocols.
#[inline(always)]
pub fn parse<B: Buffer>(buffer: B, at: usize) -> Option<Arp> {
    if buffer.be32(at)? != TYPES || buffer.be16(at + 4)? != LENGTHS {
        return None;
    }
    Some(Arp {
        operation: buffer.be16(at + OPERATION)?,
        sender: buffer.be32(at + SENDER_ADDRESS)?,
        target: buffer.be32(at + TARGET_ADDRESS)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: [u8; 28] =
        [0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 192, 0, 2, 11, 0, 0, 0, 0, 0, 0, 192, 0, 2, 1];

    #[test]
    fn requests_are_read() {
        let arp = parse(PACKET.as_slice(), 0);
        assert_eq!(arp, Some(Arp { operation: REQUEST, sender: 0xc000_020b, target: 0xc000_0201 }));
    }

    #[test]
    fn other_hardware_and_short_packets_are_not_arp() {
        let mut token_ring = PACKET;
        token_ring[1] = 6;
        assert_eq!(parse(token_ring.as_slice(), 0), None);
        assert_eq!(parse(&PACKET[..27], 0), None);
    }
}
