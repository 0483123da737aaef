//! A node's data plane, as far as the engine relies on it: it judges adverts, absorbs what changes nothing, revokes at once,
//! answers losers, and fences what is not owned.

use crate::relative::EPOCH;
use crate::settings::{Sabotage, Settings, span};
use holdfast_engine::{Advert, Duration, Input, Instant, PeerId, PolicyWrite, Role, RouterId};
use std::collections::VecDeque;
use std::net::IpAddr;

/// The only virtual router.
pub const ROUTER: RouterId = RouterId(1);
/// Own adverts older than so many intervals no longer keep a rival from owning.
const STALE_INTERVALS: u8 = 3;

/// An advert on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Frame {
    pub source: IpAddr,
    pub priority: u8,
    pub interval: Duration,
}

/// What it keeps.
#[derive(Clone, Debug, Hash)]
pub struct Plane {
    pub policy: Option<PolicyWrite>,
    pub lease_until: Instant,
    revoked: u64,
    pub last_heard: Option<Instant>,
    /// What the controller was told of last, and under which role and preemption.
    told: Option<(Frame, Role, bool)>,
    /// The last advert of ours that left, and under which grant.
    last_sent: Option<(Instant, u64)>,
    uncorroborated_told: Option<Instant>,
    pub addressed: bool,
    /// What waits for the controller.
    pub ring: VecDeque<Input>,
}

impl Plane {
    pub fn new() -> Self {
        Plane {
            policy: None,
            lease_until: Instant::from_nanos(EPOCH),
            revoked: 0,
            last_heard: None,
            told: None,
            last_sent: None,
            uncorroborated_told: None,
            addressed: false,
            ring: VecDeque::new(),
        }
    }

    /// The grant in force, if any.
    pub fn grant(&self, now: Instant) -> Option<u64> {
        let policy = self.policy.filter(|policy| policy.role == Role::Active)?;
        (policy.epoch != self.revoked && now < self.lease_until).then_some(policy.epoch)
    }

    /// Whether this node answers for the address: granted, in place, and an advert has said so.
    pub fn owns(&self, now: Instant) -> bool {
        let announced = |epoch| self.last_sent.is_some_and(|(_, sent)| sent == epoch);
        self.addressed && self.grant(now).is_some_and(announced)
    }

    /// Whether the fence lets an advert of ours out; notes it if so.
    pub fn lets_out(&mut self, priority: u8, now: Instant) -> bool {
        let Some(epoch) = self.grant(now) else { return false };
        if priority > 0 {
            self.last_sent = Some((now, epoch));
        }
        true
    }

    /// An advert arrives in the name of `peer`. Gives the priority to answer it with, if it is to be answered.
    pub fn receive(
        &mut self,
        frame: Frame,
        peer: PeerId,
        borne_out: bool,
        own: IpAddr,
        now: Instant,
        settings: &Settings,
    ) -> Option<u8> {
        let policy = self.policy.filter(|policy| policy.role != Role::Initialize)?;
        let grant = self.grant(now);
        let stale = grant.is_some_and(|epoch| self.is_stale(epoch, now, settings));
        let beats = frame.priority > policy.priority
            || policy.priority == 0
            || (frame.priority == policy.priority && frame.source > own);
        let advert = Advert {
            at: now,
            source: frame.source,
            priority: frame.priority,
            interval: frame.interval,
            checksum: None,
            answered: false,
            addresses_differ: false,
            epoch: grant.unwrap_or(0),
            revoked: false,
        };
        if !borne_out {
            let answers = grant.is_some() && !stale && (frame.priority == 0 || !beats);
            if self.uncorroborated_told.is_none_or(|at| now.since(at) >= span(1)) {
                self.uncorroborated_told = Some(now);
                let advert = Advert { answered: answers, ..advert };
                self.tell(Input::Uncorroborated { router: ROUTER, peer, advert });
            }
            return answers.then_some(policy.priority);
        }
        let news = (frame, policy.role, policy.preempt);
        let changed = self.told.replace(news) != Some(news);
        match grant {
            Some(epoch) => self.judge_as_owner(advert, epoch, beats || stale, policy.priority, settings),
            None => {
                let ignored = policy.preempt && frame.priority < policy.priority && frame.priority > 0;
                if !ignored && frame.priority > 0 {
                    self.last_heard = Some(now);
                }
                if changed || frame.priority == 0 || policy.role == Role::Active {
                    self.tell(Input::Advert { router: ROUTER, advert });
                }
                None
            }
        }
    }

    fn judge_as_owner(
        &mut self,
        advert: Advert,
        epoch: u64,
        lost: bool,
        own_priority: u8,
        settings: &Settings,
    ) -> Option<u8> {
        if settings.sabotage == Sabotage::OwnerDeaf {
            return None;
        }
        let revokes = lost && advert.priority > 0;
        if revokes {
            self.revoked = epoch;
            self.last_heard = Some(advert.at);
        }
        let advert = Advert { revoked: revokes, answered: !revokes, ..advert };
        self.tell(Input::Advert { router: ROUTER, advert });
        (!revokes).then_some(own_priority)
    }

    /// Of a row of reports that differ in their times only, the first and the last wait: a controller that sleeps gathers no
    /// more than that.
    fn tell(&mut self, report: Input) {
        let like = |waiting: &Input| timeless(waiting) == timeless(&report);
        let row = self.ring.iter().rev().take_while(|waiting| like(waiting)).count();
        if row >= 2 {
            self.ring.pop_back();
        }
        self.ring.push_back(report);
    }

    fn is_stale(&self, epoch: u64, now: Instant, settings: &Settings) -> bool {
        let since = self.last_sent.map_or(epoch, |(at, _)| at.as_nanos().max(epoch));
        now.since(Instant::from_nanos(since)) > span(STALE_INTERVALS * settings.interval)
    }
}

/// A report as if it had come at the beginning.
fn timeless(report: &Input) -> Input {
    let at = Instant::from_nanos(EPOCH);
    match report.clone() {
        Input::Advert { router, advert } => Input::Advert { router, advert: Advert { at, ..advert } },
        Input::Uncorroborated { router, peer, advert } => {
            Input::Uncorroborated { router, peer, advert: Advert { at, ..advert } }
        }
        other => other,
    }
}

impl Default for Plane {
    fn default() -> Self {
        Self::new()
    }
}
