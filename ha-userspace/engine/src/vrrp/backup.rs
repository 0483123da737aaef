//! The Backup: Active_Down_Timer, release by the owner, preemption and its delay (RFC 9568 section 6.4.2).

use super::election::{self, Standing};
use super::instance::{Consequence, Router, Sender, State};
use super::transitions::Reason;
use crate::action::{Action, Cause, Notice};
use crate::config::PeerId;
use crate::engine::Outbox;
use crate::input::Advert;
use crate::time::{Duration, Instant};
use core::net::IpAddr;

/// Where a Backup stands towards a lower-priority owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Preemption {
    /// None is heard.
    Idle,
    /// One is heard and left alone for `preempt_delay`.
    Waiting { began: Instant },
    /// The delay is over: its adverts no longer count.
    Ready,
}

/// An Active_Down_Timer that has run out while the group holds the router.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Silence {
    pub(crate) since: Instant,
    pub(crate) reason: Reason,
    /// The operator has been told that the group is split.
    pub(crate) reported: bool,
}

/// The owner's peer fell silent on every path.
#[derive(Clone, Copy, Debug, Hash)]
struct Lost {
    peer: PeerId,
    /// First missed check.
    since: Instant,
    /// Its adverts after this take it back.
    adverts_from: Instant,
    /// When to take over.
    due: Instant,
}

/// What a Backup keeps.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Backup {
    /// No advert counts as older than this: when the state was entered.
    floor: Instant,
    /// Active_Down_Timer: `span` after `base`.
    base: Instant,
    pub(crate) span: Duration,
    /// The timer has run out.
    pub(crate) silence: Option<Silence>,
    /// When the owner stepped down, until something else is heard.
    released_at: Option<Instant>,
    /// The addresses were ordered to be ready, for the succession.
    prepared: bool,
    /// The timer was put off because of our own stall; once until an advert is heard.
    deferred: bool,
    /// The timer has run out and the owner is vouched for until then.
    vouched_until: Option<Instant>,
    lost: Option<Lost>,
    pub(super) preemption: Preemption,
    /// Lower-priority owner last heard.
    pub(super) lower: Option<(Sender, Instant)>,
}

impl Backup {
    pub(super) fn watching(floor: Instant, base: Instant, span: Duration) -> Self {
        Backup {
            floor,
            base,
            span,
            silence: None,
            released_at: None,
            prepared: false,
            deferred: false,
            vouched_until: None,
            lost: None,
            preemption: Preemption::Idle,
            lower: None,
        }
    }

    pub(super) fn down_deadline(&self) -> Option<Instant> {
        let ends = self.vouched_until.unwrap_or(self.base + self.span);
        let lost = self.lost.map(|lost| lost.due);
        self.silence.is_none().then_some(lost.map_or(ends, |due| due.min(ends)))
    }

    pub(super) fn deadline(&self, preempt_delay: Duration) -> Option<Instant> {
        let delay = match self.preemption {
            Preemption::Waiting { began } => Some(began + preempt_delay),
            Preemption::Idle | Preemption::Ready => None,
        };
        self.down_deadline().into_iter().chain(delay).min()
    }

    fn arm(&mut self, at: Instant, span: Duration) {
        self.base = at.max(self.floor);
        self.span = span;
        self.silence = None;
        self.deferred = false;
        self.vouched_until = None;
        self.lost = self.lost.filter(|lost| at <= lost.adverts_from);
    }
}

impl Router {
    pub(super) fn backup_hears(&mut self, now: Instant, advert: &Advert, out: &mut Outbox) -> Consequence {
        let standing = election::standing(self.own_priority(), self.wants_preemption(), advert.priority);
        match standing {
            Standing::Released => {
                let consequence = self.owner_released(advert);
                self.settle_preparation(out);
                return consequence;
            }
            Standing::Deferred => self.accept(advert, Preemption::Idle),
            Standing::Lower => self.hear_lower(now, advert),
        }
        self.settle_preparation(out);
        self.sync_policy(out);
        Consequence::None
    }

    /// The owner speaks: adopt its interval and restart the timer (V-079).
    fn accept(&mut self, advert: &Advert, preemption: Preemption) {
        let State::Backup(backup) = &self.state else { return };
        if backup.released_at.is_some_and(|released| advert.at < released) {
            return;
        }
        self.adopt(advert);
        let at = self.hearing.last_at.unwrap_or(advert.at);
        let span = self.active_down();
        let own_priority = self.own_priority();
        let State::Backup(backup) = &mut self.state else { return };
        backup.arm(at, span);
        backup.released_at = None;
        backup.preemption = preemption;
        let sender = Sender { source: advert.source, priority: advert.priority };
        backup.lower = (advert.priority < own_priority).then_some((sender, at));
    }

    /// A lower-priority owner while preempting: ignored (V-082, V-098), except for the length of the delay.
    fn hear_lower(&mut self, now: Instant, advert: &Advert) {
        let delayed = self.delays_preemption();
        let State::Backup(backup) = &mut self.state else { return };
        match backup.preemption {
            Preemption::Waiting { began } => self.accept(advert, Preemption::Waiting { began }),
            Preemption::Idle if delayed => self.accept(advert, Preemption::Waiting { began: now }),
            Preemption::Idle | Preemption::Ready => {
                let sender = Sender { source: advert.source, priority: advert.priority };
                backup.lower = Some((sender, advert.at));
                // Whoever is to be displaced anyway is not waited for.
                backup.vouched_until = None;
            }
        }
    }

    fn delays_preemption(&self) -> bool {
        self.config.preempt_delay > Duration::ZERO && self.config.priority != election::OWNER
    }

    /// Starts or ends the delay when something other than an advert changed what we want.
    pub(super) fn consider_preemption(&mut self, now: Instant) {
        let lower = self.hearing.owner.is_some_and(|owner| {
            owner.priority != election::RELEASED && owner.priority < self.own_priority()
        });
        let waits = self.wants_preemption() && self.delays_preemption() && lower;
        let State::Backup(backup) = &mut self.state else { return };
        backup.preemption = match backup.preemption {
            Preemption::Idle if waits => Preemption::Waiting { began: now },
            kept @ (Preemption::Waiting { .. } | Preemption::Ready) if waits => kept,
            Preemption::Idle | Preemption::Waiting { .. } | Preemption::Ready => Preemption::Idle,
        };
        if lower && backup.lower.is_none() {
            backup.lower = self.hearing.owner.zip(self.hearing.last_at);
        }
    }

    /// Priority 0: Skew_Time is left, of the interval already learned (V-083, V-084). A repetition extends nothing.
    fn owner_released(&mut self, advert: &Advert) -> Consequence {
        let superseded = self.hearing.last_at.is_some_and(|last| advert.at < last);
        let State::Backup(backup) = &self.state else { return Consequence::None };
        if superseded || backup.released_at.is_some() {
            return Consequence::None;
        }
        self.note(advert);
        self.await_succession(advert.at, advert.at);
        Consequence::PeerReleased { source: advert.source, at: advert.at }
    }

    /// The owner stepped down at `released`: Skew_Time is left, counted from `base`.
    fn await_succession(&mut self, released: Instant, base: Instant) {
        self.suspended = false;
        let span = self.skew();
        let State::Backup(backup) = &mut self.state else { return };
        backup.released_at = Some(released);
        backup.preemption = Preemption::Idle;
        backup.lower = None;
        if backup.silence.is_none() {
            backup.arm(base, span);
        }
    }

    /// Has the addresses ready while a succession is awaited, and no longer.
    fn settle_preparation(&mut self, out: &mut Outbox) {
        let router = self.config.id;
        let State::Backup(backup) = &mut self.state else { return };
        let awaited = backup.released_at.is_some();
        if awaited && !backup.prepared {
            out.push(Action::PrepareAddresses { router });
        } else if backup.prepared && !awaited {
            out.push(Action::RemoveAddresses { router });
        }
        backup.prepared = awaited;
    }

    /// Takes back what was prepared, on the way out of Backup to anything but Active.
    pub(super) fn abandon_preparation(&mut self, out: &mut Outbox) {
        let router = self.config.id;
        if let State::Backup(backup) = &mut self.state
            && core::mem::take(&mut backup.prepared)
        {
            out.push(Action::RemoveAddresses { router });
        }
    }

    /// The owner of another member stepped down at `at`, and with it the whole group. Where the same sender owns this
    /// router, its word counts here as well. Where it has another address on this segment it is given one more interval
    /// to be heard, in which an owner that lives would speak; a segment that lost its link need not wait for three.
    pub(crate) fn owner_released_elsewhere(&mut self, source: IpAddr, at: Instant, out: &mut Outbox) {
        let interval = self.learned_interval();
        let (Some(owner), Some(last)) = (self.hearing.owner, self.hearing.last_at) else { return };
        let State::Backup(backup) = &self.state else { return };
        if owner.priority == election::RELEASED || last > at || backup.released_at.is_some() {
            return;
        }
        let base = if owner.source == source { at } else { at.max(last + interval) };
        if backup.down_deadline().is_some_and(|deadline| base + self.skew() < deadline) {
            self.await_succession(at, base);
            self.settle_preparation(out);
            self.sync_policy(out);
        }
    }

    /// The data plane absorbed an advert of the owner at `at`.
    pub(crate) fn absorbed(&mut self, now: Instant, at: Instant, out: &mut Outbox) {
        let at = at.min(now);
        let span = self.active_down();
        let own_priority = self.own_priority();
        let State::Backup(backup) = &mut self.state else { return };
        let stale = backup.released_at.is_some_and(|released| at <= released);
        if stale || self.hearing.last_at.is_some_and(|last| at <= last) {
            return;
        }
        self.hearing.last_at = Some(at);
        backup.lost = backup.lost.filter(|lost| at <= lost.adverts_from);
        let released = backup.released_at.take().is_some();
        let vouched = backup.vouched_until.is_some();
        if released || vouched || at + span > backup.base + backup.span {
            backup.arm(at, span);
        }
        if let Some(owner) = self.hearing.owner
            && owner.priority < own_priority
        {
            backup.lower = Some((owner, at));
        }
        self.settle_preparation(out);
        self.sync_policy(out);
    }

    /// Our own stall ended at `ended` on an interface where nothing at all was heard: what ran out in it is judged
    /// again one Active_Down_Interval later, once.
    pub(crate) fn stalled(&mut self, ended: Instant, out: &mut Outbox) {
        let span = self.active_down();
        let router = self.config.id;
        let State::Backup(backup) = &mut self.state else { return };
        let ran_out = backup.down_deadline().is_some_and(|deadline| deadline <= ended);
        if !ran_out || backup.deferred || backup.released_at.is_some() {
            return;
        }
        backup.arm(ended, span);
        backup.deferred = true;
        out.push(Action::Notify(Notice::Deferred { router, until: backup.base + span }));
    }

    /// Runs the timers of a Backup that are due.
    pub(super) fn backup_timeout(
        &mut self,
        now: Instant,
        vouched: Option<(PeerId, Instant)>,
        out: &mut Outbox,
    ) -> Consequence {
        let delay = self.config.preempt_delay;
        let State::Backup(backup) = &mut self.state else { return Consequence::None };
        if let Preemption::Waiting { began } = backup.preemption
            && began + delay <= now
        {
            backup.preemption = Preemption::Ready;
        }
        let Some(due) = backup.down_deadline().filter(|deadline| *deadline <= now) else {
            self.sync_policy(out);
            return Consequence::None;
        };
        let reason = self.reason_of_expiry(now, due);
        if reason.cause == Cause::AdvertTimeout
            && let Some((peer, until)) = vouched
        {
            self.vouch(peer, until, out);
            self.sync_policy(out);
            return Consequence::None;
        }
        self.suspended = false;
        let State::Backup(backup) = &mut self.state else { return Consequence::None };
        backup.silence = Some(Silence { since: now, reason, reported: false });
        backup.deferred = false;
        Consequence::Silent
    }

    /// A lower-priority owner counts as displaced, not as lost, if it was heard within the interval that ran out.
    fn reason_of_expiry(&self, now: Instant, due: Instant) -> Reason {
        let lateness = now.since(due);
        let State::Backup(backup) = &self.state else { return Reason::plain(Cause::AdvertTimeout) };
        if backup.released_at.is_some() {
            return Reason { cause: Cause::PriorityZero, decided_by: None, lateness };
        }
        if backup.lost.is_some_and(|lost| lost.due <= now) {
            return Reason { cause: Cause::PeerUnhealthy, decided_by: None, lateness };
        }
        let timed_out = if backup.vouched_until.is_some() { Cause::VouchEnded } else { Cause::AdvertTimeout };
        match backup.lower.filter(|(_, at)| self.preempts() && *at + backup.span >= due) {
            Some((sender, _)) => Reason { cause: Cause::Preemption, decided_by: Some(sender), lateness },
            None => Reason { cause: timed_out, decided_by: None, lateness },
        }
    }

    /// The owner is vouched for until `until`; told once per silence.
    fn vouch(&mut self, peer: PeerId, until: Instant, out: &mut Outbox) {
        let router = self.config.id;
        let State::Backup(backup) = &mut self.state else { return };
        if backup.vouched_until.replace(until).is_none() {
            out.push(Action::Notify(Notice::Vouched { router, peer, until }));
        }
    }

    pub(crate) fn vouched_until(&self) -> Option<Instant> {
        match &self.state {
            State::Backup(backup) => backup.vouched_until,
            State::Initialize | State::Active(_) => None,
        }
    }

    /// Last word of the owner; where there was none, the moment from which silence counts.
    pub(crate) fn silent_from(&self) -> Option<Instant> {
        match &self.state {
            State::Backup(backup) => {
                Some(self.hearing.last_at.map_or(backup.floor, |at| at.max(backup.floor)))
            }
            State::Initialize | State::Active(_) => None,
        }
    }

    /// What a peer reports has changed: a hold that rested on its word is judged again now.
    pub(crate) fn review_vouch(&mut self, now: Instant, vouched: Option<(PeerId, Instant)>) {
        let State::Backup(backup) = &mut self.state else { return };
        if backup.vouched_until.is_some() {
            backup.vouched_until = Some(vouched.map_or(now, |(_, until)| until));
        }
    }

    /// The peer that owned the router has been silent on every path since `since`: take over at `due`, unless its adverts
    /// were heard after `adverts_from`.
    pub(crate) fn owner_lost(&mut self, peer: PeerId, since: Instant, adverts_from: Instant, due: Instant) {
        let spoke_later = self.hearing.last_at.is_some_and(|at| at > adverts_from);
        let State::Backup(backup) = &mut self.state else { return };
        if !spoke_later && backup.released_at.is_none() && backup.silence.is_none() {
            backup.lost = Some(Lost { peer, since, adverts_from, due });
        }
    }

    /// The silent peer from which this Backup is to take over, and since when it has been silent.
    pub(crate) fn lost(&self) -> Option<(PeerId, Instant)> {
        match &self.state {
            State::Backup(backup) => backup.lost.map(|lost| (lost.peer, lost.since)),
            State::Initialize | State::Active(_) => None,
        }
    }

    /// Not before `due`, for it has spoken since.
    pub(crate) fn postpone_takeover(&mut self, due: Instant) {
        if let State::Backup(backup) = &mut self.state
            && let Some(lost) = &mut backup.lost
        {
            lost.due = lost.due.max(due);
        }
    }

    /// It is heard again.
    pub(crate) fn owner_found(&mut self) {
        if let State::Backup(backup) = &mut self.state {
            backup.lost = None;
        }
    }

    /// A lower-priority owner is heard and about to be displaced.
    pub(super) fn displaces_owner(&self) -> bool {
        let State::Backup(backup) = &self.state else { return false };
        self.preempts() && backup.lower.is_some_and(|(sender, _)| sender.priority < self.own_priority())
    }

    /// An owner that is to be displaced no more counts again. What it said while it was ignored has restarted no timer, so it is
    /// given one more interval to be heard, in which one that lives would speak.
    pub(super) fn heed_owner(&mut self, now: Instant, was_displacing: bool) {
        if !was_displacing || self.displaces_owner() {
            return;
        }
        let (span, skew, interval) = (self.active_down(), self.skew(), self.learned_interval());
        if let State::Backup(backup) = &mut self.state {
            let lost = backup.lost;
            backup.arm(backup.base.max(now + interval + skew - span), span);
            backup.lost = lost;
        }
    }

    /// A changed priority or interval moves the end of the running timer, not its beginning.
    pub(super) fn rederive_timer(&mut self) {
        let (skew, down) = (self.skew(), self.active_down());
        let State::Backup(backup) = &mut self.state else { return };
        backup.span = if backup.released_at.is_some() { skew } else { down };
    }
}
