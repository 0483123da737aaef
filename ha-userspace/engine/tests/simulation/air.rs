//! What lies between the nodes: segments, who reaches whom on them, the weather, and what is under way.
//!
//! A frame is judged when it is sent (cut, lost, doubled, how long it takes) and once more when it arrives (the receiver may
//! have lost its link meanwhile). Delays differ from frame to frame, so frames overtake each other.

use crate::dice::Dice;
use crate::support::*;
use holdfast_engine::{Duration, Instant, InterfaceId, RouterId};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

pub(crate) const MOST_NODES: usize = 7;
pub(crate) const WAN: InterfaceId = InterfaceId(11);
pub(crate) const DMZ: InterfaceId = InterfaceId(12);
/// Every segment there can be, by its number.
pub(crate) const SEGMENTS: [InterfaceId; 4] = [LAN, WAN, DMZ, SYNC];

/// Shortest time a frame is under way.
const SHORTEST_LATENCY: u64 = 50_000;
/// What is added to it at most, in fair weather.
const FAIR_SPREAD: u64 = 150_000;
/// Longest time a frame is under way in fair weather.
pub(crate) const LONGEST_LATENCY: Duration = Duration::from_nanos(SHORTEST_LATENCY + FAIR_SPREAD);

/// Number of a segment.
pub(crate) fn segment_of(interface: InterfaceId) -> usize {
    SEGMENTS.iter().position(|known| *known == interface).unwrap()
}

/// What happens to frames on a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Weather {
    pub(crate) loss_percent: u64,
    /// Longest delay beyond the shortest latency, in nanoseconds.
    pub(crate) spread: u64,
    pub(crate) doubled_percent: u64,
}

impl Weather {
    pub(crate) const FAIR: Weather = Weather { loss_percent: 0, spread: FAIR_SPREAD, doubled_percent: 0 };
}

/// An advert on the wire.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub(crate) router: RouterId,
    /// The node in whose name it is.
    pub(crate) sender: u8,
    pub(crate) priority: u8,
    pub(crate) interval: Duration,
}

/// A probe, or the answer to one: who says what to whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message {
    pub(crate) from: u8,
    pub(crate) segment: u8,
    /// "Say it again with my incarnation."
    pub(crate) is_challenge: bool,
    pub(crate) sequence: u32,
    pub(crate) prober_incarnation: u32,
    pub(crate) responder_incarnation: u32,
    /// When the request left, by the prober's clock.
    pub(crate) asked_at: Instant,
    /// When this was said, by its sender's clock.
    pub(crate) said_at: Instant,
    pub(crate) word: Word,
}

/// What a node says of itself to one other node.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Word {
    /// Units, one bit each.
    pub(crate) owned: u8,
    pub(crate) ready: u8,
    pub(crate) priority: u8,
    /// Paths on which it hears the other, one bit per segment.
    pub(crate) hears: u8,
    pub(crate) draining: bool,
    /// What is left of its lease.
    pub(crate) remaining: Duration,
}

/// What arrives at a node.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Arrival {
    Advert(Frame),
    Request(Message),
    Reply(Message),
}

#[derive(Clone, Copy)]
struct UnderWay {
    at: u64,
    order: u32,
    to: u8,
    segment: u8,
    what: Arrival,
}

impl PartialEq for UnderWay {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}
impl Eq for UnderWay {}
impl PartialOrd for UnderWay {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for UnderWay {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// Everything between the nodes.
pub(crate) struct Air {
    /// True time, in nanoseconds.
    pub(crate) now: u64,
    pub(crate) dice: Dice,
    nodes: usize,
    /// By segment and sender: whom it does not reach, one bit each.
    cut: [[u8; MOST_NODES]; SEGMENTS.len()],
    /// By segment: nodes that receive nothing, and nodes without a link.
    deaf: [u8; SEGMENTS.len()],
    down: [u8; SEGMENTS.len()],
    /// Other stations talk there.
    pub(crate) hosts: [bool; SEGMENTS.len()],
    pub(crate) weather: [Weather; SEGMENTS.len()],
    under_way: BinaryHeap<Reverse<UnderWay>>,
    order: u32,
}

impl Air {
    pub(crate) fn new(seed: u64, now: u64, nodes: usize) -> Self {
        Air {
            now,
            dice: Dice::seeded(seed),
            nodes,
            cut: [[0; MOST_NODES]; SEGMENTS.len()],
            deaf: [0; SEGMENTS.len()],
            down: [0; SEGMENTS.len()],
            hosts: [true; SEGMENTS.len()],
            weather: [Weather::FAIR; SEGMENTS.len()],
            under_way: BinaryHeap::new(),
            order: 0,
        }
    }

    pub(crate) fn set_cut(&mut self, segment: usize, from: usize, to: usize, cut: bool) {
        set(&mut self.cut[segment][from], to, cut);
    }

    pub(crate) fn set_deaf(&mut self, segment: usize, node: usize, deaf: bool) {
        set(&mut self.deaf[segment], node, deaf);
    }

    pub(crate) fn set_link(&mut self, segment: usize, node: usize, up: bool) {
        set(&mut self.down[segment], node, !up);
    }

    pub(crate) fn link_up(&self, segment: usize, node: usize) -> bool {
        self.down[segment] & (1 << node) == 0
    }

    pub(crate) fn receives(&self, segment: usize, node: usize) -> bool {
        self.link_up(segment, node) && self.deaf[segment] & (1 << node) == 0
    }

    /// Whether what one node sends gets to the other.
    pub(crate) fn reaches(&self, segment: usize, from: usize, to: usize) -> bool {
        self.link_up(segment, from) && self.receives(segment, to) && self.cut[segment][from] & (1 << to) == 0
    }

    /// Whether every pair of nodes that hears each other at all does so both ways.
    pub(crate) fn is_symmetric(&self, segment: usize) -> bool {
        let pairs = (0..self.nodes).flat_map(|a| (0..a).map(move |b| (a, b)));
        pairs.into_iter().all(|(a, b)| self.reaches(segment, a, b) == self.reaches(segment, b, a))
    }

    /// Whether of any three nodes some hear each other in part only, so that they cannot agree on who is there.
    pub(crate) fn is_partial(&self, segment: usize) -> bool {
        let both = |a: usize, b: usize| self.reaches(segment, a, b);
        let chain = |a: usize, b: usize, c: usize| both(a, b) && both(b, c) && !both(a, c);
        let nodes = || 0..self.nodes;
        let differs = |a: usize, b: usize, c: usize| a != b && b != c && a != c && chain(a, b, c);
        let is_chained = nodes().any(|a| nodes().any(|b| nodes().any(|c| differs(a, b, c))));
        self.nodes > 2 && (is_chained || !self.is_symmetric(segment))
    }

    /// Frames are lost by chance, or so late that a check may end without them.
    pub(crate) fn is_rough(&self, segment: usize, check: Duration) -> bool {
        let weather = self.weather[segment];
        weather.loss_percent > 0 || weather.spread * 4 > check.as_nanos()
    }

    /// A counter that differs from its last reading whenever other stations were heard in between.
    pub(crate) fn hosts_heard(&self, segment: usize, node: usize) -> u64 {
        const APART: u64 = 20_000_000;
        if self.hosts[segment] && self.receives(segment, node) { self.now / APART } else { 0 }
    }

    /// One frame from a node to another.
    pub(crate) fn send(&mut self, segment: usize, from: usize, to: usize, what: Arrival) {
        if !self.reaches(segment, from, to) {
            return;
        }
        let weather = self.weather[segment];
        let copies = if self.dice.chance(weather.doubled_percent) { 2 } else { 1 };
        for _ in 0..copies {
            if self.dice.chance(weather.loss_percent) {
                continue;
            }
            let at = self.now + SHORTEST_LATENCY + self.dice.below(weather.spread + 1);
            self.deliver(at, segment, to, what);
        }
    }

    /// To everybody else on the segment.
    pub(crate) fn send_to_all(&mut self, segment: usize, from: usize, what: Arrival) {
        for to in (0..self.nodes).filter(|to| *to != from) {
            self.send(segment, from, to, what);
        }
    }

    /// Puts a frame before a node, whoever sent it.
    pub(crate) fn deliver(&mut self, at: u64, segment: usize, to: usize, what: Arrival) {
        self.order = self.order.wrapping_add(1);
        let (order, to, segment) = (self.order, to as u8, segment as u8);
        self.under_way.push(Reverse(UnderWay { at, order, to, segment, what }));
    }

    pub(crate) fn next_arrival(&self) -> Option<u64> {
        self.under_way.peek().map(|Reverse(next)| next.at)
    }

    /// What arrives by now: segment, receiver, frame.
    pub(crate) fn take_arrival(&mut self) -> Option<(usize, usize, Arrival)> {
        self.next_arrival().filter(|at| *at <= self.now)?;
        let Reverse(arrived) = self.under_way.pop()?;
        Some((usize::from(arrived.segment), usize::from(arrived.to), arrived.what))
    }
}

fn set(mask: &mut u8, bit: usize, on: bool) {
    if on { *mask |= 1 << bit } else { *mask &= !(1 << bit) }
}
