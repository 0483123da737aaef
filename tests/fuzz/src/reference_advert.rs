//! A plain reading of RFC 3768 and RFC 9568 section 7.1: what an advert must be, on whole slices and by the book.
//!
//! Written apart from `ha_common::wire::vrrp`, slowly and without its tricks, so that the two can be held against each
//! other. The order of the checks is the documented one of `vrrp::validate`.

use ha_common::maps::values::{RouterPolicy, checksum_form, flag};
use ha_common::ring_events::event_flag;
use ha_common::verdict_reasons::VerdictReason;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const GROUP_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 18));
const GROUP_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12));
/// First address above the multicast block and all that follows it, which is no unicast either.
const MULTICAST_V4: u8 = 224;

/// What an advert announces.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Announced {
    pub(crate) vrid: u8,
    pub(crate) priority: u8,
    pub(crate) version: u8,
    /// As on the wire.
    pub(crate) interval: u16,
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) checksum: u8,
    pub(crate) flags: u16,
    /// The message up to its last meaningful byte.
    pub(crate) message: Vec<u8>,
}

/// The IP packet's header as far as an advert is concerned.
struct Header<'a> {
    source: IpAddr,
    destination: IpAddr,
    ttl: u8,
    /// Bytes of the message by the header.
    claimed: usize,
    /// Everything behind the header.
    rest: &'a [u8],
}

type Judged<T> = Result<T, VerdictReason>;

fn slice(bytes: &[u8], from: usize, length: usize) -> Judged<&[u8]> {
    bytes.get(from..from + length).ok_or(VerdictReason::HeaderInvalid)
}

fn ones_complement(parts: &[&[u8]]) -> u16 {
    let all: Vec<u8> = parts.concat();
    let sum: u64 =
        all.chunks(2).map(|pair| u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0))).sum();
    // Modulo 2^16 - 1, with the other zero for a sum that is not zero.
    match sum % 0xffff {
        0 if sum > 0 => 0xffff,
        rest => rest as u16,
    }
}

fn header(packet: &[u8], family: u8) -> Judged<Header<'_>> {
    if family == 6 {
        if slice(packet, 0, 1)?[0] >> 4 != 6 {
            return Err(VerdictReason::HeaderInvalid);
        }
        let fixed = slice(packet, 0, 40)?;
        let address = |at: usize| {
            <[u8; 16]>::try_from(&fixed[at..at + 16]).map_or(Ipv6Addr::UNSPECIFIED, Ipv6Addr::from)
        };
        return Ok(Header {
            source: address(8).into(),
            destination: address(24).into(),
            ttl: fixed[7],
            claimed: usize::from(u16::from_be_bytes([fixed[4], fixed[5]])),
            rest: &packet[40..],
        });
    }
    let fragment = slice(packet, 6, 2)?;
    if u16::from_be_bytes([fragment[0], fragment[1]]) & 0x3fff != 0 {
        return Err(VerdictReason::Fragment);
    }
    let (version, length) = (packet[0] >> 4, usize::from(packet[0] & 15) * 4);
    if version != 4 || length < 20 {
        return Err(VerdictReason::HeaderInvalid);
    }
    let total = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    if total < length || ones_complement(&[slice(packet, 0, length)?]) != 0xffff {
        return Err(VerdictReason::HeaderInvalid);
    }
    let address = |at: usize| Ipv4Addr::new(packet[at], packet[at + 1], packet[at + 2], packet[at + 3]);
    Ok(Header {
        source: address(12).into(),
        destination: address(16).into(),
        ttl: packet[8],
        claimed: total - length,
        rest: &packet[length..],
    })
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// The address as maps hold it.
pub(crate) fn mapped(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// Judges the IP packet for the router that `policy` describes.
pub(crate) fn judge(
    packet: &[u8],
    policy: &RouterPolicy,
    listened_to: impl Fn(IpAddr) -> bool,
) -> Judged<Announced> {
    let family = policy.family;
    let header = header(packet, family)?;
    let rest = header.rest;
    if mapped(header.source) == policy.source {
        return Err(VerdictReason::AdvertSelf);
    }
    if header.ttl != 255 {
        return Err(VerdictReason::TtlInvalid);
    }
    let first = slice(rest, 0, 1)?[0];
    let version = first >> 4;
    if version != policy.version {
        return Err(VerdictReason::VersionInvalid);
    }
    if first & 15 != 1 {
        return Err(VerdictReason::TypeInvalid);
    }
    if header.claimed < 8 {
        return Err(VerdictReason::LengthInvalid);
    }
    let count = slice(rest, 3, 1)?[0];
    let size = if family == 6 { 16 } else { 4 };
    let needed = 8 + usize::from(count) * size + if version == 2 { 8 } else { 0 };
    let too_long = version == 2 && header.claimed > needed;
    if header.claimed < needed || too_long {
        return Err(VerdictReason::LengthInvalid);
    }
    if version == 2 && slice(rest, 4, 1)?[0] != 0 {
        return Err(VerdictReason::AuthTypeInvalid);
    }
    let message = slice(rest, 0, needed)?;
    let checksum = checksum(&header, message, version, policy.checksum)?;
    let addresses = &message[8..8 + usize::from(count) * size];
    judge_content(&header, message, addresses, policy, listened_to).map(|(interval, flags)| Announced {
        vrid: message[1],
        priority: message[2],
        version,
        interval,
        source: header.source,
        destination: header.destination,
        addresses: addresses.chunks(size).map(address_of).collect(),
        checksum,
        flags,
        message: message.to_vec(),
    })
}

fn address_of(bytes: &[u8]) -> IpAddr {
    match (<[u8; 4]>::try_from(bytes), <[u8; 16]>::try_from(bytes)) {
        (Ok(bytes), _) => bytes.into(),
        (_, Ok(bytes)) => bytes.into(),
        _ => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    }
}

fn checksum(header: &Header<'_>, message: &[u8], version: u8, accepted: u8) -> Judged<u8> {
    let length = (message.len() as u32).to_be_bytes();
    let ends = [octets(header.source), octets(header.destination)].concat();
    let with_pseudo_header = ones_complement(&[&ends, &length, &[0, 112], message]) == 0xffff;
    let alone = ones_complement(&[message]) == 0xffff;
    let forms = match (version, header.source) {
        (2, _) => vec![(alone, checksum_form::ANY)],
        (_, IpAddr::V6(_)) => vec![(with_pseudo_header, checksum_form::ANY)],
        _ => vec![(alone, checksum_form::RFC9568), (with_pseudo_header, checksum_form::RFC5798)],
    };
    let taken = |form: u8| accepted == checksum_form::ANY || form == checksum_form::ANY || form == accepted;
    let right = forms.into_iter().find(|(right, form)| *right && taken(*form));
    right.map(|(_, form)| form).ok_or(VerdictReason::ChecksumInvalid)
}

fn judge_content(
    header: &Header<'_>,
    message: &[u8],
    addresses: &[u8],
    policy: &RouterPolicy,
    listened_to: impl Fn(IpAddr) -> bool,
) -> Judged<(u16, u16)> {
    let destination = header.destination;
    let multicast = match destination {
        IpAddr::V4(address) => address.octets()[0] >= MULTICAST_V4,
        IpAddr::V6(address) => address.is_multicast(),
    };
    let group = if destination.is_ipv4() { GROUP_V4 } else { GROUP_V6 };
    let unicast = policy.flags & flag::UNICAST != 0;
    if if unicast { multicast } else { destination != group } {
        return Err(VerdictReason::DestinationInvalid);
    }
    let restricted = policy.flags & (flag::RESTRICTED_SOURCES | flag::CORROBORATE) != 0;
    if restricted && !listened_to(header.source) {
        return Err(VerdictReason::SourceUntrusted);
    }
    if addresses.is_empty() {
        return Err(VerdictReason::CountZero);
    }
    let (interval, nanoseconds) = if message[0] >> 4 == 2 {
        (u16::from(message[5]), u64::from(message[5]) * 1_000_000_000)
    } else {
        let centiseconds = u16::from_be_bytes([message[4] & 15, message[5]]);
        (centiseconds, u64::from(centiseconds) * 10_000_000)
    };
    let mut flags = 0;
    match (interval, nanoseconds == policy.interval_ns, policy.version) {
        (0, ..) => return Err(VerdictReason::IntervalZero),
        (_, true, _) => {}
        (_, false, 2) => return Err(VerdictReason::IntervalMismatch),
        _ => flags |= event_flag::INTERVAL_DIFFERS,
    }
    if destination.is_ipv6()
        && !matches!(address_of(&addresses[..16]), IpAddr::V6(first) if first.is_unicast_link_local())
    {
        if policy.flags & flag::STRICT != 0 {
            return Err(VerdictReason::FirstAddressNotLinkLocal);
        }
        flags |= event_flag::FIRST_NOT_LINK_LOCAL;
    }
    if header.claimed > message.len() {
        flags |= event_flag::TRAILING_BYTES;
    }
    let words =
        addresses.chunks(4).map(|word| word.try_into().map_or(0, |word| u64::from(u32::from_ne_bytes(word))));
    let size = if destination.is_ipv6() { 16 } else { 4 };
    let count = addresses.len() / size;
    if words.sum::<u64>() != policy.addresses_sum || count != usize::from(policy.address_count) {
        flags |= event_flag::ADDRESSES_DIFFER;
    }
    Ok((interval, flags))
}
