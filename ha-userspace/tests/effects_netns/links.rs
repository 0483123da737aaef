//! Link events: what the monitor tells, and that its picture follows the kernel's.

use crate::bench::{Daemon, LAN, Peer, in_fresh_namespace, ip, spec};
use holdfast::effects::interfaces::Interface;
use holdfast_engine::Family;

#[test]
fn the_picture_follows_the_kernel() {
    in_fresh_namespace(|| {
        let state = tempfile::tempdir().unwrap();
        let peer = Peer::joined();
        ip("addr add 192.0.2.10/24 dev lan0");
        let daemon = Daemon::start(state.path());
        let lan = daemon.wait_for("lan0", |all| all.by_name(LAN).filter(|lan| lan.link.up).cloned());
        assert_eq!(lan.link.kind.as_deref(), Some("veth"));
        assert_eq!((lan.link.mtu, lan.link.parent), (1500, None));
        assert!(ip("link show lan0").contains(&lan.link.mac.to_string()));
        let holds = |address: &'static str| move |lan: &Interface| lan.holds(address.parse().unwrap());
        assert!(holds("192.0.2.10")(&lan));

        // The peer's carrier goes, and comes back.
        peer.run(|| ip("link set peer0 down"));
        daemon.wait_for("carrier loss", |all| all.by_name(LAN).filter(|lan| !lan.link.up).map(drop));
        peer.run(|| ip("link set peer0 up"));
        daemon.wait_for("carrier", |all| all.by_name(LAN).filter(|lan| lan.link.up).map(drop));

        // Addresses come and go, and the source follows (V-010).
        ip("addr add 192.0.2.20/24 dev lan0");
        let lan = daemon
            .wait_for("a second address", |all| all.by_name(LAN).filter(|l| holds("192.0.2.20")(l)).cloned());
        assert!(lan.addresses.iter().any(|known| known.secondary));
        assert_eq!(lan.source(Family::Ipv4, &[], false), Some("192.0.2.10".parse().unwrap()));
        ip("addr flush dev lan0 scope global");
        daemon.wait_for("no source", |all| {
            all.by_name(LAN).filter(|lan| lan.source(Family::Ipv4, &[], false).is_none()).map(drop)
        });
        // A link-local address counts once duplicate detection is through (V-011).
        daemon.wait_for("a settled link-local", |all| all.by_name(LAN)?.source(Family::Ipv6, &[], false));

        ip("link add link lan0 name upper type macvlan mode private");
        let upper = daemon.wait_for("a macvlan", |all| all.by_name("upper").cloned());
        assert_eq!(
            (upper.link.kind.as_deref(), upper.link.parent),
            (Some("macvlan"), Some(lan.link.ifindex))
        );
        ip("link set upper name renamed");
        daemon.wait_for("a rename", |all| {
            all.by_name("renamed").filter(|_| all.by_name("upper").is_none()).map(drop)
        });
        ip("link del lan0");
        daemon.wait_for("the end", |all| {
            (all.by_name(LAN).is_none() && all.by_name("renamed").is_none()).then_some(())
        });
    });
}

#[test]
fn leaving_a_bridge_is_not_the_end_of_an_interface() {
    in_fresh_namespace(|| {
        let state = tempfile::tempdir().unwrap();
        let _peer = Peer::joined();
        let daemon = Daemon::start(state.path());
        ip("link add br0 type bridge");
        ip("link set lan0 master br0");
        ip("link set lan0 nomaster");
        ip("link add last type bridge");
        daemon.wait_for("the last event", |all| all.by_name("last").map(drop));
        daemon.wait_for("lan0 still there", |all| all.by_name(LAN).map(drop));
    });
}

#[test]
fn an_overrun_is_made_good_by_reading_everything_again() {
    in_fresh_namespace(|| {
        let state = tempfile::tempdir().unwrap();
        let _peer = Peer::joined();
        let daemon = Daemon::start(state.path());
        // The thread is held while far more happens than the kernel queues for it.
        let (release, held) = std::sync::mpsc::channel::<()>();
        daemon.effects.flush(move || held.recv().unwrap());
        let mut orders = "addr add 10.0.0.1/32 dev lan0\naddr del 10.0.0.1/32 dev lan0\n".repeat(15_000);
        orders.push_str("addr add 10.0.0.2/32 dev lan0\n");
        let directory = tempfile::tempdir().unwrap();
        let batch = directory.path().join("batch");
        std::fs::write(&batch, orders).unwrap();
        ip(&format!("-batch {}", batch.display()));
        let sockets = std::fs::read_to_string("/proc/thread-self/net/netlink").unwrap();
        let drops = |line: &str| line.split_whitespace().nth(8).and_then(|drops| drops.parse::<u64>().ok());
        assert!(sockets.lines().filter_map(drops).any(|drops| drops > 0), "no overrun:\n{sockets}");
        release.send(()).unwrap();
        let last = |lan: &&Interface| {
            lan.holds("10.0.0.2".parse().unwrap()) && !lan.holds("10.0.0.1".parse().unwrap())
        };
        daemon.wait_for("the last address", |all| all.by_name(LAN).filter(last).map(drop));
    });
}

/// Reading again tells only what no event has told, and events go on meanwhile.
#[test]
fn what_is_read_again_and_has_not_changed_is_not_told() {
    in_fresh_namespace(|| {
        let state = tempfile::tempdir().unwrap();
        let peer = Peer::joined();
        let daemon = Daemon::start(state.path());
        daemon.wait_for("lan0", |all| all.by_name(LAN).filter(|lan| lan.link.up).map(drop));
        for _ in 0..100 {
            daemon.effects.reread_links(vec![LAN.to_owned(), "nosuch".to_owned()]);
        }
        std::thread::sleep(std::time::Duration::from_millis(300));
        assert_eq!(daemon.untold(), []);
        peer.run(|| ip("link set peer0 down"));
        daemon.wait_for("carrier loss", |all| all.by_name(LAN).filter(|lan| !lan.link.up).map(drop));
        daemon.effects.reread_links(vec![LAN.to_owned()]);
        ip("link del lan0");
        daemon.effects.reread_links(vec![LAN.to_owned()]);
        daemon.wait_for("the end", |all| all.by_name(LAN).is_none().then_some(()));
    });
}

#[test]
fn a_missing_interface_is_named_and_serves_once_it_appears() {
    in_fresh_namespace(|| {
        let state = tempfile::tempdir().unwrap();
        let daemon = Daemon::start(state.path());
        let error = daemon.configure(spec(&["192.0.2.1/24"], false)).unwrap_err();
        assert!(error.contains("lan0"), "{error}");
        let _peer = Peer::joined();
        daemon.wait_for("lan0", |all| all.by_name(LAN).map(drop));
        daemon.configure(spec(&["192.0.2.1/24"], false)).unwrap();
        daemon.add();
        assert!(ip("addr show dev lan0").contains("192.0.2.1/24"));
    });
}
