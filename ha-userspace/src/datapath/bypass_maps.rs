//! Typed access to the maps of the bypass wire. They have one writer, the bypass driver, which takes this value out of
//! the [`MapSet`](super::MapSet) and keeps it on its own thread. The lease is only read here.

use super::DatapathError;
use super::attach::XdpAttachMode;
use super::maps::{map_error, take};
use aya::maps::xdp::DevMap;
use aya::maps::{Array, Map, MapData};
use ha_common::maps::names;
use ha_common::maps::values::{BypassLink, BypassPair, Head, Lease, MAX_LINK_PAIRS, bypass_flag};
use holdfast_engine::Instant;
use std::os::fd::AsFd;

/// Entry of `BYPASS_PORTS` that leads nowhere.
const NO_PORT: u32 = 0;

/// One end of a wire, as the interface stands now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WirePort {
    pub name: String,
    /// Link slot the data plane has given it.
    pub slot: u32,
    pub ifindex: u32,
    pub mode: XdpAttachMode,
}

/// Both ends of a wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wire {
    /// Index in `BYPASS_PAIRS`, below `MAX_LINK_PAIRS`.
    pub pair: u32,
    pub inside: WirePort,
    pub outside: WirePort,
    /// The data plane engages the wire by itself while the lease has ended.
    pub on_controller_loss: bool,
}

/// What the maps say about a wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireState {
    /// Engaged by order.
    pub ordered: bool,
    /// Engaged because the lease has ended.
    pub abandoned: bool,
    /// Both entries of `BYPASS_PORTS` lead to the wire's ports. The kernel removes one with its interface.
    pub connected: bool,
}

/// The maps of the bypass wire.
pub struct BypassMaps {
    links: Array<MapData, BypassLink>,
    pairs: Array<MapData, BypassPair>,
    ports: DevMap<MapData>,
    lease: Array<MapData, Lease>,
}

impl BypassMaps {
    /// Takes the maps out of a loaded object that still has its lease.
    pub(super) fn take(ebpf: &mut aya::Ebpf) -> Result<Self, DatapathError> {
        let lease = second_handle(ebpf, names::LEASE)?;
        Ok(Self {
            links: typed(ebpf, names::BYPASS_LINKS)?,
            pairs: typed(ebpf, names::BYPASS_PAIRS)?,
            ports: typed(ebpf, names::BYPASS_PORTS)?,
            lease: lease.try_into().map_err(|error| map_error(names::LEASE, error))?,
        })
    }

    /// Lets the two ports be ends of the wire, engaged or not. Where the wire engages on controller loss, the lease must
    /// have been extended before, or it engages at once.
    pub fn connect(&mut self, wire: &Wire, engaged: bool) -> Result<(), DatapathError> {
        self.switch(wire, engaged)?;
        for (port, partner) in [(&wire.inside, &wire.outside), (&wire.outside, &wire.inside)] {
            self.set_port(port.slot, partner.ifindex)?;
            let flags = bypass_flag::PAIRED;
            let head = Head::of::<BypassLink>();
            let link = BypassLink {
                head,
                flags,
                ifindex: port.ifindex,
                pair: wire.pair,
                partner_slot: partner.slot,
            };
            self.set_link(port.slot, link)?;
        }
        Ok(())
    }

    /// Undoes [`Self::connect`]: frames of these ports are nobody's but this host's from here on.
    pub fn disconnect(&mut self, wire: &Wire) -> Result<(), DatapathError> {
        for port in [&wire.inside, &wire.outside] {
            let head = Head::of::<BypassLink>();
            self.set_link(port.slot, BypassLink { head, flags: 0, ifindex: 0, pair: 0, partner_slot: 0 })?;
            self.set_port(port.slot, NO_PORT)?;
        }
        Ok(())
    }

    /// Engages or releases both directions by one write.
    pub fn switch(&mut self, wire: &Wire, engaged: bool) -> Result<(), DatapathError> {
        if wire.pair >= MAX_LINK_PAIRS {
            return Err(DatapathError::TooMany { what: "link pairs", limit: MAX_LINK_PAIRS });
        }
        let pair = BypassPair {
            head: Head::of::<BypassPair>(),
            engaged: u32::from(engaged),
            on_controller_loss: u32::from(wire.on_controller_loss),
        };
        self.pairs.set(wire.pair, pair, 0).map_err(|error| map_error(names::BYPASS_PAIRS, error))
    }

    /// What the data plane goes by at `now`.
    pub fn read(&self, wire: &Wire, now: Instant) -> Result<WireState, DatapathError> {
        let pair = self.pairs.get(&wire.pair, 0).map_err(|error| map_error(names::BYPASS_PAIRS, error))?;
        let lease = self.lease.get(&0, 0).map_err(|error| map_error(names::LEASE, error))?;
        let ends = [(&wire.inside, &wire.outside), (&wire.outside, &wire.inside)];
        Ok(WireState {
            ordered: pair.engaged != 0,
            abandoned: pair.on_controller_loss != 0 && now.as_nanos() >= lease.until_ns,
            connected: ends.iter().all(|(port, partner)| self.leads(port, partner)),
        })
    }

    fn leads(&self, port: &WirePort, partner: &WirePort) -> bool {
        let link = self.links.get(&port.slot, 0);
        link.is_ok_and(|link| link.flags & bypass_flag::PAIRED != 0 && link.ifindex == port.ifindex)
            && self.ports.get(port.slot, 0).is_ok_and(|found| found.if_index == partner.ifindex)
    }

    fn set_link(&mut self, slot: u32, link: BypassLink) -> Result<(), DatapathError> {
        self.links.set(slot, link, 0).map_err(|error| map_error(names::BYPASS_LINKS, error))
    }

    fn set_port(&mut self, slot: u32, ifindex: u32) -> Result<(), DatapathError> {
        self.ports.set(slot, ifindex, None, 0).map_err(|error| DatapathError::Map {
            name: names::BYPASS_PORTS,
            reason: super::attach::chain(&error),
        })
    }
}

fn typed<T: TryFrom<Map, Error = aya::maps::MapError>>(
    ebpf: &mut aya::Ebpf,
    name: &'static str,
) -> Result<T, DatapathError> {
    take(ebpf, name)?.try_into().map_err(|error| map_error(name, error))
}

/// A map that another owner will take, by a descriptor of our own.
fn second_handle(ebpf: &aya::Ebpf, name: &'static str) -> Result<Map, DatapathError> {
    let failed = |reason: String| DatapathError::Map { name, reason };
    let Some(Map::Array(data)) = ebpf.map(name) else {
        return Err(failed("missing from the BPF object; rebuild with `cargo xtask build`".into()));
    };
    let descriptor = data.fd().as_fd().try_clone_to_owned().map_err(|error| failed(error.to_string()))?;
    MapData::from_fd(descriptor).map(Map::Array).map_err(|error| map_error(name, error))
}
