//! The ways between the states, each with its actions in the order in which they must take effect.
//!
//! Into Active: the grant first, then the advert, then the addresses (V-090, V-094, V-137). Out of it: the schedule
//! stops, the grant ends (which fences the addresses), then the addresses go.

use super::active::Active;
use super::backup::Backup;
use super::election::{self, RELEASED};
use super::instance::{Impairment, Router, Sender, State};
use crate::action::{Action, Cause, Notice, Role, Transition};
use crate::config::RouterConfig;
use crate::engine::Outbox;
use crate::input::Standing;
use crate::time::{Duration, Instant};

/// Why a router moves, and what its [`Transition`] shall say.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Reason {
    pub(crate) cause: Cause,
    /// The advert that decided; `None` stands for the last owner heard.
    pub(crate) decided_by: Option<Sender>,
    /// How late the engine was called for the timer that decided. A wait for the group is no lateness.
    pub(crate) lateness: Duration,
}

impl Reason {
    pub(crate) fn plain(cause: Cause) -> Self {
        Reason { cause, decided_by: None, lateness: Duration::ZERO }
    }
}

/// Where a router that leaves Active goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Destination {
    Initialize,
    /// Backup, with Active_Down_Timer running since `base`.
    Backup {
        base: Instant,
    },
}

impl Router {
    /// Initialize to Backup, or to Active for the address owner (RFC 9568 section 6.4.1).
    pub(crate) fn start(&mut self, now: Instant, out: &mut Outbox) {
        if !matches!(self.state, State::Initialize) || self.source.is_none() {
            return;
        }
        self.hearing.learned = None;
        self.hearing.owner = None;
        if self.config.priority == election::OWNER {
            self.activate(now, Reason::plain(Cause::OwnerStartup), out);
            return;
        }
        self.state = State::Backup(Backup::watching(now, now, self.active_down()));
        self.sync_policy(out);
        let span = self.active_down();
        self.record(now, Role::Initialize, Some(span), Reason::plain(Cause::Startup), out);
    }

    /// To Active (V-090, V-094).
    pub(crate) fn activate(&mut self, now: Instant, reason: Reason, out: &mut Outbox) {
        let from = self.role();
        let span = match &self.state {
            State::Backup(backup) => Some(backup.span),
            State::Initialize | State::Active(_) => None,
        };
        let router = self.config.id;
        self.hearing.learned = None;
        self.suspended = false;
        // Without peers to ask, whoever takes over although unfit is the last resort: it keeps what nobody better took.
        if self.config.unit.is_none() && self.unfit().is_some() {
            self.in_vain_at = Some(now);
        }
        self.entries_to_active = self.entries_to_active.saturating_add(1);
        self.state = State::Active(Active::granted(out.grant(now), now));
        self.sync_policy(out);
        out.push(Action::StartAdverts { router, interval: self.config.advertisement_interval });
        out.push(Action::AddAddresses { router });
        self.record(now, from, span, reason, out);
    }

    /// From Active to `destination`. With `say_so`, one advert of priority 0 goes out, unless that was done already.
    pub(super) fn leave_active(
        &mut self,
        now: Instant,
        destination: Destination,
        say_so: bool,
        reason: Reason,
        out: &mut Outbox,
    ) {
        let State::Active(active) = &self.state else { return };
        let router = self.config.id;
        let waited = active.release.as_ref().map(|release| release.deadline.since(release.began));
        if waited.is_none() {
            out.push(Action::StopAdverts { router });
            if say_so {
                out.push(Action::SendAdvert { router, priority: RELEASED });
            }
        }
        self.state = match destination {
            Destination::Initialize => {
                self.pending.clear();
                State::Initialize
            }
            Destination::Backup { base } => State::Backup(Backup::watching(base, base, self.active_down())),
        };
        self.consider_preemption(now);
        self.sync_policy(out);
        out.push(Action::RemoveAddresses { router });
        self.record(now, Role::Active, waited, reason, out);
    }

    /// To Initialize from wherever it is, saying nothing on the wire (V-093, V-115). True if it was Active.
    pub(crate) fn initialize(&mut self, now: Instant, cause: Cause, out: &mut Outbox) -> bool {
        let reason = Reason::plain(cause);
        match &self.state {
            State::Initialize => false,
            State::Active(_) => {
                self.leave_active(now, Destination::Initialize, false, reason, out);
                true
            }
            State::Backup(backup) => {
                let span = backup.span;
                self.abandon_preparation(out);
                self.pending.clear();
                self.state = State::Initialize;
                self.sync_policy(out);
                self.record(now, Role::Backup, Some(span), reason, out);
                false
            }
        }
    }

    /// A changed configuration of the same router takes effect without leaving the state.
    pub(crate) fn reconfigure(&mut self, now: Instant, config: RouterConfig, out: &mut Outbox) {
        if self.config == config {
            return;
        }
        let readvertise = self.config.priority != config.priority
            || self.config.advertisement_interval != config.advertisement_interval;
        let displacing = self.displaces_owner();
        self.config = config;
        self.suspended = false;
        self.consider_preemption(now);
        self.rederive_timer();
        self.heed_owner(now, displacing);
        self.sync_running_policy(out);
        if readvertise {
            self.advertise_anew(out);
        }
    }

    /// An Active says at once what has changed about its adverts.
    pub(crate) fn advertise_anew(&mut self, out: &mut Outbox) {
        if matches!(&self.state, State::Active(active) if active.release.is_none()) {
            let (router, interval) = (self.config.id, self.config.advertisement_interval);
            out.push(Action::StartAdverts { router, interval });
        }
    }

    /// Something about this node's fitness changes; true if its adverts have to change.
    pub(crate) fn reassess(
        &mut self,
        now: Instant,
        change: impl FnOnce(&mut Standing, &mut Impairment),
        out: &mut Outbox,
    ) -> bool {
        let (priority, unfit) = (self.own_priority(), self.unfit());
        let (before, displacing) = (self.standing, self.displaces_owner());
        change(&mut self.standing, &mut self.impairment);
        if self.unfit() != unfit {
            self.in_vain_at = None;
            out.push(Action::Notify(Notice::Fitness { router: self.config.id, unfit: self.unfit() }));
        }
        if self.standing == before && self.own_priority() == priority {
            return false;
        }
        self.consider_preemption(now);
        self.rederive_timer();
        self.heed_owner(now, displacing);
        self.sync_running_policy(out);
        self.own_priority() != priority
    }

    fn record(
        &mut self,
        now: Instant,
        from: Role,
        deadline: Option<Duration>,
        reason: Reason,
        out: &mut Outbox,
    ) {
        let decided_by = reason.decided_by.or(self.hearing.owner);
        let transition = Transition {
            router: self.config.id,
            at: now,
            from,
            to: self.role(),
            cause: reason.cause,
            last_advert_age: self.hearing.last_at.map(|at| now.since(at)),
            peer: decided_by.map(|sender| (sender.source, sender.priority)),
            deadline,
            lateness: reason.lateness,
        };
        self.last_transition = Some(transition.clone());
        out.push(Action::Record(transition));
    }
}
