//! The election of one router against a segment: startup, timers, contests, preemption, checksum forms.

use crate::support::*;
use holdfast_engine::{Action, Cause, Input, Role};

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
}

#[test]
fn v095_v103_a_backup_defers_and_an_active_yields_to_higher_priority() {
    let mut bench = Bench::started(config(100));
    bench.pass(centis(50));
    assert_eq!(bench.hear(advert(peer(), 101)), []);
    assert_eq!(bench.remaining(), Some(nanos(3_609_375_000)));
    let promoted = bench.run_to_deadline();
    assert_eq!(transition(&promoted), (Role::Backup, Role::Active, Cause::AdvertTimeout));
    let yielded = bench.hear(advert(peer(), 101));
    assert_eq!(names(&yielded), ["stop", "policy Backup 100", "remove", "record HigherPriority"]);
    assert_eq!(policies(&yielded)[0].epoch, 0);
}
