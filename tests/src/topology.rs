//! The two labs: a pair of gateways between a client and a server, and a plain segment of hosts.
//!
//! ```text
//! client --- lan --- A (lan0, wan0) --- wan --- server        192.0.2.0/24, 2001:db8:1::/64 | 198.51.100.0/24, 2001:db8:2::/64
//!             \----- B (lan0, wan0) ----/                       A (sync0) --- sync --- B (sync0), 203.0.113.0/24
//! ```
//!
//! Addresses are fixed and documented in the constants; nothing outside the namespaces is touched.

use crate::fabric::{Fabric, Port};
use crate::netns::{LabName, Namespace};
use anyhow::Result;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The gateways' address on the LAN.
pub const LAN_VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The gateways' address on the WAN.
pub const WAN_VIP: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// The gateways' link-local address, on both sides.
pub const VIP_LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
/// The gateways' global IPv6 address on the LAN.
pub const LAN_VIP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1);
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);
pub const SERVER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 100);

pub(crate) const LAN: &str = "lan";
pub(crate) const WAN: &str = "wan";
const SYNC: &str = "sync";
/// The gateways' interface towards each other.
pub const SYNC_INTERFACE: &str = "sync0";

/// One of the two gateways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    A,
    B,
}

impl Side {
    pub const BOTH: [Side; 2] = [Side::A, Side::B];

    pub fn other(self) -> Side {
        match self {
            Side::A => Side::B,
            Side::B => Side::A,
        }
    }

    /// Name of the gateway's namespace within the lab.
    pub fn label(self) -> &'static str {
        match self {
            Side::A => "gwA",
            Side::B => "gwB",
        }
    }

    /// Last number of the gateway's addresses: 192.0.2.2 and .3, and so on.
    pub fn host_number(self) -> u8 {
        match self {
            Side::A => 2,
            Side::B => 3,
        }
    }

    pub fn lan_address(self) -> Ipv4Addr {
        Ipv4Addr::new(192, 0, 2, self.host_number())
    }

    pub fn wan_address(self) -> Ipv4Addr {
        Ipv4Addr::new(198, 51, 100, self.host_number())
    }

    pub fn sync_address(self) -> Ipv4Addr {
        Ipv4Addr::new(203, 0, 113, self.host_number())
    }

    fn index(self) -> usize {
        self as usize
    }
}

/// A gateway's two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leg {
    Lan,
    Wan,
}

impl Leg {
    pub const BOTH: [Leg; 2] = [Leg::Lan, Leg::Wan];

    /// The gateway's interface on this leg.
    pub fn interface(self) -> &'static str {
        match self {
            Leg::Lan => "lan0",
            Leg::Wan => "wan0",
        }
    }

    fn bridge(self) -> &'static str {
        match self {
            Leg::Lan => LAN,
            Leg::Wan => WAN,
        }
    }
}

/// Client, two gateways and server. Gateways carry their own addresses only; the VIPs are the daemons' affair.
#[derive(Debug)]
pub struct GatewayLab {
    pub name: LabName,
    pub fabric: Fabric,
    pub client: Namespace,
    pub server: Namespace,
    gateways: [Namespace; 2],
}

impl GatewayLab {
    /// Builds a lab that ends with the value.
    pub fn build() -> Result<Self> {
        Self::build_named(LabName::unique())
    }

    /// Builds a lab under a given name.
    pub fn build_named(name: LabName) -> Result<Self> {
        let fabric = Fabric::create(&name, &[LAN, WAN, SYNC])?;
        let client = Namespace::create(&name, "client")?;
        let server = Namespace::create(&name, "server")?;
        fabric.connect(LAN, &client, "client", "lan0")?;
        fabric.connect(WAN, &server, "server", "wan0")?;
        addresses(&client, "lan0", [192, 0, 2], 1, 100)?;
        addresses(&server, "wan0", [198, 51, 100], 2, 100)?;
        client.ip_batch(&[
            format!("route add default via {LAN_VIP}"),
            format!("route add ::/0 via {VIP_LINK_LOCAL} dev lan0"),
        ])?;
        server.ip_batch(&[
            format!("route add default via {WAN_VIP}"),
            format!("route add ::/0 via {VIP_LINK_LOCAL} dev wan0"),
        ])?;
        let gateways =
            [Self::gateway_node(&name, &fabric, Side::A)?, Self::gateway_node(&name, &fabric, Side::B)?];
        Ok(GatewayLab { name, fabric, client, server, gateways })
    }

    fn gateway_node(name: &LabName, fabric: &Fabric, side: Side) -> Result<Namespace> {
        let node = Namespace::create(name, side.label())?;
        for leg in Leg::BOTH {
            fabric.connect(leg.bridge(), &node, side.label(), leg.interface())?;
        }
        fabric.connect(SYNC, &node, side.label(), SYNC_INTERFACE)?;
        addresses(&node, "lan0", [192, 0, 2], 1, side.host_number())?;
        addresses(&node, "wan0", [198, 51, 100], 2, side.host_number())?;
        addresses(&node, SYNC_INTERFACE, [203, 0, 113], 3, side.host_number())?;
        node.sysctl("net/ipv4/ip_forward", "1")?;
        node.sysctl("net/ipv6/conf/all/forwarding", "1")?;
        Ok(node)
    }

    /// Opens a lab left standing.
    pub fn open(name: LabName) -> Result<Self> {
        let node = |part: &str| Namespace::open(&name.part(part));
        Ok(GatewayLab {
            fabric: Fabric::open(&name)?,
            client: node("client")?,
            server: node("server")?,
            gateways: [node(Side::A.label())?, node(Side::B.label())?],
            name,
        })
    }

    /// Lets the lab outlive this process.
    pub fn leave_standing(&mut self) {
        self.fabric.namespace_mut().leave_standing();
        self.client.leave_standing();
        self.server.leave_standing();
        self.gateways.iter_mut().for_each(Namespace::leave_standing);
    }

    pub fn gateway(&self, side: Side) -> &Namespace {
        &self.gateways[side.index()]
    }

    /// The fabric's port of a gateway's leg.
    pub fn port(&self, side: Side, leg: Leg) -> Port {
        Fabric::port(leg.bridge(), side.label())
    }

    /// The fabric's port of a gateway's link to the other.
    pub fn sync_port(&self, side: Side) -> Port {
        Fabric::port(SYNC, side.label())
    }

    /// The node is lost to everyone: all its links go silent, its carriers stay up.
    pub fn node_silent(&self, side: Side) -> Result<()> {
        let [lan, wan] = Leg::BOTH.map(|leg| self.port(side, leg));
        self.fabric.silence_all(&[self.sync_port(side), lan, wan])
    }

    /// Undoes [`GatewayLab::node_silent`].
    pub fn node_restore(&self, side: Side) -> Result<()> {
        self.fabric.restore(&self.sync_port(side))?;
        Leg::BOTH.iter().try_for_each(|leg| self.fabric.restore(&self.port(side, *leg)))
    }

    /// Cuts one leg of one gateway off from everybody; its carrier stays up.
    pub fn leg_silent(&self, side: Side, leg: Leg) -> Result<()> {
        self.fabric.silence(&self.port(side, leg))
    }

    /// Undoes [`GatewayLab::leg_silent`].
    pub fn leg_restore(&self, side: Side, leg: Leg) -> Result<()> {
        self.fabric.restore(&self.port(side, leg))
    }

    /// Cuts the link between the gateways; the carriers stay up.
    pub fn sync_silent(&self) -> Result<()> {
        self.fabric.silence(&self.sync_port(Side::A))
    }

    /// Undoes [`GatewayLab::sync_silent`].
    pub fn sync_restore(&self) -> Result<()> {
        self.fabric.restore(&self.sync_port(Side::A))
    }

    /// Takes the carrier of one leg away.
    pub fn link_down(&self, side: Side, leg: Leg) -> Result<()> {
        self.fabric.set_carrier(&self.port(side, leg), false)
    }

    /// Gives the carrier of one leg back.
    pub fn link_up(&self, side: Side, leg: Leg) -> Result<()> {
        self.fabric.set_carrier(&self.port(side, leg), true)
    }

    /// Loses what the gateway sends on this leg, or ends that.
    pub fn set_mute(&self, side: Side, leg: Leg, mute: bool) -> Result<()> {
        self.fabric.set_mute(&self.port(side, leg), mute)
    }

    /// Loses what the gateway is sent on this leg, or ends that.
    pub fn set_deaf(&self, side: Side, leg: Leg, deaf: bool) -> Result<()> {
        self.fabric.set_deaf(&self.port(side, leg), deaf)
    }
}

/// Hosts on one bridge. Host `i` (from 0) has `eth0` with 192.0.2.(10+i)/24, 2001:db8:1::(10+i)/64 and fe80::(10+i),
/// the last number in hexadecimal digits as it would be in decimal (`fe80::10`).
#[derive(Debug)]
pub struct Segment {
    pub name: LabName,
    pub fabric: Fabric,
    hosts: Vec<(String, Namespace)>,
}

impl Segment {
    /// The hosts' interface.
    pub const INTERFACE: &str = "eth0";
    const FIRST_HOST: u8 = 10;

    /// Builds a segment with the named hosts.
    pub fn build(hosts: &[&str]) -> Result<Self> {
        let name = LabName::unique();
        let fabric = Fabric::create(&name, &[LAN])?;
        let mut segment = Segment { name, fabric, hosts: Vec::new() };
        for (number, host) in (Self::FIRST_HOST..).zip(hosts) {
            let node = Namespace::create(&segment.name, host)?;
            segment.fabric.connect(LAN, &node, host, Self::INTERFACE)?;
            addresses(&node, Self::INTERFACE, [192, 0, 2], 1, number)?;
            segment.hosts.push(((*host).to_owned(), node));
        }
        Ok(segment)
    }

    /// The namespace of a host. Panics if there is none of that name.
    pub fn host(&self, name: &str) -> &Namespace {
        &self.hosts[self.number(name)].1
    }

    /// A host's own IPv4 address. Panics if there is none of that name.
    pub fn address(&self, name: &str) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, Self::FIRST_HOST + self.number(name) as u8))
    }

    /// A host's link-local address. Panics if there is none of that name.
    pub fn link_local(&self, name: &str) -> Ipv6Addr {
        let number = Self::FIRST_HOST + self.number(name) as u8;
        Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, decimal_digits(number))
    }

    /// The fabric's port of a host.
    pub fn port(&self, host: &str) -> Port {
        Fabric::port(LAN, host)
    }

    fn number(&self, name: &str) -> usize {
        match self.hosts.iter().position(|(host, _)| host == name) {
            Some(number) => number,
            None => panic!("no host {name} in this segment"),
        }
    }
}

/// Reads the decimal digits of a number as hexadecimal ones, so that addresses look alike in both families.
fn decimal_digits(number: u8) -> u16 {
    let (hundreds, tens, ones) = (number / 100, number / 10 % 10, number % 10);
    u16::from(hundreds) << 8 | u16::from(tens) << 4 | u16::from(ones)
}

pub(crate) fn addresses(node: &Namespace, interface: &str, net: [u8; 3], net6: u8, number: u8) -> Result<()> {
    let [a, b, c] = net;
    node.ip_batch(&[
        format!("addr add {a}.{b}.{c}.{number}/24 dev {interface}"),
        format!("addr add 2001:db8:{net6}::{number}/64 dev {interface} nodad"),
        format!("addr add fe80::{number}/64 dev {interface} nodad"),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_numbers_look_alike_in_both_families() {
        assert_eq!(decimal_digits(10), 0x10);
        assert_eq!(decimal_digits(103), 0x103);
    }

    #[test]
    fn sides_differ_in_every_address() {
        assert_ne!(Side::A.lan_address(), Side::B.lan_address());
        assert_ne!(Side::A.wan_address(), Side::B.wan_address());
        assert_eq!(Side::A.other(), Side::B);
    }
}
