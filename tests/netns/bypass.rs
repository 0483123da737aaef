//! Bypass by real daemons: a gateway between `left` and `right`, whose wire is all that joins the two.
//!
//! `left` and `right` have addresses of one network, so that what they exchange has crossed the wire; the gateway's virtual
//! address is asked for on the left.

use crate::support::{LAN, LEASE, MARGIN, MS, Router, SECOND, SOON, VIP, events, notices, pings};
use holdfast_lab::acts::{self, Act};
use holdfast_lab::clock::Moment;
use holdfast_lab::daemon::{Daemon, NodeSpec, Status};
use holdfast_lab::fabric::connect_hosts;
use holdfast_lab::netns::{LabName, Namespace};
use holdfast_lab::owners::OwnerProbe;
use holdfast_lab::poll::{always, eventually, eventually_true};
use holdfast_lab::trickle::Trickle;
use std::os::unix::fs::PermissionsExt;

const MTU: u32 = 1500;
const PAIR: &str = "edge";
const RIGHT: &str = "192.0.2.102";
/// The gateway's own address on the left.
const OWN: &str = "192.0.2.10";
const NAME: &str = "gw";
const STORM: &str = "[ha]\nmode = \"standalone\"\n\n[flaps]\nmaximum_allowed = 1\nwindow = \"1m\"\n";

struct Inline {
    name: LabName,
    left: Namespace,
    right: Namespace,
    gw: Namespace,
}

impl Inline {
    fn build() -> Self {
        let name = LabName::unique();
        let node = |part| Namespace::create(&name, part).unwrap();
        let (left, right, gw) = (node("left"), node("right"), node("gw"));
        connect_hosts((&gw, "in0"), (&left, "eth0"), MTU).unwrap();
        connect_hosts((&gw, "out0"), (&right, "eth0"), MTU).unwrap();
        left.ip_batch(&["addr add 192.0.2.101/24 dev eth0".into()]).unwrap();
        right.ip_batch(&[format!("addr add {RIGHT}/24 dev eth0")]).unwrap();
        gw.ip_batch(&[format!("addr add {OWN}/24 dev in0"), "addr add 198.51.100.10/24 dev out0".into()])
            .unwrap();
        Inline { name, left, right, gw }
    }

    fn start(&self, tables: &str) -> Daemon {
        let config = config(tables);
        Daemon::start(&self.name, &self.gw, &NodeSpec { name: NAME, id: None, config: &config }).unwrap()
    }

    /// Loses and regains the gateway's link on the left.
    fn flap(&self, daemon: &Daemon) {
        self.left.ip("link set eth0 down").unwrap();
        daemon.wait_state(LAN, "initialize", SOON).unwrap();
        self.left.ip("link set eth0 up").unwrap();
    }

    /// Flaps a node that allows one until it has latched.
    fn latch(&self, daemon: &Daemon) {
        daemon.wait_state(LAN, "active", SOON).unwrap();
        self.flap(daemon);
        daemon.wait_state(LAN, "active", SOON).unwrap();
        self.flap(daemon);
        daemon.wait_status("latched", SOON, |status| status.0["flaps"]["latched"] == true).unwrap();
    }

    fn has_vip(&self) -> bool {
        self.gw.has_address("in0", &VIP.to_string())
    }

    /// Frames from the left that only the wire brings to the right.
    fn trickle(&self) -> Trickle {
        Trickle::start((&self.left, "eth0"), (&self.right, "eth0")).unwrap()
    }

    fn ask_owner(&self) -> OwnerProbe {
        OwnerProbe::start(&self.left, "eth0", VIP.into(), MS).unwrap()
    }

    fn crosses(&self) -> bool {
        pings(&self.left, RIGHT)
    }
}

/// Configuration with a pair, a router on the left, and these tables before them.
fn config(tables: &str) -> String {
    let pair = format!("[[link_pair]]\nname = \"{PAIR}\"\ninside = \"in0\"\noutside = \"out0\"\n\n");
    format!("{tables}\n{pair}{}", Router::new(200).interface("in0").text())
}

fn xdp(more: &str) -> String {
    format!("[bypass]\ndriver = \"xdp\"\ntopology = \"inline\"\n{more}\n")
}

fn is_engaged(status: &Status) -> bool {
    status.0["bypass"]["engaged"] == true && status.0["bypass"]["pairs"] == serde_json::json!([PAIR])
}

fn is_released(status: &Status) -> bool {
    status.0["bypass"]["engaged"] == false
}

fn wait_engaged(daemon: &Daemon) -> Status {
    daemon.wait_status("engaged", SOON, is_engaged).unwrap()
}

/// When the daemon recorded something last, on the lab's clock.
fn recorded_at(daemon: &Daemon, wanted: impl Fn(&serde_json::Value) -> bool) -> Moment {
    let record = events(daemon).into_iter().rfind(|event| wanted(event)).unwrap();
    Moment::from_boot_clock(record["boot_ns"].as_u64().unwrap())
}

#[test]
fn a_flap_storm_ends_in_bypass_and_traffic_flows_through_the_wire() {
    let lab = Inline::build();
    let gw = lab.start(&(STORM.to_owned() + &xdp("")));
    assert!(!lab.crosses(), "nothing joins the two sides before");
    let trickle = lab.trickle();
    lab.latch(&gw);
    let first = trickle.next(SOON).unwrap().expect("frames through the wire");
    let latched = recorded_at(&gw, |event| event["to"] == "active");
    println!("from the flap that latched to the first frame through the wire: {:?}", first.since(latched));
    let released = recorded_at(&gw, |event| event["cause"] == "flap-latch");
    assert!(first > released, "the address goes first");
    println!("of that, from the released address to the first frame: {:?}", first.since(released));
    assert!(!lab.has_vip());

    let status = wait_engaged(&gw);
    assert_eq!(status.state(LAN), Some("initialize"));
    assert_eq!(status.cause(LAN), Some("flap-latch"));
    assert!(lab.crosses(), "hosts on both sides are one segment");
    let probe = lab.ask_owner();
    std::thread::sleep(300 * MS);
    assert_eq!(probe.last_owner(), None, "nobody answers for the virtual address");
    assert!(pings(&lab.left, OWN), "the gateway itself is still reached");
    assert_eq!((notices(&gw, "flap-latched"), notices(&gw, "bypass-engaged")), (1, 1));
    let text = gw.cli_ok(&["status"]).unwrap();
    assert!(
        text.contains("xdp, inline, ENGAGED: edge") && text.contains("LATCHED: 2 flaps within 1m"),
        "{text}"
    );

    let said = gw.cli_ok(&["bypass", "release"]).unwrap();
    assert!(said.contains("the flap latch is released"), "{said}");
    gw.wait_state(LAN, "active", SOON).unwrap();
    assert!(lab.has_vip() && !lab.crosses());
    assert!(is_released(&gw.status().unwrap()));
}

/// The primary's own address is gone with it: another router takes it, and is reached through the wire.
#[test]
fn a_second_gateway_behind_a_latched_primary_serves_through_the_wire() {
    let report = acts::play(Act::FlapStorm, &mut |_| ());
    assert!(report.passed, "{report:#?}");
}

#[test]
fn a_latched_node_that_starts_again_goes_straight_into_bypass() {
    let lab = Inline::build();
    let mut gw = lab.start(&(STORM.to_owned() + &xdp("")));
    lab.latch(&gw);
    wait_engaged(&gw);
    let probe = lab.ask_owner();
    for gracefully in [true, false] {
        let begin = Moment::now();
        if gracefully {
            gw.stop().unwrap();
        } else {
            gw.kill9();
        }
        gw.restart().unwrap();
        let status = wait_engaged(&gw);
        assert!(status.0["flaps"]["latched"] == true && status.state(LAN) == Some("initialize"));
        always("no virtual address", SECOND, || !lab.has_vip()).unwrap();
        let owners = crate::support::owners_since(&probe, begin);
        assert_eq!(owners.unanswered, owners.asked, "{owners:?}");
        assert!(lab.crosses());
        let roles: Vec<_> = events(&gw);
        let last = roles.iter().rfind(|event| event["event"] == "transition").unwrap();
        assert_eq!(last["cause"], "flap-latch", "nothing took part since");
    }
}

#[test]
fn a_timed_latch_releases_the_wire_and_then_serves_again() {
    let lab = Inline::build();
    let storm = STORM.replace("window", "release = \"3s\"\nwindow");
    let gw = lab.start(&(storm + &xdp("")));
    lab.latch(&gw);
    wait_engaged(&gw);
    gw.wait_state(LAN, "active", SOON).unwrap();
    let status = gw.status().unwrap();
    assert!(is_released(&status) && status.0["flaps"]["latched"] == false);
    assert!(!lab.crosses());
    let ours = |name: &str| name.starts_with("flap-") || name.starts_with("bypass-");
    let names = events(&gw);
    let order: Vec<&str> =
        names.iter().filter_map(|event| event["notice"].as_str()).filter(|name| ours(name)).collect();
    assert_eq!(order, ["flap-latched", "bypass-engaged", "flap-released", "bypass-released"]);
}

#[test]
fn the_operator_engages_and_releases() {
    let lab = Inline::build();
    let gw = lab.start(&xdp(""));
    gw.wait_state(LAN, "active", SOON).unwrap();
    let said = gw.cli_ok(&["bypass", "engage", PAIR]).unwrap();
    assert_eq!(said.trim(), "bypass of edge is engaged, read back");
    let status = gw.status().unwrap();
    assert!(is_engaged(&status) && !lab.has_vip() && lab.crosses());
    assert_eq!((status.state(LAN), status.cause(LAN)), (Some("initialize"), Some("bypass-command")));
    gw.cli_ok(&["bypass", "engage"]).unwrap();
    let refused = gw.cli(&["bypass", "engage", "dmz"]).unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no link pair \"dmz\""));
    assert_eq!(gw.cli_ok(&["bypass", "release"]).unwrap().trim(), "bypass of edge is released, read back");
    assert!(!lab.crosses());
    gw.wait_state(LAN, "active", SOON).unwrap();
    assert_eq!(gw.status().unwrap().0["flaps"]["count"], 0, "a planned move is no flap");
}

#[test]
fn without_a_driver_an_order_is_refused() {
    let lab = Inline::build();
    let gw = lab.start("");
    for (verb, words) in [("engage", "set bypass.driver"), ("release", "nothing to release")] {
        let refused = gw.cli(&["bypass", verb]).unwrap();
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(1) && said.contains(words), "{verb}: {said}");
    }
    gw.wait_state(LAN, "active", SOON).unwrap();
}

#[test]
fn a_release_waits_for_the_links() {
    let lab = Inline::build();
    let gw = lab.start(&xdp(""));
    gw.wait_state(LAN, "active", SOON).unwrap();
    gw.cli_ok(&["bypass", "engage"]).unwrap();
    lab.right.ip("link set eth0 down").unwrap();
    gw.wait_status("the outside is down", SOON, |status| status.link("out0")["carrier"] == false).unwrap();
    let released = gw.cli(&["bypass", "release"]).unwrap();
    let warning = String::from_utf8_lossy(&released.stderr).into_owned();
    assert!(released.status.success() && warning.contains("stay down until"), "{warning}");
    always("down", SECOND, || gw.status().unwrap().state(LAN) == Some("initialize")).unwrap();
    lab.right.ip("link set eth0 up").unwrap();
    gw.wait_state(LAN, "active", SOON).unwrap();
}

/// A bypass program of which the test says where it stands and whether it lies.
fn program(lab: &Inline, script: &str) -> (std::path::PathBuf, String) {
    let directory = std::env::temp_dir().join(lab.name.part("bypass"));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("switch");
    std::fs::write(&path, format!("#!/bin/sh\ncd {}\n{script}\n", directory.display())).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let tables = format!(
        "[bypass]\ndriver = \"command\"\ntopology = \"inline\"\ncommand = [\"{}\"]\n",
        path.display()
    );
    (directory, tables)
}

#[test]
fn a_driver_that_lies_is_reported_and_the_order_fails() {
    let lab = Inline::build();
    let (directory, tables) = program(&lab, "[ \"$1\" = status ] && echo released; exit 0");
    let gw = lab.start(&tables);
    gw.wait_state(LAN, "active", SOON).unwrap();
    let failed = gw.cli(&["bypass", "engage"]).unwrap();
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(failed.status.code() == Some(1) && said.contains("which means released"), "{said}");
    let status = gw.status().unwrap();
    assert_eq!(status.0["bypass"]["wanted"], serde_json::json!([PAIR]));
    assert!(
        is_released(&status) && status.0["bypass"]["faults"][0]["pair"] == PAIR,
        "{:#}",
        status.0["bypass"]
    );
    assert!(notices(&gw, "bypass-fault") >= 1);
    gw.cli_ok(&["bypass", "release"]).unwrap();
    gw.wait_state(LAN, "active", SOON).unwrap();
    drop(gw);
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_latch_that_no_driver_answers_leaves_a_gateway_of_the_lowest_priority() {
    let lab = Inline::build();
    let (directory, tables) = program(&lab, "[ \"$1\" = status ] && echo released; exit 0");
    let gw = lab.start(&(STORM.to_owned() + &tables));
    lab.latch(&gw);
    gw.wait_state(LAN, "initialize", SOON).unwrap();
    let status = gw
        .wait_status("serves as a last resort", 3 * SOON, |status| {
            status.is_active(LAN) && status.number(LAN, "effective_priority") == 1
        })
        .unwrap();
    assert!(status.0["flaps"]["latched"] == true && is_released(&status) && lab.has_vip());
    drop(gw);
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn hardware_left_engaged_by_a_dead_daemon_is_released_before_anything_takes_part() {
    let lab = Inline::build();
    let script = "case $1 in engage) echo engaged > at;; release) sleep 0.3; echo released > at;; status) cat at;; esac";
    let (directory, tables) = program(&lab, script);
    std::fs::write(directory.join("at"), "engaged\n").unwrap();
    let gw = lab.start(&tables);
    gw.wait_state(LAN, "backup", SOON).unwrap();
    assert_eq!(std::fs::read_to_string(directory.join("at")).unwrap(), "released\n");
    gw.wait_state(LAN, "active", SOON).unwrap();
    drop(gw);
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_killed_controller_fails_to_wire_and_the_next_start_takes_over() {
    let lab = Inline::build();
    let mut gw = lab.start(&xdp("on_controller_loss = true"));
    gw.wait_state(LAN, "active", SOON).unwrap();
    let trickle = lab.trickle();
    assert!(trickle.is_quiet().unwrap(), "the controller lives");
    let killed = Moment::now();
    gw.kill9();
    let first = trickle.next(SOON).unwrap().expect("frames through the wire");
    println!("from kill -9 to the first frame through the wire: {:?}", first.since(killed));
    let extended = LEASE / 10 + MARGIN;
    assert!(first.since(killed) >= LEASE.saturating_sub(extended), "not before the lease has ended");
    assert!(first.since(killed) <= LEASE + MARGIN);
    assert!(lab.crosses());
    let probe = lab.ask_owner();
    std::thread::sleep(300 * MS);
    assert_eq!(probe.last_owner(), None, "the address that still stands is fenced");
    gw.restart().unwrap();
    gw.wait_state(LAN, "active", SOON).unwrap();
    assert!(trickle.is_quiet().unwrap() && is_released(&gw.status().unwrap()));
    eventually_true("the gateway answers", SOON, || probe.last_owner().is_some()).unwrap();
}

#[test]
fn a_stopped_controller_fails_to_wire_and_ends_it_when_it_goes_on() {
    let lab = Inline::build();
    let gw = lab.start(&xdp("on_controller_loss = true"));
    gw.wait_state(LAN, "active", SOON).unwrap();
    let trickle = lab.trickle();
    assert!(trickle.is_quiet().unwrap());
    let stopped = Moment::now();
    gw.sigstop();
    let first = trickle.next(SOON).unwrap().expect("frames through the wire");
    println!("from SIGSTOP to the first frame through the wire: {:?}", first.since(stopped));
    assert!(first.since(stopped) <= LEASE + MARGIN, "{:?}", first.since(stopped));
    gw.sigcont();
    let ended = eventually("the wire ends", SOON, || trickle.is_quiet().unwrap().then(Moment::now)).unwrap();
    assert!(ended.elapsed() < SECOND);
    gw.wait_state(LAN, "active", SOON).unwrap();
    gw.wait_status("released", SOON, is_released).unwrap();
}

#[test]
fn a_reload_changes_pairs_and_settings_of_the_wire() {
    let lab = Inline::build();
    let gw = lab.start(&xdp(""));
    gw.wait_state(LAN, "active", SOON).unwrap();
    gw.cli_ok(&["bypass", "engage"]).unwrap();
    gw.set_config(&config(&xdp("on_controller_loss = true"))).unwrap();
    gw.cli_ok(&["reload"]).unwrap();
    wait_engaged(&gw);
    assert!(lab.crosses(), "what was engaged stays engaged");
    let renamed = config(&xdp("")).replace("name = \"edge\"", "name = \"core\"");
    gw.set_config(&renamed).unwrap();
    let refused = gw.cli(&["reload"]).unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && said.contains("link pair edge is in bypass"), "{said}");
    assert!(lab.crosses());
    gw.cli_ok(&["bypass", "release", PAIR]).unwrap();
    gw.cli_ok(&["reload"]).unwrap();
    gw.wait_state(LAN, "active", SOON).unwrap();
    gw.cli_ok(&["bypass", "engage", "core"]).unwrap();
    assert!(lab.crosses());
    gw.cli_ok(&["bypass", "release", "core"]).unwrap();
    assert!(!lab.crosses());
}
