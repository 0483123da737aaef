//! A peer as the bench's engine hears of it.

use super::*;
use holdfast_engine::{
    PathReport, PeerCheck, PeerHealth, PeerId, PeerReport, Standing, Takeover, UnitId, Units,
};

pub(crate) const PEER: PeerId = PeerId(1);
pub(crate) const THIRD: PeerId = PeerId(2);
pub(crate) const UNIT: UnitId = UnitId(0);
/// A link between the nodes that is not the router's segment.
pub(crate) const SYNC: InterfaceId = InterfaceId(20);
pub(crate) const CHECK: PeerCheck = PeerCheck { interval: Duration::from_millis(100), failure_threshold: 3 };
/// How long a report speaks for its sender.
pub(crate) const WINDOW: Duration = Duration::from_millis(300);
pub(crate) const LEASE: Duration = Duration::from_secs(1);
/// Active_Down_Interval at priority 100 and 100 cs.
pub(crate) const DOWN: Duration = nanos(3_609_375_000);
/// Shortest span of the clock.
pub(crate) const NANO: Duration = nanos(1);

pub(crate) fn owns() -> Units {
    Units::NONE.with(UNIT)
}

/// A router that the probes speak of.
pub(crate) fn keyed(priority: u8) -> RouterConfig {
    RouterConfig { unit: Some(UNIT), ..config(priority) }
}

pub(crate) fn keyed_config(routers: Vec<RouterConfig>) -> EngineConfig {
    EngineConfig { routers, peers: vec![PEER], peer_check: CHECK, takeover: Takeover::Fast }
}

/// A path on which both sides hear each other at this moment.
pub(crate) fn good_path(interface: InterfaceId, now: Instant) -> PathReport {
    PathReport {
        interface: Some(interface),
        heard_at: Some(now),
        replied_at: Some(now),
        hears_us: Some(true),
    }
}

/// A path on which nothing was ever heard.
pub(crate) fn dead_path(interface: InterfaceId, hears_us: Option<bool>) -> PathReport {
    PathReport { interface: Some(interface), heard_at: None, replied_at: None, hears_us }
}

/// A peer at priority 200 that is fit, owns nothing, and is heard on the segment and beside it.
pub(crate) fn ready_peer(now: Instant) -> PeerReport {
    PeerReport {
        heard_at: Some(now),
        owned: Units::NONE,
        ready: owns(),
        lease_until: now + LEASE,
        lease: LEASE,
        priority: 200,
        same_configuration: true,
        draining: false,
        bad_mac_at: None,
        paths: vec![good_path(LAN, now), good_path(SYNC, now)],
    }
}

/// As [`ready_peer`], and it owns the router.
pub(crate) fn owning_peer(now: Instant) -> PeerReport {
    PeerReport { owned: owns(), ..ready_peer(now) }
}

/// An owner that is heard beside the segment only.
pub(crate) fn owner_beside(now: Instant) -> PeerReport {
    PeerReport { paths: vec![dead_path(LAN, Some(false)), good_path(SYNC, now)], ..owning_peer(now) }
}

impl Bench {
    /// An engine with these settings, interfaces and sources up.
    pub(crate) fn with(config: EngineConfig) -> Self {
        let mut bench = Bench { engine: Engine::new(), now: START };
        bench.input(Input::Configured(config.clone()));
        for router in config.routers {
            bench.input(Input::Interface { interface: router.interface, up: true });
            bench.input(Input::Source { router: router.id, address: Some(own()) });
        }
        bench
    }

    /// One router and one peer that has proven its key.
    pub(crate) fn keyed(router: RouterConfig) -> Self {
        let mut bench = Bench::with(keyed_config(vec![router]));
        bench.report(ready_peer);
        bench
    }

    /// A Backup at priority 100 under a peer that owns at 200 and says so.
    pub(crate) fn keyed_backup() -> Self {
        Bench::keyed_backup_of(keyed_config(vec![keyed(100)]))
    }

    pub(crate) fn keyed_backup_of(config: EngineConfig) -> Self {
        let mut bench = Bench::with(config);
        bench.hear(advert(peer(), 200));
        bench.report(owning_peer);
        bench.health(PeerHealth::Healthy, None);
        bench
    }

    /// As [`Bench::active`], with a peer.
    pub(crate) fn keyed_active(router: RouterConfig) -> Self {
        Bench::active_of(keyed_config(vec![router]))
    }

    pub(crate) fn active_of(config: EngineConfig) -> Self {
        let routers: Vec<RouterId> = config.routers.iter().map(|router| router.id).collect();
        let mut bench = Bench::with(config);
        bench.pass(centis(1_000));
        for router in routers {
            assert_eq!(bench.engine.view(router).unwrap().role, Role::Active);
            bench.input(Input::AddressesAdded { router, outcome: Ok(()) });
        }
        bench.pass(centis(1_000));
        bench
    }

    /// The peer's word at this moment.
    pub(crate) fn report(&mut self, word: impl FnOnce(Instant) -> PeerReport) -> Vec<Action> {
        let report = word(self.now);
        self.input(Input::Peer { peer: PEER, report })
    }

    /// Hears the peer's word every check interval for `span`.
    pub(crate) fn report_for(&mut self, span: Duration, word: impl Fn(Instant) -> PeerReport) -> Vec<Action> {
        let end = self.now + span;
        let mut done = Vec::new();
        while self.now + CHECK.interval <= end {
            done.extend(plain(self.pass(CHECK.interval)));
            done.extend(self.report(&word));
        }
        done.extend(plain(self.pass(end.since(self.now))));
        done
    }

    pub(crate) fn health(&mut self, health: PeerHealth, silent_since: Option<Instant>) -> Vec<Action> {
        self.input(Input::PeerHealth { peer: PEER, health, silent_since })
    }

    pub(crate) fn uncorroborated(&mut self, advert: Advert) -> Vec<Action> {
        let advert = Advert { at: self.now, ..advert };
        self.input(Input::Uncorroborated { router: ROUTER, peer: PEER, advert })
    }

    pub(crate) fn standing(&mut self, standing: Standing) -> Vec<Action> {
        self.input(Input::Standing { router: ROUTER, standing })
    }

    /// Runs what is due now, if anything is.
    pub(crate) fn timeout(&mut self) -> Vec<Action> {
        self.engine.handle_timeout(self.now);
        self.drain()
    }
}

/// The actions without their times.
pub(crate) fn plain(actions: Vec<(Instant, Action)>) -> Vec<Action> {
    actions.into_iter().map(|(_, action)| action).collect()
}

/// A requirement that is not met.
pub(crate) fn unfit() -> Standing {
    Standing { unfit: Some(Cause::RequirementFailed), ..Standing::default() }
}

/// Causes of the transitions among the actions.
pub(crate) fn causes(actions: &[Action]) -> Vec<Cause> {
    let cause = |action: &Action| match action {
        Action::Record(transition) => Some(transition.cause),
        _ => None,
    };
    actions.iter().filter_map(cause).collect()
}
