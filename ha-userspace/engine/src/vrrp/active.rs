//! The Active: contests, the graceful release, and keeping the addresses in place (RFC 9568 section 6.4.3).
//!
//! The data plane may already have ended the grant because of an advert. That is binding for the grant it names and
//! for no other; every advert is judged here all the same.

use super::election::{self, Contest, RELEASED};
use super::instance::{Consequence, Router, State};
use super::timers;
use super::transitions::{Destination, Reason};
use crate::action::{Action, Cause, Notice};
use crate::config::Version;
use crate::engine::Outbox;
use crate::input::Advert;
use crate::time::{Duration, Instant};

/// Immediate adverts per own interval (V-107).
const ANSWERS_PER_INTERVAL: u32 = 10;
/// Announcements because of a rival are not made sooner after the last one, nor sooner than one own interval.
const ANNOUNCE_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Addresses that could not be added are tried again.
const ADD_RETRY_AFTER: Duration = Duration::from_secs(1);
/// Addresses that somebody else removes are not put back sooner after the last time.
const RESTORE_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Why an Active releases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ReleaseKind {
    /// Backup afterwards, or Active again without a successor. `aside`: the successor is then left alone until it goes silent
    /// or releases.
    GiveWay { cause: Cause, aside: bool },
    /// Initialize afterwards.
    Leave { cause: Cause },
}

impl ReleaseKind {
    const fn is_final(self) -> bool {
        matches!(self, ReleaseKind::Leave { .. })
    }
}

/// Priority 0 was sent; the addresses are served until a successor is heard or the deadline passes.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Release {
    pub(crate) kind: ReleaseKind,
    pub(crate) began: Instant,
    pub(crate) deadline: Instant,
    /// Another member of the group has its successor: there is no way back.
    pub(crate) group_moved: bool,
}

/// Addresses to be added at `at`; `lost` if because somebody removed them.
#[derive(Clone, Copy, Debug, Hash)]
struct Readdition {
    at: Instant,
    lost: bool,
}

/// What an Active keeps.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Active {
    pub(crate) epoch: u64,
    pub(crate) since: Instant,
    pub(crate) release: Option<Release>,
    /// The addresses stand, as far as is known.
    addressed: bool,
    readdition: Option<Readdition>,
    restored_at: Option<Instant>,
    announced_at: Option<Instant>,
    announce_at: Option<Instant>,
    answers_since: Instant,
    answers: u32,
}

impl Active {
    pub(super) fn granted(epoch: u64, now: Instant) -> Self {
        Active {
            epoch,
            since: now,
            release: None,
            addressed: false,
            readdition: None,
            restored_at: None,
            announced_at: None,
            announce_at: None,
            answers_since: now,
            answers: 0,
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let release = self.release.map(|release| release.deadline);
        let readdition = self.readdition.map(|readdition| readdition.at);
        release.into_iter().chain(readdition).chain(self.announce_at).min()
    }

    fn may_answer(&mut self, now: Instant, interval: Duration) -> bool {
        if now >= self.answers_since + interval {
            self.answers_since = now;
            self.answers = 0;
        }
        let allowed = self.answers < ANSWERS_PER_INTERVAL;
        self.answers += u32::from(allowed);
        allowed
    }

    fn postpone(&mut self, at: Instant, lost: bool) {
        let earlier = self.readdition;
        self.readdition = Some(Readdition {
            at: earlier.map_or(at, |pending| pending.at.min(at)),
            lost: lost || earlier.is_some_and(|pending| pending.lost),
        });
    }
}

impl Router {
    pub(super) fn active_hears(&mut self, now: Instant, advert: &Advert, out: &mut Outbox) -> Consequence {
        let State::Active(active) = &self.state else { return Consequence::None };
        let revoked = advert.revoked && advert.epoch == active.epoch;
        // Older than the grant: it was weighed when the timer was judged, and may be all that a dead owner left behind.
        if advert.at < active.since && !revoked {
            return Consequence::None;
        }
        if let Some(release) = active.release {
            let succeeds = advert.priority != RELEASED && advert.at >= release.began;
            return if revoked || succeeds {
                self.succeeded(now, advert, release, out)
            } else {
                Consequence::None
            };
        }
        let contest = election::contest(self.own_priority(), self.source, advert.priority, advert.source);
        match contest {
            Contest::Lost(_) if self.discards_as_v2_owner() && !revoked => {}
            Contest::Lost(cause) => return self.yield_to(now, advert, cause, out),
            Contest::Won | Contest::Released if revoked => {
                return self.yield_to(now, advert, Cause::AdvertsOverdue, out);
            }
            Contest::Released => self.answer(now, advert, out),
            Contest::Won => {
                // VRRPv2 drops a losing advert silently (V-058).
                if self.config.version == Version::V3 {
                    self.answer(now, advert, out);
                }
                self.announce_against_rival(now, out);
            }
        }
        Consequence::None
    }

    /// RFC 3768 section 7.1 has the address owner discard adverts; the relief of EID 8298 is VRRPv3's (V-054, V-066).
    fn discards_as_v2_owner(&self) -> bool {
        self.config.version == Version::V2 && self.config.priority == election::OWNER
    }

    fn yield_to(&mut self, now: Instant, advert: &Advert, cause: Cause, out: &mut Outbox) -> Consequence {
        self.adopt(advert);
        let reason = Reason::plain(cause);
        // Whoever wins restarts the timer by its advert. One of lower priority does not: the timer begins as a Backup's
        // does, or a controller that reads of it late would preempt in the instant it yields.
        let base = if cause == Cause::AdvertsOverdue { now } else { advert.at };
        self.leave_active(now, Destination::Backup { base }, false, reason, out);
        Consequence::LeftActive
    }

    /// The successor is heard.
    fn succeeded(
        &mut self,
        now: Instant,
        advert: &Advert,
        release: Release,
        out: &mut Outbox,
    ) -> Consequence {
        self.adopt(advert);
        self.leave_to_successor(now, advert.at, release, out);
        Consequence::LeftActive
    }

    /// A peer says under its key that it owns the router since this one began to release.
    pub(crate) fn succeeded_by_claim(&mut self, now: Instant, release: Release, out: &mut Outbox) {
        self.leave_to_successor(now, now, release, out);
    }

    fn leave_to_successor(&mut self, now: Instant, base: Instant, release: Release, out: &mut Outbox) {
        match release.kind {
            ReleaseKind::GiveWay { cause, aside } => {
                self.suspended |= aside;
                let reason = Reason::plain(cause);
                self.leave_active(now, Destination::Backup { base }, false, reason, out);
            }
            ReleaseKind::Leave { cause } => {
                self.leave_active(now, Destination::Initialize, false, Reason::plain(cause), out);
            }
        }
    }

    /// The order to leave is taken back: what is releasing already ends as a Backup, or Active without a successor.
    pub(crate) fn stay(&mut self) {
        if let State::Active(active) = &mut self.state
            && let Some(release) = &mut active.release
            && let ReleaseKind::Leave { cause } = release.kind
        {
            release.kind = ReleaseKind::GiveWay { cause, aside: false };
        }
    }

    /// A peer is heard that was not: it may have owned meanwhile. It and the hosts hear from an Active at once (V-112).
    pub(crate) fn speak_up(&mut self, now: Instant, out: &mut Outbox) {
        let (router, priority) = (self.config.id, self.own_priority());
        let interval = self.config.advertisement_interval;
        let State::Active(active) = &mut self.state else { return };
        if active.release.is_none() && active.may_answer(now, interval) {
            out.push(Action::SendAdvert { router, priority });
            self.announce_against_rival(now, out);
        }
    }

    /// An advert at once, the schedule left as it is (V-102, V-105, V-106), unless the data plane has sent it.
    fn answer(&mut self, now: Instant, advert: &Advert, out: &mut Outbox) {
        let (router, priority) = (self.config.id, self.own_priority());
        let interval = self.config.advertisement_interval;
        let State::Active(active) = &mut self.state else { return };
        if !advert.answered && active.may_answer(now, interval) {
            out.push(Action::SendAdvert { router, priority });
        }
    }

    /// A beaten rival has told the hosts its own MAC: tell them ours again, after its last word at the latest.
    pub(crate) fn announce_against_rival(&mut self, now: Instant, out: &mut Outbox) {
        let pause = ANNOUNCE_AGAIN_AFTER.max(self.config.advertisement_interval);
        let State::Active(active) = &mut self.state else { return };
        if !active.addressed || active.announce_at.is_some() {
            return;
        }
        match active.announced_at.map(|at| at + pause) {
            Some(earliest) if earliest > now => active.announce_at = Some(earliest),
            Some(_) | None => self.announce(now, out),
        }
    }

    fn announce(&mut self, now: Instant, out: &mut Outbox) {
        let router = self.config.id;
        let State::Active(active) = &mut self.state else { return };
        active.announced_at = Some(now);
        active.announce_at = None;
        out.push(Action::Announce { router });
    }

    /// How long this router would serve without a successor; `None` unless it is Active.
    pub(crate) fn release_window(&self) -> Option<Duration> {
        matches!(self.state, State::Active(_))
            .then(|| timers::release_window(self.config.version, self.config.advertisement_interval))
    }

    /// Sends the one advert of priority 0 (V-100) and serves on until `window` is over.
    pub(crate) fn release(&mut self, now: Instant, kind: ReleaseKind, window: Duration, out: &mut Outbox) {
        let router = self.config.id;
        let State::Active(active) = &mut self.state else { return };
        if let Some(release) = &mut active.release {
            if kind.is_final() {
                release.kind = kind;
            }
            return;
        }
        active.announce_at = None;
        active.release = Some(Release { kind, began: now, deadline: now + window, group_moved: false });
        // Stopped first, so that the schedule cannot send a second advert of priority 0.
        out.push(Action::StopAdverts { router });
        self.sync_policy(out);
        out.push(Action::SendAdvert { router, priority: RELEASED });
    }

    /// Another member has left Active: leave too, or, while releasing, do not come back.
    pub(crate) fn follow_group(&mut self, now: Instant, out: &mut Outbox) {
        let State::Active(active) = &mut self.state else { return };
        match &mut active.release {
            Some(release) => release.group_moved = true,
            None => {
                let reason = Reason::plain(Cause::GroupMember);
                self.leave_active(now, Destination::Backup { base: now }, true, reason, out);
            }
        }
    }

    /// The members that had their successors are taken again: while releasing, there is a way back once more.
    pub(crate) fn group_returned(&mut self) {
        if let State::Active(active) = &mut self.state
            && let Some(release) = &mut active.release
        {
            release.group_moved = false;
        }
    }

    /// The lease had lapsed: the addresses were silent already (RFC 9568 knows no such case; nothing is said).
    pub(crate) fn lease_lapsed(&mut self, now: Instant, stopping: bool, out: &mut Outbox) {
        let State::Active(active) = &self.state else { return };
        let kind = active.release.map(|release| release.kind);
        self.suspended |= matches!(kind, Some(ReleaseKind::GiveWay { aside: true, .. }));
        let leaving = kind.is_some_and(ReleaseKind::is_final);
        let destination =
            if stopping || leaving { Destination::Initialize } else { Destination::Backup { base: now } };
        self.leave_active(now, destination, false, Reason::plain(Cause::LeaseLapsed), out);
    }

    /// The configuration no longer has this router: everything it holds is given up at once.
    pub(crate) fn retire(&mut self, now: Instant, out: &mut Outbox) {
        let reason = Reason::plain(Cause::Reconfigured);
        if let State::Active(_) = self.state {
            self.leave_active(now, Destination::Initialize, true, reason, out);
        } else {
            self.initialize(now, Cause::Reconfigured, out);
        }
    }

    /// Outcome of adding the addresses (V-094: the advert has gone out before the announcement).
    pub(crate) fn addresses_added(&mut self, now: Instant, outcome: Result<(), String>, out: &mut Outbox) {
        let router = self.config.id;
        let State::Active(active) = &mut self.state else { return };
        match outcome {
            Ok(()) => {
                active.addressed = true;
                self.announce(now, out);
            }
            Err(error) => {
                active.addressed = false;
                active.postpone(now + ADD_RETRY_AFTER, false);
                out.push(Action::Notify(Notice::AddressFailure { router, error }));
            }
        }
    }

    /// Somebody removed an address: back it goes, not faster than the bound.
    pub(crate) fn address_lost(&mut self, now: Instant, out: &mut Outbox) {
        let State::Active(active) = &mut self.state else { return };
        match active.restored_at.map(|at| at + RESTORE_AGAIN_AFTER) {
            Some(earliest) if earliest > now => active.postpone(earliest, true),
            Some(_) | None => self.restore_addresses(now, true, out),
        }
    }

    fn restore_addresses(&mut self, now: Instant, lost: bool, out: &mut Outbox) {
        let router = self.config.id;
        let State::Active(active) = &mut self.state else { return };
        active.readdition = None;
        if lost {
            active.restored_at = Some(now);
        }
        out.push(Action::AddAddresses { router });
        if lost {
            out.push(Action::Notify(Notice::AddressRestored { router }));
        }
    }

    /// Runs the timers of an Active that are due.
    pub(super) fn active_timeout(&mut self, now: Instant, out: &mut Outbox) {
        let State::Active(active) = &self.state else { return };
        let readdition = active.readdition.filter(|readdition| readdition.at <= now);
        let announces = active.announce_at.is_some_and(|at| at <= now);
        if let Some(release) = active.release.filter(|release| release.deadline <= now) {
            self.release_over(now, release, out);
        }
        if let Some(readdition) = readdition {
            self.restore_addresses(now, readdition.lost, out);
        }
        if announces {
            self.announce(now, out);
        }
    }

    /// No successor was heard in time.
    fn release_over(&mut self, now: Instant, release: Release, out: &mut Outbox) {
        let lateness = now.since(release.deadline);
        match release.kind {
            ReleaseKind::Leave { cause } => {
                let reason = Reason { cause, decided_by: None, lateness };
                self.leave_active(now, Destination::Initialize, false, reason, out);
            }
            ReleaseKind::GiveWay { cause, aside } if release.group_moved => {
                self.suspended |= aside;
                let reason = Reason { cause, decided_by: None, lateness };
                self.leave_active(now, Destination::Backup { base: now }, false, reason, out);
            }
            ReleaseKind::GiveWay { .. } => self.resume(now, out),
        }
    }

    /// The failover found nobody: Active again in full.
    fn resume(&mut self, now: Instant, out: &mut Outbox) {
        let (router, interval) = (self.config.id, self.config.advertisement_interval);
        let State::Active(active) = &mut self.state else { return };
        active.release = None;
        let addressed = active.addressed;
        self.in_vain_at = Some(now);
        self.sync_policy(out);
        out.push(Action::StartAdverts { router, interval });
        if addressed {
            self.announce(now, out);
        }
        out.push(Action::Notify(Notice::FailoverUnanswered { router }));
    }
}
