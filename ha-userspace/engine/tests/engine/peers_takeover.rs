//! Takeover by the verdict of a peer's checks: at once, after the lease, or not at all.

use crate::support::*;
use holdfast_engine::{
    Action, Cause, Duration, EngineConfig, GroupId, Input, InterfaceId, Notice, PeerHealth, PeerReport, Role,
    RouterConfig, RouterId, Takeover, Units,
};

const WAN: InterfaceId = InterfaceId(11);
const SECOND: RouterId = RouterId(2);
const GROUP: GroupId = GroupId(1);

/// The peer has been silent since `silent`; the verdict falls now, and what the data plane heard is handed in first.
fn unhealthy(bench: &mut Bench, silent: holdfast_engine::Instant) -> Vec<Action> {
    let mut actions = bench.health(PeerHealth::Unhealthy, Some(silent));
    actions.extend(bench.timeout());
    actions
}

fn took_over(actions: &[Action]) -> bool {
    causes(actions) == [Cause::PeerUnhealthy]
}

#[test]
fn a_backup_promotes_at_once_when_the_owners_peer_falls_silent() {
    let mut bench = Bench::keyed_backup();
    let silent = bench.now;
    bench.now = bench.now + WINDOW;
    assert!(DOWN > WINDOW, "the advert timer is far from over");
    let actions = unhealthy(&mut bench, silent);
    assert_eq!(notices(&actions), [Notice::PeerUnhealthy { peer: PEER }]);
    assert_eq!(transition(&actions), (Role::Backup, Role::Active, Cause::PeerUnhealthy));
    assert_eq!(bench.health(PeerHealth::Unhealthy, Some(silent)), [], "the same verdict says nothing new");
}

#[test]
fn a_peer_that_was_never_heard_of_has_not_fallen_silent() {
    let mut bench = Bench::with(keyed_config(vec![keyed(100)]));
    bench.hear(advert(peer(), 200));
    bench.report(owning_peer);
    let silent = bench.now;
    bench.now = bench.now + WINDOW;
    assert!(!took_over(&unhealthy(&mut bench, silent)));
}

#[test]
fn a_peer_without_a_path_over_the_routers_segment_proves_nothing() {
    let mut bench = Bench::keyed_backup();
    bench.report(|now| PeerReport { paths: vec![good_path(SYNC, now)], ..owning_peer(now) });
    let silent = bench.now;
    bench.now = bench.now + WINDOW;
    assert!(!took_over(&unhealthy(&mut bench, silent)));
    assert_eq!(bench.remaining(), Some(nanos(DOWN.as_nanos() - WINDOW.as_nanos())));
}

#[test]
fn a_peer_that_did_not_own_is_not_succeeded() {
    let mut bench = Bench::keyed_backup();
    bench.report(ready_peer);
    let silent = bench.now;
    bench.now = bench.now + WINDOW;
    assert!(!took_over(&unhealthy(&mut bench, silent)));
}

#[test]
fn an_advert_that_no_word_from_before_the_silence_bore_out_keeps_the_owner() {
    for (after, kept) in [(NANO, true), (nanos(0), false)] {
        let mut bench = Bench::keyed_backup();
        let silent = bench.now + centis(5);
        let spoken_for = bench.now + WINDOW;
        bench.now = spoken_for + centis(5);
        bench.health(PeerHealth::Unhealthy, Some(silent));
        assert_eq!(bench.engine.due_routers(bench.now), [ROUTER], "the data plane is asked first");
        bench.input(Input::Heard { router: ROUTER, at: spoken_for + after });
        let actions = bench.timeout();
        assert_eq!(took_over(&actions), !kept, "{after:?} after the last word's end");
        if kept {
            assert_eq!(bench.engine.next_deadline(), Some(spoken_for + after + DOWN));
        }
    }
}

/// Anybody can copy an advert; in the window after the owner's last word the copy is borne out.
#[test]
fn copies_of_the_owners_advert_do_not_keep_a_dead_owner() {
    for (at, kept) in [(centis(10), false), (WINDOW, false), (nanos(WINDOW.as_nanos() + 1), true)] {
        let mut bench = Bench::keyed_backup();
        let silent = bench.now + centis(5);
        let end = bench.now + WINDOW + centis(5);
        bench.now = bench.now + at;
        bench.hear(advert(peer(), 200));
        bench.now = end;
        assert_eq!(took_over(&unhealthy(&mut bench, silent)), !kept, "a copy {at:?} after the last word");
    }
}

/// A peer under another secret answers nobody and lives: plain VRRP decides towards it.
#[test]
fn a_peer_in_whose_name_wrong_macs_come_is_not_succeeded_by_verdict() {
    for (age, taken) in [(WINDOW, false), (nanos(WINDOW.as_nanos() + 1), true)] {
        let mut bench = Bench::keyed_backup();
        let silent = bench.now;
        let told = bench.now;
        bench.report(|now| PeerReport { bad_mac_at: Some(told), ..owning_peer(now) });
        bench.now = bench.now + age;
        assert_eq!(took_over(&unhealthy(&mut bench, silent)), taken, "{age:?}");
    }
}

#[test]
fn a_peer_that_answers_no_check_but_speaks_is_waited_for_until_it_is_silent_too() {
    for (after, waits) in [(nanos(0), false), (NANO, true)] {
        let mut bench = Bench::keyed_backup();
        let silent = bench.now;
        bench.report(|now| owning_peer(now + after));
        bench.now = bench.now + centis(20);
        assert_eq!(took_over(&unhealthy(&mut bench, silent)), !waits, "{after:?}");
    }
    let mut bench = Bench::keyed_backup();
    let silent = bench.now;
    bench.now = bench.now + centis(20);
    bench.report(owning_peer);
    bench.health(PeerHealth::Unhealthy, Some(silent));
    let spoke = bench.report_for(centis(100), owning_peer);
    assert_eq!(causes(&spoke), []);
    let last = bench.now;
    bench.report(|_| owning_peer(last));
    assert_eq!(bench.engine.next_deadline(), Some(last + WINDOW));
    assert!(took_over(&bench.run_to_deadline()));
}

#[test]
fn a_verdict_without_a_row_of_its_own_heeds_the_signs_of_a_whole_one() {
    // A path that was unhealthy already missed one check more, or is answering again: its row says nothing of the others'.
    let row = Duration::from_millis(150);
    for (silent, needed) in [(Some(nanos(0)), row), (None, WINDOW)] {
        for (age, kept) in [(needed, false), (nanos(needed.as_nanos() - 1), true)] {
            let mut bench = Bench::keyed_backup();
            bench.now = bench.now + age;
            let since = silent.map(|age| bench.now - age);
            let mut actions = bench.health(PeerHealth::Unhealthy, since);
            actions.extend(bench.timeout());
            assert_eq!(took_over(&actions), !kept, "{silent:?} {age:?}");
        }
    }
}

fn three() -> EngineConfig {
    EngineConfig { peers: vec![PEER, THIRD], ..keyed_config(vec![keyed(100)]) }
}

fn third(bench: &mut Bench, report: PeerReport) {
    bench.input(Input::Peer { peer: THIRD, report });
}

#[test]
fn another_healthy_owner_is_left_in_place() {
    let mut bench = Bench::keyed_backup_of(three());
    let silent = bench.now;
    bench.now = bench.now + WINDOW;
    let claims = owning_peer(bench.now);
    third(&mut bench, claims);
    assert!(!took_over(&unhealthy(&mut bench, silent)));
}

#[test]
fn a_better_heir_goes_first_and_an_equal_or_unready_one_does_not() {
    let heir = |priority: u8, ready: Units, draining: bool| {
        let mut bench = Bench::keyed_backup_of(three());
        let silent = bench.now;
        bench.now = bench.now + WINDOW;
        let report = PeerReport { priority, ready, draining, ..ready_peer(bench.now) };
        third(&mut bench, report);
        took_over(&unhealthy(&mut bench, silent))
    };
    assert!(!heir(101, owns(), false));
    assert!(heir(100, owns(), false));
    assert!(heir(101, Units::NONE, false));
    assert!(heir(101, owns(), true));
}

#[test]
fn what_another_peer_owns_by_now_is_not_taken_over() {
    for owned in [owns(), Units::NONE] {
        let mut bench = Bench::keyed_backup_of(three());
        let silent = bench.now;
        bench.now = bench.now + WINDOW;
        let report = PeerReport { priority: 50, owned, ready: Units::NONE, ..ready_peer(bench.now) };
        third(&mut bench, report);
        assert_eq!(took_over(&unhealthy(&mut bench, silent)), owned == Units::NONE);
    }
}

#[test]
fn an_heir_that_was_not_heard_of_late_does_not_go_first() {
    for (age, first) in [(WINDOW, true), (WINDOW + NANO, false)] {
        let mut bench = Bench::keyed_backup_of(three());
        let silent = bench.now;
        let heir = ready_peer(bench.now);
        third(&mut bench, heir);
        bench.now = bench.now + age;
        assert_eq!(took_over(&unhealthy(&mut bench, silent)), !first, "{age:?}");
    }
}

fn after_lease() -> EngineConfig {
    EngineConfig { takeover: Takeover::AfterLease, ..keyed_config(vec![keyed(100)]) }
}

#[test]
fn after_lease_waits_for_the_end_of_the_peers_lease_to_the_nanosecond() {
    let mut bench = Bench::keyed_backup_of(after_lease());
    let (silent, lease_until) = (bench.now, bench.now + LEASE);
    bench.now = bench.now + WINDOW;
    assert!(!took_over(&unhealthy(&mut bench, silent)));
    assert_eq!(bench.engine.next_deadline(), Some(lease_until));
    bench.now = lease_until - NANO;
    assert_eq!(bench.timeout(), []);
    bench.now = lease_until;
    assert!(took_over(&bench.timeout()));
}

#[test]
fn after_lease_a_lease_that_is_over_is_not_waited_for() {
    let mut bench = Bench::keyed_backup_of(after_lease());
    let silent = bench.now;
    bench.now = bench.now + LEASE;
    assert!(took_over(&unhealthy(&mut bench, silent)));
}

#[test]
fn after_lease_silence_of_fast_adverts_does_not_promote_before_the_lease_is_over() {
    let quick = RouterConfig { advertisement_interval: centis(1), ..keyed(100) };
    let promoted_after = |takeover| {
        let config = EngineConfig { takeover, ..keyed_config(vec![quick.clone()]) };
        let mut bench = Bench::with(config);
        bench.hear(holdfast_engine::Advert { interval: centis(1), ..advert(peer(), 200) });
        bench.report(owner_beside);
        let heard = bench.now;
        let actions = bench.pass(LEASE + LEASE);
        assert_eq!(bench.role(), Role::Active);
        actions.iter().find(|(_, action)| matches!(action, Action::Record(_))).map(|(at, _)| at.since(heard))
    };
    assert_eq!(promoted_after(Takeover::AfterLease), Some(LEASE));
    assert_eq!(promoted_after(Takeover::Fast), Some(WINDOW));
}

#[test]
fn a_peer_that_is_healthy_again_is_not_succeeded() {
    for found in [PeerHealth::Healthy, PeerHealth::Unknown] {
        let mut bench = Bench::keyed_backup_of(after_lease());
        let silent = bench.now;
        bench.now = bench.now + WINDOW;
        unhealthy(&mut bench, silent);
        // It came back and has given the router up meanwhile: its adverts decide, not the verdict.
        bench.report(ready_peer);
        let back = bench.health(found, None);
        let told = [Notice::PeerHealthy { peer: PEER }];
        assert_eq!(notices(&back), if found == PeerHealth::Healthy { &told[..] } else { &[] });
        bench.now = silent + LEASE;
        assert_eq!(bench.timeout(), []);
        assert_eq!(bench.role(), Role::Backup);
    }
}

#[test]
fn a_peer_that_is_configured_away_is_not_succeeded() {
    let mut bench = Bench::keyed_backup_of(after_lease());
    let silent = bench.now;
    bench.now = bench.now + WINDOW;
    unhealthy(&mut bench, silent);
    bench.input(Input::Configured(EngineConfig { peers: vec![THIRD], ..after_lease() }));
    bench.now = silent + LEASE;
    assert_eq!(bench.timeout(), []);
}

#[test]
fn an_owner_that_stepped_down_is_succeeded_by_the_rules_of_its_release() {
    let mut bench = Bench::keyed_backup();
    bench.hear(advert(peer(), 0));
    let silent = bench.now;
    bench.now = bench.now + WINDOW;
    assert!(!took_over(&unhealthy(&mut bench, silent)));
    assert_eq!(causes(&bench.run_to_deadline()), [Cause::PriorityZero]);
}

fn grouped(second_heard: bool, paths_on: &[InterfaceId]) -> (Bench, Vec<Action>) {
    let first = RouterConfig { group: Some(GROUP), ..keyed(100) };
    let second = RouterConfig { id: SECOND, interface: WAN, ..first.clone() };
    let mut bench = Bench::with(keyed_config(vec![first, second]));
    for router in [ROUTER, SECOND] {
        let advert = holdfast_engine::Advert { at: bench.now, ..advert(peer(), 200) };
        bench.input(Input::Advert { router, advert });
    }
    bench.report(|now| PeerReport {
        paths: paths_on.iter().map(|interface| good_path(*interface, now)).collect(),
        ..owning_peer(now)
    });
    bench.health(PeerHealth::Healthy, None);
    let silent = bench.now;
    // An advert counts once no word from before the silence can have borne it out.
    bench.now = bench.now + WINDOW + NANO;
    let mut actions = bench.health(PeerHealth::Unhealthy, Some(silent));
    if second_heard {
        bench.input(Input::Heard { router: SECOND, at: bench.now });
    }
    actions.extend(bench.timeout());
    (bench, actions)
}

#[test]
fn a_group_is_taken_over_as_a_whole_or_not_at_all() {
    let both = [LAN, WAN];
    let (_, actions) = grouped(false, &both);
    assert_eq!(causes(&actions), [Cause::PeerUnhealthy, Cause::PeerUnhealthy]);

    let (bench, actions) = grouped(true, &both);
    assert_eq!(causes(&actions), [], "a member was heard after the first missed check");
    assert!(bench.engine.view(ROUTER).unwrap().held);

    let (mut bench, actions) = grouped(false, &[LAN]);
    assert_eq!(causes(&actions), [], "nothing was probed on the other member's segment: its adverts decide");
    let later = plain(bench.pass(DOWN));
    assert_eq!(causes(&later), [Cause::PeerUnhealthy, Cause::AdvertTimeout]);
}
