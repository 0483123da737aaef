//! Packets to the HA port: every verdict, in both families and under tags.

use super::fixture::{Fixture, as_backup, received, transit};
use super::frames::*;
use super::peer_plane::*;
use super::plane::{Plane, now_ns};
use super::probe_frames::*;
use ha_common::verdict_reasons::VerdictReason::{self, *};
use ha_common::wire::probe::{Message, PATH_MASK, kind};

const LINK_LOCAL: &str = PEER_LINK_LOCAL;

pub(crate) fn with_peer(plane: &mut Plane) {
    plane.meet_peer();
}

/// Both paths have carried a request of the peer's present run.
pub(crate) fn having_heard(plane: &mut Plane) {
    with_peer(plane);
    plane.ingress(&probe_v4(&request(10)));
    plane.ingress(&probe_v6(&request_v6(10)));
}

fn on_two_tags(plane: &mut Plane) {
    with_peer(plane);
    plane.path_key(PATH_V4, 40 << 16 | 41);
    plane.path_key(PATH_V6, 40 << 16 | 41);
}

fn on_one_tag(plane: &mut Plane) {
    with_peer(plane);
    plane.path_key(PATH_V4, 17);
    plane.path_key(PATH_V6, 17);
}

fn probe(what: &'static str, arrange: fn(&mut Plane), frame: Vec<u8>, verdict: VerdictReason) -> Fixture {
    received(what, arrange, frame, 0, verdict).without_router()
}

pub(crate) fn requests() -> Vec<Fixture> {
    let of_another_run = || Message { responder_incarnation: OURS - 1, ..request(11) };
    vec![
        probe("IPv4", with_peer, probe_v4(&request(1)), ProbeAnswered),
        probe("IPv6", with_peer, probe_v6(&request_v6(1)), ProbeAnswered),
        probe("IPv4, one tag", on_one_tag, tagged(probe_v4(&request(1)), &[17]), ProbeAnswered),
        probe("IPv4, two tags", on_two_tags, tagged(probe_v4(&request(1)), &[40, 41]), ProbeAnswered),
        probe("IPv6, one tag", on_one_tag, tagged(probe_v6(&request_v6(1)), &[17]), ProbeAnswered),
        probe("IPv6, two tags", on_two_tags, tagged(probe_v6(&request_v6(1)), &[40, 41]), ProbeAnswered),
        probe(
            "under the other secret",
            with_peer,
            carried_v4(&signed(&Message { key_id: SECOND.id, ..request(1) }, SECOND.receive)),
            ProbeAnswered,
        ),
        probe("with a trailer", with_peer, [probe_v4(&request(1)), vec![0; 4]].concat(), ProbeAnswered),
        probe("a later one", having_heard, probe_v4(&request(11)), ProbeAnswered),
        probe("again", having_heard, probe_v4(&request(10)), ProbeRepeated),
        probe("overtaken", having_heard, probe_v4(&request(9)), ProbeRepeated),
        probe("again and again", having_repeated, probe_v4(&request(10)), ProbeRepeatLimited),
        probe("another run of ours", having_heard, probe_v4(&of_another_run()), ProbeChallenged),
        probe(
            "no run of ours",
            with_peer,
            probe_v4(&Message { responder_incarnation: 0, ..request(1) }),
            ProbeChallenged,
        ),
        probe("challenges used up", having_repeated, probe_v4(&of_another_run()), ProbeRepeatLimited),
        probe(
            "an earlier run of its own",
            having_heard,
            probe_v4(&Message { prober_incarnation: THEIRS - 1, ..request(11) }),
            ProbeOldIncarnation,
        ),
        probe(
            "a later run of its own",
            having_heard,
            probe_v4(&Message { prober_incarnation: THEIRS + 1, ..request(1) }),
            ProbeAnswered,
        ),
        probe(
            "made for another path",
            having_heard,
            probe_v4(&Message { sequence: request(11).sequence ^ 1, ..request(11) }),
            ProbePathMismatch,
        ),
    ]
}

fn having_repeated(plane: &mut Plane) {
    having_heard(plane);
    plane.ingress(&probe_v4(&request(10)));
}

pub(crate) fn replies() -> Vec<Fixture> {
    let now = now_ns();
    let v4 = |number| reply(number, OUR_INDEX_V4, now);
    let unmatched = |what, message| probe(what, with_peer, probe_v4(&message), ProbeReplyUnmatched);
    let challenge = Message { kind: kind::CHALLENGE, ..v4(1) };
    vec![
        probe("a reply", with_peer, probe_v4(&v4(1)), ProbeReplyAbsorbed),
        probe("an IPv6 reply", with_peer, probe_v6(&reply(1, OUR_INDEX_V6, now)), ProbeReplyAbsorbed),
        probe("a challenge", with_peer, probe_v4(&challenge), ProbeReplyAbsorbed),
        probe("a reply once more", having_replied, probe_v4(&v4(1)), ProbeReplyUnmatched),
        probe("a challenge after the reply", having_replied, probe_v4(&challenge), ProbeReplyUnmatched),
        unmatched("to another run of ours", Message { prober_incarnation: OURS - 1, ..v4(1) }),
        unmatched("to another path of ours", reply(1, OUR_INDEX_V6, now)),
        unmatched("too late", Message { t1_ns: now.saturating_sub(2 * LONG_NS), ..v4(1) }),
        unmatched("before it was asked", Message { t1_ns: now + 2 * LONG_NS, ..v4(1) }),
        unmatched("a challenge too late", Message { t1_ns: now.saturating_sub(2 * LONG_NS), ..challenge }),
    ]
}

fn having_replied(plane: &mut Plane) {
    with_peer(plane);
    plane.ingress(&probe_v4(&reply(1, OUR_INDEX_V4, now_ns())));
}

pub(crate) fn addresses() -> Vec<Fixture> {
    let word = |number| address_message(number, address_v6(LINK_LOCAL));
    vec![
        probe("its address", having_heard, probe_v4(&word(11)), ProbeAddress),
        probe(
            "over IPv6",
            having_heard,
            {
                let sequence = word(11).sequence & !PATH_MASK | THEIR_INDEX_V6;
                probe_v6(&Message { sequence, ..word(11) })
            },
            ProbeAddress,
        ),
        probe("no address", having_heard, probe_v4(&address_message(11, [0; 16])), ProbeAddress),
        probe("its address again", having_heard, probe_v4(&word(10)), ProbeRepeatLimited),
        probe("its address, unproven run", with_peer, probe_v4(&word(11)), ProbeOldIncarnation),
        probe(
            "its address, later run",
            having_heard,
            probe_v4(&Message { prober_incarnation: THEIRS + 1, ..word(11) }),
            ProbeOldIncarnation,
        ),
        probe(
            "its address on another path",
            having_heard,
            probe_v4(&Message { sequence: word(11).sequence ^ 1, ..word(11) }),
            ProbePathMismatch,
        ),
        probe(
            "a global address",
            having_heard,
            probe_v4(&address_message(11, address_v6(PEER_GLOBAL))),
            ProbeHeaderInvalid,
        ),
    ]
}

/// What is refused before its MAC is looked at.
pub(crate) fn headers() -> Vec<Fixture> {
    let v4 = || probe_v4(&request(1));
    let v6 = || probe_v6(&request_v6(1));
    let invalid = |what, frame| probe(what, with_peer, frame, ProbeHeaderInvalid);
    let message = |what, message: Message| invalid(what, probe_v4(&message));
    vec![
        invalid("TTL 254", with_ttl(v4(), 254)),
        invalid("hop limit 254", with_byte(v6(), 21, 254)),
        invalid("a first fragment", with_ip_byte(v4(), 6, 0x20)),
        invalid("IP options", with_options()),
        invalid("IP header checksum", with_byte(v4(), 24, v4()[24] ^ 1)),
        invalid("IP length", with_ip_byte(v4(), 3, 123)),
        invalid("IPv6 length", with_byte(v6(), 19, 103)),
        invalid("UDP length", with_byte(v4(), UDP_V4 + 5, 103)),
        invalid("UDP length, IPv6", with_byte(v6(), UDP_V6 + 5, 105)),
        invalid("cut off", v4()[..MESSAGE_V4 + 95].to_vec()),
        invalid("a longer message", carried_v4(&[signed(&request(1), FIRST.receive), vec![0]].concat())),
        invalid("to a group MAC", with_macs(v4(), [1, 0, 0x5e, 0, 0, 1], PEER_MAC)),
        invalid("from a group MAC", with_macs(v4(), OUR_MAC, [0xff; 6])),
        message("magic", Message { magic: 0x4649, ..request(1) }),
        message("version 2", Message { version: 2, ..request(1) }),
        message("kind 0", Message { kind: 0, ..request(1) }),
        message("kind 5", Message { kind: 5, ..request(1) }),
        message("another cluster", Message { cluster: CLUSTER + 1, ..request(1) }),
        message("from another node", Message { from: PEER_NODE + 1, ..request(1) }),
        message("to another node", Message { to: NODE + 1, ..request(1) }),
        probe("key in no slot", with_peer, probe_v4(&Message { key_id: 3, ..request(1) }), ProbeKeyUnknown),
        probe("an empty key slot", with_one_key, of_the_empty_slot(), ProbeKeyUnknown),
        probe("MAC", with_peer, with_byte(v4(), MESSAGE_V4 + 95, v4()[MESSAGE_V4 + 95] ^ 1), ProbeMacInvalid),
        probe("MAC, IPv6", with_peer, carried_v6(&signed(&request_v6(1), [0, 0])), ProbeMacInvalid),
        probe("no path", with_peer, from_source(v4(), [192, 0, 2, 12]), ProbePathUnknown),
        probe("no path, IPv6", with_peer, with_byte(v6(), 37, 0x12), ProbePathUnknown),
        probe("another VLAN", with_peer, tagged(v4(), &[17]), ProbePathUnknown),
        probe("an empty peer slot", without_peer, v4(), ProbePathUnknown),
        probe("not for a path, to a foreign virtual address", with_peer, to_port(VIP), FenceIpIn)
            .with_router(7),
        probe("to a host beyond", with_peer, to_port(STRANGER), ProbePathUnknown),
        transit("a later fragment", with_peer, with_ip_byte(v4(), 7, 1)),
        transit("another port", with_peer, with_byte(v4(), UDP_V4 + 3, 0)),
        transit("no HA port", as_backup, v4()),
        transit("no HA port, port 0", as_backup, with_port_0()),
        transit("cut off in front of the port", with_peer, v4()[..UDP_V4 + 3].to_vec()),
    ]
}

fn with_one_key(plane: &mut Plane) {
    with_peer(plane);
    plane.peer(|peer| (peer.receive[1], peer.send[1], peer.key_ids[1]) = ([0; 2], [0; 2], 0));
}

fn of_the_empty_slot() -> Vec<u8> {
    carried_v4(&signed(&Message { key_id: 0, ..request(1) }, [0; 2]))
}

fn without_peer(plane: &mut Plane) {
    with_peer(plane);
    plane.peer(|peer| peer.node = 0);
}

fn with_port_0() -> Vec<u8> {
    let mut frame = probe_v4(&request(1));
    frame[UDP_V4 + 2..UDP_V4 + 4].fill(0);
    frame
}

fn to_port(destination: [u8; 4]) -> Vec<u8> {
    to_destination(probe_v4(&request(1)), destination)
}

fn with_options() -> Vec<u8> {
    with_ip_options(probe_v4(&request(1)))
}

pub(crate) fn with_byte(mut frame: Vec<u8>, at: usize, value: u8) -> Vec<u8> {
    frame[at] = value;
    frame
}
