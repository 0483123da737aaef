//! What the actions so far amount to, known from the actions alone, as the driver knows it.

use holdfast_engine::{Action, Engine, PeerId, PolicyWrite, Role, RouterId};
use std::collections::BTreeMap;

/// What the actions so far amount to for one router.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    pub(super) role: Role,
    pub(super) policy: Option<PolicyWrite>,
    pub(super) scheduled: bool,
    pub(super) added: bool,
    pub(super) prepared: bool,
    pub(super) said_zero: bool,
}

#[derive(Default)]
pub(super) struct Ledger {
    pub(super) entries: BTreeMap<RouterId, Entry>,
    pub(super) last_epoch: u64,
    pub(super) trusted: BTreeMap<PeerId, bool>,
    pub(super) stopped: bool,
    pub(super) stood_down: bool,
}

impl Ledger {
    pub(super) fn book(&mut self, action: &Action) {
        match action {
            Action::WritePolicy { router, policy } => self.policy(*router, *policy),
            Action::StartAdverts { router, .. } => {
                let entry = self.entry(*router);
                assert!(entry.policy.is_some_and(|p| p.role == Role::Active && p.priority > 0), "{entry:?}");
                entry.scheduled = true;
            }
            Action::StopAdverts { router } => {
                let entry = self.entry(*router);
                assert!(entry.scheduled, "stopped twice: {entry:?}");
                entry.scheduled = false;
            }
            Action::SendAdvert { router, priority } => self.advert(*router, *priority),
            Action::PrepareAddresses { router } => {
                let entry = self.entry(*router);
                assert!(entry.role == Role::Backup && !entry.prepared, "prepared out of turn: {entry:?}");
                entry.prepared = true;
            }
            Action::AddAddresses { router } => {
                let entry = self.entry(*router);
                (entry.added, entry.prepared) = (true, false);
            }
            Action::RemoveAddresses { router } => {
                let entry = self.entry(*router);
                assert!(entry.added || entry.prepared, "removed what was not added: {entry:?}");
                assert!(
                    entry.policy.is_some_and(|p| p.role != Role::Active),
                    "removed before the fence: {entry:?}"
                );
                (entry.added, entry.prepared) = (false, false);
            }
            Action::Announce { router } => {
                let entry = self.entry(*router);
                assert!(entry.added && entry.role == Role::Active, "announced without owning: {entry:?}");
            }
            Action::Record(transition) => {
                let entry = self.entry(transition.router);
                assert_eq!(entry.role, transition.from);
                assert_ne!(transition.from, transition.to);
                entry.role = transition.to;
            }
            Action::Notify(_) | Action::ProbeNow { .. } => {}
            Action::TrustPeer { peer, plain } => {
                let told = self.trusted.insert(*peer, *plain);
                assert_ne!(told, Some(*plain), "told twice of {peer:?}");
            }
            Action::StoodDown => {
                assert!(!self.stood_down, "stood down twice");
                self.stood_down = true;
            }
            Action::Stopped => {
                assert!(!self.stopped, "stopped twice");
                self.stopped = true;
            }
        }
    }

    pub(super) fn entry(&mut self, router: RouterId) -> &mut Entry {
        self.entries.entry(router).or_default()
    }

    pub(super) fn policy(&mut self, router: RouterId, policy: PolicyWrite) {
        let last_epoch = self.last_epoch;
        let entry = self.entry(router);
        let before = entry.policy.replace(policy);
        // Once per release: an unanswered one is over when the full priority is back.
        entry.said_zero &= policy.priority == 0;
        let held = before.filter(|before| before.role == Role::Active).map(|before| before.epoch);
        if policy.role != Role::Active {
            assert_eq!(policy.epoch, 0);
            assert_ne!(policy.priority, 0);
        } else if held != Some(policy.epoch) {
            assert_eq!(held, None, "a second grant beside the first");
            assert!(policy.epoch > last_epoch, "grants must rise");
            self.last_epoch = policy.epoch;
        }
    }

    pub(super) fn advert(&mut self, router: RouterId, priority: u8) {
        let entry = self.entry(router);
        let policy = entry.policy.unwrap();
        assert_eq!(policy.role, Role::Active, "an advert without a grant");
        if priority == 0 {
            assert!(!entry.scheduled && !entry.said_zero, "{entry:?}");
            entry.said_zero = true;
        } else {
            assert_eq!(priority, policy.priority);
        }
    }

    /// Once the actions of a step are carried out, everything agrees (V-116).
    pub(super) fn settle(&mut self, engine: &Engine) {
        for (router, entry) in &self.entries {
            let view = engine.view(*router);
            let role = view.as_ref().map_or(Role::Initialize, |view| view.role);
            let releasing = view.is_some_and(|view| view.releasing);
            let active = role == Role::Active;
            assert_eq!(entry.role, role, "{router:?} {entry:?}");
            assert_eq!(entry.added, active, "{router:?} {entry:?}");
            assert!(!entry.prepared || role == Role::Backup, "{router:?} {entry:?}");
            assert_eq!(entry.scheduled, active && !releasing, "{router:?} {entry:?}");
            if let Some(policy) = entry.policy {
                assert_eq!(policy.role, role);
                assert_eq!(policy.epoch != 0, active);
                assert_eq!(policy.priority == 0, active && releasing);
            }
        }
    }
}

pub(super) fn subject(action: &Action) -> Option<RouterId> {
    match action {
        Action::WritePolicy { router, .. }
        | Action::StartAdverts { router, .. }
        | Action::StopAdverts { router }
        | Action::SendAdvert { router, .. }
        | Action::AddAddresses { router }
        | Action::PrepareAddresses { router }
        | Action::RemoveAddresses { router }
        | Action::Announce { router } => Some(*router),
        Action::Record(transition) => Some(transition.router),
        Action::Notify(_)
        | Action::Stopped
        | Action::StoodDown
        | Action::TrustPeer { .. }
        | Action::ProbeNow { .. } => None,
    }
}
