//! VRRP adverts of every version and family: the decoder on a slice, on the kernel's view, and against a plain reading of
//! the RFCs; what it accepts is written anew and must be the same advert.
//!
//! An input is four bytes of choices (which router listens, which checksums to put right, what stands before the packet)
//! and an IP packet. Without the checksums put right hardly any input would get past them.

use crate::choices::Choices;
use crate::kernel_view::Page;
use crate::reference_advert::{self, Announced, mapped};
use ha_common::maps::peers::NO_UNIT;
use ha_common::maps::values::{Head, RouterPolicy, checksum_form, flag, role};
use ha_common::ring_events::event_flag;
use ha_common::verdict_reasons::VerdictReason;
use ha_common::wire::vrrp::{self, Advert};
use ha_common::wire::vrrp_encode::{self, EncodeError, Ipv4Checksum};
use ha_common::wire::{Buffer, checksum, ethernet, ipv6, vlan};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const SECOND_NS: u64 = 1_000_000_000;
/// Own address, and the one sender that a restricted router listens to.
const OWN_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10));
const OWN_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x10));
const PEER_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 11));
const PEER_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x11));
const VIP: [u8; 4] = [192, 0, 2, 1];
/// Where the authentication data, the reserved bits and the checksum lie.
const CHECKSUM: std::ops::Range<usize> = 6..8;
const RESERVED_AND_INTERVAL: usize = 4;

/// Bits of the second byte of choices.
mod seal {
    pub(super) const HEADER: u8 = 1;
    pub(super) const MESSAGE: u8 = 1 << 1;
    pub(super) const WITH_PSEUDO_HEADER: u8 = 1 << 2;
}

pub(super) fn run(input: &[u8]) {
    let mut choices = Choices::new(input);
    let policy = policy(choices.byte(), choices.byte());
    let (seal, place) = (choices.byte(), choices.byte());
    let mut packet = choices.rest().to_vec();
    put_checksums_right(&mut packet, policy.family, policy.version, seal);
    let at =
        usize::from(place % 3) * vlan::TAG_LENGTH + usize::from(place & 0x80 != 0) * ethernet::HEADER_LENGTH;
    let frame = [vec![0; at], packet.clone()].concat();

    let found = judge(frame.as_slice(), at, &policy);
    let page = Page::holding(&frame);
    assert_eq!(found, judge(page.frame(), at, &policy), "the kernel's view differs from the slice's");
    let plain = reference_advert::judge(&packet, &policy, |source| [PEER_V4, PEER_V6].contains(&source));
    match (found, plain) {
        (Ok(advert), Ok(announced)) => {
            compare(&advert, &announced);
            check_identity(&frame, at, &policy, &announced);
            write_anew(&announced, &advert, &policy);
            check_truncation(&frame, at, &policy);
        }
        (Err(found), Err(plain)) => assert_eq!(found.name(), plain.name(), "discarded for another reason"),
        (found, plain) => panic!("judged {found:?}, by the book {plain:?}"),
    }
}

/// The router that listens.
fn policy(kind: u8, flags: u8) -> RouterPolicy {
    let family = if kind & 1 == 0 { 4 } else { 6 };
    let version = if kind & 2 == 0 || family == 6 { 3 } else { 2 };
    let bit = |bit: u8, flag: u16| if flags & bit == 0 { 0 } else { flag };
    RouterPolicy {
        head: Head::of::<RouterPolicy>(),
        ifindex: 2,
        epoch: 1,
        granted_at_ns: 0,
        grant_until_ns: u64::MAX,
        interval_ns: SECOND_NS,
        addresses_sum: u64::from(u32::from_ne_bytes(VIP)),
        source: mapped(if family == 4 { OWN_V4 } else { OWN_V6 }),
        vlan: 0,
        answers_per_interval: 10,
        flags: bit(1, flag::UNICAST)
            | bit(2, flag::STRICT)
            | bit(4, flag::RESTRICTED_SOURCES)
            | bit(8, flag::CORROBORATE),
        vrid: 51,
        family,
        version,
        role: role::BACKUP,
        priority: 100,
        checksum: [checksum_form::ANY, checksum_form::RFC9568, checksum_form::RFC5798]
            [usize::from(kind >> 2) % 3],
        address_count: 1,
        unit: NO_UNIT,
        reserved: [0; 2],
        generation: 0,
    }
}

fn judge<B: Buffer>(frame: B, at: usize, policy: &RouterPolicy) -> Result<Advert, VerdictReason> {
    let carrier = vrrp::carrier(frame, at, policy.family)?;
    let listened = [mapped(PEER_V4), mapped(PEER_V6)];
    vrrp::validate(frame, &carrier, policy, |source| listened.contains(&ipv6::bytes(source)))
}

fn put_checksums_right(packet: &mut [u8], family: u8, version: u8, seal: u8) {
    let Some(&first) = packet.first() else { return };
    let header = if family == 6 { ipv6::HEADER_LENGTH } else { usize::from(first & 15) * 4 };
    let size = if family == 6 { 16 } else { 4 };
    if seal & seal::MESSAGE != 0
        && let Some(message) = packet.get_mut(header..)
        && message.len() >= 8
    {
        let length = 8 + usize::from(message[3]) * size + if version == 2 { 8 } else { 0 };
        let pseudo = (family == 6 || seal & seal::WITH_PSEUDO_HEADER != 0) && version != 2;
        if length <= message.len() {
            message[CHECKSUM].fill(0);
            let message = message[..length].to_vec();
            let ends = if family == 6 { 8..40 } else { 12..20 };
            let ends = packet.get(ends).filter(|_| pseudo).unwrap_or_default().to_vec();
            let tail = if pseudo { [0, vrrp::PROTOCOL, (length >> 8) as u8, length as u8] } else { [0; 4] };
            let sum = complement(&[ends, tail.to_vec(), message].concat());
            packet[header + CHECKSUM.start..header + CHECKSUM.end].copy_from_slice(&sum);
        }
    }
    if seal & seal::HEADER != 0
        && family == 4
        && header >= 20
        && let Some(bytes) = packet.get_mut(..header)
    {
        bytes[10..12].fill(0);
        let sum = complement(bytes);
        bytes[10..12].copy_from_slice(&sum);
    }
}

/// The checksum to put into a field that is zero; `bytes` are whole 32-bit words.
fn complement(bytes: &[u8]) -> [u8; 2] {
    let sum = checksum::sum_words::<2048, _>(bytes, 0, bytes.len() / 4).map_or(0, checksum::fold);
    (!sum).to_ne_bytes()
}

fn compare(advert: &Advert, announced: &Announced) {
    assert_eq!(ipv6::bytes(advert.source), mapped(announced.source));
    assert_eq!(advert.interval, announced.interval);
    assert_eq!(advert.priority, announced.priority);
    assert_eq!(advert.version, announced.version);
    assert_eq!(usize::from(advert.address_count), announced.addresses.len());
    assert_eq!(advert.checksum, announced.checksum, "checksum form");
    assert_eq!(advert.flags, announced.flags, "notes");
}

/// VRID and priority are found where the message has them, before anything else is known of it.
fn check_identity(frame: &[u8], at: usize, policy: &RouterPolicy, announced: &Announced) {
    assert_eq!(vrrp::vrid(frame, at, policy.family), Ok(announced.vrid));
    assert_eq!(vrrp::priority(frame, at, policy.family), Some(announced.priority));
    let carrier = vrrp::carrier(frame, at, policy.family);
    let whole = carrier.is_ok_and(|carrier| carrier.message + announced.message.len() <= frame.len());
    assert!(whole, "an advert was accepted that is not all there");
}

/// What was decoded, encoded: the same bytes but for reserved bits, and the same advert.
fn write_anew(announced: &Announced, advert: &Advert, policy: &RouterPolicy) {
    let mut out = vec![0xff; announced.message.len()];
    let written = encode(announced, &mut out);
    if announced.vrid == 0 {
        assert_eq!(written, Err(EncodeError::Vrid));
        return;
    }
    assert_eq!(written, Ok(announced.message.len()));
    let mut wanted = announced.message.clone();
    let reserved = if announced.version == 3 { wanted[RESERVED_AND_INTERVAL] & 0xf0 } else { 0 };
    wanted[RESERVED_AND_INTERVAL] ^= reserved;
    if announced.version == 2 {
        let authentication = wanted.len() - 8;
        wanted[authentication..].fill(0);
    }
    if wanted == announced.message {
        let field = |bytes: &[u8]| u16::from_be_bytes([bytes[6], bytes[7]]) % u16::MAX;
        assert_eq!(field(&out), field(&wanted), "checksum");
    }
    wanted[CHECKSUM].copy_from_slice(&out[CHECKSUM]);
    assert_eq!(out, wanted);

    let packet = carry(&out, announced, policy.family);
    let again = judge(packet.as_slice(), 0, policy);
    let flags = advert.flags & !event_flag::TRAILING_BYTES;
    assert_eq!(again, Ok(Advert { flags, ..*advert }), "written anew it is another advert");
}

fn encode(announced: &Announced, out: &mut [u8]) -> Result<usize, EncodeError> {
    let Announced { vrid, priority, interval, .. } = *announced;
    let v4: Vec<Ipv4Addr> = announced.addresses.iter().filter_map(|address| v4(*address)).collect();
    let v6: Vec<Ipv6Addr> = announced.addresses.iter().filter_map(|address| v6(*address)).collect();
    match (announced.version, announced.source, announced.destination) {
        (2, ..) => vrrp_encode::encode_v2(out, vrid, priority, interval as u8, &v4),
        (_, IpAddr::V6(source), IpAddr::V6(destination)) => {
            vrrp_encode::encode_v3_ipv6(out, vrid, priority, interval, &v6, source, destination)
        }
        (_, IpAddr::V4(source), IpAddr::V4(destination)) => {
            let form = match announced.checksum {
                checksum_form::RFC5798 => Ipv4Checksum::PseudoHeader { source, destination },
                _ => Ipv4Checksum::MessageOnly,
            };
            vrrp_encode::encode_v3_ipv4(out, vrid, priority, interval, &v4, form)
        }
        _ => panic!("an advert of two families"),
    }
}

fn v4(address: IpAddr) -> Option<Ipv4Addr> {
    if let IpAddr::V4(address) = address { Some(address) } else { None }
}

fn v6(address: IpAddr) -> Option<Ipv6Addr> {
    if let IpAddr::V6(address) = address { Some(address) } else { None }
}

/// The message in a packet without options between the ends of the one it came in.
fn carry(message: &[u8], announced: &Announced, family: u8) -> Vec<u8> {
    let mapped_ends = [mapped(announced.source), mapped(announced.destination)];
    let length = |more: usize| ((message.len() + more) as u16).to_be_bytes();
    if family == 6 {
        let fixed = [&[0x60, 0, 0, 0][..], &length(0), &[vrrp::PROTOCOL, vrrp::TTL]].concat();
        return [fixed, mapped_ends.concat(), message.to_vec()].concat();
    }
    let fixed = [&[0x45, 0xc0][..], &length(20), &[0, 0, 0, 0, vrrp::TTL, vrrp::PROTOCOL, 0, 0]].concat();
    let ends = mapped_ends.map(|end| end[12..].to_vec()).concat();
    let mut packet = [fixed, ends, message.to_vec()].concat();
    put_checksums_right(&mut packet, 4, 2, seal::HEADER);
    packet
}

/// Cut anywhere before its end, an advert is refused; bytes behind the IP packet, such as padding, change nothing.
fn check_truncation(frame: &[u8], at: usize, policy: &RouterPolicy) {
    let whole = judge(frame, at, policy);
    let carrier = vrrp::carrier(frame, at, policy.family);
    let Ok(carrier) = carrier else { panic!("accepted without a carrier") };
    let Ok(advert) = whole else { return };
    let size = if policy.family == 6 { 16 } else { 4 };
    let trailer = if advert.version == 2 { 8 } else { 0 };
    let end = carrier.message + 8 + usize::from(advert.address_count) * size + trailer;
    for cut in [end - 1, end - size, carrier.message + 7, carrier.message, at] {
        assert!(judge(&frame[..cut], at, policy).is_err(), "accepted with {cut} of {end} bytes");
    }
    let padded = [frame, &[0x5a; 32]].concat();
    assert_eq!(judge(padded.as_slice(), at, policy), whole, "padding changed an advert");
}
