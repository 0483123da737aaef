//! Groups: two routers on two segments, Active on the same node.

use crate::support::*;
use holdfast_engine::{
    Action, Advert, Cause, EngineConfig, GroupId, Input, InterfaceId, Notice, Role, RouterConfig, RouterId,
};
use std::net::IpAddr;

const WAN: InterfaceId = InterfaceId(11);
const SECOND: RouterId = RouterId(2);
const GROUP: GroupId = GroupId(1);

fn members() -> Vec<RouterConfig> {
    let first = RouterConfig { group: Some(GROUP), ..config(100) };
    let second = RouterConfig { id: SECOND, interface: WAN, ..first.clone() };
    vec![first, second]
}

fn started() -> Bench {
    let mut bench = Bench::new(members());
    bench.start();
    bench.input(Input::Interface { interface: WAN, up: true });
    bench.input(Input::Source { router: SECOND, address: Some(own()) });
    bench
}

fn active() -> Bench {
    let mut bench = started();
    bench.run_to_deadline();
    assert_eq!(roles(&bench), [Role::Active, Role::Active]);
    for router in [ROUTER, SECOND] {
        bench.input(Input::AddressesAdded { router, outcome: Ok(()) });
    }
    bench.pass(centis(1_000));
    bench
}

fn roles(bench: &Bench) -> Vec<Role> {
    bench.engine.routers().map(|view| view.role).collect()
}

fn hears(bench: &mut Bench, router: RouterId, source: IpAddr, priority: u8) -> Vec<Action> {
    let advert = Advert { at: bench.now, ..advert(source, priority) };
    bench.input(Input::Advert { router, advert })
}

fn of(router: RouterId, actions: &[Action]) -> Vec<String> {
    let about = |action: &&Action| format!("{action:?}").contains(&format!("{router:?}"));
    names(&actions.iter().filter(about).cloned().collect::<Vec<_>>())
}

#[test]
fn members_that_all_time_out_promote_together() {
    let mut bench = started();
    let promoted = bench.run_to_deadline();
    for router in [ROUTER, SECOND] {
        let expected = ["policy Active 100", "start 100", "add", "record AdvertTimeout"];
        assert_eq!(of(router, &promoted), expected);
    }
}

#[test]
fn a_member_that_still_hears_the_owner_holds_the_group() {
    let mut bench = started();
    hears(&mut bench, ROUTER, peer(), 200);
    hears(&mut bench, SECOND, peer(), 200);
    for _ in 0..20 {
        bench.pass(centis(100));
        bench.input(Input::Heard { router: SECOND, at: bench.now });
    }
    assert_eq!(roles(&bench), [Role::Backup, Role::Backup]);
    assert!(bench.engine.view(ROUTER).unwrap().held);
    // The other falls silent too: both move, without waiting for anything else.
    let promoted = bench.run_to_deadline();
    assert_eq!(roles(&bench), [Role::Active, Role::Active]);
    assert_eq!(of(ROUTER, &promoted).last().unwrap(), "record AdvertTimeout");
}

#[test]
fn a_split_is_told_once_and_again_after_it_was_over() {
    let mut bench = started();
    let split = Notice::SegmentSplit { group: GROUP, silent: ROUTER, hearing: SECOND };
    for _ in 0..2 {
        hears(&mut bench, ROUTER, peer(), 200);
        hears(&mut bench, SECOND, peer(), 200);
        let mut told = Vec::new();
        for _ in 0..20 {
            let passed = bench.pass(centis(100)).into_iter().map(|(_, action)| action);
            assert_eq!(notices(&passed.collect::<Vec<_>>()), [], "a timer that ran out is no split yet");
            told.extend(notices(&bench.input(Input::Heard { router: SECOND, at: bench.now })));
        }
        assert_eq!(told, std::slice::from_ref(&split));
    }
}

#[test]
fn v089_held_members_are_judged_again_with_what_the_data_plane_heard() {
    let mut bench = started();
    hears(&mut bench, ROUTER, peer(), 200);
    bench.pass(centis(200));
    hears(&mut bench, SECOND, peer(), 200);
    bench.run_to_deadline();
    assert!(bench.engine.view(ROUTER).unwrap().held);
    // The first segment heals unnoticed; when the second runs out, both are asked for.
    let healed = bench.now + centis(100);
    bench.now = bench.engine.next_deadline().unwrap();
    assert_eq!(bench.engine.due_routers(bench.now), [ROUTER, SECOND]);
    bench.input(Input::Heard { router: ROUTER, at: healed });
    bench.engine.handle_timeout(bench.now);
    assert_eq!(roles(&bench), [Role::Backup, Role::Backup]);
    let held: Vec<bool> = bench.engine.routers().map(|view| view.held).collect();
    assert_eq!(held, [false, true]);
}

#[test]
fn a_member_without_its_interface_keeps_the_group_from_promoting_until_it_returns_or_goes() {
    let only_first = || {
        let mut bench = Bench::new(members());
        bench.start();
        bench.pass(centis(1_000));
        assert_eq!(roles(&bench), [Role::Backup, Role::Initialize]);
        bench
    };
    let mut returning = only_first();
    returning.input(Input::Source { router: SECOND, address: Some(own()) });
    returning.input(Input::Interface { interface: WAN, up: true });
    returning.run_to_deadline();
    assert_eq!(roles(&returning), [Role::Active, Role::Active]);
    let mut leaving = only_first();
    leaving.input(Input::Configured(EngineConfig {
        routers: members()[..1].to_vec(),
        ..EngineConfig::default()
    }));
    assert_eq!(roles(&leaving), [Role::Active]);
    let mut alone = only_first();
    let ungrouped = RouterConfig { group: None, ..members()[0].clone() };
    alone.input(Input::Configured(EngineConfig {
        routers: vec![ungrouped, members()[1].clone()],
        ..EngineConfig::default()
    }));
    assert_eq!(roles(&alone), [Role::Active, Role::Initialize]);
}

#[test]
fn a_member_that_loses_its_interface_takes_the_others_along_with_priority_zero() {
    let mut bench = active();
    let lost = bench.input(Input::Interface { interface: LAN, up: false });
    assert_eq!(of(ROUTER, &lost), ["stop", "policy Initialize 100", "remove", "record InterfaceDown"]);
    assert_eq!(of(SECOND, &lost), ["stop", "send 0", "policy Backup 100", "remove", "record GroupMember"]);
}

#[test]
fn v112_a_beaten_member_takes_the_others_along_with_priority_zero() {
    let mut bench = active();
    let beaten = hears(&mut bench, SECOND, peer(), 200);
    assert_eq!(of(SECOND, &beaten), ["stop", "policy Backup 100", "remove", "record HigherPriority"]);
    assert_eq!(of(ROUTER, &beaten), ["stop", "send 0", "policy Backup 100", "remove", "record GroupMember"]);
}

#[test]
fn members_on_one_interface_all_go_for_the_interface() {
    let mut members = members();
    members[1].interface = LAN;
    let mut bench = Bench::new(members);
    bench.start();
    bench.input(Input::Source { router: SECOND, address: Some(own()) });
    bench.run_to_deadline();
    let lost = bench.input(Input::Interface { interface: LAN, up: false });
    for router in [ROUTER, SECOND] {
        assert_eq!(of(router, &lost).last().unwrap(), "record InterfaceDown");
    }
}

#[test]
fn v083_one_release_counts_for_every_member_of_the_same_sender_unless_it_speaks_again() {
    let mut bench = started();
    for router in [ROUTER, SECOND] {
        hears(&mut bench, router, peer(), 200);
    }
    hears(&mut bench, ROUTER, peer(), 0);
    bench.pass(centis(60));
    let promoted = bench.run_to_deadline();
    assert_eq!(roles(&bench), [Role::Active, Role::Active]);
    assert_eq!(of(SECOND, &promoted).last().unwrap(), "record PriorityZero");

    let mut bench = started();
    for router in [ROUTER, SECOND] {
        hears(&mut bench, router, peer(), 200);
    }
    hears(&mut bench, ROUTER, peer(), 0);
    bench.pass(centis(10));
    bench.input(Input::Heard { router: SECOND, at: bench.now });
    bench.run_to_deadline();
    assert_eq!(roles(&bench), [Role::Backup, Role::Backup]);

    let mut bench = started();
    hears(&mut bench, ROUTER, peer(), 200);
    hears(&mut bench, SECOND, small_peer(), 200);
    hears(&mut bench, ROUTER, peer(), 0);
    bench.run_to_deadline();
    assert_eq!(roles(&bench), [Role::Backup, Role::Backup], "another sender has released nothing");
}

#[test]
fn a_group_fails_over_together_and_comes_back_only_if_no_member_moved() {
    let mut bench = active();
    let ordered = bench.input(Input::Failover { group: Some(GROUP), cause: Cause::FailoverCommand });
    for router in [ROUTER, SECOND] {
        assert_eq!(of(router, &ordered), ["stop", "policy Active 0", "send 0"]);
    }
    hears(&mut bench, ROUTER, peer(), 50);
    assert_eq!(
        roles(&bench),
        [Role::Backup, Role::Active],
        "the other serves until its own successor speaks"
    );
    bench.hear(advert(peer(), 50));
    let ended = bench.run_to_deadline();
    assert_eq!(of(SECOND, &ended), ["policy Backup 100", "remove", "record FailoverCommand"]);

    let mut bench = active();
    bench.input(Input::Failover { group: None, cause: Cause::FailoverCommand });
    let resumed = bench.run_to_deadline();
    for router in [ROUTER, SECOND] {
        assert_eq!(of(router, &resumed), ["policy Active 100", "start 100", "announce", "notify"]);
    }
}

#[test]
fn members_of_different_intervals_wait_equally_long_for_a_successor() {
    let mut members = members();
    members[1].advertisement_interval = centis(10);
    let mut bench = Bench::new(members);
    bench.start();
    bench.input(Input::Interface { interface: WAN, up: true });
    bench.input(Input::Source { router: SECOND, address: Some(own()) });
    bench.pass(centis(500));
    assert_eq!(roles(&bench), [Role::Active, Role::Active]);
    bench.input(Input::Failover { group: Some(GROUP), cause: Cause::FailoverCommand });
    let deadlines: Vec<_> = bench.engine.routers().map(|view| view.deadline).collect();
    let slowest = bench.now + nanos(996_093_750) + centis(100);
    assert_eq!(deadlines, [Some(slowest), Some(slowest)]);
}

#[test]
fn a_preempting_member_waits_for_the_others_without_an_alarm() {
    let mut members = members();
    members[1].preempt_delay = centis(1_000);
    let mut bench = Bench::new(members);
    bench.start();
    bench.input(Input::Interface { interface: WAN, up: true });
    bench.input(Input::Source { router: SECOND, address: Some(own()) });
    let mut told = Vec::new();
    for _ in 0..15 {
        let passed = bench.pass(centis(100)).into_iter().map(|(_, action)| action);
        told.extend(passed);
        told.extend(hears(&mut bench, ROUTER, peer(), 50));
        told.extend(hears(&mut bench, SECOND, peer(), 50));
    }
    assert_eq!(roles(&bench), [Role::Active, Role::Active]);
    assert_eq!(notices(&told), []);
    let causes: Vec<_> = told
        .iter()
        .filter_map(|action| match action {
            Action::Record(transition) => Some(transition.cause),
            _ => None,
        })
        .collect();
    assert_eq!(causes, [Cause::Preemption, Cause::Preemption]);
}

#[test]
fn v083_a_release_elsewhere_counts_only_if_nothing_newer_was_heard_here() {
    let heard_both = || {
        let mut bench = started();
        for router in [ROUTER, SECOND] {
            hears(&mut bench, router, peer(), 200);
        }
        bench.pass(centis(50));
        bench
    };
    let release = |bench: &mut Bench, age| {
        let advert = Advert { at: bench.now - age, ..advert(peer(), 0) };
        bench.input(Input::Advert { router: ROUTER, advert });
    };
    let deadline = |bench: &Bench| bench.engine.view(SECOND).unwrap().deadline.unwrap();
    let mut spoken_since = heard_both();
    spoken_since.input(Input::Heard { router: SECOND, at: spoken_since.now });
    release(&mut spoken_since, nanos(1));
    assert_eq!(deadline(&spoken_since), spoken_since.now + nanos(3_609_375_000));
    let mut silent_since = heard_both();
    release(&mut silent_since, nanos(0));
    silent_since.input(Input::Heard { router: SECOND, at: silent_since.now - nanos(1) });
    assert_eq!(deadline(&silent_since), silent_since.now + nanos(609_375_000));
}

#[test]
fn a_held_member_stays_held_when_its_owner_releases_late_and_the_other_segment_gets_an_interval_to_speak() {
    let mut bench = started();
    hears(&mut bench, ROUTER, peer(), 200);
    bench.pass(centis(330));
    hears(&mut bench, SECOND, small_peer(), 200);
    let heard = bench.now;
    bench.pass(centis(40));
    hears(&mut bench, ROUTER, peer(), 0);
    assert!(bench.engine.view(ROUTER).unwrap().held);
    assert_eq!(bench.engine.next_deadline(), Some(heard + centis(100) + nanos(609_375_000)));
    // The owner there speaks: it lives, and the group stays where it is.
    bench.pass(centis(50));
    bench.input(Input::Heard { router: SECOND, at: bench.now });
    assert_eq!(bench.engine.next_deadline(), Some(bench.now + nanos(3_609_375_000)));
    assert_eq!(roles(&bench), [Role::Backup, Role::Backup]);
}

#[test]
fn what_was_prepared_for_a_succession_is_taken_back_when_somebody_else_succeeds() {
    let mut bench = started();
    hears(&mut bench, ROUTER, peer(), 200);
    let released = hears(&mut bench, ROUTER, peer(), 0);
    assert_eq!(of(ROUTER, &released), ["prepare"]);
    let succeeded = hears(&mut bench, ROUTER, small_peer(), 150);
    assert_eq!(of(ROUTER, &succeeded), ["remove"]);
    hears(&mut bench, ROUTER, small_peer(), 0);
    let gone = bench.input(Input::Interface { interface: LAN, up: false });
    assert_eq!(of(ROUTER, &gone)[0], "remove");
}

#[test]
fn a_lost_leg_follows_its_group_without_waiting_for_three_intervals() {
    let mut bench = started();
    hears(&mut bench, ROUTER, peer(), 200);
    hears(&mut bench, SECOND, small_peer(), 200);
    let heard = bench.now;
    bench.pass(centis(50));
    hears(&mut bench, ROUTER, peer(), 0);
    bench.run_to_deadline();
    assert_eq!(roles(&bench), [Role::Backup, Role::Backup], "the other segment may still speak");
    bench.run_to_deadline();
    assert_eq!(roles(&bench), [Role::Active, Role::Active]);
    assert_eq!(bench.now, heard + centis(100) + nanos(609_375_000));
}

#[test]
fn a_held_member_may_preempt_again_once_its_successor_is_silent() {
    let mut bench = active();
    bench.input(Input::Failover { group: Some(GROUP), cause: Cause::FailoverCommand });
    hears(&mut bench, ROUTER, peer(), 50);
    hears(&mut bench, SECOND, peer(), 50);
    bench.pass(centis(200));
    bench.input(Input::Heard { router: SECOND, at: bench.now });
    let held = bench.run_to_deadline();
    assert_eq!(of(ROUTER, &held), ["policy Backup 100"]);
    assert!(policies(&held)[0].preempt);
    assert_eq!(roles(&bench), [Role::Backup, Role::Backup]);
}

#[test]
fn a_group_that_is_taken_again_during_a_release_keeps_the_member_that_nobody_succeeded() {
    let mut bench = active();
    bench.input(Input::Failover { group: Some(GROUP), cause: Cause::FailoverCommand });
    hears(&mut bench, SECOND, peer(), 50);
    assert_eq!(roles(&bench), [Role::Active, Role::Backup], "the first has no successor yet");
    // The successor gives it back before the first was succeeded.
    hears(&mut bench, SECOND, peer(), 0);
    bench.pass(centis(100));
    assert_eq!(roles(&bench), [Role::Active, Role::Active]);
    bench.pass(centis(200));
    assert_eq!(roles(&bench), [Role::Active, Role::Active], "the end of its release tears no hole");
    assert!(!bench.engine.view(ROUTER).unwrap().releasing);
}
