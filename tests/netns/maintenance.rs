//! `holdfast maintenance`: the node gives way without a loss, stays out across a restart, and comes back on order.

use crate::gateways::Gateways;
use crate::support::{LAN, MS, Router, SECOND, SOON, VIP, ask_owner, notices, owners_since, start_router};
use holdfast_lab::clock::Moment;
use holdfast_lab::poll::always;
use holdfast_lab::topology::{Segment, Side};

#[test]
fn maintenance_loses_nothing_and_lasts_until_it_is_switched_off() {
    let mut gateways = Gateways::start(|_| String::new());
    let stream = gateways.stream();
    std::thread::sleep(200 * MS);
    let begin = Moment::now();
    let said = gateways.a.cli_ok(&["maintenance", "on"]).unwrap();
    assert!(said.contains("maintenance is on; released 2 virtual routers"), "{said}");
    gateways.wait_active(Side::B);
    std::thread::sleep(500 * MS);
    let traffic = stream.window(begin, Moment::now());
    assert!(
        traffic.sent > 200 && (traffic.lost, traffic.duplicated) == (0, 0),
        "{traffic:?}\n{}",
        gateways.logs()
    );
    let status = gateways.a.status().unwrap();
    assert_eq!(status.0["node"]["maintenance"], true);
    assert_eq!((status.cause("lan"), status.number("lan", "effective_priority")), (Some("maintenance"), 1));
    assert_eq!(status.router("lan")["unfit"], "maintenance");
    assert!(gateways.a.cli_ok(&["status"]).unwrap().contains("IN MAINTENANCE"));
    // A reboot in the middle of the work.
    gateways.a.stop().unwrap();
    gateways.a.restart().unwrap();
    always("A stays out", 2 * SECOND, || gateways.a.status().unwrap().state("lan") != Some("active"))
        .unwrap();
    assert_eq!(gateways.a.status().unwrap().0["node"]["maintenance"], true);
    assert!(gateways.a.cli_ok(&["maintenance", "on"]).unwrap().contains("Active for nothing"));
    let said = gateways.a.cli_ok(&["maintenance", "off"]).unwrap();
    assert!(said.contains("maintenance is off"), "{said}");
    gateways.wait_active(Side::A);
    assert_eq!(gateways.a.status().unwrap().0["node"]["maintenance"], false);
    assert_eq!(
        notices(&gateways.a, "maintenance"),
        2,
        "on and off; the order that changed nothing is not told"
    );
}

#[test]
fn a_node_alone_serves_on_in_maintenance_and_says_so() {
    let segment = Segment::build(&["a", "b", "asker"]).unwrap();
    let a = start_router(&segment, "a", &Router::new(200));
    a.wait_state(LAN, "active", SOON).unwrap();
    let probe = ask_owner(&segment, "asker", VIP);
    let begin = Moment::now() + 100 * MS;
    std::thread::sleep(100 * MS);
    let refused = a.cli(&["maintenance", "on"]).unwrap();
    let reason = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{reason}");
    assert!(reason.contains("nobody took over: this node still serves lan at priority 1"), "{reason}");
    std::thread::sleep(SECOND);
    let owners = owners_since(&probe, begin);
    assert_eq!((owners.unanswered, owners.contested), (0, 0), "{owners:?}");
    assert!(a.status().unwrap().is_active(LAN));
    // Whoever comes later takes over: this node runs at priority 1.
    let b = start_router(&segment, "b", &Router::new(100));
    b.wait_state(LAN, "active", SOON).unwrap();
    a.wait_state(LAN, "backup", SOON).unwrap();
    a.cli_ok(&["maintenance", "off"]).unwrap();
    a.wait_state(LAN, "active", SOON).unwrap();
}
