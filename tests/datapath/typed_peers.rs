//! The controller's own access to the maps, against the loaded programs: what it writes is what the data plane goes by.

use super::frames::{OUR_ADDRESS, PEER_ADDRESS, T2, VIP, advert_v4};
use super::plane::{IFINDEX, LINK_SLOT, SECOND_NS, now_ns, test_run};
use super::probe_frames::*;
use aya::programs::Xdp;
use aya::{Ebpf, EbpfLoader};
use ha_common::maps::names;
use ha_common::maps::peers::{NodePolicy, PathPolicy, PeerPolicy};
use ha_common::maps::values::{Head, LinkPolicy};
use ha_common::ring_events::peer_event;
use ha_common::verdict_reasons::VerdictReason::*;
use holdfast::datapath::peers::mac_key;
use holdfast::datapath::{MapSet, PathEnds, RingReader, RingRecord, RouterSpec};
use holdfast_engine::{ChecksumForm, ChecksumPolicy, Family, PolicyWrite, Role, Version};
use std::net::IpAddr;

const PEER: u32 = 31;
const PATH: u32 = 127;
const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;
const XDP_TX: u32 = 3;
const NO_HEAD: Head = Head { version: 0, size: 0 };

fn node() -> NodePolicy {
    NodePolicy {
        head: NO_HEAD,
        cluster: CLUSTER,
        incarnation: OURS,
        owned: 1,
        ready: 1,
        grant: 1,
        digest: DIGEST,
        health: 0,
        lease_centis: 100,
        node: NODE,
        port: PORT,
        priority: 100,
        flags: 0,
    }
}

fn peer() -> PeerPolicy {
    let bytes = |words: [u64; 2]| -> [u8; 16] {
        [words[0].to_le_bytes(), words[1].to_le_bytes()].concat().try_into().expect("sixteen bytes")
    };
    PeerPolicy {
        head: NO_HEAD,
        node: PEER_NODE,
        flags: 0,
        receive: [mac_key(bytes(FIRST.receive)), [0; 2]],
        send: [mac_key(bytes(FIRST.send)), [0; 2]],
        key_ids: [FIRST.id, 0],
        hears: 1,
        reserved: 0,
        fresh_ns: SECOND_NS,
        interval_ns: SECOND_NS,
        repeat_ns: 0,
    }
}

/// A router on the tests' interface that asks for corroboration.
fn router(trusted: Vec<(IpAddr, u32)>) -> RouterSpec {
    RouterSpec {
        slot: 5,
        attach_ifindex: IFINDEX,
        vlan: 0,
        vrid: 51,
        family: Family::Ipv4,
        version: Version::V3,
        interval_ns: SECOND_NS,
        addresses: vec![VIP.into()],
        source: Some(OUR_ADDRESS.into()),
        checksum: ChecksumPolicy::Auto,
        accept: true,
        virtual_mac: false,
        strict: false,
        unicast_peers: Vec::new(),
        unit: Some(3),
        corroborate: true,
        trusted,
    }
}

#[test]
fn senders_are_listed_by_what_they_need() {
    let (ebpf, mut maps, _ring) = loaded();
    let program: &Xdp = ebpf.program(names::PROGRAM_INGRESS).expect("XDP").try_into().expect("XDP");
    let standing = PolicyWrite {
        role: Role::Backup,
        epoch: 0,
        priority: 100,
        preempt: true,
        checksum: ChecksumForm::Rfc9568,
        form_unknown: false,
    };
    let receive = || test_run(program, &advert_v4(T2)).code;
    let count = |maps: &MapSet, reason| maps.read_verdict(reason).expect("verdict");
    let unlisted = router(Vec::new());
    maps.add_router(&unlisted, &standing).expect("router");
    assert_eq!((receive(), count(&maps, SourceUntrusted)), (XDP_DROP, 1));

    let of_a_peer = router(vec![(PEER_ADDRESS.into(), PEER + 1)]);
    maps.replace_sources(&unlisted, &of_a_peer).expect("sources");
    assert_eq!((receive(), count(&maps, AdvertUncorroborated)), (XDP_DROP, 1));

    let trusted = router(vec![(PEER_ADDRESS.into(), 0)]);
    maps.replace_sources(&of_a_peer, &trusted).expect("sources");
    assert_eq!((receive(), count(&maps, AdvertReported)), (XDP_DROP, 1));

    // An explicit entry comes before the unicast peer of the same address.
    let both = RouterSpec { unicast_peers: vec![PEER_ADDRESS.into()], ..of_a_peer.clone() };
    assert_eq!(both.sources().into_values().collect::<Vec<_>>(), [PEER + 1]);

    maps.replace_sources(&trusted, &unlisted).expect("sources");
    assert_eq!((receive(), count(&maps, SourceUntrusted)), (XDP_DROP, 2));
    assert_eq!(maps.read_state(5).expect("state").uncorroborated, 1);
}

/// The object with its ingress program loaded and its interface known.
fn loaded() -> (Ebpf, MapSet, RingReader) {
    let mut ebpf = EbpfLoader::new()
        .override_global(names::CONST_LINK_SLOT, &LINK_SLOT, true)
        .load(holdfast::bpf_object::OBJECT)
        .expect("load the object (as root)");
    let (mut maps, ring) = MapSet::take(&mut ebpf).expect("maps");
    let program: &mut Xdp = ebpf.program_mut(names::PROGRAM_INGRESS).expect("XDP").try_into().expect("XDP");
    program.load().expect("load");
    let link = LinkPolicy {
        head: Head::of::<LinkPolicy>(),
        ifindex: IFINDEX,
        routers: 1,
        owned: 0,
        mac: [0; 6],
        reserved: [0; 2],
    };
    maps.write_link(LINK_SLOT, link).expect("link");
    (ebpf, maps, RingReader::new(ring))
}

#[test]
fn a_peer_comes_is_heard_and_goes() {
    let (ebpf, mut maps, mut ring) = loaded();
    let program: &Xdp = ebpf.program(names::PROGRAM_INGRESS).expect("XDP").try_into().expect("XDP");
    let receive = |message| test_run(program, &probe_v4(&message)).code;
    assert_eq!(receive(request(1)), XDP_PASS, "nothing is configured");
    let ends =
        PathEnds { attach_ifindex: IFINDEX, vlan: 0, local: OUR_ADDRESS.into(), remote: PEER_ADDRESS.into() };
    let path = PathPolicy { head: NO_HEAD, peer: PEER, index: 1, reserved: 0, reply_deadline_ns: SECOND_NS };
    maps.peers.write_node(node()).expect("node");
    maps.peers.write_peer(PEER, peer()).expect("peer");
    maps.peers.write_path(PATH, &ends, path).expect("path");
    assert_eq!(receive(request(1)), XDP_TX);

    // Another thread reads the same states, and goes on when the maps are gone from here.
    let reader = maps.peers.reader();
    let heard = std::thread::spawn({
        let reader = reader.clone();
        move || (reader.peer_state(PEER).expect("peer"), reader.path_state(PATH).expect("path"))
    });
    let (peer_state, path_state) = heard.join().expect("thread");
    assert_eq!((peer_state.incarnation, peer_state.owned), (THEIRS, request(1).owned));
    assert_eq!((path_state.requests, path_state.request_sequence), (1, request(1).sequence));
    let Some(RingRecord::Peer(event)) = ring.next_record() else { panic!("a report") };
    assert_eq!((event.kind, event.peer, event.path), (peer_event::REPORT, PEER as u16, PATH as u16));
    assert!(ring.next_record().is_none());

    // A reply in time, and one after the deadline has been changed.
    assert_eq!(receive(reply(1, 1, now_ns())), XDP_DROP);
    assert_eq!(maps.peers.read_path_state(PATH).expect("path").replies, 1);
    maps.peers.change_path(PATH, PathPolicy { reply_deadline_ns: 0, ..path }).expect("path");
    assert_eq!(receive(reply(2, 1, now_ns() - 1)), XDP_DROP);
    assert_eq!(maps.peers.read_path_state(PATH).expect("path").replies, 1, "what was heard stays");

    maps.peers.write_path(PATH, &ends, path).expect("path");
    assert_eq!(maps.peers.read_path_state(PATH).expect("path").requests, 0, "written anew, nothing is heard");
    maps.peers.remove_path(&ends).expect("path");
    maps.peers.remove_path(&ends).expect("removed before");
    assert_eq!(receive(request(2)), XDP_PASS);
    maps.peers.clear_peer(PEER).expect("peer");
    assert_eq!(maps.peers.read_peer_state(PEER).expect("peer").incarnation, 0);
    drop((maps, ebpf));
    assert_eq!(reader.peer_state(PEER).expect("the map lives on").heard_at_ns, 0);
}
