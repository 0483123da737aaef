//! A simulated node: one engine, the data plane's judgement, the advert schedule, the lease.
//!
//! The data plane is modelled on what the engine relies on: it timestamps, absorbs what changes nothing, answers a
//! losing advert, and revokes the grant the instant a winner (or anybody, once our adverts are overdue) is heard.

use crate::support::*;
use holdfast_engine::{
    Action, Advert, Duration, Engine, Input, Instant, InterfaceId, Notice, PolicyWrite, Role, RouterConfig,
    RouterId, Transition,
};
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

/// A controller's word lasts this long.
pub(crate) const LEASE: Duration = Duration::from_secs(1);
/// Adverts of ours older than this many intervals no longer keep a rival from owning.
const OVERDUE_INTERVALS: u64 = 3;

/// An advert on the wire.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
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
        let granted = self.granted(router, now);
        let source = self.source;
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
                Action::StoodDown | Action::TrustPeer { .. } | Action::ProbeNow { .. } => {}
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
