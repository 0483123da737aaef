//! Both nodes and what is between them, one step of time after the other.
//!
//! Within a step the controllers run one after the other, in the order of the daemon's pass: what it slept through, what waits
//! in the ring, a lapsed lease, the probes, the timers, the adverts, the lease. Messages arrive at once at the other's data
//! plane, and at its controller when that runs next.

use crate::faults::{Fault, LAN, PATHS, Place, other};
use crate::node::{Node, source};
use crate::peering::INTERFACES;
use crate::plane::{Frame, ROUTER};
use crate::relative::{EPOCH, RelativeHasher};
use crate::settings::{Sabotage, Settings, TICK, Ticks, span};
use holdfast_engine::{Action, Input, Instant, Role};
use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};

/// A state of the world.
#[derive(Clone, Debug)]
pub struct Cluster {
    pub settings: Settings,
    pub now: Instant,
    pub nodes: [Node; 2],
    pub faults: BTreeSet<Fault>,
    /// How many may still strike.
    pub faults_left: u8,
    /// Steps left in which faults strike and end; `None` before the first and where there is no limit.
    pub window: Option<Ticks>,
    /// For how long two have owned who hear each other.
    pub several: Ticks,
    /// For how long nobody has owned although somebody runs, since the last fault or its end.
    pub nobody: Ticks,
}

impl Hash for Cluster {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.situation().hash(hasher);
        (&self.faults, self.faults_left, self.window, self.several, self.nobody).hash(hasher);
    }
}

/// Two states are one if they go on alike: by the fingerprint of both nodes, in which time is relative.
impl PartialEq for Cluster {
    fn eq(&self, other: &Self) -> bool {
        let counts = |state: &Self| (state.faults_left, state.window, state.several, state.nobody);
        self.situation() == other.situation() && self.faults == other.faults && counts(self) == counts(other)
    }
}

impl Cluster {
    fn situation(&self) -> u64 {
        RelativeHasher::of(&self.nodes, self.now, self.settings.memory())
    }

    /// Both nodes start at the same moment.
    pub fn cold(settings: Settings) -> Self {
        let now = Instant::from_nanos(EPOCH);
        let nodes = [0, 1].map(|place| Node::started(place, now, &settings));
        let faults_left = settings.faults;
        let faults = BTreeSet::new();
        Cluster { settings, now, nodes, faults, faults_left, window: None, several: 0, nobody: 0 }
    }

    /// The better node has owned for so long that nothing of the start is remembered.
    pub fn settled(settings: Settings) -> Self {
        let mut cluster = Cluster::cold(settings);
        let end = cluster.now + settings.memory() + settings.memory();
        while cluster.now < end {
            cluster.tick();
        }
        cluster
    }

    /// A fault strikes.
    pub fn strike(&mut self, fault: Fault) {
        self.faults.insert(fault);
        self.faults_left = self.faults_left.saturating_sub(1);
        self.window = self.window.or(self.settings.window);
        self.nobody = 0;
        match fault {
            Fault::Pause(node) => self.nodes[node].paused = Some(self.now),
            Fault::Crash(node) => self.nodes[node].alive = false,
            Fault::Cut { .. } | Fault::CutBoth { .. } | Fault::AdvertsLost(_) | Fault::Loss { .. } => {}
        }
    }

    /// A fault ends.
    pub fn mend(&mut self, fault: Fault) {
        self.faults.remove(&fault);
        self.nobody = 0;
        match fault {
            Fault::Pause(node) => self.nodes[node].woken = self.nodes[node].paused.take(),
            Fault::Crash(node) => self.nodes[node] = Node::started(node, self.now, &self.settings),
            Fault::Cut { .. } | Fault::CutBoth { .. } | Fault::AdvertsLost(_) | Fault::Loss { .. } => {}
        }
    }

    /// Whether a fault can strike now.
    pub fn admits(&self, fault: Fault) -> bool {
        let struck_already = |fault: &Fault| match *fault {
            Fault::Pause(node) | Fault::Crash(node) => !self.nodes[node].runs(),
            Fault::Cut { path, from } | Fault::Loss { path, from } => self.is_cut(path, from),
            Fault::CutBoth { path } => self.is_cut(path, 0) || self.is_cut(path, 1),
            Fault::AdvertsLost(node) => self.is_cut(LAN, node),
        };
        self.is_open() && self.faults_left > 0 && !self.faults.contains(&fault) && !struck_already(&fault)
    }

    /// Faults may strike and end.
    pub fn is_open(&self) -> bool {
        self.window != Some(0)
    }

    fn is_cut(&self, path: usize, from: Place) -> bool {
        self.faults.iter().any(|fault| fault.cuts(path, from))
    }

    /// Each hears all of the other on the segment.
    pub fn is_connected(&self) -> bool {
        let heard = |node: Place| {
            self.nodes[node].alive
                && !self.is_cut(LAN, node)
                && !self.faults.contains(&Fault::AdvertsLost(node))
        };
        heard(0) && heard(1)
    }

    pub fn owners(&self) -> usize {
        self.nodes.iter().filter(|node| node.owns(self.now)).count()
    }

    /// One step of time.
    pub fn tick(&mut self) {
        self.now = self.now + TICK;
        for node in &mut self.nodes {
            if node.alive && self.settings.hosts {
                node.frames[LAN] = Some(self.now);
            }
        }
        for place in 0..self.nodes.len() {
            if self.nodes[place].runs() {
                self.pass(place);
            }
        }
        self.count();
        self.window = self.window.map(|left| left.saturating_sub(1));
        self.faults.retain(|fault| !matches!(fault, Fault::Loss { .. }));
    }

    fn count(&mut self) {
        let owners = self.owners();
        let next = |count: Ticks, goes_on: bool, bound: Ticks| {
            if goes_on { (count + 1).min(bound + 1) } else { 0 }
        };
        let several = owners > 1 && self.is_connected();
        let nobody = owners == 0 && self.nodes.iter().any(Node::runs);
        self.several = next(self.several, several, self.settings.several_bound());
        self.nobody = next(self.nobody, nobody, self.settings.nobody_bound());
    }

    /// One pass of a controller's loop.
    fn pass(&mut self, place: Place) {
        let now = self.now;
        if let Some(began) = self.nodes[place].woken.take() {
            self.admit_stall(place, began);
        }
        while let Some(input) = self.nodes[place].plane.ring.pop_front() {
            self.feed(place, input);
        }
        self.admit_lapse(place);
        let answered = self.exchange(place);
        let verdict = self.nodes[place].known.checked(answered, now);
        self.tell_peers(place);
        if let Some(verdict) = verdict {
            self.feed(place, verdict);
        }
        self.judge_timers(place);
        self.send_scheduled(place);
        self.nodes[place].plane.lease_until = now + span(self.settings.lease);
    }

    fn admit_stall(&mut self, place: Place, began: Instant) {
        let planned = began + TICK;
        if self.now.since(planned) <= span(self.settings.interval) {
            return;
        }
        let silent = |path: &usize| self.nodes[place].frames[*path].is_none_or(|at| at <= began);
        let silent = (0..PATHS).filter(silent).map(|path| INTERFACES[path]).collect();
        self.feed(place, Input::Stalled { began, ended: self.now, silent });
    }

    fn admit_lapse(&mut self, place: Place) {
        let until = self.nodes[place].plane.lease_until;
        if self.now < until {
            return;
        }
        self.nodes[place].lapsed = Some(until);
        if self.settings.sabotage != Sabotage::LapseUntold {
            self.feed(place, Input::LeaseLapsed { at: until });
        }
        self.nodes[place].plane.lease_until = self.now + span(self.settings.lease);
    }

    /// What the data plane has gathered of the other, for the engine.
    fn tell_peers(&mut self, place: Place) {
        let now = self.now;
        self.nodes[place].hears = self.nodes[place].known.hears(now);
        for (interface, at) in INTERFACES.into_iter().zip(self.nodes[place].frames) {
            if let Some(at) = at {
                self.feed(place, Input::Frames { interface, at });
            }
        }
        let report = self.nodes[place].known.report(now, &self.settings);
        self.feed(place, report);
    }

    fn judge_timers(&mut self, place: Place) {
        let now = self.now;
        let node = &self.nodes[place];
        if node.engine.next_deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        if !node.engine.due_routers(now).is_empty() {
            let report = node.known.report(now, &self.settings);
            self.feed(place, report);
        }
        for router in self.nodes[place].engine.due_routers(now) {
            if let Some(at) = self.nodes[place].plane.last_heard {
                self.feed(place, Input::Heard { router, at });
            }
        }
        self.nodes[place].engine.handle_timeout(now);
        self.perform(place);
    }

    fn feed(&mut self, place: Place, input: Input) {
        let now = self.now;
        self.nodes[place].engine.handle_input(now, input);
        self.perform(place);
    }

    /// The interpreter of actions.
    fn perform(&mut self, place: Place) {
        let now = self.now;
        let (mut added, mut probes) = (false, false);
        while let Some(action) = self.nodes[place].engine.poll_action() {
            match action {
                Action::WritePolicy { policy, .. } => {
                    // Whoever begins or ceases to own says so at once on every path.
                    let before = self.nodes[place].plane.policy.replace(policy);
                    probes |= before.is_some_and(|before| before.epoch != policy.epoch);
                }
                Action::StartAdverts { .. } => self.nodes[place].advert_at = Some(now),
                Action::StopAdverts { .. } => self.nodes[place].advert_at = None,
                Action::SendAdvert { priority, .. } => self.send(place, priority),
                Action::AddAddresses { .. } => added = true,
                Action::RemoveAddresses { .. } => self.nodes[place].plane.addressed = false,
                Action::TrustPeer { plain, .. } => self.nodes[place].known.plain = plain,
                Action::ProbeNow { .. } => probes = true,
                // What the fence keeps silent, and what only hosts and operators read.
                Action::PrepareAddresses { .. }
                | Action::Announce { .. }
                | Action::Record(_)
                | Action::Notify(_)
                | Action::Stopped
                | Action::StoodDown => {}
            }
        }
        if added {
            self.nodes[place].plane.addressed = true;
            self.feed(place, Input::AddressesAdded { router: ROUTER, outcome: Ok(()) });
        }
        if probes {
            self.exchange(place);
            self.tell_peers(place);
        }
    }

    fn send_scheduled(&mut self, place: Place) {
        let Some(at) = self.nodes[place].advert_at.filter(|at| *at <= self.now) else { return };
        let interval = span(self.settings.interval);
        // Without drift, and without a burst after a stall.
        let mut next = at;
        while next <= self.now {
            next = next + interval;
        }
        self.nodes[place].advert_at = Some(next);
        let priority = self.nodes[place].plane.policy.map_or(0, |policy| policy.priority);
        self.send(place, priority);
    }

    /// An advert leaves, if the fence lets it, and is answered at once if it loses.
    fn send(&mut self, place: Place, priority: u8) {
        if !self.nodes[place].plane.lets_out(priority, self.now) {
            return;
        }
        if let Some(answer) = self.carry(place, priority) {
            self.nodes[other(place)].plane.lets_out(answer, self.now);
            self.carry(other(place), answer);
        }
    }

    /// Carries an advert to the other node, whose data plane may answer it.
    fn carry(&mut self, from: Place, priority: u8) -> Option<u8> {
        let lost = self.is_cut(LAN, from) || self.faults.contains(&Fault::AdvertsLost(from));
        let (now, settings, to) = (self.now, self.settings, other(from));
        let frame = Frame { source: source(from), priority, interval: span(settings.interval) };
        let node = &mut self.nodes[to];
        if lost || !node.alive {
            return None;
        }
        node.frames[LAN] = Some(now);
        let borne_out = node.known.bears_out(priority, now);
        node.plane.receive(frame, node.known.peer, borne_out, source(to), now, &settings)
    }

    /// A request on every path, and what comes back of it.
    fn exchange(&mut self, place: Place) -> [bool; PATHS] {
        let (now, there) = (self.now, other(place));
        let mut answered = [false; PATHS];
        if !self.nodes[there].alive {
            return answered;
        }
        for (path, answered) in answered.iter_mut().enumerate() {
            if self.is_cut(path, place) {
                continue;
            }
            let word = self.nodes[place].word(now, &self.settings);
            self.nodes[there].frames[path] = Some(now);
            self.nodes[there].known.hear(path, word, false, now);
            if !self.is_cut(path, there) {
                let word = self.nodes[there].word(now, &self.settings);
                self.nodes[place].frames[path] = Some(now);
                self.nodes[place].known.hear(path, word, true, now);
                *answered = true;
            }
        }
        answered
    }

    /// A controller that runs is Active under a grant from before its lease lapsed.
    pub fn acts_past_a_lapse(&self) -> bool {
        self.nodes.iter().filter(|node| node.runs()).any(|node| {
            let policy = node.plane.policy.filter(|policy| policy.role == Role::Active);
            node.lapsed.zip(policy).is_some_and(|(lapsed, policy)| policy.epoch < lapsed.as_nanos())
        })
    }

    /// A controller stands still for longer than its lease, and the node owns.
    pub fn owns_past_its_lease(&self) -> bool {
        let lease = span(self.settings.lease);
        self.nodes
            .iter()
            .any(|node| node.paused.is_some_and(|since| self.now >= since + lease) && node.owns(self.now))
    }

    /// A Backup is held by a word that outlasts the other's lease.
    pub fn vouches_past_the_lease(&self) -> bool {
        (0..self.nodes.len()).any(|place| {
            let view = self.nodes[place].view().filter(|_| self.nodes[place].runs());
            let until = view.and_then(|view| view.vouched_until);
            until.is_some_and(|until| until > self.nodes[other(place)].plane.lease_until)
        })
    }

    /// A Backup's timer has run out and the owner is vouched for.
    pub fn vouches(&self) -> bool {
        self.nodes.iter().filter_map(Node::view).any(|view| view.vouched_until.is_some())
    }
}
