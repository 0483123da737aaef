//! Ways to stop owning: failover, graceful stop, lapse, stall, reload; and keeping the addresses while owning.

use crate::support::*;
use holdfast_engine::{
    Action, Advert, Cause, Duration, EngineConfig, Input, Instant, Notice, Role, RouterConfig,
};

/// Slowest successor's Skew_Time plus one interval, at 100 cs.
const WINDOW: Duration = Duration::from_nanos(996_093_750 + 1_000_000_000);

fn reload(routers: Vec<RouterConfig>) -> Input {
    Input::Configured(EngineConfig { routers, ..EngineConfig::default() })
}

#[test]
fn a_failover_serves_until_the_successor_speaks_and_does_not_take_back() {
    let mut bench = Bench::active(config(200));
    let ordered = bench.input(Input::Failover { group: None, cause: Cause::FailoverCommand });
    assert_eq!(names(&ordered), ["stop", "policy Active 0", "send 0"]);
    assert_eq!(bench.input(Input::Failover { group: None, cause: Cause::FailoverCommand }), []);
    assert!(bench.view().releasing);
    assert_eq!(bench.view().effective_priority, 0);
    bench.pass(centis(60));
    let moved = bench.hear(advert(small_peer(), 100));
    assert_eq!(names(&moved), ["policy Backup 200", "remove", "record FailoverCommand"]);
    assert!(!policies(&moved)[0].preempt);
    for _ in 0..20 {
        bench.pass(centis(100));
        bench.input(Input::Heard { router: ROUTER, at: bench.now });
    }
    assert_eq!(bench.role(), Role::Backup);
    assert!(bench.view().preemption_suspended);
}

#[test]
fn a_suspended_preemption_ends_with_the_successor() {
    let failed_over = || {
        let mut bench = Bench::active(config(200));
        bench.input(Input::Failover { group: None, cause: Cause::FailoverCommand });
        bench.hear(advert(peer(), 100));
        bench
    };
    let mut silent = failed_over();
    assert_eq!(transition(&silent.run_to_deadline()).2, Cause::AdvertTimeout);
    assert!(!silent.view().preemption_suspended);
    let mut released = failed_over();
    assert!(policies(&released.hear(advert(peer(), 0)))[0].preempt);
    let mut reloaded = failed_over();
    let changed = reloaded.input(reload(vec![config(210)]));
    assert!(policies(&changed)[0].preempt);
}

#[test]
fn an_unanswered_failover_is_taken_back_in_full() {
    let mut bench = Bench::active(config(200));
    let epoch = bench.view().active_since;
    bench.input(Input::Failover { group: None, cause: Cause::FailoverCommand });
    assert_eq!(bench.remaining(), Some(WINDOW));
    let resumed = bench.run_to_deadline();
    assert_eq!(names(&resumed), ["policy Active 200", "start 100", "announce", "notify"]);
    assert_eq!(notices(&resumed), [Notice::FailoverUnanswered { router: ROUTER }]);
    assert_eq!(bench.view().active_since, epoch, "the grant never ended");
}

#[test]
fn v100_a_graceful_stop_says_zero_once_and_waits_for_the_successor() {
    let mut bench = Bench::active(config(200));
    assert_eq!(names(&bench.input(Input::Shutdown)), ["stop", "policy Active 0", "send 0"]);
    assert_eq!(bench.input(Input::Shutdown), []);
    assert_eq!(bench.input(Input::Failover { group: None, cause: Cause::FailoverCommand }), []);
    let ended = bench.hear(advert(peer(), 100));
    assert_eq!(names(&ended), ["policy Initialize 200", "remove", "record Shutdown", "stopped"]);
    bench.input(Input::Interface { interface: LAN, up: true });
    assert_eq!(bench.role(), Role::Initialize, "nothing starts again");
}

#[test]
fn v100_without_a_successor_a_graceful_stop_ends_at_its_deadline() {
    let mut bench = Bench::active(config(200));
    bench.input(Input::Shutdown);
    assert_eq!(bench.remaining(), Some(WINDOW));
    let ended = bench.run_to_deadline();
    assert_eq!(names(&ended), ["policy Initialize 200", "remove", "record Shutdown", "stopped"]);
}

#[test]
fn v100_a_stop_during_a_failover_sends_no_second_zero() {
    let mut bench = Bench::active(config(200));
    bench.input(Input::Failover { group: None, cause: Cause::FailoverCommand });
    assert_eq!(bench.input(Input::Shutdown), []);
    let ended = bench.hear(advert(peer(), 100));
    assert_eq!(transition(&ended), (Role::Active, Role::Initialize, Cause::Shutdown));
}

#[test]
fn an_advert_from_before_the_release_is_no_successor() {
    let mut bench = Bench::active(config(200));
    let before = bench.now - nanos(1);
    bench.input(Input::Failover { group: None, cause: Cause::FailoverCommand });
    let stale = Advert { at: before, ..advert(peer(), 100) };
    assert_eq!(bench.input(Input::Advert { router: ROUTER, advert: stale }), []);
}

#[test]
fn v093_a_stop_with_nothing_to_release_is_complete_at_once() {
    let mut engine = Bench::new(vec![]);
    assert_eq!(engine.input(Input::Shutdown), [Action::Stopped]);
    assert_eq!(engine.input(Input::Shutdown), []);
}

#[test]
fn a_lapsed_lease_sends_nothing_and_starts_over_as_backup() {
    let mut bench = Bench::started(config(255));
    assert_eq!(bench.role(), Role::Active);
    bench.pass(centis(1_000));
    let lapsed = bench.input(Input::LeaseLapsed { at: bench.now - centis(10) });
    assert_eq!(names(&lapsed), ["stop", "policy Backup 255", "remove", "record LeaseLapsed"]);
    assert_eq!(bench.remaining(), Some(nanos(3_003_906_250)));
    // What was heard before does not shorten the wait.
    let old = Advert { at: bench.now - centis(200), ..advert(peer(), 255) };
    bench.input(Input::Advert { router: ROUTER, advert: old });
    assert_eq!(bench.remaining(), Some(nanos(3_003_906_250)));
}

#[test]
fn v089_a_stall_defers_a_silent_interface_once_until_something_is_heard() {
    let mut bench = Bench::started(config(100));
    bench.hear(advert(peer(), 200));
    let began = bench.now;
    let stall = |bench: &mut Bench| {
        bench.now = bench.now + centis(500);
        bench.input(Input::Stalled { began, ended: bench.now, silent: vec![LAN] })
    };
    let deferred = stall(&mut bench);
    let until = bench.now + nanos(3_609_375_000);
    assert_eq!(deferred, [Action::Notify(Notice::Deferred { router: ROUTER, until })]);
    assert_eq!(bench.engine.next_deadline(), Some(until));
    assert_eq!(stall(&mut bench), [], "a second stall defers nothing");
    assert_eq!(transition(&bench.run_to_deadline()).2, Cause::AdvertTimeout);
    // Once the owner has been heard again, the next stall may defer again.
    bench.hear(advert(peer(), 200));
    assert_eq!(notices(&stall(&mut bench)).len(), 1);
}

#[test]
fn v083_a_stall_does_not_defer_a_release() {
    let mut bench = Bench::started(config(100));
    bench.hear(advert(peer(), 0));
    bench.now = bench.now + centis(500);
    assert_eq!(bench.input(Input::Stalled { began: START, ended: bench.now, silent: vec![LAN] }), []);
    assert_eq!(transition(&bench.run_to_deadline()).2, Cause::PriorityZero);
}

#[test]
fn an_active_without_its_addresses_keeps_trying() {
    let mut bench = Bench::active(config(100));
    let refused = || Input::AddressesAdded { router: ROUTER, outcome: Err("busy".into()) };
    let failed = bench.input(refused());
    assert_eq!(notices(&failed), [Notice::AddressFailure { router: ROUTER, error: "busy".into() }]);
    for _ in 0..3 {
        assert_eq!(bench.remaining(), Some(Duration::from_secs(1)));
        assert_eq!(names(&bench.run_to_deadline()), ["add"]);
        bench.input(refused());
    }
    bench.run_to_deadline();
    assert_eq!(names(&bench.input(Input::AddressesAdded { router: ROUTER, outcome: Ok(()) })), ["announce"]);
    assert_eq!(bench.remaining(), None);
}

#[test]
fn a_removed_address_is_put_back_but_not_in_a_race() {
    let mut bench = Bench::active(config(100));
    let lost = || Input::AddressLost { router: ROUTER };
    assert_eq!(names(&bench.input(lost())), ["add", "notify"]);
    for _ in 0..50 {
        assert_eq!(bench.input(lost()), []);
    }
    assert_eq!(bench.remaining(), Some(Duration::from_millis(100)));
    assert_eq!(names(&plain(bench.pass(Duration::from_secs(5)))), ["add", "notify"]);
}

#[test]
fn a_reload_that_changes_nothing_does_nothing() {
    let mut bench = Bench::active(config(100));
    assert_eq!(bench.input(reload(vec![config(100)])), []);
}

#[test]
fn v079_a_reload_moves_the_end_of_a_running_timer() {
    let mut bench = Bench::started(config(100));
    let began = bench.now;
    bench.pass(centis(100));
    bench.input(reload(vec![config(200)]));
    assert_eq!(bench.engine.next_deadline(), Some(began + nanos(3_218_750_000)));
    bench.hear(Advert { interval: centis(300), ..advert(peer(), 220) });
    let slower = RouterConfig { advertisement_interval: centis(50), ..config(100) };
    bench.input(reload(vec![slower]));
    assert_eq!(bench.remaining(), Some(nanos(10_828_125_000)), "the learned interval stays");
}

#[test]
fn a_removed_router_gives_up_and_a_new_one_starts_on_a_known_interface() {
    let mut bench = Bench::active(config(100));
    let other = RouterConfig { id: holdfast_engine::RouterId(7), ..config(150) };
    let changed = bench.input(reload(vec![other.clone()]));
    let expected = ["stop", "send 0", "policy Initialize 100", "remove", "record Reconfigured"];
    assert_eq!(names(&changed), expected);
    assert_eq!(bench.engine.view(ROUTER), None);
    let started = bench.input(Input::Source { router: other.id, address: Some(own()) });
    assert_eq!(names(&started), ["policy Backup 150", "record Startup"]);
}

#[test]
fn another_version_under_the_same_id_is_another_router() {
    let mut bench = Bench::active(config(100));
    let v2 = RouterConfig { version: holdfast_engine::Version::V2, ..config(100) };
    assert_eq!(transition(&bench.input(reload(vec![v2]))).2, Cause::Reconfigured);
    assert_eq!(bench.role(), Role::Initialize);
}

#[test]
fn grants_stay_above_those_of_an_earlier_run() {
    let earlier = Bench::active(config(100));
    let first = earlier.view().active_since;
    let mut later = Bench::new(vec![config(100)]);
    later.now = earlier.now;
    later.start();
    let promoted = later.run_to_deadline();
    assert!(policies(&promoted)[0].epoch > first.map_or(0, Instant::as_nanos));
}

#[test]
fn a_lapse_during_a_failover_leaves_the_order_in_force() {
    let mut bench = Bench::active(config(200));
    bench.input(Input::Failover { group: None, cause: Cause::FailoverCommand });
    let lapsed = bench.input(Input::LeaseLapsed { at: bench.now });
    assert!(!policies(&lapsed)[0].preempt);
    bench.hear(advert(peer(), 100));
    assert_eq!(bench.remaining(), Some(nanos(3_218_750_000)), "the successor is deferred to");
}
