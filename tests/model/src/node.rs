//! A node: the engine, its data plane, the adverts' schedule, what it knows of the other.

use crate::faults::{PATHS, Place, other};
use crate::peering::{Acquaintance, INTERFACES, UNIT, Word};
use crate::plane::{Plane, ROUTER};
use crate::settings::{FAILURE_THRESHOLD, Sabotage, Settings, TICK, span};
use holdfast_engine::{
    ChecksumPolicy, Duration, Engine, EngineConfig, Family, Input, Instant, PeerCheck, PeerId, RouterConfig,
    RouterView, Version,
};
use std::net::{IpAddr, Ipv4Addr};

/// By number: the first is the better one.
const PRIORITIES: [u8; 2] = [200, 100];
const SOURCES: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10)), IpAddr::V4(Ipv4Addr::new(192, 0, 2, 11))];

#[derive(Clone, Debug, Hash)]
pub struct Node {
    pub engine: Engine,
    pub plane: Plane,
    pub known: Acquaintance,
    pub alive: bool,
    /// Since when the controller stands still.
    pub paused: Option<Instant>,
    /// It stood still since then and has not run yet.
    pub woken: Option<Instant>,
    /// Next scheduled advert.
    pub advert_at: Option<Instant>,
    /// When frames were last received, by path.
    pub frames: [Option<Instant>; PATHS],
    /// On which paths it heard the other when its controller last looked.
    pub hears: [bool; PATHS],
    /// End of the last lease that lapsed.
    pub lapsed: Option<Instant>,
}

impl Node {
    /// A node that has just started.
    pub fn started(place: Place, now: Instant, settings: &Settings) -> Self {
        let mut node = Node {
            engine: Engine::new(),
            plane: Plane::new(),
            known: Acquaintance::new(peer_id(other(place))),
            alive: true,
            paused: None,
            woken: None,
            advert_at: None,
            frames: [None; PATHS],
            hears: [false; PATHS],
            lapsed: None,
        };
        node.plane.lease_until = now + span(settings.lease);
        let config = EngineConfig {
            routers: vec![router(place, settings)],
            peers: vec![peer_id(other(place))],
            peer_check: PeerCheck { interval: TICK, failure_threshold: FAILURE_THRESHOLD },
            takeover: settings.takeover,
        };
        node.engine.handle_input(now, Input::Configured(config));
        for interface in INTERFACES {
            node.engine.handle_input(now, Input::Interface { interface, up: true });
        }
        node.engine.handle_input(now, Input::Source { router: ROUTER, address: Some(source(place)) });
        node
    }

    /// Its controller runs.
    pub fn runs(&self) -> bool {
        self.alive && self.paused.is_none()
    }

    pub fn owns(&self, now: Instant) -> bool {
        self.alive && self.plane.owns(now)
    }

    pub fn view(&self) -> Option<RouterView> {
        self.engine.view(ROUTER)
    }

    /// What its data plane says of it at this moment.
    pub fn word(&self, now: Instant, settings: &Settings) -> Word {
        let view = self.view().filter(|_| now < self.plane.lease_until);
        let Some(view) = view else { return Word { hears: self.hears, ..Word::default() } };
        let releasing = self.plane.policy.is_some_and(|policy| policy.priority == 0);
        let overstated = match settings.sabotage {
            Sabotage::LeaseOverstated => span(2 * settings.lease),
            _ => Duration::ZERO,
        };
        Word {
            owned: self.plane.grant(now).is_some() && !releasing,
            ready: view.ready,
            lease_until: self.plane.lease_until + overstated,
            priority: view.effective_priority,
            hears: self.hears,
        }
    }
}

pub fn peer_id(place: Place) -> PeerId {
    PeerId(if place == 0 { 1 } else { 2 })
}

pub fn source(place: Place) -> IpAddr {
    SOURCES[place]
}

fn router(place: Place, settings: &Settings) -> RouterConfig {
    RouterConfig {
        id: ROUTER,
        interface: INTERFACES[0],
        version: Version::V3,
        family: Family::Ipv4,
        priority: PRIORITIES[place],
        advertisement_interval: span(settings.interval),
        preempt: settings.preempt,
        preempt_delay: Duration::ZERO,
        checksum: ChecksumPolicy::Rfc9568,
        group: None,
        unit: Some(UNIT),
    }
}
