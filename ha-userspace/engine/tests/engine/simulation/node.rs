//! A simulated node: one engine, the data plane's judgement, the advert schedule, the lease.
//!
//! The data plane is modelled on what the engine relies on: it timestamps, absorbs what changes nothing, answers a
//! losing advert, and revokes the grant the instant a winner (or anybody, once our adverts are overdue) is heard. An
//! advert that its sender's own word does not bear out changes nothing.

use super::peering::{Acquaintance, PATHS, Word};
use crate::support::*;
use holdfast_engine::{
    Action, Advert, Duration, Engine, Input, Instant, InterfaceId, Notice, PeerId, PolicyWrite, Role,
    RouterConfig, RouterId, Transition, Units,
};
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

/// Adverts of ours older than this many intervals no longer keep a rival from owning.
const OVERDUE_INTERVALS: u64 = 3;

/// An advert on the wire.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    /// The node in whose name it is.
    pub(crate) sender: usize,
    pub(crate) source: IpAddr,
    pub(crate) priority: u8,
    pub(crate) interval: Duration,
}

/// What a node wants of the world.
pub(crate) enum Wish {
    Send {
        router: RouterId,
        priority: u8,
    },
    /// The address operation completes a little later.
    AddAddresses {
        router: RouterId,
    },
    Probe {
        peer: PeerId,
    },
}

/// One virtual router in the data plane.
pub(crate) struct Port {
    pub(crate) config: RouterConfig,
    pub(crate) policy: Option<PolicyWrite>,
    pub(crate) revoked: u64,
    pub(crate) last_heard: Option<Instant>,
    /// What the engine was last told, and under which role and preemption.
    told: Option<(IpAddr, u8, Duration, Role, bool)>,
    last_sent: Option<Instant>,
    /// When the engine was last told of an advert that nothing bore out.
    uncorroborated_told: Option<Instant>,
    /// Next scheduled advert, and the interval.
    pub(crate) schedule: Option<(Instant, Duration)>,
    pub(crate) addressed: bool,
}

pub(crate) struct Node {
    pub(crate) engine: Engine,
    pub(crate) source: IpAddr,
    pub(crate) ports: BTreeMap<RouterId, Port>,
    /// Events that wait for a stopped controller.
    ring: VecDeque<Input>,
    pub(crate) alive: bool,
    /// Since when the controller is stopped.
    paused: Option<Instant>,
    pub(crate) transitions: Vec<Transition>,
    pub(crate) notices: Vec<Notice>,
    pub(crate) announcements: Vec<(Instant, RouterId)>,
    pub(crate) stopped: bool,
    /// Nodes that this one checks, in a world of peers.
    pub(crate) others: BTreeMap<usize, Acquaintance>,
    /// When frames were last received, per interface.
    pub(crate) frames: BTreeMap<InterfaceId, Instant>,
}

impl Node {
    pub(crate) fn new(source: IpAddr, routers: &[RouterConfig]) -> Self {
        let port = |config: &RouterConfig| Port {
            config: config.clone(),
            policy: None,
            revoked: 0,
            last_heard: None,
            told: None,
            last_sent: None,
            uncorroborated_told: None,
            schedule: None,
            addressed: false,
        };
        Node {
            engine: Engine::new(),
            source,
            ports: routers.iter().map(|config| (config.id, port(config))).collect(),
            ring: VecDeque::new(),
            alive: true,
            paused: None,
            transitions: Vec::new(),
            notices: Vec::new(),
            announcements: Vec::new(),
            stopped: false,
            others: BTreeMap::new(),
            frames: BTreeMap::new(),
        }
    }

    pub(crate) fn runs(&self) -> bool {
        self.alive && self.paused.is_none()
    }

    /// Whether this node answers for the router's addresses at `now`.
    pub(crate) fn owns(&self, router: RouterId, now: Instant) -> bool {
        let leased = self.paused.is_none_or(|since| now < since + LEASE);
        let port = &self.ports[&router];
        let granted =
            port.policy.is_some_and(|policy| policy.role == Role::Active && policy.epoch != port.revoked);
        self.alive && leased && granted && port.addressed
    }

    fn granted(&self, router: RouterId, now: Instant) -> bool {
        let leased = self.paused.is_none_or(|since| now < since + LEASE);
        let port = &self.ports[&router];
        leased
            && port.policy.is_some_and(|policy| policy.role == Role::Active && policy.epoch != port.revoked)
    }

    /// Whether the egress check lets an advert out; notes it if so.
    pub(crate) fn egress(&mut self, router: RouterId, now: Instant) -> bool {
        let granted = self.alive && self.granted(router, now);
        if let Some(port) = self.ports.get_mut(&router).filter(|_| granted) {
            port.last_sent = Some(now);
        }
        granted
    }

    /// An advert arrives on the wire: the data plane's judgement.
    pub(crate) fn receive(&mut self, router: RouterId, frame: Frame, now: Instant) -> Vec<Wish> {
        self.frames.insert(LAN, now);
        let granted = self.granted(router, now);
        let source = self.source;
        let borne_out = self.is_borne_out(router, &frame, now);
        let Some(port) = self.ports.get_mut(&router) else { return Vec::new() };
        let Some(policy) = port.policy.filter(|policy| policy.role != Role::Initialize) else {
            return Vec::new();
        };
        let seen = (frame.source, frame.priority, frame.interval, policy.role, policy.preempt);
        let mut advert = Advert {
            at: now,
            interval: frame.interval,
            epoch: if granted { policy.epoch } else { 0 },
            ..advert(frame.source, frame.priority)
        };
        let mut wishes = Vec::new();
        if !borne_out {
            let loses = granted && (frame.priority < policy.priority || frame.priority == 0);
            if loses {
                wishes.push(Wish::Send { router, priority: policy.priority });
            }
            if port.uncorroborated_told.is_none_or(|at| now.since(at) >= CHECK.interval) {
                port.uncorroborated_told = Some(now);
                let advert = Advert { answered: loses, ..advert };
                let peer = PeerId(frame.sender as u16);
                self.ring.push_back(Input::Uncorroborated { router, peer, advert });
            }
            return wishes;
        }
        if policy.role == Role::Backup {
            let lower = policy.preempt && frame.priority < policy.priority && frame.priority > 0;
            let changed = port.told.replace(seen) != Some(seen);
            if !lower && frame.priority > 0 {
                port.last_heard = Some(now);
            }
            if !changed {
                return wishes;
            }
        } else if granted {
            let wins = frame.priority > policy.priority
                || (frame.priority == policy.priority && frame.source > source);
            let overdue =
                Duration::from_nanos(port.config.advertisement_interval.as_nanos() * OVERDUE_INTERVALS);
            let late = port.last_sent.is_none_or(|sent| now > sent + overdue);
            if frame.priority > 0 && (wins || late) {
                port.revoked = policy.epoch;
                advert.revoked = true;
            } else if frame.priority > 0 {
                advert.answered = true;
                wishes.push(Wish::Send { router, priority: policy.priority });
            }
        }
        self.ring.push_back(Input::Advert { router, advert });
        wishes
    }

    fn is_borne_out(&self, router: RouterId, frame: &Frame, now: Instant) -> bool {
        let Some(other) = self.others.get(&frame.sender) else { return true };
        let same_interval = self.ports[&router].config.advertisement_interval == frame.interval;
        other.bears_out(frame.priority, same_interval, now)
    }

    /// A message of another node arrives on a path.
    pub(crate) fn receives_message(&mut self, from: usize, path: usize, word: Word, now: Instant) {
        self.frames.insert(PATHS[path], now);
        self.others.get_mut(&from).unwrap().hear(path, word, now);
    }

    /// What this node's data plane says to another at `now`.
    pub(crate) fn word_for(&self, other: usize, now: Instant) -> Word {
        let lease_until = self.paused.unwrap_or(now) + LEASE;
        let alive = lease_until > now;
        let mut word = Word {
            owned: Units::NONE,
            ready: Units::NONE,
            lease_until,
            priority: 0,
            hears: self.others[&other].hears(now),
        };
        for view in self.engine.routers().filter(|_| alive) {
            if self.granted(view.router, now) && !view.releasing {
                word.owned = word.owned.with(UNIT);
            }
            if view.ready {
                word.ready = word.ready.with(UNIT);
            }
            word.priority = word.priority.max(view.effective_priority);
        }
        word
    }

    /// What the controller knows of the other nodes by now, handed to the engine.
    pub(crate) fn tell_peers(&mut self, now: Instant) -> Vec<Wish> {
        if !self.runs() {
            return Vec::new();
        }
        let frames = self.frames.clone().into_iter().map(|(interface, at)| Input::Frames { interface, at });
        let words = self.others.values_mut().flat_map(|other| other.tell(now));
        let inputs: Vec<Input> = frames.chain(words).collect();
        inputs.into_iter().flat_map(|input| self.input(now, input)).collect()
    }

    /// Hands the controller what waits for it, in the driver's order.
    pub(crate) fn run(&mut self, now: Instant) -> Vec<Wish> {
        let mut wishes = Vec::new();
        if !self.runs() {
            return wishes;
        }
        while let Some(input) = self.ring.pop_front() {
            wishes.extend(self.input(now, input));
        }
        if self.engine.next_deadline().is_some_and(|deadline| deadline <= now) {
            let words: Vec<Input> = self.others.values().map(|other| other.report(now)).collect();
            wishes.extend(words.into_iter().flat_map(|word| self.input(now, word)));
            for router in self.engine.due_routers(now) {
                if let Some(at) = self.ports[&router].last_heard {
                    wishes.extend(self.input(now, Input::Heard { router, at }));
                }
            }
            self.engine.handle_timeout(now);
            wishes.extend(self.carry_out(now));
        }
        wishes
    }

    pub(crate) fn input(&mut self, now: Instant, input: Input) -> Vec<Wish> {
        if !self.alive {
            return Vec::new();
        }
        self.engine.handle_input(now, input);
        self.carry_out(now)
    }

    pub(crate) fn pause(&mut self, now: Instant) {
        self.paused = Some(now);
    }

    /// The controller goes on: its own stall first, then what waited, then a lapsed lease, then timers.
    pub(crate) fn resume(&mut self, now: Instant) -> Vec<Wish> {
        let Some(since) = self.paused else { return Vec::new() };
        let mut wishes = Vec::new();
        let lapsed = since + LEASE;
        let heard = |port: &&Port| port.last_heard.is_none_or(|at| at < since);
        let silent: Vec<InterfaceId> =
            self.ports.values().filter(heard).map(|port| port.config.interface).collect();
        wishes.extend(self.input(now, Input::Stalled { began: since, ended: now, silent }));
        while let Some(input) = self.ring.pop_front() {
            wishes.extend(self.input(now, input));
        }
        if now >= lapsed {
            wishes.extend(self.input(now, Input::LeaseLapsed { at: lapsed }));
        }
        self.paused = None;
        wishes.extend(self.run(now));
        wishes
    }

    /// The interpreter of actions.
    fn carry_out(&mut self, now: Instant) -> Vec<Wish> {
        let mut wishes = Vec::new();
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::WritePolicy { router, policy } => self.port(router).policy = Some(policy),
                Action::StartAdverts { router, interval } => {
                    self.port(router).schedule = Some((now, interval));
                }
                Action::StopAdverts { router } => self.port(router).schedule = None,
                Action::SendAdvert { router, priority } => {
                    if self.egress(router, now) {
                        wishes.push(Wish::Send { router, priority });
                    }
                }
                Action::AddAddresses { router } => wishes.push(Wish::AddAddresses { router }),
                // Silent behind the fence until owned, so nothing of it is seen on the segment.
                Action::PrepareAddresses { .. } => {}
                Action::RemoveAddresses { router } => self.port(router).addressed = false,
                Action::Announce { router } => self.announcements.push((now, router)),
                Action::Record(transition) => self.transitions.push(transition),
                Action::Notify(notice) => self.notices.push(notice),
                Action::Stopped => self.stopped = true,
                Action::TrustPeer { peer, plain } => {
                    let known = self.others.values_mut().filter(|other| other.peer == peer);
                    known.for_each(|other| other.plain = plain);
                }
                Action::ProbeNow { peer } => wishes.push(Wish::Probe { peer }),
                Action::StoodDown => {}
            }
        }
        wishes
    }

    fn port(&mut self, router: RouterId) -> &mut Port {
        self.ports.get_mut(&router).unwrap()
    }

    /// Next moment at which this node does something by itself.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        if !self.runs() {
            return None;
        }
        let schedules = self.ports.values().filter_map(|port| port.schedule).map(|(at, _)| at);
        schedules.chain(self.engine.next_deadline()).min()
    }

    /// Adverts whose time has come; the schedule does not drift (V-085).
    pub(crate) fn scheduled(&mut self, now: Instant) -> Vec<(RouterId, u8)> {
        let mut due = Vec::new();
        for (router, port) in &mut self.ports {
            if let Some((at, interval)) = port.schedule.filter(|(at, _)| *at <= now) {
                port.schedule = Some((at.max(now - interval) + interval, interval));
                due.push((*router, port.policy.unwrap().priority));
            }
        }
        due.retain(|(router, _)| self.egress(*router, now));
        due
    }
}
