//! Virtual addresses on a plain interface: added and removed without moving anything else, and cleaned up after a crash.

use crate::bench::{Daemon, LAN, Peer, ROUTER, in_fresh_namespace, ip, spec, sysctl};
use holdfast::effects::clean_up::clean_up_blocking;
use holdfast::effects::executor::EffectOutcome;
use holdfast::effects::record::Record;
use holdfast_engine::Family;
use std::net::IpAddr;
use std::time::Instant;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn ipv4_moves_no_route_and_never_becomes_primary() {
    in_fresh_namespace(|| {
        let state = tempfile::tempdir().unwrap();
        let _peer = Peer::joined();
        ip("addr add 192.0.2.10/24 dev lan0");
        let daemon = Daemon::start(state.path());
        let placement = daemon.configure(spec(&["192.0.2.1/24", "192.0.2.2/24"], false)).unwrap();
        assert_eq!(placement.ifindex, placement.device);
        assert!(ip("link show lan0").contains(&placement.mac.to_string()));
        assert!(Record::load(state.path()).unwrap().is_some(), "on record before anything is added");
        let (routes, before) = (ip("route show"), ip("-4 addr show dev lan0"));
        daemon.add();
        let vips = [address("192.0.2.1"), address("192.0.2.2")];
        let lan = daemon.wait_for("both addresses", |all| {
            all.by_name(LAN).filter(|lan| vips.iter().all(|vip| lan.holds(*vip))).cloned()
        });
        assert_eq!(ip("route show"), routes);
        assert_eq!(lan.source(Family::Ipv4, &vips, false), Some(address("192.0.2.10")));
        assert_eq!(
            lan.addresses.iter().find(|a| a.address.is_ipv4()).unwrap().address,
            address("192.0.2.10")
        );
        // Adding again is no error and duplicates nothing.
        daemon.add();
        assert_eq!(ip("-4 addr show dev lan0").matches("inet 192.0.2.1/").count(), 1);
        daemon.remove();
        daemon.remove();
        assert_eq!(ip("-4 addr show dev lan0"), before);
        assert_eq!(ip("route show"), routes);
    });
}

#[test]
fn an_address_that_brings_its_subnet_takes_no_other_with_it() {
    in_fresh_namespace(|| {
        let state = tempfile::tempdir().unwrap();
        let _peer = Peer::joined();
        ip("addr add 198.51.100.10/24 dev lan0");
        let daemon = Daemon::start(state.path());
        daemon.configure(spec(&["192.0.2.1/24"], false)).unwrap();
        daemon.add();
        assert!(ip("route show").contains("192.0.2.0/24"), "nothing else brought the subnet");
        ip("addr add 192.0.2.10/24 dev lan0");
        daemon.remove();
        let left = ip("-4 addr show dev lan0");
        assert!(left.contains("192.0.2.10/24") && !left.contains("192.0.2.1/"), "{left}");
        assert!(ip("route show").contains("192.0.2.0/24"));
        assert_eq!(daemon.remove_all(), Vec::<String>::new());
        assert_eq!(sysctl("ipv4/conf/lan0/promote_secondaries"), "0");
    });
}

#[test]
fn what_stood_before_us_stays() {
    in_fresh_namespace(|| {
        let state = tempfile::tempdir().unwrap();
        let _peer = Peer::joined();
        ip("addr add 192.0.2.1/24 dev lan0");
        let daemon = Daemon::start(state.path());
        daemon.configure(spec(&["192.0.2.1/24", "192.0.2.2/24"], false)).unwrap();
        daemon.add();
        let shown = ip("-4 addr show dev lan0");
        assert!(shown.contains("192.0.2.1/24") && shown.contains("192.0.2.2/"), "{shown}");
        assert_eq!(shown.matches("inet 192.0.2.1/").count(), 1, "{shown}");
        // Added by somebody else while we were not looking.
        daemon.remove();
        ip("addr add 192.0.2.2/24 dev lan0");
        daemon.add();
        daemon.remove();
        assert!(ip("-4 addr show dev lan0").contains("192.0.2.2/24"), "not ours to remove");
        assert_eq!(daemon.remove_all(), Vec::<String>::new());
        assert!(ip("-4 addr show dev lan0").contains("192.0.2.1/24"));
        assert_eq!(Record::load(state.path()).unwrap(), None);
    });
}

#[test]
fn ipv6_serves_at_once_and_is_never_a_source() {
    in_fresh_namespace(|| {
        let state = tempfile::tempdir().unwrap();
        let _peer = Peer::joined();
        ip("addr add 2001:db8::10/64 dev lan0 nodad");
        let daemon = Daemon::start(state.path());
        let placement = daemon.configure(spec(&["fe80::1/64", "2001:db8::1/64"], false)).unwrap();
        assert!(placement.warnings.iter().any(|warning| warning.contains("Router flag")), "{placement:?}");
        daemon.add();
        let shown = ip("-6 addr show dev lan0");
        for vip in ["fe80::1/64", "2001:db8::1/64"] {
            let line = shown.lines().find(|line| line.contains(vip)).unwrap();
            assert!(line.contains("deprecated") && !line.contains("tentative"), "{line}");
        }
        assert!(ip("-6 route get 2001:db8::99").contains("src 2001:db8::10"));
        daemon.remove();
        let shown = ip("-6 addr show dev lan0");
        assert!(!shown.contains("fe80::1/64") && !shown.contains("2001:db8::1/64"), "{shown}");
        assert!(shown.contains("2001:db8::10/64"));
    });
}

#[test]
fn addresses_lost_to_others_are_put_back() {
    in_fresh_namespace(|| {
        let state = tempfile::tempdir().unwrap();
        let _peer = Peer::joined();
        ip("addr add 192.0.2.10/24 dev lan0");
        let daemon = Daemon::start(state.path());
        daemon.configure(spec(&["192.0.2.1/24", "192.0.2.2/24"], false)).unwrap();
        daemon.add();
        daemon.wait_for("the address", |all| {
            all.by_name(LAN).filter(|l| l.holds(address("192.0.2.2"))).map(drop)
        });
        ip("addr del 192.0.2.1/32 dev lan0");
        daemon.wait_for("the loss", |all| {
            all.by_name(LAN).filter(|l| !l.holds(address("192.0.2.1"))).map(drop)
        });
        daemon.add();
        assert!(ip("-4 addr show dev lan0").contains("192.0.2.1/32"));
        daemon.remove();
        assert!(!ip("-4 addr show dev lan0").contains("192.0.2.1/"));
    });
}

#[test]
fn two_hundred_fifty_five_addresses_in_one_pipeline() {
    in_fresh_namespace(|| {
        let state = tempfile::tempdir().unwrap();
        let _peer = Peer::joined();
        ip("addr add 10.0.0.1/16 dev lan0");
        let daemon = Daemon::start(state.path());
        let many: Vec<String> = (1..=255).map(|last| format!("10.0.1.{last}/16")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        daemon.configure(spec(&many, false)).unwrap();
        let began = Instant::now();
        daemon.add();
        println!("255 addresses added in {:?}", began.elapsed());
        assert_eq!(ip("-4 addr show dev lan0").matches("inet 10.0.1.").count(), 255);
        daemon.remove();
        assert_eq!(ip("-4 addr show dev lan0").matches("inet 10.0.1.").count(), 0);
    });
}

#[test]
fn a_reload_takes_away_what_is_no_longer_listed() {
    in_fresh_namespace(|| {
        let state = tempfile::tempdir().unwrap();
        let _peer = Peer::joined();
        ip("addr add 192.0.2.10/24 dev lan0");
        let daemon = Daemon::start(state.path());
        daemon.configure(spec(&["192.0.2.1/24", "192.0.2.2/24"], false)).unwrap();
        daemon.add();
        daemon.configure(spec(&["192.0.2.2/24", "192.0.2.3/24"], false)).unwrap();
        let shown = ip("-4 addr show dev lan0");
        assert!(
            !shown.contains("192.0.2.1/") && shown.contains("192.0.2.2/") && !shown.contains("192.0.2.3/")
        );
        daemon.add();
        assert!(ip("-4 addr show dev lan0").contains("192.0.2.3/"));
        daemon.effects.forget_router(ROUTER);
        daemon.effects.add_addresses(ROUTER);
        let refused = daemon.outcome();
        assert!(matches!(refused, EffectOutcome::AddressesAdded { outcome: Err(_), .. }), "{refused:?}");
        let shown = ip("-4 addr show dev lan0");
        assert!(
            !shown.contains("192.0.2.2/") && !shown.contains("192.0.2.3/") && shown.contains("192.0.2.10/")
        );
    });
}

#[test]
fn a_crash_is_cleaned_up_by_the_next_start_or_by_unload() {
    in_fresh_namespace(|| {
        let state = tempfile::tempdir().unwrap();
        let _peer = Peer::joined();
        ip("addr add 192.0.2.10/24 dev lan0");
        let before = ip("-4 addr show dev lan0");
        for unload in [false, true] {
            let daemon = Daemon::start(state.path());
            daemon.configure(spec(&["192.0.2.1/24", "192.0.2.2/24"], false)).unwrap();
            daemon.add();
            assert_eq!(sysctl("ipv4/conf/lan0/promote_secondaries"), "1");
            // The handle goes without a word, as the process does on kill -9.
            drop(daemon);
            assert!(ip("-4 addr show dev lan0").contains("192.0.2.1/"));
            let report = if unload {
                clean_up_blocking(state.path()).unwrap()
            } else {
                Daemon::start(state.path()).effects.left_behind().clone()
            };
            assert_eq!(report.addresses.len(), 2, "{report:?}");
            assert_eq!(report.sysctls, ["ipv4/conf/lan0/promote_secondaries"]);
            assert_eq!(ip("-4 addr show dev lan0"), before);
            assert_eq!(sysctl("ipv4/conf/lan0/promote_secondaries"), "0");
            assert!(clean_up_blocking(state.path()).unwrap().is_empty(), "nothing is left to do");
        }
    });
}

#[test]
fn a_record_of_another_living_namespace_is_refused_and_kept() {
    let state = tempfile::tempdir().unwrap();
    let directory = state.path().to_owned();
    let elsewhere = std::fs::read_link("/proc/self/ns/net").unwrap().to_string_lossy().into_owned();
    in_fresh_namespace(move || {
        let _peer = Peer::joined();
        let daemon = Daemon::start(&directory);
        daemon.configure(spec(&["192.0.2.1/24"], false)).unwrap();
        drop(daemon);
        let mut record = Record::load(&directory).unwrap().unwrap();
        record.origin.namespace = elsewhere.clone();
        record.save(&directory).unwrap();
        let refused = clean_up_blocking(&directory).unwrap_err().to_string();
        assert!(
            refused.contains("names addresses in another network namespace") && refused.contains(&elsewhere),
            "{refused}"
        );
        assert_eq!(
            Record::load(&directory).unwrap(),
            Some(record),
            "the record stays for whoever is in the right place"
        );
    });
}

#[test]
fn a_record_of_a_namespace_that_is_gone_or_of_another_boot_touches_nothing() {
    let state = tempfile::tempdir().unwrap();
    let directory = state.path().to_owned();
    in_fresh_namespace(move || {
        let _peer = Peer::joined();
        let daemon = Daemon::start(&directory);
        daemon.configure(spec(&["192.0.2.1/24"], false)).unwrap();
        drop(daemon);
        let mut record = Record::load(&directory).unwrap().unwrap();
        record.origin.boot = "another boot".to_owned();
        record.save(&directory).unwrap();
        ip("addr add 192.0.2.1/24 dev lan0");
        let report = clean_up_blocking(&directory).unwrap();
        assert!(report.elsewhere && report.is_empty(), "{report:?}");
        assert!(ip("-4 addr show dev lan0").contains("192.0.2.1/24"));
    });
}
