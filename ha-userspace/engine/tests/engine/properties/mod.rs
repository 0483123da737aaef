//! Random histories of a node with four virtual routers; after every step the actions so far must make sense.
//!
//! The ledger knows only the actions, as the driver does. A failure prints the history that led to it.

mod history;
mod ledger;

use crate::support::*;
use history::{Change, Revoked, Step, Word, step};
use holdfast_engine::{
    Advert, Cause, Duration, Engine, EngineConfig, GroupId, Input, Instant, InterfaceId, PathReport,
    PeerHealth, PeerId, PeerReport, Role, RouterConfig, RouterId, Takeover, UnitId, Units, Version,
};
use ledger::{Ledger, subject};
use proptest::prelude::*;
use std::collections::BTreeMap;

const ROUTERS: u32 = 4;
const PEERS: u16 = 2;
const WAN: InterfaceId = InterfaceId(11);
const NODE_GROUP: GroupId = GroupId(1);

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
