//! Adverts in a peer's name that the data plane held back: borne out by the peer's own word in time, or without effect.

use crate::support::*;
use holdfast_engine::{
    Action, Advert, Cause, Duration, EngineConfig, Input, Notice, PeerCheck, PeerReport, Role, RouterConfig,
    Takeover, Units,
};

const PROBED: [&str; 1] = ["probe"];

fn forgery(priority: u8) -> Notice {
    Notice::SuspectedForgery { router: ROUTER, source: peer(), priority }
}

/// An Active at priority 100 whose peer is known and ready.
fn active() -> Bench {
    let mut bench = Bench::keyed_active(keyed(100));
    bench.report(ready_peer);
    bench.pass(CHECK.interval);
    bench
}

/// A claim that would silence us for 99 seconds if it were believed.
fn monster() -> Advert {
    Advert { interval: centis(4095), ..advert(peer(), 255) }
}

#[test]
fn a_forged_advert_changes_nothing_and_is_reported_after_the_wait() {
    for forged in [monster(), advert(peer(), 255), advert(peer(), 101)] {
        let mut bench = active();
        let before = bench.view();
        assert_eq!(names(&bench.uncorroborated(forged)), PROBED);
        assert_eq!(bench.view(), before);
        bench.report(ready_peer);
        assert_eq!(bench.view(), before);
        assert_eq!(plain(bench.pass(nanos(CHECK.interval.as_nanos() - 1))), []);
        assert_eq!(plain(bench.pass(NANO)), [Action::Notify(forgery(forged.priority))]);
        assert_eq!(bench.view(), before);
        assert_eq!(bench.engine.next_deadline(), None);
    }
}

#[test]
fn a_backup_keeps_its_timer_its_interval_and_its_owner() {
    for forged in
        [monster(), advert(peer(), 255), advert(peer(), 0), advert(small_peer(), 0), advert(peer(), 50)]
    {
        let mut bench = Bench::keyed_backup();
        bench.pass(centis(50));
        bench.input(Input::Heard { router: ROUTER, at: bench.now });
        let before = bench.view();
        assert_eq!(names(&bench.uncorroborated(forged)), PROBED);
        assert_eq!(bench.view(), before, "{forged:?}");
        let actions = plain(bench.pass(CHECK.interval));
        assert_eq!(names(&actions), ["notify"]);
        assert_eq!(bench.view(), before, "{forged:?}");
    }
}

#[test]
fn an_active_yields_to_a_claim_that_a_later_word_bears_out() {
    let mut bench = active();
    bench.uncorroborated(advert(peer(), 200));
    bench.pass(nanos(CHECK.interval.as_nanos() - 1));
    let actions = bench.report(owning_peer);
    assert_eq!(transition(&actions), (Role::Active, Role::Backup, Cause::HigherPriority));
    assert_eq!(notices(&plain(bench.pass(CHECK.interval))), [], "what was borne out is no forgery");
}

#[test]
fn the_word_must_not_be_older_than_the_advert() {
    for (age, borne_out) in [(NANO, false), (nanos(0), true)] {
        let mut bench = active();
        bench.uncorroborated(advert(peer(), 200));
        let report = owning_peer(bench.now - age);
        bench.now = bench.now + CHECK.interval - NANO;
        bench.input(Input::Peer { peer: PEER, report });
        assert_eq!(bench.role() == Role::Backup, borne_out, "{age:?}");
    }
}

#[test]
fn a_word_that_comes_after_the_wait_is_too_late() {
    let mut bench = active();
    bench.uncorroborated(advert(peer(), 200));
    let at = bench.now;
    bench.pass(CHECK.interval);
    bench.report(|_| owning_peer(at + NANO));
    assert_eq!(bench.role(), Role::Active);
}

#[test]
fn the_wait_is_a_check_interval_and_twenty_milliseconds_at_least() {
    let floor = Duration::from_millis(20);
    for (interval, wait) in [(Duration::from_millis(1), floor), (floor + NANO, floor + NANO)] {
        let peer_check = PeerCheck { interval, ..CHECK };
        let config = EngineConfig { peer_check, ..keyed_config(vec![keyed(100)]) };
        let mut bench = Bench::active_of(config);
        bench.uncorroborated(advert(peer(), 200));
        assert_eq!(bench.remaining(), Some(wait));
    }
}

#[test]
fn a_word_that_says_something_else_bears_nothing_out() {
    type Change = fn(PeerReport) -> PeerReport;
    let words: [(&str, Change); 3] = [
        ("it owns nothing", |word| PeerReport { owned: Units::NONE, ..word }),
        ("it owns something else", |word| PeerReport { owned: Units(2), ..word }),
        ("its priority is lower", |word| PeerReport { priority: 199, ..word }),
    ];
    for (why, word) in words {
        let mut bench = active();
        bench.uncorroborated(advert(peer(), 200));
        bench.report(|now| word(owning_peer(now)));
        assert_eq!(bench.role(), Role::Active, "{why}");
    }
}

#[test]
fn another_interval_is_borne_out_only_by_a_peer_that_drains_or_is_configured_otherwise() {
    let words: [(bool, bool, bool); 3] = [(true, false, false), (false, false, true), (true, true, true)];
    for (same_configuration, draining, borne_out) in words {
        let mut bench = active();
        bench.uncorroborated(Advert { interval: centis(300), ..advert(peer(), 200) });
        bench.report(|now| PeerReport { same_configuration, draining, ..owning_peer(now) });
        assert_eq!(bench.role() == Role::Backup, borne_out, "{same_configuration} {draining}");
    }
}

#[test]
fn a_release_counts_only_once_the_owner_says_that_it_owns_no_more() {
    let mut bench = Bench::keyed_backup();
    bench.pass(centis(10));
    assert_eq!(names(&bench.uncorroborated(advert(peer(), 0))), PROBED);
    assert_eq!(bench.report(owning_peer), []);
    let released = bench.now;
    bench.pass(centis(1));
    assert_eq!(names(&bench.report(ready_peer)), ["prepare"]);
    let promoted = bench.run_to_deadline();
    assert_eq!(transition(&promoted).2, Cause::PriorityZero);
    assert_eq!(bench.now, released + nanos(609_375_000), "counted from the release");
}

#[test]
fn a_draining_peer_may_release_while_it_still_serves() {
    let mut bench = Bench::keyed_backup();
    bench.uncorroborated(advert(peer(), 0));
    assert_eq!(names(&bench.report(|now| PeerReport { draining: true, ..owning_peer(now) })), ["prepare"]);
}

#[test]
fn a_forged_claim_does_not_keep_a_release_from_being_heard_nor_the_reverse() {
    for flood in [monster(), advert(peer(), 0)] {
        let mut bench = Bench::keyed_backup();
        bench.uncorroborated(flood);
        bench.pass(centis(5));
        bench.uncorroborated(advert(peer(), 0));
        bench.uncorroborated(flood);
        bench.pass(centis(9));
        assert_eq!(names(&bench.report(ready_peer)), ["prepare"]);
    }
}

#[test]
fn a_flood_raises_the_alarm_although_it_never_pauses() {
    let mut bench = active();
    let mut told = Vec::new();
    for _ in 0..20 {
        bench.uncorroborated(monster());
        told.extend(notices(&plain(bench.pass(centis(1)))));
    }
    assert_eq!(told, [forgery(255)], "once, and not again within the minute");
}

#[test]
fn a_peer_that_is_not_the_owner_cannot_release_for_it() {
    let config = EngineConfig { peers: vec![PEER, THIRD], ..keyed_config(vec![keyed(100)]) };
    let mut bench = Bench::keyed_backup_of(config);
    let before = bench.view();
    // The third node owns nothing, as it truly says; a release in its name is forged, or old.
    let zero = Advert { at: bench.now, ..advert(small_peer(), 0) };
    bench.input(Input::Uncorroborated { router: ROUTER, peer: THIRD, advert: zero });
    let word = ready_peer(bench.now);
    bench.input(Input::Peer { peer: THIRD, report: word });
    assert_eq!(bench.view(), before);
    // The same where the data plane let it through.
    bench.hear(advert(small_peer(), 0));
    assert_eq!(bench.view(), before);
}

#[test]
fn without_peers_any_release_starts_the_succession() {
    let mut bench = Bench::started(config(100));
    bench.hear(advert(peer(), 200));
    assert_eq!(names(&bench.hear(advert(small_peer(), 0))), ["prepare"]);
}

#[test]
fn a_backup_follows_an_owner_that_is_borne_out() {
    let mut bench = Bench::keyed(keyed(100));
    bench.uncorroborated(advert(peer(), 200));
    assert_eq!(bench.view().active_router, None);
    bench.report(owning_peer);
    assert_eq!(bench.view().active_router, Some((peer(), 200)));
    assert_eq!(bench.view().deadline, Some(bench.now + DOWN));
}

#[test]
fn a_router_at_rest_and_a_stranger_ask_for_nothing() {
    let mut bench = active();
    let advert = Advert { at: bench.now, ..monster() };
    assert_eq!(bench.input(Input::Uncorroborated { router: ROUTER, peer: THIRD, advert }), []);
    bench.uncorroborated(monster());
    bench.input(Input::Interface { interface: LAN, up: false });
    assert_eq!(bench.engine.next_deadline(), None, "nothing waits");
    assert_eq!(bench.uncorroborated(monster()), []);
}

#[test]
fn what_waits_for_a_peer_that_is_configured_away_waits_no_more() {
    let mut bench = active();
    bench.uncorroborated(monster());
    let router = RouterConfig { ..keyed(100) };
    let without =
        EngineConfig { routers: vec![router], peers: vec![], peer_check: CHECK, takeover: Takeover::Fast };
    bench.input(Input::Configured(without));
    assert_eq!(bench.engine.next_deadline(), None);
}
