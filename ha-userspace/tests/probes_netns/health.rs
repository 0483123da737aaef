//! Verdicts over real links: a peer that stops and comes back, a cut path, an interface that goes, a millisecond's interval.

use crate::bench::{Bench, FarSide, PEER, in_fresh_namespace, ip, keys, path, settings, until};
use holdfast::probes::sender::ProbeEvent;
use holdfast_engine::{Duration, Health, PathIndex};
use std::time::Duration as StdDuration;

const TEN_MS: Duration = Duration::from_millis(10);
const ONE_MS: Duration = Duration::from_millis(1);

fn one_path() -> Bench {
    let far = FarSide::new();
    far.join("lan0", "192.0.2.10/24", "peer0", "192.0.2.11/24");
    Bench::start(far, &[("192.0.2.11".parse().unwrap(), "peer0")])
}

fn lan() -> holdfast::probes::paths::ProbePath {
    path(0, "lan0", "192.0.2.10", "192.0.2.11")
}

#[test]
fn a_peer_that_stops_and_comes_back() {
    in_fresh_namespace(|| {
        let bench = one_path();
        bench.sender.configure(settings(TEN_MS, keys(), vec![lan()]));
        assert_eq!(bench.peer_health(), (Health::Healthy, None));
        until("a few answers", || (bench.path_status(0).view.counts.answered > 20).then_some(()));
        bench.tap.assert_fair(&bench.path_status(0), TEN_MS);

        bench.peer.lock().unwrap().silent = true;
        let (health, silent_since) = bench.peer_health();
        assert_eq!(health, Health::Unhealthy);
        let status = until("the status", || {
            let status = bench.status();
            (status.health == Health::Unhealthy).then_some(status)
        });
        let down = &status.paths[0];
        assert_eq!(down.view.missing_since, silent_since);
        let span = status.since.unwrap().since(silent_since.unwrap());
        assert!(span >= Duration::from_nanos(17_500_000), "three misses in {span:?}");
        assert!(down.view.counts.lost >= 3);

        bench.peer.lock().unwrap().silent = false;
        assert_eq!(bench.peer_health().0, Health::Healthy);
        let answered = bench.path_status(0).view.counts.answered - down.view.counts.answered;
        assert!(answered >= 5, "{answered}");
    });
}

#[test]
fn a_peer_whose_requests_come_is_not_unhealthy() {
    in_fresh_namespace(|| {
        let bench = one_path();
        bench.sender.configure(settings(TEN_MS, keys(), vec![lan()]));
        assert_eq!(bench.peer_health().0, Health::Healthy);
        bench.peer.lock().unwrap().silent = true;
        until("the peer in doubt", || {
            bench.tap.hear_request(0);
            bench.status().withheld.then_some(())
        });
        for _ in 0..20 {
            bench.tap.hear_request(0);
            std::thread::sleep(StdDuration::from_millis(5));
        }
        assert_eq!(bench.status().health, Health::Healthy);
        assert_eq!(bench.peer_health().0, Health::Unhealthy, "once nothing is heard any more");
    });
}

#[test]
fn one_of_two_paths_is_cut() {
    in_fresh_namespace(|| {
        let far = FarSide::new();
        far.join("lan0", "192.0.2.10/24", "peer0", "192.0.2.11/24");
        far.join("sync0", "10.9.0.1/30", "peer1", "10.9.0.2/30");
        let addresses = [("192.0.2.11".parse().unwrap(), "peer0"), ("10.9.0.2".parse().unwrap(), "peer1")];
        let bench = Bench::start(far, &addresses);
        let paths = vec![lan(), path(1, "sync0", "10.9.0.1", "10.9.0.2")];
        bench.sender.configure(settings(TEN_MS, keys(), paths));
        until("both paths", || {
            bench.status().paths.iter().all(|path| path.view.health == Health::Healthy).then_some(())
        });
        bench.told();
        bench.far.run(|| {
            ip("link set peer1 down");
        });
        until("the cut", || (bench.path_status(1).view.health == Health::Unhealthy).then_some(()));
        let told = bench.told();
        assert!(
            told.iter()
                .all(|event| matches!(event, ProbeEvent::PathHealth { peer: PEER, path: PathIndex(1), .. })),
            "{told:?}"
        );
        let status = bench.status();
        assert_eq!((status.health, status.paths[0].view.health), (Health::Healthy, Health::Healthy));
        bench.far.run(|| {
            ip("link set peer1 up");
        });
        until("the second path", || (bench.path_status(1).view.health == Health::Healthy).then_some(()));
    });
}

#[test]
fn an_interface_is_removed_and_comes_back() {
    in_fresh_namespace(|| {
        let bench = one_path();
        bench.sender.configure(settings(TEN_MS, keys(), vec![lan()]));
        assert_eq!(bench.peer_health().0, Health::Healthy);
        let answered = bench.path_status(0).view.counts.answered;
        ip("link del lan0");
        assert_eq!(bench.peer_health().0, Health::Unhealthy);
        let gone = bench.path_status(0);
        assert!(gone.counters.failures >= 3, "{:?}", gone.counters);
        assert!(bench.sender.is_running());
        println!("without its interface: {}", gone.counters.last_failure.unwrap().0);

        bench.far.join("lan0", "192.0.2.10/24", "peer0", "192.0.2.11/24");
        bench.sender.configure(settings(TEN_MS, keys(), vec![lan()]));
        assert_eq!(bench.peer_health().0, Health::Healthy);
        assert!(bench.path_status(0).view.counts.answered >= answered, "its history stays");
    });
}

#[test]
fn a_check_every_millisecond_is_judged_fairly() {
    in_fresh_namespace(|| {
        let bench = one_path();
        bench.sender.configure(settings(ONE_MS, keys(), vec![lan()]));
        assert_eq!(bench.peer_health().0, Health::Healthy);
        std::thread::sleep(StdDuration::from_secs(5));
        let path = bench.path_status(0);
        let counts = path.view.counts;
        assert_eq!(counts.ended, counts.answered + counts.lost + counts.void);
        // Each check but the one still open; what a stalled host skipped was never sent.
        assert!(path.counters.sent - counts.ended <= 1, "{path:?}");
        assert!(counts.ended > 2_500, "{counts:?}");
        bench.tap.assert_fair(&path, ONE_MS);
    });
}

#[test]
fn dropping_the_handle_ends_it() {
    in_fresh_namespace(|| {
        let bench = one_path();
        bench.sender.configure(settings(TEN_MS, keys(), vec![lan()]));
        assert_eq!(bench.peer_health().0, Health::Healthy);
        let Bench { sender, peer, .. } = bench;
        drop(sender);
        std::thread::sleep(StdDuration::from_millis(50));
        let accepted = peer.lock().unwrap().accepted.len();
        std::thread::sleep(StdDuration::from_millis(100));
        assert_eq!(peer.lock().unwrap().accepted.len(), accepted);
    });
}
