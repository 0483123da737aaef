//! Cuts: one segment, one cable, one direction, everything. At most one move each, nothing that swings to and fro, and one
//! owner at once when it heals.

use crate::peers_bench::{Bench, FLAPS_FORGOTTEN, Mark, ungrouped};
use crate::support::{LAN, MS, SECOND, SOON, mac, notices};
use holdfast_lab::clock::Moment;
use holdfast_lab::forge::mac_text;
use holdfast_lab::gateway_pair::Peering;
use holdfast_lab::packet_socket::{Frame, PacketSocket};
use holdfast_lab::poll::eventually_true;
use holdfast_lab::topology::{GatewayLab, LAN_VIP, Leg, SYNC_INTERFACE, Side};
use std::time::Duration;

const ADVERTS: Duration = Duration::from_millis(100);
const CHECKS: Duration = Duration::from_millis(10);
const LEASE: Duration = Duration::from_millis(500);
/// What nobody may move in after the first moment. Longer than it takes until the hardware address of a silent neighbour is
/// forgotten, and nothing is sent to it any more.
const STABLE: Duration = Duration::from_secs(7);
/// What a verdict may take to be formed and acted upon, whatever the cut.
const SETTLING: Duration = Duration::from_millis(2500);

fn peering() -> Peering {
    Peering::every(CHECKS).lease(LEASE).with(FLAPS_FORGOTTEN)
}

/// Transitions of a side since the mark, of its router on the LAN and on the WAN.
fn counts(bench: &Bench, side: Side, mark: &Mark) -> [usize; 2] {
    let moves = bench.moves(side, mark);
    ["lan:", "wan:"].map(|router| moves.iter().filter(|moved| moved.starts_with(router)).count())
}

/// After `settling`, nobody moves for seconds.
fn assert_stable(bench: &Bench, what: &str, settling: Duration) {
    std::thread::sleep(settling);
    let mark = bench.mark();
    std::thread::sleep(STABLE);
    bench.assert_nobody_moved(&mark, what);
}

/// A cut and its end: at most one move of each router on each side, stable for seconds, then A alone again with one more
/// move at most. Gives both sides' moves during the cut.
fn cut(
    bench: &Bench,
    what: &str,
    begin: impl FnOnce(&GatewayLab),
    end: impl FnOnce(&GatewayLab),
) -> [Vec<String>; 2] {
    let mark = bench.mark();
    begin(&bench.lab);
    assert_stable(bench, what, SETTLING);
    let moved = Side::BOTH.map(|side| bench.moves(side, &mark));
    println!("{what}: A {:?}, B {:?}", moved[0], moved[1]);
    for side in Side::BOTH {
        assert!(counts(bench, side, &mark).iter().all(|count| *count <= 1), "{what}: {moved:?}");
    }
    let healed = bench.mark();
    end(&bench.lab);
    let begun = Moment::now();
    bench.settle(Side::A);
    println!("{what}: one owner {:?} after it healed", begun.elapsed());
    for side in Side::BOTH {
        let moves = bench.moves(side, &healed);
        assert!(counts(bench, side, &healed).iter().all(|count| *count <= 1), "{what}, healed: {moves:?}");
    }
    let after = bench.mark();
    std::thread::sleep(SECOND);
    bench.assert_nobody_moved(&after, &format!("{what}, healed"));
    moved
}

/// Whoever stays announces the address again.
fn is_announcement(frame: &Frame, bench: &Bench) -> bool {
    let owner = mac(bench.lab.gateway(Side::A), "lan0");
    frame.bytes.get(12..14) == Some(&[0x08, 0x06])
        && frame.bytes.get(28..32) == Some(&LAN_VIP.octets())
        && frame.bytes[6..12] == owner
}

fn the_cable_between_them_alone_is_nothing(bench: &Bench) {
    let mark = bench.mark();
    let path_is = |side: Side, health: &str| bench.status(side).0["peers"][0]["paths"][2]["health"] == health;
    bench.lab.sync_silent().unwrap();
    eventually_true("A notices", SOON, || path_is(Side::A, "unhealthy")).unwrap();
    eventually_true("B notices", SOON, || path_is(Side::B, "unhealthy")).unwrap();
    bench.assert_still(&mark, "the cable between them was cut");
    bench.lab.sync_restore().unwrap();
    bench.wait_healthy();
    bench.assert_still(&mark, "the cable between them healed");
    bench.lab.fabric.set_carrier(&bench.lab.sync_port(Side::A), false).unwrap();
    eventually_true("A notices", SOON, || path_is(Side::A, "unhealthy")).unwrap();
    bench.assert_still(&mark, "the cable between them was unplugged");
    bench.lab.fabric.set_carrier(&bench.lab.sync_port(Side::A), true).unwrap();
    bench.wait_healthy();
    bench.assert_still(&mark, "the cable between them was plugged in again");
}

/// A group owns all or nothing: while the WAN hears the owner, the LAN waits.
fn a_cut_leg_of_a_group_holds(bench: &Bench) {
    let mark = bench.mark();
    let moved = cut(
        bench,
        "the LAN of a group is cut",
        |lab| lab.leg_silent(Side::A, Leg::Lan).unwrap(),
        |lab| lab.leg_restore(Side::A, Leg::Lan).unwrap(),
    );
    assert_eq!(moved, [Vec::<String>::new(), Vec::new()]);
    assert_eq!(bench.notices(Side::B, &mark, "segment-split"), 1);
}

/// Hosts on both sides of a cut need a gateway: one lease after the last advert B serves its side, and not sooner.
fn a_cut_leg_is_taken_over_after_the_lease(bench: &Bench) {
    let survivor = PacketSocket::open(&bench.lab.client, "lan0").unwrap();
    survivor.only_from(mac(bench.lab.gateway(Side::A), "lan0")).unwrap();
    let mark = bench.mark();
    // The client stays on B's side.
    bench.lab.leg_silent(Side::A, Leg::Lan).unwrap();
    bench.daemon(Side::B).wait_state(LAN, "active", SOON).unwrap();
    let records = bench.records(Side::B, &mark);
    let last = records.iter().rfind(|record| record["event"] == "transition").unwrap();
    let age = Duration::from_nanos(last["last_advert_age_ns"].as_u64().unwrap());
    println!("the LAN is cut: B took over {age:?} after the last advert: {}", last["cause"]);
    assert_eq!(last["cause"], "vouch-ended");
    assert!(age >= LEASE && age <= LEASE + 300 * MS, "{age:?}");
    assert_stable(bench, "the LAN is cut", 500 * MS);
    assert_eq!(counts(bench, Side::A, &mark), [0, 0]);
    assert_eq!(counts(bench, Side::B, &mark), [1, 0]);
    for side in Side::BOTH {
        // Said once a minute: the partition before may have been the occasion.
        assert!(notices(bench.daemon(side), "two-owners") > 0, "{} says that there are two", side.label());
    }
    while survivor.receive(Duration::ZERO).unwrap().is_some() {}
    let healed = Moment::now();
    bench.lab.leg_restore(Side::A, Leg::Lan).unwrap();
    let announced = survivor.wait_for(SOON, |frame| is_announcement(frame, bench)).unwrap().unwrap();
    bench.pair.wait_active(Side::A, SOON).unwrap();
    bench.wait_flow();
    let owners = bench.owners(Leg::Lan, healed);
    println!("healed: announced again after {:?}; {owners:?}", announced.at.since(healed));
    // Until A's next advert, at most.
    assert!(owners.last_contested_after.is_none_or(|last| last <= 3 * ADVERTS), "{owners:?}");
    assert_eq!(counts(bench, Side::A, &mark), [0, 0]);
    assert_eq!(counts(bench, Side::B, &mark), [2, 0]);
    bench.settle(Side::A);
    let own = mac_text(mac(bench.lab.gateway(Side::A), "lan0"));
    let owners = bench.owners(Leg::Lan, Moment::now().before(100 * MS));
    assert_eq!(owners.by_owner.keys().collect::<Vec<_>>(), [&own]);
}

/// One direction lost: deaf or mute, on either leg, on either side.
fn one_direction(bench: &Bench, side: Side, leg: Leg) {
    let label = side.label();
    let deaf = cut(
        bench,
        &format!("{label} is deaf on {leg:?}"),
        |lab| lab.set_deaf(side, leg, true).unwrap(),
        |lab| lab.set_deaf(side, leg, false).unwrap(),
    );
    let mute = cut(
        bench,
        &format!("{label} is mute on {leg:?}"),
        |lab| lab.set_mute(side, leg, true).unwrap(),
        |lab| lab.set_mute(side, leg, false).unwrap(),
    );
    for (what, moved) in [("deaf", deaf), ("mute", mute)] {
        let expected = if side == Side::A { 2 } else { 0 };
        assert_eq!(
            moved[0].len(),
            expected,
            "{what}: an impaired Active gives way, an impaired Backup is nothing"
        );
        assert_eq!(moved[1].len(), expected, "{what}");
    }
}

/// Everything between them is cut: both own, and one does when it heals.
fn a_full_partition_heals_to_one_owner(bench: &Bench) {
    let moved = cut(
        bench,
        "everything is cut",
        |lab| lab.node_silent(Side::A).unwrap(),
        |lab| lab.node_restore(Side::A).unwrap(),
    );
    assert_eq!(moved[0], Vec::<String>::new());
    assert_eq!(moved[1], ["lan:backup>active:peer-unhealthy", "wan:backup>active:peer-unhealthy"]);
}

/// The interface of a path gets another name, and then its own again.
fn the_interface_of_a_path_goes_and_returns(bench: &Bench) {
    let mark = bench.mark();
    let host = bench.lab.gateway(Side::B);
    for (name, next) in [(SYNC_INTERFACE, "other0"), ("other0", SYNC_INTERFACE)] {
        host.ip_batch(&[
            format!("link set {name} down"),
            format!("link set {name} name {next}"),
            format!("link set {next} up"),
        ])
        .unwrap();
        let moved = || bench.status(Side::B).0["peers"][0]["paths"][2]["interface"] == next;
        eventually_true("the path follows its interface", SOON, moved).unwrap();
        bench.wait_healthy();
    }
    bench.assert_still(&mark, "the interface of a path was renamed");
    host.ip(&format!("link del {SYNC_INTERFACE}")).unwrap();
    let gone = || bench.status(Side::B).0["peers"][0]["paths"][2]["interface"].is_null();
    eventually_true("the path has no interface", SOON, gone).unwrap();
    bench.assert_still(&mark, "the interface of a path was removed");
    bench.lab.fabric.connect("sync", host, Side::B.label(), SYNC_INTERFACE).unwrap();
    host.ip(&format!("addr add {}/24 dev {SYNC_INTERFACE}", Side::B.sync_address())).unwrap();
    bench.wait_healthy();
    bench.assert_still(&mark, "the interface of a path came back");
}

#[test]
fn cuts_of_paths_and_of_everything() {
    let bench = Bench::start(ADVERTS, &peering());
    the_cable_between_them_alone_is_nothing(&bench);
    the_interface_of_a_path_goes_and_returns(&bench);
    a_cut_leg_of_a_group_holds(&bench);
    a_full_partition_heals_to_one_owner(&bench);
    bench.reload(|side| ungrouped(peering().config(side, ADVERTS)));
    bench.settle(Side::A);
    a_cut_leg_is_taken_over_after_the_lease(&bench);
}

#[test]
fn one_direction_lost_of_the_active() {
    let bench = Bench::start(ADVERTS, &peering());
    one_direction(&bench, Side::A, Leg::Lan);
    one_direction(&bench, Side::A, Leg::Wan);
}

#[test]
fn one_direction_lost_of_the_backup() {
    let bench = Bench::start(ADVERTS, &peering());
    one_direction(&bench, Side::B, Leg::Lan);
    one_direction(&bench, Side::B, Leg::Wan);
}
