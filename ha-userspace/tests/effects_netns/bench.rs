//! The bench under the namespace tests: a fresh network namespace per test thread, a peer namespace behind a veth pair,
//! a raw packet socket for either end, and polling with a deadline. Needs root. A namespace goes with the last thread or
//! descriptor that holds it, so there is nothing to clean up.

use holdfast::config::validated::VirtualAddress;
use holdfast::effects::executor::{EffectOutcome, Effects, EffectsOptions, RouterSpec};
use holdfast::effects::interfaces::{Interfaces, LinkEvent};
use holdfast::runtime::realtime::RealtimePriority;
use holdfast_engine::{Family, RouterId};
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::gettid;
use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

/// Far above what any step takes.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);
/// The router's interface.
pub(crate) const LAN: &str = "lan0";
/// The other end of the wire.
pub(crate) const PEER: &str = "peer0";
pub(crate) const ROUTER: RouterId = RouterId(7);

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
    let output = Command::new("ip").args(arguments.split_whitespace()).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A setting of the calling thread's namespace.
pub(crate) fn sysctl(path: &str) -> String {
    std::fs::read_to_string(Path::new("/proc/sys/net").join(path)).unwrap().trim().to_owned()
}

/// A second namespace, joined to the test's by a veth pair: `lan0` here, `peer0` there; both up.
pub(crate) struct Peer {
    namespace: File,
}

impl Peer {
    pub(crate) fn joined() -> Self {
        let tester = gettid();
        let namespace = std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            ip(&format!("link add {PEER} type veth peer name {LAN} netns {tester}"));
            ip(&format!("link set {PEER} up"));
            File::open("/proc/thread-self/ns/net").unwrap()
        })
        .join()
        .unwrap();
        ip(&format!("link set {LAN} up"));
        Self { namespace }
    }

    /// Runs something in the peer's namespace.
    pub(crate) fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let namespace = self.namespace.try_clone().unwrap();
        std::thread::spawn(move || {
            setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        })
        .join()
        .unwrap()
    }

    /// A packet socket on the peer's end.
    pub(crate) fn wire(&self) -> Wire {
        self.run(|| Wire::open(PEER))
    }
}

/// A raw packet socket on one interface; it hears what arrives there.
pub(crate) struct Wire {
    socket: OwnedFd,
}

impl Wire {
    pub(crate) fn open(interface: &str) -> Self {
        let all = (libc::ETH_P_ALL as u16).to_be();
        // SAFETY: plain integers; the result is checked before use.
        let fd =
            unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, i32::from(all)) };
        assert!(fd >= 0, "{}", io::Error::last_os_error());
        // SAFETY: `fd` was just opened and is owned by nobody else.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        let ifindex = nix::net::if_::if_nametoindex(interface).unwrap();
        // SAFETY: integers and arrays of integers only.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = all;
        address.sll_ifindex = ifindex as i32;
        let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: `address` lives for the whole call and `length` is its size.
        let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) };
        assert_eq!(bound, 0, "{}", io::Error::last_os_error());
        nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::RcvBufForce, &(64 << 20)).unwrap();
        Self { socket }
    }

    pub(crate) fn send(&self, frame: &[u8]) {
        nix::unistd::write(&self.socket, frame).unwrap();
    }

    /// The next frame that came in from the wire, `None` at the deadline.
    pub(crate) fn next(&self, deadline: Instant) -> Option<Vec<u8>> {
        let mut buffer = [0u8; 2048];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut ready = libc::pollfd { fd: self.socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: one valid pollfd.
            let count = unsafe { libc::poll(&mut ready, 1, left.as_millis() as i32) };
            if count == 0 {
                return None;
            }
            // SAFETY: integers and arrays of integers only.
            let mut from: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
            let mut length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            // SAFETY: the buffer and the address outlive the call, and their sizes are given.
            let received = unsafe {
                libc::recvfrom(
                    self.socket.as_raw_fd(),
                    buffer.as_mut_ptr().cast(),
                    buffer.len(),
                    0,
                    (&raw mut from).cast(),
                    &mut length,
                )
            };
            assert!(received >= 0, "{}", io::Error::last_os_error());
            if from.sll_pkttype != libc::PACKET_OUTGOING {
                return Some(buffer[..received as usize].to_vec());
            }
        }
    }

    /// The first frame that satisfies `wanted`.
    pub(crate) fn expect(&self, what: &str, wanted: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let deadline = Instant::now() + DEADLINE;
        while let Some(frame) = self.next(deadline) {
            if wanted(&frame) {
                return frame;
            }
        }
        panic!("no {what} came");
    }

    /// Every frame until the line has been watched for `span`.
    pub(crate) fn watch(&self, span: Duration) -> Vec<Vec<u8>> {
        let deadline = Instant::now() + span;
        std::iter::from_fn(|| self.next(deadline)).collect()
    }
}

/// The effects thread with everything it says, in the test's namespace.
pub(crate) struct Daemon {
    pub(crate) effects: Effects,
    outcomes: Receiver<EffectOutcome>,
    links: Receiver<LinkEvent>,
    interfaces: RefCell<Interfaces>,
}

impl Daemon {
    pub(crate) fn start(state_dir: &Path) -> Self {
        let (outcome, outcomes) = mpsc::channel();
        let (link, links) = mpsc::channel();
        let effects = Effects::spawn(EffectsOptions {
            priority: RealtimePriority::EFFECTS,
            state_dir: state_dir.to_owned(),
            outcomes: Box::new(move |event| drop(outcome.send(event))),
            links: Box::new(move |event| drop(link.send(event))),
        })
        .unwrap();
        Self { effects, outcomes, links, interfaces: RefCell::default() }
    }

    pub(crate) fn outcome(&self) -> EffectOutcome {
        self.outcomes.recv_timeout(DEADLINE).expect("an outcome")
    }

    /// Configures the router and returns where it is placed.
    pub(crate) fn configure(
        &self,
        spec: RouterSpec,
    ) -> Result<holdfast::effects::executor::Placement, String> {
        self.effects.configure_router(ROUTER, spec);
        match self.outcome() {
            EffectOutcome::Configured { router: ROUTER, outcome } => outcome,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn add(&self) {
        self.effects.add_addresses(ROUTER);
        assert_eq!(self.outcome(), EffectOutcome::AddressesAdded { router: ROUTER, outcome: Ok(()) });
    }

    pub(crate) fn remove(&self) {
        self.effects.remove_addresses(ROUTER);
        assert_eq!(self.outcome(), EffectOutcome::AddressesRemoved { router: ROUTER, outcome: Ok(()) });
    }

    pub(crate) fn remove_all(&self) -> Vec<String> {
        let (done, finished) = mpsc::channel();
        self.effects.remove_all(move |errors| done.send(errors).unwrap());
        finished.recv_timeout(DEADLINE).unwrap()
    }

    /// What was told and not yet taken in.
    pub(crate) fn untold(&self) -> Vec<LinkEvent> {
        self.links.try_iter().collect()
    }

    /// Takes link events in until the picture of the interfaces satisfies `wanted`.
    pub(crate) fn wait_for<T>(&self, what: &str, wanted: impl Fn(&Interfaces) -> Option<T>) -> T {
        let deadline = Instant::now() + DEADLINE;
        let mut interfaces = self.interfaces.borrow_mut();
        loop {
            while let Ok(event) = self.links.try_recv() {
                interfaces.apply(&event);
            }
            if let Some(found) = wanted(&interfaces) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let event = self.links.recv_timeout(left).unwrap_or_else(|_| panic!("{what} never came"));
            interfaces.apply(&event);
        }
    }
}

/// A router on `lan0` with VRID 51.
pub(crate) fn spec(addresses: &[&str], virtual_mac: bool) -> RouterSpec {
    let addresses: Vec<VirtualAddress> = addresses
        .iter()
        .map(|text| {
            let (address, prefix) = text.split_once('/').unwrap();
            VirtualAddress { address: address.parse().unwrap(), prefix: prefix.parse().unwrap() }
        })
        .collect();
    let family = match addresses[0].address {
        IpAddr::V4(_) => Family::Ipv4,
        IpAddr::V6(_) => Family::Ipv6,
    };
    RouterSpec { name: "lan".to_owned(), interface: LAN.to_owned(), vrid: 51, family, addresses, virtual_mac }
}
