//! Received adverts: conformance sections 2 to 4 and 6.

use super::fixture::{Fixture, as_answering_owner, as_backup, as_lapsed_owner, as_owner, received, transit};
use super::frames::*;
use super::plane::{Plane, SECOND_NS, V2, V2_VLAN, V4, V6, now_ns};
use ha_common::maps::keys::mapped;
use ha_common::maps::names;
use ha_common::maps::values::{checksum_form, flag, role};
use ha_common::verdict_reasons::VerdictReason::{self, *};

/// More records than the ring holds.
const RING_RECORDS: u32 = 5000;

/// Makes the next advert of the peer, T2, an unchanged one.
fn having_heard_t2(plane: &mut Plane) {
    plane.ingress(&advert_v4(T2));
}

fn set_flag(plane: &mut Plane, flag: u16) {
    [V4, V6, V2].iter().for_each(|slot| plane.policy(*slot, |policy| policy.flags |= flag));
}

/// Every vector, and what else must be accepted.
pub(crate) fn accepted() -> Vec<Fixture> {
    const OTHER_INTERVAL_AND_LIST: &[VerdictReason] = &[NoteAddressesDiffer, NoteIntervalDiffers];
    const ALL_OF_T6_PSEUDO: &[VerdictReason] =
        &[NoteAddressesDiffer, NoteIntervalDiffers, NoteLegacyChecksum];
    let on_v2_vlan = |frame| tagged(frame, &[V2_VLAN]);
    let backup = |what, frame, router| received(what, as_backup, frame, router, AdvertReported);
    vec![
        backup("T1", on_v2_vlan(advert_v4(T1)), V2),
        backup("V-033 T2", advert_v4(T2), V4),
        backup("V-034 T3", advert_v4(T3), V4).noting(&[NoteLegacyChecksum]),
        backup("V-035 T4", advert_v6(T4), V6),
        backup("T5", advert_v4(T5), V4),
        backup("T5, pseudo-header", advert_v4(T5_PSEUDO), V4).noting(&[NoteLegacyChecksum]),
        backup("T6", advert_v4(T6), V4).noting(OTHER_INTERVAL_AND_LIST),
        backup("T6, pseudo-header", advert_v4(T6_PSEUDO), V4).noting(ALL_OF_T6_PSEUDO),
        backup("V-028 T7", advert_v4(T7), V4),
        backup("V-018 IP options", with_ip_options(advert_v4(T2)), V4),
        backup("V-043 padding", padded(advert_v4(T2)), V4),
        backup("V-044 trailing bytes", with_trailing_bytes(advert_v4(T2), 28), V4)
            .noting(&[NoteTrailingBytes]),
        backup("V-040 global address first", advert_v6_global_first(), V6)
            .noting(&[NoteAddressesDiffer, NoteFirstNotLinkLocal]),
        backup("255 IPv4 addresses", advert_of_255_addresses(), V4).noting(&[NoteAddressesDiffer]),
        backup("90 IPv6 addresses", advert_of_90_addresses(), V6).noting(&[NoteAddressesDiffer]),
        backup("priority tag", tagged(advert_v4(T2), &[0]), V4),
        received("V-166 listed source", trusting_peer, advert_v4(T2), V4, AdvertReported),
        received(
            "V-168 unicast",
            |p| set_flag(p, flag::UNICAST),
            to_destination(advert_v4(T2), OUR_ADDRESS),
            V4,
            AdvertReported,
        ),
        received("two tags", router_on_two_tags, tagged(advert_v4(T2), &[40, 41]), V4, AdvertReported),
        received("unchanged", having_heard_t2, advert_v4(T2), V4, AdvertAbsorbed),
        received("V-037 form changed", having_heard_t2, advert_v4(T3), V4, AdvertReported)
            .noting(&[NoteLegacyChecksum]),
    ]
}

fn trusting_peer(plane: &mut Plane) {
    set_flag(plane, flag::RESTRICTED_SOURCES);
    plane.trust(V4, mapped(PEER_ADDRESS));
}

fn router_on_two_tags(plane: &mut Plane) {
    plane.router_key(V4, 40 << 16 | 41, 4);
}

/// V-061: each discard moves its one counter.
pub(crate) fn discarded() -> Vec<Fixture> {
    let t2 = || advert_v4(T2);
    let drop = |what, frame, reason| received(what, as_backup, frame, V4, reason);
    let drop_v2 = |what, frame, reason| received(what, as_backup, tagged(frame, &[V2_VLAN]), V2, reason);
    vec![
        drop("V-018 first fragment", with_ip_byte(t2(), 6, 0x20), Fragment),
        drop("total length below the header's", with_ip_byte(t2(), 3, 19), HeaderInvalid),
        drop("cut off inside the message", t2()[..40].to_vec(), HeaderInvalid),
        drop("V-072 own source", from_source(t2(), OUR_ADDRESS), AdvertSelf),
        received(
            "V-072 own source, as owner",
            as_answering_owner,
            from_source(t2(), OUR_ADDRESS),
            V4,
            AdvertSelf,
        ),
        drop("V-006 TTL 254", with_ttl(t2(), 254), TtlInvalid),
        drop("V-006 TTL 1", with_ttl(t2(), 1), TtlInvalid),
        drop("V-006 TTL 0", with_ttl(t2(), 0), TtlInvalid),
        received(
            "V-006 TTL 1, as owner",
            as_answering_owner,
            with_ttl(advert_of_priority(200), 1),
            V4,
            TtlInvalid,
        ),
        drop("V-064 version 2", with_message_byte(t2(), 0, 0x21, 12), VersionInvalid),
        drop("V-045 type 2", with_message_byte(t2(), 0, 0x32, 12), TypeInvalid),
        drop("V-045 type 0", with_message_byte(t2(), 0, 0x30, 12), TypeInvalid),
        drop("V-045 type 15", with_message_byte(t2(), 0, 0x3f, 12), TypeInvalid),
        drop("V-042 one byte short", with_ip_byte(t2(), 3, 31), LengthInvalid),
        drop("V-042 two addresses announced", with_message_byte(t2(), 3, 2, 12), LengthInvalid),
        drop(
            "V-033 checksum",
            {
                let mut frame = t2();
                frame[36] ^= 1;
                frame
            },
            ChecksumInvalid,
        ),
        received(
            "V-034 rfc9568 only",
            |p| checksum_policy(p, checksum_form::RFC9568),
            advert_v4(T3),
            V4,
            ChecksumInvalid,
        ),
        received(
            "V-034 rfc5798 only",
            |p| checksum_policy(p, checksum_form::RFC5798),
            t2(),
            V4,
            ChecksumInvalid,
        ),
        drop("V-073 to a host", to_destination(t2(), OUR_ADDRESS), DestinationInvalid),
        received("V-168 to the group", |p| set_flag(p, flag::UNICAST), t2(), V4, DestinationInvalid),
        received(
            "V-166 unlisted source",
            |p| set_flag(p, flag::RESTRICTED_SOURCES),
            t2(),
            V4,
            SourceUntrusted,
        ),
        drop("V-026 count 0", with_message_byte(t2(), 3, 0, 8), CountZero),
        drop("V-031 interval 0", with_message_byte(t2(), 5, 0, 12), IntervalZero),
        drop_v2("V-048 authentication type 1", with_message_byte(advert_v4(T1), 4, 1, 20), AuthTypeInvalid),
        drop_v2("V-048 authentication type 2", with_message_byte(advert_v4(T1), 4, 2, 20), AuthTypeInvalid),
        drop_v2(
            "V-048 authentication type 255",
            with_message_byte(advert_v4(T1), 4, 255, 20),
            AuthTypeInvalid,
        ),
        drop_v2("V-053 interval 2 s", with_message_byte(advert_v4(T1), 5, 2, 20), IntervalMismatch),
        drop_v2("V-052 version 3", with_message_byte(advert_v4(T1), 0, 0x31, 20), VersionInvalid),
        received(
            "V-007 hop limit 254",
            as_backup,
            {
                let mut frame = advert_v6(T4);
                frame[21] = 254;
                frame
            },
            V6,
            TtlInvalid,
        ),
        received(
            "V-040 strict",
            |p| set_flag(p, flag::STRICT),
            advert_v6_global_first(),
            V6,
            FirstAddressNotLinkLocal,
        ),
        received("V-092 initialize", initialize, t2(), V4, AdvertInitialize),
        drop("V-014 VRID 0", with_message_byte(t2(), 1, 0, 12), VridUnknown).without_router(),
        drop("V-065 VRID 52", with_message_byte(t2(), 1, 52, 12), VridUnknown).without_router(),
        drop("V-021 other VLAN", tagged(t2(), &[99]), VridUnknown).without_router(),
        drop("V-018 later fragment", with_ip_byte(t2(), 7, 1), VridUnknown).without_router(),
        drop("no room for a VRID", t2()[..35].to_vec(), HeaderInvalid).without_router(),
        drop("V-019 extension header", advert_behind_extension_header(), ExtensionHeader).without_router(),
        drop("three tags", tagged(t2(), &[1, 2, 3]), VlanTooDeep).without_router(),
    ]
}

fn checksum_policy(plane: &mut Plane, form: u8) {
    plane.policy(V4, |policy| policy.checksum = form);
}

fn initialize(plane: &mut Plane) {
    plane.policy(V4, |policy| policy.role = role::INITIALIZE);
}

/// Election, as Backup and as owner.
pub(crate) fn judged() -> Vec<Fixture> {
    let lower = || advert_of_priority(50);
    vec![
        received("V-098 lower, preempting", as_backup, lower(), V4, AdvertLowerIgnored),
        received("V-097 lower, not preempting", without_preemption, lower(), V4, AdvertReported),
        received("V-096 equal priority", as_backup, advert_v4(T2), V4, AdvertReported),
        received("V-105 lower", as_answering_owner, lower(), V4, AdvertAnswered),
        received(
            "V-105 equal, smaller source",
            as_answering_owner,
            from_source(advert_v4(T2), [192, 0, 2, 9]),
            V4,
            AdvertAnswered,
        ),
        received(
            "V-105 under two tags",
            answering_on_two_tags,
            tagged(lower(), &[40, 41]),
            V4,
            AdvertAnswered,
        ),
        received(
            "V-109 greater list, smaller source",
            as_answering_owner,
            from_source(with_message_byte(advert_v4(T2), 8, 223, 12), [192, 0, 2, 9]),
            V4,
            AdvertAnswered,
        )
        .noting(&[NoteAddressesDiffer]),
        received("V-105 IPv6, smaller source", answering_as_255, advert_v6(T4), V6, AdvertAnswered),
        received("no template", as_owner, lower(), V4, AdvertReported),
        received("V-102 priority 0", as_answering_owner, advert_v4(T5), V4, AdvertAnswered),
        received("V-107 answers used up", answers_used_up, lower(), V4, AdvertAnswerLimited),
        received(
            "V-058 VRRPv2 is silent",
            as_answering_owner,
            tagged(advert_v2_of_priority(50), &[V2_VLAN]),
            V2,
            AdvertLowerIgnored,
        ),
        received("V-103 higher", as_answering_owner, advert_of_priority(101), V4, AdvertRevoked),
        received("V-104 equal, greater source", as_answering_owner, advert_v4(T2), V4, AdvertRevoked),
        received("V-104 IPv6", as_answering_owner, advert_v6(T4), V6, AdvertRevoked),
        received(
            "V-108 compared unsigned",
            with_low_source,
            from_source(advert_v4(T2), [200, 0, 0, 1]),
            V4,
            AdvertRevoked,
        ),
        received("any advert wins against a release", while_releasing, lower(), V4, AdvertRevoked),
        received("own adverts are stale", with_stale_adverts, lower(), V4, AdvertRevoked),
        received("V-101 lapsed lease", as_lapsed_owner, advert_of_priority(101), V4, AdvertReported),
        received("V-101 lapsed lease, lower", as_lapsed_owner, lower(), V4, AdvertLowerIgnored),
        received("full ring", with_a_full_ring, advert_v4(T2), V4, AdvertReported).noting(&[RingOverflow]),
        transit("not VRRP", as_owner, udp_v4(STRANGER)),
    ]
}

fn without_preemption(plane: &mut Plane) {
    plane.policy(V4, |policy| policy.flags &= !flag::PREEMPT);
}

fn answering_on_two_tags(plane: &mut Plane) {
    router_on_two_tags(plane);
    as_answering_owner(plane);
}

fn answering_as_255(plane: &mut Plane) {
    as_answering_owner(plane);
    plane.policy(V6, |policy| policy.priority = 255);
}

fn answers_used_up(plane: &mut Plane) {
    as_answering_owner(plane);
    for _ in 0..2 {
        plane.ingress(&advert_of_priority(50));
    }
}

fn with_low_source(plane: &mut Plane) {
    as_answering_owner(plane);
    plane.policy(V4, |policy| policy.source = mapped([10, 0, 0, 1]));
}

fn while_releasing(plane: &mut Plane) {
    as_answering_owner(plane);
    plane.policy(V4, |policy| policy.priority = 0);
}

fn with_stale_adverts(plane: &mut Plane) {
    as_answering_owner(plane);
    plane.policy(V4, |policy| policy.granted_at_ns = now_ns() - 4 * SECOND_NS);
    plane.set_state(V4, |state| state.last_sent_ns = now_ns() - 4 * SECOND_NS);
}

/// Priority 0 is always reported, so it fills the ring.
fn with_a_full_ring(plane: &mut Plane) {
    plane.time(names::PROGRAM_INGRESS, &advert_v4(T5), RING_RECORDS);
}
