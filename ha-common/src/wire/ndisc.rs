//! Neighbour discovery over ICMPv6 (RFC 4861): what kind of message, about which address.

use super::{Buffer, ipv6};

const ROUTER_SOLICITATION: u8 = 133;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const REDIRECT: u8 = 137;
const TARGET: usize = 8;

/// Kinds of neighbour discovery messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Solicitation,
    Advertisement,
    /// Router solicitation, router advertisement, redirect.
    Other,
}

/// Kind of the ICMPv6 message at `at`; `None` where it is not neighbour discovery.
#[inline(always)]
pub fn kind<B: Buffer>(buffer: B, at: usize) -> Option<Kind> {
    match buffer.u8(at)? {
        NEIGHBOUR_SOLICITATION => Some(Kind::Solicitation),
        NEIGHBOUR_ADVERTISEMENT => Some(Kind::Advertisement),
        ROUTER_SOLICITATION..=REDIRECT => Some(Kind::Other),
        _ => None,
    }
}

/// Offset of the target address of a solicitation or advertisement.
#[inline(always)]
pub const fn target_at(at: usize) -> usize {
    at + TARGET
}

/// Target address of a solicitation or advertisement.
#[inline(always)]
pub fn target<B: Buffer>(buffer: B, at: usize) -> Option<ipv6::Words> {
    ipv6::address(buffer, target_at(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_follow_the_type() {
        assert_eq!(kind([135u8].as_slice(), 0), Some(Kind::Solicitation));
        assert_eq!(kind([136u8].as_slice(), 0), Some(Kind::Advertisement));
        assert_eq!(kind([134u8].as_slice(), 0), Some(Kind::Other));
        assert_eq!(kind([128u8].as_slice(), 0), None);
        assert_eq!(kind([0u8; 0].as_slice(), 0), None);
    }

    #[test]
    fn the_target_follows_the_flags() {
        let mut message = [0u8; 24];
        message[8] = 0xfe;
        message[23] = 1;
        let target = target(message.as_slice(), 0).expect("whole message");
        assert_eq!(ipv6::bytes(target)[..2], [0xfe, 0]);
        assert_eq!(ipv6::bytes(target)[15], 1);
    }
}
