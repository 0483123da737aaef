//! The flap governor: what counts as a flap, what a latch does to a node without bypass, and that it is not forgotten.

use crate::support::{
    INTERVAL, LAN, MS, Router, SECOND, SOON, events, notices, start, start_pair, start_router,
};
use holdfast_lab::clock::Moment;
use holdfast_lab::daemon::{Daemon, Status};
use holdfast_lab::poll::{always, eventually_true};
use holdfast_lab::topology::Segment;

const STATE_FILE: &str = "flaps.json";

/// A node that latches at its second flap within a minute.
fn touchy(flaps: &str) -> String {
    format!("[flaps]\nmaximum_allowed = 1\nwindow = \"1m\"\n{flaps}\n{}", Router::new(200).text())
}

fn flaps(status: &Status) -> u64 {
    status.0["flaps"]["count"].as_u64().unwrap()
}

fn is_latched(status: &Status) -> bool {
    status.0["flaps"]["latched"] == true
}

/// Takes the carrier of a host away until its router has left Active, and gives it back.
fn lose_link(segment: &Segment, host: &str, daemon: &Daemon) {
    segment.fabric.set_carrier(&segment.port(host), false).unwrap();
    daemon.wait_state(LAN, "initialize", SOON).unwrap();
    segment.fabric.set_carrier(&segment.port(host), true).unwrap();
}

/// Flaps until the node has latched.
fn latch(segment: &Segment, host: &str, daemon: &Daemon) {
    daemon.wait_state(LAN, "active", SOON).unwrap();
    for _ in 0..2 {
        lose_link(segment, host, daemon);
        daemon.wait_state(LAN, "active", SOON).unwrap();
    }
    daemon.wait_status("latched", SOON, is_latched).unwrap();
}

fn restart(daemon: &mut Daemon, gracefully: bool) {
    if gracefully {
        daemon.stop().unwrap();
    } else {
        daemon.kill9();
    }
    daemon.restart().unwrap();
}

#[test]
fn a_latched_node_without_bypass_serves_at_priority_1_while_nobody_else_does() {
    let segment = Segment::build(&["a", "b"]).unwrap();
    let a = start(&segment, "a", &touchy(""));
    latch(&segment, "a", &a);
    let status = a
        .wait_status("serves at the lowest priority", SOON, |status| {
            status.is_active(LAN) && status.number(LAN, "effective_priority") == 1
        })
        .unwrap();
    let reason = &status.0["flaps"]["reason"];
    assert_eq!(reason, "2 flaps within 1m, 1 allowed");
    assert_eq!(notices(&a, "flap-latched"), 1);
    // Whoever comes takes over, whatever its priority.
    let b = start_router(&segment, "b", &Router::new(100));
    b.wait_state(LAN, "active", SOON).unwrap();
    a.wait_state(LAN, "backup", SOON).unwrap();
    let said = a.cli_ok(&["bypass", "release"]).unwrap();
    assert_eq!(said.trim(), "the flap latch is released");
    a.wait_state(LAN, "active", SOON).unwrap();
    assert!(!is_latched(&a.status().unwrap()));
    let again = a.cli(&["bypass", "release"]).unwrap();
    assert_eq!(again.status.code(), Some(1), "there is nothing left to release");
}

#[test]
fn planned_moves_count_nothing() {
    let segment = Segment::build(&["a", "b"]).unwrap();
    let (mut a, b) = start_pair(&segment, |router| router);
    for _ in 0..3 {
        a.cli_ok(&["failover"]).unwrap();
        b.wait_state(LAN, "active", SOON).unwrap();
        b.cli_ok(&["failover"]).unwrap();
        a.wait_state(LAN, "active", SOON).unwrap();
    }
    for _ in 0..2 {
        restart(&mut a, true);
        a.wait_state(LAN, "active", SOON).unwrap();
    }
    for daemon in [&a, &b] {
        let status = daemon.status().unwrap();
        assert!(
            flaps(&status) == 0 && status.0["flaps"]["hold_remaining_ns"] == 0,
            "{:#}",
            status.0["flaps"]
        );
    }
}

#[test]
fn a_killed_owner_that_returns_has_flapped() {
    let segment = Segment::build(&["a"]).unwrap();
    let mut a = start_router(&segment, "a", &Router::new(200));
    a.wait_state(LAN, "active", SOON).unwrap();
    let record = a.state_dir().join(STATE_FILE);
    eventually_true("the ownership is on disk", SOON, || record.exists()).unwrap();
    restart(&mut a, false);
    a.wait_state(LAN, "active", SOON).unwrap();
    a.wait_status("one flap", SOON, |status| flaps(status) == 1).unwrap();
}

#[test]
fn a_latch_survives_a_stop_and_a_kill_and_its_release_too() {
    let segment = Segment::build(&["a"]).unwrap();
    let mut a = start(&segment, "a", &touchy(""));
    latch(&segment, "a", &a);
    for gracefully in [true, false] {
        restart(&mut a, gracefully);
        let status = a.status().unwrap();
        assert!(is_latched(&status), "gracefully: {gracefully}\n{:#}", status.0["flaps"]);
        a.wait_status("serves at the lowest priority", SOON, |status| {
            status.is_active(LAN) && status.number(LAN, "effective_priority") == 1
        })
        .unwrap();
    }
    a.cli_ok(&["bypass", "release"]).unwrap();
    eventually_true("the release is on disk", SOON, || {
        let text = std::fs::read_to_string(a.state_dir().join(STATE_FILE)).unwrap_or_default();
        text.contains("\"latch\": null")
    })
    .unwrap();
    restart(&mut a, false);
    assert!(!is_latched(&a.status().unwrap()));
}

#[test]
fn a_damaged_record_is_reported_and_the_node_starts_unlatched() {
    let segment = Segment::build(&["a"]).unwrap();
    let mut a = start(&segment, "a", &touchy(""));
    latch(&segment, "a", &a);
    a.stop().unwrap();
    let file = a.state_dir().join(STATE_FILE);
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, &text[..text.len() / 2]).unwrap();
    a.restart().unwrap();
    assert!(!is_latched(&a.status().unwrap()));
    assert_eq!(notices(&a, "flap-record-fault"), 1);
    assert!(a.state_dir().join("flaps.json.damaged").exists());
    a.wait_status("full priority", SOON, |status| status.number(LAN, "effective_priority") == 200).unwrap();
}

#[test]
fn a_record_that_cannot_be_written_is_said_and_the_latch_counts_all_the_same() {
    let segment = Segment::build(&["a"]).unwrap();
    let a = start(&segment, "a", &touchy(""));
    a.wait_state(LAN, "active", SOON).unwrap();
    // A directory where the file is prepared: from now on nothing can be written.
    let obstacle = a.state_dir().join("flaps.json.new");
    eventually_true("in the way", SOON, || std::fs::create_dir(&obstacle).is_ok()).unwrap();
    latch(&segment, "a", &a);
    a.wait_status("in force", SOON, |status| status.number(LAN, "effective_priority") == 1).unwrap();
    assert_eq!(notices(&a, "flap-latched"), 1);
    assert_eq!(notices(&a, "flap-record-fault"), 1, "said once");
}

#[test]
fn a_timed_latch_counts_down_and_ends_by_itself() {
    let segment = Segment::build(&["a"]).unwrap();
    let a = start(&segment, "a", &touchy("release = \"4s\""));
    latch(&segment, "a", &a);
    let left = |status: &Status| status.0["flaps"]["release_in_ns"].as_u64();
    let first = left(&a.status().unwrap()).unwrap();
    let second = a.wait_status("counts down", SOON, |status| left(status).is_some_and(|left| left < first));
    assert!(left(&second.unwrap()).is_some_and(|left| left < 4_000_000_000));
    a.wait_status("ends by itself", SOON, |status| !is_latched(status)).unwrap();
    a.wait_status("full priority", SOON, |status| status.number(LAN, "effective_priority") == 200).unwrap();
    assert_eq!(notices(&a, "flap-released"), 1);
    assert_eq!(flaps(&a.status().unwrap()), 0, "it begins afresh");
}

#[test]
fn after_a_flap_a_living_owner_is_left_alone_for_a_while() {
    let segment = Segment::build(&["a", "b"]).unwrap();
    let (a, b) = start_pair(&segment, |router| router);
    let lose_to_b = || {
        segment.fabric.set_carrier(&segment.port("a"), false).unwrap();
        let lost = Moment::now();
        b.wait_state(LAN, "active", SOON).unwrap();
        segment.fabric.set_carrier(&segment.port("a"), true).unwrap();
        lost
    };
    for _ in 0..2 {
        lose_to_b();
        a.wait_state(LAN, "active", SOON).unwrap();
    }
    // Two flaps: two seconds from the loss.
    let lost = lose_to_b();
    a.wait_state(LAN, "backup", SOON).unwrap();
    assert!(a.status().unwrap().0["flaps"]["hold_remaining_ns"].as_u64().unwrap() > 0);
    let span = (2 * SECOND).saturating_sub(lost.elapsed() + 200 * MS);
    always("b owns during the hold", span, || b.status().unwrap().is_active(LAN)).unwrap();
    a.wait_state(LAN, "active", SOON).unwrap();
    assert!(lost.elapsed() >= 2 * SECOND - INTERVAL, "{:?}", lost.elapsed());
    // Nobody owns: no hold applies.
    drop(b);
    lose_link(&segment, "a", &a);
    let back = Moment::now();
    a.wait_state(LAN, "active", SOON).unwrap();
    assert!(back.elapsed() < 2 * SECOND, "{:?}", back.elapsed());
    let causes: Vec<_> =
        events(&a).iter().filter_map(|event| event["cause"].as_str().map(str::to_owned)).collect();
    assert!(causes.iter().any(|cause| cause == "interface-down"), "{causes:?}");
}
