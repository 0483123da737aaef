//! Bypass: joining the two ports of a link pair past this host, in software or by a relay on the NIC.
//!
//! Orders come from the controller and go to a thread of their own ([`Bypass`]), since hardware and programs may take
//! their time. Every order ends in a [`BypassReport`] of what was read back; a change that nobody ordered is reported,
//! too. Nothing here decides whether to engage: that is policy, and the VIP is released before an order comes.

mod command;
mod driver;
mod gpio;
mod keeper;
mod offloads;
mod pair;
mod program;
mod service;
mod sysfs;
mod template;
mod watchdog;
mod xdp;

pub use driver::{BypassDriver, DriverError, ReadBack, Reading};
pub use pair::{BypassReport, PortPair, Wanted};
pub use service::{Bypass, StartError};
pub use xdp::{WirePorts, WireSwitch};
