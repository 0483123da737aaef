//! The engine: hands each input to the routers it concerns, draws the consequences for their groups, and queues actions.
//!
//! Deadlines are kept in an ordered index beside the routers, so that the next one costs nothing to know and a timeout
//! touches only what is due. Input comes from the driver; nothing here does I/O or knows the time by itself.

use crate::action::{Action, Cause};
use crate::config::{InterfaceId, PeerId, RouterId};
use crate::groups::Groups;
use crate::input::{Advert, Input};
use crate::peers::{PeerReport, Peers};
use crate::time::Instant;
use crate::view::RouterView;
use crate::vrrp::{Consequence, ReleaseKind, Router};
use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Grants are numbered by the clock where possible; beyond this, only by succession.
const LAST_CLOCK_EPOCH: u64 = u64::MAX / 2;

/// Actions in order, and the numbers of grants.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Outbox {
    actions: VecDeque<Action>,
    last_epoch: u64,
}

impl Outbox {
    pub(crate) fn push(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    /// A grant number above every earlier one, also above those of an earlier run on this boot clock: a revocation that
    /// outlived its controller in the pinned map must not hit a new grant.
    pub(crate) fn grant(&mut self, now: Instant) -> u64 {
        self.last_epoch = now.as_nanos().min(LAST_CLOCK_EPOCH).max(self.last_epoch.saturating_add(1));
        self.last_epoch
    }
}

/// Every virtual router of this node.
#[derive(Clone, Debug, Default, Hash)]
pub struct Engine {
    routers: BTreeMap<RouterId, Router>,
    interfaces: BTreeMap<InterfaceId, bool>,
    pub(crate) groups: Groups,
    agenda: BTreeSet<(Instant, RouterId)>,
    entered: BTreeMap<RouterId, Instant>,
    touched: BTreeSet<RouterId>,
    pub(crate) out: Outbox,
    pub(crate) peers: Peers,
    /// When frames of any kind were last received on an interface.
    pub(crate) frames: BTreeMap<InterfaceId, Instant>,
    /// Standing down by order; true once everything is given up.
    pub(crate) stood_down: Option<bool>,
    stopping: bool,
    stopped: bool,
}

impl Engine {
    pub fn new() -> Self {
        Self::default()
    }

    /// Something happened. Drain [`Engine::poll_action`] afterwards.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        match input {
            Input::Configured(config) => self.configure(now, config),
            Input::Interface { interface, up } => self.interface(now, interface, up),
            Input::Source { router, address } => self.source(now, router, address),
            Input::Advert { router, advert } => self.advert(now, router, &advert),
            Input::Uncorroborated { router, peer, advert } => self.uncorroborated(now, router, peer, advert),
            Input::Peer { peer, report } => self.peer_report(now, peer, report),
            Input::PeerHealth { peer, health, silent_since } => {
                self.peer_health(now, peer, health, silent_since);
            }
            Input::Muzzled { peer, muzzled } => self.peer_muzzled(now, peer, muzzled),
            Input::Frames { interface, at } => {
                self.frames.insert(interface, at);
            }
            Input::Standing { router, standing } => self.fitness(now, router, standing),
            Input::StandDown { cause } => self.stand_down(now, cause),
            Input::StandUp => self.stand_up(now),
            Input::Heard { router, at } => {
                self.with(router, |router, out| router.absorbed(now, at, out));
                self.heard_in_group(router);
            }
            Input::LeaseLapsed { at: _ } => {
                let stopping = self.stopping;
                self.with_all(|router, out| router.lease_lapsed(now, stopping, out));
            }
            Input::Stalled { began: _, ended, silent } => self.with_all(|router, out| {
                if silent.contains(&router.config.interface) {
                    router.stalled(ended.min(now), out);
                }
            }),
            Input::AddressesAdded { router, outcome } => {
                self.with(router, |router, out| router.addresses_added(now, outcome, out));
            }
            Input::AddressLost { router } => self.with(router, |router, out| router.address_lost(now, out)),
            Input::Failover { group, cause } if !self.stopping => self.failover(now, group, cause),
            Input::Failover { .. } => {}
            Input::Shutdown => self.shutdown(now),
        }
        self.settle();
    }

    /// Runs every timer that is due at `now`. Feed [`Input::Heard`] for [`Engine::due_routers`] first.
    pub fn handle_timeout(&mut self, now: Instant) {
        let mut groups = BTreeSet::new();
        for id in self.due(now) {
            let vouched = self.vouched(now, id);
            let ran_out = self.touch(id).map(|(router, out)| router.timeout(now, vouched, out));
            if ran_out != Some(Consequence::Silent) {
                continue;
            }
            match self.router(id).and_then(|router| router.config.group) {
                Some(group) => {
                    groups.insert(group);
                }
                None => self.promote(now, id),
            }
        }
        self.decide_groups(now, &groups);
        self.settle();
    }

    /// When to call [`Engine::handle_timeout`] next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.agenda.first().map(|(at, _)| *at)
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.out.actions.pop_front()
    }

    /// Backups that are judged at `now`: those whose Active_Down_Timer is due, and the members of their groups whose
    /// timer ran out earlier. The data plane may have heard the owner since: feed [`Input::Heard`] for each, then call
    /// [`Engine::handle_timeout`].
    pub fn due_routers(&self, now: Instant) -> Vec<RouterId> {
        let mut judged = BTreeSet::new();
        for id in self.due(now) {
            let Some(router) = self.routers.get(&id).filter(|router| router.is_down_due(now)) else {
                continue;
            };
            judged.insert(id);
            let mates = router.config.group.map_or_else(Vec::new, |group| self.groups.members(group));
            judged
                .extend(mates.into_iter().filter(|mate| self.routers.get(mate).is_some_and(Router::is_held)));
        }
        judged.into_iter().collect()
    }

    /// Status of one router.
    pub fn view(&self, router: RouterId) -> Option<RouterView> {
        self.routers.get(&router).map(Router::view)
    }

    /// What a peer said last.
    pub fn peer(&self, id: PeerId) -> Option<&PeerReport> {
        self.peers.get(id).map(|peer| &peer.report)
    }

    /// Whether a peer's word still speaks for it.
    pub fn is_peer_fresh(&self, id: PeerId, now: Instant) -> bool {
        self.peers.get(id).is_some_and(|peer| self.peers.is_fresh(peer, now))
    }

    /// Status of every router, by id.
    pub fn routers(&self) -> impl Iterator<Item = RouterView> {
        self.routers.values().map(Router::view)
    }

    fn due(&self, now: Instant) -> Vec<RouterId> {
        self.agenda.iter().take_while(|(at, _)| *at <= now).map(|(_, id)| *id).collect()
    }

    pub(crate) fn router(&self, id: RouterId) -> Option<&Router> {
        self.routers.get(&id)
    }

    pub(crate) fn roster(&self) -> impl Iterator<Item = &Router> {
        self.routers.values()
    }

    /// A router to change, with the outbox; its deadline is indexed anew by [`Engine::settle`].
    pub(crate) fn touch(&mut self, id: RouterId) -> Option<(&mut Router, &mut Outbox)> {
        let router = self.routers.get_mut(&id)?;
        self.touched.insert(id);
        Some((router, &mut self.out))
    }

    fn with(&mut self, id: RouterId, change: impl FnOnce(&mut Router, &mut Outbox)) {
        if let Some((router, out)) = self.touch(id) {
            change(router, out);
        }
    }

    fn with_all(&mut self, mut change: impl FnMut(&mut Router, &mut Outbox)) {
        self.touched.extend(self.routers.keys().copied());
        for router in self.routers.values_mut() {
            change(router, &mut self.out);
        }
    }

    pub(crate) fn insert(&mut self, router: Router) {
        self.touched.insert(router.config.id);
        self.routers.insert(router.config.id, router);
    }

    pub(crate) fn remove(&mut self, id: RouterId) -> Option<Router> {
        self.touched.insert(id);
        self.routers.remove(&id)
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// A valid advert that counts.
    pub(crate) fn advert(&mut self, now: Instant, router: RouterId, advert: &Advert) {
        if self.is_foreign_release(router, advert) {
            return;
        }
        let heard = self.touch(router).map(|(router, out)| router.hears(now, advert, out));
        self.draw(now, router, heard.unwrap_or(Consequence::None));
        self.heard_in_group(router);
    }

    /// What a change of one router means for its group.
    fn draw(&mut self, now: Instant, id: RouterId, consequence: Consequence) {
        match consequence {
            Consequence::None | Consequence::Silent => {}
            Consequence::LeftActive => self.group_left(now, id),
            Consequence::PeerReleased { source, at } => self.group_released(id, source, at),
        }
    }

    fn interface(&mut self, now: Instant, interface: InterfaceId, up: bool) {
        self.interfaces.insert(interface, up);
        let concerned: Vec<RouterId> = self
            .routers
            .values()
            .filter(|router| router.config.interface == interface)
            .map(|router| router.config.id)
            .collect();
        if up {
            concerned.into_iter().for_each(|id| self.try_start(now, id));
        } else {
            self.stop_all(now, &concerned, Cause::InterfaceDown);
        }
    }

    fn source(&mut self, now: Instant, id: RouterId, address: Option<IpAddr>) {
        self.with(id, |router, _| router.source = address);
        if address.is_some() {
            self.try_start(now, id);
        } else {
            self.stop_all(now, &[id], Cause::SourceLost);
        }
    }

    /// To Initialize, all of them first, so that none leaves for the sake of another.
    fn stop_all(&mut self, now: Instant, routers: &[RouterId], cause: Cause) {
        let mut left = Vec::new();
        for id in routers {
            if let Some((router, out)) = self.touch(*id)
                && router.initialize(now, cause, out)
            {
                left.push(*id);
            }
        }
        for id in left {
            self.group_left(now, id);
        }
    }

    pub(crate) fn try_start(&mut self, now: Instant, id: RouterId) {
        let up = self.routers.get(&id).and_then(|router| self.interfaces.get(&router.config.interface));
        if up == Some(&true) && !self.stopping && self.stood_down.is_none() {
            self.with(id, |router, out| router.start(now, out));
        }
    }

    /// Graceful stop: Backups go silently (V-093), Actives release (V-100).
    fn shutdown(&mut self, now: Instant) {
        self.stopping = true;
        self.leave_all(now, Cause::Shutdown);
    }

    pub(crate) fn leave_all(&mut self, now: Instant, cause: Cause) {
        self.with_all(|router, out| match router.release_window() {
            Some(window) => router.release(now, ReleaseKind::Leave { cause }, window, out),
            None => {
                router.initialize(now, cause, out);
            }
        });
    }

    /// Indexes the deadlines of what changed, and reports the end of a graceful stop once.
    fn settle(&mut self) {
        for id in core::mem::take(&mut self.touched) {
            let deadline = self.routers.get(&id).and_then(Router::deadline);
            let before = match deadline {
                Some(at) => self.entered.insert(id, at),
                None => self.entered.remove(&id),
            };
            if before == deadline {
                continue;
            }
            if let Some(at) = before {
                self.agenda.remove(&(at, id));
            }
            if let Some(at) = deadline {
                self.agenda.insert((at, id));
            }
        }
        let at_rest = || self.routers.values().all(Router::is_at_rest);
        if self.stood_down == Some(false) && !self.stopping && at_rest() {
            self.stood_down = Some(true);
            self.out.push(Action::StoodDown);
        }
        if self.stopping && !self.stopped && at_rest() {
            self.stopped = true;
            self.out.push(Action::Stopped);
        }
    }
}
