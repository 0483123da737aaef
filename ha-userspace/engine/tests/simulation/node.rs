//! A simulated node: the daemon's threads around one engine, in the daemon's order, above a data plane that outlives them.
//!
//! A pass of the controller is the daemon's: its own stall, the ring, a lapsed lease, commands, timers, fitness, bypass, the
//! lease. Effects take time and may fail; a crash can be set to come before any action. Whatever the engine orders that
//! it must never order is noted in `misdeeds`.

use crate::air::{Air, Arrival, Frame, SEGMENTS, segment_of};
use crate::dice::Clock;
use crate::fitness::{Fitness, Wire};
use crate::plane::{Plane, Record, Said, Verdict};
use crate::prober::{Prober, Surroundings};
use crate::setting::Setting;
use holdfast_engine::{
    Action, BypassAction, Duration, Engine, FlapRecord, FlapUnit, Health, Input, Instant, Notice, Role,
    RouterId, Transition,
};
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

    // ----- the controller -----

    fn pass(&mut self, air: &mut Air, now: Instant) {
        self.ran_at = air.now;
        self.admit_stall(air, now);
        self.drain_ring(now);
        self.admit_lapse(air, now);
        self.perform(air, now);
        while self.process == Process::Running
            && let Some(input) = self.mailbox.pop_front()
        {
            if matches!(input, Input::PeerHealth { .. }) {
                self.read_peers(now);
            }
            self.engine.handle_input(now, input);
            self.perform(air, now);
        }
        self.judge_timers(air, now);
        self.review_fitness(air, now);
        self.settle_bypass(air, now);
        self.extend_lease(air, now);
        self.sleep(air, now);
    }

    fn admit_stall(&mut self, air: &Air, now: Instant) {
        let intervals = self.plane.routers.iter().map(|router| router.config.advertisement_interval);
        let threshold = intervals.min().unwrap_or(SHORTEST_STALL).max(SHORTEST_STALL);
        if now.since(self.planned_wake) <= threshold {
            return;
        }
        let frames = self.frames(air);
        let silent = self
            .plane
            .routers
            .iter()
            .filter(|router| frames[router.segment] == self.frames_then[router.segment])
            .map(|router| router.config.interface)
            .collect();
        self.engine.handle_input(now, Input::Stalled { began: self.pass_ended, ended: now, silent });
    }

    fn drain_ring(&mut self, now: Instant) {
        while let Some(record) = self.plane.ring.pop_front() {
            match record {
                Record::Input(input) => self.engine.handle_input(now, input),
                Record::Peer => self.read_peers(now),
            }
        }
    }

    /// A controller that wakes up past its lease has lost what it owned.
    fn admit_lapse(&mut self, air: &mut Air, now: Instant) {
        if now > self.plane.lease_until {
            let at = self.plane.lease_until;
            self.engine.handle_input(now, Input::LeaseLapsed { at });
            self.perform(air, now);
            if self.process == Process::Running {
                self.write_lease(now);
            }
        }
    }

    fn judge_timers(&mut self, air: &mut Air, now: Instant) {
        if self.process != Process::Running || self.engine.next_deadline().is_none_or(|at| at > now) {
            return;
        }
        if !self.engine.due_routers(now).is_empty() {
            self.read_peers(now);
        }
        for router in self.engine.due_routers(now) {
            if let Some(at) = self.plane.at(router).last_advert {
                self.engine.handle_input(now, Input::Heard { router, at });
            }
        }
        self.engine.handle_timeout(now);
        self.perform(air, now);
    }

    fn read_peers(&mut self, now: Instant) {
        if !self.setting.peered {
            return;
        }
        for peer in (0..self.setting.nodes()).filter(|peer| *peer != self.id) {
            self.plane.note_hearing(peer, now);
            let report = self.plane.report(peer);
            self.engine.handle_input(now, Input::Peer { peer: holdfast_engine::PeerId(peer as u16), report });
        }
    }

    fn review_fitness(&mut self, air: &mut Air, now: Instant) {
        self.fitness.released(false, now);
        for (position, standing) in self.fitness.changes(now) {
            if self.process == Process::Running {
                let router = self.plane.routers[position].config.id;
                self.engine.handle_input(now, Input::Standing { router, standing });
                self.perform(air, now);
            }
        }
    }

    fn settle_bypass(&mut self, air: &mut Air, now: Instant) {
        let mut wire = self.wire;
        self.fitness.drive(&mut wire, now);
        self.fitness.bar(self.is_barred());
        self.finish_standing_down(now);
        let links_good = self.plane.routers.iter().all(|router| air.link_up(router.segment, self.id));
        while self.process == Process::Running
            && let Some(action) = self.fitness.next(links_good, &mut wire, now)
        {
            match action {
                BypassAction::StandDown(cause) => self.engine.handle_input(now, Input::StandDown { cause }),
                BypassAction::StandUp => self.engine.handle_input(now, Input::StandUp),
                BypassAction::Order { .. } => {}
            }
            self.perform(air, now);
            self.finish_standing_down(now);
        }
        self.wire = wire;
    }

    /// A wire would lie beside a peer that may forward.
    pub(crate) fn is_barred(&self) -> bool {
        let may_forward = self.prober.healths().any(|health| health != Health::Unhealthy);
        !self.setting.inline && self.setting.peered && may_forward
    }

    fn finish_standing_down(&mut self, now: Instant) {
        let Some(at) = self.stood_down_at else { return };
        if self.effects.queue.is_empty() || now >= at + LONGEST_LEAVING {
            self.stood_down_at = None;
            self.fitness.policy.stood_down();
        }
    }

    fn lease_due(&self) -> Instant {
        self.lease_extended + self.setting.lease.scaled(1, EXTENSIONS_PER_SPAN)
    }

    fn extend_lease(&mut self, air: &mut Air, now: Instant) {
        if self.process != Process::Running || now < self.lease_due() {
            return;
        }
        self.admit_lapse(air, now);
        let frames = self.frames(air);
        for position in 0..self.plane.routers.len() {
            let (segment, interface) =
                (self.plane.routers[position].segment, self.plane.routers[position].config.interface);
            if self.setting.peered && frames[segment] != self.frames_told[segment] {
                self.engine.handle_input(now, Input::Frames { interface, at: now });
            }
        }
        self.frames_told = frames;
        self.read_peers(now);
        self.perform(air, now);
        if self.process == Process::Running {
            self.write_lease(now);
        }
    }

    fn write_lease(&mut self, now: Instant) {
        self.lease_extended = now;
        self.plane.lease_until = now + self.setting.lease;
    }

    /// Plans the next wake-up.
    fn sleep(&mut self, air: &mut Air, now: Instant) {
        let leaving = self.stood_down_at.map(|at| at + LONGEST_LEAVING);
        let fitness = self.fitness.next_wake(&self.wire, now);
        let others = self.engine.next_deadline().into_iter().chain(fitness).chain(leaving);
        self.planned_wake = others.fold(self.lease_due(), Instant::min).max(now);
        self.pass_ended = now;
        self.frames_then = self.frames(air);
        let late = air.dice.between(WAKE_LATENCY.0, self.burden.lateness);
        self.wake = self.planned_wake + Duration::from_nanos(late);
    }

    // ----- what the engine orders -----

    fn perform(&mut self, air: &mut Air, now: Instant) {
        while self.process == Process::Running
            && let Some(action) = self.engine.poll_action()
        {
            if let Some(left) = &mut self.crash_in {
                if *left == 0 {
                    self.crash_in = None;
                    self.crash(air);
                    return;
                }
                *left -= 1;
            }
            self.carry_out(air, now, action);
        }
        self.say_standing(air, now);
    }

    fn carry_out(&mut self, air: &mut Air, now: Instant, action: Action) {
        match action {
            Action::WritePolicy { router, policy } => {
                if let Err(epoch) = self.plane.write_policy(router, policy, now) {
                    self.misdeeds.push(format!("{router:?} was granted {epoch}, which is revoked for good"));
                }
                self.must_say = true;
            }
            Action::StartAdverts { router, interval } => {
                self.say_standing(air, now);
                self.expect_active(router, "a schedule");
                let position = self.position(router);
                self.schedules[position] = Some((now, interval));
            }
            Action::StopAdverts { router } => {
                let position = self.position(router);
                self.schedules[position] = None;
            }
            Action::SendAdvert { router, priority } => {
                self.say_standing(air, now);
                self.expect_active(router, "an advert");
                let position = self.position(router);
                self.send_advert(air, position, priority, now);
            }
            Action::AddAddresses { router } => {
                self.expect_active(router, "addresses");
                self.order(router, Order::Add, now);
            }
            Action::PrepareAddresses { router } => self.order(router, Order::Add, now),
            Action::RemoveAddresses { router } => self.order(router, Order::Remove, now),
            Action::Announce { router } => {
                self.expect_active(router, "an announcement");
                if self.plane.is_owned(self.plane.at(router), now) {
                    self.announcements.push((now, router));
                }
            }
            Action::Record(transition) => self.record(now, transition),
            Action::Notify(notice) => {
                self.must_say = true;
                self.notices.push(notice);
            }
            Action::Stopped => self.stop(air, now),
            Action::TrustPeer { peer, plain } => self.plane.peers[usize::from(peer.0)].plain = plain,
            Action::ProbeNow { peer: _ } => self.announce_standing(air, now),
            Action::StoodDown => self.stood_down_at = Some(now),
        }
    }

    fn expect_active(&mut self, router: RouterId, what: &str) {
        let active = self.plane.at(router).policy.is_some_and(|policy| policy.role == Role::Active);
        if !active {
            self.misdeeds.push(format!("{what} for {router:?} without a grant"));
        }
    }

    fn record(&mut self, now: Instant, transition: Transition) {
        self.must_say = true;
        let router = self.plane.at(transition.router);
        let unit = router.config.group.map_or(64 + transition.router.0, |group| group.0);
        self.fitness.moved(now, FlapUnit(unit), &transition);
        self.transitions.push(transition);
    }

    fn stop(&mut self, air: &mut Air, now: Instant) {
        self.stopped = true;
        self.fitness.stopped(now);
        self.plane.routers.iter_mut().for_each(|router| router.addressed = false);
        self.crash(air);
    }

    fn order(&mut self, router: RouterId, order: Order, now: Instant) {
        let position = self.position(router);
        self.effects.queue.push_back((position, order));
        self.effects.due.get_or_insert(now + self.burden.effect_time);
    }

    fn finish_effects(&mut self, air: &mut Air, now: Instant) {
        while self.effects.due.is_some_and(|due| due <= now) {
            let Some((position, order)) = self.effects.queue.pop_front() else {
                self.effects.due = None;
                return;
            };
            let more = !self.effects.queue.is_empty();
            self.effects.due = more.then(|| now + self.burden.effect_time);
            let failed = order == Order::Add && self.burden.effects_fail;
            let router = &mut self.plane.routers[position];
            if !failed {
                router.addressed = order == Order::Add;
            }
            let router = router.config.id;
            if order == Order::Add {
                let outcome = if failed { Err("refused".to_owned()) } else { Ok(()) };
                self.mailbox.push_back(Input::AddressesAdded { router, outcome });
            }
            self.wake_soon(air);
        }
    }

    /// Says of this node what has changed: in the maps first, then in a round of probes if ownership changed.
    fn say_standing(&mut self, air: &mut Air, now: Instant) {
        if !std::mem::take(&mut self.must_say) || !self.setting.peered {
            return;
        }
        let mut said = Said { draining: self.is_stopping, ..Said::default() };
        let mut unready = 0;
        for router in &self.plane.routers {
            let Some(view) = self.engine.view(router.config.id) else { continue };
            let bit = router.config.unit.map_or(0, |unit| 1u8 << unit.0);
            said.priority = said.priority.max(view.effective_priority);
            if view.role == Role::Active && !view.releasing {
                said.owned |= bit;
            }
            if view.ready { said.ready |= bit } else { unready |= bit }
        }
        said.ready &= !unready;
        if self.plane.say(said) {
            self.announce_standing(air, now);
        }
    }

    fn announce_standing(&mut self, air: &mut Air, now: Instant) {
        self.prober.announce(&mut Surroundings { plane: &mut self.plane, air, now });
    }

    /// The carrier of a port came or went.
    pub(crate) fn link_changed(&mut self, air: &mut Air, segment: usize, up: bool) {
        debug_assert_eq!(segment_of(SEGMENTS[segment]), segment);
        self.tell(air, Input::Interface { interface: SEGMENTS[segment], up });
    }
}
