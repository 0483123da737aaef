//! Random histories of a node with four virtual routers; after every step the actions so far must make sense.
//!
//! The ledger below knows only the actions, as the driver does. A failure prints the history that led to it.

use crate::support::*;
use holdfast_engine::{
    Action, Advert, Cause, Duration, Engine, EngineConfig, GroupId, Input, Instant, InterfaceId, PathReport,
    PeerHealth, PeerId, PeerReport, PolicyWrite, Role, RouterConfig, RouterId, Standing, Takeover, UnitId,
    Units, Version,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

const ROUTERS: u32 = 4;
const PEERS: u16 = 2;
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
    Failover(bool, Cause),
    Uncorroborated {
        router: u32,
        peer: u16,
        priority: u8,
        age: u64,
    },
    Peer {
        peer: u16,
        report: Word,
    },
    PeerHealth(u16, PeerHealth, u64),
    Frames(bool, u64),
    Standing(u32, Standing),
    StandDown,
    StandUp,
    Reload(Change),
    Shutdown,
}

#[derive(Clone, Copy, Debug)]
enum Revoked {
    No,
    ThisGrant,
    OldGrant,
}

/// What a peer says, ages in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Word {
    heard: Option<u64>,
    owned: u64,
    ready: u64,
    lease_left: u64,
    priority: u8,
    draining: bool,
    bad_mac: Option<u64>,
    hears_us: Option<bool>,
    replied: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
enum Change {
    Priority(u32, u8),
    Interval(u32, u64),
    Preempt(u32, bool, u64),
    Group(u32, bool),
    Without(u32),
    Peers(u16),
    AfterLease(bool),
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
        (0..=PEERS).prop_map(Change::Peers),
        any::<bool>().prop_map(Change::AfterLease),
        Just(Change::All),
    ];
    let cause = prop_oneof![Just(Cause::FailoverCommand), Just(Cause::LowBandwidth)];
    let peer = 0..PEERS;
    let health =
        prop_oneof![Just(PeerHealth::Unknown), Just(PeerHealth::Healthy), Just(PeerHealth::Unhealthy)];
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
        2 => router.clone().prop_map(Step::AddressLost),
        2 => (any::<bool>(), cause).prop_map(|(group, cause)| Step::Failover(group, cause)),
        3 => (router.clone(), peer.clone(), priority, nanoseconds())
            .prop_map(|(router, peer, priority, age)| Step::Uncorroborated { router, peer, priority, age }),
        8 => (peer.clone(), word()).prop_map(|(peer, report)| Step::Peer { peer, report }),
        3 => (peer, health, nanoseconds()).prop_map(|(peer, health, age)| Step::PeerHealth(peer, health, age)),
        2 => (any::<bool>(), nanoseconds()).prop_map(|(lan, age)| Step::Frames(lan, age)),
        3 => (router.clone(), standing()).prop_map(|(router, standing)| Step::Standing(router, standing)),
        1 => Just(Step::StandDown),
        2 => Just(Step::StandUp),
        2 => change.prop_map(Step::Reload),
        1 => Just(Step::Shutdown),
    ]
}

fn word() -> impl Strategy<Value = Word> {
    let age = || prop::option::weighted(0.8, nanoseconds());
    let units = || 0..1_u64 << ROUTERS;
    let lease_left = prop_oneof![Just(0), 1..2_000_000_000_u64];
    let priority = prop_oneof![Just(1_u8), Just(100), Just(200), Just(255)];
    let bad_mac = prop::option::weighted(0.2, nanoseconds());
    let hears_us = prop::option::of(any::<bool>());
    (age(), units(), units(), lease_left, priority, any::<bool>(), bad_mac, hears_us, age()).prop_map(
        |(heard, owned, ready, lease_left, priority, draining, bad_mac, hears_us, replied)| Word {
            heard,
            owned,
            ready,
            lease_left,
            priority,
            draining,
            bad_mac,
            hears_us,
            replied,
        },
    )
}

fn standing() -> impl Strategy<Value = Standing> {
    let unfit =
        prop_oneof![Just(None), Just(Some(Cause::RequirementFailed)), Just(Some(Cause::LowBandwidth))];
    (any::<i16>(), unfit, any::<bool>()).prop_map(|(offset, unfit, may_preempt)| Standing {
        offset,
        unfit,
        may_preempt,
    })
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
    trusted: BTreeMap<PeerId, bool>,
    stopped: bool,
    stood_down: bool,
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
    configured: EngineConfig,
    shut_down: bool,
    ordered_down: bool,
}

fn all_routers() -> Vec<RouterConfig> {
    (0..ROUTERS)
        .map(|number| RouterConfig {
            id: RouterId(number),
            interface: if number == 1 { WAN } else { LAN },
            version: if number == 3 { Version::V2 } else { Version::V3 },
            group: (number < 2).then_some(NODE_GROUP),
            unit: (number < 3).then_some(UnitId(u8::from(number == 2))),
            preempt_delay: if number == 2 { centis(500) } else { Duration::ZERO },
            ..config(if number == 2 { 150 } else { 100 })
        })
        .collect()
}

fn peers(count: u16) -> Vec<PeerId> {
    (0..count).map(PeerId).collect()
}

fn everything() -> EngineConfig {
    EngineConfig { routers: all_routers(), peers: peers(PEERS), peer_check: CHECK, takeover: Takeover::Fast }
}

impl Node {
    fn new() -> Self {
        let mut node = Node {
            engine: Engine::new(),
            ledger: Ledger::default(),
            now: START,
            configured: everything(),
            shut_down: false,
            ordered_down: false,
        };
        node.configure();
        for (interface, up) in [(LAN, true), (WAN, true)] {
            node.feed(Input::Interface { interface, up });
        }
        node.sources();
        node
    }

    fn configure(&mut self) {
        let known = self.configured.peers.clone();
        self.ledger.trusted.retain(|peer, _| known.contains(peer));
        self.feed(Input::Configured(self.configured.clone()));
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
        let at_rest = self.engine.routers().all(|view| view.role == Role::Initialize);
        assert!(!self.ledger.stopped || self.shut_down);
        if self.shut_down {
            assert_eq!(self.ledger.stopped, at_rest);
        } else {
            assert_eq!(self.ledger.stood_down, self.ordered_down && at_rest);
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
            Step::Failover(group, cause) => {
                self.feed(Input::Failover { group: group.then_some(NODE_GROUP), cause });
            }
            Step::Uncorroborated { router, peer, priority, age } => {
                let advert = Advert { at: self.now - nanos(age), ..advert(small_peer(), priority) };
                self.feed(Input::Uncorroborated { router: RouterId(router), peer: PeerId(peer), advert });
            }
            Step::Peer { peer, report } => {
                let report = self.spell(report);
                self.feed(Input::Peer { peer: PeerId(peer), report });
            }
            Step::PeerHealth(peer, health, age) => {
                let silent_since = Some(self.now - nanos(age));
                self.feed(Input::PeerHealth { peer: PeerId(peer), health, silent_since });
            }
            Step::Frames(lan, age) => {
                let interface = if lan { LAN } else { WAN };
                self.feed(Input::Frames { interface, at: self.now - nanos(age) });
            }
            Step::Standing(router, standing) => {
                self.feed(Input::Standing { router: RouterId(router), standing });
            }
            Step::StandDown => {
                self.ordered_down = true;
                self.feed(Input::StandDown { cause: Cause::FlapLatch });
            }
            Step::StandUp => {
                (self.ordered_down, self.ledger.stood_down) = (false, false);
                self.feed(Input::StandUp);
            }
            Step::Reload(change) => self.reload(change),
            Step::Shutdown => {
                self.shut_down = true;
                self.feed(Input::Shutdown);
            }
        }
    }

    fn spell(&self, word: Word) -> PeerReport {
        let before = |age: Option<u64>| age.map(|age| self.now - nanos(age));
        let path = |interface| PathReport {
            interface: Some(interface),
            heard_at: before(word.replied),
            replied_at: before(word.replied),
            hears_us: word.hears_us,
        };
        PeerReport {
            heard_at: before(word.heard),
            owned: Units(word.owned),
            ready: Units(word.ready),
            lease_until: self.now + nanos(word.lease_left),
            lease: LEASE,
            priority: word.priority,
            same_configuration: true,
            draining: word.draining,
            bad_mac_at: before(word.bad_mac),
            paths: vec![path(LAN), path(SYNC)],
        }
    }

    fn reload(&mut self, change: Change) {
        let mut next = self.configured.routers.clone();
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
            Change::Peers(count) => self.configured.peers = peers(count),
            Change::AfterLease(on) => {
                self.configured.takeover = if on { Takeover::AfterLease } else { Takeover::Fast };
            }
            Change::All => {
                self.configured = everything();
                next = all_routers();
            }
        }
        self.configured.routers = next;
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
        Action::Notify(_)
        | Action::Stopped
        | Action::StoodDown
        | Action::TrustPeer { .. }
        | Action::ProbeNow { .. } => None,
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
        let routers = vec![RouterConfig { advertisement_interval: delay, preempt_delay: delay, ..keyed(priority) }];
        engine.handle_input(now, Input::Configured(keyed_config(routers)));
        engine.handle_input(now, Input::Interface { interface: LAN, up: true });
        engine.handle_input(now, Input::Source { router: ROUTER, address: Some(own()) });
        for instant in instants {
            let instant = Instant::from_nanos(instant);
            let advert = Advert { at: instant, interval: delay, ..advert(peer(), heard) };
            engine.handle_input(now, Input::Advert { router: ROUTER, advert });
            engine.handle_input(now, Input::Heard { router: ROUTER, at: instant });
            engine.handle_input(now, Input::Stalled { began: now, ended: instant, silent: vec![LAN] });
            engine.handle_input(now, Input::AddressLost { router: ROUTER });
            engine.handle_input(now, Input::Uncorroborated { router: ROUTER, peer: PEER, advert });
            let report = PeerReport {
                heard_at: Some(instant),
                lease: delay,
                lease_until: instant,
                bad_mac_at: Some(instant),
                ..owning_peer(now)
            };
            engine.handle_input(now, Input::Peer { peer: PEER, report });
            let silent_since = Some(instant);
            engine.handle_input(now, Input::PeerHealth { peer: PEER, health: PeerHealth::Unhealthy, silent_since });
            engine.handle_input(now, Input::Frames { interface: LAN, at: instant });
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
