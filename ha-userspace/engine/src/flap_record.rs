//! What leaves the flap governor: its record for the disk and its view for status. Plain data with ages, because no
//! instant of the boot clock means anything after a reboot.

use crate::time::Duration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A sync unit: a group, or a virtual router without group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FlapUnit(pub u32);

/// Why it latched, with the settings of that moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatchReason {
    pub flaps: u32,
    pub maximum_allowed: u32,
    pub window: Duration,
}

/// The state as it is kept on disk: ages as of `saved_at_unix`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlapRecord {
    /// When it was written, seconds since 1970 by the wall clock.
    pub saved_at_unix: u64,
    pub latch: Option<LatchRecord>,
    /// Oldest first.
    pub flap_ages: Vec<Duration>,
    /// Age of the last loss or return by fault.
    pub last_move_age: Option<Duration>,
    /// Units that are owned. A clean stop gives them up first; whatever a record still names was lost by a crash.
    pub owned: BTreeSet<FlapUnit>,
    /// Units lost by fault and not back yet.
    pub lost: BTreeSet<FlapUnit>,
}

/// A latch as it is kept on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatchRecord {
    pub age: Duration,
    pub reason: LatchReason,
}

/// What status shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlapView {
    /// In the window; while latched, those that latched.
    pub flaps: u32,
    pub maximum_allowed: u32,
    pub window: Duration,
    /// Until the oldest flap leaves the window.
    pub next_expiry_in: Option<Duration>,
    /// Preemption waits so long from now; zero: not at all.
    pub hold_remaining: Duration,
    pub latched: Option<LatchView>,
}

/// What status shows of a latch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatchView {
    /// So long ago; it may lie before the last boot.
    pub age: Duration,
    pub reason: LatchReason,
    /// Countdown; none while only the operator can release it.
    pub release_in: Option<Duration>,
}
