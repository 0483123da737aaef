//! Two namespaces and what is in them: the probe thread with a tap in the test's own, the peer's answering half in the other.
//! A namespace goes with the last thread or descriptor that holds it, so there is nothing to clean up.

use crate::peer::PeerModel;
use crate::tap::Tap;
use holdfast::probes::keys::PairKeys;
use holdfast::probes::paths::{Place, ProbePath, ProbePeer, ProbeSettings};
use holdfast::probes::readings::Slots;
use holdfast::probes::sender::{ProbeEvent, ProbeOptions, ProbeSender};
use holdfast::probes::status::{PathStatus, PeerStatus};
use holdfast::runtime::realtime::RealtimePriority;
use holdfast_engine::{CheckSettings, Duration, Health, PeerId};
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::gettid;
use std::fs::File;
use std::net::{IpAddr, Ipv6Addr};
use std::process::Command;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::time::{Duration as StdDuration, Instant};

/// Far above what any step takes.
pub(crate) const DEADLINE: StdDuration = StdDuration::from_secs(10);
pub(crate) const PORT: u16 = 8612;
pub(crate) const OWN_NODE: u16 = 1;
pub(crate) const PEER: PeerId = PeerId(2);
pub(crate) const CLUSTER: u32 = 0x1234_5678;
pub(crate) const INCARNATION: u64 = (7 << 32) | 7;
/// Above the probe thread, so that the far end is not what is late.
pub(crate) const FAR_END_PRIORITY: Option<RealtimePriority> = RealtimePriority::new(60);

/// Runs a test in a network namespace of its own.
pub(crate) fn in_fresh_namespace(test: impl FnOnce() + Send + 'static) {
    let outcome = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("the namespace tests need root");
        ip("link set lo up");
        test();
    })
    .join();
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

/// Runs `ip` in the calling thread's namespace and returns what it printed.
pub(crate) fn ip(arguments: &str) -> String {
    run("ip", arguments)
}

pub(crate) fn run(program: &str, arguments: &str) -> String {
    let output = Command::new(program).args(arguments.split_whitespace()).output().unwrap();
    assert!(output.status.success(), "{program} {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn ifindex(name: &str) -> u32 {
    nix::net::if_::if_nametoindex(name).unwrap()
}

/// Waits for something that must come.
pub(crate) fn until<T>(what: &str, mut reached: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = reached() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} never came");
        std::thread::sleep(StdDuration::from_millis(1));
    }
}

/// The peer's namespace.
pub(crate) struct FarSide {
    namespace: File,
}

impl FarSide {
    pub(crate) fn new() -> Self {
        let namespace = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            ip("link set lo up");
            File::open("/proc/thread-self/ns/net").unwrap()
        });
        Self { namespace: namespace.join().unwrap() }
    }

    pub(crate) fn enter(&self) -> impl FnOnce() + Send + 'static {
        let namespace = self.namespace.try_clone().unwrap();
        move || setns(namespace, CloneFlags::CLONE_NEWNET).unwrap()
    }

    pub(crate) fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let enter = self.enter();
        std::thread::spawn(move || {
            enter();
            work()
        })
        .join()
        .unwrap()
    }

    /// A veth pair, `near` here and `far` there, up, each with its address.
    pub(crate) fn join(&self, near: &str, own: &str, far: &str, theirs: &str) {
        let tester = gettid();
        let (near_name, far_name, theirs) = (near.to_owned(), far.to_owned(), theirs.to_owned());
        self.run(move || {
            ip(&format!("link add {far_name} type veth peer name {near_name} netns {tester}"));
            ip(&format!("link set {far_name} addrgenmode none"));
            ip(&format!("link set {far_name} up"));
            ip(&format!(
                "address add {theirs} dev {far_name} {}",
                if theirs.contains(':') { "nodad" } else { "" }
            ));
        });
        ip(&format!("link set {near} addrgenmode none"));
        ip(&format!("link set {near} up"));
        ip(&format!("address add {own} dev {near} {}", if own.contains(':') { "nodad" } else { "" }));
    }
}

/// Keys that only the test's two nodes have.
pub(crate) fn keys() -> PairKeys {
    let mut keys = PairKeys::default();
    (keys.send[0], keys.receive[0], keys.key_ids[0]) = ([1, 2], [3, 4], 77);
    keys
}

/// The same keys as the peer has them.
pub(crate) fn mirrored(keys: &PairKeys) -> PairKeys {
    let mut mirrored = PairKeys::default();
    (mirrored.send, mirrored.receive, mirrored.key_ids) = (keys.receive, keys.send, keys.key_ids);
    mirrored
}

pub(crate) fn checks(interval: Duration) -> CheckSettings {
    CheckSettings::new(interval, 3, 5)
}

/// A path from `local` on `interface`, by position.
pub(crate) fn path(position: u32, interface: &str, local: &str, remote: &str) -> ProbePath {
    let place = Place {
        ifindex: ifindex(interface),
        interface: interface.into(),
        local: local.parse().unwrap(),
        link_local: None,
    };
    ProbePath {
        remote: remote.parse().unwrap(),
        slots: Slots { peer: 0, path: position, link: Some(ifindex(interface)) },
        place: Some(place),
    }
}

pub(crate) fn telling(path: ProbePath, link_local: Ipv6Addr) -> ProbePath {
    let place = path.place.map(|place| Place { link_local: Some(link_local), ..place });
    ProbePath { place, ..path }
}

pub(crate) fn settings(interval: Duration, keys: PairKeys, paths: Vec<ProbePath>) -> ProbeSettings {
    ProbeSettings {
        node: OWN_NODE,
        cluster: CLUSTER,
        incarnation: INCARNATION,
        port: PORT,
        checks: checks(interval),
        peers: vec![ProbePeer { peer: PEER, keys, paths }],
    }
}

/// The probe thread and both ends of what it does.
pub(crate) struct Bench {
    pub(crate) sender: ProbeSender,
    pub(crate) tap: Tap,
    pub(crate) peer: Arc<Mutex<PeerModel>>,
    pub(crate) far: FarSide,
    events: Receiver<ProbeEvent>,
}

impl Bench {
    /// `addresses` are those the peer answers on; both ends must stand already.
    pub(crate) fn start(far: FarSide, addresses: &[(IpAddr, &str)]) -> Self {
        let peer = PeerModel::shared(mirrored(&keys()));
        for (address, interface) in addresses {
            PeerModel::answer_on(&peer, &far, *address, interface);
        }
        let tap = Tap::start(keys());
        let (told, events) = mpsc::channel();
        let sender = ProbeSender::spawn(ProbeOptions {
            priority: RealtimePriority::PROBES,
            seed: u64::from(std::process::id()),
            readings: Box::new(tap.readings()),
            sink: Box::new(move |event| {
                // The test may be over.
                let _ = told.send(event);
            }),
        })
        .unwrap();
        Self { sender, tap, peer, far, events }
    }

    pub(crate) fn status(&self) -> PeerStatus {
        until("a status", || self.sender.statuses().into_iter().next())
    }

    pub(crate) fn path_status(&self, position: usize) -> PathStatus {
        self.status().paths[position].clone()
    }

    /// The next verdict about the peer.
    pub(crate) fn peer_health(&self) -> (Health, Option<holdfast_engine::Instant>) {
        loop {
            match self.events.recv_timeout(DEADLINE).expect("a verdict about the peer") {
                ProbeEvent::PeerHealth { health, silent_since, .. } => return (health, silent_since),
                ProbeEvent::PathHealth { .. } | ProbeEvent::Muzzled { .. } => {}
            }
        }
    }

    /// Everything told so far.
    pub(crate) fn told(&self) -> Vec<ProbeEvent> {
        self.events.try_iter().collect()
    }
}
