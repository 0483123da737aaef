//! keepalived, VRRPv3 over IPv6: adverts from link-local addresses, the first virtual address link-local.

use crate::bench::{Bench, OurSpec, SOON};
use crate::peer::PeerSpec;
use crate::scenarios::{self, HIGH, LOW};
use crate::setup::Setup;
use holdfast_lab::forge::Mac;
use holdfast_lab::packet_socket::PacketSocket;
use holdfast_lab::topology::Segment;
use std::net::{IpAddr, Ipv6Addr};

const KEEPALIVED: Setup = Setup::KEEPALIVED.ipv6();

#[test]
fn we_follow_keepalived_ipv6_and_take_over() {
    scenarios::we_follow_and_take_over(KEEPALIVED);
}

#[test]
fn keepalived_ipv6_follows_and_takes_over() {
    scenarios::they_follow_and_take_over(KEEPALIVED);
}

#[test]
fn keepalived_ipv6_preempts_and_releases() {
    scenarios::they_preempt_and_release(KEEPALIVED);
}

#[test]
fn we_serve_until_keepalived_ipv6_has_succeeded() {
    scenarios::we_release_and_serve_until_succeeded(KEEPALIVED);
}

#[test]
fn the_greater_link_local_address_wins_a_tie() {
    scenarios::the_greater_address_wins_a_tie(KEEPALIVED);
}

/// V-118: every address is announced to all nodes, with the router and override flags and the owner's MAC.
#[test]
fn a_host_sees_our_neighbour_advertisements() {
    let bench = Bench::build(KEEPALIVED);
    let mut peer = bench.start_peer_active(&PeerSpec::new(&KEEPALIVED, HIGH));
    let _ours = bench.start_ours(&OurSpec::new(LOW));
    bench.settles_on(bench.peer_mac());
    let owner = bench.our_mac();
    let host = bench.segment.host("host");
    for (target, again) in KEEPALIVED.bare_addresses().into_iter().zip([false, true]) {
        let IpAddr::V6(target) = target else { panic!("{target} is not IPv6") };
        let ear = PacketSocket::open(host, Segment::INTERFACE).unwrap();
        if !again {
            bench.peer_dies(&mut peer);
        }
        let seen = ear.wait_for(SOON, |frame| announces(&frame.bytes, target, owner)).unwrap();
        assert!(seen.is_some(), "no announcement of {target}");
    }
}

/// An unsolicited neighbour advertisement to all nodes, R=1, S=0, O=1, for `target` at `owner`.
fn announces(frame: &[u8], target: Ipv6Addr, owner: Mac) -> bool {
    const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    const ROUTER_AND_OVERRIDE: u8 = 0xa0;
    const HEADERS: usize = 14 + 40;
    if frame.len() < HEADERS + 32 || frame[12..14] != [0x86, 0xdd] || frame[20] != 58 {
        return false;
    }
    let (hop_limit, destination, message) = (frame[21], &frame[38..54], &frame[HEADERS..]);
    hop_limit == 255
        && destination == ALL_NODES.octets()
        && message[0] == 136
        && message[4] == ROUTER_AND_OVERRIDE
        && message[8..24] == target.octets()
        && message[24..26] == [2, 1]
        && message[26..32] == owner
}
