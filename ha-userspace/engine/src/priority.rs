//! Effective priority of a virtual router, from its base and the checks that bear on it.
//!
//! Pure functions over ids: which checks count for which router, and what they make of its priority. The driver runs the
//! checks; the engine acts on a failed requirement.

use crate::config::{GroupId, RouterId};
use serde::{Deserialize, Serialize};

/// Priority of an address owner (RFC 9568 section 5.2.4); nothing changes it.
pub const OWNER_PRIORITY: u8 = 255;
/// Greatest priority of a router that is not the owner of its addresses.
pub const GREATEST_PRIORITY: u8 = 254;
/// Least priority that still takes part; also that of whoever is not ready. 0 is for releasing.
pub const LEAST_PRIORITY: u8 = 1;

/// The base with the weights added, within 1 to 254. A failed requirement makes it 1. An owner (255) stays what it is.
pub fn effective(base: u8, weights: impl Iterator<Item = i16>, failed_requirement: bool) -> u8 {
    if base == OWNER_PRIORITY {
        return base;
    }
    if failed_requirement {
        return LEAST_PRIORITY;
    }
    let sum = weights.fold(i64::from(base), |sum, weight| sum.saturating_add(i64::from(weight)));
    let within = sum.clamp(i64::from(LEAST_PRIORITY), i64::from(GREATEST_PRIORITY));
    u8::try_from(within).unwrap_or(LEAST_PRIORITY)
}

/// What a check bears on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckScope {
    Node,
    Group(GroupId),
    Router(RouterId),
}

/// What is known of a check, after `rise` and `fall`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckResult {
    /// It has not come to a result yet.
    #[default]
    Pending,
    Passing,
    Failing,
}

/// A check as far as priorities are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckState {
    pub scope: CheckScope,
    /// Negative: added while it fails. Positive: added while it passes. 0: a requirement.
    pub weight: i16,
    pub result: CheckResult,
}

impl CheckState {
    /// What it adds to a priority at this moment.
    pub const fn contribution(&self) -> i16 {
        match self.result {
            CheckResult::Passing if self.weight > 0 => self.weight,
            CheckResult::Failing if self.weight < 0 => self.weight,
            _ => 0,
        }
    }

    const fn requirement(&self) -> Requirement {
        match self.result {
            _ if self.weight != 0 => Requirement::Met,
            CheckResult::Passing => Requirement::Met,
            CheckResult::Pending => Requirement::Pending,
            CheckResult::Failing => Requirement::Failed,
        }
    }
}

/// What the requirements of a router come to: the worst of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Requirement {
    #[default]
    Met,
    /// Not known yet: not ready to be Active, and no reason for an Active to release.
    Pending,
    Failed,
}

/// A virtual router and what it is a member of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    pub router: RouterId,
    pub group: Option<GroupId>,
}

/// What the checks make of a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    pub base: u8,
    /// Base and weights, requirements apart.
    pub weighted: u8,
    pub requirement: Requirement,
}

impl Standing {
    /// On the wire. Whoever is not ready runs at 1; an Active whose requirement is merely pending keeps its priority.
    pub fn priority(&self, active: bool) -> u8 {
        let not_ready = match self.requirement {
            Requirement::Met => false,
            Requirement::Pending => !active,
            Requirement::Failed => true,
        };
        effective(self.weighted, core::iter::empty(), not_ready)
    }
}

/// Whether a check of this scope bears on the router.
///
/// A group moves only as a whole: a check of one member bears on all of them, else it would pull the members apart
/// without ever moving one. `members` are all routers of the node.
pub fn bears_on(scope: CheckScope, subject: Membership, members: &[Membership]) -> bool {
    match scope {
        CheckScope::Node => true,
        CheckScope::Group(group) => subject.group == Some(group),
        CheckScope::Router(router) => {
            let group = members.iter().find(|member| member.router == router).and_then(|member| member.group);
            router == subject.router || (group.is_some() && group == subject.group)
        }
    }
}

/// What the checks make of a router. `node_requirement` is that of the node itself, such as its link pairs.
pub fn standing(
    base: u8,
    subject: Membership,
    members: &[Membership],
    checks: &[CheckState],
    node_requirement: Requirement,
) -> Standing {
    let bearing = || checks.iter().filter(|check| bears_on(check.scope, subject, members));
    let requirement = bearing().map(CheckState::requirement).fold(node_requirement, Requirement::max);
    let weighted = effective(base, bearing().map(CheckState::contribution), false);
    Standing { base, weighted, requirement }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAN: Membership = Membership { router: RouterId(0), group: Some(GroupId(7)) };
    const WAN: Membership = Membership { router: RouterId(1), group: Some(GroupId(7)) };
    const ALONE: Membership = Membership { router: RouterId(2), group: None };
    const LONER: Membership = Membership { router: RouterId(3), group: None };
    const ALL: [Membership; 4] = [LAN, WAN, ALONE, LONER];

    fn check(scope: CheckScope, weight: i16, result: CheckResult) -> CheckState {
        CheckState { scope, weight, result }
    }

    fn node(weight: i16, result: CheckResult) -> CheckState {
        check(CheckScope::Node, weight, result)
    }

    #[test]
    fn weights_are_summed_before_the_sum_is_clamped() {
        for (base, weights, expected) in [
            (100, vec![], 100),
            (100, vec![-20, 5], 85),
            (200, vec![253, -253], 200),
            (200, vec![253], 254),
            (10, vec![-253, -253], 1),
            (254, vec![1], 254),
            (1, vec![i16::MIN; 1_000], 1),
            (255, vec![-253], 255),
        ] {
            assert_eq!(effective(base, weights.iter().copied(), false), expected, "{base} {weights:?}");
        }
    }

    #[test]
    fn a_failed_requirement_runs_at_one_except_for_the_owner() {
        assert_eq!(effective(200, [50].into_iter(), true), 1);
        assert_eq!(effective(OWNER_PRIORITY, core::iter::empty(), true), OWNER_PRIORITY);
    }

    #[test]
    fn a_weight_counts_on_its_own_side_only() {
        use CheckResult::{Failing, Passing, Pending};
        for (weight, result, expected) in [
            (-20, Failing, 80),
            (-20, Passing, 100),
            (-20, Pending, 100),
            (20, Passing, 120),
            (20, Failing, 100),
            (20, Pending, 100),
        ] {
            let standing = standing(100, ALONE, &ALL, &[node(weight, result)], Requirement::Met);
            assert_eq!(standing.priority(false), expected, "{weight} {result:?}");
            assert_eq!(standing.requirement, Requirement::Met);
        }
    }

    #[test]
    fn a_pending_requirement_keeps_a_backup_back_and_costs_an_active_nothing() {
        let pending = standing(100, ALONE, &ALL, &[node(0, CheckResult::Pending)], Requirement::Met);
        assert_eq!((pending.priority(false), pending.priority(true)), (1, 100));
        let checks = [node(0, CheckResult::Pending), node(0, CheckResult::Failing)];
        let failed = standing(100, ALONE, &ALL, &checks, Requirement::Met);
        assert_eq!((failed.priority(false), failed.priority(true)), (1, 1));
        let passing = [node(0, CheckResult::Passing)];
        let links = standing(100, ALONE, &ALL, &passing, Requirement::Failed);
        assert_eq!(links.requirement, Requirement::Failed);
        assert_eq!(standing(100, ALONE, &ALL, &passing, Requirement::Met).priority(false), 100);
    }

    #[test]
    fn scopes_reach_the_node_the_group_and_the_router() {
        let reached = |scope| ALL.map(|subject| bears_on(scope, subject, &ALL));
        assert_eq!(reached(CheckScope::Node), [true; 4]);
        assert_eq!(reached(CheckScope::Group(GroupId(7))), [true, true, false, false]);
        assert_eq!(reached(CheckScope::Group(GroupId(8))), [false; 4]);
        assert_eq!(reached(CheckScope::Router(RouterId(2))), [false, false, true, false]);
        assert_eq!(reached(CheckScope::Router(RouterId(9))), [false; 4]);
    }

    #[test]
    fn a_check_of_a_member_bears_on_its_whole_group() {
        let checks = [check(CheckScope::Router(RouterId(1)), -30, CheckResult::Failing)];
        let priorities =
            ALL.map(|subject| standing(100, subject, &ALL, &checks, Requirement::Met).priority(true));
        assert_eq!(priorities, [70, 70, 100, 100]);
    }
}
