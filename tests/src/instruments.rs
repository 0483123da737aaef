//! What the hosts of a lab notice: a datagram per millisecond from client to server, and on either side the question
//! who owns the gateways' address, as often.

use crate::clock::Moment;
use crate::netns::Namespace;
use crate::owners::{OwnerProbe, OwnerSummary};
use crate::poll::eventually_true;
use crate::topology::{LAN_VIP, Leg, SERVER, WAN_VIP};
use crate::traffic::{Stream, TrafficSummary};
use anyhow::Result;
use std::net::SocketAddr;
use std::time::Duration;

/// One datagram, and one question about the owner, per this.
const SAMPLE: Duration = Duration::from_millis(1);
const PORT: u16 = 9000;
/// Traffic within this long means that the way is open.
const FRESH: Duration = Duration::from_millis(30);

/// A running stream and a prober on each side.
#[derive(Debug)]
pub struct Instruments {
    pub stream: Stream,
    owners: [OwnerProbe; 2],
}

impl Instruments {
    /// Starts between a client with `lan0` and a server with `wan0`.
    pub fn start(client: &Namespace, server: &Namespace) -> Result<Self> {
        Ok(Instruments {
            stream: Stream::start(client, server, SocketAddr::new(SERVER.into(), PORT), SAMPLE)?,
            owners: [
                OwnerProbe::start(client, Leg::Lan.interface(), LAN_VIP.into(), SAMPLE)?,
                OwnerProbe::start(server, Leg::Wan.interface(), WAN_VIP.into(), SAMPLE)?,
            ],
        })
    }

    /// Who answers for the address on a leg.
    pub fn owners(&self, leg: Leg) -> &OwnerProbe {
        &self.owners[leg as usize]
    }

    /// True if datagrams get through now.
    pub fn flows(&self) -> bool {
        self.stream.flows_since(Moment::now().before(FRESH))
    }

    /// Waits until datagrams get through.
    pub fn wait_flows(&self, deadline: Duration) -> Result<()> {
        eventually_true("datagrams reach the server", deadline, || self.flows())
    }

    /// The datagrams sent between two moments.
    pub fn traffic(&self, from: Moment, to: Moment) -> TrafficSummary {
        self.stream.window(from, to)
    }

    /// A figure of the questions asked between two moments, of the side where it is greater.
    pub fn worse_owners<T: Ord + Default>(
        &self,
        pick: impl Fn(&OwnerSummary) -> T,
        from: Moment,
        to: Moment,
    ) -> T {
        self.owners.iter().map(|probe| pick(&probe.window(from, to))).max().unwrap_or_default()
    }
}
