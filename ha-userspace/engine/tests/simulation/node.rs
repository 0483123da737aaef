//! A simulated node: the daemon's threads around one engine, in the daemon's order, above a data plane that outlives them.
//!
//! A pass of the controller is the daemon's: its own stall, the ring, a lapsed lease, commands, timers, fitness, bypass, the
//! lease. Effects take time and may fail; a crash can be set to come before any action. Whatever the engine orders that
//! it must never order is noted in `misdeeds`.

mod controller;
mod orders;

use crate::air::{Air, Arrival, Frame, SEGMENTS, segment_of};
use crate::dice::Clock;
use crate::fitness::{Fitness, Wire};
use crate::plane::{Plane, Verdict};
use crate::prober::{Prober, Surroundings};
use crate::setting::Setting;
use holdfast_engine::{Duration, Engine, FlapRecord, Input, Instant, Notice, Role, RouterId, Transition};
use std::collections::VecDeque;
use std::net::IpAddr;
use std::rc::Rc;

/// How long adding an address takes when nothing is slow.
pub(crate) const ADDRESS_TIME: Duration = Duration::from_nanos(300_000);
/// Extensions of the lease per its span.
const EXTENSIONS_PER_SPAN: u64 = 10;
/// Wake-ups of the controller later than planned: at least, and at most when nothing is sluggish.
const WAKE_LATENCY: (u64, u64) = (5_000, 60_000);
/// Less is scheduling noise.
const SHORTEST_STALL: Duration = Duration::from_millis(5);
/// Longest wait for the last address before the wire is engaged all the same.
const LONGEST_LEAVING: Duration = Duration::from_secs(1);
/// Nothing is planned.
const NEVER: Instant = Instant::from_nanos(u64::MAX);

/// The daemon's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Process {
    Running,
    /// Stopped, all its threads.
    Paused,
    /// Its controller hangs; the other threads go on.
    Stuck,
    Dead,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Add,
    Remove,
}

/// The effects thread.
#[derive(Default)]
struct Effects {
    queue: VecDeque<(usize, Order)>,
    due: Option<Instant>,
}

/// How the node's environment treats it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Burden {
    /// What an order to the kernel takes.
    pub(crate) effect_time: Duration,
    pub(crate) effects_fail: bool,
    /// Greatest lateness of a wake-up, in nanoseconds.
    pub(crate) lateness: u64,
}

impl Burden {
    pub(crate) const NONE: Burden =
        Burden { effect_time: ADDRESS_TIME, effects_fail: false, lateness: WAKE_LATENCY.1 };
}

pub(crate) struct Node {
    pub(crate) id: usize,
    pub(crate) source: IpAddr,
    pub(crate) clock: Clock,
    pub(crate) powered: bool,
    /// Since when the whole node stands still, and whether its clock does.
    frozen: Option<(u64, bool)>,
    pub(crate) process: Process,
    pub(crate) engine: Engine,
    pub(crate) plane: Plane,
    setting: Rc<Setting>,
    prober: Prober,
    pub(crate) fitness: Fitness,
    pub(crate) wire: Wire,
    flap_record: Option<FlapRecord>,
    mailbox: VecDeque<Input>,
    effects: Effects,
    pub(crate) burden: Burden,
    was_hampered: bool,
    /// By router: next scheduled advert, and the interval.
    schedules: Vec<Option<(Instant, Duration)>>,
    lease_extended: Instant,
    /// When the controller meant to wake, when it will, and what had been heard when it went to sleep.
    planned_wake: Instant,
    wake: Instant,
    pass_ended: Instant,
    frames_then: [u64; SEGMENTS.len()],
    frames_told: [u64; SEGMENTS.len()],
    stood_down_at: Option<Instant>,
    must_say: bool,
    is_stopping: bool,
    /// A graceful stop is complete.
    pub(crate) stopped: bool,
    /// The process dies before so many more actions.
    pub(crate) crash_in: Option<u32>,
    /// True time at which this node does something next by itself.
    pub(crate) next: u64,
    /// When its process last ran.
    pub(crate) ran_at: u64,
    pub(crate) transitions: Vec<Transition>,
    pub(crate) notices: Vec<Notice>,
    pub(crate) announcements: Vec<(Instant, RouterId)>,
    pub(crate) misdeeds: Vec<String>,
}

/// Address of a node on every segment.
pub(crate) fn source_of(node: usize) -> IpAddr {
    IpAddr::from([192, 0, 2, 10 + node as u8])
}

impl Node {
    pub(crate) fn new(id: usize, setting: &Rc<Setting>, air: &mut Air) -> Self {
        let clock = setting.clocks[id];
        let now = clock.reading(air.now);
        let mut node = Node {
            id,
            source: source_of(id),
            clock,
            powered: true,
            frozen: None,
            process: Process::Dead,
            engine: Engine::new(),
            plane: Plane::new(id, setting),
            setting: Rc::clone(setting),
            prober: Prober::new(id, setting, air, now),
            fitness: Fitness::new(id, setting, None, now),
            wire: Wire::RELEASED,
            flap_record: None,
            mailbox: VecDeque::new(),
            effects: Effects::default(),
            burden: Burden::NONE,
            was_hampered: false,
            schedules: vec![None; setting.routers[id].len()],
            lease_extended: now,
            planned_wake: now,
            wake: now,
            pass_ended: now,
            frames_then: [0; SEGMENTS.len()],
            frames_told: [0; SEGMENTS.len()],
            stood_down_at: None,
            must_say: false,
            is_stopping: false,
            stopped: false,
            crash_in: None,
            next: air.now,
            ran_at: air.now,
            transitions: Vec::new(),
            notices: Vec::new(),
            announcements: Vec::new(),
            misdeeds: Vec::new(),
        };
        node.start(air);
        node
    }

    // ----- what befalls it -----

    /// The daemon starts: what an earlier run left is removed, then it takes part.
    pub(crate) fn start(&mut self, air: &mut Air) {
        if self.process != Process::Dead || !self.powered || self.frozen.is_some() {
            return;
        }
        let now = self.clock.reading(air.now);
        let setting = Rc::clone(&self.setting);
        self.process = Process::Running;
        self.engine = Engine::new();
        self.plane.taken_over();
        self.prober = Prober::new(self.id, &setting, air, now);
        let (unfit, offset) = (self.fitness.unfit, self.fitness.offset);
        self.fitness = Fitness::new(self.id, &setting, self.flap_record.take(), now);
        (self.fitness.unfit, self.fitness.offset) = (unfit, offset);
        self.mailbox.clear();
        self.effects = Effects::default();
        self.schedules.fill(None);
        (self.stood_down_at, self.crash_in) = (None, None);
        (self.must_say, self.is_stopping, self.stopped) = (true, false, false);
        self.ran_at = air.now;
        self.write_lease(now);
        self.settle_bypass(air, now);
        self.engine.handle_input(now, Input::Configured(setting.engine_config(self.id)));
        for (segment, interface) in SEGMENTS.into_iter().enumerate() {
            let up = air.link_up(segment, self.id);
            self.engine.handle_input(now, Input::Interface { interface, up });
        }
        for router in &setting.routers[self.id] {
            let address = Some(self.source);
            self.engine.handle_input(now, Input::Source { router: router.id, address });
        }
        self.perform(air, now);
        self.sleep(air, now);
        self.refresh(air);
    }

    /// `kill -9`: maps, programs and addresses stay.
    pub(crate) fn crash(&mut self, air: &mut Air) {
        if self.process == Process::Dead {
            return;
        }
        let now = self.clock.reading(air.now);
        self.flap_record = Some(self.fitness.record(now));
        self.process = Process::Dead;
        self.refresh(air);
    }

    /// The node is gone, data plane and all.
    pub(crate) fn power_off(&mut self, air: &mut Air) {
        self.crash(air);
        (self.powered, self.frozen) = (false, None);
        self.refresh(air);
    }

    pub(crate) fn power_on(&mut self, air: &mut Air) {
        if self.powered {
            return;
        }
        let incarnation = self.plane.incarnation;
        self.plane = Plane::new(self.id, &self.setting);
        self.plane.incarnation = incarnation;
        self.wire = Wire::RELEASED;
        self.powered = true;
        self.start(air);
    }

    pub(crate) fn pause(&mut self, air: &mut Air, process: Process) {
        if self.process == Process::Running {
            self.process = process;
            self.ran_at = air.now;
            self.refresh(air);
        }
    }

    pub(crate) fn resume(&mut self, air: &mut Air) {
        if matches!(self.process, Process::Paused | Process::Stuck) {
            self.process = Process::Running;
            self.wake_soon(air);
            self.refresh(air);
        }
    }

    /// The whole node stands still.
    pub(crate) fn freeze(&mut self, air: &mut Air, clock_stops: bool) {
        if self.powered && self.frozen.is_none() {
            self.frozen = Some((air.now, clock_stops));
            self.refresh(air);
        }
    }

    pub(crate) fn thaw(&mut self, air: &mut Air) {
        let Some((since, clock_stops)) = self.frozen.take() else { return };
        if clock_stops {
            self.clock.stood_still(air.now - since);
            self.ran_at += air.now - since;
        }
        self.refresh(air);
    }

    /// The kernel, the operator or another thread says something to the controller.
    pub(crate) fn tell(&mut self, air: &mut Air, input: Input) {
        if self.process == Process::Dead {
            return;
        }
        self.is_stopping |= input == Input::Shutdown;
        self.mailbox.push_back(input);
        self.wake_soon(air);
        self.refresh(air);
    }

    /// Fitness, latch or bypass were changed from outside.
    pub(crate) fn reconsider(&mut self, air: &mut Air) {
        self.wake_soon(air);
        self.refresh(air);
    }

    /// Somebody removes the addresses that stand.
    pub(crate) fn lose_addresses(&mut self, air: &mut Air) {
        for position in 0..self.plane.routers.len() {
            if std::mem::take(&mut self.plane.routers[position].addressed) {
                let router = self.plane.routers[position].config.id;
                self.tell(air, Input::AddressLost { router });
            }
        }
    }

    // ----- how it stands -----

    pub(crate) fn is_awake(&self) -> bool {
        self.powered && self.frozen.is_none()
    }

    /// Its controller runs.
    pub(crate) fn runs(&self) -> bool {
        self.is_awake() && self.process == Process::Running
    }

    fn threads_run(&self) -> bool {
        self.is_awake() && matches!(self.process, Process::Running | Process::Stuck)
    }

    /// Whether nothing but the network keeps this node from owning.
    pub(crate) fn is_able(&self, air: &Air) -> bool {
        let links = self.plane.routers.iter().all(|router| air.link_up(router.segment, self.id));
        self.runs() && links && !self.is_hampered() && !self.is_stopping && self.fitness.policy.is_up()
    }

    /// As [`Self::is_hampered`], or what was kept up then is not done yet.
    pub(crate) fn waits_for_kernel(&mut self) -> bool {
        let pending = || {
            let active = |policy: holdfast_engine::PolicyWrite| policy.role == Role::Active;
            let mut routers = self.plane.routers.iter();
            !self.effects.queue.is_empty()
                || routers.any(|router| !router.addressed && router.policy.is_some_and(active))
        };
        self.was_hampered = self.is_hampered() || (self.was_hampered && pending());
        self.was_hampered
    }

    /// The kernel is slow with addresses, or refuses them.
    pub(crate) fn is_hampered(&self) -> bool {
        self.burden.effects_fail || self.burden.effect_time > ADDRESS_TIME
    }

    /// Whether hosts get an answer for the router's addresses from here.
    pub(crate) fn answers(&self, position: usize, air: &Air) -> bool {
        let router = &self.plane.routers[position];
        let now = self.clock.reading(air.now);
        self.is_awake() && air.link_up(router.segment, self.id) && self.plane.answers(router, now)
    }

    /// Whether the data plane holds a grant that nothing has ended.
    pub(crate) fn is_granted(&self, position: usize, air: &Air) -> bool {
        let now = self.clock.reading(air.now);
        self.is_awake() && self.plane.is_owned(&self.plane.routers[position], now)
    }

    fn frames(&self, air: &Air) -> [u64; SEGMENTS.len()] {
        std::array::from_fn(|segment| self.plane.frames[segment] + air.hosts_heard(segment, self.id))
    }

    // ----- time -----

    fn refresh(&mut self, air: &Air) {
        if !self.is_awake() {
            self.next = u64::MAX;
            return;
        }
        let now = self.clock.reading(air.now);
        // When the lease ends unextended, who owns changes although nobody acts.
        let mut next = if self.plane.lease_until > now { self.plane.lease_until } else { NEVER };
        if self.threads_run() {
            let schedules = self.schedules.iter().flatten().map(|(at, _)| *at);
            next = schedules.chain(self.prober.next).chain(self.effects.due).fold(next, Instant::min);
        }
        if self.runs() {
            next = next.min(self.wake);
        }
        self.next = if next == NEVER { u64::MAX } else { self.clock.when(next).max(air.now) };
    }

    fn wake_soon(&mut self, air: &mut Air) {
        let late = air.dice.between(WAKE_LATENCY.0, self.burden.lateness);
        let now = self.clock.reading(air.now);
        self.wake = self.wake.min(now + Duration::from_nanos(late));
    }

    /// Does what is due.
    pub(crate) fn fire(&mut self, air: &mut Air) {
        let now = self.clock.reading(air.now);
        if self.threads_run() {
            if self.prober.next.is_some_and(|at| at <= now) {
                self.probe(air, now);
            }
            self.advertise(air, now);
            self.finish_effects(air, now);
        }
        if self.runs() && self.wake <= now {
            self.pass(air, now);
        }
        self.refresh(air);
    }

    fn probe(&mut self, air: &mut Air, now: Instant) {
        let mut verdicts = Vec::new();
        let mut around = Surroundings { plane: &mut self.plane, air, now };
        self.prober.run(&mut around, &mut |verdict| verdicts.push(verdict));
        for verdict in verdicts {
            self.mailbox.push_back(verdict);
            self.wake_soon(air);
        }
    }

    /// Adverts whose time has come; the schedule does not drift (V-085).
    fn advertise(&mut self, air: &mut Air, now: Instant) {
        for position in 0..self.schedules.len() {
            let Some((at, interval)) = self.schedules[position].filter(|(at, _)| *at <= now) else {
                continue;
            };
            let skipped = now.since(at).as_nanos() / interval.as_nanos();
            self.schedules[position] = Some((at + interval.scaled(skipped + 1, 1), interval));
            let priority = self.plane.routers[position].policy.map_or(0, |policy| policy.priority);
            self.send_advert(air, position, priority, now);
        }
    }

    fn send_advert(&mut self, air: &mut Air, position: usize, priority: u8, now: Instant) {
        let router = self.plane.routers[position].config.id;
        if self.plane.egress(router, now) {
            self.transmit(air, position, priority);
        }
    }

    fn transmit(&self, air: &mut Air, position: usize, priority: u8) {
        let router = &self.plane.routers[position];
        let (id, interval) = (router.config.id, router.config.advertisement_interval);
        let frame = Frame { router: id, sender: self.id as u8, priority, interval };
        air.send_to_all(router.segment, self.id, Arrival::Advert(frame));
    }

    /// Something arrives on the wire.
    pub(crate) fn receive(&mut self, air: &mut Air, segment: usize, what: Arrival) {
        let now = self.clock.reading(air.now);
        self.plane.frames[segment] += 1;
        match what {
            Arrival::Advert(frame) => {
                let source = source_of(usize::from(frame.sender));
                if source == self.source {
                    return;
                }
                if self.plane.advert(frame, source, self.source, now) == Verdict::Answered {
                    let position = self.position(frame.router);
                    let priority = self.plane.routers[position].policy.map_or(0, |policy| policy.priority);
                    self.transmit(air, position, priority);
                }
            }
            Arrival::Request(request) => {
                if let Some(reply) = self.plane.request(&request, now) {
                    air.send(segment, self.id, usize::from(request.from), Arrival::Reply(reply));
                }
            }
            Arrival::Reply(reply) => self.plane.reply(&reply, now),
        }
        if !self.plane.ring.is_empty() && self.wake > now {
            self.wake_soon(air);
            self.refresh(air);
        }
    }

    fn position(&self, router: RouterId) -> usize {
        self.plane.routers.iter().position(|known| known.config.id == router).unwrap()
    }

    /// The carrier of a port came or went.
    pub(crate) fn link_changed(&mut self, air: &mut Air, segment: usize, up: bool) {
        debug_assert_eq!(segment_of(SEGMENTS[segment]), segment);
        self.tell(air, Input::Interface { interface: SEGMENTS[segment], up });
    }
}
