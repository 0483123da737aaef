//! Nodes that check each other over the segment and a sync link, under every fault that each of them can have.
//!
//! A steady fault may move the address once; after its first second no node changes state more than twice, and after half a
//! minute none at all.

use crate::air::LONGEST_LATENCY;
use crate::fault::Fault;
use crate::node::ADDRESS_TIME;
use crate::support::*;
use crate::world::World;
use holdfast_engine::{Cause, Duration, Input, Instant, InterfaceId, Notice, PeerId, RouterConfig};

const SEEDS: u64 = 8;
/// The paths between the nodes.
const PATHS: [InterfaceId; 2] = [LAN, SYNC];
/// Adverts of a tenth of a second: the down timer is over before a verdict falls, and long before a lease.
const QUICK: u64 = 10;
const SLOW: u64 = 100;
/// Active_Down_Interval of the second node.
fn down(interval_centis: u64) -> Duration {
    centis(interval_centis).scaled(3 * 256 + 156, 256)
}

fn pair(seed: u64, interval_centis: u64) -> World {
    let router =
        |priority| RouterConfig { advertisement_interval: centis(interval_centis), ..keyed(priority) };
    let mut world = World::of_peers(seed, vec![vec![router(200)], vec![router(100)]]);
    world.run(Duration::from_secs(20));
    assert_eq!(world.owners(ROUTER), [0], "seed {seed}");
    world.take_ownership(ROUTER);
    // At a time of its own within an interval and between checks.
    let phase = world.roll(1_000_000_000);
    world.run(nanos(phase as u64));
    world
}

fn each_pair(check: impl Fn(World, u64, u64)) {
    for seed in 0..SEEDS {
        for interval in [QUICK, SLOW] {
            check(pair(seed, interval), seed, interval);
        }
    }
}

/// Causes of both nodes' transitions since `since`.
fn moves(world: &World, since: Instant) -> (Vec<Cause>, Vec<Cause>) {
    (world.causes(0, since), world.causes(1, since))
}

/// Runs under a steady fault for some minutes: at most two transitions per node after the first second, none at last.
fn endure(world: &mut World, seed: u64) {
    world.run(Duration::from_secs(1));
    let early = world.now();
    world.run(Duration::from_secs(30));
    for node in 0..2 {
        let later = world.causes(node, early);
        assert!(later.len() <= 2, "seed {seed}: {node} {later:?}");
    }
    let settled = world.now();
    world.run(Duration::from_secs(200));
    assert_eq!(moves(world, settled), (vec![], vec![]), "seed {seed}");
}

fn nothing() -> (Vec<Cause>, Vec<Cause>) {
    (vec![], vec![])
}

#[test]
fn a_dead_owner_is_succeeded_at_the_failure_threshold_whatever_the_advert_interval() {
    each_pair(|mut world, seed, _| {
        let killed = world.now();
        world.apply(Fault::PowerOff(0));
        world.run(Duration::from_secs(5));
        assert_eq!(world.owners(ROUTER), [1], "seed {seed}");
        assert_eq!(world.causes(1, killed).len(), 1, "seed {seed}");
        let gap = world.take_ownership(ROUTER).nobody;
        let bound = WINDOW + CHECK.interval + ADDRESS_TIME;
        assert!(gap <= bound, "seed {seed}: {gap:?}");
    });
}

#[test]
fn a_controller_stopped_for_most_of_its_lease_moves_nothing() {
    each_pair(|mut world, seed, _| {
        let began = world.now();
        for _ in 0..20 {
            world.apply(Fault::Pause(0));
            world.run(centis(80));
            world.apply(Fault::Resume(0));
            let calm = world.roll(900_000_000);
            world.run(centis(20) + nanos(calm as u64));
        }
        assert_eq!(moves(&world, began), nothing(), "seed {seed}");
        assert_eq!(world.take_ownership(ROUTER).nobody, Duration::ZERO, "seed {seed}");
    });
}

#[test]
fn a_backups_controller_that_stops_moves_nothing() {
    each_pair(|mut world, seed, _| {
        let began = world.now();
        for centiseconds in [80, 150, 400] {
            world.apply(Fault::Pause(1));
            world.run(centis(centiseconds));
            world.apply(Fault::Resume(1));
            world.run(Duration::from_secs(3));
        }
        assert_eq!(moves(&world, began), nothing(), "seed {seed}");
    });
}

#[test]
fn a_controller_stopped_past_its_lease_loses_its_role_once_and_returns_by_preemption() {
    each_pair(|mut world, seed, interval| {
        let began = world.now();
        world.apply(Fault::Pause(0));
        world.run(centis(150));
        world.apply(Fault::Resume(0));
        world.run(Duration::from_secs(30));
        assert_eq!(world.owners(ROUTER), [0], "seed {seed}");
        let (first, second) = moves(&world, began);
        assert_eq!(first[0], Cause::LeaseLapsed, "seed {seed}");
        assert!(first.len() == 2 && second.len() <= 2, "seed {seed}: {first:?} {second:?}");
        let moved = world.take_ownership(ROUTER);
        assert!(moved.several <= LONGEST_LATENCY, "seed {seed}: {moved:?}");
        // The end of the lease is known by the next check; a down timer that is longer still runs.
        let bound = down(interval).max(CHECK.interval) + ADDRESS_TIME + LONGEST_LATENCY;
        assert!(moved.nobody <= bound, "seed {seed}: {moved:?}");
    });
}

#[test]
fn a_sync_link_that_breaks_alone_moves_nothing() {
    each_pair(|mut world, seed, _| {
        let cut = world.now();
        world.partition(SYNC, 0, 1, true);
        endure(&mut world, seed);
        world.partition(SYNC, 0, 1, false);
        endure(&mut world, seed);
        assert_eq!(moves(&world, cut), nothing(), "seed {seed}");
    });
}

#[test]
fn a_cut_segment_with_a_living_sync_link_gets_an_owner_on_each_side_after_a_lease() {
    each_pair(|mut world, seed, interval| {
        let cut = world.now();
        world.partition(LAN, 0, 1, true);
        let bound = LEASE.max(down(interval));
        world.run(bound + ADDRESS_TIME + LONGEST_LATENCY);
        assert_eq!(world.owners(ROUTER), [0, 1], "seed {seed}");
        let promoted = world.nodes[1].transitions.last().unwrap().at;
        assert!(promoted + centis(interval) >= cut + bound, "seed {seed}: not sooner");
        endure(&mut world, seed);
        let cause = if interval == QUICK { Cause::VouchEnded } else { Cause::AdvertTimeout };
        assert_eq!(moves(&world, cut), (vec![], vec![cause]), "seed {seed}");
        for (node, other) in [(0, PeerId(1)), (1, PeerId(0))] {
            let alarm = Notice::TwoOwners { router: ROUTER, peer: other };
            assert!(world.nodes[node].notices.contains(&alarm), "seed {seed}: {node} says nothing");
        }
        heal(&mut world, &[LAN], seed, interval);
    });
}

/// One owner at once, by an advert that an exchange bears out; it announces, and nothing moves any more.
fn heal(world: &mut World, interfaces: &[InterfaceId], seed: u64, interval: u64) {
    let healed = world.now();
    for interface in interfaces {
        world.partition(*interface, 0, 1, false);
    }
    world.run(centis(interval) + CHECK.interval);
    assert_eq!(world.owners(ROUTER), [0], "seed {seed}");
    world.run(Duration::from_secs(2));
    let announced = world.nodes[0].announcements.iter().any(|(at, _)| *at > healed);
    assert!(announced, "seed {seed}: the survivor announces");
    endure(world, seed);
    assert_eq!(moves(world, healed), (vec![], vec![Cause::HigherPriority]), "seed {seed}");
}

#[test]
fn nodes_cut_off_from_each_other_both_own_and_heal_to_one_that_announces() {
    each_pair(|mut world, seed, interval| {
        let cut = world.now();
        for interface in PATHS {
            world.partition(interface, 0, 1, true);
        }
        world.run(WINDOW + CHECK.interval + ADDRESS_TIME);
        assert_eq!(world.owners(ROUTER), [0, 1], "seed {seed}");
        endure(&mut world, seed);
        assert_eq!(world.transitions(cut), 1, "seed {seed}");
        heal(&mut world, &PATHS, seed, interval);
    });
}

#[test]
fn one_way_loss_towards_the_owner_moves_nothing() {
    for hosts in [true, false] {
        each_pair(|mut world, seed, _| {
            world.set_hosts(hosts);
            let cut = world.now();
            world.partition_one_way(LAN, 1, 0, true);
            endure(&mut world, seed);
            let moved = moves(&world, cut);
            // Without other stations the owner cannot know that it is not deaf: one move, to the node that hears.
            let owner = if hosts { 0 } else { 1 };
            assert_eq!(world.owners(ROUTER), [owner], "seed {seed} {moved:?}");
            assert_eq!(moved == nothing(), hosts, "seed {seed}: {moved:?}");
        });
    }
}

#[test]
fn one_way_loss_from_the_owner_moves_the_address_once_if_others_are_heard() {
    for hosts in [true, false] {
        each_pair(|mut world, seed, _| {
            world.set_hosts(hosts);
            let cut = world.now();
            world.partition_one_way(LAN, 0, 1, true);
            endure(&mut world, seed);
            let moved = moves(&world, cut);
            let owner = usize::from(hosts);
            assert_eq!(world.owners(ROUTER), [owner], "seed {seed} hosts {hosts}: {moved:?}");
            assert!(moved.0.len() <= 1 && moved.1.len() <= 1, "seed {seed} hosts {hosts}: {moved:?}");
        });
    }
}

#[test]
fn a_deaf_owner_gives_the_address_away_and_does_not_come_back_until_it_hears() {
    each_pair(|mut world, seed, _| {
        let fell = world.now();
        world.set_deaf(0, true);
        endure(&mut world, seed);
        assert_eq!(world.owners(ROUTER), [1], "seed {seed}");
        assert_eq!(world.causes(0, fell), [Cause::Unheard], "seed {seed}");
        assert_eq!(world.causes(1, fell).len(), 1, "seed {seed}");
        world.set_deaf(0, false);
        endure(&mut world, seed);
        assert_eq!(world.owners(ROUTER), [0], "seed {seed}: preempts again");
    });
}

#[test]
fn a_deaf_backup_leaves_the_owner_alone_until_that_one_dies() {
    each_pair(|mut world, seed, _| {
        let fell = world.now();
        world.set_deaf(1, true);
        endure(&mut world, seed);
        assert_eq!(moves(&world, fell), nothing(), "seed {seed}");
        assert_eq!(world.owners(ROUTER), [0], "seed {seed}");
        world.apply(Fault::PowerOff(0));
        world.run(Duration::from_secs(5));
        assert_eq!(world.owners(ROUTER), [1], "seed {seed}");
    });
}

#[test]
fn forged_adverts_and_releases_move_nothing_and_are_reported() {
    each_pair(|mut world, seed, interval| {
        let began = world.now();
        let before = world.nodes[1].engine.view(ROUTER).unwrap();
        for _ in 0..2_000 {
            for sender in [0, 1] {
                for priority in [255, 0, 150] {
                    world.forge(sender, ROUTER, priority, centis(4095));
                }
            }
            world.run(centis(1));
        }
        world.run(centis(interval));
        assert_eq!(moves(&world, began), nothing(), "seed {seed}");
        assert_eq!(world.take_ownership(ROUTER).nobody, Duration::ZERO, "seed {seed}");
        let after = world.nodes[1].engine.view(ROUTER).unwrap();
        assert_eq!(after.learned_interval, before.learned_interval, "seed {seed}");
        assert_eq!(after.active_router, before.active_router, "seed {seed}");
        for node in &world.nodes {
            let suspected = |notice: &Notice| matches!(notice, Notice::SuspectedForgery { .. });
            assert!(node.notices.iter().any(suspected), "seed {seed}");
        }
        // And an honest failover works all the same.
        world.command(0, Input::Failover { group: None, cause: Cause::FailoverCommand });
        world.run(Duration::from_secs(10));
        assert_eq!(world.owners(ROUTER), [1], "seed {seed}");
        assert!(world.take_ownership(ROUTER).nobody <= ADDRESS_TIME, "seed {seed}");
    });
}

#[test]
fn an_unfit_owner_hands_over_without_a_gap_and_takes_back_when_it_is_fit() {
    each_pair(|mut world, seed, _| {
        let failed = world.now();
        world.apply(Fault::Unfit(0, true));
        endure(&mut world, seed);
        assert_eq!(world.owners(ROUTER), [1], "seed {seed}");
        assert_eq!(world.causes(0, failed), [Cause::RequirementFailed], "seed {seed}");
        world.apply(Fault::Unfit(0, false));
        endure(&mut world, seed);
        assert_eq!(world.owners(ROUTER), [0], "seed {seed}");
        let moved = world.take_ownership(ROUTER);
        assert!(moved.nobody <= ADDRESS_TIME + ADDRESS_TIME, "seed {seed}: {moved:?}");
    });
}

#[test]
fn two_unfit_nodes_pass_nothing_back_and_forth() {
    each_pair(|mut world, seed, _| {
        let failed = world.now();
        for node in [0, 1] {
            world.apply(Fault::Unfit(node, true));
        }
        endure(&mut world, seed);
        assert!(world.transitions(failed) <= 2, "seed {seed}: {:?}", moves(&world, failed));
        assert_eq!(world.owners(ROUTER).len(), 1, "seed {seed}");
    });
}

#[test]
fn loss_of_a_tenth_of_all_messages_moves_nothing() {
    each_pair(|mut world, seed, _| {
        let began = world.now();
        world.set_loss(10);
        world.run(Duration::from_secs(120));
        assert_eq!(moves(&world, began), nothing(), "seed {seed}");
    });
}

fn trio(seed: u64) -> World {
    let router = |priority| vec![RouterConfig { advertisement_interval: centis(QUICK), ..keyed(priority) }];
    let mut world = World::of_peers(seed, vec![router(200), router(150), router(100)]);
    world.run(Duration::from_secs(20));
    assert_eq!(world.owners(ROUTER), [0], "seed {seed}");
    world.take_ownership(ROUTER);
    let phase = world.roll(1_000_000_000);
    world.run(nanos(phase as u64));
    world
}

#[test]
fn of_two_heirs_the_better_one_succeeds_and_the_other_stays_where_it_is() {
    for seed in 0..SEEDS {
        let mut world = trio(seed);
        world.apply(Fault::PowerOff(0));
        world.run(Duration::from_secs(5));
        assert_eq!(world.owners(ROUTER), [1], "seed {seed}");
        assert_eq!(world.causes(2, START), [], "seed {seed}");
        let gap = world.take_ownership(ROUTER).nobody;
        assert!(gap <= WINDOW + CHECK.interval + ADDRESS_TIME, "seed {seed}: {gap:?}");
        world.apply(Fault::PowerOff(1));
        world.run(Duration::from_secs(5));
        assert_eq!(world.owners(ROUTER), [2], "seed {seed}");
        let back = world.now();
        world.apply(Fault::PowerOn(0));
        world.run(Duration::from_secs(30));
        assert_eq!(world.owners(ROUTER), [0], "seed {seed}");
        assert_eq!(world.causes(2, back), [Cause::HigherPriority], "seed {seed}");
    }
}

#[test]
fn releases_forged_in_the_name_of_a_bystander_move_nothing() {
    for seed in 0..SEEDS {
        let mut world = trio(seed);
        let began = world.now();
        for _ in 0..1_000 {
            for sender in [1, 2] {
                world.forge(sender, ROUTER, 0, centis(QUICK));
            }
            world.run(centis(1));
        }
        assert_eq!(world.transitions(began), 0, "seed {seed}");
    }
}
