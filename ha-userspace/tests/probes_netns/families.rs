//! IPv6 paths, global and link-local, and the link-local address told beside them.

use crate::bench::{Bench, FarSide, in_fresh_namespace, ip, keys, path, settings, telling, until};
use ha_common::wire::probe::kind;
use holdfast_engine::{Duration, Health};
use std::net::Ipv6Addr;

const TEN_MS: Duration = Duration::from_millis(10);

#[test]
fn ipv6_peers_by_global_and_by_link_local_addresses() {
    in_fresh_namespace(|| {
        let far = FarSide::new();
        far.join("lan0", "2001:db8::a/64", "peer0", "2001:db8::b/64");
        // The same link-local subnet on two links: the scope tells them apart.
        far.join("sync0", "fe80::a/64", "peer1", "fe80::b/64");
        ip("address add fe80::a/64 dev lan0 nodad");
        let addresses = [("2001:db8::b".parse().unwrap(), "peer0"), ("fe80::b".parse().unwrap(), "peer1")];
        let bench = Bench::start(far, &addresses);
        let paths =
            vec![path(0, "lan0", "2001:db8::a", "2001:db8::b"), path(1, "sync0", "fe80::a", "fe80::b")];
        bench.sender.configure(settings(TEN_MS, keys(), paths));
        until("both paths", || {
            bench.status().paths.iter().all(|path| path.view.health == Health::Healthy).then_some(())
        });
        let status = bench.status();
        for path in &status.paths {
            assert_eq!(path.counters.failures, 0, "{path:?}");
            assert!(path.view.round_trips.is_some());
        }
    });
}

#[test]
fn a_link_local_address_reaches_a_peer_that_knows_us_also_after_its_restart() {
    in_fresh_namespace(|| {
        let far = FarSide::new();
        far.join("lan0", "192.0.2.10/24", "peer0", "192.0.2.11/24");
        let bench = Bench::start(far, &[("192.0.2.11".parse().unwrap(), "peer0")]);
        let address: Ipv6Addr = "fe80::77".parse().unwrap();
        let lan = telling(path(0, "lan0", "192.0.2.10", "192.0.2.11"), address);
        bench.sender.configure(settings(TEN_MS, keys(), vec![lan]));
        let told = || {
            let model = bench.peer.lock().unwrap();
            let found = model.accepted.iter().find(|message| message.kind == kind::ADDRESS).copied();
            found.map(|message| bytemuck::bytes_of(&message)[32..48].to_vec())
        };
        assert_eq!(until("the address", told), address.octets());
        {
            let mut model = bench.peer.lock().unwrap();
            model.restart();
            model.accepted.clear();
        }
        let restarted = std::time::Instant::now();
        assert_eq!(until("the address again", told), address.octets());
        println!("told {:?} after the restart", restarted.elapsed());
        bench.tap.assert_fair(&bench.path_status(0), TEN_MS);
        assert_eq!(bench.peer.lock().unwrap().challenges, 2, "at the start and after the restart");
    });
}
