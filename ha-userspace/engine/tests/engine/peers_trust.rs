//! Whether a peer's adverts count by themselves, alarms about its authentication, and dual ownership.

use crate::support::*;
use holdfast_engine::{Action, EngineConfig, Input, Notice, PeerHealth, PeerReport, Role};

const KEYED: [Action; 1] = [Action::TrustPeer { peer: PEER, plain: false }];
const ALARM: Action = Action::Notify(Notice::AuthenticationFailing { peer: PEER });

fn silent(now: holdfast_engine::Instant) -> PeerReport {
    PeerReport { heard_at: None, paths: vec![dead_path(LAN, None)], ..ready_peer(now) }
}

fn attacked(now: holdfast_engine::Instant) -> PeerReport {
    PeerReport { bad_mac_at: Some(now), ..silent(now) }
}

#[test]
fn a_peer_is_plain_until_it_has_proven_its_key_and_keyed_for_good_afterwards() {
    let mut bench = Bench::new(vec![]);
    let configured = bench.input(Input::Configured(keyed_config(vec![keyed(100)])));
    assert_eq!(configured, [Action::TrustPeer { peer: PEER, plain: true }]);
    assert_eq!(bench.report(silent), []);
    let heard = bench.now;
    assert_eq!(bench.report(ready_peer), KEYED);
    for _ in 0..100 {
        bench.pass(CHECK.interval);
        assert_eq!(bench.report(|_| ready_peer(heard)), [], "silence alone takes no trust away");
    }
    assert_eq!(bench.input(Input::Configured(keyed_config(vec![keyed(100)]))), []);
}

#[test]
fn a_new_peer_begins_as_plain_and_a_returning_one_too() {
    let mut bench = Bench::keyed(keyed(100));
    let with = |peers| Input::Configured(EngineConfig { peers, ..keyed_config(vec![keyed(100)]) });
    let added = bench.input(with(vec![PEER, THIRD]));
    assert_eq!(added, [Action::TrustPeer { peer: THIRD, plain: true }]);
    bench.input(with(vec![THIRD]));
    assert_eq!(bench.input(with(vec![PEER, THIRD])), [Action::TrustPeer { peer: PEER, plain: true }]);
}

#[test]
fn wrong_macs_with_nothing_right_for_the_window_make_it_plain_and_alarm() {
    let mut bench = Bench::keyed(keyed(100));
    let heard = bench.now;
    let both = |now| PeerReport { bad_mac_at: Some(now), ..ready_peer(heard) };
    bench.pass(WINDOW);
    assert_eq!(bench.report(both), [], "it may still speak for itself");
    bench.pass(NANO);
    assert_eq!(bench.report(both), [Action::TrustPeer { peer: PEER, plain: true }, ALARM]);
    bench.pass(CHECK.interval);
    assert_eq!(bench.report(both), []);
    // A pause of the attack proves nothing; a right MAC does.
    let attack = bench.now;
    bench.pass(centis(300));
    assert_eq!(bench.report(|_| both(attack)), []);
    assert_eq!(bench.report(ready_peer), KEYED);
}

#[test]
fn a_peer_that_we_may_not_ask_is_plain_and_its_silence_no_verdict() {
    let muzzle = |muzzled| Input::Muzzled { peer: PEER, muzzled };
    let mut bench = Bench::keyed_backup();
    let told = Action::Notify(Notice::Muzzled { peer: PEER });
    assert_eq!(bench.input(muzzle(true)), [told, Action::TrustPeer { peer: PEER, plain: true }]);
    assert_eq!(bench.input(muzzle(true)), [], "once");
    let verdict = bench.health(PeerHealth::Unhealthy, Some(bench.now));
    assert_eq!(causes(&verdict), [], "adverts decide: {verdict:?}");
    assert_eq!(bench.input(muzzle(false)), KEYED);
}

#[test]
fn wrong_macs_beside_right_ones_change_nothing() {
    let mut bench = Bench::keyed(keyed(100));
    bench.pass(centis(300));
    assert_eq!(bench.report(|now| PeerReport { bad_mac_at: Some(now), ..ready_peer(now) }), []);
}

#[test]
fn a_secret_that_never_matched_raises_the_alarm_and_leaves_plain_vrrp() {
    let mut bench = Bench::with(keyed_config(vec![keyed(100)]));
    assert_eq!(bench.report(attacked), [ALARM]);
    for _ in 0..599 {
        bench.now = bench.now + CHECK.interval;
        assert_eq!(bench.report(attacked), [], "once a minute at most");
    }
    bench.now = bench.now + CHECK.interval;
    assert_eq!(bench.report(attacked), [ALARM]);
}

fn two_owners() -> Notice {
    Notice::TwoOwners { router: ROUTER, peer: PEER }
}

fn active() -> Bench {
    let mut bench = Bench::keyed_active(keyed(200));
    bench.report(ready_peer);
    bench.pass(centis(500));
    bench.report(ready_peer);
    bench.pass(centis(500));
    bench
}

#[test]
fn two_owners_are_said_after_the_window_and_the_survivor_announces_when_the_rival_is_gone() {
    let mut bench = active();
    bench.report_for(CHECK.interval, ready_peer);
    let began = bench.now;
    assert_eq!(notices(&bench.report(owning_peer)), []);
    let claims = bench.report_for(WINDOW, owning_peer);
    assert_eq!(bench.now, began + WINDOW);
    assert_eq!(notices(&claims), []);
    bench.now = bench.now + NANO;
    assert_eq!(notices(&bench.report(owning_peer)), [two_owners()]);
    assert_eq!(notices(&bench.report_for(centis(300), owning_peer)), [], "said once");
    assert_eq!(names(&bench.report(ready_peer)), ["announce"]);
    assert_eq!(bench.role(), Role::Active);
}

#[test]
fn the_last_words_of_a_dead_owner_are_no_rival() {
    let mut bench = Bench::keyed_backup();
    let last = bench.now;
    let word = owning_peer(last);
    bench.pass(DOWN);
    assert_eq!(bench.role(), Role::Active);
    let told = bench.report_for(centis(300), |_| word.clone());
    assert_eq!(notices(&told), []);
}

#[test]
fn a_rivals_claim_ends_with_its_lease_and_with_its_silence() {
    for lapsed in [true, false] {
        let mut bench = active();
        bench.report_for(centis(50), owning_peer);
        let last = bench.now;
        let mut ended = if lapsed {
            bench.report(|now| PeerReport { lease_until: now, ..owning_peer(now) })
        } else {
            bench.pass(WINDOW + NANO);
            bench.report(|_| owning_peer(last))
        };
        // A second after the last announcement at the earliest.
        ended.extend(plain(bench.pass(centis(100))));
        assert_eq!(names(&ended), ["announce"], "{lapsed}");
    }
}

#[test]
fn another_peers_word_does_not_hide_a_rival() {
    let config = EngineConfig { peers: vec![PEER, THIRD], ..keyed_config(vec![keyed(200)]) };
    let mut bench = Bench::active_of(config);
    let mut told = Vec::new();
    for _ in 0..6 {
        told.extend(bench.report_for(CHECK.interval, owning_peer));
        let word = ready_peer(bench.now);
        told.extend(bench.input(Input::Peer { peer: THIRD, report: word }));
    }
    assert_eq!(notices(&told), [two_owners()]);
}

#[test]
fn an_active_that_hears_a_peer_again_speaks_and_announces_at_once() {
    for (gap, speaks) in [(WINDOW, false), (WINDOW + NANO, true)] {
        let mut bench = active();
        bench.report(ready_peer);
        bench.pass(centis(200));
        bench.report(ready_peer);
        bench.pass(centis(200));
        bench.report(ready_peer);
        bench.pass(gap);
        // The first of these returned after two seconds and has just announced: the bound of a second counts from there.
        let names = names(&bench.report(ready_peer));
        assert_eq!(names.first().map(String::as_str), speaks.then_some("send 200"), "{gap:?}");
        let later = plain(bench.pass(centis(100)));
        assert_eq!(later.contains(&Action::Announce { router: ROUTER }), speaks, "{gap:?} {later:?}");
    }
}

#[test]
fn a_backup_that_hears_a_peer_again_says_nothing() {
    let mut bench = Bench::keyed_backup();
    bench.pass(centis(100));
    assert_eq!(bench.report(owning_peer), []);
}
