//! A cluster and its time: whatever is due next happens, then the observer looks.
//!
//! One seed, one history. Nothing happens between two steps, so that a history costs what happens in it and not how long
//! it lasts.

use crate::air::{Air, Arrival, SEGMENTS, segment_of};
use crate::bounds::Bounds;
use crate::fault::Fault;
use crate::node::Node;
use crate::setting::Setting;
use crate::support::*;
use crate::watch::{Ownership, Watch};
use holdfast_engine::{Cause, Duration, Input, Instant, InterfaceId, RouterConfig, RouterId};
use std::net::IpAddr;
use std::rc::Rc;

pub(crate) struct World {
    pub(crate) air: Air,
    pub(crate) nodes: Vec<Node>,
    pub(crate) watch: Watch,
    setting: Rc<Setting>,
}

impl World {
    /// Nodes that start at the same moment, all links up.
    pub(crate) fn with(seed: u64, setting: Setting, bounds: Option<Bounds>) -> Self {
        let setting = Rc::new(setting);
        let mut air = Air::new(seed, START.as_nanos(), setting.nodes());
        let nodes = (0..setting.nodes()).map(|id| Node::new(id, &setting, &mut air)).collect();
        let watch = Watch::new(&setting, bounds, air.now);
        let mut world = World { air, nodes, watch, setting };
        world.end_change();
        world
    }

    /// Plain VRRP among nodes with these routers each.
    pub(crate) fn new(seed: u64, nodes: Vec<Vec<RouterConfig>>) -> Self {
        World::with(seed, Setting::plain(nodes), None)
    }

    /// As [`World::new`], and the nodes check each other over the segment and a sync link.
    pub(crate) fn of_peers(seed: u64, nodes: Vec<Vec<RouterConfig>>) -> Self {
        World::with(seed, Setting { peered: true, ..Setting::plain(nodes) }, None)
    }

    /// True time, which is also what clocks show that have no rate of their own.
    pub(crate) fn now(&self) -> Instant {
        Instant::from_nanos(self.air.now)
    }

    /// Runs for `span`, or until something is seen that must not be.
    pub(crate) fn run(&mut self, span: Duration) {
        let end = self.air.now + span.as_nanos();
        while self.watch.violation.is_none() {
            let arrival = self.air.next_arrival().unwrap_or(u64::MAX);
            let (node, wake) = self.next_wake();
            let next = arrival.min(wake).max(self.air.now);
            if next > end {
                self.watch.overdue(end);
                break;
            }
            if next > self.watch.deadline() {
                self.watch.overdue(next);
                break;
            }
            self.air.now = next;
            if arrival <= wake { self.receive() } else { self.fire(node) }
        }
        self.air.now = end;
    }

    fn next_wake(&self) -> (usize, u64) {
        let mut next = (0, u64::MAX);
        for (id, node) in self.nodes.iter().enumerate() {
            if node.next < next.1 {
                next = (id, node.next);
            }
        }
        next
    }

    fn fire(&mut self, id: usize) {
        self.nodes[id].fire(&mut self.air);
        self.look(id);
    }

    fn receive(&mut self) {
        let Some((segment, to, what)) = self.air.take_arrival() else { return };
        if !self.nodes[to].is_awake() || !self.air.receives(segment, to) {
            return;
        }
        self.nodes[to].receive(&mut self.air, segment, what);
        if matches!(what, Arrival::Advert(_)) {
            self.look(to);
        }
    }

    fn look(&mut self, id: usize) {
        if self.watch.look_at(&mut self.nodes[id], &self.air) {
            self.watch.judge(&self.nodes, &self.air, &self.setting);
        }
    }

    pub(crate) fn begin_change(&mut self) {
        self.watch.overdue(self.air.now);
        self.watch.disturb(self.air.now);
    }

    pub(crate) fn end_change(&mut self) {
        for node in &mut self.nodes {
            self.watch.look_at(node, &self.air);
        }
        self.watch.judge(&self.nodes, &self.air, &self.setting);
    }

    // ----- what scenarios do and ask -----

    /// The operator says something to a node.
    pub(crate) fn command(&mut self, node: usize, input: Input) {
        self.nodes[node].tell(&mut self.air, input);
    }

    pub(crate) fn link(&mut self, node: usize, interface: InterfaceId, up: bool) {
        self.apply(Fault::Link { segment: segment_of(interface), node, up });
    }

    /// Cuts or mends a segment between two nodes, both ways.
    pub(crate) fn partition(&mut self, interface: InterfaceId, a: usize, b: usize, cut: bool) {
        self.partition_one_way(interface, a, b, cut);
        self.partition_one_way(interface, b, a, cut);
    }

    /// Cuts or mends the way from one node to another.
    pub(crate) fn partition_one_way(&mut self, interface: InterfaceId, from: usize, to: usize, cut: bool) {
        self.apply(Fault::Cut { segment: segment_of(interface), from, to, cut });
    }

    pub(crate) fn set_deaf(&mut self, node: usize, deaf: bool) {
        self.apply(Fault::Deaf { segment: segment_of(LAN), node, deaf });
    }

    /// Whether other stations talk on the LAN.
    pub(crate) fn set_hosts(&mut self, talk: bool) {
        self.apply(Fault::Hosts { segment: segment_of(LAN), talk });
    }

    pub(crate) fn set_loss(&mut self, loss_percent: u64) {
        for segment in 0..SEGMENTS.len() {
            self.air.weather[segment].loss_percent = loss_percent;
        }
    }

    /// An advert in the name of `sender` that somebody else puts on the segment.
    pub(crate) fn forge(&mut self, sender: usize, router: RouterId, priority: u8, interval: Duration) {
        let position = self.position(router);
        self.forge_advert(position, sender, priority, Some(interval));
    }

    fn position(&self, router: RouterId) -> usize {
        self.nodes[0].plane.routers.iter().position(|known| known.config.id == router).unwrap()
    }

    /// A number below `bound`, from the seed.
    pub(crate) fn roll(&mut self, bound: usize) -> usize {
        self.air.dice.below(bound as u64) as usize
    }

    /// Nodes that answer for the router now.
    pub(crate) fn owners(&self, router: RouterId) -> Vec<usize> {
        let position = self.position(router);
        (0..self.nodes.len()).filter(|node| self.nodes[*node].answers(position, &self.air)).collect()
    }

    /// Ownership since this was last asked.
    pub(crate) fn take_ownership(&mut self, router: RouterId) -> Ownership {
        let position = self.position(router);
        self.watch.take_ownership(position, self.air.now)
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
