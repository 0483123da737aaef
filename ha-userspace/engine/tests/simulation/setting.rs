//! What a simulated cluster is made of: configurations, clocks, paths. Fixed for a history.

use crate::air::{MOST_NODES, SEGMENTS};
use crate::dice::Clock;
use crate::support::*;
use holdfast_engine::{
    CheckSettings, Duration, EngineConfig, FlapSettings, LatchRelease, PeerCheck, PeerId, RouterConfig,
    Takeover,
};
use serde::{Deserialize, Serialize};

/// A cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Setting {
    /// By node; all nodes have the same routers, in the same order.
    pub(crate) routers: Vec<Vec<RouterConfig>>,
    /// The nodes probe each other; plain VRRP if not.
    pub(crate) peered: bool,
    /// Segments over which they do.
    pub(crate) paths: Vec<usize>,
    pub(crate) checks: CheckSettings,
    pub(crate) takeover: Takeover,
    pub(crate) lease: Duration,
    /// All nodes have the same advertisement intervals.
    pub(crate) same_configuration: bool,
    pub(crate) clocks: Vec<Clock>,
    pub(crate) flaps: FlapSettings,
    /// Nodes with a link pair and a bypass driver: those that may be bridged.
    pub(crate) bypasses: Vec<bool>,
    /// The pairs lie in the only path, so a wire closes no loop.
    pub(crate) inline: bool,
}

impl Setting {
    /// Plain routers on clocks that agree, with room for many flaps.
    pub(crate) fn plain(routers: Vec<Vec<RouterConfig>>) -> Self {
        let nodes = routers.len();
        assert!(nodes <= MOST_NODES);
        Setting {
            routers,
            peered: false,
            paths: vec![0, SEGMENTS.len() - 1],
            checks: CheckSettings::new(CHECK.interval, CHECK.failure_threshold, 5),
            takeover: Takeover::Fast,
            lease: LEASE,
            same_configuration: true,
            clocks: vec![Clock::TRUE; nodes],
            flaps: FlapSettings {
                maximum_allowed: 1_000,
                window: Duration::from_nanos(1),
                release: LatchRelease::Manual,
            },
            bypasses: vec![false; nodes],
            inline: false,
        }
    }

    pub(crate) fn nodes(&self) -> usize {
        self.routers.len()
    }

    /// What a node's engine is told.
    pub(crate) fn engine_config(&self, node: usize) -> EngineConfig {
        let others = (0..self.nodes()).filter(|other| *other != node && self.peered);
        EngineConfig {
            routers: self.routers[node].clone(),
            peers: others.map(|other| PeerId(other as u16)).collect(),
            peer_check: PeerCheck {
                interval: self.checks.interval(),
                failure_threshold: self.checks.failure_threshold(),
            },
            takeover: self.takeover,
        }
    }

    /// Greatest advertisement interval of any node.
    pub(crate) fn longest_interval(&self) -> Duration {
        let intervals = self.routers.iter().flatten().map(|config| config.advertisement_interval);
        intervals.max().unwrap_or(Duration::ZERO)
    }
}
