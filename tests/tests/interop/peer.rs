//! The peer, whichever product it is, through one set of verbs.

use crate::setup::{Product, ROUTER, Setup, VRID};
use holdfast_lab::frr::{Frr, FrrRouter};
use holdfast_lab::keepalived::{Instance, Keepalived, KeepalivedConfig};
use holdfast_lab::netns::Namespace;
use holdfast_lab::topology::Segment;
use std::time::Duration;

const NAME: &str = "peer";
/// Real-time priority for keepalived, so that a busy machine is not mistaken for an error of either side. Its own limit
/// of processor time, 10 ms in one go, would have the kernel kill it there.
const KEEPALIVED_GLOBAL: [&str; 3] = ["vrrp_rt_priority 50", "vrrp_rlimit_rttime 5000000", "vrrp_no_swap"];

/// How the peer is configured within a [`Setup`].
#[derive(Clone, Debug)]
pub(crate) struct PeerSpec {
    pub(crate) priority: u8,
    pub(crate) preempt: bool,
    pub(crate) interval: Duration,
    /// Further lines of keepalived's instance.
    pub(crate) extra: Vec<String>,
}

impl PeerSpec {
    pub(crate) fn new(setup: &Setup, priority: u8) -> Self {
        PeerSpec { priority, preempt: true, interval: setup.interval, extra: Vec::new() }
    }

    pub(crate) fn without_preemption(self) -> Self {
        PeerSpec { preempt: false, ..self }
    }

    pub(crate) fn interval(self, interval: Duration) -> Self {
        PeerSpec { interval, ..self }
    }

    pub(crate) fn with(mut self, line: &str) -> Self {
        self.extra.push(line.to_owned());
        self
    }
}

/// A running peer.
pub(crate) struct Peer<'a> {
    setup: Setup,
    node: &'a Namespace,
    process: Process,
}

enum Process {
    Keepalived(Box<Keepalived>),
    Frr(Box<Frr>),
}

impl<'a> Peer<'a> {
    /// Starts the peer on its host.
    pub(crate) fn start(setup: Setup, segment: &'a Segment, spec: &PeerSpec) -> Self {
        let node = segment.host(NAME);
        let process = match setup.product {
            Product::Keepalived => {
                let instance = keepalived_instance(&setup, segment, spec);
                let global = KEEPALIVED_GLOBAL.map(str::to_owned).to_vec();
                let config = KeepalivedConfig { global, ..KeepalivedConfig::one(instance) };
                Process::Keepalived(Box::new(Keepalived::start(&segment.name, node, NAME, &config).unwrap()))
            }
            Product::Frr => {
                // The address stands on the macvlan in every state: its parent must neither answer for it nor ask in
                // its name, which would teach hosts the physical MAC.
                for (key, value) in [("arp_ignore", "1"), ("arp_announce", "2")] {
                    node.sysctl(&format!("net/ipv4/conf/{}/{key}", Segment::INTERFACE), value).unwrap();
                }
                let addresses = setup.bare_addresses();
                let router = FrrRouter {
                    version: setup.version,
                    interval: spec.interval,
                    preempt: spec.preempt,
                    ..FrrRouter::new(Segment::INTERFACE, VRID, spec.priority, &addresses)
                };
                Process::Frr(Box::new(Frr::start(&segment.name, node, NAME, &[router]).unwrap()))
            }
        };
        Peer { setup, node, process }
    }

    /// What the peer itself says.
    pub(crate) fn is_active(&self) -> bool {
        match &self.process {
            // The address stands on a device of keepalived's own where it uses the virtual MAC.
            Process::Keepalived(_) => {
                let wanted = format!(" {}/", self.setup.vip());
                self.node.ip("-o addr show").is_ok_and(|shown| shown.contains(&wanted))
            }
            Process::Frr(frr) => frr.is_active(VRID, self.family()),
        }
    }

    /// True once a peer that is not Active would hear adverts.
    pub(crate) fn is_backup(&self) -> bool {
        match &self.process {
            Process::Keepalived(_) => self.listens() && !self.is_active(),
            Process::Frr(frr) => frr.state(VRID, self.family()).is_ok_and(|state| state == "backup"),
        }
    }

    /// A raw socket for VRRP is open on the peer's host.
    fn listens(&self) -> bool {
        const VRRP_PORT_COLUMN: &str = ":0070 ";
        let table = if self.setup.ipv6 { "/proc/thread-self/net/raw6" } else { "/proc/thread-self/net/raw" };
        let sockets = self.node.enter(|| std::fs::read_to_string(table)).unwrap().unwrap();
        sockets.contains(VRRP_PORT_COLUMN)
    }

    fn family(&self) -> u8 {
        if self.setup.ipv6 { 6 } else { 4 }
    }

    /// Gives its role up with priority 0: a stop of keepalived, `shutdown` of FRR's virtual router.
    pub(crate) fn stop(&mut self) {
        match &mut self.process {
            Process::Keepalived(keepalived) => {
                keepalived.stop().unwrap();
            }
            Process::Frr(_) => assert!(self.configures(&format!("vrrp {VRID} shutdown"))),
        }
    }

    /// Runs a command of vtysh in configuration mode of the virtual router's interface; false if this FRR has none such.
    pub(crate) fn configures(&self, command: &str) -> bool {
        let Process::Frr(frr) = &self.process else { panic!("only FRR has a shell") };
        let interface = format!("interface {}", Segment::INTERFACE);
        frr.vtysh(&["configure terminal", &interface, command]).is_ok()
    }

    /// Kills the peer's processes by SIGKILL. What it put on its interfaces stays there.
    pub(crate) fn kill9(&mut self) {
        match &mut self.process {
            Process::Keepalived(keepalived) => keepalived.kill9(),
            Process::Frr(frr) => frr.vrrpd().kill9(),
        }
    }
}

fn keepalived_instance(setup: &Setup, segment: &Segment, spec: &PeerSpec) -> Instance {
    let mut instance = Instance::new(ROUTER, Segment::INTERFACE, VRID, spec.priority, setup.addresses())
        .version(setup.version)
        .interval(spec.interval);
    if !spec.preempt {
        instance = instance.with("nopreempt");
    }
    if setup.peer_virtual_mac {
        instance = instance.with("use_vmac");
    }
    if setup.unicast {
        let (own, ours) = (setup.host_address(segment, NAME), setup.host_address(segment, "ours"));
        instance = instance
            .with(&format!("unicast_src_ip {own}"))
            .with(&format!("unicast_peer {{\n    {ours}\n  }}"));
        if setup.ipv6 {
            // keepalived leaves the hop limit of these at 64, which RFC 9568 section 7.1 has us discard.
            instance = instance.with("unicast_ttl 255");
        }
    }
    spec.extra.iter().fold(instance, |instance, line| instance.with(line))
}
