//! What others do to our interfaces while we serve: addresses removed, interfaces down, gone, back, renumbered.

use crate::support::{
    LAN, MS, Router, SECOND, SOON, VIP, ask_owner, assert_moved_cleanly, notices, owners_since, start_pair,
};
use crate::support::{start_router, transitions};
use holdfast_lab::adverts::AdvertCapture;
use holdfast_lab::clock::Moment;
use holdfast_lab::daemon::{Daemon, NodeSpec};
use holdfast_lab::fabric::Fabric;
use holdfast_lab::netns::{LabName, Namespace};
use holdfast_lab::poll::eventually_true;
use holdfast_lab::topology::Segment;
use std::net::IpAddr;

fn holds(node: &Namespace) -> bool {
    node.has_address(Segment::INTERFACE, &VIP.to_string())
}

/// The prefix that an address stands with on an interface.
fn prefix_of(node: &Namespace, address: &str) -> String {
    let shown = node.ip("-o addr show dev eth0").unwrap();
    let words = shown.split_whitespace().find(|word| word.starts_with(&format!("{address}/")));
    words.unwrap_or_else(|| panic!("no {address}: {shown}")).to_owned()
}

/// The address is put back within a second, the hosts hear of it again, the journal says so, and nobody moves.
#[test]
fn a_removed_address_comes_back() {
    let segment = Segment::build(&["a", "b", "asker"]).unwrap();
    let (a, b) = start_pair(&segment, |router| router);
    let node = segment.host("a");
    let probe = ask_owner(&segment, "asker", VIP);
    eventually_true("a answers", SOON, || probe.last_owner().is_some()).unwrap();
    for round in 1..=3 {
        node.ip(&format!("addr del {} dev eth0", prefix_of(node, &VIP.to_string()))).unwrap();
        let removed = Moment::now();
        eventually_true("the address is back", SECOND, || holds(node)).unwrap();
        eventually_true("the journal says so", SECOND, || notices(&a, "address-restored") == round).unwrap();
        eventually_true("it answers", SECOND, || probe.last_owner().is_some_and(|(_, at)| at > removed))
            .unwrap();
        std::thread::sleep(200 * MS);
    }
    assert_eq!((transitions(&a, LAN).len(), transitions(&b, LAN).len()), (2, 1), "nobody moved");
}

#[test]
fn all_addresses_flushed_are_a_lost_source_and_then_come_back() {
    let segment = Segment::build(&["a", "asker"]).unwrap();
    let a = start_router(&segment, "a", &Router::new(200));
    a.wait_state(LAN, "active", SOON).unwrap();
    let (node, own) = (segment.host("a"), segment.address("a"));
    node.ip("-4 addr flush dev eth0").unwrap();
    a.wait_state(LAN, "initialize", SOON).unwrap();
    assert_eq!(a.status().unwrap().cause(LAN), Some("source-lost"));
    assert!(!holds(node), "without a source it does not own");
    node.ip(&format!("addr add {own}/24 dev eth0")).unwrap();
    a.wait_state(LAN, "active", SOON).unwrap();
    eventually_true("the address is back", SECOND, || holds(node)).unwrap();
}

/// V-010: adverts come from the primary address; a new primary is used by the next advert.
#[test]
fn a_changed_source_address_is_taken_up() {
    let segment = Segment::build(&["a", "ear"]).unwrap();
    let a = start_router(&segment, "a", &Router::new(200));
    a.wait_state(LAN, "active", SOON).unwrap();
    let capture = AdvertCapture::start(segment.host("ear"), Segment::INTERFACE).unwrap();
    let node = segment.host("a");
    let own = segment.address("a");
    let next_source = |what: &str, wanted: IpAddr| {
        capture.wait_for(what, Moment::now(), SOON, |advert| advert.source == wanted).unwrap();
        let begin = Moment::now();
        std::thread::sleep(500 * MS);
        let heard = capture.since(begin);
        assert!(heard.len() >= 3 && heard.iter().all(|advert| advert.source == wanted), "{what}: {heard:#?}");
    };
    next_source("the primary", own);
    // A secondary address changes nothing.
    node.ip("addr add 192.0.2.77/24 dev eth0").unwrap();
    next_source("still the primary", own);
    node.ip(&format!("addr del {own}/24 dev eth0")).unwrap();
    node.ip("addr replace 192.0.2.77/24 dev eth0").unwrap();
    next_source("the new primary", "192.0.2.77".parse().unwrap());
    assert!(a.status().unwrap().is_active(LAN));
    assert!(holds(node));
}

/// V-092, V-115: administratively down and up again is shutdown and startup.
#[test]
fn an_interface_set_down_and_up_starts_again() {
    let segment = Segment::build(&["a", "b", "asker"]).unwrap();
    let (a, b) = start_pair(&segment, |router| router);
    let node = segment.host("a");
    node.ip("link set eth0 down").unwrap();
    let status = a.wait_state(LAN, "initialize", SOON).unwrap();
    assert_eq!(status.cause(LAN), Some("interface-down"));
    b.wait_state(LAN, "active", SOON).unwrap();
    eventually_true("the address is taken away", SECOND, || !holds(node)).unwrap();
    let probe = ask_owner(&segment, "asker", VIP);
    node.ip("link set eth0 up").unwrap();
    let begin = Moment::now();
    a.wait_state(LAN, "active", SOON).unwrap();
    b.wait_state(LAN, "backup", SOON).unwrap();
    std::thread::sleep(200 * MS);
    let owners = owners_since(&probe, begin);
    assert_moved_cleanly(&owners);
    assert_eq!(transitions(&a, LAN).last().unwrap(), "backup>active:preemption");
}

/// An interface that is deleted and made again, as by a driver reload, is taken up again without a restart.
#[test]
fn an_interface_deleted_and_made_again_is_taken_up() {
    let lab = LabName::unique();
    let fabric = Fabric::create(&lab, &["lan"]).unwrap();
    let (node, asker) = (Namespace::create(&lab, "a").unwrap(), Namespace::create(&lab, "asker").unwrap());
    let make = || {
        fabric.connect("lan", &node, "a", "eth0").unwrap();
        node.ip("addr add 192.0.2.10/24 dev eth0").unwrap();
    };
    make();
    fabric.connect("lan", &asker, "asker", "eth0").unwrap();
    asker.ip("addr add 192.0.2.11/24 dev eth0").unwrap();
    let with_virtual_mac =
        Router::new(150).name("vmac").vrid(77).addresses(&["192.0.2.77/24"]).with("virtual_mac = true");
    let config = Router::new(200).text() + &with_virtual_mac.text();
    let a = Daemon::start(&lab, &node, &NodeSpec { name: "a", id: None, config: &config }).unwrap();
    for router in [LAN, "vmac"] {
        a.wait_state(router, "active", SOON).unwrap();
    }
    for _ in 0..2 {
        node.ip("link del eth0").unwrap();
        for router in [LAN, "vmac"] {
            a.wait_state(router, "initialize", SOON).unwrap();
            assert_eq!(a.status().unwrap().cause(router), Some("interface-down"));
        }
        make();
        for (router, address) in [(LAN, "192.0.2.1"), ("vmac", "192.0.2.77")] {
            let status = a.wait_state(router, "active", SOON).unwrap();
            assert_eq!(status.link("eth0")["mode"], "native");
            eventually_true("the address answers", SOON, || crate::support::pings(&asker, address)).unwrap();
        }
    }
}

/// A renamed interface is not ours any more; renamed back it is.
#[test]
fn a_renamed_interface_is_given_up_and_taken_up_again() {
    let segment = Segment::build(&["a"]).unwrap();
    let a = start_router(&segment, "a", &Router::new(200));
    a.wait_state(LAN, "active", SOON).unwrap();
    let node = segment.host("a");
    let rename = |from: &str, to: &str| {
        node.ip_batch(&[
            format!("link set {from} down"),
            format!("link set {from} name {to}"),
            format!("link set {to} up"),
        ])
        .unwrap();
    };
    rename("eth0", "other0");
    a.wait_state(LAN, "initialize", SOON).unwrap();
    eventually_true("the address is gone", SECOND, || !node.has_address("other0", &VIP.to_string())).unwrap();
    rename("other0", "eth0");
    a.wait_state(LAN, "active", SOON).unwrap();
    eventually_true("the address is back", SECOND, || holds(node)).unwrap();
}
