//! Preempt delay and the checksum form, which both are told to the data plane as policy.

use crate::support::*;
use holdfast_engine::{
    Advert, Cause, ChecksumForm, ChecksumPolicy, Duration, EngineConfig, Family, Input, Role, RouterConfig,
    Standing, Version,
};

const DELAY: Duration = Duration::from_secs(20);

fn patient() -> RouterConfig {
    RouterConfig { preempt_delay: DELAY, ..config(200) }
}

/// Hears the lower-priority owner every second for `seconds`, as the data plane passes it on.
fn owner_speaks(bench: &mut Bench, seconds: u64) {
    for _ in 0..seconds {
        bench.pass(centis(100));
        bench.input(Input::Heard { router: ROUTER, at: bench.now });
    }
}

#[test]
fn v097_v098_a_lower_owner_is_left_alone_for_the_delay_and_then_preempted() {
    let mut bench = Bench::started(patient());
    let heard = bench.hear(advert(peer(), 100));
    assert_eq!(policies(&heard).iter().map(|policy| policy.preempt).collect::<Vec<_>>(), [false]);
    assert_eq!(bench.remaining(), Some(nanos(3_218_750_000)));
    owner_speaks(&mut bench, 19);
    assert_eq!(bench.role(), Role::Backup);
    let over: Vec<_> = bench.pass(centis(100)).into_iter().map(|(_, action)| action).collect();
    assert_eq!(policies(&over).iter().map(|policy| policy.preempt).collect::<Vec<_>>(), [true]);
    bench.hear(advert(peer(), 100));
    let promoted = bench.run_to_deadline();
    assert_eq!(transition(&promoted), (Role::Backup, Role::Active, Cause::Preemption));
}

#[test]
fn v077_a_lower_owner_that_dies_in_the_delay_is_succeeded_on_time() {
    let mut bench = Bench::started(patient());
    bench.hear(advert(peer(), 100));
    bench.pass(centis(100));
    bench.hear(advert(peer(), 100));
    assert_eq!(bench.remaining(), Some(nanos(3_218_750_000)));
    let promoted = bench.run_to_deadline();
    assert_eq!(transition(&promoted), (Role::Backup, Role::Active, Cause::AdvertTimeout));
}

#[test]
fn the_delay_begins_anew_after_a_better_owner() {
    let mut bench = Bench::started(patient());
    bench.hear(advert(peer(), 100));
    owner_speaks(&mut bench, 15);
    let better = bench.hear(advert(small_peer(), 220));
    assert!(policies(&better)[0].preempt);
    let lower = bench.hear(advert(peer(), 100));
    assert!(!policies(&lower)[0].preempt);
    owner_speaks(&mut bench, 19);
    assert_eq!(bench.role(), Role::Backup);
}

#[test]
fn the_address_owner_waits_for_nobody() {
    let mut bench = Bench::started(RouterConfig { preempt_delay: DELAY, ..config(255) });
    bench.hear(advert(peer(), 255));
    assert_eq!(bench.role(), Role::Backup);
    bench.pass(centis(200));
    assert_eq!(bench.hear(advert(peer(), 100)), []);
    let promoted = bench.run_to_deadline();
    assert_eq!(transition(&promoted), (Role::Backup, Role::Active, Cause::Preemption));
}

#[test]
fn an_active_beaten_while_its_adverts_were_late_waits_the_delay_too() {
    let mut bench = Bench::active(patient());
    let epoch = bench.view().active_since.unwrap().as_nanos();
    let rival = Advert { revoked: true, epoch, ..advert(peer(), 100) };
    let yielded = bench.hear(rival);
    assert_eq!(transition(&yielded).2, Cause::AdvertsOverdue);
    assert!(!policies(&yielded)[0].preempt);
    owner_speaks(&mut bench, 19);
    assert_eq!(bench.role(), Role::Backup);
}

#[test]
fn an_active_that_reads_late_of_a_lesser_rival_waits_a_down_interval_before_it_preempts() {
    let mut bench = Bench::active(config(200));
    let epoch = bench.view().active_since.unwrap().as_nanos();
    let at = bench.now + centis(1);
    let rival = Advert { at, revoked: true, epoch, ..advert(peer(), 100) };
    bench.pass(centis(500));
    let yielded = bench.input(Input::Advert { router: ROUTER, advert: rival });
    assert_eq!(transition(&yielded).2, Cause::AdvertsOverdue);
    let deadline = bench.engine.next_deadline().unwrap();
    assert!(deadline > bench.now + centis(300), "{:?} left", deadline.since(bench.now));
}

#[test]
fn a_reload_starts_and_ends_the_delay() {
    let mut bench = Bench::started(RouterConfig { preempt: false, ..patient() });
    bench.hear(advert(peer(), 100));
    let reload =
        |config| Input::Configured(EngineConfig { routers: vec![config], ..EngineConfig::default() });
    assert_eq!(bench.input(reload(patient())), [], "waiting: the data plane goes on deferring");
    assert_eq!(bench.view().deadline.map(|deadline| deadline.since(bench.now)), Some(nanos(3_218_750_000)));
    owner_speaks(&mut bench, 5);
    let at_once = bench.input(reload(RouterConfig { preempt_delay: Duration::ZERO, ..patient() }));
    assert!(policies(&at_once)[0].preempt);
}

#[test]
fn v037_auto_sends_the_form_last_heard_and_rfc9568_until_then() {
    let form = |bench: &mut Bench, form| {
        let heard = bench.hear(Advert { checksum: Some(form), ..advert(peer(), 200) });
        policies(&heard).iter().map(|policy| (policy.checksum, policy.form_unknown)).collect::<Vec<_>>()
    };
    let mut bench = Bench::started(config(100));
    assert_eq!(bench.view().checksum_sent, ChecksumForm::Rfc9568);
    assert_eq!(form(&mut bench, ChecksumForm::Rfc9568), [(ChecksumForm::Rfc9568, false)]);
    assert_eq!(form(&mut bench, ChecksumForm::Rfc9568), []);
    // A sender of both forms looks for ours: the last one counts, and the other goes out now and then.
    assert_eq!(form(&mut bench, ChecksumForm::Rfc5798), [(ChecksumForm::Rfc5798, true)]);
    assert_eq!(form(&mut bench, ChecksumForm::Rfc5798), [(ChecksumForm::Rfc5798, false)]);
    assert_eq!(bench.view().checksum_heard, Some(ChecksumForm::Rfc5798));
    // It stays with the router as Active, and a rival's form is taken up there too.
    let promoted = bench.run_to_deadline();
    assert_eq!(policies(&promoted)[0].checksum, ChecksumForm::Rfc5798);
    let rival = bench.hear(Advert { checksum: Some(ChecksumForm::Rfc9568), ..advert(peer(), 50) });
    assert_eq!(policies(&rival)[0].checksum, ChecksumForm::Rfc9568);
}

#[test]
fn v037_until_a_form_is_heard_an_active_under_auto_speaks_both_and_other_routers_never_do() {
    let unknown = |config: RouterConfig| policies(&Bench::started(config).run_to_deadline())[0].form_unknown;
    assert!(unknown(config(100)));
    assert!(!unknown(RouterConfig { checksum: ChecksumPolicy::Rfc9568, ..config(100) }));
    assert!(!unknown(RouterConfig { checksum: ChecksumPolicy::Rfc5798, ..config(100) }));
    assert!(!unknown(RouterConfig { family: Family::Ipv6, ..config(100) }));
    assert!(!unknown(RouterConfig { version: Version::V2, ..config(100) }));
}

#[test]
fn v037_an_explicit_form_is_kept_whatever_is_heard() {
    let mut bench = Bench::started(RouterConfig { checksum: ChecksumPolicy::Rfc9568, ..config(100) });
    let legacy = Advert { checksum: Some(ChecksumForm::Rfc5798), ..advert(peer(), 200) };
    assert_eq!(bench.hear(legacy), []);
    assert_eq!(bench.view().checksum_sent, ChecksumForm::Rfc9568);
}

#[test]
fn an_active_beaten_while_its_adverts_were_late_comes_back_by_preemption() {
    let mut bench = Bench::active(config(200));
    let epoch = bench.view().active_since.unwrap().as_nanos();
    bench.hear(Advert { revoked: true, epoch, ..advert(peer(), 100) });
    let promoted = the_transition(&bench.run_to_deadline());
    assert_eq!((promoted.cause, promoted.peer), (Cause::Preemption, Some((peer(), 100))));
}

#[test]
fn an_owner_that_is_to_be_displaced_no_more_is_waited_for_from_then_on() {
    for held_back in [unfit(), Standing { may_preempt: false, ..Standing::default() }] {
        let mut bench = Bench::started(config(200));
        bench.hear(advert(small_peer(), 150));
        // The data plane does not tell of what is ignored and changes nothing.
        bench.pass(centis(321));
        let written = bench.standing(held_back);
        assert_eq!(policies(&written).len(), 1);
        assert_eq!(bench.pass(centis(121)).len(), 0, "its next advert may be an interval away");
        bench.input(Input::Heard { router: ROUTER, at: bench.now });
        bench.pass(centis(300));
        assert_eq!(bench.role(), Role::Backup);
    }
}

#[test]
fn an_owner_that_counts_again_and_stays_silent_is_given_one_interval() {
    let mut bench = Bench::started(config(200));
    bench.hear(advert(small_peer(), 150));
    bench.pass(centis(321));
    bench.standing(Standing { may_preempt: false, ..Standing::default() });
    assert_eq!(bench.remaining(), Some(nanos(1_218_750_000)), "an interval and Skew_Time");
    assert_eq!(transition(&bench.run_to_deadline()).2, Cause::AdvertTimeout);
    // Heard of late, it has what is left of its own time.
    let mut bench = Bench::started(config(200));
    bench.hear(advert(small_peer(), 150));
    bench.pass(centis(10));
    bench.standing(Standing { may_preempt: false, ..Standing::default() });
    assert_eq!(bench.remaining(), Some(nanos(3_118_750_000)));
}
