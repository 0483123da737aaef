//! Nobody on the segment can take the address: forged adverts in a peer's name change nothing, those in nobody's name
//! do not count, and what `trust = "segment"` costs is bounded.

use crate::bad_adverts::flood;
use crate::peers_bench::{Bench, LONGEST_INTERVAL, STRANGER, STRANGER6, Stranger, link_local, ungrouped};
use crate::support::{LAN, MS, SECOND, SOON};
use holdfast_lab::clock::Moment;
use holdfast_lab::gateway_pair::{Peering, priority};
use holdfast_lab::poll::eventually_true;
use holdfast_lab::topology::{Leg, Side};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The interval of adverts here, and as they name it.
const ADVERTS: Duration = SECOND;
const ADVERTS_CENTIS: u16 = 100;
const CHECKS: Duration = Duration::from_millis(100);
/// A virtual router of the other family.
const LAN6: &str = "lan6";
const LAN6_ROUTER: &str = "[[virtual_router]]\nname = \"lan6\"\ninterface = \"lan0\"\nvrid = 51\n\
    addresses = [\"fe80::1/64\", \"2001:db8:1::1/64\"]\nadvertisement_interval = \"1s\"\n";

/// Both families, with peers.
fn peering() -> Peering {
    Peering::every(CHECKS)
}

fn with_lan6(side: Side, config: String) -> String {
    format!("{config}\n{LAN6_ROUTER}priority = {}\n", priority(side))
}

/// What must not change by a forged advert: learned interval, and whose adverts are followed.
fn beliefs(bench: &Bench, side: Side, router: &str) -> (u64, String, String) {
    let status = bench.status(side);
    let entry = status.router(router);
    (
        status.number(router, "learned_interval_ns"),
        entry["active_router"].to_string(),
        entry["state"].to_string(),
    )
}

/// One forged advert aimed at `victim`, and what must come of it: nothing but a count and a notice.
fn one_forgery(bench: &Bench, stranger: &Stranger, victim: Side, router: &str, priority: u8, interval: u16) {
    let what = format!("priority {priority} every {interval} cs in the name of {}'s peer", victim.label());
    let name: IpAddr = match router {
        LAN6 => link_local(victim.other()).into(),
        _ => victim.other().lan_address().into(),
    };
    let before = beliefs(bench, victim, router);
    let [count] = bench.numbers(victim, router, ["uncorroborated"]);
    let mark = bench.mark();
    stranger.send(&stranger.advert(name, priority, interval));
    let counted = || bench.numbers(victim, router, ["uncorroborated"]) == [count + 1];
    eventually_true(&format!("{what} is counted on {router}"), SOON, counted).unwrap();
    // A Skew_Time, in which a Backup would have succeeded an owner that released; an Active loses at once.
    (mark.at + 900 * MS).sleep_until();
    assert_eq!(beliefs(bench, victim, router), before, "{what}");
    bench.assert_still(&mark, &what);
}

/// The scenario of the manual: one advert of priority 255 that announces 40.95 s.
fn forgeries_in_a_peers_name_change_nothing(bench: &Bench, stranger: &Stranger) {
    for victim in [Side::A, Side::B] {
        let mark = bench.mark();
        one_forgery(bench, stranger, victim, LAN, 255, LONGEST_INTERVAL);
        bench.wait_notice(victim, &mark, "suspected-forgery");
        assert_eq!(bench.notices(victim.other(), &mark, "suspected-forgery"), 0);
    }
    // In the owner's name: stepping down, its own priority at another interval, and more than it has.
    for (priority, interval) in [(0, ADVERTS_CENTIS), (200, LONGEST_INTERVAL), (201, ADVERTS_CENTIS)] {
        one_forgery(bench, stranger, Side::B, LAN, priority, interval);
    }
}

fn adverts_of_nobody_do_not_count(bench: &Bench, stranger: &Stranger) {
    let before = Side::BOTH.map(|side| bench.status(side).discards(LAN, "source-untrusted"));
    let mark = bench.mark();
    stranger.send(&stranger.advert(STRANGER, 255, LONGEST_INTERVAL));
    for side in Side::BOTH {
        let what = format!("counted on {}", side.label());
        let count = || bench.status(side).discards(LAN, "source-untrusted");
        eventually_true(&what, SOON, || count() == before[side as usize] + 1).unwrap();
    }
    bench.assert_still(&mark, "an advert of nobody");
}

/// Link-locals were learned from authenticated probes, so the other family is as safe.
fn the_other_family_is_as_safe(bench: &Bench, stranger: &Stranger) {
    one_forgery(bench, stranger, Side::B, LAN6, 255, LONGEST_INTERVAL);
    one_forgery(bench, stranger, Side::A, LAN6, 255, LONGEST_INTERVAL);
    one_forgery(bench, stranger, Side::B, LAN6, 0, ADVERTS_CENTIS);
    let before = bench.status(Side::B).discards(LAN6, "source-untrusted");
    let mark = bench.mark();
    stranger.send(&stranger.advert(STRANGER6, 255, LONGEST_INTERVAL));
    let count = || bench.status(Side::B).discards(LAN6, "source-untrusted");
    eventually_true("counted", SOON, || count() == before + 1).unwrap();
    bench.assert_still(&mark, "an IPv6 advert of nobody");
}

/// All kinds at once, as fast as they can be sent.
fn a_flood_of_all_kinds_changes_nothing(bench: &Bench, stranger: &Stranger) {
    const SPAN: Duration = Duration::from_secs(3);
    let [a, b] = Side::BOTH.map(|side| IpAddr::from(side.lan_address()));
    let [a6, b6] = Side::BOTH.map(|side| IpAddr::from(link_local(side)));
    let kinds = [
        (a, 255, LONGEST_INTERVAL),
        (b, 255, LONGEST_INTERVAL),
        (a, 0, ADVERTS_CENTIS),
        (b, 0, ADVERTS_CENTIS),
        (a, 200, LONGEST_INTERVAL),
        (b, 100, ADVERTS_CENTIS),
        (STRANGER.into(), 255, 1),
        (a6, 255, LONGEST_INTERVAL),
        (b6, 0, 1),
        (STRANGER6.into(), 255, 1),
    ];
    let frames =
        kinds.map(|(source, priority, interval)| stranger.advert(source, priority, interval).frame());
    let before = [LAN, LAN6].map(|router| Side::BOTH.map(|side| beliefs(bench, side, router)));
    let mark = bench.mark();
    let mut sent = 0u64;
    while mark.at.elapsed() < SPAN {
        for frame in &frames {
            sent += flood(&stranger.socket, frame, Moment::now() + MS);
        }
    }
    let traffic = bench.traffic(mark.at);
    println!("flood: {sent} forged adverts in {SPAN:?}; traffic meanwhile {traffic:?}");
    assert!(sent > 10_000, "a flood was meant, {sent} were sent");
    assert_eq!([LAN, LAN6].map(|router| Side::BOTH.map(|side| beliefs(bench, side, router))), before);
    bench.assert_nobody_moved(&mark, "a flood of forged adverts");
    for leg in Leg::BOTH {
        let owners = bench.owners(leg, mark.at);
        assert_eq!((owners.contested, owners.by_owner.len()), (0, 1), "{leg:?}: {owners:?}");
    }
    assert!(traffic.lost * 100 <= traffic.sent, "{traffic:?}");
    bench.wait_healthy();
}

/// Perfect copies of a dead owner's adverts do not keep it alive: it does not bear them out any more.
fn copies_do_not_keep_a_dead_owner_alive(bench: &Bench, stranger: &Stranger) {
    let copy = stranger.advert(Side::A.lan_address(), 200, ADVERTS_CENTIS).frame();
    let end = AtomicBool::new(false);
    let mark = bench.mark();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !end.load(Ordering::Relaxed) {
                stranger.socket.send(&copy).unwrap();
                std::thread::sleep(MS);
            }
        });
        std::thread::sleep(200 * MS);
        bench.lab.node_silent(Side::A).unwrap();
        let lost = Moment::now();
        let taken = eventually_true("B takes over", SOON, || bench.pair.is_active(Side::B));
        println!("with a copy per millisecond B took over {:?} after the loss", lost.elapsed());
        end.store(true, Ordering::Relaxed);
        taken.unwrap();
        // Three checks, and what reading the status takes; the advert timer would be 3.6 s.
        assert!(lost.elapsed() < 2 * SECOND, "{:?}", lost.elapsed());
    });
    assert_eq!(bench.pair.cause(Side::B, Leg::Lan).as_deref(), Some("peer-unhealthy"));
    assert_eq!(bench.notices(Side::B, &mark, "peer-unhealthy"), 1);
    bench.lab.node_restore(Side::A).unwrap();
    bench.settle(Side::A);
}

/// Plain VRRP towards everybody: the forged advert silences both, and an order ends it, as docs/limits.md says.
fn under_segment_trust_the_harm_ends_with_an_order(
    bench: &mut Bench,
    stranger: &Stranger,
    config: &dyn Fn(Side) -> String,
) {
    bench.reload(|side| config(side).replacen("[ha]\n", "[ha]\ntrust = \"segment\"\n", 1));
    bench.settle(Side::A);
    let mark = bench.mark();
    stranger.send(&stranger.advert(STRANGER, 255, LONGEST_INTERVAL));
    for side in Side::BOTH {
        bench.daemon(side).wait_state(LAN, "backup", SOON).unwrap();
        let [learned] = bench.numbers(side, LAN, ["learned_interval_ns"]);
        assert_eq!(Duration::from_nanos(learned), 40_950 * MS, "adopted, as RFC 9568 wants");
    }
    // Longer than their own Active_Down_Interval: they wait for the one that they believe.
    (mark.at + 4 * SECOND).sleep_until();
    assert!(Side::BOTH.iter().all(|side| !bench.status(*side).is_active(LAN)));
    let ordered = Moment::now();
    bench.pair.begin_stop(Side::A);
    eventually_true("A has ended", SOON, || bench.pair.has_ended(Side::A)).unwrap();
    bench.pair.restart(Side::A).unwrap();
    let ready = Moment::now();
    bench.daemon(Side::A).wait_state(LAN, "active", SOON).unwrap();
    let took = ready.elapsed();
    bench.wait_flow();
    let silent = bench.owners(Leg::Lan, mark.at).longest_unanswered;
    println!("nobody answered for {silent:?}; Active {took:?} after a start of {:?}", ready.since(ordered));
    // Its Active_Down_Interval of 3.2 s from its start on.
    assert!(took < 5 * SECOND, "{took:?}");
    assert!(silent > 4 * SECOND && silent < ready.since(mark.at) + 5 * SECOND, "{silent:?}");
}

#[test]
fn nobody_on_the_segment_takes_the_address() {
    let config = |side| with_lan6(side, peering().config(side, ADVERTS));
    let mut bench = Bench::start_each(config);
    let stranger = bench.stranger();
    for side in Side::BOTH {
        let role = if side == Side::A { "active" } else { "backup" };
        bench.daemon(side).wait_state(LAN6, role, SOON).unwrap();
    }
    forgeries_in_a_peers_name_change_nothing(&bench, &stranger);
    adverts_of_nobody_do_not_count(&bench, &stranger);
    the_other_family_is_as_safe(&bench, &stranger);
    a_flood_of_all_kinds_changes_nothing(&bench, &stranger);
    copies_do_not_keep_a_dead_owner_alive(&bench, &stranger);
    under_segment_trust_the_harm_ends_with_an_order(&mut bench, &stranger, &config);
}

/// Advertises every 100 ms until `end`.
fn third_router(stranger: &Stranger, priority: u8, end: &AtomicBool) {
    let advert = stranger.advert(STRANGER, priority, 10).frame();
    let mut next = Moment::now();
    while !end.load(Ordering::Relaxed) {
        stranger.socket.send(&advert).unwrap();
        next = next + 100 * MS;
        next.sleep_until();
    }
}

/// A router that runs something else counts where it is listed, without a probe, by the RFC's rules.
#[test]
fn a_listed_third_party_is_heard_as_the_rfc_says() {
    let listed = format!("name = \"{LAN}\"\ntrusted_sources = [\"{STRANGER}\"]\n");
    let change = |config: String| ungrouped(config).replace(&format!("name = \"{LAN}\"\n"), &listed);
    let bench = Bench::start_with(100 * MS, &Peering::every(10 * MS), change);
    let stranger = bench.stranger();

    // A lower one is answered and changes nothing.
    let mark = bench.mark();
    stranger.send(&stranger.advert(STRANGER, 150, 10));
    let answered = || bench.status(Side::A).discards(LAN, "advert-answered") > 0;
    eventually_true("A answers a lower third party", SOON, answered).unwrap();
    bench.assert_still(&mark, "a lower third party");

    let mark = bench.mark();
    let end = AtomicBool::new(false);
    let silent = std::thread::scope(|scope| {
        scope.spawn(|| third_router(&stranger, 250, &end));
        bench.daemon(Side::A).wait_state(LAN, "backup", SOON).unwrap();
        let owned = Moment::now();
        std::thread::sleep(SECOND);
        let owners = bench.owners(Leg::Lan, owned + 50 * MS);
        assert_eq!(owners.unanswered, owners.asked, "neither of ours answers beside it: {owners:?}");
        assert_eq!(bench.moves(Side::A, &mark), ["lan:active>backup:higher-priority"]);
        assert_eq!(bench.moves(Side::B, &mark), [""; 0]);
        assert_eq!(bench.status(Side::B).router(LAN)["active_router"], STRANGER.to_string());
        end.store(true, Ordering::Relaxed);
        Moment::now()
    });
    // Its silence is plain VRRP's: Active_Down_Interval, 322 ms at priority 200.
    bench.daemon(Side::A).wait_state(LAN, "active", SOON).unwrap();
    println!("A took over {:?} after the third party's last advert", silent.elapsed());
    bench.wait_flow();
    assert_eq!(bench.pair.cause(Side::A, Leg::Lan).as_deref(), Some("advert-timeout"));
    let records = bench.records(Side::A, &mark);
    let last = records.iter().rfind(|record| record["event"] == "transition").unwrap();
    let age = Duration::from_nanos(last["last_advert_age_ns"].as_u64().unwrap());
    assert!(age >= 320 * MS && age < 700 * MS, "taken over {age:?} after its last advert");
    assert_eq!(bench.moves(Side::B, &mark), [""; 0], "the other of ours left it to the better one");
}
