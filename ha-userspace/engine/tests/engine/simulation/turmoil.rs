//! Faults at random, then calm: whatever happened, one owner per address is left, in one place per group, for good.

use super::scenarios::{WAN, WAN_ROUTER, at_interval, gateway};
use super::*;

const SEEDS: u64 = 60;
const BLOWS: usize = 40;

/// One random fault or order; most end at the next one on the same node.
fn strike(world: &mut World) {
    let nodes = world.nodes.len();
    let node = world.roll(nodes);
    let other = (node + 1 + world.roll(nodes - 1)) % nodes;
    let interface = if world.roll(2) == 0 { LAN } else { WAN };
    match world.roll(10) {
        0 => world.kill(node),
        1 => world.pause_unless_paused(node),
        2 | 3 => calm_node(world, node),
        4 => world.command(node, Input::Failover { group: None, cause: Cause::FailoverCommand }),
        5 => world.partition(interface, node, other, true),
        6 => world.partition(interface, node, other, false),
        7 => world.command(node, Input::Interface { interface, up: false }),
        8 => world.command(node, Input::Interface { interface, up: true }),
        _ => world.loss_percent = world.roll(70) as u64,
    }
}

fn calm_node(world: &mut World, node: usize) {
    if world.nodes[node].alive {
        world.resume(node);
    } else {
        world.restart(node);
    }
}

fn calm(world: &mut World) {
    world.loss_percent = 0;
    for node in 0..world.nodes.len() {
        calm_node(world, node);
        for interface in [LAN, WAN] {
            world.command(node, Input::Interface { interface, up: true });
            for other in (0..world.nodes.len()).filter(|other| *other != node) {
                world.partition(interface, node, other, false);
            }
        }
    }
}

/// Returns who owns what in the end.
fn weather(seed: u64, nodes: Vec<Vec<RouterConfig>>) -> Vec<Vec<usize>> {
    let mut world = World::new(seed, nodes);
    for _ in 0..BLOWS {
        let pause = nanos(world.roll(4_000_000_000) as u64);
        world.run(pause);
        strike(&mut world);
    }
    calm(&mut world);
    world.run(Duration::from_secs(60));
    let since = world.now;
    let routers: Vec<RouterId> = world.nodes[0].ports.keys().copied().collect();
    let owners: Vec<Vec<usize>> = routers.iter().map(|router| world.owners(*router)).collect();
    assert!(owners.iter().all(|owners| owners.len() == 1), "seed {seed}: {owners:?}");
    world.run(Duration::from_secs(60));
    assert_eq!(world.transitions(since), 0, "seed {seed}");
    owners
}

#[test]
fn v112_three_nodes_end_with_one_owner() {
    for seed in 0..SEEDS {
        weather(seed, vec![at_interval(200, 100), at_interval(150, 100), at_interval(100, 100)]);
        weather(seed, vec![at_interval(100, 20), at_interval(100, 20), at_interval(100, 20)]);
    }
}

#[test]
fn v112_intervals_and_preemption_that_differ_end_with_one_owner() {
    for seed in 0..SEEDS {
        let unforced = RouterConfig { preempt: false, ..at_interval(200, 30)[0].clone() };
        let patient = RouterConfig { preempt_delay: Duration::from_secs(7), ..config(150) };
        weather(seed, vec![vec![unforced], vec![patient], at_interval(100, 300)]);
    }
}

#[test]
fn groups_end_on_one_node() {
    for seed in 0..SEEDS {
        let owners = weather(seed, vec![gateway(200), gateway(100)]);
        assert_eq!(owners[0], owners[1], "seed {seed}");
        let owners = weather(seed, vec![gateway(200), gateway(150), gateway(100)]);
        assert_eq!(owners[0], owners[1], "seed {seed} of three, {WAN_ROUTER:?}");
    }
}
