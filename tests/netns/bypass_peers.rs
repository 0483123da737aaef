//! Bypass and the other gateway: no wire beside a peer that forwards, and a watchdog that is petted on the word of the
//! data plane alone.

use crate::peers::start;
use crate::support::{INTERVAL, MS, SECOND, SOON, run};
use holdfast_lab::daemon::Status;
use holdfast_lab::gateway_pair::Peering;
use holdfast_lab::poll::{always, eventually_true};
use holdfast_lab::topology::{GatewayLab, Leg, Side};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const PAIR: &str = "[[link_pair]]\nname = \"edge\"\ninside = \"lan0\"\noutside = \"wan0\"\n\n";
const PARALLEL: &str = "[bypass]\ndriver = \"xdp\"\ntopology = \"parallel\"\naccept_parallel = true\n\n\
                        [flaps]\nmaximum_allowed = 0\nwindow = \"1m\"\n\n";

fn is_engaged(status: &Status) -> bool {
    status.0["bypass"]["engaged"] == true
}

fn serves_last(status: &Status) -> bool {
    status.0["flaps"]["latched"] == true
        && status.number("lan", "effective_priority") == 1
        && !is_engaged(status)
}

#[test]
fn no_wire_is_engaged_beside_a_healthy_peer_and_none_stays() {
    let lab = GatewayLab::build().unwrap();
    let mut peering = Peering::every(10 * MS).with_ha("primary = true").with(&(PARALLEL.to_owned() + PAIR));
    peering.sync = false;
    let pair = start(&lab, INTERVAL, &peering);
    let refused = pair.daemon(Side::A).unwrap().cli(&["bypass", "engage"]).unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && said.contains("would close a loop"), "{said}");

    // One flap is too many here.
    lab.link_down(Side::A, Leg::Lan).unwrap();
    pair.wait_active(Side::B, SOON).unwrap();
    lab.link_up(Side::A, Leg::Lan).unwrap();
    let a = pair.daemon(Side::A).unwrap();
    a.wait_status("latched without bypass", SOON, serves_last).unwrap();
    pair.wait_active(Side::B, SOON).unwrap();
    always("no wire", SECOND, || !is_engaged(&a.status().unwrap())).unwrap();

    lab.node_silent(Side::B).unwrap();
    let alone = a.wait_status("the wire, once alone", SOON, is_engaged).unwrap();
    assert_eq!((alone.state("lan"), alone.state("wan")), (Some("initialize"), Some("initialize")));

    lab.node_restore(Side::B).unwrap();
    a.wait_status("no wire beside the peer", SOON, |status| {
        serves_last(status) && status.state("lan") == Some("backup")
    })
    .unwrap();
    pair.wait_active(Side::B, SOON).unwrap();
    a.cli_ok(&["bypass", "release"]).unwrap();
    pair.wait_active(Side::A, SOON).unwrap();
}

/// Calls that a gateway's bypass program got.
fn calls(directory: &Path, lab: &GatewayLab, side: Side, verb: &str) -> usize {
    let inode = run(lab.gateway(side), "stat", "-Lc %i /proc/self/ns/net").stdout;
    let log = directory.join(format!("calls-{}", String::from_utf8(inode).unwrap().trim()));
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().filter(|line| *line == verb).count()
}

/// A program that notes what it is called with, one file for each network namespace.
fn program(lab: &GatewayLab) -> (PathBuf, String) {
    let directory = std::env::temp_dir().join(lab.name.part("watchdog"));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("switch");
    let script = format!(
        "#!/bin/sh\ncd {}\necho $1 >> calls-$(stat -Lc %i /proc/self/ns/net)\n[ $1 = status ] && echo released\nexit 0\n",
        directory.display()
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let tables = format!(
        "[bypass]\ndriver = \"command\"\ntopology = \"inline\"\ncommand = [\"{}\"]\ncommand_timeout = \"1s\"\n\
         watchdog = \"3s\"\npet_interval = \"200ms\"\n\n",
        path.display()
    );
    (directory, tables)
}

#[test]
fn the_watchdog_is_petted_only_while_round_trips_are_proven() {
    let lab = GatewayLab::build().unwrap();
    let (directory, tables) = program(&lab);
    let mut peering = Peering::every(10 * MS).with(&(tables + PAIR));
    peering.sync = false;
    let mut pair = start(&lab, INTERVAL, &peering);
    let pets = || calls(&directory, &lab, Side::A, "pet");
    let armed = calls(&directory, &lab, Side::A, "arm");
    assert!(armed >= 1);
    let before = pets();
    eventually_true("pets", SOON, || pets() >= before + 5).unwrap();
    let status = pair.daemon(Side::A).unwrap().status().unwrap();
    assert!(status.0["bypass"]["watchdog"]["proof_age_ns"].as_u64().unwrap() < 1_000_000_000);

    lab.node_silent(Side::A).unwrap();
    let a = pair.daemon(Side::A).unwrap();
    a.wait_status("withheld pets are reported", SOON, |status| {
        status.0["bypass"]["faults"][0]["fault"].as_str().is_some_and(|fault| fault.contains("not petted"))
    })
    .unwrap();
    let silent = pets();
    always("no pet without proof", SECOND, || pets() == silent).unwrap();
    lab.node_restore(Side::A).unwrap();
    eventually_true("pets again", SOON, || pets() > silent).unwrap();

    pair.begin_stop(Side::A);
    eventually_true("stopped", SOON, || pair.has_ended(Side::A)).unwrap();
    assert_eq!(calls(&directory, &lab, Side::A, "disarm"), 1, "a clean stop ends the watchdog");
    pair.kill9(Side::B);
    assert_eq!(calls(&directory, &lab, Side::B, "disarm"), 0, "a crash does not");
    std::fs::remove_dir_all(directory).unwrap();
}
