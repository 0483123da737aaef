//! Random histories of a node with four virtual routers; after every step the actions so far must make sense.
//!
//! The ledger below knows only the actions, as the driver does. A failure prints the history that led to it.

use crate::support::*;
use holdfast_engine::{
    Action, Advert, Duration, Engine, EngineConfig, GroupId, Input, Instant, InterfaceId, PolicyWrite, Role,
    RouterConfig, RouterId, Version,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

const ROUTERS: u32 = 4;
const WAN: InterfaceId = InterfaceId(11);
const NODE_GROUP: GroupId = GroupId(1);

/// One step of a history.
#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    /// Runs the next deadline, late by so much.
    Timer(u64),
    Interface(bool, bool),
    Source(u32, bool),
    Advert {
        router: u32,
        priority: u8,
        greater: bool,
        age: u64,
        answered: bool,
        revoked: Revoked,
    },
    Heard {
        router: u32,
        age: u64,
    },
    LeaseLapsed,
    Stalled {
        length: u64,
        lan: bool,
    },
    Added {
        router: u32,
        good: bool,
    },
    AddressLost(u32),
    Failover(bool),
    Reload(Change),
    Shutdown,
}

#[derive(Clone, Copy, Debug)]
enum Revoked {
    No,
    ThisGrant,
    OldGrant,
}

#[derive(Clone, Copy, Debug)]
enum Change {
    Priority(u32, u8),
    Interval(u32, u64),
    Preempt(u32, bool, u64),
    Group(u32, bool),
    Without(u32),
    All,
}

fn nanoseconds() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 1..1_000_u64, 1..100_000_000_u64, 1..5_000_000_000_u64]
}

fn step() -> impl Strategy<Value = Step> {
    let router = 0..ROUTERS;
    let revoked =
        prop_oneof![4 => Just(Revoked::No), 1 => Just(Revoked::ThisGrant), 1 => Just(Revoked::OldGrant)];
    let priority = prop_oneof![Just(0_u8), Just(1), Just(99), Just(100), Just(150), Just(200), Just(255)];
    let advert = (router.clone(), priority.clone(), any::<bool>(), nanoseconds(), any::<bool>(), revoked);
    let change = prop_oneof![
        (router.clone(), 1..=254_u8).prop_map(|(r, p)| Change::Priority(r, p)),
        (router.clone(), 1..4096_u64).prop_map(|(r, cs)| Change::Interval(r, cs)),
        (router.clone(), any::<bool>(), nanoseconds())
            .prop_map(|(r, on, delay)| Change::Preempt(r, on, delay)),
        (router.clone(), any::<bool>()).prop_map(|(r, on)| Change::Group(r, on)),
        router.clone().prop_map(Change::Without),
        Just(Change::All),
    ];
    prop_oneof![
        6 => nanoseconds().prop_map(Step::Pass),
        10 => nanoseconds().prop_map(Step::Timer),
        3 => (any::<bool>(), any::<bool>()).prop_map(|(lan, up)| Step::Interface(lan, up)),
        2 => (router.clone(), any::<bool>()).prop_map(|(r, known)| Step::Source(r, known)),
        10 => advert.prop_map(|(router, priority, greater, age, answered, revoked)| Step::Advert {
            router, priority, greater, age, answered, revoked
        }),
        3 => (router.clone(), nanoseconds()).prop_map(|(router, age)| Step::Heard { router, age }),
        1 => Just(Step::LeaseLapsed),
        2 => (nanoseconds(), any::<bool>()).prop_map(|(length, lan)| Step::Stalled { length, lan }),
        4 => (router.clone(), any::<bool>()).prop_map(|(router, good)| Step::Added { router, good }),
        2 => router.prop_map(Step::AddressLost),
        2 => any::<bool>().prop_map(Step::Failover),
        2 => change.prop_map(Step::Reload),
        1 => Just(Step::Shutdown),
    ]
}

/// What the actions so far amount to for one router.
#[derive(Clone, Debug, Default)]
struct Entry {
    role: Role,
    policy: Option<PolicyWrite>,
    scheduled: bool,
    added: bool,
    prepared: bool,
    said_zero: bool,
}

#[derive(Default)]
struct Ledger {
    entries: BTreeMap<RouterId, Entry>,
    last_epoch: u64,
    stopped: bool,
}

impl Ledger {
    fn book(&mut self, action: &Action) {
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
            Action::Notify(_) => {}
            Action::Stopped => {
                assert!(!self.stopped, "stopped twice");
                self.stopped = true;
            }
        }
    }

    fn entry(&mut self, router: RouterId) -> &mut Entry {
        self.entries.entry(router).or_default()
    }

    fn policy(&mut self, router: RouterId, policy: PolicyWrite) {
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

    fn advert(&mut self, router: RouterId, priority: u8) {
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
    fn settle(&mut self, engine: &Engine) {
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

/// The node under test.
struct Node {
    engine: Engine,
    ledger: Ledger,
    now: Instant,
    configured: Vec<RouterConfig>,
    shut_down: bool,
}

fn all_routers() -> Vec<RouterConfig> {
    (0..ROUTERS)
        .map(|number| RouterConfig {
            id: RouterId(number),
            interface: if number == 1 { WAN } else { LAN },
            version: if number == 3 { Version::V2 } else { Version::V3 },
            group: (number < 2).then_some(NODE_GROUP),
            preempt_delay: if number == 2 { centis(500) } else { Duration::ZERO },
            ..config(if number == 2 { 150 } else { 100 })
        })
        .collect()
}

impl Node {
    fn new() -> Self {
        let mut node = Node {
            engine: Engine::new(),
            ledger: Ledger::default(),
            now: START,
            configured: all_routers(),
            shut_down: false,
        };
        node.configure();
        for (interface, up) in [(LAN, true), (WAN, true)] {
            node.feed(Input::Interface { interface, up });
        }
        node.sources();
        node
    }

    fn configure(&mut self) {
        self.feed(Input::Configured(EngineConfig { routers: self.configured.clone(), ..EngineConfig::default() }));
    }

    fn sources(&mut self) {
        for number in 0..ROUTERS {
            self.feed(Input::Source { router: RouterId(number), address: Some(own()) });
        }
    }

    fn feed(&mut self, input: Input) {
        self.turn(|engine, now| engine.handle_input(now, input));
    }

    fn timeout(&mut self) {
        for router in self.engine.due_routers(self.now) {
            assert_eq!(self.engine.view(router).unwrap().role, Role::Backup);
        }
        self.turn(Engine::handle_timeout);
        let next = self.engine.next_deadline();
        assert!(next.is_none_or(|deadline| deadline > self.now), "{next:?} is not after {:?}", self.now);
    }

    /// One call into the engine, with everything checked that holds for any.
    fn turn(&mut self, call: impl FnOnce(&mut Engine, Instant)) {
        let before: BTreeMap<RouterId, Role> =
            self.engine.routers().map(|view| (view.router, view.role)).collect();
        call(&mut self.engine, self.now);
        while let Some(action) = self.engine.poll_action() {
            if let Some(router) = subject(&action) {
                let after = self.engine.view(router).map(|view| view.role);
                let rested = |role: Option<Role>| role.is_none_or(|role| role == Role::Initialize);
                let at_rest = rested(before.get(&router).copied()) && rested(after);
                assert!(!at_rest, "{action:?} for a router in Initialize");
            }
            self.ledger.book(&action);
        }
        self.ledger.settle(&self.engine);
        assert!(!self.ledger.stopped || self.shut_down);
        if self.shut_down {
            let at_rest = self.engine.routers().all(|view| view.role == Role::Initialize);
            assert_eq!(self.ledger.stopped, at_rest);
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Pass(span) => self.now = self.now + nanos(span),
            Step::Timer(late) => {
                if let Some(deadline) = self.engine.next_deadline() {
                    self.now = self.now.max(deadline) + nanos(late);
                }
                self.timeout();
            }
            Step::Interface(lan, up) => {
                self.feed(Input::Interface { interface: if lan { LAN } else { WAN }, up });
            }
            Step::Source(router, known) => {
                self.feed(Input::Source { router: RouterId(router), address: known.then(own) });
            }
            Step::Advert { router, priority, greater, age, answered, revoked } => {
                let router = RouterId(router);
                let source = if greater { peer() } else { small_peer() };
                let epoch = self.ledger.entry(router).policy.map_or(0, |policy| policy.epoch);
                let advert = Advert { at: self.now - nanos(age), answered, ..advert(source, priority) };
                let advert = match revoked {
                    Revoked::No => Advert { epoch, ..advert },
                    Revoked::ThisGrant => Advert { epoch, revoked: epoch != 0, ..advert },
                    Revoked::OldGrant => Advert { epoch: epoch.saturating_sub(1), revoked: true, ..advert },
                };
                self.feed(Input::Advert { router, advert });
            }
            Step::Heard { router, age } => {
                self.feed(Input::Heard { router: RouterId(router), at: self.now - nanos(age) });
            }
            Step::LeaseLapsed => self.feed(Input::LeaseLapsed { at: self.now }),
            Step::Stalled { length, lan } => {
                let began = self.now;
                self.now = self.now + nanos(length);
                let silent = if lan { vec![LAN] } else { vec![LAN, WAN] };
                self.feed(Input::Stalled { began, ended: self.now, silent });
            }
            Step::Added { router, good } => {
                let outcome = if good { Ok(()) } else { Err("refused".to_string()) };
                self.feed(Input::AddressesAdded { router: RouterId(router), outcome });
            }
            Step::AddressLost(router) => self.feed(Input::AddressLost { router: RouterId(router) }),
            Step::Failover(group) => self.feed(Input::Failover { group: group.then_some(NODE_GROUP), cause: Cause::FailoverCommand }),
            Step::Reload(change) => self.reload(change),
            Step::Shutdown => {
                self.shut_down = true;
                self.feed(Input::Shutdown);
            }
        }
    }

    fn reload(&mut self, change: Change) {
        let mut next = self.configured.clone();
        let mut edit = |id: u32, edit: &dyn Fn(&mut RouterConfig)| {
            next.iter_mut().filter(|config| config.id == RouterId(id)).for_each(edit);
        };
        match change {
            Change::Priority(id, priority) => edit(id, &|config| config.priority = priority),
            Change::Interval(id, cs) => edit(id, &|config| config.advertisement_interval = centis(cs)),
            Change::Preempt(id, on, delay) => edit(id, &|config| {
                config.preempt = on;
                config.preempt_delay = nanos(delay);
            }),
            Change::Group(id, on) => edit(id, &|config| config.group = on.then_some(NODE_GROUP)),
            Change::Without(id) => next.retain(|config| config.id != RouterId(id)),
            Change::All => next = all_routers(),
        }
        self.configured = next;
        self.configure();
        if matches!(change, Change::All) {
            self.sources();
        }
    }
}

fn subject(action: &Action) -> Option<RouterId> {
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
        Action::Notify(_) | Action::Stopped => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn v116_any_history_leaves_actions_and_state_in_agreement(history in prop::collection::vec(step(), 1..80)) {
        let mut node = Node::new();
        for step in history {
            node.take(step);
        }
        if !node.shut_down {
            node.take(Step::Shutdown);
        }
        while !node.ledger.stopped {
            node.take(Step::Timer(0));
        }
        prop_assert_eq!(node.engine.next_deadline(), None);
    }

    #[test]
    fn v087_no_instant_or_duration_overflows(
        instants in prop::collection::vec(extreme(), 1..30),
        interval in extreme(),
        priority in any::<u8>(),
        heard in any::<u8>(),
    ) {
        let mut engine = Engine::new();
        let mut now = Instant::from_nanos(0);
        let delay = nanos(interval);
        let routers = vec![RouterConfig { advertisement_interval: delay, preempt_delay: delay, ..config(priority) }];
        engine.handle_input(now, Input::Configured(EngineConfig { routers, ..EngineConfig::default() }));
        engine.handle_input(now, Input::Interface { interface: LAN, up: true });
        engine.handle_input(now, Input::Source { router: ROUTER, address: Some(own()) });
        for instant in instants {
            let instant = Instant::from_nanos(instant);
            let advert = Advert { at: instant, interval: delay, ..advert(peer(), heard) };
            engine.handle_input(now, Input::Advert { router: ROUTER, advert });
            engine.handle_input(now, Input::Heard { router: ROUTER, at: instant });
            engine.handle_input(now, Input::Stalled { began: now, ended: instant, silent: vec![LAN] });
            engine.handle_input(now, Input::AddressLost { router: ROUTER });
            now = now.max(instant);
            engine.handle_timeout(now);
            engine.handle_input(now, Input::Failover { group: None, cause: Cause::FailoverCommand });
            prop_assert!(engine.next_deadline().is_none_or(|deadline| deadline >= now));
        }
        prop_assert_eq!(engine.routers().count(), 1);
    }
}

fn extreme() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        Just(1),
        Just(u64::MAX),
        Just(u64::MAX - 1),
        Just(u64::MAX / 2),
        0..10_000_000_000_u64,
        any::<u64>()
    ]
}
