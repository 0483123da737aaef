//! Checks at work: requirements and weights move the addresses and bring them back, and no check holds up an advert.

use crate::gateways::Gateways;
use crate::support::{
    INTERVAL, LAN, MS, Router, SECOND, SOON, VIP, ask_owner, events, notices, owners_since, start,
    start_router, transitions,
};
use holdfast_lab::adverts::AdvertCapture;
use holdfast_lab::clock::Moment;
use holdfast_lab::daemon::{Daemon, Status};
use holdfast_lab::netns::LabName;
use holdfast_lab::poll::{always, eventually_true};
use holdfast_lab::topology::{Segment, Side};
use serde_json::Value;
use std::path::PathBuf;

/// A file that a check looks for, removed with the value.
struct Flag(PathBuf);

impl Flag {
    fn new(lab: &LabName) -> Self {
        Flag(std::env::temp_dir().join(lab.part("flag")))
    }

    fn raise(&self) {
        std::fs::write(&self.0, "").unwrap();
    }

    fn lower(&self) {
        std::fs::remove_file(&self.0).unwrap();
    }

    /// A check that passes while the flag is raised.
    fn check(&self, rest: &str) -> String {
        let path = self.0.display();
        format!(
            "[[check]]\nname = \"flag\"\nkind = \"command\"\ncommand = [\"/usr/bin/test\", \"-e\", \"{path}\"]\n\
             interval = \"1s\"\n{rest}\n"
        )
    }
}

impl Drop for Flag {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn check<'a>(status: &'a Status, name: &str) -> &'a Value {
    let checks = status.0["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == name).unwrap()
}

/// `a` (200, with the check) and `b` (100); `a` is Active.
fn pair_with_check(segment: &Segment, check: &str) -> (Daemon, Daemon) {
    let a = start(segment, "a", &(Router::new(200).text() + check));
    a.wait_state(LAN, "active", SOON).unwrap();
    let b = start_router(segment, "b", &Router::new(100));
    b.wait_status("b hears a", SOON, |status| status.number(LAN, "adverts_received") > 0).unwrap();
    (a, b)
}

#[test]
fn a_failed_requirement_moves_the_router_and_its_return_moves_it_back() {
    let segment = Segment::build(&["a", "b", "asker"]).unwrap();
    let flag = Flag::new(&segment.name);
    flag.raise();
    let (a, b) = pair_with_check(&segment, &flag.check("weight = 0"));
    let status =
        a.wait_status("passing", SOON, |status| check(status, "flag")["state"] == "passing").unwrap();
    assert_eq!(
        (&check(&status, "flag")["kind"], &check(&status, "flag")["scope"]),
        (&"command".into(), &"node".into())
    );
    assert_eq!(status.router(LAN)["unfit"], Value::Null);
    let probe = ask_owner(&segment, "asker", VIP);
    let begin = Moment::now();
    flag.lower();
    b.wait_state(LAN, "active", SOON).unwrap();
    let status = a.wait_state(LAN, "backup", SOON).unwrap();
    std::thread::sleep(200 * MS);
    let owners = owners_since(&probe, begin);
    assert_eq!(owners.contested, 0, "{owners:?}");
    assert_eq!(status.cause(LAN), Some("requirement-failed"));
    assert_eq!(status.number(LAN, "effective_priority"), 1);
    assert_eq!(status.router(LAN)["unfit"], "requirement-failed");
    assert_eq!(check(&status, "flag")["state"], "failing");
    assert!(check(&status, "flag")["detail"].as_str().unwrap().contains("status 1"), "{status:?}");
    assert_eq!(
        (notices(&a, "check-failed"), notices(&a, "unfit")),
        (1, 2),
        "unfit at the start, too: nothing was known"
    );
    flag.raise();
    let status = a.wait_state(LAN, "active", SOON).unwrap();
    assert_eq!((status.cause(LAN), status.number(LAN, "effective_priority")), (Some("preemption"), 200));
    assert_eq!((notices(&a, "check-passed"), notices(&a, "fit")), (1, 2));
    let text = a.cli_ok(&["status"]).unwrap();
    assert!(text.contains("flag        passing for") && text.contains("requirement of node"), "{text}");
}

#[test]
fn a_negative_weight_lowers_the_priority_while_the_check_fails() {
    let segment = Segment::build(&["a", "b"]).unwrap();
    let flag = Flag::new(&segment.name);
    flag.raise();
    let (a, b) = pair_with_check(&segment, &flag.check("weight = -150"));
    flag.lower();
    b.wait_state(LAN, "active", SOON).unwrap();
    let status = a.wait_state(LAN, "backup", SOON).unwrap();
    assert_eq!((status.cause(LAN), status.number(LAN, "effective_priority")), (Some("higher-priority"), 50));
    assert_eq!(b.status().unwrap().cause(LAN), Some("preemption"));
    flag.raise();
    let status = a.wait_state(LAN, "active", SOON).unwrap();
    assert_eq!(status.number(LAN, "effective_priority"), 200);
}

#[test]
fn a_positive_weight_raises_the_priority_while_the_check_passes() {
    let segment = Segment::build(&["a", "b"]).unwrap();
    let flag = Flag::new(&segment.name);
    let (a, b) = {
        let a = start_router(&segment, "a", &Router::new(200));
        a.wait_state(LAN, "active", SOON).unwrap();
        (
            a,
            start(
                &segment,
                "b",
                &(Router::new(100).text() + &flag.check("weight = 120\nvirtual_router = \"lan\"")),
            ),
        )
    };
    b.wait_status("failing", SOON, |status| check(status, "flag")["state"] == "failing").unwrap();
    always("b stays Backup", SECOND, || b.status().unwrap().state(LAN) == Some("backup")).unwrap();
    flag.raise();
    let status = b.wait_state(LAN, "active", SOON).unwrap();
    assert_eq!(status.number(LAN, "effective_priority"), 220);
    flag.lower();
    a.wait_state(LAN, "active", SOON).unwrap();
}

#[test]
fn a_check_of_a_group_moves_its_members_together() {
    let flag = Flag::new(&LabName::unique());
    flag.raise();
    let gateways = Gateways::start(|side| match side {
        Side::A => flag.check("group = \"gateway\""),
        Side::B => String::new(),
    });
    flag.lower();
    gateways.wait_active(Side::B);
    let status = gateways.a.status().unwrap();
    for router in ["lan", "wan"] {
        assert_eq!(status.router(router)["unfit"], "requirement-failed");
        assert_eq!(status.number(router, "effective_priority"), 1);
    }
    flag.raise();
    gateways.wait_active(Side::A);
}

/// A check that fails on both nodes: one of them serves all the same, and they do not pass the address to and fro.
#[test]
fn what_fails_on_both_nodes_stays_served() {
    let segment = Segment::build(&["a", "b", "asker"]).unwrap();
    let flag = Flag::new(&segment.name);
    flag.raise();
    let a = start(&segment, "a", &(Router::new(200).text() + &flag.check("")));
    a.wait_state(LAN, "active", SOON).unwrap();
    let b = start(&segment, "b", &(Router::new(100).text() + &flag.check("")));
    b.wait_status("b hears a", SOON, |status| status.number(LAN, "adverts_received") > 0).unwrap();
    let probe = ask_owner(&segment, "asker", VIP);
    flag.lower();
    for daemon in [&a, &b] {
        daemon.wait_status("failing", SOON, |status| check(status, "flag")["state"] == "failing").unwrap();
    }
    // Releases end within two intervals.
    std::thread::sleep(SECOND);
    let count = || transitions(&a, LAN).len() + transitions(&b, LAN).len();
    let (begin, before) = (Moment::now(), count());
    std::thread::sleep(3 * SECOND);
    let owners = owners_since(&probe, begin);
    assert_eq!((owners.unanswered, owners.contested), (0, 0), "{owners:?}");
    assert_eq!(count(), before, "{:?} {:?}", transitions(&a, LAN), transitions(&b, LAN));
    let active = [&a, &b].iter().filter(|daemon| daemon.status().unwrap().is_active(LAN)).count();
    assert_eq!(active, 1);
}

#[test]
fn checks_that_hang_delay_no_advert() {
    const CHECKS: usize = 20;
    let segment = Segment::build(&["a", "asker"]).unwrap();
    let checks: String = (0..CHECKS)
        .map(|number| {
            format!(
                "[[check]]\nname = \"hang-{number}\"\nkind = \"command\"\ncommand = [\"/usr/bin/sleep\", \"60\"]\n\
                 interval = \"300ms\"\ntimeout = \"300ms\"\nweight = -1\n"
            )
        })
        .collect();
    let a = start(&segment, "a", &(Router::new(200).text() + &checks));
    a.wait_state(LAN, "active", SOON).unwrap();
    let capture = AdvertCapture::start(segment.host("asker"), Segment::INTERFACE).unwrap();
    let begin = Moment::now();
    std::thread::sleep(5 * SECOND);
    let end = Moment::now();
    let gap = capture.longest_gap(segment.address("a"), begin, end);
    let adverts = capture.since(begin).len();
    println!("20 hanging checks: {adverts} adverts in 5 s, longest gap {gap:?}");
    assert!(gap < 2 * INTERVAL, "{gap:?}");
    let status = a.status().unwrap();
    let timeouts: u64 = (0..CHECKS)
        .map(|number| check(&status, &format!("hang-{number}"))["timeouts"].as_u64().unwrap())
        .sum();
    assert!(timeouts > 5 * CHECKS as u64, "{timeouts} timeouts");
    assert_eq!(status.number(LAN, "effective_priority"), 200 - CHECKS as u64);
}

#[test]
fn a_reload_takes_checks_up_and_lets_them_go() {
    let segment = Segment::build(&["a"]).unwrap();
    let flag = Flag::new(&segment.name);
    let a = start_router(&segment, "a", &Router::new(200));
    a.wait_state(LAN, "active", SOON).unwrap();
    a.set_config(&(Router::new(200).text() + &flag.check("weight = -20"))).unwrap();
    a.cli_ok(&["reload"]).unwrap();
    a.wait_status("lowered", SOON, |status| status.number(LAN, "effective_priority") == 180).unwrap();
    a.set_config(&(Router::new(200).text() + &flag.check("weight = -30"))).unwrap();
    a.cli_ok(&["reload"]).unwrap();
    assert_eq!(a.status().unwrap().number(LAN, "effective_priority"), 170, "its result was kept");
    a.set_config(&Router::new(200).text()).unwrap();
    a.cli_ok(&["reload"]).unwrap();
    let status = a.status().unwrap();
    assert_eq!(status.number(LAN, "effective_priority"), 200);
    assert_eq!(status.0["checks"].as_array().unwrap().len(), 0);
    assert_eq!(transitions(&a, LAN).len(), 2, "it was Active all the time");
    let failed: Vec<Value> =
        events(&a).into_iter().filter(|record| record["notice"] == "check-failed").collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    eventually_true("why", SOON, || a.cli_ok(&["events"]).unwrap().contains("check flag fails: ")).unwrap();
}
