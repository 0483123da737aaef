//! What the engine orders, and what else a node says and does because of it.
//!
//! Orders that the engine must never give are noted in `misdeeds`. Those to the kernel are carried out one after the other, each
//! in its time.

use super::{Node, Order, Process};
use crate::air::Air;
use crate::plane::Said;
use crate::prober::Surroundings;
use holdfast_engine::{Action, FlapUnit, Input, Instant, Role, RouterId, Transition};

impl Node {
    pub(super) fn perform(&mut self, air: &mut Air, now: Instant) {
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

    pub(super) fn finish_effects(&mut self, air: &mut Air, now: Instant) {
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
}
