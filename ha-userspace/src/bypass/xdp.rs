//! The software wire: the data plane's maps behind the driver trait.
//!
//! A wire exists while both of its ports exist and run XDP in the same mode; the controller says how they stand, in
//! [`BypassDriver::rewire`]. An order for a pair without a wire is kept and takes effect when the wire comes to be.

use super::driver::{BypassDriver, DriverError, ReadBack, Reading};
use super::offloads;
use super::pair::PortPair;
use crate::datapath::{BypassMaps, DatapathError, Wire, WirePort, WireState, XdpAttachMode};
use crate::runtime::clock;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The ports of a pair as they stand now; `None` while the interface is missing or not monitored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WirePorts {
    /// `link_pair.name`.
    pub pair: String,
    pub inside: Option<WirePort>,
    pub outside: Option<WirePort>,
}

/// The data plane's side of a wire.
pub trait WireSwitch: Send {
    /// Lets the ports be ends of the wire, engaged or not.
    fn connect(&mut self, wire: &Wire, engaged: bool) -> Result<(), DatapathError>;
    /// Undoes [`Self::connect`].
    fn disconnect(&mut self, wire: &Wire) -> Result<(), DatapathError>;
    /// Engages or releases both directions at once.
    fn switch(&mut self, wire: &Wire, engaged: bool) -> Result<(), DatapathError>;
    /// What the data plane goes by now.
    fn read(&self, wire: &Wire) -> Result<WireState, DatapathError>;
    /// Gives the maps back, as they stand.
    fn into_maps(self) -> Option<BypassMaps>;
}

/// The kernel's maps, and the settings of the ports that a wire needs.
pub(super) struct KernelSwitch {
    maps: BypassMaps,
    tags: TagKeeper,
}

/// Ports whose NIC took VLAN tags off before we stopped it; undone in the end.
#[derive(Default)]
struct TagKeeper(BTreeSet<String>);

impl KernelSwitch {
    pub(super) fn new(maps: BypassMaps) -> Self {
        Self { maps, tags: TagKeeper::default() }
    }
}

impl TagKeeper {
    fn keep(&mut self, port: &WirePort) {
        // In generic mode the tag travels with the socket buffer.
        if port.mode != XdpAttachMode::Native {
            return;
        }
        let interface = &port.name;
        match offloads::strip_tags(interface, false) {
            Ok(true) => {
                tracing::info!(interface, "rxvlan is off: the bypass wire carries VLAN tags in the frame");
                self.0.insert(interface.clone());
            }
            Ok(false) => {}
            Err(error) => tracing::warn!(
                interface,
                "VLAN tags that the NIC takes off are lost on the bypass wire, and it cannot be told not to \
                 (`ethtool -K {interface} rxvlan off`): {error}"
            ),
        }
    }
}

impl Drop for TagKeeper {
    fn drop(&mut self) {
        for interface in &self.0 {
            if let Err(error) = offloads::strip_tags(interface, true) {
                tracing::warn!(interface, "cannot turn rxvlan on again: {error}");
            }
        }
    }
}

impl WireSwitch for KernelSwitch {
    fn connect(&mut self, wire: &Wire, engaged: bool) -> Result<(), DatapathError> {
        self.tags.keep(&wire.inside);
        self.tags.keep(&wire.outside);
        self.maps.connect(wire, engaged)
    }

    fn disconnect(&mut self, wire: &Wire) -> Result<(), DatapathError> {
        self.maps.disconnect(wire)
    }

    fn switch(&mut self, wire: &Wire, engaged: bool) -> Result<(), DatapathError> {
        self.maps.switch(wire, engaged)
    }

    fn read(&self, wire: &Wire) -> Result<WireState, DatapathError> {
        self.maps.read(wire, clock::now())
    }

    fn into_maps(self) -> Option<BypassMaps> {
        Some(self.maps)
    }
}

/// Why there is no wire before the first word about the ports.
const NOT_KNOWN: &str = "its ports are not known yet";

/// What is known of one pair.
struct Line {
    /// Index in `BYPASS_PAIRS`.
    index: u32,
    /// By order; outlives the wire.
    engaged: bool,
    /// The wire, or why there is none.
    wire: Result<Wire, String>,
    /// The ports have been told.
    known: bool,
}

/// Driver for the software wire.
pub(super) struct XdpDriver<S> {
    switch: S,
    on_controller_loss: bool,
    lines: BTreeMap<String, Line>,
}

impl<S: WireSwitch> XdpDriver<S> {
    pub(super) fn new(switch: S, pairs: &[PortPair], on_controller_loss: bool) -> Self {
        let line = |index| Line { index, engaged: false, wire: Err(NOT_KNOWN.into()), known: false };
        let lines = (0..).zip(pairs).map(|(index, pair)| (pair.name.clone(), line(index))).collect();
        Self { switch, on_controller_loss, lines }
    }

    fn order(&mut self, pair: &PortPair, engaged: bool) -> Result<String, DriverError> {
        let failed = |reason: String| DriverError::Wire { pair: pair.name.clone(), reason };
        let Some(line) = self.lines.get_mut(&pair.name) else {
            return Err(failed("it was not configured when the daemon started".into()));
        };
        line.engaged = engaged;
        match &line.wire {
            Ok(wire) => self.switch.switch(wire, engaged).map_err(|error| failed(error.to_string()))?,
            // Without a wire nothing is bridged, so a release is done. Before the ports are told, an engagement waits for
            // them: right after a start they are on their way.
            Err(_) if !engaged || !line.known => {}
            Err(reason) => return Err(failed(reason.clone())),
        }
        Ok(format!("engaged = {} to wire {} of the data plane", u8::from(engaged), line.index))
    }
}

/// The wire between two ports, or why there cannot be one.
fn wire_over(index: u32, ports: &WirePorts, on_controller_loss: bool) -> Result<Wire, String> {
    let (inside, outside) = match (&ports.inside, &ports.outside) {
        (Some(inside), Some(outside)) => (inside.clone(), outside.clone()),
        (None, None) => return Err("neither of its interfaces is there".into()),
        (None, Some(_)) => return Err("its inside interface is not there".into()),
        (Some(_), None) => return Err("its outside interface is not there".into()),
    };
    if inside.mode != outside.mode {
        let word = |port: &WirePort| match port.mode {
            XdpAttachMode::Native => "native",
            XdpAttachMode::Generic => "generic",
        };
        return Err(format!(
            "XDP runs in {} mode on {} and in {} mode on {}: the software wire needs the same on both; use ports of \
             one kind, or another bypass.driver",
            word(&inside),
            inside.name,
            word(&outside),
            outside.name,
        ));
    }
    Ok(Wire { pair: index, inside, outside, on_controller_loss })
}

impl<S: WireSwitch> BypassDriver for XdpDriver<S> {
    fn engage(&mut self, pair: &PortPair) -> Result<String, DriverError> {
        self.order(pair, true)
    }

    fn release(&mut self, pair: &PortPair) -> Result<String, DriverError> {
        self.order(pair, false)
    }

    fn read_back(&mut self, pair: &PortPair) -> ReadBack {
        let failed = |reason: String| DriverError::Wire { pair: pair.name.clone(), reason };
        let line = self.lines.get(&pair.name);
        let wire = match line.map(|line| &line.wire) {
            Some(Ok(wire)) => wire,
            // Without a wire nothing is bridged.
            Some(Err(reason)) if !line.is_some_and(|line| line.engaged) => {
                return ReadBack { reading: Reading::Released, evidence: format!("no wire: {reason}") };
            }
            Some(Err(reason)) => return ReadBack::unknown(&failed(reason.clone())),
            None => return ReadBack::unknown(&failed("no such pair".into())),
        };
        let state = match self.switch.read(wire) {
            Ok(state) => state,
            Err(error) => return ReadBack::unknown(&failed(error.to_string())),
        };
        let evidence = format!(
            "engaged = {}, lease over = {}, both ports connected = {} from wire {} of the data plane",
            u8::from(state.ordered),
            u8::from(state.abandoned),
            u8::from(state.connected),
            wire.pair
        );
        let reading = match state {
            WireState { connected: false, ordered: true, .. } => Reading::Unknown(
                failed("engaged, but a port has gone: its frames are dropped".into()).to_string(),
            ),
            WireState { ordered, abandoned, .. } if ordered || abandoned => Reading::Engaged,
            _ => Reading::Released,
        };
        ReadBack { reading, evidence }
    }

    fn arm_watchdog(&mut self, _pair: &PortPair, _timeout: Duration) -> Result<(), DriverError> {
        Err(DriverError::NoWatchdog { driver: "xdp" })
    }

    fn pet(&mut self, _pair: &PortPair) -> Result<(), DriverError> {
        Err(DriverError::NoWatchdog { driver: "xdp" })
    }

    fn disarm(&mut self, _pair: &PortPair) -> Result<(), DriverError> {
        Err(DriverError::NoWatchdog { driver: "xdp" })
    }

    fn into_maps(self: Box<Self>) -> Option<BypassMaps> {
        self.switch.into_maps()
    }

    /// First all old wires go, then the new ones come: a slot may pass from one pair to another.
    fn rewire(&mut self, ports: &[WirePorts]) -> Result<(), DriverError> {
        let mut outcome = Ok(());
        let mut changed = Vec::new();
        for ports in ports {
            let Some(line) = self.lines.get_mut(&ports.pair) else { continue };
            line.known = true;
            let wanted = wire_over(line.index, ports, self.on_controller_loss);
            if line.wire == wanted {
                continue;
            }
            if let Ok(wire) = std::mem::replace(&mut line.wire, wanted) {
                outcome = outcome.and(named(&ports.pair, self.switch.disconnect(&wire)));
            }
            changed.push(&ports.pair);
        }
        for pair in changed {
            let Some(line) = self.lines.get_mut(pair) else { continue };
            let connected = match &line.wire {
                Ok(wire) => named(pair, self.switch.connect(wire, line.engaged)),
                Err(reason) => Err(DriverError::Wire { pair: pair.clone(), reason: reason.clone() }),
            };
            if let (Ok(_), Err(error)) = (&line.wire, &connected) {
                // Tried anew when the controller next tells the ports.
                line.wire = Err(error.to_string());
            }
            outcome = outcome.and(connected);
        }
        outcome
    }
}

fn named(pair: &str, done: Result<(), DatapathError>) -> Result<(), DriverError> {
    done.map_err(|error| DriverError::Wire { pair: pair.into(), reason: error.to_string() })
}

#[cfg(test)]
#[path = "xdp_tests.rs"]
mod tests;
