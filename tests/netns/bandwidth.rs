//! Failover on low bandwidth: an owner that stops passing what it passed gives way, once; a quiet night moves nothing.

use crate::gateways::Gateways;
use crate::support::{SECOND, SOON, notices, transitions};
use holdfast_lab::clock::Moment;
use holdfast_lab::daemon::{Daemon, Status};
use holdfast_lab::poll::{always, eventually_true};
use holdfast_lab::topology::Side;
use serde_json::Value;

/// A datagram per millisecond makes about 850 kbit/s.
const SETTINGS: &str = "[bandwidth]\nenabled = true\nminimum = \"300kbps\"\ninterval = \"2s\"\n";

fn guard(status: &Status) -> Value {
    let guards = status.0["bandwidth"].as_array().unwrap();
    guards.iter().find(|guard| guard["link"] == "wan0").unwrap().clone()
}

fn wait_armed(daemon: &Daemon) {
    daemon.wait_status("armed", SOON, |status| guard(status)["armed"] == true).unwrap();
}

#[test]
fn an_owner_that_passes_too_little_gives_way_once() {
    let gateways = Gateways::start(|_| SETTINGS.to_owned());
    let stream = gateways.stream();
    wait_armed(&gateways.a);
    let begin = Moment::now();
    gateways.eat_transit(Side::A);
    gateways.wait_active(Side::B);
    let moved = begin.elapsed();
    println!("moved {moved:?} after forwarding ended");
    assert!(moved >= 2 * SECOND, "the whole interval, not {moved:?}");
    assert_eq!(gateways.a.status().unwrap().cause("lan"), Some("low-bandwidth"));
    eventually_true("traffic", SOON, || stream.flows_since(Moment::now().before(SECOND / 20))).unwrap();
    // A has the better priority and is not asked back by it.
    always("B keeps it", 8 * SECOND, || gateways.is_active(Side::B)).unwrap();
    wait_armed(&gateways.b);
    assert_eq!(notices(&gateways.a, "bandwidth-low"), 1);
    assert_eq!(guard(&gateways.a.status().unwrap())["failures"], 1);
}

#[test]
fn a_quiet_night_moves_nothing_and_the_morning_is_guarded() {
    let gateways = Gateways::start(|_| SETTINGS.to_owned());
    let stream = gateways.stream();
    wait_armed(&gateways.a);
    drop(stream);
    always("A keeps it", 6 * SECOND, || gateways.is_active(Side::A)).unwrap();
    let status = gateways.a.status().unwrap();
    assert_eq!((&guard(&status)["armed"], &guard(&status)["failures"]), (&true.into(), &0.into()));
    let _stream = gateways.stream();
    gateways.eat_transit(Side::A);
    gateways.wait_active(Side::B);
}

#[test]
fn two_nodes_that_both_pass_too_little_do_not_play_ping_pong() {
    let gateways = Gateways::start(|_| SETTINGS.to_owned());
    gateways.eat_transit(Side::B);
    let _stream = gateways.stream();
    wait_armed(&gateways.a);
    gateways.eat_transit(Side::A);
    gateways.wait_active(Side::B);
    always("B keeps it", 10 * SECOND, || gateways.is_active(Side::B)).unwrap();
    let moves = transitions(&gateways.a, "wan");
    assert_eq!(moves.iter().filter(|change| change.starts_with("active>")).count(), 1, "{moves:?}");
    assert_eq!((notices(&gateways.a, "bandwidth-low"), notices(&gateways.b, "bandwidth-low")), (1, 0));
}

#[test]
fn without_a_successor_the_owner_stays_and_a_reload_ends_the_guard() {
    let mut gateways = Gateways::start(|_| SETTINGS.to_owned());
    gateways.b.stop().unwrap();
    let _stream = gateways.stream();
    wait_armed(&gateways.a);
    gateways.eat_transit(Side::A);
    eventually_true("told", SOON, || notices(&gateways.a, "failover-unanswered") > 0).unwrap();
    always("A stays", 3 * SECOND, || gateways.a.status().unwrap().is_active("wan")).unwrap();
    assert_eq!(notices(&gateways.a, "bandwidth-low"), 1, "said once");
    let plain = holdfast_lab::gateway_pair::holdfast_config(Side::A, crate::support::INTERVAL);
    gateways.a.set_config(&plain).unwrap();
    gateways.a.cli_ok(&["reload"]).unwrap();
    assert_eq!(gateways.a.status().unwrap().0["bandwidth"], Value::Array(Vec::new()));
}
