//! The pairs that orders are about, and what is said of them.

use super::driver::Reading;
use serde::Serialize;

/// Two ports that a bypass joins, as the drivers know them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortPair {
    pub name: String,
    pub inside: String,
    pub outside: String,
    /// Name of the bypass hardware, for the placeholder `{device}`.
    pub device: Option<String>,
    /// Line of the GPIO chip that drives the relay.
    pub gpio_line: Option<u32>,
    /// Line of the GPIO chip that tells where the relay stands; without one the driven line is read.
    pub gpio_sense_line: Option<u32>,
}

/// What was ordered. A pair that nobody has ordered anything for is wanted released.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wanted {
    Engaged,
    #[default]
    Released,
}

impl Wanted {
    /// The word in messages.
    pub fn word(self) -> &'static str {
        match self {
            Wanted::Engaged => "engaged",
            Wanted::Released => "released",
        }
    }

    /// Whether a reading says that it is so.
    pub fn is_met_by(self, reading: &Reading) -> bool {
        matches!((self, reading), (Wanted::Engaged, Reading::Engaged) | (Wanted::Released, Reading::Released))
    }
}

/// Where a pair stands: after an order, and whenever that changes without one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BypassReport {
    /// `link_pair.name`.
    pub pair: String,
    pub wanted: Wanted,
    /// As read back.
    pub reading: Reading,
    /// What is wrong, for the operator: what was written, what was read, and where.
    pub fault: Option<String>,
}
