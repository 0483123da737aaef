//! Groups: virtual routers that are Active on the same node, all or none.
//!
//! A group promotes when every member in Backup has lost its owner and none is in Initialize. When one member leaves
//! Active, so do the others, with priority 0. The members' own rules stay in [`crate::vrrp`].

use crate::action::{Action, Cause, Notice};
use crate::config::{GroupId, RouterId};
use crate::engine::{Engine, Outbox};
use crate::time::{Duration, Instant};
use crate::vrrp::{ReleaseKind, Router, State};
use std::collections::{BTreeMap, BTreeSet};

/// Who belongs together.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Groups {
    members: BTreeMap<GroupId, Vec<RouterId>>,
}

impl Groups {
    pub(crate) fn of<'a>(routers: impl Iterator<Item = &'a Router>) -> Self {
        let mut members: BTreeMap<GroupId, Vec<RouterId>> = BTreeMap::new();
        for router in routers {
            if let Some(group) = router.config.group {
                members.entry(group).or_default().push(router.config.id);
            }
        }
        Groups { members }
    }

    pub(crate) fn members(&self, group: GroupId) -> Vec<RouterId> {
        self.members.get(&group).cloned().unwrap_or_default()
    }

    pub(crate) fn all(&self) -> Vec<GroupId> {
        self.members.keys().copied().collect()
    }
}

/// What a group with a member whose owner is lost does.
enum Decision {
    Promote,
    /// This member still hears the owner.
    Split {
        hearing: RouterId,
    },
    /// A member cannot become Active, or nobody is silent.
    Wait,
}

impl Engine {
    /// A router has left Active for a reason of its own.
    pub(crate) fn group_left(&mut self, now: Instant, left: RouterId) {
        for mate in self.mates(left) {
            if let Some((router, out)) = self.touch(mate) {
                router.follow_group(now, out);
            }
        }
    }

    /// The owner of `released` stepped down; it may own mates too.
    pub(crate) fn group_released(&mut self, released: RouterId, source: core::net::IpAddr, at: Instant) {
        for mate in self.mates(released) {
            if let Some((router, out)) = self.touch(mate) {
                router.owner_released_elsewhere(source, at, out);
            }
        }
    }

    fn mates(&self, router: RouterId) -> Vec<RouterId> {
        let group = self.router(router).and_then(|router| router.config.group);
        let mut mates = group.map_or_else(Vec::new, |group| self.groups.members(group));
        mates.retain(|mate| *mate != router);
        mates
    }

    /// Orders a failover of one group, or of everything. Members release together and wait equally long. Low bandwidth is a
    /// reason only where a peer is known to be ready, or where there are none to be asked; the operator's word always is.
    pub(crate) fn failover(&mut self, now: Instant, group: Option<GroupId>, cause: Cause) {
        let groups = group.map_or_else(|| self.groups.all(), |group| vec![group]);
        let mut units: Vec<Vec<RouterId>> =
            groups.into_iter().map(|group| self.groups.members(group)).collect();
        if group.is_none() {
            let alone = self.roster().filter(|router| router.config.group.is_none());
            units.extend(alone.map(|router| vec![router.config.id]));
        }
        units.retain(|unit| cause != Cause::LowBandwidth || self.has_heir(now, unit));
        for unit in units {
            self.release_unit(now, &unit, ReleaseKind::GiveWay { cause, aside: true });
        }
    }

    /// Whether a peer is ready for these routers, or no peers are configured.
    fn has_heir(&self, now: Instant, unit: &[RouterId]) -> bool {
        let number = unit.iter().filter_map(|id| self.router(*id)).find_map(|router| router.config.unit);
        self.peers.is_empty() || number.is_none_or(|number| self.peers.is_any_ready(number, now))
    }

    pub(crate) fn release_unit(&mut self, now: Instant, unit: &[RouterId], kind: ReleaseKind) {
        let windows = unit.iter().filter_map(|id| self.router(*id)).filter_map(Router::release_window);
        let window = windows.max().unwrap_or(Duration::ZERO);
        for id in unit {
            if let Some((router, out)) = self.touch(*id) {
                router.release(now, kind, window, out);
            }
        }
    }

    /// Promotes or holds the groups in which something changed.
    pub(crate) fn decide_groups(&mut self, now: Instant, groups: &BTreeSet<GroupId>) {
        for group in groups {
            let members = self.groups.members(*group);
            match self.decide(&members) {
                Decision::Promote => {
                    for member in members {
                        self.promote(now, member);
                        self.keep(member);
                    }
                }
                Decision::Split { hearing } => self.hold(*group, &members, Some(hearing)),
                Decision::Wait => self.hold(*group, &members, None),
            }
        }
    }

    /// Promotes what ran out its timer in a group that it has since left.
    pub(crate) fn promote_ungrouped(&mut self, now: Instant) {
        let alone = self.roster().filter(|router| router.config.group.is_none() && router.is_held());
        let alone: Vec<RouterId> = alone.map(|router| router.config.id).collect();
        for id in alone {
            self.promote(now, id);
        }
    }

    fn decide(&self, members: &[RouterId]) -> Decision {
        let mut silent = false;
        let mut hearing = None;
        for member in members.iter().filter_map(|id| self.router(*id)) {
            match &member.state {
                State::Initialize => return Decision::Wait,
                State::Backup(backup) if backup.silence.is_some() => silent = true,
                State::Backup(_) => hearing = Some(member.config.id),
                State::Active(_) => {}
            }
        }
        match hearing {
            Some(hearing) if silent => Decision::Split { hearing },
            None if silent => Decision::Promote,
            Some(_) | None => Decision::Wait,
        }
    }

    /// To Active, if its timer has run out.
    pub(crate) fn promote(&mut self, now: Instant, id: RouterId) {
        if let Some((router, out)) = self.touch(id)
            && let State::Backup(backup) = &router.state
            && let Some(silence) = backup.silence
        {
            router.activate(now, silence.reason, out);
        }
    }

    /// The group is taken again while this member still serves without a successor: where none comes, it stays with the group.
    fn keep(&mut self, id: RouterId) {
        if let Some((router, _)) = self.touch(id) {
            router.group_returned();
        }
    }

    /// Leaves the group as it is; tells once per silence if it is split.
    fn hold(&mut self, group: GroupId, members: &[RouterId], hearing: Option<RouterId>) {
        for member in members {
            if let Some((router, out)) = self.touch(*member)
                && router.is_held()
            {
                router.sync_policy(out);
            }
        }
        if let Some(hearing) = hearing {
            self.review_split(group, members, hearing);
        }
    }

    /// A member may have heard its owner after another's silence began.
    pub(crate) fn heard_in_group(&mut self, hearing: RouterId) {
        if let Some(group) = self.router(hearing).and_then(|router| router.config.group) {
            let members = self.groups.members(group);
            self.review_split(group, &members, hearing);
        }
    }

    /// Two timers that run out a moment apart are no split: `hearing` must have heard of its owner since.
    fn review_split(&mut self, group: GroupId, members: &[RouterId], hearing: RouterId) {
        let Some(router) = self.router(hearing) else { return };
        let is_backup = matches!(&router.state, State::Backup(backup) if backup.silence.is_none());
        let Some(heard_at) = router.hearing.last_at.filter(|_| is_backup) else { return };
        for member in members {
            if let Some((router, out)) = self.touch(*member) {
                report_split(router, group, hearing, heard_at, out);
            }
        }
    }
}

/// A member that merely waits for the others to preempt is no split.
fn report_split(router: &mut Router, group: GroupId, hearing: RouterId, heard_at: Instant, out: &mut Outbox) {
    let silent = router.config.id;
    if let State::Backup(backup) = &mut router.state
        && let Some(silence) = &mut backup.silence
        && !silence.reported
        && heard_at > silence.since
        && silence.reason.cause != Cause::Preemption
    {
        silence.reported = true;
        out.push(Action::Notify(Notice::SegmentSplit { group, silent, hearing }));
    }
}
