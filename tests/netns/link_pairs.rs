//! Link pairs: a lost port makes the node give way, its return counts only after the recovery time, and a pair that
//! swallows what it should pass on is lost too.

use crate::gateways::Gateways;
use crate::support::{
    LAN, Router, SECOND, SOON, VIP, ask_owner, events, notices, owners_since, start, transitions,
};
use holdfast_lab::clock::Moment;
use holdfast_lab::daemon::Daemon;
use holdfast_lab::netns::Namespace;
use holdfast_lab::poll::{always, eventually_true};
use holdfast_lab::topology::{Segment, Side};
use serde_json::Value;
use std::time::Duration;

const RECOVERY: Duration = Duration::from_secs(2);

/// Gives a host two more ports, each a wire whose far end is there too.
fn add_ports(node: &Namespace) {
    for port in ["pin", "pout"] {
        node.ip_batch(&[
            format!("link add {port} type veth peer name {port}-far"),
            format!("link set {port} up"),
            format!("link set {port}-far up"),
        ])
        .unwrap();
    }
}

fn carrier(node: &Namespace, port: &str, state: &str) {
    node.ip(&format!("link set {port}-far {state}")).unwrap();
}

fn config(priority: u8) -> String {
    Router::new(priority).text()
        + "[links]\nrecovery_time = \"2s\"\n\
           [[link_pair]]\nname = \"edge\"\ninside = \"pin\"\noutside = \"pout\"\n"
}

fn paired(segment: &Segment) -> (Daemon, Daemon) {
    ["a", "b"].iter().for_each(|host| add_ports(segment.host(host)));
    let a = start(segment, "a", &config(200));
    a.wait_state(LAN, "active", SOON).unwrap();
    let b = start(segment, "b", &config(100));
    b.wait_status("b hears a", SOON, |status| status.number(LAN, "adverts_received") > 0).unwrap();
    (a, b)
}

fn edge(daemon: &Daemon) -> Value {
    daemon.status().unwrap().0["link_pairs"][0].clone()
}

#[test]
fn a_lost_port_gives_way_and_counts_again_only_after_the_recovery_time() {
    let segment = Segment::build(&["a", "b", "asker"]).unwrap();
    let (a, b) = paired(&segment);
    let whole = edge(&a);
    assert_eq!(
        (&whole["active"], &whole["inside"]["state"], &whole["fault"]),
        (&true.into(), &"up".into(), &Value::Null)
    );
    let probe = ask_owner(&segment, "asker", VIP);
    let begin = Moment::now();
    carrier(segment.host("a"), "pout", "down");
    b.wait_state(LAN, "active", SOON).unwrap();
    println!("moved {:?} after the carrier was lost", begin.elapsed());
    let status = a.wait_state(LAN, "backup", SOON).unwrap();
    let owners = owners_since(&probe, begin);
    assert_eq!(owners.contested, 0, "{owners:?}");
    assert_eq!(
        (status.cause(LAN), status.number(LAN, "effective_priority")),
        (Some("requirement-failed"), 1)
    );
    let broken = edge(&a);
    assert_eq!((&broken["active"], &broken["outside"]["state"]), (&false.into(), &"down".into()));
    assert_eq!(broken["fault"], "pout is down");
    let low: Vec<Value> =
        events(&a).into_iter().filter(|record| record["notice"] == "link-pairs-low").collect();
    assert_eq!(low[0]["detail"], "0 of 1 active (edge: pout is down)");
    let mended = Moment::now();
    carrier(segment.host("a"), "pout", "up");
    a.wait_state(LAN, "active", SOON).unwrap();
    let waited = mended.elapsed();
    assert!(waited >= RECOVERY, "back after {waited:?}");
    assert_eq!((low.len(), notices(&a, "link-pairs-restored")), (1, 1));
}

/// The carrier comes and goes faster than the recovery time: the address does not.
#[test]
fn a_flapping_cable_does_not_make_a_flapping_node() {
    let segment = Segment::build(&["a", "b"]).unwrap();
    let (a, b) = paired(&segment);
    for _ in 0..4 {
        carrier(segment.host("a"), "pin", "down");
        std::thread::sleep(SECOND / 2);
        carrier(segment.host("a"), "pin", "up");
        std::thread::sleep(SECOND / 2);
    }
    assert!(b.status().unwrap().is_active(LAN));
    a.wait_state(LAN, "active", SOON).unwrap();
    let moves = transitions(&a, LAN);
    assert_eq!(moves.iter().filter(|change| change.starts_with("active>")).count(), 1, "{moves:?}");
}

#[test]
fn with_the_pairs_of_both_nodes_lost_somebody_still_serves() {
    let segment = Segment::build(&["a", "b", "asker"]).unwrap();
    let (a, b) = paired(&segment);
    carrier(segment.host("a"), "pout", "down");
    b.wait_state(LAN, "active", SOON).unwrap();
    carrier(segment.host("b"), "pin", "down");
    eventually_true("b is told", SOON, || notices(&b, "link-pairs-low") == 1).unwrap();
    std::thread::sleep(SECOND);
    let probe = ask_owner(&segment, "asker", VIP);
    let count = || transitions(&a, LAN).len() + transitions(&b, LAN).len();
    let (begin, before) = (Moment::now(), count());
    std::thread::sleep(4 * SECOND);
    let owners = owners_since(&probe, begin);
    assert_eq!((owners.unanswered, owners.contested), (0, 0), "{owners:?}");
    assert_eq!(count(), before, "{:?} {:?}", transitions(&a, LAN), transitions(&b, LAN));
}

/// Both ports are up and the gateway answers for its address, but what arrives on the LAN leaves nowhere.
#[test]
fn a_pair_that_passes_nothing_on_is_lost() {
    let pair = "[links]\nrecovery_time = \"1s\"\n[[link_pair]]\nname = \"edge\"\ninside = \"lan0\"\noutside = \"wan0\"\n";
    let gateways = Gateways::start(|_| pair.to_owned());
    let stream = gateways.stream();
    eventually_true("seen to pass", SOON, || edge(&gateways.a)["passing"] == true).unwrap();
    let begin = Moment::now();
    gateways.eat_transit(Side::A);
    gateways.wait_active(Side::B);
    println!("moved {:?} after forwarding ended", begin.elapsed());
    let broken = edge(&gateways.a);
    assert_eq!((&broken["passing"], &broken["active"]), (&false.into(), &false.into()), "{broken}");
    eventually_true("traffic", SOON, || stream.flows_since(Moment::now().before(SECOND / 20))).unwrap();
    always("B keeps it", 5 * SECOND, || gateways.is_active(Side::B)).unwrap();
    assert_eq!(notices(&gateways.a, "link-pairs-low"), 1, "{}", gateways.logs());
}
