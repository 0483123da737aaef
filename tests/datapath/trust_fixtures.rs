//! Adverts of peers: which count, by what the peers themselves have said.

use super::fixture::{Fixture, as_answering_owner, received};
use super::frames::*;
use super::peer_plane::*;
use super::plane::{EPOCH, Plane, SECOND_NS, V2, V2_VLAN, V4, V6, now_ns};
use super::probe_frames::*;
use ha_common::maps::keys::mapped;
use ha_common::maps::peers::{NO_UNIT, peer_flag};
use ha_common::maps::values::{flag, role};
use ha_common::ring_events::event_flag;
use ha_common::verdict_reasons::VerdictReason::{self, *};
use ha_common::wire::probe::{Message, flag as probe_flag};

/// The unit of the routers under test; [`request`] owns it.
const UNIT: u8 = 3;

/// The routers ask for corroboration, and the only sender they listen to is the peer.
fn suspicious(plane: &mut Plane) {
    plane.meet_peer();
    for slot in [V4, V6, V2] {
        plane.policy(slot, |policy| {
            policy.flags |= flag::CORROBORATE;
            policy.unit = UNIT;
        });
    }
    plane.trust_as(V4, mapped(PEER_ADDRESS), PEER + 1);
    plane.trust_as(V2, mapped(PEER_ADDRESS), PEER + 1);
    plane.trust_as(V6, address_v6(PEER_LINK_LOCAL), PEER + 1);
}

fn told(plane: &mut Plane, message: &Message) {
    suspicious(plane);
    plane.ingress(&probe_v4(message));
}

/// The peer says that it owns the unit, with priority 120.
fn owner(plane: &mut Plane) {
    told(plane, &request(1));
}

/// The peer says that it owns something else.
fn other_owner(plane: &mut Plane) {
    told(plane, &Message { owned: !(1 << UNIT), ..request(1) });
}

fn draining_owner(plane: &mut Plane) {
    told(plane, &Message { flags: probe_flag::DRAINING, ..request(1) });
}

fn stale_owner(plane: &mut Plane) {
    owner(plane);
    plane.set_peer_state(|peer| peer.heard_at_ns = now_ns() - LONG_NS - SECOND_NS);
}

fn owner_without_lease(plane: &mut Plane) {
    told(plane, &Message { remaining_us: 0, ..request(1) });
}

fn plain(plane: &mut Plane) {
    suspicious(plane);
    plane.peer(|peer| peer.flags = peer_flag::PLAIN);
}

fn trusted(plane: &mut Plane) {
    suspicious(plane);
    plane.trust(V4, mapped(PEER_ADDRESS));
}

fn unlisted(plane: &mut Plane) {
    owner(plane);
    plane.forget_sources();
}

fn owner_of_another_configuration(plane: &mut Plane) {
    told(plane, &Message { digest: DIGEST + 1, ..request(1) });
}

fn without_unit(plane: &mut Plane) {
    owner(plane);
    plane.policy(V4, |policy| policy.unit = NO_UNIT);
}

fn of_an_empty_slot(plane: &mut Plane) {
    owner(plane);
    plane.peer(|peer| peer.node = 0);
}

fn of_no_slot(plane: &mut Plane) {
    owner(plane);
    plane.trust_as(V4, mapped(PEER_ADDRESS), u32::MAX);
}

fn unasked(plane: &mut Plane) {
    suspicious(plane);
    plane.policy(V4, |policy| policy.flags &= !flag::CORROBORATE);
}

fn asked_in_initialize(plane: &mut Plane) {
    suspicious(plane);
    plane.policy(V4, |policy| policy.role = role::INITIALIZE);
}

/// We own the routers too, at priority 100, and nothing bears the peer out.
fn owner_beside_a_stranger(plane: &mut Plane) {
    suspicious(plane);
    as_answering_owner(plane);
}

fn owner_beside_an_owner(plane: &mut Plane) {
    owner(plane);
    as_answering_owner(plane);
}

fn silent_owner(plane: &mut Plane) {
    owner_beside_a_stranger(plane);
    for slot in [V4, V6, V2] {
        plane.policy(slot, |policy| policy.granted_at_ns = now_ns() - 4 * SECOND_NS);
        plane.set_state(slot, |state| state.last_sent_ns = now_ns() - 4 * SECOND_NS);
    }
}

fn owner_without_template(plane: &mut Plane) {
    owner_beside_a_stranger(plane);
    plane.template(V4, &[]);
}

fn answers_used_up(plane: &mut Plane) {
    owner_beside_a_stranger(plane);
    for _ in 0..2 {
        plane.ingress(&advert_of_priority(50));
    }
}

/// An advert with another interval than ours, 1 s.
fn hurried(priority: u8) -> Vec<u8> {
    with_message_byte(advert_of_priority(priority), 5, 50, 12)
}

pub(crate) fn as_backup() -> Vec<Fixture> {
    let v4 = |what, arrange: fn(&mut Plane), frame, verdict: VerdictReason| {
        received(what, arrange, frame, V4, verdict)
    };
    let t2 = || advert_of_priority(100);
    vec![
        v4("not asked for", unasked, t2(), AdvertReported),
        v4("trusted without a probe", trusted, t2(), AdvertReported),
        v4("not listed", unlisted, t2(), SourceUntrusted),
        v4("its authentication fails", plain, t2(), AdvertReported),
        v4("never heard", suspicious, t2(), AdvertUncorroborated),
        v4("not heard for long", stale_owner, t2(), AdvertUncorroborated),
        v4("an owner", owner, t2(), AdvertReported),
        v4("an owner, at its priority", owner, advert_of_priority(120), AdvertReported),
        v4("an owner, above its priority", owner, advert_of_priority(121), AdvertUncorroborated),
        v4("no owner", other_owner, t2(), AdvertUncorroborated),
        v4("an owner without lease", owner_without_lease, t2(), AdvertUncorroborated),
        v4("an owner, in haste", owner, hurried(100), AdvertUncorroborated),
        v4("an owner of other intervals", owner_of_another_configuration, hurried(100), AdvertReported)
            .noting(&[NoteIntervalDiffers]),
        v4("a draining owner, in haste", draining_owner, hurried(100), AdvertReported)
            .noting(&[NoteIntervalDiffers]),
        v4("an owner releases", owner, advert_v4(T5), AdvertUncorroborated),
        v4("a draining owner releases", draining_owner, advert_v4(T5), AdvertReported),
        v4("no owner releases", other_owner, advert_v4(T5), AdvertReported),
        v4("one never heard releases", suspicious, advert_v4(T5), AdvertUncorroborated),
        v4("a router without unit", without_unit, t2(), AdvertUncorroborated),
        v4("a router without unit, a release", without_unit, advert_v4(T5), AdvertUncorroborated),
        v4("an empty slot", of_an_empty_slot, t2(), AdvertUncorroborated),
        v4("no slot", of_no_slot, t2(), AdvertUncorroborated),
        v4("in Initialize", asked_in_initialize, t2(), AdvertInitialize),
        v4("a wrong checksum", owner, with_ip_byte(advert_v4(T3), 12, 193), ChecksumInvalid),
        received("IPv6, an owner", owner, advert_v6(T4), V6, AdvertReported),
        received("IPv6, never heard", suspicious, advert_v6(T4), V6, AdvertUncorroborated),
        received("VRRPv2, an owner", owner, tagged(advert_v4(T1), &[V2_VLAN]), V2, AdvertReported),
        received(
            "VRRPv2, never heard",
            suspicious,
            tagged(advert_v4(T1), &[V2_VLAN]),
            V2,
            AdvertUncorroborated,
        ),
    ]
}

pub(crate) fn as_owner() -> Vec<Fixture> {
    let lower = || advert_of_priority(50);
    let higher = || advert_of_priority(110);
    let v4 = |what, arrange: fn(&mut Plane), frame, verdict: VerdictReason| {
        received(what, arrange, frame, V4, verdict)
    };
    vec![
        v4("a winner that owns", owner_beside_an_owner, higher(), AdvertRevoked),
        v4("a winner never heard", owner_beside_a_stranger, higher(), AdvertUncorroborated),
        v4("an equal never heard", owner_beside_a_stranger, advert_v4(T2), AdvertUncorroborated),
        v4("a loser that owns", owner_beside_an_owner, lower(), AdvertAnswered),
        v4("a loser never heard", owner_beside_a_stranger, lower(), AdvertAnswered),
        v4("a release never heard", owner_beside_a_stranger, advert_v4(T5), AdvertAnswered),
        v4("a loser, no template", owner_without_template, lower(), AdvertUncorroborated),
        v4("a loser, answers used up", answers_used_up, lower(), AdvertAnswerLimited),
        v4("any, when silent for long", silent_owner, lower(), AdvertUncorroborated),
        received(
            "VRRPv2, a loser",
            owner_beside_a_stranger,
            tagged(advert_v2_of_priority(50), &[V2_VLAN]),
            V2,
            AdvertUncorroborated,
        ),
        received(
            "VRRPv2, a release",
            owner_beside_a_stranger,
            tagged(advert_v2_of_priority(0), &[V2_VLAN]),
            V2,
            AdvertAnswered,
        ),
    ]
}

/// What an advert leaves in the router's state, beside the counters that say that it was refused.
fn trace(plane: &mut Plane) -> String {
    let mut state = plane.state(V4);
    (state.uncorroborated, state.uncorroborated_told_ns) = (0, 0);
    (state.answer_window_began_ns, state.answers_in_window, state.adverts_answered) = (0, 0, 0);
    format!("{state:?}")
}

#[test]
fn an_uncorroborated_advert_leaves_no_trace() {
    for arrange in [suspicious as fn(&mut Plane), owner_beside_a_stranger, silent_owner] {
        let mut plane = Plane::new();
        arrange(&mut plane);
        let before = trace(&mut plane);
        for frame in
            [advert_of_priority(50), advert_v4(T5), advert_of_priority(110), advert_v4(T6), hurried(120)]
        {
            plane.ingress(&frame);
            assert_eq!(trace(&mut plane), before);
        }
        assert_eq!(plane.state(V4).uncorroborated, 5);
        assert_eq!(plane.node_state().revoked, 0);
    }
}

#[test]
fn one_uncorroborated_advert_is_told_in_a_check_interval() {
    let mut plane = Plane::new();
    suspicious(&mut plane);
    for _ in 0..3 {
        plane.ingress(&advert_of_priority(130));
    }
    let events = plane.events();
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].flags, events[0].priority, events[0].epoch), (event_flag::UNCORROBORATED, 130, 0));
    assert_eq!(events[0].source, mapped(PEER_ADDRESS));
    assert_eq!(plane.state(V4).uncorroborated_told_ns, events[0].at_ns);
    plane.ingress(&advert_v6(T4));
    assert_eq!(plane.events().len(), 1, "each router has its own");
    plane.set_state(V4, |state| state.uncorroborated_told_ns -= LONG_NS);
    plane.ingress(&advert_of_priority(130));
    assert_eq!(plane.events().len(), 1, "an interval later, another");
}

#[test]
fn an_answered_one_is_told_as_such() {
    let mut plane = Plane::new();
    owner_beside_a_stranger(&mut plane);
    let run = plane.ingress(&advert_of_priority(50));
    assert_eq!(run.frame, our_advert());
    let events = plane.events();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].flags, event_flag::UNCORROBORATED | event_flag::ANSWERED);
    assert_eq!(events[0].epoch, EPOCH);
}

#[test]
fn a_forged_advert_moves_nothing_until_the_peer_says_the_same() {
    let mut plane = Plane::new();
    owner_beside_a_stranger(&mut plane);
    plane.ingress(&advert_of_priority(110));
    assert_eq!(plane.state(V4).revoked_epoch, 0);
    plane.ingress(&probe_v4(&request(1)));
    plane.ingress(&advert_of_priority(110));
    assert_eq!(plane.state(V4).revoked_epoch, EPOCH);
    assert_eq!((plane.node_state().revoked, plane.node_state().grant), (1 << UNIT, GRANT));
}
