//! What an attacker may try with probes, one test each: none is answered that should not be, and none teaches anything.

use super::frames::*;
use super::peer_plane::*;
use super::plane::{Plane, Run, SECOND_NS, now_ns};
use super::probe_fixtures::{having_heard, with_byte};
use super::probe_frames::*;
use ha_common::maps::names;
use ha_common::ring_events::peer_event;
use ha_common::verdict_reasons::VerdictReason::{self, *};
use ha_common::wire::probe::{LENGTH, Message, kind};

const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;
const XDP_TX: u32 = 3;

/// A node whose peer was heard on both paths.
fn familiar() -> Plane {
    let mut plane = Plane::new();
    having_heard(&mut plane);
    plane
}

/// Runs a frame that must come to `reason`, teach nothing and, unless the reason says so, not be answered.
fn refused(plane: &mut Plane, frame: &[u8], reason: VerdictReason) -> Run {
    let (knowledge, count) = (plane.knowledge(), plane.verdict(reason));
    let run = plane.ingress(frame);
    assert_eq!(plane.verdict(reason) - count, 1, "{}", reason.name());
    assert_eq!(plane.knowledge(), knowledge, "{} teaches nothing", reason.name());
    if run.code != XDP_TX {
        assert_eq!(run.frame, frame);
    }
    run
}

fn no_bit_can_be_flipped(frame: &[u8], message_at: usize) {
    let mut plane = familiar();
    let knowledge = plane.knowledge();
    for bit in 0..8 * LENGTH {
        let mut flipped = frame.to_vec();
        flipped[message_at + bit / 8] ^= 1 << (bit % 8);
        let run = plane.ingress(&flipped);
        assert_eq!((run.code, &run.frame), (XDP_DROP, &flipped), "bit {bit}");
        assert_eq!(plane.knowledge(), knowledge, "bit {bit}");
    }
    assert_eq!(plane.ingress(frame).code, XDP_TX, "the frame itself is a good one");
    assert_ne!(plane.knowledge(), knowledge);
}

#[test]
fn no_bit_of_a_request_can_be_flipped() {
    no_bit_can_be_flipped(&probe_v4(&request(11)), MESSAGE_V4);
    no_bit_can_be_flipped(&probe_v6(&request_v6(11)), MESSAGE_V6);
}

#[test]
fn no_bit_of_a_reply_can_be_flipped() {
    let mut plane = familiar();
    let knowledge = plane.knowledge();
    let frame = probe_v4(&reply(1, OUR_INDEX_V4, now_ns()));
    for bit in 0..8 * LENGTH {
        let mut flipped = frame.clone();
        flipped[MESSAGE_V4 + bit / 8] ^= 1 << (bit % 8);
        assert_eq!(plane.ingress(&flipped).code, XDP_DROP, "bit {bit}");
    }
    assert_eq!(plane.knowledge(), knowledge);
    plane.ingress(&frame);
    assert_eq!(plane.path_state(PATH_V4).replies, 1);
}

#[test]
fn off_link_a_frame_that_was_forwarded_is_refused() {
    let mut plane = familiar();
    refused(&mut plane, &with_ttl(probe_v4(&request(11)), 254), ProbeHeaderInvalid);
    refused(&mut plane, &with_byte(probe_v6(&request_v6(11)), 21, 254), ProbeHeaderInvalid);
}

#[test]
fn off_link_another_interface_or_vlan_is_no_path() {
    let mut plane = familiar();
    let run = refused(&mut plane, &tagged(probe_v4(&request(11)), &[5]), ProbePathUnknown);
    assert_eq!(run.code, XDP_PASS);
    plane.path_key(PATH_V4, 5);
    assert_eq!(plane.ingress(&tagged(probe_v4(&request(11)), &[5])).code, XDP_TX);
}

#[test]
fn on_link_without_the_key_nothing_is_answered() {
    let mut plane = familiar();
    for key in [[0, 0], FIRST.send, SECOND.receive, [FIRST.receive[1], FIRST.receive[0]]] {
        let forged = carried_v4(&signed(&request(11), key));
        assert_eq!(refused(&mut plane, &forged, ProbeMacInvalid).code, XDP_DROP);
    }
    assert_eq!(plane.peer_state().bad_macs, 4);
}

#[test]
fn replay_in_the_same_run_is_answered_now_and_then_and_teaches_nothing() {
    let mut plane = familiar();
    let capture = probe_v4(&Message { owned: 0b1111, ..request(9) });
    let run = refused(&mut plane, &capture, ProbeRepeated);
    assert_eq!(answer_v4(&run.frame).kind, kind::REPLY);
    for _ in 0..3 {
        refused(&mut plane, &capture, ProbeRepeatLimited);
    }
    plane.set_path_state(PATH_V4, |path| path.repeated_at_ns -= LONG_NS);
    assert_eq!(refused(&mut plane, &capture, ProbeRepeated).code, XDP_TX);
    assert_eq!(
        refused(&mut plane, &probe_v6(&request_v6(10)), ProbeRepeated).code,
        XDP_TX,
        "each path has its own"
    );
}

#[test]
fn replay_after_our_reboot_is_challenged() {
    let mut plane = Plane::new();
    plane.meet_peer();
    plane.node(|node| node.incarnation = OURS + 1);
    // All that is left of the time before is a capture.
    let run = refused(&mut plane, &probe_v4(&request(11)), ProbeChallenged);
    let challenge = answer_v4(&run.frame);
    assert_eq!((challenge.kind, challenge.responder_incarnation), (kind::CHALLENGE, OURS + 1));
    refused(&mut plane, &probe_v4(&request(12)), ProbeRepeatLimited);
    assert_eq!(plane.peer_state().incarnation, 0);
}

#[test]
fn replay_after_the_peers_reboot_is_of_an_older_run() {
    let mut plane = familiar();
    plane.ingress(&probe_v4(&Message { prober_incarnation: THEIRS + 1, t1_ns: 1, ..request(1) }));
    assert_eq!(plane.peer_state().incarnation, THEIRS + 1);
    for number in [10, 11, u64::MAX >> 4] {
        refused(&mut plane, &probe_v4(&request(number)), ProbeOldIncarnation);
    }
    // On the path that has not heard of the new run yet, too.
    refused(&mut plane, &probe_v6(&request_v6(11)), ProbeOldIncarnation);
}

#[test]
fn replay_of_a_reply_is_unmatched() {
    let mut plane = familiar();
    let now = now_ns();
    let frames: Vec<_> = (1..4).map(|number| probe_v4(&reply(number, OUR_INDEX_V4, now))).collect();
    for frame in &frames {
        plane.ingress(frame);
    }
    for frame in &frames {
        refused(&mut plane, frame, ProbeReplyUnmatched);
    }
    assert_eq!(plane.path_state(PATH_V4).replies, 3);
}

#[test]
fn replay_of_a_reply_to_an_earlier_run_of_ours_is_unmatched() {
    let mut plane = familiar();
    plane.node(|node| node.incarnation = OURS + 1);
    refused(&mut plane, &probe_v4(&reply(1, OUR_INDEX_V4, now_ns())), ProbeReplyUnmatched);
}

#[test]
fn a_late_reply_is_unmatched() {
    let mut plane = familiar();
    plane.path(PATH_V4, |path| path.reply_deadline_ns = SECOND_NS);
    let late = |kind, late_ns| probe_v4(&Message { kind, ..reply(1, OUR_INDEX_V4, now_ns() - late_ns) });
    refused(&mut plane, &late(kind::REPLY, SECOND_NS + 1), ProbeReplyUnmatched);
    refused(&mut plane, &late(kind::CHALLENGE, SECOND_NS + 1), ProbeReplyUnmatched);
    plane.ingress(&late(kind::REPLY, SECOND_NS / 2));
    assert_eq!(plane.path_state(PATH_V4).replies, 1);
}

/// Our own request or reply thrown back at us, as it was and with its ends turned around.
#[test]
fn reflection_of_our_own_packets_is_refused() {
    let mut plane = familiar();
    for kind in [kind::REQUEST, kind::REPLY, kind::CHALLENGE, kind::ADDRESS] {
        let ours = Message { kind, from: NODE, to: PEER_NODE, ..request(11) };
        refused(&mut plane, &carried_v4(&signed(&ours, FIRST.send)), ProbeHeaderInvalid);
        let renamed = Message { from: PEER_NODE, to: NODE, ..ours };
        refused(&mut plane, &carried_v4(&signed(&renamed, FIRST.send)), ProbeMacInvalid);
    }
    let answer = plane.ingress(&probe_v4(&request(11))).frame;
    refused(&mut plane, &answer, ProbePathUnknown);
}

#[test]
fn replies_and_challenges_are_never_answered() {
    let mut plane = familiar();
    for (number, kind) in (1..).zip([kind::REPLY, kind::CHALLENGE, kind::ADDRESS]) {
        for responder_incarnation in [0, OURS, OURS - 1, THEIRS] {
            let message = Message { kind, responder_incarnation, ..reply(number, OUR_INDEX_V4, now_ns()) };
            for message in [message, Message { prober_incarnation: THEIRS, ..message }] {
                assert_eq!(plane.ingress(&probe_v4(&message)).code, XDP_DROP, "{message:?}");
            }
        }
    }
}

#[test]
fn amplification_an_answer_is_as_long_as_what_it_answers() {
    let mut plane = familiar();
    let challenged = Message { responder_incarnation: 0, ..request_v6(12) };
    for (frame, reason) in [
        (probe_v4(&request(11)), ProbeAnswered),
        (probe_v4(&request(11)), ProbeRepeated),
        (probe_v6(&challenged), ProbeChallenged),
    ] {
        let counted = plane.verdict(reason);
        let run = plane.ingress(&frame);
        assert_eq!((run.code, run.frame.len()), (XDP_TX, frame.len()));
        assert_eq!(plane.verdict(reason) - counted, 1, "{}", reason.name());
    }
    let longer = carried_v4(&[signed(&request(13), FIRST.receive), vec![0; 400]].concat());
    refused(&mut plane, &longer, ProbeHeaderInvalid);
}

#[test]
fn bounce_at_a_victim_the_source_is_that_of_the_path() {
    let mut plane = familiar();
    let frame = from_source(probe_v4(&request(11)), STRANGER);
    assert_eq!(refused(&mut plane, &frame, ProbePathUnknown).code, XDP_PASS);
    let to_many = with_macs(probe_v4(&request(11)), OUR_MAC, [0xff; 6]);
    refused(&mut plane, &to_many, ProbeHeaderInvalid);
}

#[test]
fn a_flood_of_bad_macs_leaves_the_peer_its_allowance_and_raises_one_alarm() {
    let mut plane = familiar();
    plane.peer_events();
    let forged = carried_v4(&signed(&Message { responder_incarnation: 0, ..request(11) }, [1, 2]));
    let knowledge = plane.knowledge();
    plane.time(names::PROGRAM_INGRESS, &forged, 100_000);
    assert_eq!(plane.knowledge(), knowledge);
    assert_eq!(plane.peer_state().bad_macs, 100_000);
    let events = plane.peer_events();
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].kind, events[0].peer), (peer_event::BAD_MAC, PEER as u16));
    assert_eq!(plane.peer_state().bad_mac_at_ns, events[0].at_ns);
    for (frame, reason) in [
        (probe_v4(&request(11)), ProbeAnswered),
        (probe_v4(&request(11)), ProbeRepeated),
        (probe_v6(&Message { responder_incarnation: 0, ..request_v6(11) }), ProbeChallenged),
    ] {
        assert_eq!(plane.ingress(&frame).code, XDP_TX, "{}", reason.name());
    }
    plane.set_peer_state(|peer| peer.bad_mac_at_ns -= LONG_NS);
    plane.ingress(&forged);
    let kinds: Vec<u32> = plane.peer_events().iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [peer_event::BAD_MAC], "an interval later, another");
}

#[test]
fn on_path_addresses_cannot_be_changed() {
    let mut plane = familiar();
    let v4 = probe_v4(&request(11));
    let v6 = probe_v6(&request_v6(11));
    for frame in [from_source(v4.clone(), [192, 0, 2, 12]), to_destination(v4.clone(), STRANGER)] {
        refused(&mut plane, &frame, ProbePathUnknown);
    }
    for at in [22, 38] {
        refused(&mut plane, &with_byte(v6.clone(), at + 15, 0x33), ProbePathUnknown);
    }
    // Nor can the message be carried by the other family, where there is a path, too.
    refused(&mut plane, &probe_v6(&request(11)), ProbePathMismatch);
    refused(&mut plane, &probe_v4(&request_v6(11)), ProbePathMismatch);
    refused(&mut plane, &probe_v4(&reply(1, OUR_INDEX_V6, now_ns())), ProbeReplyUnmatched);
}

#[test]
fn zombie_past_the_lease_an_answer_claims_nothing() {
    let mut plane = familiar();
    plane.lease_until(now_ns() - SECOND_NS);
    let answer = answer_v4(&plane.ingress(&probe_v4(&request(11))).frame);
    assert_eq!((answer.owned, answer.ready, answer.remaining_us), (0, 0, 0));
    let challenge = Message { responder_incarnation: 0, ..request_v6(11) };
    let answer = answer_v6(&plane.ingress(&probe_v6(&challenge)).frame);
    assert_eq!((answer.owned, answer.ready, answer.remaining_us), (0, 0, 0));
}

#[test]
fn key_id_downgrade_to_a_retired_secret_is_refused() {
    let mut plane = familiar();
    let under_second =
        |number| carried_v4(&signed(&Message { key_id: SECOND.id, ..request(number) }, SECOND.receive));
    assert_eq!(plane.ingress(&under_second(11)).code, XDP_TX);
    plane.peer(|peer| {
        (peer.receive[1], peer.send[1]) = ([0; 2], [0; 2]);
        peer.key_ids[1] = 0;
    });
    refused(&mut plane, &under_second(12), ProbeKeyUnknown);
    // An empty slot has no key: neither the zeros it holds nor the number it bears let anyone in.
    let under_zero = carried_v4(&signed(&Message { key_id: 0, ..request(12) }, [0; 2]));
    refused(&mut plane, &under_zero, ProbeKeyUnknown);
    // Naming one secret and signing under the other is no way in either.
    let crossed = carried_v4(&signed(&request(12), SECOND.receive));
    refused(&mut plane, &crossed, ProbeMacInvalid);
}

/// A peer with another secret names a key that is not in use: that is how a mistyped secret shows.
#[test]
fn a_key_that_is_not_in_use_raises_the_alarm_of_wrong_macs() {
    let mut plane = familiar();
    let foreign = carried_v4(&signed(&Message { key_id: 0x0303, ..request(11) }, [1, 2]));
    refused(&mut plane, &foreign, ProbeKeyUnknown);
    let state = plane.peer_state();
    assert_eq!(state.bad_macs, 1);
    assert!(state.bad_mac_at_ns > 0);
}

#[test]
fn an_emptied_peer_slot_lets_nobody_in() {
    let mut plane = familiar();
    plane.peer(|peer| {
        peer.node = 0;
        (peer.receive, peer.send, peer.key_ids) = ([[0; 2]; 2], [[0; 2]; 2], [0; 2]);
    });
    let forged = Message { from: 0, key_id: 0, ..request(11) };
    refused(&mut plane, &carried_v4(&signed(&forged, [0; 2])), ProbePathUnknown);
}

#[test]
fn a_node_without_incarnation_is_fresh_to_nobody() {
    let mut plane = Plane::new();
    plane.meet_peer();
    plane.node(|node| node.incarnation = 0);
    refused(&mut plane, &probe_v4(&Message { responder_incarnation: 0, ..request(1) }), ProbeChallenged);
}

#[test]
fn sequence_exhaustion_ends_at_the_last_number() {
    let mut plane = familiar();
    let last = u64::MAX >> 4;
    assert_eq!(plane.ingress(&probe_v4(&request(last - 1))).code, XDP_TX);
    assert_eq!(plane.ingress(&probe_v4(&request(last))).code, XDP_TX);
    assert_eq!(plane.verdict(ProbeAnswered), 4);
    for number in [last, 0, 1, 11] {
        let before = plane.knowledge();
        plane.ingress(&probe_v4(&request(number)));
        assert_eq!(plane.knowledge(), before, "request {number}");
    }
    // A new run of the peer begins its numbers anew, even with the first of all.
    assert_eq!(
        plane.ingress(&probe_v4(&Message { prober_incarnation: THEIRS + 1, ..request(0) })).code,
        XDP_TX
    );
    assert_eq!(plane.verdict(ProbeAnswered), 5);
}

#[test]
fn another_path_index_is_refused_once_one_is_known() {
    let mut plane = familiar();
    for index in (0..16).filter(|index| *index != THEIR_INDEX_V4) {
        let sequence = 11 << 4 | index;
        refused(&mut plane, &probe_v4(&Message { sequence, ..request(11) }), ProbePathMismatch);
    }
}

#[test]
fn an_address_needs_the_run_that_was_proven() {
    let mut plane = Plane::new();
    plane.meet_peer();
    let word = |number| probe_v4(&address_message(number, address_v6(PEER_LINK_LOCAL)));
    // Before any request of this run of ours, a capture of an earlier time is all it can be.
    refused(&mut plane, &word(50), ProbeOldIncarnation);
    having_heard(&mut plane);
    refused(&mut plane, &word(9), ProbeRepeatLimited);
    plane.ingress(&word(11));
    assert_eq!(plane.path_state(PATH_V4).link_local, address_v6(PEER_LINK_LOCAL));
    refused(&mut plane, &word(11), ProbeRepeatLimited);
    refused(&mut plane, &probe_v4(&request(11)), ProbeRepeated);
}
