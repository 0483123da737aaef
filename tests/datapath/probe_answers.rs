//! What probes are answered with, byte for byte, and what they teach.

use super::fixture::as_answering_owner;
use super::frames::*;
use super::peer_plane::*;
use super::plane::{EPOCH, Plane, SECOND_NS, V4, now_ns};
use super::probe_fixtures::having_heard;
use super::probe_frames::*;
use ha_common::maps::peers::PeerState;
use ha_common::maps::values::Head;
use ha_common::ring_events::{PeerEvent, peer_event};
use ha_common::verdict_reasons::VerdictReason::*;
use ha_common::wire::probe::{Message, flag, health, kind};

/// SipHash-2-4 of 00..57 under the key 00..0f.
const MAC_OF_88_BYTES: u64 = 0xbb6b_c742_5982_a262;
/// [`request`] number 1 under the first secret.
const REQUEST: &str = "4846010101010000fecaed5e020001006745230107000000130000000000000041420f0000000000\
    efcdab8905000000000000000000000009000000000000000b00000000000000a0bb0d0078000300ed576ed101006400\
    7cb2da9878fecb2b";
/// The answer past the lease, up to the responder's clock and from there to the MAC.
const STALE_ANSWER_HEAD: &str =
    "4846010201010200fecaed5e010002006745230107000000130000000000000041420f0000000000efcdab8905000000";
const STALE_ANSWER_TAIL: &str = "000000000000000000000000000000000000000000000202ed576ed103006400";

fn met() -> Plane {
    let mut plane = Plane::new();
    plane.meet_peer();
    plane
}

fn answer(plane: &mut Plane, message: &Message) -> Message {
    answer_v4(&plane.ingress(&probe_v4(message)).frame)
}

#[test]
fn the_mac_is_siphash_over_the_bytes_in_front_of_it() {
    let bytes: Vec<u8> = (0..96).collect();
    let key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
    assert_eq!(decode(&bytes).compute_mac(key), MAC_OF_88_BYTES);
    assert_eq!(mac(&bytes, key), MAC_OF_88_BYTES);
    assert_eq!(signed(&request(1), FIRST.receive), hex(REQUEST));
}

#[test]
fn the_golden_answer() {
    let mut plane = met();
    plane.lease_until(now_ns() - 1);
    let frame = carried_v4(&hex(REQUEST));
    let run = plane.ingress(&frame);
    let message = &run.frame[MESSAGE_V4..];
    assert_eq!(message[..48], hex(STALE_ANSWER_HEAD));
    assert_eq!(message[56..88], hex(STALE_ANSWER_TAIL));
    assert_eq!(run.frame, turned(&frame, &Message { mac: 0, ..decode(message) }, &[]));
}

#[test]
fn the_answer_is_the_request_turned_around() {
    for tags in [&[][..], &[17], &[40, 41]] {
        let mut plane = met();
        let vlan = tags.iter().fold(0, |vlan, tag| vlan << 16 | u32::from(*tag));
        for (slot, frame, message_at) in
            [(PATH_V4, probe_v4(&request(1)), MESSAGE_V4), (PATH_V6, probe_v6(&request_v6(1)), MESSAGE_V6)]
        {
            plane.path_key(slot, vlan);
            let before = now_ns();
            let frame = tagged(frame, tags);
            let run = plane.ingress(&frame);
            let after = now_ns();
            assert_eq!(run.frame.len(), frame.len(), "an answer is as long as its request");
            let found = decode(&run.frame[message_at + 4 * tags.len()..]);
            assert!((before..=after).contains(&found.t2_ns));
            let request = decode(&frame[message_at + 4 * tags.len()..]);
            let expected = Message {
                kind: kind::REPLY,
                from: NODE,
                to: PEER_NODE,
                t2_ns: found.t2_ns,
                owned: 0b110,
                ready: 0b111,
                remaining_us: found.remaining_us,
                priority: 150,
                hears: HEARS,
                health: health::LINKS | health::CHECKS,
                mac: found.mac,
                ..request
            };
            assert_eq!(found, expected);
            assert_eq!(run.frame, turned(&frame, &expected, tags));
        }
    }
}

#[test]
fn the_checksum_of_the_request_is_not_looked_at() {
    let mut plane = met();
    let mut frame = probe_v4(&request(1));
    // What a local sender leaves behind: the sum of the pseudo-header.
    frame[UDP_V4 + 6..UDP_V4 + 8].copy_from_slice(&[0x12, 0x34]);
    let run = plane.ingress(&frame);
    let mut without = run.frame.clone();
    without[UDP_V4 + 6..UDP_V4 + 8].fill(0);
    assert_eq!(run.frame, turned(&frame, &answer_v4(&run.frame), &[]));
    assert_ne!(run.frame, without, "there is a checksum");
}

#[test]
fn the_answer_is_signed_under_the_secret_of_the_request() {
    let mut plane = met();
    let message = Message { key_id: SECOND.id, ..request(1) };
    let run = plane.ingress(&carried_v4(&signed(&message, SECOND.receive)));
    let answer = answer_v4(&run.frame);
    assert_eq!(answer.key_id, SECOND.id);
    assert_eq!(answer.mac, mac(&encode(&answer), SECOND.send));
}

#[test]
fn what_is_left_of_the_lease_is_rounded_up() {
    let mut plane = met();
    let until_ns = now_ns() + SECOND_NS;
    plane.lease_until(until_ns);
    let found = answer(&mut plane, &request(1));
    let left_ns = until_ns - found.t2_ns;
    assert_eq!(u64::from(found.remaining_us), left_ns.div_ceil(1000));
    plane.lease_until(u64::MAX);
    assert_eq!(answer(&mut plane, &request(2)).remaining_us, u32::MAX);
}

#[test]
fn v7_6_zombie_past_the_lease_nothing_is_claimed() {
    let mut plane = met();
    plane.node(|node| node.flags = flag::MAINTENANCE);
    plane.lease_until(now_ns());
    let found = answer(&mut plane, &request(1));
    assert_eq!(found.flags, flag::MAINTENANCE | flag::STALE);
    assert_eq!((found.owned, found.ready, found.priority, found.remaining_us), (0, 0, 0, 0));
    assert_eq!(found.mac, mac(&encode(&found), FIRST.send));
}

#[test]
fn a_revoked_unit_is_disclaimed_until_the_next_grant() {
    let mut plane = met();
    as_answering_owner(&mut plane);
    plane.policy(V4, |policy| policy.unit = 2);
    plane.ingress(&advert_of_priority(200));
    assert_eq!(plane.state(V4).revoked_epoch, EPOCH);
    let state = plane.node_state();
    assert_eq!((state.revoked, state.grant), (0b100, GRANT));
    assert_eq!(answer(&mut plane, &request(1)).owned, 0b010);

    plane.node(|node| node.grant += 1);
    assert_eq!(answer(&mut plane, &request(2)).owned, 0b110, "a later grant is not hit");
    plane.own(V4);
    plane.policy(V4, |policy| {
        policy.unit = 1;
        policy.epoch += 1;
    });
    plane.ingress(&advert_of_priority(201));
    let state = plane.node_state();
    assert_eq!((state.revoked, state.grant), (0b010, GRANT + 1), "begun anew");
    assert_eq!(answer(&mut plane, &request(3)).owned, 0b100);
}

#[test]
fn a_router_without_unit_disclaims_nothing() {
    let mut plane = met();
    as_answering_owner(&mut plane);
    plane.ingress(&advert_of_priority(200));
    assert_eq!((plane.state(V4).revoked_epoch, plane.node_state().revoked), (EPOCH, 0));
}

#[test]
fn a_request_teaches_what_it_says() {
    let mut plane = met();
    let before = now_ns();
    plane.ingress(&probe_v4(&request(1)));
    let after = now_ns();
    let path = plane.path_state(PATH_V4);
    assert_eq!(path.their_index, THEIR_INDEX_V4 as u32 + 1);
    assert_eq!((path.request_incarnation, path.request_sequence), (THEIRS, request(1).sequence));
    assert!((before..=after).contains(&path.request_at_ns));
    assert_eq!((path.requests, path.replies, path.reply_at_ns), (1, 0, 0));
    let expected = PeerState {
        incarnation: THEIRS,
        heard_at_ns: path.request_at_ns,
        their_clock_ns: request(1).t1_ns,
        lease_until_ns: path.request_at_ns + 900_000_000,
        ..learned()
    };
    assert_eq!(told(&plane.peer_state()), told(&expected));
    assert_eq!(plane.path_state(PATH_V6).requests, 0, "the other path heard nothing");
}

/// What [`request`] and [`reply`] say of the peer.
fn learned() -> PeerState {
    PeerState {
        owned: 0b1001,
        ready: 0b1011,
        digest: DIGEST,
        health: health::LINKS,
        lease_centis: 100,
        priority: 120,
        hears: 0b11,
        ..PeerState::default()
    }
}

fn told(state: &PeerState) -> String {
    format!("{state:?}")
}

#[test]
fn a_reply_teaches_what_it_says_and_measures_the_way() {
    let mut plane = met();
    let t1_ns = now_ns() - 3_000_000;
    plane.ingress(&probe_v4(&reply(1, OUR_INDEX_V4, t1_ns)));
    let path = plane.path_state(PATH_V4);
    assert_eq!((path.replies, path.requests, path.request_at_ns), (1, 0, 0));
    assert_eq!(path.reply_sequence, 1 << 4 | u64::from(OUR_INDEX_V4));
    assert_eq!(path.rtt_ns, path.reply_at_ns - t1_ns);
    let expected = PeerState {
        incarnation: THEIRS,
        heard_at_ns: path.reply_at_ns,
        their_clock_ns: 2_000_001,
        lease_until_ns: path.reply_at_ns + 900_000_000,
        ..learned()
    };
    assert_eq!(told(&plane.peer_state()), told(&expected));
}

#[test]
fn without_a_lease_nothing_it_claims_counts() {
    let mut plane = met();
    plane.ingress(&probe_v4(&Message { remaining_us: 0, ..request(1) }));
    let peer = plane.peer_state();
    assert_eq!((peer.owned, peer.ready, peer.lease_until_ns), (0, 0, 0));
    assert_eq!(peer.digest, DIGEST);
}

#[test]
fn an_older_word_does_not_undo_a_newer_one() {
    let mut plane = met();
    plane.ingress(&probe_v4(&Message { t1_ns: 5_000_000, owned: 0b100, ..request(1) }));
    let first = plane.peer_state();
    // It left the peer earlier, on the other path.
    plane.ingress(&probe_v6(&Message { t1_ns: 4_000_000, owned: 0b001, ..request_v6(1) }));
    let second = plane.peer_state();
    assert_eq!((second.owned, second.their_clock_ns), (0b100, 5_000_000));
    assert!(second.heard_at_ns > first.heard_at_ns, "but it was heard");
    assert_eq!(plane.path_state(PATH_V6).requests, 1);
}

#[test]
fn a_new_run_begins_its_own_clock_and_windows() {
    let mut plane = met();
    having_heard(&mut plane);
    let message = Message { prober_incarnation: THEIRS + 9, t1_ns: 7, owned: 0b10, ..request(1) };
    let other_number = Message { sequence: 1 << 4 | 8, ..message };
    plane.ingress(&probe_v4(&other_number));
    let (peer, path) = (plane.peer_state(), plane.path_state(PATH_V4));
    assert_eq!((peer.incarnation, peer.their_clock_ns, peer.owned), (THEIRS + 9, 7, 0b10));
    assert_eq!((path.their_index, path.request_sequence), (9, 1 << 4 | 8));
    plane.ingress(&probe_v6(&Message { sequence: 1 << 4 | THEIR_INDEX_V6, t1_ns: 8, ..message }));
    assert_eq!(plane.path_state(PATH_V6).request_incarnation, THEIRS + 9);
    assert_eq!(plane.verdict(ProbeAnswered), 4);
}

#[test]
fn a_challenge_carries_our_run_and_teaches_nothing() {
    let mut plane = met();
    having_heard(&mut plane);
    let knowledge = plane.knowledge();
    let message = Message { responder_incarnation: OURS - 1, owned: 0, ..request(99) };
    let run = plane.ingress(&probe_v4(&message));
    let found = answer_v4(&run.frame);
    assert_eq!((found.kind, found.responder_incarnation), (kind::CHALLENGE, OURS));
    assert_eq!(
        (found.prober_incarnation, found.sequence, found.t1_ns),
        (THEIRS, message.sequence, message.t1_ns)
    );
    assert_eq!((found.owned, found.ready), (0b110, 0b111));
    assert_eq!(run.frame, turned(&probe_v4(&message), &found, &[]));
    assert_eq!(plane.knowledge(), knowledge);
    assert_eq!(plane.peer_state().challenges, 1);
}

#[test]
fn a_matched_challenge_teaches_the_run_only() {
    let mut plane = met();
    having_heard(&mut plane);
    let before = plane.peer_state();
    let challenge = Message {
        kind: kind::CHALLENGE,
        responder_incarnation: THEIRS + 3,
        owned: 0,
        ..reply(1, OUR_INDEX_V4, now_ns())
    };
    plane.ingress(&probe_v4(&challenge));
    let after = plane.peer_state();
    assert_eq!((after.incarnation, after.their_clock_ns), (THEIRS + 3, 0));
    assert_eq!((after.owned, after.heard_at_ns), (before.owned, before.heard_at_ns));
    let path = plane.path_state(PATH_V4);
    assert_eq!((path.reply_sequence, path.replies, path.reply_at_ns), (0, 0, 0), "the sequence stays open");
    // The same run again changes nothing; the run it names is the one that is heard now.
    plane.ingress(&probe_v4(&challenge));
    plane.ingress(&probe_v4(&Message { prober_incarnation: THEIRS + 3, ..request(1) }));
    plane.ingress(&probe_v4(&request(12)));
    assert_eq!((plane.verdict(ProbeReplyAbsorbed), plane.verdict(ProbeOldIncarnation)), (2, 1));
    assert_eq!(plane.path_state(PATH_V4).request_incarnation, THEIRS + 3);
}

#[test]
fn a_reply_may_prove_a_lower_run() {
    let mut plane = met();
    having_heard(&mut plane);
    plane.ingress(&probe_v4(&Message {
        responder_incarnation: 3,
        t2_ns: 5,
        ..reply(1, OUR_INDEX_V4, now_ns())
    }));
    let peer = plane.peer_state();
    assert_eq!((peer.incarnation, peer.their_clock_ns), (3, 5));
    plane.ingress(&probe_v4(&Message { prober_incarnation: 3, ..request(1) }));
    assert_eq!(plane.path_state(PATH_V4).request_incarnation, 3);
}

#[test]
fn reports_are_made_of_what_changes() {
    let mut plane = met();
    plane.ingress(&probe_v4(&request(1)));
    let events = plane.peer_events();
    let at_ns = plane.path_state(PATH_V4).request_at_ns;
    let expected = PeerEvent {
        at_ns,
        owned_before: 0,
        owned: 0b1001,
        head: Head::of::<PeerEvent>(),
        peer: PEER as u16,
        path: PATH_V4 as u16,
        kind: peer_event::REPORT,
        reserved: 0,
    };
    assert_eq!(events, [expected]);
    let next = |number| Message { flags: 0, ..request(number) };
    let steps = [
        (next(2), None),
        (Message { owned: 1, ..next(3) }, Some((0b1001, 1))),
        (Message { owned: 1, priority: 9, health: 0, ..next(4) }, None),
        (Message { owned: 1, ready: 1, ..next(5) }, Some((1, 1))),
        (Message { owned: 1, ready: 1, flags: flag::DRAINING, ..next(6) }, Some((1, 1))),
        (Message { owned: 1, ready: 1, flags: flag::DRAINING, ..next(7) }, None),
        (Message { remaining_us: 0, flags: flag::STALE, ..next(8) }, Some((1, 0))),
        (
            Message { prober_incarnation: THEIRS + 1, remaining_us: 0, flags: flag::STALE, ..next(1) },
            Some((0, 0)),
        ),
    ];
    for (step, (message, expected)) in steps.into_iter().enumerate() {
        plane.ingress(&probe_v4(&message));
        let found: Vec<_> =
            plane.peer_events().iter().map(|event| (event.owned_before, event.owned)).collect();
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "step {step}");
    }
}

#[test]
fn the_end_of_a_silence_is_reported() {
    let mut plane = met();
    having_heard(&mut plane);
    plane.peer_events();
    plane.set_peer_state(|peer| peer.heard_at_ns -= LONG_NS + SECOND_NS);
    plane.ingress(&probe_v4(&request(11)));
    let events = plane.peer_events();
    assert_eq!(events.len(), 1);
    assert_eq!(
        (events[0].kind, events[0].owned_before, events[0].owned),
        (peer_event::REPORT, 0b1001, 0b1001)
    );
}

#[test]
fn a_new_link_local_address_is_reported_once() {
    let mut plane = met();
    having_heard(&mut plane);
    plane.peer_events();
    let heard_at_ns = plane.peer_state().heard_at_ns;
    let address = address_v6(PEER_LINK_LOCAL);
    for number in 11..13 {
        plane.ingress(&probe_v4(&address_message(number, address)));
    }
    assert_eq!(plane.path_state(PATH_V4).link_local, address);
    assert_eq!(plane.path_state(PATH_V6).link_local, [0; 16]);
    let events = plane.peer_events();
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].kind, events[0].path), (peer_event::LINK_LOCAL, PATH_V4 as u16));
    assert_eq!(plane.peer_state().heard_at_ns, heard_at_ns);
    plane.ingress(&probe_v4(&address_message(13, [0; 16])));
    assert_eq!(plane.path_state(PATH_V4).link_local, [0; 16]);
    assert_eq!(plane.peer_events().len(), 1);
}

#[test]
fn a_full_ring_loses_the_report_not_the_fact() {
    let mut plane = met();
    plane.time(ha_common::maps::names::PROGRAM_INGRESS, &advert_v4(T5), 5000);
    plane.ingress(&probe_v4(&request(1)));
    assert_eq!(plane.peer_state().owned, 0b1001);
    assert!(plane.verdict(RingOverflow) > 0);
}
