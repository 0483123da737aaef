//! What must never be seen, whatever happens: looked at after every step, with the bounds in numbers.
//!
//! Owners are counted as hosts would: whose data plane answers for the address. A state that may last for a while carries the
//! moment since which it lasts; the moment at which it will have lasted too long is known beforehand, so that nothing is
//! missed between two steps.

use crate::air::{Air, MOST_NODES, SEGMENTS};
use crate::bounds::Bounds;
use crate::fitness::is_fault;
use crate::node::{Node, Process};
use crate::setting::Setting;
use holdfast_engine::{Cause, Duration, FlapEvent, Role, Transition};
use std::fmt;

/// Numbers of groups as units, beyond those of routers without one.
const GROUPS_FROM: u32 = 32;
/// The record of flaps that a restart reads knows whole seconds.
const RECORD_GRAIN: Duration = Duration::from_secs(2);
/// Where of three nodes some hear each other in part only, one that is not fit tries so often to give way, and every try may move
/// every router of a node there and back.
const TRY_AGAIN: Duration = Duration::from_secs(10);
const LATE_MOVES: u64 = 2;
/// Priority of the owner of the addresses.
const OWNER: u8 = 255;

/// What was seen that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) kind: Kind,
    /// True time, in nanoseconds.
    pub(crate) at: u64,
    pub(crate) what: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    TwoOwners,
    Nobody,
    Oscillation,
    Unfenced,
    GroupSplit,
    Flaps,
    Bypass,
    Misdeed,
    Unsettled,
    Panic,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?} at {} s: {}", self.kind, seconds(self.at), self.what)
    }
}

/// For reading.
pub(crate) fn seconds(nanos: u64) -> String {
    format!("{}.{:06}", nanos / 1_000_000_000, nanos / 1_000 % 1_000_000)
}

/// How long a router was owned by nobody or by several.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ownership {
    pub(crate) nobody: Duration,
    pub(crate) several: Duration,
}

/// A state that must not last, since when it lasts, and how long it may.
#[derive(Clone, Copy, Debug, Default)]
struct Lasting {
    since: Option<(u64, u64)>,
}

impl Lasting {
    /// `bound`: `None` while it does not show. Another bound begins anew.
    fn show(&mut self, now: u64, bound: Option<Duration>) {
        self.since = match (self.since, bound.map(Duration::as_nanos)) {
            (Some((since, before)), Some(bound)) if bound == before => Some((since, bound)),
            (_, Some(bound)) => Some((now, bound)),
            (_, None) => None,
        };
    }

    fn deadline(&self) -> u64 {
        self.since.map_or(u64::MAX, |(since, bound)| since.saturating_add(bound))
    }

    fn text(&self, now: u64) -> String {
        let (since, bound) = self.since.unwrap_or_default();
        format!("since {} s, at most {} s allowed; now {} s", seconds(since), seconds(bound), seconds(now))
    }
}

/// A node as it was last looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Look {
    /// Routers that hosts get an answer for, and that are granted; one bit each.
    answers: u8,
    granted: u8,
    /// Those it has given up and serves until a successor is heard.
    releasing: u8,
    /// The kernel is slow with addresses, or refuses them.
    hampered: bool,
    /// Nothing of its own speaks against it.
    fit: bool,
    able: bool,
    runs: bool,
    /// The process is gone.
    dead: bool,
    engaged: bool,
    /// A wire would lie beside a peer that may forward.
    barred: bool,
    latched: bool,
    /// Flaps hold preemption back.
    held: bool,
}

/// Flaps as they show in the transitions, counted without the governor.
#[derive(Clone, Debug, Default)]
struct FlapCount {
    /// Units that are owned as far as the process recorded, and lost by fault; one bit each.
    active: u64,
    lost: u64,
    times: Vec<u64>,
}

/// The observer of a cluster.
pub(crate) struct Watch {
    bounds: Option<Bounds>,
    looks: Vec<Look>,
    several: Vec<Lasting>,
    nobody: Vec<[Lasting; MOST_NODES]>,
    partial: Vec<Lasting>,
    bridged: Vec<Lasting>,
    /// By router: nodes that answer for it, one bit each.
    owners: Vec<u8>,
    ownership: Vec<Ownership>,
    accounted: u64,
    disturbed_at: u64,
    seen_transitions: Vec<usize>,
    /// By node: moves since everything should have come to rest.
    late_moves: Vec<u64>,
    seen_flaps: Vec<usize>,
    flaps: Vec<FlapCount>,
    deadline: u64,
    /// Every transition and change of owners is printed.
    pub(crate) is_told: bool,
    pub(crate) violation: Option<Violation>,
}

impl Watch {
    pub(crate) fn new(setting: &Setting, bounds: Option<Bounds>, now: u64) -> Self {
        let (nodes, routers) = (setting.nodes(), setting.routers[0].len());
        Watch {
            bounds,
            looks: vec![Look::default(); nodes],
            several: vec![Lasting::default(); routers],
            nobody: vec![[Lasting::default(); MOST_NODES]; routers],
            partial: vec![Lasting::default(); nodes],
            bridged: vec![Lasting::default(); nodes],
            owners: vec![0; routers],
            ownership: vec![Ownership::default(); routers],
            accounted: now,
            disturbed_at: now,
            seen_transitions: vec![0; nodes],
            late_moves: vec![0; nodes],
            seen_flaps: vec![0; nodes],
            flaps: vec![FlapCount::default(); nodes],
            deadline: u64::MAX,
            is_told: false,
            violation: None,
        }
    }

    /// When something will have lasted too long, unless it ends before.
    pub(crate) fn deadline(&self) -> u64 {
        self.deadline
    }

    /// Whoever was about to own may have been lost, or a forged advert was believed: the next in line has its time again.
    pub(crate) fn expect_anew(&mut self) {
        self.nobody.iter_mut().flatten().for_each(|lasting| *lasting = Lasting::default());
    }

    /// Something was changed from outside.
    pub(crate) fn disturb(&mut self, now: u64) {
        self.disturbed_at = now;
    }

    pub(crate) fn take_ownership(&mut self, router: usize, now: u64) -> Ownership {
        self.account(now);
        std::mem::take(&mut self.ownership[router])
    }

    fn account(&mut self, now: u64) {
        let span = Duration::from_nanos(now - self.accounted);
        self.accounted = now;
        for (owners, ownership) in self.owners.iter().zip(&mut self.ownership) {
            match owners.count_ones() {
                0 => ownership.nobody = ownership.nobody + span,
                1 => {}
                _ => ownership.several = ownership.several + span,
            }
        }
    }

    fn report(&mut self, kind: Kind, at: u64, what: String) {
        self.violation.get_or_insert(Violation { kind, at, what });
    }

    /// A node has done something.
    pub(crate) fn look_at(&mut self, node: &mut Node, air: &Air) -> bool {
        if self.bounds.is_some() {
            self.follow_transitions(node, air);
            if let Some(misdeed) = node.misdeeds.pop() {
                self.report(Kind::Misdeed, air.now, format!("node {}: {misdeed}", node.id));
            }
        }
        let mut look = Look {
            able: node.is_able(air),
            hampered: node.waits_for_kernel(),
            fit: node.fitness.unfit.is_none() && !node.fitness.is_latched_without_bypass(),
            runs: node.runs(),
            dead: node.process == Process::Dead,
            engaged: node.wire.is_engaged(),
            barred: node.is_barred(),
            latched: node.fitness.governor.is_latched(),
            held: node.fitness.holds_back,
            ..Look::default()
        };
        for position in 0..self.owners.len() {
            look.granted |= u8::from(node.is_granted(position, air)) << position;
            look.answers |= u8::from(node.answers(position, air)) << position;
            let policy = node.plane.routers[position].policy;
            look.releasing |= u8::from(policy.is_some_and(|policy| policy.priority == 0)) << position;
        }
        let before = self.looks[node.id];
        if look == before {
            return false;
        }
        self.account(air.now);
        self.looks[node.id] = look;
        for (position, owners) in self.owners.iter_mut().enumerate() {
            let bit = 1 << node.id;
            if look.answers & (1 << position) != 0 { *owners |= bit } else { *owners &= !bit }
        }
        if self.is_told && before.answers != look.answers {
            println!(
                "{} s: node {} answers for routers {:#b}, granted {:#b}",
                seconds(air.now),
                node.id,
                look.answers,
                look.granted
            );
        }
        if look.runs != before.runs {
            self.disturbed_at = air.now;
        }
        let lost = before.runs && !look.runs;
        if lost || (look.held, look.latched) != (before.held, before.latched) {
            self.expect_anew();
        }
        if look.dead && !before.dead {
            let count = &mut self.flaps[node.id];
            let active = std::mem::take(&mut count.active);
            count.lost |= if node.stopped || look.latched { 0 } else { active };
        }
        if look.latched != before.latched {
            self.disturbed_at = air.now;
            if !look.latched {
                let active = self.flaps[node.id].active;
                self.flaps[node.id] = FlapCount { active, ..FlapCount::default() };
            }
        }
        true
    }

    /// Judges the cluster as it stands from now on.
    pub(crate) fn judge(&mut self, nodes: &[Node], air: &Air, setting: &Setting) {
        let Some(bounds) = self.bounds else { return };
        self.overdue(air.now);
        for router in 0..self.owners.len() {
            self.judge_router(router, nodes, air, setting, &bounds);
        }
        for node in nodes {
            self.judge_node(node, air, setting, &bounds);
        }
        let lasting = self.several.iter().chain(self.nobody.iter().flatten());
        let lasting = lasting.chain(&self.partial).chain(&self.bridged);
        self.deadline = lasting.map(Lasting::deadline).min().unwrap_or(u64::MAX);
    }

    fn judge_router(&mut self, router: usize, nodes: &[Node], air: &Air, setting: &Setting, bounds: &Bounds) {
        let owners = self.owners[router];
        let segment = nodes[0].plane.routers[router].segment;
        let owns = |node: usize| owners & (1 << node) != 0;
        let joined = |a: usize, b: usize| air.reaches(segment, a, b) && air.reaches(segment, b, a);
        let pairs = (0..nodes.len()).flat_map(|a| (0..a).map(move |b| (a, b)));
        let releases = |node: usize| self.looks[node].releasing & (1 << router) != 0;
        let (mut is_several, mut is_release, mut is_orphan) = (false, true, true);
        for (a, b) in pairs.into_iter().filter(|(a, b)| owns(*a) && owns(*b) && joined(*a, *b)) {
            is_several = true;
            // Whoever gives up serves until it hears a successor, for a release window at most.
            is_release &= releases(a) || releases(b);
            // Whoever crashed in the middle of giving up defends what is left until the lease ends.
            is_orphan &= !self.looks[a].runs || !self.looks[b].runs;
        }
        let check = setting.checks.interval();
        let rough = air.is_rough(segment, check);
        let bound = match (rough, is_release, is_orphan) {
            (true, _, _) => bounds.several_rough,
            (false, _, true) => bounds.several_orphan,
            (false, true, false) => bounds.several_releasing,
            (false, false, false) => bounds.several,
        };
        self.several[router].show(air.now, is_several.then_some(bound));

        let everywhere = setting.paths.iter().copied().chain([segment]);
        let rough = everywhere.into_iter().any(|segment| air.is_rough(segment, check));
        let bound = if rough { bounds.nobody_rough } else { bounds.nobody };
        // An Active that cannot have its addresses keeps the router all the same: a known gap, see docs/simulation.md.
        let hampered = self.looks.iter().any(|look| look.hampered && look.granted & (1 << router) != 0);
        for node in 0..nodes.len() {
            let unserved = !hampered && self.looks[node].able && !self.is_served(node, router, nodes, air);
            self.nobody[router][node].show(air.now, unserved.then_some(bound));
        }
    }

    /// Whether somebody owns the router, and the node is not cut off from whoever does. Where it is not fit, one hears and the
    /// other does not, or a group is owned by somebody in reach elsewhere, waiting is right.
    fn is_served(&self, node: usize, router: usize, nodes: &[Node], air: &Air) -> bool {
        if self.owners[router] == 0 {
            return false;
        }
        let maps = &nodes[node].plane.routers;
        let group = maps[router].config.group;
        let members = || {
            let together = move |other: &usize| group.is_some() && maps[*other].config.group == group;
            (0..maps.len()).filter(move |other| *other == router || together(other))
        };
        let engine = &nodes[node].engine;
        let is_fit =
            |member: usize| engine.view(maps[member].config.id).is_some_and(|view| view.unfit.is_none());
        if !self.looks[node].fit || !members().all(is_fit) {
            return true;
        }
        members().any(|member| {
            let segment = maps[member].segment;
            !air.is_symmetric(segment)
                || (0..nodes.len()).any(|owner| {
                    let owns = self.owners[member] & (1 << owner) != 0;
                    owns && (owner == node || air.reaches(segment, owner, node))
                })
        })
    }

    fn judge_node(&mut self, node: &Node, air: &Air, setting: &Setting, bounds: &Bounds) {
        let look = self.looks[node.id];
        let stood = Duration::from_nanos(air.now.saturating_sub(node.ran_at));
        if look.granted != 0 && stood > bounds.lease {
            let what = format!(
                "node {} owns {} s after its controller last ran",
                node.id,
                seconds(stood.as_nanos())
            );
            self.report(Kind::Unfenced, air.now, what);
        }
        let maps = &node.plane.routers;
        let split = maps.iter().enumerate().any(|(a, first)| {
            maps.iter().enumerate().any(|(b, second)| {
                let together = first.config.group.is_some() && first.config.group == second.config.group;
                together && (look.granted >> a ^ look.granted >> b) & 1 != 0
            })
        });
        let lateness = Duration::from_nanos(node.burden.lateness);
        let bound = match (look.runs, look.releasing) {
            (true, 0) => bounds.partial + lateness,
            // A member serves until its own successor is heard.
            (true, _) => bounds.several_releasing,
            (false, _) => bounds.lease,
        };
        self.partial[node.id].show(air.now, split.then_some(bound));
        self.judge_bypass(node, air, setting, bounds);
    }

    fn judge_bypass(&mut self, node: &Node, air: &Air, setting: &Setting, bounds: &Bounds) {
        let look = self.looks[node.id];
        if look.engaged && look.granted != 0 {
            self.report(Kind::Bypass, air.now, format!("node {} is bridged and owns", node.id));
        }
        if look.engaged && !setting.bypasses[node.id] {
            self.report(Kind::Bypass, air.now, format!("node {} has no bypass and is bridged", node.id));
        }
        let wanted = (node.fitness.by_hand || look.latched) && !look.barred;
        let out_of_turn = look.engaged && look.runs && !wanted;
        let bound = bounds.partial + Duration::from_nanos(node.burden.lateness);
        self.bridged[node.id].show(air.now, out_of_turn.then_some(bound + bound));
    }

    /// What moved, and whether it may.
    fn follow_transitions(&mut self, node: &Node, air: &Air) {
        let Some(bounds) = self.bounds else { return };
        let now = air.now;
        let seen = std::mem::replace(&mut self.seen_transitions[node.id], node.transitions.len());
        for transition in &node.transitions[seen.min(node.transitions.len())..] {
            let text = format!(
                "node {}: {:?} -> {:?}, {:?}",
                node.id, transition.from, transition.to, transition.cause
            );
            if self.is_told {
                println!("{} s: {text} (router {})", seconds(now), transition.router.0);
            }
            let is_fair = (0..SEGMENTS.len()).all(|segment| !air.is_rough(segment, bounds.check));
            let rested_at = self.disturbed_at + bounds.rest.as_nanos();
            let moves = &mut self.late_moves[node.id];
            *moves = if is_fair && now > rested_at { *moves + 1 } else { 0 };
            let is_partial = (0..SEGMENTS.len()).any(|segment| air.is_partial(segment));
            let tries = 1 + now.saturating_sub(rested_at) / TRY_AGAIN.as_nanos();
            let most = if is_partial { LATE_MOVES * self.owners.len() as u64 * tries } else { 0 };
            if *moves > most {
                let since = seconds(self.disturbed_at);
                let what = format!("{text} under a steady fault since {since} s");
                self.report(Kind::Oscillation, now, what);
            }
            // The owner of the addresses preempts whatever is (V-099).
            let yields = node.plane.at(transition.router).config.priority != OWNER;
            let latched = self.looks[node.id].latched && yields;
            if latched && transition.to == Role::Active && transition.cause == Cause::Preemption {
                self.report(Kind::Flaps, now, format!("{text} while latched"));
            }
            self.count_flap(node, transition, now);
        }
        let seen = std::mem::replace(&mut self.seen_flaps[node.id], node.fitness.flaps.len());
        let settings = node.fitness.governor.view(node.clock.reading(now));
        for event in node.fitness.flaps.get(seen..).unwrap_or_default() {
            if let FlapEvent::Counted { flaps, .. } = event
                && *flaps > settings.maximum_allowed
            {
                self.report(Kind::Flaps, now, format!("node {} counts {flaps} flaps and goes on", node.id));
            }
        }
    }

    /// A flap is a return after a loss by fault; whatever was lost before the first return belongs to it.
    fn count_flap(&mut self, node: &Node, transition: &Transition, now: u64) {
        let view = node.fitness.governor.view(node.clock.reading(now));
        let count = &mut self.flaps[node.id];
        let group = node.plane.at(transition.router).config.group;
        // A group is lost with its first member and regained with its first.
        let bit = 1 << group.map_or(transition.router.0, |group| GROUPS_FROM + group.0);
        let was_active = count.active & bit != 0;
        if transition.from == Role::Active && was_active {
            count.active &= !bit;
            let counts = is_fault(transition.cause) && view.latched.is_none();
            count.lost |= if counts { bit } else { 0 };
        }
        if transition.to != Role::Active || was_active {
            return;
        }
        count.active |= bit;
        if count.lost & bit == 0 {
            return;
        }
        count.lost = 0;
        if view.latched.is_some() {
            return;
        }
        count.times.push(now);
        let window = view.window.saturating_sub(RECORD_GRAIN).as_nanos();
        count.times.retain(|at| now - at < window);
        if count.times.len() > view.maximum_allowed as usize {
            let what =
                format!("node {} has {} flaps in its window and is not latched", node.id, count.times.len());
            self.report(Kind::Flaps, now, what);
        }
    }

    /// Reports what has lasted too long by `now`.
    pub(crate) fn overdue(&mut self, now: u64) {
        if now <= self.deadline {
            return;
        }
        let at = self.deadline;
        let mut found = Vec::new();
        for (router, lasting) in
            self.several.iter().enumerate().filter(|(_, lasting)| lasting.deadline() < now)
        {
            let what = format!(
                "router {router} has owners {:#b} that hear each other {}",
                self.owners[router],
                lasting.text(now)
            );
            found.push((Kind::TwoOwners, what));
        }
        for (router, nodes) in self.nobody.iter().enumerate() {
            for (node, lasting) in nodes.iter().enumerate().filter(|(_, lasting)| lasting.deadline() < now) {
                let what = format!(
                    "router {router} has no owner for node {node} (owners {:#b}) {}",
                    self.owners[router],
                    lasting.text(now)
                );
                found.push((Kind::Nobody, what));
            }
        }
        for (node, lasting) in self.partial.iter().enumerate().filter(|(_, lasting)| lasting.deadline() < now)
        {
            found.push((
                Kind::GroupSplit,
                format!(
                    "node {node} holds {:#b} of its groups {}",
                    self.looks[node].granted,
                    lasting.text(now)
                ),
            ));
        }
        for (node, lasting) in self.bridged.iter().enumerate().filter(|(_, lasting)| lasting.deadline() < now)
        {
            found.push((
                Kind::Bypass,
                format!("node {node} is bridged although nothing wants it {}", lasting.text(now)),
            ));
        }
        if let Some((kind, what)) = found.into_iter().next() {
            self.report(kind, at, what);
        }
    }
}
