//! A virtual router as the engine holds it: configuration, what was heard, the state, and what follows from them.
//!
//! The state's data live inside [`State`], so that a Backup cannot have a schedule and an Active no down timer.

use super::active::Active;
use super::backup::{Backup, Preemption};
use super::election;
use super::notices::NoticeLimiter;
use super::pending::PendingAdverts;
use super::timers;
use crate::action::{Action, Cause, PolicyWrite, Role, Transition};
use crate::config::{ChecksumPolicy, Family, PeerId, RouterConfig, Version};
use crate::engine::Outbox;
use crate::input::{Advert, ChecksumForm, Standing};
use crate::priority;
use crate::time::{Duration, Instant};
use crate::view::RouterView;
use core::hash::{Hash, Hasher};
use core::net::IpAddr;

/// RFC 9568 section 6.4, with what each state needs.
#[derive(Clone, Debug, Hash)]
pub(crate) enum State {
    Initialize,
    Backup(Backup),
    Active(Active),
}

/// What a change of one router means beyond it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consequence {
    None,
    /// It left Active: its group leaves with it.
    LeftActive,
    /// The owner released it at this instant: what else that sender owns in the group is released too.
    PeerReleased {
        source: IpAddr,
        at: Instant,
    },
    /// Its Active_Down_Timer ran out; the group decides.
    Silent,
}

/// Sender and priority of an advert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Sender {
    pub(crate) source: IpAddr,
    pub(crate) priority: u8,
}

/// What the segment said.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Hearing {
    /// Active_Adver_Interval where a peer's was adopted (V-079); our own otherwise (V-080).
    pub(crate) learned: Option<Duration>,
    /// Last advert that counted.
    pub(crate) last_at: Option<Instant>,
    /// Who sent it.
    pub(crate) owner: Option<Sender>,
    /// Form of the last advert that has a choice of forms.
    pub(crate) form: Option<ChecksumForm>,
    /// Who sent that advert.
    pub(crate) form_source: Option<IpAddr>,
    /// That sender spoke the other form just before: it looks for ours, and may read only one of them.
    pub(crate) both_forms: bool,
}

/// How this node hears and is heard on the router's segment, as far as it speaks against owning the router.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Impairment {
    #[default]
    None,
    /// Suspected since then, and last shown then.
    Suspected {
        since: Instant,
        shown: Instant,
    },
    Certain,
    /// It was certain, and since then no peer has been there to tell.
    Doubtful(Instant),
}

impl Impairment {
    pub(crate) const fn is_certain(self) -> bool {
        matches!(self, Impairment::Certain | Impairment::Doubtful(_))
    }
}

/// One virtual router.
#[derive(Clone, Debug)]
pub(crate) struct Router {
    pub(crate) config: RouterConfig,
    pub(crate) source: Option<IpAddr>,
    pub(crate) state: State,
    pub(crate) hearing: Hearing,
    /// After an ordered failover: leave the successor alone until it goes silent or releases.
    pub(super) suspended: bool,
    pub(crate) standing: Standing,
    pub(crate) impairment: Impairment,
    pub(crate) pending: PendingAdverts,
    /// When it last gave way without a successor.
    pub(crate) in_vain_at: Option<Instant>,
    /// Since when a peer has claimed what this node owns.
    pub(crate) contested_since: Option<Instant>,
    pub(super) written: Option<PolicyWrite>,
    pub(super) notices: NoticeLimiter,
    pub(super) last_transition: Option<Transition>,
    pub(super) entries_to_active: u64,
}

/// What decides. Remarks made, the last transition and the count of entries into Active decide nothing: two routers that differ
/// in these alone go on alike, which is what a model checker needs to know.
impl Hash for Router {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Router {
            config,
            source,
            state,
            hearing,
            suspended,
            standing,
            impairment,
            pending,
            in_vain_at,
            contested_since,
            written,
            notices: _,
            last_transition: _,
            entries_to_active: _,
        } = self;
        (config, source, state, hearing, suspended, standing).hash(hasher);
        (impairment, pending, in_vain_at, contested_since, written).hash(hasher);
    }
}

impl Router {
    pub(crate) fn new(config: RouterConfig) -> Self {
        Router {
            config,
            source: None,
            state: State::Initialize,
            hearing: Hearing::default(),
            suspended: false,
            standing: Standing::default(),
            impairment: Impairment::None,
            pending: PendingAdverts::default(),
            in_vain_at: None,
            contested_since: None,
            written: None,
            notices: NoticeLimiter::default(),
            last_transition: None,
            entries_to_active: 0,
        }
    }

    pub(crate) fn role(&self) -> Role {
        match self.state {
            State::Initialize => Role::Initialize,
            State::Backup(_) => Role::Backup,
            State::Active(_) => Role::Active,
        }
    }

    /// Active_Adver_Interval.
    pub(crate) fn learned_interval(&self) -> Duration {
        self.hearing.learned.unwrap_or(self.config.advertisement_interval)
    }

    pub(super) fn skew(&self) -> Duration {
        timers::skew(self.config.version, self.learned_interval(), self.own_priority())
    }

    pub(super) fn active_down(&self) -> Duration {
        timers::active_down(self.config.version, self.learned_interval(), self.own_priority())
    }

    /// Whether a lower-priority owner is to be displaced at all, now or after the delay. The address owner always
    /// does (V-099), except that nobody undoes the operator's failover.
    pub(super) fn wants_preemption(&self) -> bool {
        let held_back = self.suspended || !self.standing.may_preempt;
        !held_back && (self.config.preempt || self.config.priority == election::OWNER)
    }

    /// Why this node should not own the router, if so.
    pub(crate) fn unfit(&self) -> Option<Cause> {
        let unheard = self.impairment.is_certain().then_some(Cause::Unheard);
        self.standing.unfit.or(unheard).filter(|_| self.config.priority != election::OWNER)
    }

    /// The priority it stands for election with: the configured one and the weights of checks, or the lowest while unfit.
    pub(crate) fn own_priority(&self) -> u8 {
        let weights = core::iter::once(self.standing.offset);
        priority::effective(self.config.priority, weights, self.unfit().is_some())
    }

    /// Whether lower priorities are ignored at this moment.
    pub(super) fn preempts(&self) -> bool {
        let waiting =
            matches!(&self.state, State::Backup(Backup { preemption: Preemption::Waiting { .. }, .. }));
        self.wants_preemption() && !waiting
    }

    pub(super) fn is_releasing(&self) -> bool {
        matches!(&self.state, State::Active(active) if active.release.is_some())
    }

    /// Priority on the wire: 0 while releasing.
    pub(crate) fn effective_priority(&self) -> u8 {
        if self.is_releasing() { election::RELEASED } else { self.own_priority() }
    }

    fn checksum_sent(&self) -> ChecksumForm {
        match self.config.checksum {
            ChecksumPolicy::Auto => self.hearing.form.unwrap_or(ChecksumForm::Rfc9568),
            ChecksumPolicy::Rfc9568 => ChecksumForm::Rfc9568,
            ChecksumPolicy::Rfc5798 => ChecksumForm::Rfc5798,
        }
    }

    /// Decision D1: the form last heard counts.
    fn learn_form(&mut self, advert: &Advert) {
        let Some(form) = advert.checksum else { return };
        let again = self.hearing.form_source == Some(advert.source);
        self.hearing.both_forms = again && self.hearing.form.is_some_and(|last| last != form);
        self.hearing.form = Some(form);
        self.hearing.form_source = Some(advert.source);
    }

    fn looks_for_form(&self) -> bool {
        let choice = self.config.version == Version::V3 && self.config.family == Family::Ipv4;
        let unsure = self.hearing.form.is_none() || self.hearing.both_forms;
        choice && self.config.checksum == ChecksumPolicy::Auto && unsure
    }

    fn policy(&self) -> PolicyWrite {
        let epoch = match &self.state {
            State::Active(active) => active.epoch,
            State::Initialize | State::Backup(_) => 0,
        };
        PolicyWrite {
            role: self.role(),
            epoch,
            priority: self.effective_priority(),
            preempt: self.preempts(),
            checksum: self.checksum_sent(),
            form_unknown: self.looks_for_form(),
        }
    }

    /// Writes the policy if the data plane does not have it yet.
    pub(crate) fn sync_policy(&mut self, out: &mut Outbox) {
        let policy = self.policy();
        if self.written != Some(policy) {
            self.written = Some(policy);
            out.push(Action::WritePolicy { router: self.config.id, policy });
        }
    }

    /// As [`Router::sync_policy`], except that a router at rest writes nothing.
    pub(super) fn sync_running_policy(&mut self, out: &mut Outbox) {
        if !matches!(self.state, State::Initialize) {
            self.sync_policy(out);
        }
    }

    /// A valid advert of another router (RFC 9568 section 6.4).
    pub(crate) fn hears(&mut self, now: Instant, advert: &Advert, out: &mut Outbox) -> Consequence {
        // A duplicate of our own address neither wins nor loses: the data plane reports it (V-072, V-111).
        if matches!(self.state, State::Initialize) || self.source == Some(advert.source) {
            return Consequence::None;
        }
        let advert = Advert { at: advert.at.min(now), ..*advert };
        if advert.checksum.is_some() {
            self.learn_form(&advert);
        }
        self.remark(now, &advert, out);
        let consequence = match self.state {
            State::Initialize => Consequence::None,
            State::Backup(_) => self.backup_hears(now, &advert, out),
            State::Active(_) => self.active_hears(now, &advert, out),
        };
        self.sync_running_policy(out);
        consequence
    }

    /// Runs every timer of this router that is due.
    ///
    /// `vouched`: who vouches for an owner whose adverts are missing, and until when.
    pub(crate) fn timeout(
        &mut self,
        now: Instant,
        vouched: Option<(PeerId, Instant)>,
        out: &mut Outbox,
    ) -> Consequence {
        self.pending_timeout(now, out);
        match self.state {
            State::Initialize => Consequence::None,
            State::Backup(_) => self.backup_timeout(now, vouched, out),
            State::Active(_) => {
                self.active_timeout(now, out);
                Consequence::None
            }
        }
    }

    /// Notes the advert as the last that counted.
    pub(super) fn note(&mut self, advert: &Advert) {
        self.hearing.owner = Some(Sender { source: advert.source, priority: advert.priority });
        self.hearing.last_at = self.hearing.last_at.max(Some(advert.at));
    }

    /// Notes it and adopts its interval (V-079). VRRPv2 does not learn (V-057).
    pub(super) fn adopt(&mut self, advert: &Advert) {
        self.note(advert);
        if self.config.version == Version::V3 {
            self.hearing.learned = Some(advert.interval);
        }
    }

    /// Somebody else than `source` is the owner that this Backup knows.
    pub(crate) fn follows_another(&self, source: IpAddr) -> bool {
        let State::Backup(backup) = &self.state else { return false };
        let lower = backup.lower.map(|(sender, _)| sender.source);
        let owner = self.hearing.owner.map(|sender| sender.source);
        (lower.is_some() || owner.is_some()) && lower != Some(source) && owner != Some(source)
    }

    /// Nothing is held and nothing is owed.
    pub(crate) fn is_at_rest(&self) -> bool {
        matches!(self.state, State::Initialize)
    }

    /// A Backup whose timer has run out and whose group holds it.
    pub(crate) fn is_held(&self) -> bool {
        matches!(&self.state, State::Backup(backup) if backup.silence.is_some())
    }

    /// A Backup whose Active_Down_Timer is due.
    pub(crate) fn is_down_due(&self, now: Instant) -> bool {
        match &self.state {
            State::Backup(backup) => backup.down_deadline().is_some_and(|deadline| deadline <= now),
            State::Initialize | State::Active(_) => false,
        }
    }

    /// Earliest timer.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.state_deadline().into_iter().chain(self.pending.deadline()).min()
    }

    fn state_deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Initialize => None,
            State::Backup(backup) => backup.deadline(self.config.preempt_delay),
            State::Active(active) => active.deadline(),
        }
    }

    pub(crate) fn view(&self) -> RouterView {
        let (active_since, deadline, held) = match &self.state {
            State::Initialize => (None, None, false),
            State::Backup(backup) => (None, backup.down_deadline(), backup.silence.is_some()),
            State::Active(active) => (Some(active.since), active.release.as_ref().map(|r| r.deadline), false),
        };
        RouterView {
            router: self.config.id,
            group: self.config.group,
            role: self.role(),
            priority: self.config.priority,
            effective_priority: self.effective_priority(),
            active_since,
            learned_interval: self.learned_interval(),
            active_router: self.active_router(),
            deadline,
            held,
            vouched_until: self.vouched_until(),
            unfit: self.unfit(),
            ready: !matches!(self.state, State::Initialize) && self.unfit().is_none(),
            last_advert: self.hearing.last_at,
            last_transition: self.last_transition.clone(),
            releasing: self.is_releasing(),
            preemption_suspended: self.suspended,
            transitions: self.entries_to_active,
            checksum_sent: self.checksum_sent(),
            checksum_heard: self.hearing.form,
        }
    }

    fn active_router(&self) -> Option<(IpAddr, u8)> {
        match &self.state {
            State::Initialize => None,
            State::Active(_) => self.source.map(|source| (source, self.effective_priority())),
            State::Backup(backup) if backup.silence.is_some() => None,
            State::Backup(backup) => backup
                .lower
                .map(|(sender, _)| sender)
                .or(self.hearing.owner)
                .filter(|sender| sender.priority != election::RELEASED)
                .map(|sender| (sender.source, sender.priority)),
        }
    }
}
