//! The election of one router against a segment: startup, timers, contests, preemption.

use crate::support::*;
use holdfast_engine::{
    Action, Advert, Cause, Duration, Family, Input, Notice, Role, RouterConfig, RouterId, Version,
};

fn at_centis(source: std::net::IpAddr, priority: u8, interval: u64) -> Advert {
    Advert { interval: centis(interval), ..advert(source, priority) }
}

fn v2(priority: u8, seconds: u64) -> RouterConfig {
    RouterConfig {
        version: Version::V2,
        advertisement_interval: Duration::from_secs(seconds),
        ..config(priority)
    }
}

#[test]
fn v080_v091_a_lone_backup_starts_silently_and_takes_over_after_its_own_down_interval() {
    let mut bench = Bench::new(vec![config(100)]);
    let started = bench.start();
    assert_eq!(names(&started), ["policy Backup 100", "record Startup"]);
    assert_eq!(bench.remaining(), Some(nanos(3_609_375_000)));
    let promoted = bench.run_to_deadline();
    assert_eq!(names(&promoted), ["policy Active 100", "start 100", "add", "record AdvertTimeout"]);
    assert_ne!(policies(&promoted)[0].epoch, 0);
    let announced = bench.input(Input::AddressesAdded { router: ROUTER, outcome: Ok(()) });
    assert_eq!(announced, [Action::Announce { router: ROUTER }]);
    assert_eq!(bench.remaining(), None);
    assert_eq!(bench.view().transitions, 1, "V-152");
}

#[test]
fn v090_v099_the_address_owner_is_active_at_once() {
    let mut bench = Bench::new(vec![RouterConfig { preempt: false, ..config(255) }]);
    let started = bench.start();
    assert_eq!(names(&started), ["policy Active 255", "start 100", "add", "record OwnerStartup"]);
    assert_eq!(transition(&started), (Role::Initialize, Role::Active, Cause::OwnerStartup));
}

#[test]
fn v011_v115_a_router_needs_both_its_interface_and_a_source_in_any_order() {
    let mut bench = Bench::new(vec![config(100)]);
    assert_eq!(bench.input(Input::Source { router: ROUTER, address: Some(own()) }), []);
    assert_eq!(bench.role(), Role::Initialize);
    let started = bench.input(Input::Interface { interface: LAN, up: true });
    assert_eq!(transition(&started), (Role::Initialize, Role::Backup, Cause::Startup));
}

#[test]
fn v079_v081_an_accepted_advert_sets_interval_and_timer_and_an_active_keeps_its_own() {
    let mut bench = Bench::started(config(100));
    bench.hear(at_centis(peer(), 200, 300));
    assert_eq!(bench.remaining(), Some(nanos(10_828_125_000)));
    assert_eq!(bench.view().learned_interval, centis(300));
    let promoted = bench.run_to_deadline();
    let own_interval = Action::StartAdverts { router: ROUTER, interval: centis(100) };
    assert!(promoted.contains(&own_interval), "{promoted:?}");
    assert_eq!(bench.view().learned_interval, centis(100));
}

#[test]
fn v079_the_timer_counts_from_the_arrival_not_from_when_the_controller_woke() {
    let mut bench = Bench::started(config(100));
    let arrived = bench.now;
    bench.now = bench.now + centis(80);
    let late = Advert { at: arrived, ..advert(peer(), 200) };
    bench.input(Input::Advert { router: ROUTER, advert: late });
    assert_eq!(bench.engine.next_deadline(), Some(arrived + nanos(3_609_375_000)));
}

#[test]
fn v056_v057_v2_times_out_by_its_own_rule_and_learns_nothing() {
    let mut bench = Bench::started(v2(100, 5));
    bench.hear(Advert { interval: Duration::from_secs(5), ..advert(peer(), 200) });
    assert_eq!(bench.remaining(), Some(nanos(15_609_375_000)));
    bench.hear(Advert { interval: Duration::from_secs(9), ..advert(peer(), 200) });
    assert_eq!(bench.view().learned_interval, Duration::from_secs(5));
}

#[test]
fn v082_v098_an_ignored_lower_advert_changes_neither_timer_nor_interval() {
    let mut bench = Bench::started(config(150));
    let deadline = bench.engine.next_deadline();
    bench.pass(centis(100));
    bench.hear(at_centis(peer(), 100, 300));
    assert_eq!(bench.engine.next_deadline(), deadline);
    assert_eq!(bench.view().learned_interval, centis(100));
    let promoted = the_transition(&bench.run_to_deadline());
    assert_eq!((promoted.cause, promoted.peer), (Cause::Preemption, Some((peer(), 100))));
}

#[test]
fn v083_v084_priority_zero_leaves_skew_of_the_interval_already_learned() {
    let mut bench = Bench::started(config(100));
    bench.hear(at_centis(peer(), 200, 100));
    bench.pass(centis(30));
    bench.hear(at_centis(peer(), 0, 4095));
    assert_eq!(bench.remaining(), Some(nanos(609_375_000)));
    // A repetition does not put the takeover off.
    bench.pass(centis(20));
    bench.hear(at_centis(peer(), 0, 4095));
    assert_eq!(bench.remaining(), Some(nanos(409_375_000)));
    let promoted = bench.run_to_deadline();
    assert_eq!(transition(&promoted), (Role::Backup, Role::Active, Cause::PriorityZero));
}

#[test]
fn v083_what_was_absorbed_before_the_release_does_not_undo_it_and_what_came_after_does() {
    let mut bench = Bench::started(config(100));
    let before = bench.now;
    bench.hear(advert(peer(), 200));
    bench.pass(centis(30));
    bench.hear(advert(peer(), 0));
    let released = bench.engine.next_deadline();
    bench.input(Input::Heard { router: ROUTER, at: before });
    bench.input(Input::Heard { router: ROUTER, at: bench.now });
    assert_eq!(bench.engine.next_deadline(), released);
    bench.pass(centis(10));
    bench.input(Input::Heard { router: ROUTER, at: bench.now });
    assert_eq!(bench.remaining(), Some(nanos(3_609_375_000)));
}

#[test]
fn v071_only_adverts_move_the_timer_and_absorbed_ones_do_when_newer() {
    let mut bench = Bench::started(config(100));
    bench.hear(advert(peer(), 200));
    bench.pass(centis(300));
    let heard_at = bench.now - centis(10);
    bench.input(Input::Heard { router: ROUTER, at: heard_at });
    assert_eq!(bench.engine.next_deadline(), Some(heard_at + nanos(3_609_375_000)));
    bench.input(Input::Heard { router: ROUTER, at: START });
    assert_eq!(bench.engine.next_deadline(), Some(heard_at + nanos(3_609_375_000)));
    assert_eq!(bench.view().last_advert, Some(heard_at));
}

#[test]
fn v095_v096_v097_a_backup_defers_to_equals_and_without_preempt_to_anybody() {
    let table = [(true, 100, 100), (true, 100, 101), (false, 200, 50)];
    for (preempt, own_priority, theirs) in table {
        let mut bench = Bench::started(RouterConfig { preempt, ..config(own_priority) });
        for _ in 0..20 {
            bench.pass(centis(100));
            bench.hear(at_centis(small_peer(), theirs, 120));
        }
        assert_eq!(bench.role(), Role::Backup, "{preempt} {own_priority} {theirs}");
        assert_eq!(bench.view().learned_interval, centis(120));
    }
}

#[test]
fn v097_without_preempt_a_silent_lower_owner_is_a_timeout_not_a_preemption() {
    let mut bench = Bench::started(RouterConfig { preempt: false, ..config(200) });
    bench.hear(advert(peer(), 50));
    let promoted = bench.run_to_deadline();
    assert_eq!(transition(&promoted), (Role::Backup, Role::Active, Cause::AdvertTimeout));
}

#[test]
fn v103_v104_a_beaten_active_adopts_the_winner_and_sends_nothing_more() {
    let table = [(peer(), 100, Cause::TieBreak), (small_peer(), 101, Cause::HigherPriority)];
    for (source, priority, cause) in table {
        let mut bench = Bench::active(config(100));
        let yielded = bench.hear(at_centis(source, priority, 300));
        assert_eq!(transition(&yielded), (Role::Active, Role::Backup, cause));
        assert!(!yielded.iter().any(|action| matches!(action, Action::SendAdvert { .. })), "{yielded:?}");
        assert_eq!(policies(&yielded)[0].epoch, 0);
        assert_eq!(bench.remaining(), Some(nanos(10_828_125_000)));
        assert_eq!(bench.view().active_router, Some((source, priority)));
    }
}

#[test]
fn v054_v058_a_v2_active_drops_losers_silently_and_its_owner_drops_everybody() {
    let mut bench = Bench::active(v2(100, 1));
    assert_eq!(names(&bench.hear(advert(peer(), 50))), ["announce"]);
    let mut bench = Bench::new(vec![v2(255, 1)]);
    bench.start();
    let heard = bench.hear(advert(peer(), 255));
    assert_eq!(heard, [Action::Notify(Notice::OwnerConflict { router: ROUTER, peer: peer() })]);
    assert_eq!(bench.role(), Role::Active);
}

#[test]
fn v066_v069_a_v3_owner_processes_a_rival_owner_and_reports_the_conflict() {
    let mut bench = Bench::new(vec![config(255)]);
    bench.start();
    let heard = bench.hear(advert(peer(), 255));
    assert_eq!(notices(&heard), [Notice::OwnerConflict { router: ROUTER, peer: peer() }]);
    assert_eq!(transition(&heard), (Role::Active, Role::Backup, Cause::TieBreak));
}

#[test]
fn v106_v107_immediate_adverts_leave_the_schedule_alone_and_are_bounded() {
    let mut bench = Bench::active(config(100));
    let mut sent = 0;
    for _ in 0..1_000 {
        let actions = bench.hear(advert(small_peer(), 50));
        assert!(!actions.iter().any(|action| matches!(action, Action::StartAdverts { .. })));
        sent += actions.iter().filter(|action| matches!(action, Action::SendAdvert { .. })).count();
    }
    assert_eq!(sent, 10);
    bench.pass(centis(100));
    assert!(names(&bench.hear(advert(small_peer(), 50))).contains(&"send 100".to_string()));
}

#[test]
fn v102_priority_zero_is_answered_at_once_in_both_versions() {
    for config in [config(100), v2(100, 1)] {
        let mut bench = Bench::active(config);
        assert_eq!(names(&bench.hear(advert(peer(), 0))), ["send 100"]);
    }
}

#[test]
fn v112_a_beaten_rival_is_announced_against_once_a_second_and_never_forgotten() {
    let mut bench = Bench::active(config(100));
    assert_eq!(names(&bench.hear(advert(peer(), 50))), ["send 100", "announce"]);
    bench.pass(centis(20));
    assert_eq!(names(&bench.hear(advert(peer(), 50))), ["send 100"]);
    assert_eq!(names(&bench.hear(advert(peer(), 50))), ["send 100"]);
    let later: Vec<Action> = bench.pass(centis(500)).into_iter().map(|(_, action)| action).collect();
    assert_eq!(names(&later), ["announce"]);
}

#[test]
fn v089_an_advert_older_than_the_grant_decides_nothing_unless_it_revoked_it() {
    let mut bench = Bench::active(config(100));
    let since = bench.view().active_since.unwrap();
    let old = Advert { at: since - nanos(1), ..advert(peer(), 200) };
    assert_eq!(bench.input(Input::Advert { router: ROUTER, advert: old }), []);
    let revoking = Advert { revoked: true, epoch: since.as_nanos(), ..old };
    let yielded = bench.input(Input::Advert { router: ROUTER, advert: revoking });
    assert_eq!(transition(&yielded), (Role::Active, Role::Backup, Cause::HigherPriority));
}

#[test]
fn v067_v068_v070_oddities_are_told_once_and_processed() {
    let mut bench = Bench::started(config(100));
    let odd = Advert { addresses_differ: true, ..at_centis(peer(), 100, 300) };
    let interval = centis(300);
    let expected = [
        Notice::IntervalDiffers { router: ROUTER, peer: peer(), interval },
        Notice::AddressesDiffer { router: ROUTER, peer: peer() },
        Notice::EqualPriority { router: ROUTER, peer: peer() },
    ];
    assert_eq!(notices(&bench.hear(odd)), expected);
    assert_eq!(bench.view().learned_interval, interval);
    assert_eq!(bench.hear(odd), []);
}

#[test]
fn v092_adverts_have_no_effect_in_initialize() {
    let mut bench = Bench::new(vec![config(100)]);
    assert_eq!(bench.hear(advert(peer(), 200)), []);
    assert_eq!(bench.view().last_advert, None);
}

#[test]
fn a_transition_explains_itself() {
    let mut bench = Bench::started(config(100));
    bench.hear(advert(peer(), 200));
    let heard_at = bench.now;
    bench.now = bench.engine.next_deadline().unwrap() + nanos(1_234);
    bench.engine.handle_timeout(bench.now);
    let transition = the_transition(&bench.drain());
    assert_eq!(transition.lateness, nanos(1_234));
    assert_eq!(transition.deadline, Some(nanos(3_609_375_000)));
    assert_eq!(transition.last_advert_age, Some(bench.now.since(heard_at)));
    assert_eq!(transition.peer, Some((peer(), 200)));
    assert_eq!(bench.view().last_transition, Some(transition));
}

#[test]
fn v089_reports_that_come_late_are_weighed_by_when_they_arrived() {
    let mut bench = Bench::started(config(100));
    bench.hear(advert(peer(), 200));
    bench.pass(centis(50));
    let released_at = bench.now;
    bench.pass(centis(10));
    bench.input(Input::Heard { router: ROUTER, at: bench.now });
    let deadline = bench.engine.next_deadline();
    let report = |bench: &mut Bench, at, priority| {
        let advert = Advert { at, ..advert(peer(), priority) };
        bench.input(Input::Advert { router: ROUTER, advert });
    };
    report(&mut bench, released_at, 0);
    assert_eq!(bench.engine.next_deadline(), deadline, "the owner has spoken since it released");
    bench.hear(advert(peer(), 0));
    let released = bench.engine.next_deadline();
    report(&mut bench, released_at, 200);
    assert_eq!(bench.engine.next_deadline(), released, "what it said before does not count");
}

#[test]
fn v015_of_two_families_under_one_vrid_only_the_silent_one_moves() {
    const SIX: RouterId = RouterId(2);
    let six = RouterConfig { id: SIX, family: Family::Ipv6, ..config(100) };
    let mut bench = Bench::new(vec![config(100), six]);
    bench.start();
    let (source, owner) = (ip("fe80::10"), ip("fe80::11"));
    bench.input(Input::Source { router: SIX, address: Some(source) });
    let heard = Advert { at: bench.now, ..advert(owner, 200) };
    bench.input(Input::Advert { router: SIX, advert: heard });
    for _ in 0..6 {
        bench.hear(advert(peer(), 200));
        bench.pass(centis(100));
    }
    assert_eq!(bench.role(), Role::Backup);
    assert_eq!(bench.engine.view(SIX).map(|view| view.role), Some(Role::Active));
}

#[test]
fn v115_a_lost_link_is_a_shutdown_and_its_return_a_startup() {
    let mut bench = Bench::active(config(100));
    let down = bench.input(Input::Interface { interface: LAN, up: false });
    assert_eq!(transition(&down), (Role::Active, Role::Initialize, Cause::InterfaceDown));
    assert!(
        names(&down).contains(&"remove".to_owned()) && names(&down).contains(&"stop".to_owned()),
        "{down:?}"
    );
    assert_eq!(bench.pass(centis(2_000)), [], "nobody is Active on a dead link");
    let up = bench.input(Input::Interface { interface: LAN, up: true });
    assert_eq!(transition(&up), (Role::Initialize, Role::Backup, Cause::Startup));
    let down = bench.input(Input::Interface { interface: LAN, up: false });
    assert_eq!(transition(&down), (Role::Backup, Role::Initialize, Cause::InterfaceDown));
}

#[test]
fn v109_the_source_decides_and_an_unlisted_address_does_not() {
    let mut bench = Bench::active(config(100));
    let heard = bench.hear(Advert { addresses_differ: true, ..advert(small_peer(), 100) });
    assert!(names(&heard).contains(&"send 100".to_owned()), "{heard:?}");
    assert_eq!(bench.role(), Role::Active);
}

#[test]
fn v080_after_the_interface_returns_the_learned_interval_is_our_own_again() {
    let mut bench = Bench::started(config(100));
    bench.hear(at_centis(peer(), 200, 300));
    bench.input(Input::Interface { interface: LAN, up: false });
    bench.input(Input::Interface { interface: LAN, up: true });
    assert_eq!(bench.remaining(), Some(nanos(3_609_375_000)));
    assert_eq!(bench.view().active_router, None);
}

#[test]
fn v112_announcements_against_a_rival_are_not_closer_than_an_own_interval() {
    let slow = RouterConfig { advertisement_interval: Duration::from_secs(5), ..config(100) };
    let mut bench = Bench::active(slow);
    bench.pass(Duration::from_secs(30));
    assert!(names(&bench.hear(advert(peer(), 50))).contains(&"announce".to_string()));
    bench.pass(Duration::from_secs(2));
    bench.hear(advert(peer(), 50));
    assert_eq!(bench.remaining(), Some(Duration::from_secs(3)));
    // A router on its way out announces no more.
    bench.input(Input::Failover { group: None, cause: Cause::FailoverCommand });
    let later = bench.pass(Duration::from_secs(4));
    assert_eq!(later, []);
}
