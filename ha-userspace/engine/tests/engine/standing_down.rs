//! Standing down by order (maintenance, flaps, bypass) and up again.

use crate::support::*;
use holdfast_engine::{Action, Cause, EngineConfig, Input, Role, RouterConfig, RouterId};

const SECOND: RouterId = RouterId(2);
const DOWN_ORDER: Input = Input::StandDown { cause: Cause::Maintenance };

#[test]
fn an_active_releases_first_and_only_then_is_it_said() {
    let mut bench = Bench::active(config(100));
    assert_eq!(names(&bench.input(DOWN_ORDER)), ["stop", "policy Active 0", "send 0"]);
    assert_eq!(bench.input(DOWN_ORDER), []);
    let over = bench.hear(advert(peer(), 50));
    assert_eq!(names(&over), ["policy Initialize 100", "remove", "record Maintenance", "stood down"]);
}

#[test]
fn without_a_successor_it_is_said_when_the_release_is_over() {
    let mut bench = Bench::active(config(100));
    bench.input(DOWN_ORDER);
    let over = bench.run_to_deadline();
    assert_eq!(names(&over), ["policy Initialize 100", "remove", "record Maintenance", "stood down"]);
}

#[test]
fn it_is_said_once_the_last_router_is_at_rest() {
    let second = RouterConfig { id: SECOND, priority: 1, ..config(1) };
    let mut bench =
        Bench::with(EngineConfig { routers: vec![config(200), second], ..EngineConfig::default() });
    bench.pass(centis(350));
    let roles: Vec<Role> = bench.engine.routers().map(|view| view.role).collect();
    assert_eq!(roles, [Role::Active, Role::Backup]);
    let ordered = bench.input(DOWN_ORDER);
    assert!(!ordered.contains(&Action::StoodDown));
    assert_eq!(bench.hear(advert(peer(), 50)).last(), Some(&Action::StoodDown));
}

#[test]
fn a_node_with_nothing_to_give_up_stands_down_at_once() {
    assert_eq!(Bench::new(vec![]).input(DOWN_ORDER), [Action::StoodDown]);
}

#[test]
fn nothing_starts_while_down_and_everything_afterwards() {
    let mut bench = Bench::active(config(100));
    bench.input(DOWN_ORDER);
    bench.run_to_deadline();
    bench.input(Input::Interface { interface: LAN, up: false });
    assert_eq!(bench.start(), []);
    let second = RouterConfig { id: SECOND, ..config(100) };
    let reload = EngineConfig { routers: vec![config(150), second], ..EngineConfig::default() };
    assert_eq!(bench.input(Input::Configured(reload)), []);
    bench.input(Input::Source { router: SECOND, address: Some(own()) });
    assert!(bench.engine.routers().all(|view| view.role == Role::Initialize && !view.ready));
    let up = bench.input(Input::StandUp);
    assert_eq!(causes(&up), [Cause::Startup, Cause::Startup]);
    assert_eq!(bench.input(Input::StandUp), []);
    assert_eq!(bench.input(DOWN_ORDER).last(), Some(&Action::StoodDown), "and down again");
}

#[test]
fn standing_up_during_the_release_leaves_a_router_that_takes_part() {
    let mut bench = Bench::active(config(200));
    bench.input(DOWN_ORDER);
    assert_eq!(bench.input(Input::StandUp), []);
    let moved = bench.hear(advert(peer(), 100));
    assert_eq!(transition(&moved), (Role::Active, Role::Backup, Cause::Maintenance));
    assert!(!moved.contains(&Action::StoodDown));

    let mut alone = Bench::active(config(200));
    alone.input(DOWN_ORDER);
    alone.input(Input::StandUp);
    assert_eq!(names(&alone.run_to_deadline()), ["policy Active 200", "start 100", "announce", "notify"]);
}

#[test]
fn a_lapse_while_releasing_ends_at_rest() {
    let mut bench = Bench::active(config(200));
    bench.input(DOWN_ORDER);
    let lapsed = bench.input(Input::LeaseLapsed { at: bench.now });
    assert_eq!(names(&lapsed), ["policy Initialize 200", "remove", "record LeaseLapsed", "stood down"]);
}

#[test]
fn a_graceful_stop_knows_no_standing_down_or_up() {
    let mut bench = Bench::active(config(200));
    bench.input(Input::Shutdown);
    assert_eq!(bench.input(DOWN_ORDER), []);
    assert_eq!(bench.input(Input::StandUp), []);
    let over = bench.run_to_deadline();
    assert_eq!(names(&over), ["policy Initialize 200", "remove", "record Shutdown", "stopped"]);

    let mut during = Bench::active(config(200));
    during.input(DOWN_ORDER);
    assert_eq!(during.input(Input::Shutdown), []);
    assert_eq!(during.input(Input::StandUp), []);
    let over = during.run_to_deadline();
    assert_eq!(names(&over), ["policy Initialize 200", "remove", "record Shutdown", "stopped"]);

    let mut after = Bench::active(config(200));
    after.input(DOWN_ORDER);
    after.run_to_deadline();
    assert_eq!(after.input(Input::Shutdown), [Action::Stopped]);
    assert_eq!(after.input(Input::StandUp), []);
}
