//! The probe thread against the data plane itself: the programs on both ends of the wire, answers in the peer's, matching in
//! ours, and no process in between.

use crate::bench::{
    CLUSTER, DEADLINE, FarSide, INCARNATION, OWN_NODE, PEER, PORT, ifindex, in_fresh_namespace, keys,
    mirrored, settings, until,
};
use ha_common::maps::peers::{NodePolicy, PathPolicy, PeerPolicy};
use ha_common::maps::values::{Head, LinkPolicy};
use holdfast::datapath::bpffs::PinDirectory;
use holdfast::datapath::{Datapath, PathEnds};
use holdfast::probes::keys::PairKeys;
use holdfast::probes::paths::{Place, ProbePath};
use holdfast::probes::readings::Slots;
use holdfast::probes::sender::{ProbeEvent, ProbeOptions, ProbeSender};
use holdfast::probes::standing::Standing;
use holdfast::probes::status::PeerStatus;
use holdfast::runtime::clock;
use holdfast::runtime::realtime::RealtimePriority;
use holdfast_engine::{Duration, Health};
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration as StdDuration;

const THEIRS: u64 = (9 << 32) | 9;
const ONE_MS: Duration = Duration::from_millis(1);
const TEN_MS: Duration = Duration::from_millis(10);
const A_MINUTE: Duration = Duration::from_secs(60);
/// Both sides have one peer and one path, in the first slots.
const SLOT: u32 = 0;

static PLANES: AtomicU32 = AtomicU32::new(0);

/// The data plane of one node, attached to one interface; unloaded when dropped.
struct Plane {
    datapath: Option<Datapath>,
    ends: PathEnds,
    interval: Duration,
    peer: u16,
}

impl Plane {
    /// In the calling thread's namespace.
    fn attach(interface: &str, node: u16, peer: u16, incarnation: u64, local: &str, remote: &str) -> Self {
        let number = PLANES.fetch_add(1, Ordering::Relaxed);
        let pins = format!("/sys/fs/bpf/hf-probes-{}-{number}", std::process::id());
        let pins = PinDirectory::open(Path::new(&pins)).unwrap();
        let (mut datapath, _ring) = Datapath::load(pins).unwrap();
        datapath.monitor(interface, ifindex(interface)).unwrap();
        let ends = PathEnds {
            attach_ifindex: ifindex(interface),
            vlan: 0,
            local: local.parse().unwrap(),
            remote: remote.parse().unwrap(),
        };
        let slot = datapath.links()[0].slot;
        let link = LinkPolicy {
            head: Head::of::<LinkPolicy>(),
            ifindex: ends.attach_ifindex,
            routers: 0,
            owned: 0,
            mac: [0; 6],
            reserved: [0; 2],
        };
        datapath.maps.write_link(slot, link).unwrap();
        datapath.maps.write_lease(clock::now() + A_MINUTE).unwrap();
        let policy = NodePolicy {
            head: Head::of::<NodePolicy>(),
            cluster: CLUSTER,
            incarnation,
            owned: 0,
            ready: 1,
            grant: 1,
            digest: 0,
            health: 0,
            lease_centis: 100,
            node,
            port: PORT,
            priority: 100,
            flags: 0,
        };
        datapath.maps.peers.write_node(policy).unwrap();
        Self { datapath: Some(datapath), ends, interval: TEN_MS, peer }
    }

    fn maps(&mut self) -> &mut holdfast::datapath::MapSet {
        &mut self.datapath.as_mut().unwrap().maps
    }

    fn link(&self) -> u32 {
        self.datapath.as_ref().unwrap().links()[0].slot
    }

    /// Also for other keys or another interval later.
    fn meet(&mut self, keys: &PairKeys, interval: Duration) {
        self.interval = interval;
        let nanos = interval.as_nanos();
        let policy = PeerPolicy {
            head: Head::of::<PeerPolicy>(),
            node: self.peer,
            flags: 0,
            receive: keys.receive,
            send: keys.send,
            key_ids: keys.key_ids,
            hears: 1,
            reserved: 0,
            fresh_ns: 3 * nanos,
            interval_ns: nanos,
            repeat_ns: nanos / 2,
        };
        self.maps().peers.write_peer(SLOT, policy).unwrap();
    }

    fn open_path(&mut self) {
        let policy = PathPolicy {
            head: Head::of::<PathPolicy>(),
            peer: SLOT,
            index: 0,
            reserved: 0,
            reply_deadline_ns: self.interval.as_nanos(),
        };
        let ends = self.ends;
        self.maps().peers.write_path(SLOT, &ends, policy).unwrap();
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        if let Some(datapath) = self.datapath.take() {
            datapath.unload().unwrap();
        }
    }
}

struct Pair {
    sender: ProbeSender,
    near: Plane,
    far: Option<Plane>,
    far_side: FarSide,
    events: Receiver<ProbeEvent>,
    own: &'static str,
    theirs: &'static str,
}

impl Pair {
    fn start(own: &'static str, theirs: &'static str, prefix: u8, interval: Duration) -> Self {
        let far_side = FarSide::new();
        far_side.join("lan0", &format!("{own}/{prefix}"), "peer0", &format!("{theirs}/{prefix}"));
        let mut near = Plane::attach("lan0", OWN_NODE, PEER.0, INCARNATION, own, theirs);
        near.meet(&keys(), interval);
        near.open_path();
        let (told, events) = mpsc::channel();
        let sender = ProbeSender::spawn(ProbeOptions {
            priority: RealtimePriority::PROBES,
            seed: 1,
            readings: Box::new(near.maps().probe_readings().unwrap()),
            sink: Box::new(move |event| {
                // The test may be over.
                let _ = told.send(event);
            }),
        })
        .unwrap();
        let mut pair = Self { sender, near, far: None, far_side, events, own, theirs };
        pair.far = Some(pair.attach_far(THEIRS, interval));
        pair.configure(keys(), interval, None);
        pair
    }

    fn attach_far(&self, incarnation: u64, interval: Duration) -> Plane {
        let (own, theirs) = (self.own, self.theirs);
        self.far_side.run(move || {
            let mut far = Plane::attach("peer0", PEER.0, OWN_NODE, incarnation, theirs, own);
            far.meet(&mirrored(&keys()), interval);
            far.open_path();
            far
        })
    }

    fn far(&mut self) -> &mut Plane {
        self.far.as_mut().unwrap()
    }

    fn configure(&self, keys: PairKeys, interval: Duration, link_local: Option<Ipv6Addr>) {
        let local: IpAddr = self.own.parse().unwrap();
        let place = Place { ifindex: ifindex("lan0"), interface: "lan0".into(), local, link_local };
        let slots = Slots { peer: SLOT, path: SLOT, link: Some(self.near.link()) };
        let path = ProbePath { remote: self.theirs.parse().unwrap(), slots, place: Some(place) };
        self.sender.configure(settings(interval, keys, vec![path]));
    }

    fn status(&self) -> PeerStatus {
        until("a status", || self.sender.statuses().into_iter().next())
    }

    fn peer_health(&self) -> Health {
        loop {
            match self.events.recv_timeout(DEADLINE).expect("a verdict about the peer") {
                ProbeEvent::PeerHealth { health, .. } => return health,
                ProbeEvent::PathHealth { .. } | ProbeEvent::Muzzled { .. } => {}
            }
        }
    }
}

#[test]
fn a_check_every_millisecond_is_answered_by_the_peers_data_plane() {
    in_fresh_namespace(|| {
        let pair = Pair::start("192.0.2.10", "192.0.2.11", 24, ONE_MS);
        assert_eq!(pair.peer_health(), Health::Healthy);
        std::thread::sleep(StdDuration::from_secs(5));
        let status = pair.status();
        let path = &status.paths[0];
        println!("{}, {path:?}", pair.sender.scheduling());
        let counts = path.view.counts;
        assert_eq!(counts.lost, 0, "{path:?}");
        assert_eq!(counts.ended, counts.answered + counts.void);
        assert!(counts.answered > 2_500 && path.counters.sent - counts.ended <= 1, "{path:?}");
        assert_eq!((status.health, status.incarnation), (Health::Healthy, THEIRS));
        assert!(pair.events.try_iter().next().is_none(), "nothing changed in all that time");
    });
}

#[test]
fn a_peer_whose_data_plane_ends_and_one_that_starts_anew() {
    in_fresh_namespace(|| {
        let mut pair = Pair::start("2001:db8::a", "2001:db8::b", 64, TEN_MS);
        assert_eq!(pair.peer_health(), Health::Healthy);
        pair.far = None;
        assert_eq!(pair.peer_health(), Health::Unhealthy);
        let restarted = THEIRS + (1 << 32);
        pair.far = Some(pair.attach_far(restarted, TEN_MS));
        assert_eq!(pair.peer_health(), Health::Healthy);
        until("its new run", || (pair.status().incarnation == restarted).then_some(()));
    });
}

#[test]
fn what_we_say_reaches_the_peers_maps() {
    in_fresh_namespace(|| {
        let mut pair = Pair::start("192.0.2.10", "192.0.2.11", 24, TEN_MS);
        let address: Ipv6Addr = "fe80::77".parse().unwrap();
        pair.configure(keys(), TEN_MS, Some(address));
        assert_eq!(pair.peer_health(), Health::Healthy);
        let told = until("the link-local address", || {
            let state = pair.far().maps().peers.read_path_state(SLOT).unwrap();
            (state.link_local != [0; 16]).then_some(state.link_local)
        });
        assert_eq!(told, address.octets());

        // A claim travels ahead of the next check.
        pair.configure(keys(), A_MINUTE, Some(address));
        let standing =
            Standing { owned: 1, priority: 200, lease_until: clock::now() + A_MINUTE, ..Standing::default() };
        pair.sender.set_standing(standing);
        pair.sender.announce_now();
        assert!(pair.sender.settle(StdDuration::from_secs(1)));
        let state = pair.far().maps().peers.read_peer_state(SLOT).unwrap();
        assert_eq!((state.owned, state.priority, state.incarnation), (1, 200, INCARNATION));
    });
}

#[test]
fn secrets_rotate_in_both_data_planes_without_a_lost_probe() {
    in_fresh_namespace(|| {
        let mut both = keys();
        (both.send[1], both.receive[1], both.key_ids[1]) = ([5, 6], [7, 8], 78);
        let swapped = |keys: &PairKeys| {
            let mut swapped = keys.clone();
            swapped.send.swap(0, 1);
            swapped.receive.swap(0, 1);
            swapped.key_ids.swap(0, 1);
            swapped
        };
        let mut alone = swapped(&both);
        (alone.send[1], alone.receive[1], alone.key_ids[1]) = ([0; 2], [0; 2], 0);

        let mut pair = Pair::start("192.0.2.10", "192.0.2.11", 24, ONE_MS);
        assert_eq!(pair.peer_health(), Health::Healthy);
        for step in [both.clone(), swapped(&both), alone] {
            pair.far().meet(&mirrored(&step), ONE_MS);
            std::thread::sleep(StdDuration::from_millis(200));
            pair.near.meet(&step, ONE_MS);
            pair.configure(step, ONE_MS, None);
            std::thread::sleep(StdDuration::from_millis(200));
        }
        let path = pair.status().paths[0].clone();
        println!("{path:?}");
        assert_eq!(path.view.counts.lost, 0, "{path:?}");
        assert!(path.view.counts.answered > 500 && path.view.health == Health::Healthy, "{path:?}");
    });
}
