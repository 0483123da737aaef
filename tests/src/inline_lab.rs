//! A gateway that is the only way between two segments, and a second one behind it.
//!
//! ```text
//! client --- lan --- gwA (lan0, wan0) --- wan --- server        192.0.2.0/24 | 198.51.100.0/24
//!                                          \----- gwB (wan0, addresses of both networks)
//! ```
//!
//! While gwA is in bypass both segments are one, and gwB serves the client through the wire. Addresses and interfaces
//! of the hosts are those of the two-gateway lab.

use crate::fabric::{Fabric, Port};
use crate::gateway_pair::{LAN_VRID, WAN_VRID, priority, router_name};
use crate::netns::{LabName, Namespace};
use crate::topology::{LAN, LAN_VIP, Leg, Side, WAN, WAN_VIP, addresses};
use anyhow::Result;
use std::time::Duration;

/// Client, gateway, server and second gateway. Virtual addresses are the daemons' affair.
#[derive(Debug)]
pub struct InlineLab {
    pub name: LabName,
    pub fabric: Fabric,
    pub client: Namespace,
    pub server: Namespace,
    gateways: [Namespace; 2],
}

impl InlineLab {
    /// Builds a lab that ends with the value.
    pub fn build() -> Result<Self> {
        let name = LabName::unique();
        let fabric = Fabric::create(&name, &[LAN, WAN])?;
        let node = |part: &str| Namespace::create(&name, part);
        let (client, server) = (node("client")?, node("server")?);
        let gateways = [node(Side::A.label())?, node(Side::B.label())?];
        fabric.connect(LAN, &client, "client", "lan0")?;
        fabric.connect(WAN, &server, "server", "wan0")?;
        addresses(&client, "lan0", [192, 0, 2], 1, 100)?;
        addresses(&server, "wan0", [198, 51, 100], 2, 100)?;
        client.ip_batch(&[format!("route add default via {LAN_VIP}")])?;
        server.ip_batch(&[format!("route add default via {WAN_VIP}")])?;
        let [primary, second] = &gateways;
        fabric.connect(LAN, primary, Side::A.label(), "lan0")?;
        fabric.connect(WAN, primary, Side::A.label(), "wan0")?;
        fabric.connect(WAN, second, Side::B.label(), "wan0")?;
        for (side, node) in Side::BOTH.into_iter().zip(&gateways) {
            for leg in Leg::BOTH {
                let own = match leg {
                    Leg::Lan => side.lan_address(),
                    Leg::Wan => side.wan_address(),
                };
                node.ip_batch(&[format!("addr add {own}/24 dev {}", Self::interface(side, leg))])?;
            }
            node.sysctl("net/ipv4/ip_forward", "1")?;
        }
        // It forwards out of the port a datagram came in by: hosts need not be told of a shorter way.
        for scope in ["all", "wan0"] {
            second.sysctl(&format!("net/ipv4/conf/{scope}/send_redirects"), "0")?;
        }
        Ok(InlineLab { name, fabric, client, server, gateways })
    }

    pub fn gateway(&self, side: Side) -> &Namespace {
        &self.gateways[side as usize]
    }

    /// The fabric's port of the first gateway's leg.
    pub fn port(&self, leg: Leg) -> Port {
        Fabric::port(if leg == Leg::Lan { LAN } else { WAN }, Side::A.label())
    }

    /// The interface by which a gateway reaches a leg's network.
    fn interface(side: Side, leg: Leg) -> &'static str {
        match side {
            Side::A => leg.interface(),
            Side::B => Leg::Wan.interface(),
        }
    }

    /// The product's routers of a side: those of the two-gateway lab, on the interfaces of this one.
    pub fn routers(side: Side, interval: Duration) -> String {
        let router = |leg: Leg, vrid: u8, address: std::net::Ipv4Addr| {
            format!(
                "[[virtual_router]]\nname = \"{}\"\ninterface = \"{}\"\nvrid = {vrid}\naddresses = [\"{address}/24\"]\n\
                 priority = {}\nadvertisement_interval = \"{}ms\"\ngroup = \"gateway\"\n\n",
                router_name(leg),
                Self::interface(side, leg),
                priority(side),
                interval.as_millis(),
            )
        };
        router(Leg::Lan, LAN_VRID, LAN_VIP) + &router(Leg::Wan, WAN_VRID, WAN_VIP)
    }
}
