//! VRRP advertisements (RFC 3768 section 5.3, RFC 9568 section 5.2) as they are received.
//!
//! [`vrid`] finds the router an advert is for, [`carrier`] reads what the IP header says about it, [`validate`] checks
//! it in a fixed order and returns either what it announces or the one reason for which it is discarded. Nothing here
//! knows the state of a router: whether a valid advert wins is not decided here.

use super::{Buffer, checksum, ipv4, ipv6};
use crate::maps::values::{RouterPolicy, checksum_form, flag};
use crate::ring_events::event_flag;
use crate::verdict_reasons::VerdictReason;

/// IP protocol and IPv6 next header.
pub const PROTOCOL: u8 = 112;
/// TTL and hop limit of every advert.
pub const TTL: u8 = 255;
/// 224.0.0.18.
pub const GROUP_V4: u32 = 0xe000_0012;
/// One centisecond, the unit of VRRPv3 intervals.
pub const CENTISECOND_NS: u64 = 10_000_000;
/// One second, the unit of VRRPv2 intervals.
pub const SECOND_NS: u64 = 1_000_000_000;

/// Offset of the VRID in the message.
pub const VRID: usize = 1;
/// Offset of the priority in the message.
pub const PRIORITY: usize = 2;
const ADDRESS_COUNT: usize = 3;
const AUTH_TYPE_V2: usize = 4;
const INTERVAL_V2: usize = 5;
const INTERVAL_V3: usize = 4;
const INTERVAL_V3_MASK: u16 = 0x0fff;
const ADDRESSES: usize = 8;
const AUTH_DATA_V2_LENGTH: usize = 8;
const ADVERTISEMENT: u8 = 1;

/// Flags of a router that listens to listed senders only.
const RESTRICTING: u16 = flag::RESTRICTED_SOURCES | flag::CORROBORATE;

/// ff02::12.
const GROUP_V6: ipv6::Words = [0xff02_0000_u32.to_be(), 0, 0, 0x12_u32.to_be()];
/// Most addresses: the count is one byte.
const MAX_ADDRESSES: usize = 255;

/// What the IP header says about an advert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carrier {
    /// IPv4 mapped.
    pub source: ipv6::Words,
    /// IPv4 mapped.
    pub destination: ipv6::Words,
    /// Offset of the message.
    pub message: usize,
    /// Bytes of the message, by the IP header.
    pub length: usize,
    pub ttl: u8,
    /// 4 or 6.
    pub family: u8,
}

/// What a valid advert announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advert {
    /// IPv4 mapped.
    pub source: ipv6::Words,
    /// VRRPv3: centiseconds; VRRPv2: seconds. Never 0.
    pub interval: u16,
    /// `event_flag` bits that concern the message.
    pub flags: u16,
    pub priority: u8,
    pub version: u8,
    /// One of [`checksum_form`].
    pub checksum: u8,
    pub address_count: u8,
}

type Checked<T> = Result<T, VerdictReason>;

/// Turns the end of the buffer into the reason for it.
#[inline(always)]
fn present<T>(field: Option<T>) -> Checked<T> {
    field.ok_or(VerdictReason::HeaderInvalid)
}

/// VRID of the message in the IP packet at `at`.
///
/// # Errors
/// `VridUnknown` for a fragment that does not hold the message's beginning, `HeaderInvalid` where there is no VRID.
#[inline(always)]
pub fn vrid<B: Buffer>(frame: B, at: usize, family: u8) -> Checked<u8> {
    let header = if family == 6 {
        ipv6::HEADER_LENGTH
    } else {
        if present(ipv4::is_later_fragment(frame, at))? {
            return Err(VerdictReason::VridUnknown);
        }
        present(ipv4::header_length(frame, at))?
    };
    present(frame.u8(at + header + VRID))
}

/// Priority of the message in the IP packet at `at`.
#[inline(always)]
pub fn priority<B: Buffer>(frame: B, at: usize, family: u8) -> Option<u8> {
    let header = if family == 6 { ipv6::HEADER_LENGTH } else { ipv4::header_length(frame, at)? };
    frame.u8(at + header + PRIORITY)
}

/// Reads the IP header at `at`.
///
/// # Errors
/// `Fragment`; `HeaderInvalid` for a header with a wrong version, length or checksum.
#[inline(always)]
pub fn carrier<B: Buffer>(frame: B, at: usize, family: u8) -> Checked<Carrier> {
    if family == 6 { carrier_v6(frame, at) } else { carrier_v4(frame, at) }
}

#[inline(always)]
fn carrier_v4<B: Buffer>(frame: B, at: usize) -> Checked<Carrier> {
    if present(ipv4::is_fragment(frame, at))? {
        return Err(VerdictReason::Fragment);
    }
    let header = present(ipv4::header_length(frame, at))?;
    let total = present(ipv4::total_length(frame, at))?;
    if total < header || !present(ipv4::is_intact(frame, at, header))? {
        return Err(VerdictReason::HeaderInvalid);
    }
    Ok(Carrier {
        source: ipv6::mapped(present(ipv4::source(frame, at))?),
        destination: ipv6::mapped(present(ipv4::destination(frame, at))?),
        message: at + header,
        length: total - header,
        ttl: present(ipv4::ttl(frame, at))?,
        family: 4,
    })
}

#[inline(always)]
fn carrier_v6<B: Buffer>(frame: B, at: usize) -> Checked<Carrier> {
    if !present(ipv6::is_version_6(frame, at))? {
        return Err(VerdictReason::HeaderInvalid);
    }
    Ok(Carrier {
        source: present(ipv6::address(frame, ipv6::source_at(at)))?,
        destination: present(ipv6::address(frame, ipv6::destination_at(at)))?,
        message: at + ipv6::HEADER_LENGTH,
        length: present(ipv6::payload_length(frame, at))?,
        ttl: present(ipv6::hop_limit(frame, at))?,
        family: 6,
    })
}

/// What the checks before the checksum have found.
struct Head {
    version: u8,
    address_count: u8,
}

#[inline(always)]
fn check_head<B: Buffer>(frame: B, carrier: &Carrier, policy: &RouterPolicy) -> Checked<Head> {
    let source = ipv6::bytes(carrier.source);
    if u128::from_ne_bytes(source) == u128::from_ne_bytes(policy.source) {
        return Err(VerdictReason::AdvertSelf);
    }
    if carrier.ttl != TTL {
        return Err(VerdictReason::TtlInvalid);
    }
    let message = carrier.message;
    let first = present(frame.u8(message))?;
    let version = first >> 4;
    if version != policy.version {
        return Err(VerdictReason::VersionInvalid);
    }
    if first & 0x0f != ADVERTISEMENT {
        return Err(VerdictReason::TypeInvalid);
    }
    if carrier.length < ADDRESSES {
        return Err(VerdictReason::LengthInvalid);
    }
    let address_count = present(frame.u8(message + ADDRESS_COUNT))?;
    check_length(carrier, version, address_count)?;
    if version == 2 && present(frame.u8(message + AUTH_TYPE_V2))? != 0 {
        return Err(VerdictReason::AuthTypeInvalid);
    }
    Ok(Head { version, address_count })
}

/// Checks an advert for the router that `policy` describes; `listened_to` says whether the router takes adverts from a
/// source and is asked only where the policy restricts them.
///
/// # Errors
/// The first check that failed, in this order: own source, TTL, version, type, length, VRRPv2 authentication type,
/// checksum, destination, source, address count, interval, first address.
#[inline(always)]
pub fn validate<B: Buffer>(
    frame: B,
    carrier: &Carrier,
    policy: &RouterPolicy,
    listened_to: impl FnOnce(ipv6::Words) -> bool,
) -> Checked<Advert> {
    let Head { version, address_count } = check_head(frame, carrier, policy)?;
    let message = carrier.message;
    let addresses_sum = present(sum_addresses(frame, carrier, address_count))?;
    let address_bytes = usize::from(address_count) * address_length(carrier);
    let sums =
        Sums { message: addresses_sum + present(sum_rest(frame, message, version, address_bytes))?, carrier };
    let checksum = sums.form(version, ADDRESSES + address_bytes, policy.checksum)?;
    check_ends(carrier, policy, listened_to)?;
    if address_count == 0 {
        return Err(VerdictReason::CountZero);
    }
    let (interval, interval_ns) = interval(frame, message, version)?;
    if interval == 0 {
        return Err(VerdictReason::IntervalZero);
    }
    let mut flags = 0;
    if interval_ns != policy.interval_ns {
        if version == 2 {
            return Err(VerdictReason::IntervalMismatch);
        }
        flags |= event_flag::INTERVAL_DIFFERS;
    }
    if carrier.family == 6 && !present(first_is_link_local(frame, message))? {
        if policy.flags & flag::STRICT != 0 {
            return Err(VerdictReason::FirstAddressNotLinkLocal);
        }
        flags |= event_flag::FIRST_NOT_LINK_LOCAL;
    }
    // Bytes follow the last address; a VRRPv2 message cannot have them.
    if version != 2 && carrier.length > ADDRESSES + address_bytes {
        flags |= event_flag::TRAILING_BYTES;
    }
    if addresses_sum != policy.addresses_sum || address_count != policy.address_count {
        flags |= event_flag::ADDRESSES_DIFFER;
    }
    let priority = present(frame.u8(message + PRIORITY))?;
    Ok(Advert { source: carrier.source, interval, flags, priority, version, checksum, address_count })
}

/// Bytes of one address.
#[inline(always)]
fn address_length(carrier: &Carrier) -> usize {
    if carrier.family == 6 { 16 } else { 4 }
}

/// A VRRPv3 message may be followed by other bytes (V-044). A VRRPv2 message ends with its authentication data, so
/// more bytes would mean another place for it.
#[inline(always)]
fn check_length(carrier: &Carrier, version: u8, address_count: u8) -> Checked<()> {
    let addresses = usize::from(address_count) * address_length(carrier);
    let fits = if version == 2 {
        carrier.length == ADDRESSES + addresses + AUTH_DATA_V2_LENGTH
    } else {
        carrier.length >= ADDRESSES + addresses
    };
    if fits { Ok(()) } else { Err(VerdictReason::LengthInvalid) }
}

#[inline(always)]
fn sum_addresses<B: Buffer>(frame: B, carrier: &Carrier, count: u8) -> Option<u64> {
    let at = carrier.message + ADDRESSES;
    let count = usize::from(count);
    if carrier.family == 6 {
        frame.sum_quads::<MAX_ADDRESSES>(at, count)
    } else {
        frame.sum_words::<MAX_ADDRESSES>(at, count)
    }
}

/// Sum of the message without its addresses.
#[inline(always)]
fn sum_rest<B: Buffer>(frame: B, message: usize, version: u8, address_bytes: usize) -> Option<u64> {
    let mut sum = u64::from(frame.ne32(message)?) + u64::from(frame.ne32(message + 4)?);
    if version == 2 {
        let authentication = message + ADDRESSES + address_bytes;
        sum += u64::from(frame.ne32(authentication)?) + u64::from(frame.ne32(authentication + 4)?);
    }
    Some(sum)
}

/// What the checksum forms are made of.
struct Sums<'a> {
    message: u64,
    carrier: &'a Carrier,
}

impl Sums<'_> {
    /// The form in which the checksum is right, of those accepted; `length` is the message's, for the pseudo-header.
    #[inline(always)]
    fn form(&self, version: u8, length: usize, accepted: u8) -> Checked<u8> {
        if version == 2 {
            return intact(self.message, checksum_form::ANY);
        }
        let with_pseudo_header = self.message + pseudo_header(self.carrier, length);
        if self.carrier.family == 6 {
            return intact(with_pseudo_header, checksum_form::ANY);
        }
        if accepted != checksum_form::RFC5798 && checksum::is_intact(self.message) {
            return Ok(checksum_form::RFC9568);
        }
        if accepted == checksum_form::RFC9568 {
            return Err(VerdictReason::ChecksumInvalid);
        }
        intact(with_pseudo_header, checksum_form::RFC5798)
    }
}

#[inline(always)]
fn intact(sum: u64, form: u8) -> Checked<u8> {
    if checksum::is_intact(sum) { Ok(form) } else { Err(VerdictReason::ChecksumInvalid) }
}

/// Sum of the pseudo-header (RFC 5798 section 5.2.8, RFC 8200 section 8.1) for a message of `length` bytes. The prefix
/// of a mapped IPv4 address is left out.
#[inline(always)]
fn pseudo_header(carrier: &Carrier, length: usize) -> u64 {
    let mut sum = checksum::term(u16::from(PROTOCOL)) + checksum::term(length as u16);
    let low = u64::from(carrier.source[3]) + u64::from(carrier.destination[3]);
    sum += low;
    if carrier.family == 6 {
        for word in 0..3 {
            sum += u64::from(carrier.source[word]) + u64::from(carrier.destination[word]);
        }
    }
    sum
}

/// Group or unicast, as the router is configured, and a sender it listens to.
#[inline(always)]
fn check_ends(
    carrier: &Carrier,
    policy: &RouterPolicy,
    listened_to: impl FnOnce(ipv6::Words) -> bool,
) -> Checked<()> {
    let matches_mode =
        if policy.flags & flag::UNICAST != 0 { !is_multicast(carrier) } else { is_group(carrier) };
    if !matches_mode {
        return Err(VerdictReason::DestinationInvalid);
    }
    if policy.flags & RESTRICTING != 0 && !listened_to(carrier.source) {
        return Err(VerdictReason::SourceUntrusted);
    }
    Ok(())
}

#[inline(always)]
fn is_group(carrier: &Carrier) -> bool {
    let [a, b, c, d] = carrier.destination;
    let [e, f, g, h] = if carrier.family == 6 { GROUP_V6 } else { ipv6::mapped(GROUP_V4) };
    a == e && b == f && c == g && d == h
}

/// 224.0.0.0/4 and everything above it, or ff00::/8.
#[inline(always)]
fn is_multicast(carrier: &Carrier) -> bool {
    if carrier.family == 6 {
        ipv6::is_multicast(&carrier.destination)
    } else {
        u32::from_be(carrier.destination[3]) >> 29 == 0b111
    }
}

/// The announced interval in its own unit, and in nanoseconds.
#[inline(always)]
fn interval<B: Buffer>(frame: B, message: usize, version: u8) -> Checked<(u16, u64)> {
    if version == 2 {
        let seconds = present(frame.u8(message + INTERVAL_V2))?;
        return Ok((u16::from(seconds), u64::from(seconds) * SECOND_NS));
    }
    let centiseconds = present(frame.be16(message + INTERVAL_V3))? & INTERVAL_V3_MASK;
    Ok((centiseconds, u64::from(centiseconds) * CENTISECOND_NS))
}

#[inline(always)]
fn first_is_link_local<B: Buffer>(frame: B, message: usize) -> Option<bool> {
    let first = frame.ne32(message + ADDRESSES)?;
    Some(ipv6::is_link_local(&[first, 0, 0, 0]))
}
