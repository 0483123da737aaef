//! The data plane as the controller sees it: the only home of aya.
//!
//! Loads one program pair per monitored interface over one shared, pinned set of maps; writes what the controller
//! decides; reads what the data plane saw. It decides nothing. Pins outlive the process on purpose: a dead
//! controller's lease runs out in the map and its programs go on fencing until `unload` or the next start.

pub mod attach;
pub mod bpffs;
pub mod bypass_maps;
mod clsact;
pub mod error;
pub mod maps;
pub mod occupant;
pub mod peers;
pub mod probe_readings;
pub mod ring_reader;
pub mod router_spec;

pub use attach::{Datapath, MonitoredLink, SparePrograms, XdpAttachMode};
pub use bypass_maps::{BypassMaps, Wire, WirePort, WireState};
pub use error::DatapathError;
pub use maps::MapSet;
pub use peers::{PathEnds, PeerMaps, PeerReader};
pub use probe_readings::MapReadings;
pub use ring_reader::{RingReader, RingRecord};
pub use router_spec::RouterSpec;
