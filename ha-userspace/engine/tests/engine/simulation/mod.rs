//! Nodes joined by simulated segments: latency, loss, partitions, pauses, death; one seed, one history.
//!
//! Owners are counted as hosts would: whose data plane answers for the address. Every assertion names its seed.

mod node;
mod scenarios;
mod turmoil;

use crate::support::*;
use holdfast_engine::{
    Cause, Duration, EngineConfig, Input, Instant, InterfaceId, Role, RouterConfig, RouterId,
};
use node::{Frame, LEASE, Node, Wish};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

const SHORTEST_LATENCY: Duration = Duration::from_nanos(50_000);
const LATENCY_SPREAD_NS: u64 = 150_000;
/// Longest time an advert is under way.
pub(crate) const LONGEST_LATENCY: Duration = Duration::from_nanos(50_000 + LATENCY_SPREAD_NS);
const ADDRESS_TIME: Duration = Duration::from_nanos(300_000);

/// xorshift64*: enough to vary histories, small enough to read.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % bound
    }
}

enum Event {
    Arrives {
        node: usize,
        router: RouterId,
        frame: Frame,
    },
    Added {
        node: usize,
        router: RouterId,
    },
    /// Nothing but a look: a lease may have ended.
    Look,
}

/// How long a router was owned by nobody or by several.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ownership {
    pub(crate) nobody: Duration,
    pub(crate) several: Duration,
}

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) nodes: Vec<Node>,
    dice: Dice,
    events: BTreeMap<(Instant, u64), Event>,
    sequence: u64,
    /// Pairs of nodes that do not hear each other, per interface.
    cut: BTreeSet<(InterfaceId, usize, usize)>,
    pub(crate) loss_percent: u64,
    ownership: BTreeMap<RouterId, Ownership>,
}

impl World {
    /// Nodes with these routers each, sources rising, all interfaces up.
    pub(crate) fn new(seed: u64, nodes: Vec<Vec<RouterConfig>>) -> Self {
        let sources = (0..nodes.len()).map(|number| ip(&format!("192.0.2.{}", 10 + number)));
        let mut world = World {
            now: START,
            nodes: sources.zip(&nodes).map(|(source, routers)| Node::new(source, routers)).collect(),
            dice: Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            events: BTreeMap::new(),
            sequence: 0,
            cut: BTreeSet::new(),
            loss_percent: 0,
            ownership: BTreeMap::new(),
        };
        for (node, routers) in nodes.into_iter().enumerate() {
            world.configure(node, routers);
        }
        world
    }

    fn configure(&mut self, node: usize, routers: Vec<RouterConfig>) {
        self.command(node, Input::Configured(EngineConfig { routers: routers.clone(), ..EngineConfig::default() }));
        for router in routers {
            self.command(node, Input::Interface { interface: router.interface, up: true });
            let address = Some(self.nodes[node].source);
            self.command(node, Input::Source { router: router.id, address });
        }
    }

    /// The operator or the kernel says something to a node.
    pub(crate) fn command(&mut self, node: usize, input: Input) {
        let wishes = self.nodes[node].input(self.now, input);
        self.grant(node, wishes);
    }

    /// A node is gone, data plane and all.
    pub(crate) fn kill(&mut self, node: usize) {
        self.nodes[node].alive = false;
    }

    /// A dead node starts anew.
    pub(crate) fn restart(&mut self, node: usize) {
        let routers: Vec<RouterConfig> =
            self.nodes[node].ports.values().map(|port| port.config.clone()).collect();
        self.nodes[node] = Node::new(self.nodes[node].source, &routers);
        self.configure(node, routers);
    }

    pub(crate) fn pause(&mut self, node: usize) {
        self.nodes[node].pause(self.now);
        self.schedule(self.now + LEASE, Event::Look);
    }

    pub(crate) fn pause_unless_paused(&mut self, node: usize) {
        if self.nodes[node].runs() {
            self.pause(node);
        }
    }

    pub(crate) fn resume(&mut self, node: usize) {
        let wishes = self.nodes[node].resume(self.now);
        self.grant(node, wishes);
    }

    /// Cuts or mends a segment between two nodes, both ways.
    pub(crate) fn partition(&mut self, interface: InterfaceId, a: usize, b: usize, cut: bool) {
        for pair in [(interface, a, b), (interface, b, a)] {
            if cut {
                self.cut.insert(pair);
            } else {
                self.cut.remove(&pair);
            }
        }
    }

    /// Runs the world for `span`.
    pub(crate) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(next) = self.next_moment().filter(|next| *next <= end) {
            self.pass_to(next);
            self.step();
        }
        self.pass_to(end);
    }

    fn next_moment(&self) -> Option<Instant> {
        let wakes = self.nodes.iter().filter_map(Node::next_wake);
        let event = self.events.first_key_value().map(|((at, _), _)| *at);
        wakes.chain(event).min()
    }

    fn pass_to(&mut self, next: Instant) {
        let next = next.max(self.now);
        let span = next.since(self.now);
        let routers: Vec<RouterId> = self.nodes[0].ports.keys().copied().collect();
        for router in routers {
            let owners = self.owners(router).len();
            let ownership = self.ownership.entry(router).or_default();
            match owners {
                0 => ownership.nobody = ownership.nobody + span,
                1 => {}
                _ => ownership.several = ownership.several + span,
            }
        }
        self.now = next;
    }

    fn step(&mut self) {
        while let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 <= self.now) {
            match entry.remove() {
                Event::Arrives { node, router, frame } => {
                    if self.nodes[node].alive {
                        let wishes = self.nodes[node].receive(router, frame, self.now);
                        self.grant(node, wishes);
                    }
                }
                Event::Added { node, router } => {
                    let active = self.nodes[node].engine.view(router).map(|view| view.role);
                    if active == Some(Role::Active) {
                        self.nodes[node].ports.get_mut(&router).unwrap().addressed = true;
                    }
                    self.command(node, Input::AddressesAdded { router, outcome: Ok(()) });
                }
                Event::Look => {}
            }
        }
        for node in 0..self.nodes.len() {
            let wishes = self.nodes[node].run(self.now);
            self.grant(node, wishes);
            if self.nodes[node].runs() {
                for (router, priority) in self.nodes[node].scheduled(self.now) {
                    self.transmit(node, router, priority);
                }
            }
        }
    }

    fn grant(&mut self, node: usize, wishes: Vec<Wish>) {
        for wish in wishes {
            match wish {
                Wish::Send { router, priority } => self.transmit(node, router, priority),
                Wish::AddAddresses { router } => {
                    self.schedule(self.now + ADDRESS_TIME, Event::Added { node, router });
                }
            }
        }
    }

    fn transmit(&mut self, from: usize, router: RouterId, priority: u8) {
        let config = self.nodes[from].ports[&router].config.clone();
        let source = self.nodes[from].source;
        let frame = Frame { source, priority, interval: config.advertisement_interval };
        for node in (0..self.nodes.len()).filter(|node| *node != from) {
            let lost = self.dice.below(100) < self.loss_percent;
            let latency = SHORTEST_LATENCY + nanos(self.dice.below(LATENCY_SPREAD_NS));
            if !lost && !self.cut.contains(&(config.interface, from, node)) {
                self.schedule(self.now + latency, Event::Arrives { node, router, frame });
            }
        }
    }

    fn schedule(&mut self, at: Instant, event: Event) {
        self.sequence += 1;
        self.events.insert((at, self.sequence), event);
    }

    /// A number below `bound`, from the seed.
    pub(crate) fn roll(&mut self, bound: usize) -> usize {
        self.dice.below(bound as u64) as usize
    }

    /// Nodes that answer for the router now.
    pub(crate) fn owners(&self, router: RouterId) -> Vec<usize> {
        (0..self.nodes.len()).filter(|node| self.nodes[*node].owns(router, self.now)).collect()
    }

    /// Ownership since this was last asked.
    pub(crate) fn take_ownership(&mut self, router: RouterId) -> Ownership {
        self.ownership.remove(&router).unwrap_or_default()
    }

    /// Causes of a node's transitions since `since`.
    pub(crate) fn causes(&self, node: usize, since: Instant) -> Vec<Cause> {
        let recent = self.nodes[node].transitions.iter().filter(|transition| transition.at > since);
        recent.map(|transition| transition.cause).collect()
    }

    pub(crate) fn transitions(&self, since: Instant) -> usize {
        (0..self.nodes.len()).map(|node| self.causes(node, since).len()).sum()
    }

    pub(crate) fn source(&self, node: usize) -> IpAddr {
        self.nodes[node].source
    }
}
