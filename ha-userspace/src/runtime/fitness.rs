//! How fit this node is to own its virtual routers: checks, link pairs, maintenance, the flap latch and the hold after flaps.
//!
//! What each of them says is put in by whoever watches it; out comes one standing per virtual router, told to the engine
//! only where it changed. Maintenance is named before the latch, the latch before a failed requirement. Pure: no clock, no
//! map; `requirements` feeds it and carries its standings to the engine.

use crate::checks;
use crate::journal::NoticeEvent;
use ha_common::wire::probe::health;
use holdfast_engine::priority::{self, standing};
use holdfast_engine::{
    Cause, CheckResult, CheckScope, CheckState, Instant, Membership, Requirement, RouterId, Standing,
};
use std::collections::BTreeMap;

/// A configured check as far as standings are concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CheckSetting {
    pub(super) name: String,
    pub(super) scope: CheckScope,
    pub(super) weight: i16,
}

/// A virtual router and its configured priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) membership: Membership,
    pub(super) base: u8,
}

#[derive(Clone, Debug)]
struct Known {
    state: CheckState,
    /// The journal has it as failing.
    said_failing: bool,
}

/// The node's fitness.
#[derive(Debug)]
pub(super) struct Fitness {
    maintenance: bool,
    latched: bool,
    hold_until: Option<Instant>,
    links_up: bool,
    checks: BTreeMap<String, Known>,
    members: Vec<Member>,
    /// What the engine was told; a new router there begins with the default.
    told: BTreeMap<RouterId, Standing>,
    /// Something changed since the standings were last worked out.
    stale: bool,
}

impl Fitness {
    pub(super) fn new(maintenance: bool) -> Self {
        Self {
            maintenance,
            latched: false,
            hold_until: None,
            links_up: true,
            checks: BTreeMap::new(),
            members: Vec::new(),
            told: BTreeMap::new(),
            stale: true,
        }
    }

    /// Takes up a configuration. A check that stays under its name keeps its result.
    pub(super) fn configure(&mut self, settings: Vec<CheckSetting>, members: Vec<Member>) {
        let mut known = std::mem::take(&mut self.checks);
        for CheckSetting { name, scope, weight } in settings {
            let before = known.remove(&name);
            let result = before.as_ref().map_or(CheckResult::Pending, |known| known.state.result);
            let said_failing = before.is_some_and(|known| known.said_failing);
            self.checks.insert(name, Known { state: CheckState { scope, weight, result }, said_failing });
        }
        self.told.retain(|id, _| members.iter().any(|member| member.membership.router == *id));
        self.members = members;
        self.stale = true;
    }

    /// The judged state of a check changed; returns what the journal is to say. Passing is news only after a failure.
    pub(super) fn check(
        &mut self,
        name: &str,
        state: checks::CheckState,
        detail: &str,
    ) -> Option<NoticeEvent> {
        let known = self.checks.get_mut(name)?;
        known.state.result = match state {
            checks::CheckState::Unknown => CheckResult::Pending,
            checks::CheckState::Passing => CheckResult::Passing,
            checks::CheckState::Failing => CheckResult::Failing,
        };
        self.stale = true;
        let check = name.to_owned();
        match (known.state.result, known.said_failing) {
            (CheckResult::Failing, false) => {
                known.said_failing = true;
                Some(NoticeEvent::CheckFailed { check, detail: detail.to_owned() })
            }
            (CheckResult::Passing, true) => {
                known.said_failing = false;
                Some(NoticeEvent::CheckPassed { check })
            }
            _ => None,
        }
    }

    /// Whether enough link pairs are active.
    pub(super) fn set_links(&mut self, up: bool) {
        self.stale |= self.links_up != up;
        self.links_up = up;
    }

    pub(super) fn set_maintenance(&mut self, on: bool) {
        self.stale |= self.maintenance != on;
        self.maintenance = on;
    }

    pub(super) fn is_in_maintenance(&self) -> bool {
        self.maintenance
    }

    /// Flaps have latched this node, or no longer.
    pub(super) fn set_latched(&mut self, latched: bool) {
        self.stale |= self.latched != latched;
        self.latched = latched;
    }

    /// Until then a living owner is not preempted.
    pub(super) fn set_hold(&mut self, until: Option<Instant>) {
        self.stale |= self.hold_until != until;
        self.hold_until = until;
    }

    /// A virtual router changed its role, on which a pending requirement depends.
    pub(super) fn role_changed(&mut self) {
        self.stale = true;
    }

    /// When standings change by themselves: at the end of a hold.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.hold_until
    }

    /// What probes say of this node.
    pub(super) fn health_bits(&self) -> u16 {
        let failing = |known: &Known| known.state.weight == 0 && known.state.result == CheckResult::Failing;
        let links = if self.links_up { health::LINKS } else { 0 };
        let checks = if self.checks.values().any(failing) { 0 } else { health::CHECKS };
        let latched = if self.latched { health::LATCHED } else { 0 };
        links | checks | latched
    }

    /// The standings that changed since they were last asked for.
    pub(super) fn changes(
        &mut self,
        now: Instant,
        is_active: impl Fn(RouterId) -> bool,
    ) -> Vec<(RouterId, Standing)> {
        if self.hold_until.is_some_and(|until| until <= now) {
            self.set_hold(None);
        }
        if !std::mem::take(&mut self.stale) {
            return Vec::new();
        }
        let mut changes = Vec::new();
        for member in &self.members {
            let id = member.membership.router;
            let standing = self.standing(member, is_active(id));
            if self.told.get(&id).copied().unwrap_or_default() != standing {
                changes.push((id, standing));
            }
        }
        self.told.extend(changes.iter().copied());
        changes
    }

    fn standing(&self, member: &Member, active: bool) -> Standing {
        let members: Vec<Membership> = self.members.iter().map(|member| member.membership).collect();
        let checks: Vec<CheckState> = self.checks.values().map(|known| known.state).collect();
        let links = if self.links_up { Requirement::Met } else { Requirement::Failed };
        let priority::Standing { base, weighted, requirement } =
            standing(member.base, member.membership, &members, &checks, links);
        let unready = match requirement {
            Requirement::Met => false,
            Requirement::Pending => !active,
            Requirement::Failed => true,
        };
        let reasons = [
            (self.maintenance, Cause::Maintenance),
            (self.latched, Cause::FlapLatch),
            (unready, Cause::RequirementFailed),
        ];
        Standing {
            offset: i16::from(weighted) - i16::from(base),
            unfit: reasons.into_iter().find_map(|(holds, cause)| holds.then_some(cause)),
            may_preempt: self.hold_until.is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::CheckState::{Failing, Passing, Unknown};
    use holdfast_engine::{Duration, GroupId};

    const LAN: RouterId = RouterId(0);
    const WAN: RouterId = RouterId(1);
    const ALONE: RouterId = RouterId(2);

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(0) + Duration::from_secs(seconds)
    }

    fn setting(name: &str, scope: CheckScope, weight: i16) -> CheckSetting {
        CheckSetting { name: name.to_owned(), scope, weight }
    }

    fn members(base: u8) -> Vec<Member> {
        let group = Some(GroupId(7));
        [(LAN, group), (WAN, group), (ALONE, None)]
            .map(|(router, group)| Member { membership: Membership { router, group }, base })
            .into()
    }

    fn fitness(settings: Vec<CheckSetting>) -> Fitness {
        let mut fitness = Fitness::new(false);
        fitness.configure(settings, members(100));
        fitness
    }

    /// Changes of a node that is Active for nothing.
    fn backup(fitness: &mut Fitness) -> Vec<(RouterId, i16, Option<Cause>)> {
        let changes = fitness.changes(at(0), |_| false);
        changes.into_iter().map(|(id, standing)| (id, standing.offset, standing.unfit)).collect()
    }

    #[test]
    fn without_checks_and_pairs_nothing_is_ever_told() {
        assert_eq!(backup(&mut fitness(Vec::new())), []);
    }

    #[test]
    fn a_weight_is_told_once_and_as_an_offset() {
        let mut fitness = fitness(vec![setting("disk", CheckScope::Router(ALONE), -30)]);
        assert_eq!(backup(&mut fitness), []);
        fitness.check("disk", Failing, "full");
        assert_eq!(backup(&mut fitness), [(ALONE, -30, None)]);
        fitness.check("disk", Failing, "full");
        assert_eq!(backup(&mut fitness), []);
        fitness.check("disk", Passing, "");
        assert_eq!(backup(&mut fitness), [(ALONE, 0, None)]);
    }

    #[test]
    fn an_offset_never_leads_out_of_the_range_or_to_the_owner() {
        let mut fitness = fitness(vec![setting("disk", CheckScope::Node, -200)]);
        fitness.check("disk", Failing, "full");
        assert_eq!(backup(&mut fitness)[0], (LAN, -99, None), "100 becomes 1");
        fitness.configure(vec![setting("disk", CheckScope::Node, -200)], members(255));
        assert_eq!(backup(&mut fitness)[0], (LAN, 0, None));
    }

    #[test]
    fn a_check_of_a_member_concerns_its_group_and_no_other_router() {
        let mut fitness = fitness(vec![setting("uplink", CheckScope::Router(WAN), 0)]);
        fitness.check("uplink", Passing, "");
        assert_eq!(backup(&mut fitness), []);
        fitness.check("uplink", Failing, "gone");
        let unfit = Some(Cause::RequirementFailed);
        assert_eq!(backup(&mut fitness), [(LAN, 0, unfit), (WAN, 0, unfit)]);
    }

    #[test]
    fn a_pending_requirement_keeps_a_backup_back_and_not_an_active() {
        let mut fitness = fitness(vec![setting("dns", CheckScope::Router(ALONE), 0)]);
        assert_eq!(backup(&mut fitness), [(ALONE, 0, Some(Cause::RequirementFailed))]);
        fitness.role_changed();
        let active = fitness.changes(at(0), |_| true);
        assert_eq!(active, [(ALONE, Standing::default())]);
        fitness.check("dns", Failing, "no answer");
        assert_eq!(fitness.changes(at(0), |_| true)[0].1.unfit, Some(Cause::RequirementFailed));
        assert_eq!(fitness.health_bits() & health::CHECKS, 0);
    }

    #[test]
    fn maintenance_is_named_first_then_the_latch_then_the_requirement() {
        let mut fitness = fitness(Vec::new());
        let mut next = |change: fn(&mut Fitness)| {
            change(&mut fitness);
            backup(&mut fitness).first().map(|change| change.2)
        };
        assert_eq!(next(|fitness| fitness.set_links(false)), Some(Some(Cause::RequirementFailed)));
        assert_eq!(next(|fitness| fitness.set_latched(true)), Some(Some(Cause::FlapLatch)));
        assert_eq!(next(|fitness| fitness.set_maintenance(true)), Some(Some(Cause::Maintenance)));
        assert_eq!(next(|fitness| fitness.set_latched(false)), None, "nothing that is told has changed");
        assert_eq!(next(|fitness| fitness.set_maintenance(false)), Some(Some(Cause::RequirementFailed)));
        assert_eq!(next(|fitness| fitness.set_links(true)), Some(None));
    }

    #[test]
    fn a_hold_forbids_preemption_until_it_ends() {
        let mut fitness = fitness(Vec::new());
        fitness.set_hold(Some(at(10)));
        assert_eq!(fitness.deadline(), Some(at(10)));
        assert!(fitness.changes(at(1), |_| false).iter().all(|(_, standing)| !standing.may_preempt));
        assert_eq!(fitness.changes(at(9), |_| false), []);
        assert_eq!(fitness.changes(at(10), |_| false).len(), 3);
        assert_eq!(fitness.deadline(), None);
    }

    #[test]
    fn only_what_failed_is_said_to_pass_again() {
        let mut fitness = fitness(vec![setting("dns", CheckScope::Node, 0)]);
        let check = "dns".to_owned();
        assert_eq!(fitness.check("dns", Passing, "answers"), None);
        let failed = NoticeEvent::CheckFailed { check: check.clone(), detail: "silent".to_owned() };
        assert_eq!(fitness.check("dns", Failing, "silent"), Some(failed));
        assert_eq!(fitness.check("dns", Unknown, "changed"), None);
        assert_eq!(fitness.check("dns", Passing, "answers"), Some(NoticeEvent::CheckPassed { check }));
        assert_eq!(fitness.check("gone", Failing, "?"), None, "a report of a check that is gone");
    }

    #[test]
    fn a_reload_keeps_results_and_what_was_told() {
        let settings = |weight| vec![setting("dns", CheckScope::Node, weight)];
        let mut fitness = fitness(settings(-10));
        fitness.check("dns", Failing, "silent");
        assert_eq!(backup(&mut fitness).len(), 3);
        fitness.configure(settings(-10), members(100));
        assert_eq!(backup(&mut fitness), []);
        fitness.configure(settings(-20), members(100));
        assert_eq!(backup(&mut fitness)[0], (LAN, -20, None));
        fitness.configure(Vec::new(), members(100));
        assert_eq!(backup(&mut fitness)[0], (LAN, 0, None));
    }

    #[test]
    fn probes_are_told_of_links_checks_and_latch() {
        let mut fitness = fitness(vec![setting("dns", CheckScope::Node, -5)]);
        fitness.check("dns", Failing, "silent");
        assert_eq!(fitness.health_bits(), health::LINKS | health::CHECKS, "a weight is no requirement");
        fitness.set_links(false);
        fitness.set_latched(true);
        assert_eq!(fitness.health_bits(), health::CHECKS | health::LATCHED);
    }
}
