//! The part of the status object that says how fit the node is to own: checks, link pairs, bandwidth guards.

use crate::checks::CheckState;
use crate::journal::Timestamp;
use holdfast_engine::PortState;
use serde::{Deserialize, Serialize};

/// A configured check and where it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckStatus {
    pub name: String,
    /// As in `check.kind`.
    pub kind: String,
    /// `node`, `group NAME` or `virtual_router NAME`.
    pub scope: String,
    pub state: CheckState,
    /// What the last run found.
    pub detail: String,
    /// Since when it is in this state; `None` before its first run has ended.
    pub since: Option<Timestamp>,
    pub runs: u64,
    pub timeouts: u64,
    pub weight: i16,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkPairStatus {
    pub name: String,
    pub active: bool,
    pub inside: PortStatus,
    pub outside: PortStatus,
    /// Whether what arrives at one port leaves at the other; `None` where no traffic is expected.
    pub passing: Option<bool>,
    /// Why it does not count, in words; `None` if it is active.
    pub fault: Option<String>,
}

/// One port of a pair.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PortStatus {
    pub interface: String,
    /// `None` until it was read.
    pub state: Option<PortState>,
}

/// A link whose bandwidth is guarded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BandwidthStatus {
    pub link: String,
    pub minimum_bps: u64,
    pub interval_ns: u64,
    /// This owner has passed the minimum for a whole interval: less is a fault from now on.
    pub armed: bool,
    /// What the link sends, averaged over a fifth of the interval.
    pub rate_bps: Option<u64>,
    /// What arrives to be passed on through it.
    pub demand_bps: Option<u64>,
    /// Since when an armed owner is below the minimum with demand.
    pub below_since: Option<Timestamp>,
    /// Times it failed since the start.
    pub failures: u64,
}

#[cfg(test)]
pub(crate) mod samples {
    //! One of each, with something in every field.
    use super::*;
    use crate::control::status::samples::at;

    pub(crate) fn check() -> CheckStatus {
        CheckStatus {
            name: "upstream".to_owned(),
            kind: "command".to_owned(),
            scope: "group gateway".to_owned(),
            state: CheckState::Passing,
            detail: "ended with status 0".to_owned(),
            since: Some(at(10)),
            runs: 120,
            timeouts: 1,
            weight: -30,
        }
    }

    pub(crate) fn pair() -> LinkPairStatus {
        let port =
            |interface: &str| PortStatus { interface: interface.to_owned(), state: Some(PortState::Up) };
        LinkPairStatus {
            name: "edge".to_owned(),
            active: true,
            inside: port("lan0"),
            outside: port("wan0"),
            passing: Some(true),
            fault: None,
        }
    }

    pub(crate) fn guard() -> BandwidthStatus {
        BandwidthStatus {
            link: "wan0".to_owned(),
            minimum_bps: 10_000_000,
            interval_ns: 10_000_000_000,
            armed: true,
            rate_bps: Some(12_345_678),
            demand_bps: Some(12_400_000),
            below_since: None,
            failures: 0,
        }
    }
}
