//! Four guests and their wires: client and server, and two gateways between them, as in the namespace lab.
//!
//! ```text
//! client --- lan --- gwA (lan0, wan0) --- wan --- server        192.0.2.0/24 | 198.51.100.0/24
//!             \----- gwB (lan0, wan0) ----/        gwA (sync0) --- sync --- gwB (sync0), 203.0.113.0/24
//! ```
//!
//! Wires are unix datagram sockets. A QEMU process without a machine joins those of a segment: a hub, as of old.

use super::QEMU;
use super::machine::{Hardware, Machine, Nic, datagram_netdev, pid_file};
use anyhow::{Context, Result};
use holdfast_lab::daemon::{self, FILES_WORD};
use holdfast_lab::gateway_pair::{Peering, node_id};
use holdfast_lab::poll::eventually_true;
use holdfast_lab::process::Process;
use holdfast_lab::topology::{CLIENT, LAN_VIP, SERVER, Side, WAN_VIP};
use holdfast_vm_protocol::{LOG_DIR, Order};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// One of the four.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Client,
    Gateway(Side),
    Server,
}

/// Interface, number of the segment and address on it.
type Port = (&'static str, usize, String);

/// The segments, by their numbers.
const SEGMENTS: [&str; 3] = ["lan", "wan", "sync"];
const LAN: usize = 0;
const WAN: usize = 1;
const SYNC: usize = 2;
const HUB: &str = "hub";

/// Adverts; a lost node is noticed after three of them and a bit, or by its peer checks.
const ADVERTISEMENT_INTERVAL: Duration = Duration::from_secs(1);
const CHECK_INTERVAL: Duration = Duration::from_millis(250);
/// An emulated processor among busy ones stalls for longer than a real one.
const CHECKS_FAILED: u32 = 8;
const LEASE: Duration = Duration::from_secs(3);

/// The daemon's directory in a gateway, its configuration and its way in.
const FILES: &str = "/var/lib/holdfast";
const BPF_DIR: &str = "/sys/fs/bpf/holdfast";
const CONFIG: &str = "/etc/holdfast.toml";
pub(crate) const CONTROL_SOCKET: &str = "/var/lib/holdfast/run/control.sock";
const DAEMON: &str = "holdfast";
/// Time for two daemons to load their programs and come to rest under emulation.
pub(crate) const SETTLED_WITHIN: Duration = Duration::from_secs(180);
/// Time between two looks at a guest.
pub(crate) const LOOK: Duration = Duration::from_millis(500);
const SECRET: &str = "a secret of the VM lab, the same on both gateways";
const SECRET_MODE: u32 = 0o600;
const FILE_MODE: u32 = 0o644;

impl Node {
    pub(crate) const ALL: [Node; 4] =
        [Node::Client, Node::Gateway(Side::A), Node::Gateway(Side::B), Node::Server];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Node::Client => "client",
            Node::Gateway(side) => side.label(),
            Node::Server => "server",
        }
    }

    fn ports(self) -> Vec<Port> {
        match self {
            Node::Client => vec![("lan0", LAN, CLIENT.to_string())],
            Node::Server => vec![("wan0", WAN, SERVER.to_string())],
            Node::Gateway(side) => vec![
                ("lan0", LAN, side.lan_address().to_string()),
                ("wan0", WAN, side.wan_address().to_string()),
                ("sync0", SYNC, side.sync_address().to_string()),
            ],
        }
    }

    /// Where the way out leads.
    fn gateway(self) -> Option<String> {
        match self {
            Node::Client => Some(LAN_VIP.to_string()),
            Node::Server => Some(WAN_VIP.to_string()),
            Node::Gateway(_) => None,
        }
    }

    /// Address of the card on a segment.
    pub(crate) fn mac(self, segment: usize) -> String {
        let number = match self {
            Node::Gateway(side) => side.host_number(),
            Node::Client => 100,
            Node::Server => 101,
        };
        format!("52:54:00:00:{segment:02x}:{number:02x}")
    }

    fn nics(self, run_dir: &Path) -> Vec<Nic> {
        let nic = |(interface, segment, _): Port| Nic {
            interface,
            mac: self.mac(segment),
            wire: Some((self.socket(run_dir, segment), self.hub_socket(run_dir, segment))),
        };
        self.ports().into_iter().map(nic).collect()
    }

    fn socket(self, run_dir: &Path, segment: usize) -> PathBuf {
        run_dir.join(format!("{}-{}", self.name(), SEGMENTS[segment]))
    }

    fn hub_socket(self, run_dir: &Path, segment: usize) -> PathBuf {
        run_dir.join(format!("{HUB}-{}-{}", SEGMENTS[segment], self.name()))
    }
}

/// Address of a gateway's card on the LAN.
pub(crate) fn lan_mac(side: Side) -> String {
    Node::Gateway(side).mac(LAN)
}

/// The running lab.
#[derive(Debug)]
pub(crate) struct VmLab {
    hardware: Hardware,
    pub(crate) kernel_release: String,
    pub(crate) client: Machine,
    pub(crate) server: Machine,
    gateways: [Option<Machine>; 2],
    hub: Process,
}

impl VmLab {
    /// Starts all four and lets both gateways run the product.
    pub(crate) fn start(hardware: Hardware) -> Result<Self> {
        let hub = start_hub(&hardware)?;
        // All at once: they start side by side.
        let [client, a, b, server] = Node::ALL.map(|node| launch(&hardware, node));
        let mut lab = VmLab {
            client: client?,
            server: server?,
            gateways: [Some(a?), Some(b?)],
            hub,
            hardware,
            kernel_release: String::new(),
        };
        let run_dir = lab.hardware.run_dir.clone();
        lab.kernel_release = prepare(&mut lab.client, Node::Client, &run_dir)?;
        prepare(&mut lab.server, Node::Server, &run_dir)?;
        for side in Side::BOTH {
            lab.start_gateway(side)?;
        }
        Ok(lab)
    }

    /// Waits for a launched gateway, gives it its configuration and starts the product.
    fn start_gateway(&mut self, side: Side) -> Result<()> {
        let run_dir = self.hardware.run_dir.clone();
        let machine = self.gateway(side)?;
        prepare(machine, Node::Gateway(side), &run_dir)?;
        let agent = &mut machine.agent;
        agent.write("/proc/sys/net/ipv4/ip_forward", "1", FILE_MODE)?;
        agent.write(&format!("{FILES}/run/.keep"), "", FILE_MODE)?;
        agent.write(&format!("{FILES}/state/.keep"), "", FILE_MODE)?;
        agent.write(&format!("{FILES}/{}", daemon::SECRET_FILE), SECRET, SECRET_MODE)?;
        agent.write(CONFIG, &configuration(side), FILE_MODE)?;
        let argv = ["holdfast", "run", "--config", CONFIG].map(str::to_owned).to_vec();
        agent.order(Order::Spawn { name: DAEMON.to_owned(), argv })?;
        Ok(())
    }

    pub(crate) fn gateway(&mut self, side: Side) -> Result<&mut Machine> {
        self.gateways[side as usize].as_mut().with_context(|| format!("{} has no power", side.label()))
    }

    /// Ends a gateway from one instant to the next.
    pub(crate) fn cut_power(&mut self, side: Side) {
        if let Some(machine) = self.gateways[side as usize].take() {
            machine.cut_power();
        }
    }

    /// Starts a gateway again that had no power.
    pub(crate) fn restore_power(&mut self, side: Side) -> Result<()> {
        self.gateways[side as usize] = Some(launch(&self.hardware, Node::Gateway(side))?);
        self.start_gateway(side)
    }

    /// Runs `holdfast` in a gateway.
    pub(crate) fn holdfast(&mut self, side: Side, words: &[&str]) -> Result<holdfast_vm_protocol::Ran> {
        let mut argv = vec!["holdfast"];
        argv.extend(words);
        argv.extend(["--socket", CONTROL_SOCKET]);
        self.gateway(side)?.agent.run(&argv)
    }

    /// What `holdfast status --json` says.
    pub(crate) fn status(&mut self, side: Side) -> Result<daemon::Status> {
        let ran = self.holdfast(side, &["status", "--json"])?;
        let status = serde_json::from_str(&ran.stdout);
        status.map(daemon::Status).with_context(|| format!("status of {}: {}", side.label(), ran.stderr))
    }

    /// Waits until one of the gateways owns the addresses.
    pub(crate) fn wait_owner(&mut self) -> Result<()> {
        eventually_true("one gateway is Active", SETTLED_WITHIN, || {
            std::thread::sleep(LOOK);
            let active = |status: Result<daemon::Status>| status.is_ok_and(|status| status.is_active("lan"));
            Side::BOTH.into_iter().any(|side| active(self.status(side)))
        })
    }

    /// The daemon's log.
    pub(crate) fn log(&mut self, side: Side) -> Result<String> {
        self.gateway(side)?.agent.read(&format!("{LOG_DIR}/{DAEMON}.log"))
    }

    /// Lets everything outlive this process.
    pub(crate) fn leave_running(&mut self) {
        self.hub.leave_running();
        self.client.leave_running();
        self.server.leave_running();
        self.gateways.iter_mut().flatten().for_each(Machine::leave_running);
    }
}

fn launch(hardware: &Hardware, node: Node) -> Result<Machine> {
    Machine::start(hardware, node.name(), &node.nics(&hardware.run_dir))
}

/// Waits for a guest and gives it its interfaces and addresses. Gives the kernel's release.
fn prepare(machine: &mut Machine, node: Node, run_dir: &Path) -> Result<String> {
    let release = machine.wait_started()?;
    machine.name_interfaces(&node.nics(run_dir))?;
    machine.agent.ip("link set dev lo up")?;
    for (interface, _, address) in node.ports() {
        machine.agent.ip(&format!("address add {address}/24 dev {interface}"))?;
        machine.agent.ip(&format!("link set dev {interface} up"))?;
    }
    if let Some(gateway) = node.gateway() {
        machine.agent.ip(&format!("route add default via {gateway}"))?;
    }
    Ok(release)
}

fn start_hub(hardware: &Hardware) -> Result<Process> {
    let mut qemu = Command::new(QEMU);
    qemu.args(["-machine", "none", "-nodefaults", "-no-user-config", "-display", "none", "-pidfile"]);
    qemu.arg(pid_file(&hardware.run_dir, HUB));
    for node in Node::ALL {
        for (_, segment, _) in node.ports() {
            let wire = format!("{}-{}", node.name(), SEGMENTS[segment]);
            let own = node.hub_socket(&hardware.run_dir, segment);
            let other = node.socket(&hardware.run_dir, segment);
            qemu.args(["-netdev", &datagram_netdev(&wire, &own, &other)]);
            qemu.args(["-netdev", &format!("hubport,id=port-{wire},hubid={segment},netdev={wire}")]);
        }
    }
    Process::spawn("the hub", qemu, &hardware.log_dir.join(format!("{}-{HUB}.qemu", hardware.label)))
}

fn configuration(side: Side) -> String {
    let peering = Peering { failure_threshold: CHECKS_FAILED, ..Peering::every(CHECK_INTERVAL) }.lease(LEASE);
    let rest = peering.config(side, ADVERTISEMENT_INTERVAL);
    debug_assert!(rest.contains(FILES_WORD), "the secret's place is left open");
    daemon::configuration(side.label(), Some(node_id(side)), Path::new(FILES), Path::new(BPF_DIR), &rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wire_has_two_ends_of_its_own() {
        let run_dir = Path::new("/run/x");
        let nics: Vec<Nic> = Node::ALL.iter().flat_map(|node| node.nics(run_dir)).collect();
        let mut ends: Vec<PathBuf> =
            nics.iter().filter_map(|nic| nic.wire.clone()).flat_map(|(own, hub)| [own, hub]).collect();
        let mut macs: Vec<&str> = nics.iter().map(|nic| nic.mac.as_str()).collect();
        let (wires, cards) = (ends.len(), macs.len());
        ends.sort();
        ends.dedup();
        macs.sort_unstable();
        macs.dedup();
        assert_eq!((ends.len(), macs.len(), wires, cards), (16, 8, 16, 8));
    }

    #[test]
    fn gateways_check_each_other_and_differ_in_priority() {
        let [a, b] = Side::BOTH.map(configuration);
        assert!(a.contains("priority = 200") && b.contains("priority = 100"));
        assert!(a.contains("\"203.0.113.3\"") && b.contains("\"203.0.113.2\""));
        assert!(a.contains("/var/lib/holdfast/cluster.key") && !a.contains(FILES_WORD));
    }
}
