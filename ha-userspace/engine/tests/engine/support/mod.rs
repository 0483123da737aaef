//! One engine on a bench: inputs in, actions out, time moved by hand.

mod peers;

pub(crate) use peers::*;

use holdfast_engine::{
    Action, Advert, Cause, ChecksumPolicy, Duration, Engine, EngineConfig, Family, Input, Instant,
    InterfaceId, Notice, PolicyWrite, Role, RouterConfig, RouterId, RouterView, Transition, Version,
};
use std::net::IpAddr;

pub(crate) const ROUTER: RouterId = RouterId(1);
pub(crate) const LAN: InterfaceId = InterfaceId(10);
/// Where the bench's clock begins.
pub(crate) const START: Instant = Instant::from_nanos(1_000_000_000_000);

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Our own source address on the bench.
pub(crate) fn own() -> IpAddr {
    ip("192.0.2.10")
}

/// A peer whose address beats ours in a tie.
pub(crate) fn peer() -> IpAddr {
    ip("192.0.2.11")
}

/// A peer whose address loses to ours in a tie.
pub(crate) fn small_peer() -> IpAddr {
    ip("192.0.2.9")
}

/// A VRRPv3 router at 100 cs.
pub(crate) fn config(priority: u8) -> RouterConfig {
    RouterConfig {
        id: ROUTER,
        interface: LAN,
        version: Version::V3,
        family: Family::Ipv4,
        priority,
        advertisement_interval: centis(100),
        preempt: true,
        preempt_delay: Duration::ZERO,
        checksum: ChecksumPolicy::Auto,
        group: None,
        unit: None,
    }
}

pub(crate) const fn centis(centis: u64) -> Duration {
    Duration::from_centis(centis)
}

pub(crate) const fn nanos(nanos: u64) -> Duration {
    Duration::from_nanos(nanos)
}

/// An advert at 100 cs, stamped by [`Bench::hear`].
pub(crate) fn advert(source: IpAddr, priority: u8) -> Advert {
    Advert {
        at: START,
        source,
        priority,
        interval: centis(100),
        checksum: None,
        answered: false,
        addresses_differ: false,
        epoch: 0,
        revoked: false,
    }
}

pub(crate) struct Bench {
    pub(crate) engine: Engine,
    pub(crate) now: Instant,
}

impl Bench {
    /// An engine with these routers, nothing known of interfaces or sources yet.
    pub(crate) fn new(routers: Vec<RouterConfig>) -> Self {
        let mut bench = Bench { engine: Engine::new(), now: START };
        assert_eq!(bench.input(Input::Configured(EngineConfig { routers, ..EngineConfig::default() })), []);
        bench
    }

    /// One router, started.
    pub(crate) fn started(config: RouterConfig) -> Self {
        let mut bench = Bench::new(vec![config]);
        bench.start();
        bench
    }

    /// One router that became Active in silence and has its addresses.
    pub(crate) fn active(config: RouterConfig) -> Self {
        let mut bench = Bench::started(config);
        bench.run_to_deadline();
        assert_eq!(bench.role(), Role::Active);
        bench.input(Input::AddressesAdded { router: ROUTER, outcome: Ok(()) });
        bench.pass(centis(1_000));
        bench
    }

    /// Brings the interface and the source address of [`ROUTER`] up.
    pub(crate) fn start(&mut self) -> Vec<Action> {
        let mut actions = self.input(Input::Interface { interface: LAN, up: true });
        actions.extend(self.input(Input::Source { router: ROUTER, address: Some(own()) }));
        actions
    }

    pub(crate) fn input(&mut self, input: Input) -> Vec<Action> {
        self.engine.handle_input(self.now, input);
        self.drain()
    }

    pub(crate) fn hear(&mut self, advert: Advert) -> Vec<Action> {
        self.input(Input::Advert { router: ROUTER, advert: Advert { at: self.now, ..advert } })
    }

    pub(crate) fn drain(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.engine.poll_action()).collect()
    }

    /// Lets time pass, running every timer exactly when it is due.
    pub(crate) fn pass(&mut self, span: Duration) -> Vec<(Instant, Action)> {
        let end = self.now + span;
        let mut done = Vec::new();
        while let Some(deadline) = self.engine.next_deadline().filter(|deadline| *deadline <= end) {
            self.now = self.now.max(deadline);
            self.engine.handle_timeout(self.now);
            done.extend(self.drain().into_iter().map(|action| (self.now, action)));
        }
        self.now = end;
        done
    }

    /// Runs the next timer when it is due and says what it did.
    pub(crate) fn run_to_deadline(&mut self) -> Vec<Action> {
        self.now = self.now.max(self.engine.next_deadline().unwrap());
        self.engine.handle_timeout(self.now);
        self.drain()
    }

    pub(crate) fn view(&self) -> RouterView {
        self.engine.view(ROUTER).unwrap()
    }

    pub(crate) fn role(&self) -> Role {
        self.view().role
    }

    /// Time until the next timer.
    pub(crate) fn remaining(&self) -> Option<Duration> {
        self.engine.next_deadline().map(|deadline| deadline.since(self.now))
    }
}

/// The cause and roles of the only transition among `actions`.
pub(crate) fn transition(actions: &[Action]) -> (Role, Role, Cause) {
    let transition = the_transition(actions);
    (transition.from, transition.to, transition.cause)
}

pub(crate) fn the_transition(actions: &[Action]) -> Transition {
    let mut recorded = actions.iter().filter_map(|action| match action {
        Action::Record(transition) => Some(transition.clone()),
        _ => None,
    });
    let first = recorded.next().unwrap_or_else(|| panic!("no transition in {actions:?}"));
    assert!(recorded.next().is_none(), "more than one transition in {actions:?}");
    first
}

/// The policies written, in order.
pub(crate) fn policies(actions: &[Action]) -> Vec<PolicyWrite> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::WritePolicy { policy, .. } => Some(*policy),
            _ => None,
        })
        .collect()
}

pub(crate) fn notices(actions: &[Action]) -> Vec<Notice> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Notify(notice) => Some(notice.clone()),
            _ => None,
        })
        .collect()
}

/// The names of the actions, in order: what a table compares.
pub(crate) fn names(actions: &[Action]) -> Vec<String> {
    actions.iter().map(name).collect()
}

fn name(action: &Action) -> String {
    match action {
        Action::WritePolicy { policy, .. } => format!("policy {:?} {}", policy.role, policy.priority),
        Action::StartAdverts { interval, .. } => format!("start {}", interval.as_nanos() / 10_000_000),
        Action::StopAdverts { .. } => "stop".into(),
        Action::SendAdvert { priority, .. } => format!("send {priority}"),
        Action::AddAddresses { .. } => "add".into(),
        Action::PrepareAddresses { .. } => "prepare".into(),
        Action::RemoveAddresses { .. } => "remove".into(),
        Action::Announce { .. } => "announce".into(),
        Action::Record(transition) => format!("record {:?}", transition.cause),
        Action::Notify(_) => "notify".into(),
        Action::Stopped => "stopped".into(),
        Action::StoodDown => "stood down".into(),
        Action::TrustPeer { plain, .. } => format!("trust {}", if *plain { "plain" } else { "keyed" }),
        Action::ProbeNow { .. } => "probe".into(),
    }
}
