//! What must hold whatever the seed.

use crate::air::{LONGEST_LATENCY, WAN};
use crate::fault::Fault;
use crate::node::ADDRESS_TIME;
use crate::support::*;
use crate::world::World;
use holdfast_engine::{Cause, Duration, GroupId, Input, Notice, RouterConfig, RouterId};

const SEEDS: u64 = 40;
pub(crate) const WAN_ROUTER: RouterId = RouterId(2);
const GATEWAY: GroupId = GroupId(1);

pub(crate) fn at_interval(priority: u8, interval_centis: u64) -> Vec<RouterConfig> {
    vec![RouterConfig { advertisement_interval: centis(interval_centis), ..config(priority) }]
}

/// Two grouped routers, one per segment.
pub(crate) fn gateway(priority: u8) -> Vec<RouterConfig> {
    let lan = RouterConfig { group: Some(GATEWAY), ..config(priority) };
    let wan = RouterConfig { id: WAN_ROUTER, interface: WAN, ..lan.clone() };
    vec![lan, wan]
}

/// Runs until the first owner stands and everybody has heard it.
fn settled(seed: u64, nodes: Vec<Vec<RouterConfig>>) -> World {
    let mut world = World::new(seed, nodes);
    world.run(Duration::from_secs(12));
    let routers: Vec<RouterId> = world.nodes[0].plane.routers.iter().map(|map| map.config.id).collect();
    for router in routers {
        assert_eq!(world.owners(router), [0], "seed {seed}");
        world.take_ownership(router);
    }
    world
}

#[test]
fn v078_v113_at_one_centisecond_the_better_backup_always_wins() {
    for seed in 0..SEEDS {
        let mut world = settled(seed, vec![at_interval(200, 1), at_interval(150, 1), at_interval(100, 1)]);
        let killed = world.now();
        world.apply(Fault::PowerOff(0));
        world.run(Duration::from_secs(1));
        assert_eq!(world.owners(ROUTER), [1], "seed {seed}");
        assert_eq!(world.causes(1, killed), [Cause::AdvertTimeout], "seed {seed}");
        assert_eq!(world.causes(2, START), [], "seed {seed}: the worst never leaves Backup");
        let gap = world.take_ownership(ROUTER);
        // At most one Active_Down_Interval and the time to add the address.
        assert!(gap.nobody <= nanos(34_140_625) + LONGEST_LATENCY + ADDRESS_TIME, "seed {seed}: {gap:?}");
        assert_eq!(gap.several, Duration::ZERO, "seed {seed}");
    }
}

#[test]
fn v096_v104_equal_priorities_settle_on_one_owner_and_stay() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed, vec![at_interval(100, 10), at_interval(100, 10)]);
        world.run(Duration::from_secs(3));
        assert_eq!(world.owners(ROUTER).len(), 1, "seed {seed}");
        let since = world.now();
        world.run(Duration::from_secs(60));
        assert_eq!(world.transitions(since), 0, "seed {seed}");
        let several = world.take_ownership(ROUTER).several;
        assert!(several <= LONGEST_LATENCY + LONGEST_LATENCY, "seed {seed}: {several:?}");
    }
}

#[test]
fn v083_an_ordered_failover_never_leaves_the_address_alone_and_is_not_undone() {
    for seed in 0..SEEDS {
        let mut world = settled(seed, vec![at_interval(200, 100), at_interval(100, 100)]);
        let ordered = world.now();
        world.command(0, Input::Failover { group: None, cause: Cause::FailoverCommand });
        world.run(Duration::from_secs(30));
        assert_eq!(world.owners(ROUTER), [1], "seed {seed}");
        assert_eq!(world.causes(0, ordered), [Cause::FailoverCommand], "seed {seed}");
        assert_eq!(world.causes(1, ordered), [Cause::PriorityZero], "seed {seed}");
        let moved = world.take_ownership(ROUTER);
        assert!(moved.nobody <= ADDRESS_TIME, "seed {seed}: {moved:?}");
        assert!(moved.several <= LONGEST_LATENCY, "seed {seed}: {moved:?}");
        // And back by the same order to the other node.
        world.command(1, Input::Failover { group: None, cause: Cause::FailoverCommand });
        world.run(Duration::from_secs(30));
        assert_eq!(world.owners(ROUTER), [0], "seed {seed}");
    }
}

#[test]
fn v093_v100_a_graceful_stop_hands_over_without_a_gap() {
    for seed in 0..SEEDS {
        let mut world = settled(seed, vec![at_interval(200, 100), at_interval(100, 100)]);
        world.command(0, Input::Shutdown);
        world.run(Duration::from_secs(5));
        assert!(world.nodes[0].stopped, "seed {seed}");
        assert_eq!(world.owners(ROUTER), [1], "seed {seed}");
        let moved = world.take_ownership(ROUTER);
        assert!(moved.nobody <= ADDRESS_TIME && moved.several <= LONGEST_LATENCY, "seed {seed}: {moved:?}");
    }
}

#[test]
fn v112_a_healed_partition_has_one_owner_within_an_interval_and_one_announcement() {
    for seed in 0..SEEDS {
        let mut world = settled(seed, vec![at_interval(200, 100), at_interval(100, 100)]);
        world.partition(LAN, 0, 1, true);
        world.run(Duration::from_secs(30));
        assert_eq!(world.owners(ROUTER), [0, 1], "seed {seed}");
        world.take_ownership(ROUTER);
        let healed = world.now();
        world.partition(LAN, 0, 1, false);
        world.run(centis(100) + LONGEST_LATENCY + LONGEST_LATENCY);
        assert_eq!(world.owners(ROUTER), [0], "seed {seed}");
        world.run(Duration::from_secs(20));
        assert_eq!(world.causes(0, healed), [], "seed {seed}");
        assert_eq!(world.causes(1, healed), [Cause::HigherPriority], "seed {seed}");
        let announced = world.nodes[0].announcements.iter().filter(|(at, _)| *at > healed).count();
        // The winner announces if it heard the loser at all; the loser may have yielded without a word.
        assert!(announced <= 1, "seed {seed}: {announced}");
        assert_eq!(world.take_ownership(ROUTER).nobody, Duration::ZERO, "seed {seed}");
    }
}

#[test]
fn v089_a_stopped_controller_loses_its_role_once_and_does_not_oscillate() {
    for seed in 0..SEEDS {
        let mut world = settled(seed, vec![at_interval(200, 100), at_interval(100, 100)]);
        let stopped = world.now();
        world.apply(Fault::Pause(0));
        world.run(Duration::from_secs(5));
        assert_eq!(world.owners(ROUTER), [1], "seed {seed}");
        world.apply(Fault::Resume(0));
        world.run(Duration::from_secs(40));
        assert_eq!(world.owners(ROUTER), [0], "seed {seed}");
        assert_eq!(world.causes(0, stopped), [Cause::LeaseLapsed, Cause::Preemption], "seed {seed}");
        assert_eq!(world.causes(1, stopped), [Cause::AdvertTimeout, Cause::HigherPriority], "seed {seed}");
        let moved = world.take_ownership(ROUTER);
        // Two owners only while the preempting advert is under way, before the loser's data plane hears it.
        assert!(moved.several <= LONGEST_LATENCY, "seed {seed}: {moved:?}");
    }
}

#[test]
fn v089_a_stopped_backup_does_not_take_over_when_it_wakes() {
    for seed in 0..SEEDS {
        let mut world = settled(seed, vec![at_interval(200, 10), at_interval(100, 10)]);
        let stopped = world.now();
        world.apply(Fault::Pause(1));
        world.run(Duration::from_secs(5));
        world.apply(Fault::Resume(1));
        world.run(Duration::from_secs(5));
        assert_eq!(world.transitions(stopped), 0, "seed {seed}");
    }
}

#[test]
fn v110_a_returning_owner_waits_out_the_preempt_delay() {
    for seed in 0..SEEDS {
        let delay = Duration::from_secs(20);
        let patient = vec![RouterConfig { preempt_delay: delay, ..config(200) }];
        let mut world = settled(seed, vec![patient, at_interval(100, 100)]);
        world.apply(Fault::PowerOff(0));
        world.run(Duration::from_secs(10));
        assert_eq!(world.owners(ROUTER), [1], "seed {seed}");
        let back = world.now();
        world.apply(Fault::PowerOn(0));
        world.run(delay);
        assert_eq!(world.owners(ROUTER), [1], "seed {seed}");
        world.run(Duration::from_secs(5));
        assert_eq!(world.owners(ROUTER), [0], "seed {seed}");
        assert_eq!(world.causes(0, back), [Cause::Preemption], "seed {seed}");
        let several = world.take_ownership(ROUTER).several;
        assert!(several <= LONGEST_LATENCY, "seed {seed}: {several:?}");
        assert_eq!(world.nodes[0].engine.view(ROUTER).unwrap().active_router, Some((world.source(0), 200)));
    }
}

#[test]
fn v112_heavy_loss_ends_in_one_owner_that_stays() {
    for seed in 0..SEEDS {
        let nodes = vec![at_interval(200, 10), at_interval(150, 10), at_interval(100, 10)];
        let mut world = settled(seed, nodes);
        world.set_loss(60);
        world.run(Duration::from_secs(30));
        world.set_loss(0);
        world.run(Duration::from_secs(2));
        assert_eq!(world.owners(ROUTER), [0], "seed {seed}");
        let since = world.now();
        world.run(Duration::from_secs(30));
        assert_eq!(world.transitions(since), 0, "seed {seed}");
    }
}

#[test]
fn a_group_moves_as_a_whole_when_one_link_fails() {
    for seed in 0..SEEDS {
        let mut world = settled(seed, vec![gateway(200), gateway(100)]);
        world.link(0, LAN, false);
        world.partition(LAN, 0, 1, true);
        world.run(Duration::from_secs(10));
        assert_eq!((world.owners(ROUTER), world.owners(WAN_ROUTER)), (vec![1], vec![1]), "seed {seed}");
        world.link(0, LAN, true);
        world.partition(LAN, 0, 1, false);
        world.run(Duration::from_secs(10));
        assert_eq!((world.owners(ROUTER), world.owners(WAN_ROUTER)), (vec![0], vec![0]), "seed {seed}");
    }
}

#[test]
fn a_group_holds_while_one_segment_is_cut_and_says_so_once() {
    for seed in 0..SEEDS {
        let mut world = settled(seed, vec![gateway(200), gateway(100)]);
        let cut = world.now();
        world.partition(LAN, 0, 1, true);
        world.run(Duration::from_secs(60));
        assert_eq!((world.owners(ROUTER), world.owners(WAN_ROUTER)), (vec![0], vec![0]), "seed {seed}");
        assert_eq!(world.transitions(cut), 0, "seed {seed}");
        let split = Notice::SegmentSplit { group: GATEWAY, silent: ROUTER, hearing: WAN_ROUTER };
        assert_eq!(world.nodes[1].notices, [split], "seed {seed}");
        world.partition(LAN, 0, 1, false);
        world.run(Duration::from_secs(5));
        world.apply(Fault::PowerOff(0));
        world.run(Duration::from_secs(5));
        assert_eq!((world.owners(ROUTER), world.owners(WAN_ROUTER)), (vec![1], vec![1]), "seed {seed}");
    }
}

#[test]
fn a_group_fails_over_together_without_a_gap() {
    for seed in 0..SEEDS {
        let mut world = settled(seed, vec![gateway(200), gateway(100)]);
        world.command(0, Input::Failover { group: Some(GATEWAY), cause: Cause::FailoverCommand });
        world.run(Duration::from_secs(20));
        for router in [ROUTER, WAN_ROUTER] {
            assert_eq!(world.owners(router), [1], "seed {seed}");
            let moved = world.take_ownership(router);
            assert!(moved.nobody <= ADDRESS_TIME, "seed {seed}: {moved:?}");
            assert!(moved.several <= LONGEST_LATENCY, "seed {seed}: {moved:?}");
        }
    }
}

#[test]
fn v112_a_group_split_in_two_heals_to_one_node() {
    for seed in 0..SEEDS {
        let mut world = settled(seed, vec![gateway(200), gateway(100)]);
        for interface in [LAN, WAN] {
            world.partition(interface, 0, 1, true);
        }
        world.run(Duration::from_secs(30));
        assert_eq!(world.owners(ROUTER), [0, 1], "seed {seed}");
        let healed = world.now();
        for interface in [LAN, WAN] {
            world.partition(interface, 0, 1, false);
        }
        world.run(Duration::from_secs(30));
        assert_eq!((world.owners(ROUTER), world.owners(WAN_ROUTER)), (vec![0], vec![0]), "seed {seed}");
        assert_eq!(world.causes(0, healed), [], "seed {seed}: the winner stays where it is");
        assert_eq!(world.causes(1, healed).len(), 2, "seed {seed}");
    }
}
