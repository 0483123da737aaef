//! A pass of the simulated controller, in the daemon's order.
//!
//! What the data plane saw is read before timers are judged, a lapsed lease is admitted before it is extended, and the lease
//! is extended only after the whole pass. A crash in the middle of it ends it there.

use super::{EXTENSIONS_PER_SPAN, LONGEST_LEAVING, Node, Process, SHORTEST_STALL, WAKE_LATENCY};
use crate::air::Air;
use crate::plane::Record;
use holdfast_engine::{BypassAction, Duration, Health, Input, Instant, PeerId};

impl Node {
    pub(super) fn pass(&mut self, air: &mut Air, now: Instant) {
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
            self.engine.handle_input(now, Input::Peer { peer: PeerId(peer as u16), report });
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

    pub(super) fn settle_bypass(&mut self, air: &mut Air, now: Instant) {
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

    pub(super) fn write_lease(&mut self, now: Instant) {
        self.lease_extended = now;
        self.plane.lease_until = now + self.setting.lease;
    }

    /// Plans the next wake-up.
    pub(super) fn sleep(&mut self, air: &mut Air, now: Instant) {
        let leaving = self.stood_down_at.map(|at| at + LONGEST_LEAVING);
        let fitness = self.fitness.next_wake(&self.wire, now);
        let others = self.engine.next_deadline().into_iter().chain(fitness).chain(leaving);
        self.planned_wake = others.fold(self.lease_due(), Instant::min).max(now);
        self.pass_ended = now;
        self.frames_then = self.frames(air);
        let late = air.dice.between(WAKE_LATENCY.0, self.burden.lateness);
        self.wake = self.planned_wake + Duration::from_nanos(late);
    }
}
