//! Hold by vouching: adverts are missing, and the owner's data plane says that it owns.

use crate::support::*;
use holdfast_engine::{
    Action, Advert, Cause, Duration, Input, Instant, Notice, PeerReport, Role, RouterConfig, Units,
};

/// Adverts every centisecond: the down timer is over long before a lease.
const QUICK: Duration = centis(1);
const QUICK_DOWN: Duration = nanos(36_093_750);

fn quick(priority: u8) -> RouterConfig {
    RouterConfig { advertisement_interval: QUICK, ..keyed(priority) }
}

fn quick_advert(priority: u8) -> Advert {
    Advert { interval: QUICK, ..advert(peer(), priority) }
}

/// A Backup that has just heard the last advert of its owner.
fn backup(router: RouterConfig, owner: u8) -> (Bench, Instant) {
    let mut bench = Bench::with(keyed_config(vec![router]));
    bench.report(owner_beside);
    bench.hear(quick_advert(owner));
    let heard = bench.now;
    (bench, heard)
}

fn promoted_at(actions: &[Action]) -> Instant {
    the_transition(actions).at
}

#[test]
fn adverts_missing_under_a_fresh_claim_are_held_and_said_once() {
    let (mut bench, heard) = backup(quick(100), 200);
    assert_eq!(bench.view().deadline, Some(heard + QUICK_DOWN));
    assert_eq!(plain(bench.pass(nanos(QUICK_DOWN.as_nanos() - 1))), []);
    assert_eq!(bench.view().vouched_until, None);
    let held = bench.run_to_deadline();
    let until = heard + WINDOW;
    assert_eq!(held, [Action::Notify(Notice::Vouched { router: ROUTER, peer: PEER, until })]);
    assert_eq!(bench.view().vouched_until, Some(until));
    let more = bench.report_for(centis(50), owner_beside);
    assert_eq!(more, []);
    assert_eq!(bench.role(), Role::Backup);
}

#[test]
fn reports_beside_the_segment_hold_one_lease_after_the_last_advert_and_no_longer() {
    let (mut bench, heard) = backup(quick(100), 200);
    let actions = bench.report_for(LEASE + LEASE, owner_beside);
    let moved = the_transition(&actions);
    assert_eq!((moved.cause, moved.at), (Cause::VouchEnded, heard + LEASE));
}

#[test]
fn replies_over_the_routers_segment_hold_ten_leases_and_no_longer() {
    let (mut bench, heard) = backup(quick(100), 200);
    let actions = bench.report_for(nanos(LEASE.as_nanos() * 12), owning_peer);
    let moved = the_transition(&actions);
    assert_eq!((moved.cause, moved.at), (Cause::VouchEnded, heard + nanos(LEASE.as_nanos() * 10)));
}

#[test]
fn requests_alone_on_the_routers_segment_hold_one_lease() {
    let (mut bench, heard) = backup(quick(100), 200);
    let unanswered = |now| {
        let mut report = owning_peer(now);
        report.paths[0].replied_at = None;
        report
    };
    let actions = bench.report_for(LEASE + LEASE, unanswered);
    assert_eq!(promoted_at(&actions), heard + LEASE);
}

#[test]
fn the_owners_adverts_end_the_hold_and_begin_it_anew() {
    let (mut bench, _) = backup(quick(100), 200);
    bench.report_for(centis(80), owner_beside);
    bench.input(Input::Heard { router: ROUTER, at: bench.now });
    let heard = bench.now;
    assert_eq!(bench.view().vouched_until, None);
    let actions = bench.report_for(LEASE + LEASE, owner_beside);
    assert_eq!(promoted_at(&actions), heard + LEASE);
    let told = notices(&actions).into_iter().filter(|notice| matches!(notice, Notice::Vouched { .. }));
    assert_eq!(told.count(), 1);
}

#[test]
fn a_claim_that_is_withdrawn_ends_the_hold_at_once() {
    let withdrawn: [fn(Instant) -> PeerReport; 2] = [
        |now| PeerReport { owned: Units::NONE, ..owner_beside(now) },
        |now| PeerReport { lease_until: now, ..owner_beside(now) },
    ];
    for word in withdrawn {
        let (mut bench, _) = backup(quick(100), 200);
        bench.report_for(centis(40), owner_beside);
        bench.pass(centis(5));
        assert_eq!(bench.report(word), []);
        assert_eq!(bench.remaining(), Some(Duration::ZERO));
        assert_eq!(causes(&bench.timeout()), [Cause::VouchEnded]);
    }
}

#[test]
fn a_lease_that_is_nearly_over_holds_until_it_is() {
    let (mut bench, _) = backup(quick(100), 200);
    bench.report_for(centis(40), owner_beside);
    bench.report(|now| PeerReport { lease_until: now + NANO, ..owner_beside(now) });
    assert_eq!(bench.timeout(), []);
    bench.now = bench.now + NANO;
    assert_eq!(causes(&bench.timeout()), [Cause::VouchEnded]);
}

#[test]
fn reports_that_stop_end_the_hold_after_the_window() {
    let (mut bench, _) = backup(quick(100), 200);
    bench.report_for(centis(40), owner_beside);
    let last = bench.now;
    // The same word again and again is not a new one.
    let stale = owner_beside(last);
    let actions = bench.report_for(centis(50), |_| stale.clone());
    assert_eq!(promoted_at(&actions), last + WINDOW);
}

#[test]
fn a_claim_of_another_unit_holds_nothing() {
    let (mut bench, heard) = backup(quick(100), 200);
    bench.report(|now| PeerReport { owned: Units(2), ..owner_beside(now) });
    let actions = plain(bench.pass(LEASE));
    assert_eq!(causes(&actions), [Cause::AdvertTimeout]);
    assert_eq!(promoted_at(&actions), heard + QUICK_DOWN);
}

#[test]
fn a_release_is_not_held() {
    let (mut bench, _) = backup(quick(100), 200);
    bench.hear(quick_advert(0));
    let actions = bench.report_for(centis(20), owning_peer);
    assert_eq!(causes(&actions), [Cause::PriorityZero]);
}

#[test]
fn the_preemption_of_a_lower_owner_is_not_held() {
    let (mut bench, _) = backup(quick(200), 100);
    let actions = bench.report_for(centis(20), owning_peer);
    assert_eq!(causes(&actions), [Cause::Preemption]);
}

#[test]
fn a_lower_owner_that_speaks_again_after_a_hold_is_preempted_at_once() {
    let (mut bench, _) = backup(quick(200), 100);
    // A first stall: its lower adverts are too old to be what the timer ran out under.
    bench.report(owning_peer);
    bench.input(Input::Standing { router: ROUTER, standing: unfit() });
    bench.hear(quick_advert(100));
    bench.report_for(centis(50), owning_peer);
    assert!(bench.view().vouched_until.is_some());
    bench.input(Input::Standing { router: ROUTER, standing: holdfast_engine::Standing::default() });
    assert!(bench.view().vouched_until.is_some(), "still silent");
    bench.hear(quick_advert(100));
    assert_eq!(causes(&bench.timeout()), [Cause::Preemption]);
}

#[test]
fn a_new_backup_that_never_heard_an_advert_holds_a_lease_from_its_start() {
    let mut bench = Bench::with(keyed_config(vec![quick(100)]));
    bench.report(owner_beside);
    let began = bench.now;
    let actions = bench.report_for(LEASE + LEASE, owner_beside);
    assert_eq!(promoted_at(&actions), began + LEASE);
}

#[test]
fn a_down_timer_longer_than_the_lease_is_not_held_by_reports_beside_the_segment() {
    let mut bench = Bench::keyed_backup();
    let heard = bench.now;
    let actions = bench.report_for(centis(400), owner_beside);
    let moved = the_transition(&actions);
    assert_eq!((moved.cause, moved.at), (Cause::AdvertTimeout, heard + DOWN));
}

#[test]
fn an_unfit_backup_that_is_cut_off_leaves_the_router_to_whoever_says_it_owns_it() {
    let mut bench = Bench::keyed_backup();
    bench.standing(unfit());
    // Taking over, it would give way at once, and again after every down interval.
    let passed = bench.report_for(Duration::from_secs(60), owner_beside);
    assert_eq!(causes(&passed), []);
    assert_eq!(bench.role(), Role::Backup);
    let gone = bench.report_for(DOWN, |now| PeerReport { owned: Units::NONE, ..owner_beside(now) });
    assert_eq!(causes(&gone), [Cause::VouchEnded], "the last resort all the same");
}
