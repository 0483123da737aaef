//! Nodes joined by simulated segments: latency, loss, partitions, pauses, death; one seed, one history.
//!
//! Owners are counted as hosts would: whose data plane answers for the address. Every assertion names its seed.

mod node;
mod peered;
mod peering;
mod scenarios;
mod turmoil;

use crate::support::*;
use holdfast_engine::{
    Cause, Duration, EngineConfig, Input, Instant, InterfaceId, PeerId, Role, RouterConfig, RouterId,
};
use node::{Frame, Node, Wish};
use peering::{Acquaintance, PATHS};
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
    /// A node checks its peers, as it does every interval.
    Check {
        node: usize,
    },
    /// A check out of turn.
    Probe {
        node: usize,
        other: usize,
    },
}

/// How long a router was owned by nobody or by several.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ownership {
    pub(crate) nobody: Duration,
    pub(crate) several: Duration,
}

/// What the world of peers must never show, and since when it shows it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Watch {
    /// Two owners that reach each other may stand this long; unlimited if `None`.
    pub(crate) several: Option<Duration>,
    /// Nobody may own for this long while some node could.
    pub(crate) nobody: Option<Duration>,
    several_since: Option<Instant>,
    nobody_since: Option<Instant>,
}

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) nodes: Vec<Node>,
    seed: u64,
    dice: Dice,
    events: BTreeMap<(Instant, u64), Event>,
    sequence: u64,
    /// Which node does not reach which, per interface: from, to.
    cut: BTreeSet<(InterfaceId, usize, usize)>,
    /// Nodes that receive nothing at all on the segment.
    pub(crate) deaf: BTreeSet<usize>,
    /// Other stations talk on the segment.
    pub(crate) hosts: bool,
    peered: bool,
    pub(crate) watch: Watch,
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
            seed,
            dice: Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            events: BTreeMap::new(),
            sequence: 0,
            cut: BTreeSet::new(),
            deaf: BTreeSet::new(),
            hosts: true,
            peered: false,
            watch: Watch::default(),
            loss_percent: 0,
            ownership: BTreeMap::new(),
        };
        for (node, routers) in nodes.into_iter().enumerate() {
            world.configure(node, routers);
        }
        world
    }

    /// As [`World::new`], and the nodes check each other over the segment and a sync link.
    pub(crate) fn of_peers(seed: u64, nodes: Vec<Vec<RouterConfig>>) -> Self {
        let mut world = World::new(seed, vec![Vec::new(); nodes.len()]);
        world.peered = true;
        for (node, routers) in nodes.into_iter().enumerate() {
            world.introduce(node, &routers);
            let first = world.now + nanos(world.dice.below(CHECK.interval.as_nanos()));
            world.schedule(first, Event::Check { node });
        }
        world
    }

    /// A node that starts with these routers and knows nothing of the others yet.
    fn introduce(&mut self, node: usize, routers: &[RouterConfig]) {
        self.nodes[node] = Node::new(self.nodes[node].source, routers);
        if self.peered {
            let others = (0..self.nodes.len()).filter(|other| *other != node);
            let known = others.map(|other| (other, Acquaintance::new(PeerId(other as u16))));
            self.nodes[node].others = known.collect();
        }
        self.configure(node, routers.to_vec());
    }

    fn configure(&mut self, node: usize, routers: Vec<RouterConfig>) {
        let peers = self.nodes[node].others.values().map(|other| other.peer).collect();
        let (routers_of, peer_check) = (routers.clone(), CHECK);
        let config = EngineConfig { routers: routers_of, peers, peer_check, ..EngineConfig::default() };
        self.command(node, Input::Configured(config));
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
        self.introduce(node, &routers);
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
        self.partition_one_way(interface, a, b, cut);
        self.partition_one_way(interface, b, a, cut);
    }

    /// Cuts or mends the way from one node to another.
    pub(crate) fn partition_one_way(&mut self, interface: InterfaceId, from: usize, to: usize, cut: bool) {
        if cut {
            self.cut.insert((interface, from, to));
        } else {
            self.cut.remove(&(interface, from, to));
        }
    }

    pub(crate) fn reaches(&self, interface: InterfaceId, from: usize, to: usize) -> bool {
        let deaf = interface == LAN && self.deaf.contains(&to);
        self.nodes[to].alive && !deaf && !self.cut.contains(&(interface, from, to))
    }

    /// A request and its answer on every path. Both carry their sender's word.
    fn exchange(&mut self, node: usize, other: usize, counts: bool) {
        let now = self.now;
        for (number, interface) in PATHS.into_iter().enumerate() {
            let mut answered = false;
            let lost = |dice: &mut Dice, percent| dice.below(100) < percent;
            if self.reaches(interface, node, other) && !lost(&mut self.dice, self.loss_percent) {
                let word = self.nodes[node].word_for(other, now);
                self.nodes[other].receives_message(node, number, word, now);
                answered = self.reaches(interface, other, node) && !lost(&mut self.dice, self.loss_percent);
            }
            if answered {
                let word = self.nodes[other].word_for(node, now);
                self.nodes[node].receives_message(other, number, word, now);
            }
            let known = self.nodes[node].others.get_mut(&other).unwrap();
            if counts || answered {
                known.checked(number, answered, now);
            }
        }
    }

    fn check(&mut self, node: usize) {
        self.schedule(self.now + CHECK.interval, Event::Check { node });
        if self.hosts && self.nodes[node].alive && !self.deaf.contains(&node) {
            self.nodes[node].frames.insert(LAN, self.now);
        }
        if !self.nodes[node].runs() {
            return;
        }
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            self.exchange(node, other, true);
        }
        let wishes = self.nodes[node].tell_peers(self.now);
        self.grant(node, wishes);
    }

    fn probe(&mut self, node: usize, other: usize) {
        if self.nodes[node].runs() {
            self.exchange(node, other, false);
            let wishes = self.nodes[node].tell_peers(self.now);
            self.grant(node, wishes);
        }
    }

    /// An advert in the name of `sender` that somebody else puts on the segment.
    pub(crate) fn forge(&mut self, sender: usize, router: RouterId, priority: u8, interval: Duration) {
        let frame = Frame { sender, source: self.nodes[sender].source, priority, interval };
        for node in (0..self.nodes.len()).filter(|node| *node != sender) {
            self.schedule(self.now, Event::Arrives { node, router, frame });
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
        self.observe(next);
        self.now = next;
    }

    fn step(&mut self) {
        while let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 <= self.now) {
            match entry.remove() {
                Event::Arrives { node, router, frame } => {
                    if self.nodes[node].alive && !self.deaf.contains(&node) {
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
                Event::Check { node } => self.check(node),
                Event::Probe { node, other } => self.probe(node, other),
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
                Wish::Probe { peer } => {
                    let other = usize::from(peer.0);
                    self.schedule(self.now + LONGEST_LATENCY, Event::Probe { node, other });
                }
            }
        }
    }

    fn transmit(&mut self, from: usize, router: RouterId, priority: u8) {
        let config = self.nodes[from].ports[&router].config.clone();
        let source = self.nodes[from].source;
        let frame = Frame { sender: from, source, priority, interval: config.advertisement_interval };
        for node in (0..self.nodes.len()).filter(|node| *node != from) {
            let lost = self.dice.below(100) < self.loss_percent;
            let latency = SHORTEST_LATENCY + nanos(self.dice.below(LATENCY_SPREAD_NS));
            if !lost && self.reaches(config.interface, from, node) {
                self.schedule(self.now + latency, Event::Arrives { node, router, frame });
            }
        }
    }

    fn schedule(&mut self, at: Instant, event: Event) {
        self.sequence += 1;
        self.events.insert((at, self.sequence), event);
    }

    /// Checks what must hold from here to `next`, between which nothing happens.
    fn observe(&mut self, next: Instant) {
        if self.watch.several.is_none() && self.watch.nobody.is_none() {
            return;
        }
        let owners = self.owners(ROUTER);
        let joined = |a: &usize, b: &usize| self.reaches(LAN, *a, *b) && self.reaches(LAN, *b, *a);
        let several = owners.iter().any(|a| owners.iter().any(|b| a < b && joined(a, b)));
        let able = self.nodes.iter().any(Node::runs);
        let began = self.now;
        let since = |before: Option<Instant>, shown: bool| shown.then(|| before.unwrap_or(began));
        self.watch.several_since = since(self.watch.several_since, several);
        self.watch.nobody_since = since(self.watch.nobody_since, able && owners.is_empty());
        let breach = |since: Option<Instant>, bound: Option<Duration>| {
            since.zip(bound).is_some_and(|(since, bound)| next.since(since) > bound)
        };
        let seed = self.seed;
        assert!(!breach(self.watch.several_since, self.watch.several), "seed {seed}: {owners:?} at {next:?}");
        assert!(!breach(self.watch.nobody_since, self.watch.nobody), "seed {seed}: nobody at {next:?}");
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
