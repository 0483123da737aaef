//! Vectors T1 to T7 and their one-field mutations, each failing under its own reason.

extern crate std;

use super::vrrp::{Advert, carrier, validate, vrid};
use super::{Buffer, checksum, ipv6};
use crate::maps::keys::mapped;
use crate::maps::values::{Head, RouterPolicy, checksum_form, flag, role};
use crate::ring_events::event_flag;
use crate::verdict_reasons::VerdictReason;
use std::vec::Vec;

const T1: &str = "213364010001b8c8c00002010000000000000000";
const T2: &str = "313364010064a865c0000201";
const T3: &str = "31336401006405cbc0000201";
const T4: &str = "3133640200643febfe80000000000000000000000000000120010db8000000000000000000000001";
const T5_MESSAGE_ONLY: &str = "3133000100640c66c0000201";
const T5_PSEUDO: &str = "31330001006469cbc0000201";
const T6_MESSAGE_ONLY: &str = "3133c8020fff72c6c0000201c0000202";
const T6_PSEUDO: &str = "3133c8020fffd027c0000201c0000202";
const T7: &str = "31336401f064b864c0000201";

const SECOND: u64 = 1_000_000_000;

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
}

/// An IPv4 packet from 192.0.2.11 to the group, with a right header checksum.
fn packet_v4(message: &[u8]) -> Vec<u8> {
    let total = (20 + message.len()) as u16;
    let mut packet = std::vec![0x45, 0xc0, 0, 0, 0, 0, 0, 0, 255, 112, 0, 0, 192, 0, 2, 11, 224, 0, 0, 18];
    packet[2..4].copy_from_slice(&total.to_be_bytes());
    packet.extend(message);
    seal_header(&mut packet);
    packet
}

fn packet_v6(message: &[u8]) -> Vec<u8> {
    let mut packet = std::vec![0x60, 0, 0, 0, 0, 0, 112, 255];
    packet[4..6].copy_from_slice(&(message.len() as u16).to_be_bytes());
    packet.extend(hex("fe800000000000000000000000000011"));
    packet.extend(hex("ff020000000000000000000000000012"));
    packet.extend(message);
    packet
}

fn ones_complement(bytes: &[u8], offset: usize, words: usize, extra: u64) -> [u8; 2] {
    let sum = checksum::sum_words::<1100, _>(bytes, offset, words).expect("inside the buffer") + extra;
    (!checksum::fold(sum)).to_ne_bytes()
}

fn seal_header(packet: &mut [u8]) {
    let words = usize::from(packet[0] & 15);
    packet[10..12].fill(0);
    let sum = ones_complement(packet, 0, words, 0);
    packet[10..12].copy_from_slice(&sum);
}

/// Puts the message-only checksum over the whole message into a packet.
fn seal_message(packet: &mut [u8]) {
    let at = usize::from(packet[0] & 15) * 4;
    packet[at + 6..at + 8].fill(0);
    let sum = ones_complement(packet, at, (packet.len() - at) / 4, 0);
    packet[at + 6..at + 8].copy_from_slice(&sum);
}

fn seal_message_v6(packet: &mut [u8]) {
    seal_message_v6_as(packet, 112);
}

fn seal_message_v6_as(packet: &mut [u8], next_header: u16) {
    packet[46..48].fill(0);
    let length = packet.len() - 40;
    let pseudo = checksum::sum_words::<8, _>(&*packet, 8, 8).expect("addresses")
        + checksum::term(next_header)
        + checksum::term(length as u16);
    let sum = ones_complement(packet, 40, length / 4, pseudo);
    packet[46..48].copy_from_slice(&sum);
}

fn policy(version: u8, family: u8) -> RouterPolicy {
    let addresses_sum = if family == 4 {
        u64::from(u32::from_ne_bytes([192, 0, 2, 1]))
    } else {
        let list = hex("fe80000000000000000000000000000120010db8000000000000000000000001");
        checksum::sum_words::<8, _>(list.as_slice(), 0, 8).expect("two addresses")
    };
    RouterPolicy {
        head: Head::of::<RouterPolicy>(),
        ifindex: 2,
        epoch: 1,
        granted_at_ns: 0,
        grant_until_ns: u64::MAX,
        interval_ns: SECOND,
        addresses_sum,
        source: mapped([192, 0, 2, 10]),
        vlan: 0,
        answers_per_interval: 10,
        flags: flag::PREEMPT,
        vrid: 51,
        family,
        version,
        role: role::BACKUP,
        priority: 100,
        checksum: checksum_form::ANY,
        address_count: if family == 4 { 1 } else { 2 },
        unit: crate::maps::peers::NO_UNIT,
        reserved: [0; 2],
        generation: 0,
    }
}

fn judge(packet: &[u8], policy: &RouterPolicy) -> Result<Advert, VerdictReason> {
    let carrier = carrier(packet, 0, policy.family)?;
    validate(packet, &carrier, policy, |source| ipv6::bytes(source) == mapped([192, 0, 2, 99]))
}

fn accepted(packet: &[u8], policy: &RouterPolicy) -> Advert {
    judge(packet, policy).unwrap_or_else(|reason| panic!("discarded: {}", reason.name()))
}

#[test]
fn v050_t1_is_a_valid_vrrpv2_advert() {
    let advert = accepted(&packet_v4(&hex(T1)), &policy(2, 4));
    assert_eq!((advert.version, advert.priority, advert.interval), (2, 100, 1));
    assert_eq!((advert.checksum, advert.flags), (checksum_form::ANY, 0));
    assert_eq!(ipv6::bytes(advert.source), mapped([192, 0, 2, 11]));
}

#[test]
fn v033_v034_both_checksum_forms_of_ipv4() {
    for (message, form, other) in [
        (T2, checksum_form::RFC9568, checksum_form::RFC5798),
        (T3, checksum_form::RFC5798, checksum_form::RFC9568),
        (T5_MESSAGE_ONLY, checksum_form::RFC9568, checksum_form::RFC5798),
        (T5_PSEUDO, checksum_form::RFC5798, checksum_form::RFC9568),
        (T6_MESSAGE_ONLY, checksum_form::RFC9568, checksum_form::RFC5798),
        (T6_PSEUDO, checksum_form::RFC5798, checksum_form::RFC9568),
    ] {
        let packet = packet_v4(&hex(message));
        let mut policy = policy(3, 4);
        assert_eq!(accepted(&packet, &policy).checksum, form, "{message}, either form");
        policy.checksum = form;
        assert_eq!(accepted(&packet, &policy).checksum, form, "{message}, this form");
        policy.checksum = other;
        assert_eq!(judge(&packet, &policy), Err(VerdictReason::ChecksumInvalid), "{message}, the other");
    }
}

#[test]
fn v035_t4_needs_its_pseudo_header() {
    let packet = packet_v6(&hex(T4));
    let advert = accepted(&packet, &policy(3, 6));
    assert_eq!((advert.priority, advert.address_count, advert.flags), (100, 2, 0));
    let mut without = packet;
    without[46..48].fill(0);
    let sum = ones_complement(&without, 40, 10, 0);
    without[46..48].copy_from_slice(&sum);
    assert_eq!(judge(&without, &policy(3, 6)), Err(VerdictReason::ChecksumInvalid));
    let mut of_icmp = packet_v6(&hex(T4));
    seal_message_v6_as(&mut of_icmp, 58);
    assert_eq!(judge(&of_icmp, &policy(3, 6)), Err(VerdictReason::ChecksumInvalid), "another next header");
}

#[test]
fn v036_the_pseudo_header_has_the_destination_of_its_own_packet() {
    let to_group = packet_v6(&hex(T4));
    let mut to_us = to_group.clone();
    to_us[24..40].copy_from_slice(&hex("fe800000000000000000000000000010"));
    let mut router = policy(3, 6);
    router.flags |= flag::UNICAST;
    assert_eq!(judge(&to_us, &router), Err(VerdictReason::ChecksumInvalid), "the sum of the group's copy");
    seal_message_v6(&mut to_us);
    assert_eq!(accepted(&to_us, &router).priority, 100);
    assert_ne!(to_us[46..48], to_group[46..48]);
}

#[test]
fn v028_t7_reserve_bits_are_ignored() {
    assert_eq!(accepted(&packet_v4(&hex(T7)), &policy(3, 4)).interval, 100);
}

#[test]
fn t5_t6_values() {
    assert_eq!(accepted(&packet_v4(&hex(T5_MESSAGE_ONLY)), &policy(3, 4)).priority, 0);
    let advert = accepted(&packet_v4(&hex(T6_MESSAGE_ONLY)), &policy(3, 4));
    assert_eq!((advert.priority, advert.interval, advert.address_count), (200, 4095, 2));
    assert_eq!(advert.flags, event_flag::INTERVAL_DIFFERS | event_flag::ADDRESSES_DIFFER);
}

/// One mutation of a good packet and the reason it must be discarded for.
struct Mutation {
    what: &'static str,
    change: fn(&mut Vec<u8>),
    reason: VerdictReason,
}

#[test]
fn v061_each_ipv4_mutation_fails_under_its_own_reason() {
    let cases = [
        Mutation { what: "own source", change: |p| p[15] = 10, reason: VerdictReason::AdvertSelf },
        Mutation { what: "TTL 254", change: |p| p[8] = 254, reason: VerdictReason::TtlInvalid },
        Mutation { what: "version 2", change: |p| p[20] = 0x21, reason: VerdictReason::VersionInvalid },
        Mutation { what: "type 2", change: |p| p[20] = 0x32, reason: VerdictReason::TypeInvalid },
        Mutation { what: "count 2", change: |p| p[23] = 2, reason: VerdictReason::LengthInvalid },
        Mutation { what: "one byte short", change: |p| p[3] -= 1, reason: VerdictReason::LengthInvalid },
        Mutation { what: "7 bytes", change: |p| p[3] = 27, reason: VerdictReason::LengthInvalid },
        Mutation { what: "more fragments", change: |p| p[6] = 0x20, reason: VerdictReason::Fragment },
        Mutation { what: "total 19", change: |p| p[3] = 19, reason: VerdictReason::HeaderInvalid },
        Mutation { what: "to a host", change: |p| p[16] = 10, reason: VerdictReason::DestinationInvalid },
        Mutation { what: "other group", change: |p| p[19] = 5, reason: VerdictReason::DestinationInvalid },
        Mutation { what: "count 0", change: |p| p[23] = 0, reason: VerdictReason::CountZero },
        Mutation { what: "interval 0", change: |p| p[25] = 0, reason: VerdictReason::IntervalZero },
    ];
    for case in cases {
        let mut packet = packet_v4(&hex(T2));
        (case.change)(&mut packet);
        let summed = 8 + 4 * usize::from(packet[23]).min(1);
        packet[26..28].fill(0);
        let sum = ones_complement(&packet, 20, summed / 4, 0);
        packet[26..28].copy_from_slice(&sum);
        seal_header(&mut packet);
        assert_eq!(judge(&packet, &policy(3, 4)), Err(case.reason), "{}", case.what);
    }
}

#[test]
fn v036_v050_a_wrong_sum_or_header_is_discarded() {
    let mut message = packet_v4(&hex(T2));
    message[22] ^= 1;
    assert_eq!(judge(&message, &policy(3, 4)), Err(VerdictReason::ChecksumInvalid));
    let mut header = packet_v4(&hex(T2));
    header[10] ^= 1;
    assert_eq!(judge(&header, &policy(3, 4)), Err(VerdictReason::HeaderInvalid));
    let pseudo_v2 = {
        let mut packet = packet_v4(&hex(T1));
        packet[26..28].fill(0);
        let extra = checksum::sum_words::<2, _>(packet.as_slice(), 12, 2).expect("addresses")
            + checksum::term(112)
            + checksum::term(20);
        let sum = ones_complement(&packet, 20, 5, extra);
        packet[26..28].copy_from_slice(&sum);
        packet
    };
    assert_eq!(judge(&pseudo_v2, &policy(2, 4)), Err(VerdictReason::ChecksumInvalid));
}

#[test]
fn v048_v051_v052_v053_vrrpv2_mutations() {
    type Change = fn(&mut Vec<u8>);
    let cases: [(&str, Change, Option<VerdictReason>); 6] = [
        ("auth type 1", |p| p[24] = 1, Some(VerdictReason::AuthTypeInvalid)),
        ("interval 2", |p| p[25] = 2, Some(VerdictReason::IntervalMismatch)),
        ("interval 0", |p| p[25] = 0, Some(VerdictReason::IntervalZero)),
        ("no authentication data", |p| p.truncate(32), Some(VerdictReason::LengthInvalid)),
        ("four bytes more", |p| p.extend([0; 4]), Some(VerdictReason::LengthInvalid)),
        ("random authentication data", |p| p[32..40].fill(0xa7), None),
    ];
    for (what, change, reason) in cases {
        let mut packet = packet_v4(&hex(T1));
        change(&mut packet);
        packet[3] = packet.len() as u8;
        seal_message(&mut packet);
        seal_header(&mut packet);
        assert_eq!(judge(&packet, &policy(2, 4)).err(), reason, "{what}");
    }
}

#[test]
fn v007_v040_ipv6_mutations() {
    let mut far = packet_v6(&hex(T4));
    far[7] = 254;
    assert_eq!(judge(&far, &policy(3, 6)), Err(VerdictReason::TtlInvalid));

    let mut global_first = packet_v6(&hex(T4));
    global_first[48] = 0x20;
    seal_message_v6(&mut global_first);
    let mut router = policy(3, 6);
    let flags = accepted(&global_first, &router).flags;
    assert_eq!(flags, event_flag::FIRST_NOT_LINK_LOCAL | event_flag::ADDRESSES_DIFFER);
    router.flags |= flag::STRICT;
    assert_eq!(judge(&global_first, &router), Err(VerdictReason::FirstAddressNotLinkLocal));
}

#[test]
fn v043_v044_padding_is_no_data_and_trailing_bytes_are_noted() {
    let mut padded = packet_v4(&hex(T2));
    padded.resize(46, 0xaa);
    assert_eq!(accepted(&padded, &policy(3, 4)).flags, 0);

    let mut trailed = packet_v4(&hex(T2));
    trailed.extend([0x5a; 28]);
    trailed[3] += 28;
    seal_header(&mut trailed);
    assert_eq!(accepted(&trailed, &policy(3, 4)).flags, event_flag::TRAILING_BYTES);
}

#[test]
fn v018_options_are_skipped_by_header_length() {
    let mut packet = packet_v4(&hex(T2));
    packet.splice(20..20, [0x94, 4, 0, 0]);
    packet[0] = 0x46;
    packet[3] += 4;
    seal_header(&mut packet);
    assert_eq!(vrid(packet.as_slice(), 0, 4), Ok(51));
    assert_eq!(accepted(&packet, &policy(3, 4)).priority, 100);
}

#[test]
fn v014_the_vrid_of_a_later_fragment_is_not_guessed() {
    let mut packet = packet_v4(&hex(T2));
    packet[7] = 1;
    assert_eq!(vrid(packet.as_slice(), 0, 4), Err(VerdictReason::VridUnknown));
    assert_eq!(vrid(&packet_v4(&hex(T2))[..21], 0, 4), Err(VerdictReason::HeaderInvalid));
}

#[test]
fn v073_v166_unicast_and_restricted_sources() {
    let group = packet_v4(&hex(T2));
    let mut unicast = group.clone();
    unicast[16..20].copy_from_slice(&[192, 0, 2, 10]);
    seal_header(&mut unicast);
    let mut router = policy(3, 4);
    router.flags |= flag::UNICAST;
    assert_eq!(judge(&group, &router), Err(VerdictReason::DestinationInvalid));
    assert_eq!(accepted(&unicast, &router).priority, 100);
    router.flags |= flag::RESTRICTED_SOURCES;
    assert_eq!(judge(&unicast, &router), Err(VerdictReason::SourceUntrusted));
    unicast[15] = 99;
    seal_header(&mut unicast);
    assert_eq!(accepted(&unicast, &router).priority, 100);
}

#[test]
fn v025_255_ipv4_and_90_ipv6_addresses() {
    let mut message = hex("313364ff00640000");
    message.extend((0..255u32).flat_map(|host| (0xc000_0200 + host).to_be_bytes()));
    let mut packet = packet_v4(&message);
    seal_message(&mut packet);
    assert_eq!(accepted(&packet, &policy(3, 4)).address_count, 255);

    let mut message = hex("3133645a00640000");
    message.extend((0..90u8).flat_map(|host| {
        let mut address = [0; 16];
        address[..2].copy_from_slice(&[0xfe, 0x80]);
        address[15] = host;
        address
    }));
    let mut packet = packet_v6(&message);
    seal_message_v6(&mut packet);
    assert_eq!(accepted(&packet, &policy(3, 6)).address_count, 90);
}

#[test]
fn v074_every_prefix_of_a_packet_is_discarded_without_panic() {
    for (packet, router) in [(packet_v4(&hex(T1)), policy(2, 4)), (packet_v6(&hex(T4)), policy(3, 6))] {
        for end in 0..packet.len() {
            assert!(
                judge(&packet[..end], &router).is_err(),
                "{end} of {} bytes",
                Buffer::len(&packet.as_slice())
            );
        }
    }
}
