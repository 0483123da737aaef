//! Two gateways of the product with settings of their own beside the common routers, and a stream through them.

use crate::support::{INTERVAL, MS, SOON};
use holdfast_lab::clock::Moment;
use holdfast_lab::daemon::{Daemon, NodeSpec};
use holdfast_lab::gateway_pair::holdfast_config;
use holdfast_lab::poll::eventually_true;
use holdfast_lab::topology::{GatewayLab, SERVER, Side};
use holdfast_lab::traffic::Stream;
use std::net::SocketAddr;

/// Daemons first, so that they end before their namespaces.
pub(crate) struct Gateways {
    pub(crate) a: Daemon,
    pub(crate) b: Daemon,
    pub(crate) lab: GatewayLab,
}

impl Gateways {
    /// Starts both, `more` added to each side's routers, and waits until A alone is Active.
    pub(crate) fn start(more: impl Fn(Side) -> String) -> Self {
        let lab = GatewayLab::build().unwrap();
        let [a, b] = Side::BOTH.map(|side| {
            let config = holdfast_config(side, INTERVAL) + &more(side);
            let spec = NodeSpec { name: side.label(), id: Some(side as u16 + 1), config: &config };
            Daemon::start(&lab.name, lab.gateway(side), &spec).unwrap()
        });
        let gateways = Gateways { a, b, lab };
        gateways.wait_active(Side::A);
        gateways
            .b
            .wait_status("B hears A", SOON, |status| status.number("lan", "adverts_received") > 0)
            .unwrap();
        gateways
    }

    pub(crate) fn daemon(&self, side: Side) -> &Daemon {
        match side {
            Side::A => &self.a,
            Side::B => &self.b,
        }
    }

    /// Both routers Active here and Backup there.
    pub(crate) fn is_active(&self, side: Side) -> bool {
        let all = |daemon: &Daemon, state: &str| {
            daemon
                .status()
                .is_ok_and(|status| ["lan", "wan"].iter().all(|name| status.state(name) == Some(state)))
        };
        all(self.daemon(side), "active") && all(self.daemon(side.other()), "backup")
    }

    pub(crate) fn wait_active(&self, side: Side) {
        let settled = eventually_true("one side alone is Active", SOON, || self.is_active(side));
        settled.unwrap_or_else(|error| panic!("{side:?}: {error:#}\n{}", self.logs()));
    }

    pub(crate) fn logs(&self) -> String {
        format!("{}\n{}", self.a.process().log_tail(), self.b.process().log_tail())
    }

    /// A datagram per millisecond from the client to the server, flowing.
    pub(crate) fn stream(&self) -> Stream {
        let destination = SocketAddr::new(SERVER.into(), 9000);
        let stream = Stream::start(&self.lab.client, &self.lab.server, destination, MS).unwrap();
        eventually_true("traffic", SOON, || stream.flows_since(Moment::now().before(30 * MS))).unwrap();
        stream
    }

    /// The gateway goes on answering for its addresses and forwards nothing any more.
    pub(crate) fn eat_transit(&self, side: Side) {
        let node = self.lab.gateway(side);
        node.sysctl("net/ipv4/ip_forward", "0").unwrap();
    }
}
