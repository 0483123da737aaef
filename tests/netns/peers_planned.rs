//! Planned moves between peers lose nothing, and daemons can be restarted one after the other under traffic.

use crate::bad_adverts::is_flooded_since;
use crate::peers_bench::Bench;
use crate::support::{MS, SECOND, SOON};
use holdfast_lab::gateway_pair::Peering;
use holdfast_lab::poll::eventually_true;
use holdfast_lab::topology::{Leg, Side};
use std::time::Duration;

const CHECKS: Duration = Duration::from_millis(10);

/// The successor may be a moment late with its answers, on a busy machine.
const UNANSWERED: Duration = Duration::from_millis(150);

fn peering() -> Peering {
    Peering::every(CHECKS)
}

/// Runs a planned move to `to`: not one datagram is lost and no question has two answers.
fn nothing_is_lost(bench: &mut Bench, what: &str, to: Side, order: impl FnOnce(&mut Bench)) {
    let mark = bench.mark();
    order(bench);
    bench.pair.wait_active(to, SOON).unwrap();
    std::thread::sleep(300 * MS);
    let traffic = bench.traffic(mark.at);
    let owners = bench.owners(Leg::Lan, mark.at);
    println!("{what}: {traffic:?} {owners:?}");
    assert_eq!((traffic.lost, traffic.duplicated), (0, 0), "{what}: {traffic:?}\n{}", bench.pair.log_tails());
    assert_eq!(owners.contested, 0, "{what}: {owners:?}");
    let answered = owners.longest_unanswered <= UNANSWERED;
    assert!(answered || is_flooded_since(mark.at), "{what}: {owners:?}\n{}", bench.pair.log_tails());
}

fn stop(bench: &mut Bench, side: Side) {
    bench.pair.begin_stop(side);
    eventually_true("it has ended", SOON, || bench.pair.has_ended(side)).unwrap();
}

fn failover_and_stop_lose_nothing(bench: &mut Bench, adverts: &str) {
    nothing_is_lost(bench, &format!("failover at {adverts}"), Side::B, |bench| {
        let said = bench.daemon(Side::A).cli_ok(&["failover"]).unwrap();
        assert!(said.contains("released 2 virtual routers"), "{said}");
    });
    nothing_is_lost(bench, &format!("failover back at {adverts}"), Side::A, |bench| {
        bench.daemon(Side::B).cli_ok(&["failover"]).unwrap();
    });
    bench.settle(Side::A);
    nothing_is_lost(bench, &format!("graceful stop at {adverts}"), Side::B, |bench| stop(bench, Side::A));
}

#[test]
fn planned_moves_and_rolling_restarts_lose_nothing() {
    let mut bench = Bench::start(10 * MS, &peering());
    failover_and_stop_lose_nothing(&mut bench, "10 ms");
    bench.pair.restart(Side::A).unwrap();
    bench.settle(Side::A);

    nothing_is_lost(&mut bench, "the Backup is restarted", Side::A, |bench| {
        stop(bench, Side::B);
        bench.pair.restart(Side::B).unwrap();
        bench.settle(Side::A);
    });
    nothing_is_lost(&mut bench, "the Active is restarted", Side::A, |bench| {
        stop(bench, Side::A);
        bench.pair.restart(Side::A).unwrap();
        bench.settle(Side::A);
    });

    bench.reload(|side| peering().config(side, SECOND));
    bench.settle(Side::A);
    // Adverts at the former interval have been heard; the next ones announce the new one.
    std::thread::sleep(SECOND + 200 * MS);
    failover_and_stop_lose_nothing(&mut bench, "1 s");
}
