//! How long what must not stay may last, from the cluster's own numbers. docs/simulation.md gives the reasons.

use crate::setting::Setting;
use holdfast_engine::Duration;

/// Clocks are right to so many parts in a million, with room.
const DRIFT_PPM: u64 = 2_000;
/// What a running controller may take to follow its data plane.
const REACTION: Duration = Duration::from_millis(40);
/// Adverts or probes in a row that chance may take in rough weather.
const ROUGH_FACTOR: u64 = 16;
/// For a flap latch, a hold after flaps, and what gave way in vain to come to rest.
const REST: Duration = Duration::from_secs(60);

/// How long what must not stay may last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Two owners that hear each other.
    pub(crate) several: Duration,
    pub(crate) several_rough: Duration,
    /// One of them has given it up, and serves until a successor is heard.
    pub(crate) several_releasing: Duration,
    /// The controller of one of them does not run.
    pub(crate) several_orphan: Duration,
    /// Nobody for a node that could own itself.
    pub(crate) nobody: Duration,
    pub(crate) nobody_rough: Duration,
    /// A part of a group, on a running node and on one whose controller stands still.
    pub(crate) partial: Duration,
    pub(crate) lease: Duration,
    /// After the last change, until nothing moves any more.
    pub(crate) rest: Duration,
    pub(crate) check: Duration,
}

impl Bounds {
    /// See docs/simulation.md for the reasons.
    pub(crate) fn of(setting: &Setting) -> Self {
        let interval = setting.longest_interval();
        let check = setting.checks.interval();
        let window = setting.checks.detection_time();
        // Skew_Time, which in VRRPv2 is counted in seconds, and an interval.
        let release = interval + interval.max(Duration::from_secs(1));
        let peered = |span: Duration| if setting.peered { span } else { Duration::ZERO };
        // Active_Down_Interval of the slowest: three intervals and a Skew_Time of nearly one.
        let down = interval.scaled(4, 1);
        let delays = setting.routers.iter().flatten().map(|config| config.preempt_delay);
        let slack = |span: Duration| span + span.scaled(DRIFT_PPM, 1_000_000) + REACTION;
        let several = interval + peered(check.scaled(2, 1));
        let grouped = setting.routers[0][0].group.is_some();
        let giving_way = if grouped { release } else { Duration::ZERO };
        let nobody = down + setting.lease + giving_way + peered(window + check.scaled(2, 1));
        Bounds {
            several: slack(several),
            several_rough: slack(several.scaled(ROUGH_FACTOR, 1)),
            several_releasing: slack(several + release),
            several_orphan: slack(several + setting.lease),
            nobody: slack(nobody),
            nobody_rough: slack(nobody.scaled(3, 1)),
            partial: REACTION,
            lease: slack(setting.lease),
            check,
            rest: slack(REST + down.scaled(3, 1) + delays.max().unwrap_or(Duration::ZERO)),
        }
    }
}
