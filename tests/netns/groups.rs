//! Groups: members are Active on one node, or on none that can help it.

use crate::support::{INTERVAL, MS, SECOND, SOON, notices, transitions};
use holdfast_lab::clock::Moment;
use holdfast_lab::gateway_pair::{GatewayPair, Product};
use holdfast_lab::poll::{always, eventually_true};
use holdfast_lab::topology::{GatewayLab, Leg, SERVER, Side};
use holdfast_lab::traffic::Stream;
use std::net::SocketAddr;

/// Design section 4: one member's segment is cut; the group holds, says so, and traffic goes on through the owner.
#[test]
fn a_split_segment_holds_the_group() {
    let lab = GatewayLab::build().unwrap();
    let pair = GatewayPair::start(&lab, Product::Holdfast, INTERVAL).unwrap();
    pair.wait_active(Side::A, SOON).unwrap();
    let b = pair.daemon(Side::B).unwrap();
    b.wait_status("B hears A", SOON, |status| status.number("wan", "adverts_received") > 0).unwrap();
    let stream = Stream::start(&lab.client, &lab.server, SocketAddr::new(SERVER.into(), 9000), MS).unwrap();
    eventually_true("traffic", SOON, || stream.flows_since(Moment::now().before(30 * MS))).unwrap();
    let begin = Moment::now();
    // B no longer hears the WAN; the LAN still carries A's adverts.
    lab.fabric.silence(&lab.port(Side::B, Leg::Wan)).unwrap();
    eventually_true("the split is reported", SOON, || notices(b, "segment-split") > 0).unwrap();
    always("B holds", 2 * SECOND, || pair.state(Side::B, Leg::Wan) == pair.state(Side::B, Leg::Lan)).unwrap();
    assert_eq!(notices(b, "segment-split"), 1, "told once");
    assert_eq!(transitions(b, "lan"), ["initialize>backup:startup"]);
    assert_eq!(transitions(b, "wan"), ["initialize>backup:startup"]);
    let traffic = stream.window(begin, Moment::now());
    assert_eq!(traffic.lost, 0, "{traffic:?}");
    // The other segment falls silent too: now the owner is lost, and the group moves.
    lab.fabric.silence(&lab.port(Side::B, Leg::Lan)).unwrap();
    eventually_true("B takes over", SOON, || pair.is_active(Side::B)).unwrap();
}

/// V-115: one member cannot start where its interface has no carrier; the group then does not take over at all.
#[test]
fn a_group_with_a_dead_link_does_not_take_over() {
    let lab = GatewayLab::build().unwrap();
    let pair = GatewayPair::start(&lab, Product::Holdfast, INTERVAL).unwrap();
    pair.wait_active(Side::A, SOON).unwrap();
    lab.link_down(Side::B, Leg::Wan).unwrap();
    let b = pair.daemon(Side::B).unwrap();
    b.wait_state("wan", "initialize", SOON).unwrap();
    lab.node_silent(Side::A).unwrap();
    always("B cannot serve, so it does not own", SECOND, || {
        b.status().is_ok_and(|status| !status.is_active("lan") && !status.is_active("wan"))
    })
    .unwrap();
    lab.link_up(Side::B, Leg::Wan).unwrap();
    eventually_true("B takes over", SOON, || pair.is_active(Side::B)).unwrap();
}
