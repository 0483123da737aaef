//! What is held fixed in one check: the configuration of both nodes, the bounds, and a fault of the harness if one is wanted.

use holdfast_engine::{Duration, Takeover};

/// One step of time. Everything else is a multiple of it, save the fractions of the election's own timers.
pub const TICK: Duration = Duration::from_millis(100);
/// Missed checks in a row after which a peer is unhealthy, and good ones after which it is healthy again.
pub const FAILURE_THRESHOLD: u32 = 2;
pub const RECOVERY_THRESHOLD: u32 = 2;

/// Number of ticks.
pub type Ticks = u8;

/// A fault put into the harness on purpose: what a controller would do that forgets a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    None,
    /// A controller that overslept its lease does not tell the engine.
    LapseUntold,
    /// An owner's data plane neither revokes nor reports, whoever is heard.
    OwnerDeaf,
    /// The lease that peers are told of never gets shorter.
    LeaseOverstated,
}

/// One configuration to check.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub name: &'static str,
    /// Advertisement interval.
    pub interval: Ticks,
    /// Controller lease.
    pub lease: Ticks,
    pub takeover: Takeover,
    pub preempt: bool,
    /// Other stations talk on the segment, so that no node takes itself for deaf.
    pub hosts: bool,
    /// Faults that may strike, at any moment each, together or one after the other.
    pub faults: u8,
    /// From the first fault on, for how long further ones strike and end; time goes on afterwards. `None` is for ever.
    pub window: Option<Ticks>,
    pub sabotage: Sabotage,
}

/// Adverts rarer than the lease is long: what is held is held by the timer.
pub const SLOW: Settings = Settings {
    name: "slow adverts",
    interval: 2,
    lease: 4,
    takeover: Takeover::Fast,
    preempt: true,
    hosts: true,
    faults: 1,
    window: None,
    sabotage: Sabotage::None,
};

/// Adverts so frequent that the lease outlasts their absence: what is held is held by vouching.
pub const FAST: Settings = Settings { name: "fast adverts", interval: 1, lease: 6, ..SLOW };

/// Every configuration, with one fault that strikes and ends at any moment whatever.
pub const ONE_FAULT: [Settings; 6] = [
    SLOW,
    FAST,
    Settings { name: "slow adverts, nobody else on the segment", hosts: false, ..SLOW },
    Settings { name: "fast adverts, nobody else on the segment", hosts: false, ..FAST },
    Settings { name: "slow adverts, without preemption", preempt: false, ..SLOW },
    Settings { name: "fast adverts, takeover after the lease", takeover: Takeover::AfterLease, ..FAST },
];

impl Settings {
    /// So many faults, all of which strike and end within the window.
    pub const fn with(self, faults: u8, window: Ticks) -> Settings {
        Settings { faults, window: Some(window), ..self }
    }

    /// The longest that two may own who hear each other: until the better one's next advert.
    pub const fn several_bound(&self) -> Ticks {
        self.interval
    }

    /// The longest that nobody may own, since the last fault or its end, while some node runs: whoever is silent is given its
    /// Active_Down_Interval, and whoever is vouched for its lease.
    pub const fn nobody_bound(&self) -> Ticks {
        self.longest_down() + self.lease
    }

    /// Active_Down_Interval of the lesser node, rounded up.
    pub const fn longest_down(&self) -> Ticks {
        4 * self.interval
    }

    /// Longest time that any rule looks back: replies over the segment vouch for ten leases.
    pub fn memory(&self) -> Duration {
        span(10 * self.lease).max(Duration::from_secs(1)) + span(self.longest_down())
    }
}

/// So many steps of time.
pub const fn span(ticks: Ticks) -> Duration {
    TICK.scaled(ticks as u64, 1)
}
