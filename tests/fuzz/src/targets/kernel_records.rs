//! What the kernel hands to the controller: ring records, and the election fed with whatever the maps may hold.
//!
//! Both come from the data plane, which is ours; but pins outlive a daemon, a record can be of another layout, and the
//! engine promises to survive whatever numbers stand in it.

use crate::choices::Choices;
use ha_common::maps::values::Head;
use ha_common::ring_events::{AdvertEvent, PeerEvent, event_flag};
use holdfast::datapath::RingRecord;
use holdfast::datapath::maps::{address_bytes, address_from_bytes};
use holdfast::datapath::ring_reader::{heard_form, interval_span, record};
use holdfast_engine::{
    Action, Cause, ChecksumPolicy, Duration, Engine, EngineConfig, Family, GroupId, Input, Instant,
    InterfaceId, PathReport, PeerCheck, PeerHealth, PeerId, PeerReport, Role, RouterConfig, RouterId,
    Standing, Takeover, UnitId, Units, Version,
};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A record of the ring.
pub(super) fn ring(input: &[u8]) {
    let found = record(input);
    let head = |at: usize| {
        let word = |at: usize| Some(u16::from_ne_bytes(*input.get(at..)?.first_chunk()?));
        Some(Head { version: word(at)?, size: word(at + 2)? })
    };
    let is_advert = input.len() == size_of::<AdvertEvent>() && head(48) == Some(Head::of::<AdvertEvent>());
    let is_peer = input.len() == size_of::<PeerEvent>() && head(24) == Some(Head::of::<PeerEvent>());
    match &found {
        None => assert!(!is_advert && !is_peer, "a record of our layout was skipped"),
        Some(RingRecord::Peer(event)) => {
            assert!(is_peer, "a record of another layout was taken");
            assert_eq!(bytemuck::bytes_of(event), input);
        }
        Some(RingRecord::Advert { router, advert, uncorroborated }) => {
            assert!(is_advert, "a record of another layout was taken");
            let event: AdvertEvent = bytemuck::pod_read_unaligned(input);
            assert_eq!((router.0, advert.at.as_nanos()), (event.router, event.at_ns));
            assert_eq!((advert.priority, advert.epoch), (event.priority, event.epoch));
            assert_eq!(*uncorroborated, event.flags & event_flag::UNCORROBORATED != 0);
            assert_eq!(advert.revoked, event.flags & event_flag::REVOKED != 0);
            assert_eq!(advert.answered, event.flags & event_flag::ANSWERED != 0);
            assert_eq!(advert.interval, interval_span(event.version, event.interval));
            assert_eq!(advert.checksum, heard_form(event.checksum));
            // Maps know an IPv4 address in one form only, so that the way there and back changes nothing.
            assert_eq!(address_bytes(advert.source), event.source);
            assert_eq!(address_from_bytes(event.source), advert.source);
        }
    }
}

const ROUTERS: u32 = 3;
const PEERS: u16 = 2;
/// Inputs of one run, and timer runs between two of them.
const MOST_INPUTS: usize = 64;
const MOST_TURNS: usize = 64;
/// Actions that one input can bring about on this small node.
const MOST_ACTIONS: usize = 200;

/// A node with two grouped routers and a single one, two peers, and inputs as an outsider would choose them.
pub(super) fn engine_inputs(input: &[u8]) {
    let mut choices = Choices::new(input);
    let mut bench = Bench::new(&mut choices);
    let mut rest = choices.rest();
    for _ in 0..MOST_INPUTS {
        let Some((&kind, tail)) = rest.split_first() else { break };
        let mut choices = Choices::new(tail);
        bench.step(kind, &mut choices);
        rest = choices.rest();
    }
}

struct Bench {
    engine: Engine,
    now: Instant,
    /// Last grant of each router.
    grants: BTreeMap<RouterId, u64>,
}

impl Bench {
    fn new(choices: &mut Choices<'_>) -> Self {
        let now = Instant::from_nanos(choices.be64() >> 1);
        let mut bench = Bench { engine: Engine::new(), now, grants: BTreeMap::new() };
        let config = configuration(choices);
        bench.input(Input::Configured(config));
        for router in 0..ROUTERS {
            bench.input(Input::Interface { interface: InterfaceId(router), up: true });
            let address = Some(IpAddr::from([192, 0, 2, 10]));
            bench.input(Input::Source { router: RouterId(router), address });
        }
        bench
    }

    fn step(&mut self, kind: u8, choices: &mut Choices<'_>) {
        // Mostly a little later, sometimes ages.
        let later = if kind & 0x80 == 0 { u64::from(choices.be16()) * 1_000_000 } else { choices.be64() };
        self.now = self.now + Duration::from_nanos(later);
        self.run_timers();
        let input = some_input(kind & 0x7f, choices, self.now);
        self.input(input);
    }

    fn input(&mut self, input: Input) {
        self.engine.handle_input(self.now, input);
        self.drain();
    }

    /// After the timers have run, none may be due: the driver would spin.
    fn run_timers(&mut self) {
        for _ in 0..MOST_TURNS {
            match self.engine.next_deadline() {
                Some(deadline) if deadline <= self.now && deadline != Instant::from_nanos(u64::MAX) => {
                    self.engine.handle_timeout(self.now);
                    self.drain();
                }
                _ => return,
            }
        }
        panic!("timers are due at {:?} for ever", self.now);
    }

    fn drain(&mut self) {
        for _ in 0..MOST_ACTIONS {
            let Some(action) = self.engine.poll_action() else { return };
            let Action::WritePolicy { router, policy } = action else { continue };
            assert_eq!(
                policy.epoch != 0,
                policy.role == Role::Active,
                "a grant is what makes an Active the owner"
            );
            let grant = self.grants.entry(router).or_default();
            assert!(
                policy.epoch == 0 || policy.epoch >= *grant,
                "a grant came back: a revocation would be undone"
            );
            *grant = policy.epoch.max(*grant);
        }
        panic!("one input brought more than {MOST_ACTIONS} actions");
    }
}

fn configuration(choices: &mut Choices<'_>) -> EngineConfig {
    let routers = (0..ROUTERS).map(|id| {
        let kind = choices.byte();
        let version = if kind & 1 == 0 { Version::V3 } else { Version::V2 };
        let interval = u64::from(choices.be16() % 4095 + 1);
        RouterConfig {
            id: RouterId(id),
            interface: InterfaceId(id),
            version,
            family: Family::Ipv4,
            priority: choices.byte().max(1),
            advertisement_interval: match version {
                Version::V3 => Duration::from_centis(interval),
                Version::V2 => Duration::from_secs(interval % 255 + 1),
            },
            preempt: kind & 2 == 0,
            preempt_delay: Duration::from_secs(if kind & 4 == 0 { 0 } else { 30 }),
            checksum: [ChecksumPolicy::Auto, ChecksumPolicy::Rfc9568, ChecksumPolicy::Rfc5798]
                [usize::from(kind >> 3) % 3],
            group: (id < 2).then_some(GroupId(0)),
            unit: Some(UnitId(if id < 2 { 0 } else { 63 })),
        }
    });
    EngineConfig {
        routers: routers.collect(),
        peers: (0..PEERS).map(PeerId).collect(),
        peer_check: PeerCheck::default(),
        takeover: if choices.byte() & 1 == 0 { Takeover::Fast } else { Takeover::AfterLease },
    }
}

/// Near the present, or anything at all.
fn some_instant(choices: &mut Choices<'_>, now: Instant) -> Instant {
    match choices.byte() % 4 {
        0 => now,
        1 => now - Duration::from_nanos(u64::from(choices.be16()) * 1_000_000),
        2 => now + Duration::from_nanos(u64::from(choices.be16()) * 1_000_000),
        _ => Instant::from_nanos(choices.be64()),
    }
}

fn some_advert(choices: &mut Choices<'_>, now: Instant) -> (RouterId, holdfast_engine::Advert) {
    let flags = choices.byte();
    let advert = holdfast_engine::Advert {
        at: some_instant(choices, now),
        source: address_from_bytes(if flags & 1 == 0 {
            address_bytes(IpAddr::from([192, 0, 2, choices.byte()]))
        } else {
            choices.bytes()
        }),
        priority: choices.byte(),
        interval: interval_span(2 + (flags >> 1 & 1), choices.be16()),
        checksum: heard_form(flags >> 2 & 3),
        answered: flags & 16 != 0,
        addresses_differ: flags & 32 != 0,
        epoch: choices.be64(),
        revoked: flags & 64 != 0,
    };
    (RouterId(u32::from(choices.byte()) % (ROUTERS + 1)), advert)
}

fn some_report(choices: &mut Choices<'_>, now: Instant) -> PeerReport {
    let flags = choices.byte();
    let maybe = |bit: u8, choices: &mut Choices<'_>| (flags & bit != 0).then(|| some_instant(choices, now));
    PeerReport {
        heard_at: maybe(1, choices),
        bad_mac_at: maybe(2, choices),
        owned: Units(choices.be64()),
        ready: Units(choices.be64()),
        lease_until: some_instant(choices, now),
        lease: Duration::from_centis(u64::from(choices.be16())),
        priority: choices.byte(),
        same_configuration: flags & 4 != 0,
        draining: flags & 8 != 0,
        paths: (0..flags >> 6)
            .map(|path| PathReport {
                interface: (choices.byte() & 1 == 0).then_some(InterfaceId(u32::from(path))),
                heard_at: maybe(16, choices),
                replied_at: maybe(32, choices),
                hears_us: [None, Some(false), Some(true)][usize::from(choices.byte()) % 3],
            })
            .collect(),
    }
}

fn some_input(kind: u8, choices: &mut Choices<'_>, now: Instant) -> Input {
    let router = RouterId(u32::from(choices.byte()) % (ROUTERS + 1));
    let interface = InterfaceId(router.0);
    let peer = PeerId(u16::from(choices.byte()) % (PEERS + 1));
    match kind % 16 {
        0..=3 => {
            let (router, advert) = some_advert(choices, now);
            Input::Advert { router, advert }
        }
        4 => {
            let (router, advert) = some_advert(choices, now);
            Input::Uncorroborated { router, peer, advert }
        }
        5 | 6 => Input::Peer { peer, report: some_report(choices, now) },
        7 => Input::PeerHealth {
            peer,
            health: [PeerHealth::Healthy, PeerHealth::Unhealthy, PeerHealth::Unknown]
                [usize::from(choices.byte()) % 3],
            silent_since: (choices.byte() & 1 == 0).then(|| some_instant(choices, now)),
        },
        8 => Input::Heard { router, at: some_instant(choices, now) },
        9 => Input::Frames { interface, at: some_instant(choices, now) },
        10 => Input::LeaseLapsed { at: some_instant(choices, now) },
        11 => Input::Stalled {
            began: some_instant(choices, now),
            ended: some_instant(choices, now),
            silent: vec![interface],
        },
        12 => Input::AddressesAdded { router, outcome: Ok(()) },
        13 => Input::Interface { interface, up: choices.byte() & 1 == 0 },
        14 => Input::Standing {
            router,
            standing: Standing {
                offset: i16::from_be_bytes(choices.bytes()),
                unfit: (choices.byte() & 1 == 0).then_some(Cause::RequirementFailed),
                may_preempt: choices.byte() & 1 == 0,
            },
        },
        _ => Input::Failover { group: None, cause: Cause::FailoverCommand },
    }
}
