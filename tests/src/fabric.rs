//! Wires and switches: bridges in a namespace of their own, and the veth pairs that join other namespaces to them.
//!
//! A port can go silent without carrier loss, lose its carrier, or lose one direction only. No host can tell the
//! fabric from a switch: spanning tree and snooping are off, checksums are complete, XDP_TX is delivered.

use crate::link_ioctl;
use crate::netns::{LabName, Namespace};
use crate::xdp_port::{self, PortVerdict};
use anyhow::{Context, Result, ensure};
use std::io::Write;
use std::process::Stdio;

/// The namespace that holds the bridges.
#[derive(Debug)]
pub struct Fabric {
    namespace: Namespace,
}

/// Puts a small XDP program of somebody else's on a host's interface, in native mode. It passes everything.
pub fn attach_foreign_xdp(host: &Namespace, interface: &str) -> Result<()> {
    let attached = host.enter(|| xdp_port::attach(interface, PortVerdict::Pass))?;
    attached.with_context(|| format!("attaching an XDP program to {interface}"))
}

/// Joins a host's `interface` to another one's by a wire of its own, for frames of up to `mtu` bytes. Whatever either
/// end is given by XDP redirect is taken in at the other.
pub fn connect_hosts(near: (&Namespace, &str), far: (&Namespace, &str), mtu: u32) -> Result<()> {
    let ((near_host, near_name), (far_host, far_name)) = (near, far);
    near_host.ip_batch(&[format!(
        "link add name {near_name} mtu {mtu} type veth peer name {far_name} mtu {mtu} netns {}",
        far_host.name()
    )])?;
    for (host, name) in [near, far] {
        host.ip_batch(&[format!("link set {name} addrgenmode none up")])?;
        host.enter(|| {
            link_ioctl::disable_checksum_offload(name)?;
            link_ioctl::enable_receive_offload(name)
        })?
        .with_context(|| format!("offloads of {name} in {}", host.name()))?;
    }
    Ok(())
}

/// Whether an interface takes VLAN tags off what it receives.
pub fn strips_tags(host: &Namespace, interface: &str) -> Result<bool> {
    let asked = host.enter(|| link_ioctl::strips_tags(interface))?;
    asked.with_context(|| format!("offloads of {interface} in {}", host.name()))
}

/// One end of a wire at the fabric. Copies name the same port.
#[derive(Clone, Debug)]
pub struct Port {
    /// Interface on the fabric's side.
    pub name: String,
    bridge: String,
}

impl Fabric {
    /// Makes the fabric's namespace with its bridges.
    pub fn create(lab: &LabName, bridges: &[&str]) -> Result<Self> {
        let namespace = Namespace::create(lab, "fabric")?;
        namespace.sysctl("net/ipv6/conf/default/disable_ipv6", "1")?;
        let lines: Vec<String> = bridges
            .iter()
            .flat_map(|bridge| {
                [
                    format!(
                        "link add name {bridge} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
                    ),
                    format!("link set {bridge} up"),
                ]
            })
            .collect();
        namespace.ip_batch(&lines)?;
        Ok(Fabric { namespace })
    }

    /// Opens the fabric of a lab left standing.
    pub fn open(lab: &LabName) -> Result<Self> {
        Ok(Fabric { namespace: Namespace::open(&lab.part("fabric"))? })
    }

    /// The namespace of the bridges, for captures on ports.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    pub(crate) fn namespace_mut(&mut self) -> &mut Namespace {
        &mut self.namespace
    }

    /// Joins `host` to `bridge` by a wire that is `interface` there. `label` names the host on the fabric's side.
    pub fn connect(&self, bridge: &str, host: &Namespace, label: &str, interface: &str) -> Result<Port> {
        let port = Self::port(bridge, label);
        let name = &port.name;
        self.namespace.ip_batch(&[
            format!("link add name {name} type veth peer name {interface} netns {}", host.name()),
            format!("link set {name} master {bridge} up"),
        ])?;
        host.ip_batch(&[format!("link set {interface} addrgenmode none up")])?;
        host.enter(|| link_ioctl::disable_checksum_offload(interface))??;
        self.namespace.enter(|| {
            link_ioctl::disable_checksum_offload(name)?;
            xdp_port::attach(name, PortVerdict::Pass)
        })??;
        Ok(port)
    }

    /// The port that [`Fabric::connect`] made for `label` on `bridge`.
    pub fn port(bridge: &str, label: &str) -> Port {
        Port { name: format!("{bridge}-{label}"), bridge: bridge.to_owned() }
    }

    /// Nothing passes in either direction; the host keeps its carrier.
    pub fn silence(&self, port: &Port) -> Result<()> {
        self.silence_all(std::slice::from_ref(port))
    }

    /// [`Fabric::silence`] for several ports, as close together as can be.
    pub fn silence_all(&self, ports: &[Port]) -> Result<()> {
        let lines: Vec<String> =
            ports.iter().map(|port| format!("link set {} nomaster", port.name)).collect();
        self.namespace.ip_batch(&lines)
    }

    /// Undoes [`Fabric::silence`].
    pub fn restore(&self, port: &Port) -> Result<()> {
        self.namespace.ip_batch(&[format!("link set {} master {}", port.name, port.bridge)])
    }

    /// Takes the host's carrier away, or gives it back.
    pub fn set_carrier(&self, port: &Port, carrier: bool) -> Result<()> {
        let state = if carrier { "up" } else { "down" };
        self.namespace.ip_batch(&[format!("link set {} {state}", port.name)])
    }

    /// Loses what the host sends (and nothing of what it is sent), or ends that.
    pub fn set_mute(&self, port: &Port, mute: bool) -> Result<()> {
        let verdict = if mute { PortVerdict::Drop } else { PortVerdict::Pass };
        let attached = self.namespace.enter(|| xdp_port::attach(&port.name, verdict))?;
        attached.with_context(|| format!("exchanging the XDP program of {}", port.name))
    }

    /// Loses what the host is sent (and nothing of what it sends), or ends that. Needs nftables.
    pub fn set_deaf(&self, port: &Port, deaf: bool) -> Result<()> {
        let table = format!("deaf-{}", port.name);
        let device = &port.name;
        let rules = if deaf {
            format!(
                "table netdev {table} {{ chain losses {{ type filter hook egress device \"{device}\" priority 0; policy drop; }}; }}"
            )
        } else {
            format!("delete table netdev {table}")
        };
        let mut child = self
            .namespace
            .command("nft")
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("running `nft` (package nftables)")?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(rules.as_bytes())?;
        }
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "nft {rules}: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet_socket::PacketSocket;
    use crate::topology::Segment;
    use std::time::Duration;

    #[test]
    fn what_a_host_sends_by_xdp_tx_is_delivered() {
        let segment = Segment::build(&["asker", "mirror"]).unwrap();
        let mirror = segment.host("mirror");
        mirror.enter(|| xdp_port::attach(Segment::INTERFACE, PortVerdict::Reflect)).unwrap().unwrap();
        let socket = PacketSocket::open(segment.host("asker"), Segment::INTERFACE).unwrap();
        const EXPERIMENTAL: [u8; 2] = [0x88, 0xb5];
        let mut frame = vec![0xff; 6];
        frame.extend([2, 0, 0, 0, 0, 9]);
        frame.extend(EXPERIMENTAL);
        frame.resize(64, 7);
        socket.send(&frame).unwrap();
        let back = socket.wait_for(Duration::from_secs(3), |found| found.bytes == frame).unwrap();
        assert!(back.is_some(), "the reflected frame comes back through the bridge");
    }
}
