//! A controller that stops, dies or is killed while its data plane answers on: held for as long as its lease, then
//! succeeded once.

use crate::peers_bench::{Bench, FLAPS_FORGOTTEN, assert_answered};
use crate::support::{MS, SECOND, SOON};
use holdfast_lab::clock::Moment;
use holdfast_lab::gateway_pair::Peering;
use holdfast_lab::poll::eventually_true;
use holdfast_lab::topology::{Leg, Side};
use std::time::Duration;

/// Far shorter than the lease, so that only vouching can hold: the Active_Down_Interval of B is 36 ms.
const ADVERTS: Duration = Duration::from_millis(10);
const CHECKS: Duration = Duration::from_millis(10);
const LEASE: Duration = Duration::from_millis(500);
/// What a move costs on a busy machine, beyond the bound of the design.
const MARGIN: Duration = Duration::from_millis(300);

fn peering() -> Peering {
    Peering::every(CHECKS).lease(LEASE).with(FLAPS_FORGOTTEN)
}

/// Twenty stops of 0.8 of the lease: nobody moves, one answers throughout.
fn stops_within_the_lease_move_nothing(bench: &Bench) {
    const STOPS: usize = 20;
    let mark = bench.mark();
    for _ in 0..STOPS {
        let stop = Moment::now();
        bench.pair.sigstop(Side::A);
        (stop + LEASE * 8 / 10).sleep_until();
        bench.pair.sigcont(Side::A);
        // The lease is extended by the first pass; then the next stop may come.
        std::thread::sleep(100 * MS);
    }
    bench.assert_still(&mark, "20 stops of 0.8 of the lease");
    let vouched = bench.notices(Side::B, &mark, "vouched");
    println!("{STOPS} stops of {:?}: no transition; B was vouched to {vouched} times", LEASE * 8 / 10);
    assert!(vouched > 0, "adverts were missing, so somebody must have vouched");
}

/// A stop that outlives the lease: one move when it ends, and one back.
fn a_stop_beyond_the_lease_is_one_move(bench: &Bench) {
    let mark = bench.mark();
    let stopped = Moment::now();
    bench.pair.sigstop(Side::A);
    eventually_true("B takes over", SOON, || bench.pair.is_active(Side::B)).unwrap();
    let seen = stopped.elapsed();
    (stopped + 2 * SECOND).sleep_until();
    bench.wait_flow();
    // Only one of both answers, and B from the end of the lease on.
    let owners = bench.owners(Leg::Lan, mark.at);
    println!("stopped: B was Active within {seen:?}; {owners:?}");
    assert!(owners.contested == 0, "{owners:?}");
    assert_answered(&owners, mark.at, MARGIN, "while it was stopped");
    assert_eq!(bench.moves(Side::B, &mark).len(), 2, "{:?}", bench.moves(Side::B, &mark));
    // Not before the lease can have ended: it is renewed every tenth.
    assert!(seen >= LEASE * 8 / 10, "{seen:?}");
    let woken = Moment::now();
    bench.pair.sigcont(Side::A);
    bench.settle(Side::A);
    let b = bench.moves(Side::B, &mark);
    let a = bench.moves(Side::A, &mark);
    println!("woken: {a:?} {b:?}");
    assert_eq!((a.len(), b.len()), (4, 4), "one move and one return: {a:?} {b:?}");
    let owners = bench.owners(Leg::Lan, woken);
    // Coming back, the better one claims before the other has heard it.
    assert!(owners.contested <= 10, "{owners:?}");
    assert_answered(&owners, woken, MARGIN, "when it woke up");
}

fn a_killed_controller_is_succeeded_when_its_lease_ends(bench: &mut Bench) {
    let mark = bench.mark();
    let killed = Moment::now();
    bench.pair.kill9(Side::A);
    eventually_true("B takes over", SOON, || bench.pair.is_active(Side::B)).unwrap();
    let seen = killed.elapsed();
    bench.wait_flow();
    let owners = bench.owners(Leg::Lan, mark.at);
    let moves = bench.moves(Side::B, &mark);
    println!("killed: B was Active within {seen:?}: {moves:?}; {owners:?}");
    assert_eq!(moves.len(), 2, "{moves:?}");
    assert!(
        moves
            .iter()
            .all(|moved| moved.starts_with("lan:backup>active") || moved.starts_with("wan:backup>active"))
    );
    assert_eq!(owners.contested, 0, "{owners:?}");
    assert_answered(&owners, mark.at, MARGIN, "when it was killed");
    assert!(seen >= LEASE * 8 / 10 && seen <= LEASE + 2 * SECOND, "{seen:?}");
    let restarted = Moment::now();
    bench.pair.restart(Side::A).unwrap();
    bench.settle(Side::A);
    let owners = bench.owners(Leg::Lan, restarted);
    assert!(owners.contested <= 10, "{owners:?}");
    assert_answered(&owners, restarted, MARGIN, "when it came back");
    assert_eq!(bench.moves(Side::B, &mark).len(), 4);
}

/// `takeover = "after-lease"`: silence on every path is waited out.
fn after_lease_waits_for_the_lease(bench: &Bench) {
    bench.reload(|side| peering().with_ha("takeover = \"after-lease\"").config(side, ADVERTS));
    bench.settle(Side::A);
    let mark = bench.mark();
    let lost = Moment::now();
    bench.lab.node_silent(Side::A).unwrap();
    eventually_true("B takes over", SOON, || bench.pair.is_active(Side::B)).unwrap();
    bench.wait_flow();
    let owners = bench.owners(Leg::Lan, lost);
    println!(
        "after-lease: nobody answered for {:?}; {:?}",
        owners.longest_unanswered,
        bench.moves(Side::B, &mark)
    );
    // What A said last was at most a check old and left between nine tenths and the whole of its lease.
    assert!(owners.longest_unanswered >= LEASE * 8 / 10, "{owners:?}");
    assert_answered(&owners, lost, LEASE + MARGIN, "after the lease");
    assert_eq!(bench.moves(Side::B, &mark).len(), 2);
    bench.lab.node_restore(Side::A).unwrap();
    bench.settle(Side::A);
}

#[test]
fn a_controller_that_stops_is_vouched_for_as_long_as_its_lease() {
    let mut bench = Bench::start(ADVERTS, &peering());
    stops_within_the_lease_move_nothing(&bench);
    a_stop_beyond_the_lease_is_one_move(&bench);
    a_killed_controller_is_succeeded_when_its_lease_ends(&mut bench);
    after_lease_waits_for_the_lease(&bench);
}
