//! What every way of bypassing can do, and what can go wrong with it.

use super::pair::PortPair;
use super::xdp::WirePorts;
use crate::datapath::BypassMaps;
use serde::Serialize;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Where a pair stands by its own account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reading {
    Engaged,
    Released,
    /// With the reason why it cannot be told.
    Unknown(String),
}

impl Reading {
    /// The word in messages.
    pub fn word(&self) -> &'static str {
        match self {
            Reading::Engaged => "engaged",
            Reading::Released => "released",
            Reading::Unknown(_) => "unknown",
        }
    }
}

/// A reading, and what it was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadBack {
    pub reading: Reading,
    /// What was read, and where: "`bypass` from /sys/class/net/eth1/bypass/current_mode".
    pub evidence: String,
}

impl ReadBack {
    /// A pair that cannot be read.
    pub fn unknown(error: &DriverError) -> Self {
        ReadBack { reading: Reading::Unknown(error.to_string()), evidence: "nothing that can be told".into() }
    }
}

/// One way of joining the ports of a pair. Called on a thread that has the time, one call at a time.
pub trait BypassDriver: Send {
    /// Joins the ports. Returns what was done, for messages: "`bypass` to /sys/...".
    fn engage(&mut self, pair: &PortPair) -> Result<String, DriverError>;

    /// Undoes [`Self::engage`]; returns what was done.
    fn release(&mut self, pair: &PortPair) -> Result<String, DriverError>;

    /// Asks the hardware, not the memory of the last order.
    fn read_back(&mut self, pair: &PortPair) -> ReadBack;

    /// Lets the hardware engage by itself after `timeout` without [`Self::pet`]. Armed before is fine.
    fn arm_watchdog(&mut self, pair: &PortPair, timeout: Duration) -> Result<(), DriverError>;

    /// Starts the watchdog's time anew.
    fn pet(&mut self, pair: &PortPair) -> Result<(), DriverError>;

    /// Ends the watchdog.
    fn disarm(&mut self, pair: &PortPair) -> Result<(), DriverError>;

    /// Tells the ports as they stand now to a driver that goes by them.
    fn rewire(&mut self, _ports: &[WirePorts]) -> Result<(), DriverError> {
        Ok(())
    }

    /// Gives back the maps of the data plane, where the driver goes by them.
    fn into_maps(self: Box<Self>) -> Option<BypassMaps> {
        None
    }
}

/// What can go wrong with a driver.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    #[error("writing `{value}` to {path}: {source}; check the paths of [bypass] against the hardware")]
    Write { value: String, path: PathBuf, source: io::Error },
    #[error("reading {path}: {source}; check the paths of [bypass] against the hardware")]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "{path} reads `{found}`, which is neither in bypass.engaged_readings nor in bypass.released_readings"
    )]
    Unexpected { path: PathBuf, found: String },
    #[error(
        "`{text}` has {{{placeholder}}}, and link pair {pair} has no {placeholder}: set link_pair.{placeholder}"
    )]
    Placeholder { text: String, placeholder: &'static str, pair: String },
    #[error("link pair {pair} has no {key}: set link_pair.{key} to a line of the GPIO chip")]
    NoLine { pair: String, key: &'static str },
    #[error("GPIO chip {chip}: {reason}; check bypass.chip and the lines of the link pairs")]
    Gpio { chip: PathBuf, reason: String },
    #[error("bypass command `{command}`: {reason}")]
    Command { command: String, reason: String },
    #[error("link pair {pair}: {reason}")]
    Wire { pair: String, reason: String },
    #[error("the bypass driver {driver} has no watchdog")]
    NoWatchdog { driver: &'static str },
}
