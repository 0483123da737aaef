//! What the engine needs to know of the configuration. Already validated: illegal combinations do not arrive here.

use crate::time::Duration;
use serde::{Deserialize, Serialize};

macro_rules! identifier {
    ($(#[doc = $doc:literal])+ $name:ident) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u32);
    };
}

identifier! {
    /// A virtual router: its slot in the data plane's maps.
    RouterId
}
identifier! {
    /// A group of virtual routers that are Active on the same node.
    GroupId
}
identifier! {
    /// An interface, by its kernel index or any other stable number; two routers on one interface share it.
    InterfaceId
}

/// Another node, by its `peer.id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PeerId(pub u16);

/// A sync unit: a group, or a virtual router without one. The number is agreed between the nodes, below 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnitId(pub u8);

/// How peers are checked; what the engine needs of it to judge how long a report speaks for its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PeerCheck {
    pub interval: Duration,
    pub failure_threshold: u32,
}

impl Default for PeerCheck {
    fn default() -> Self {
        PeerCheck { interval: Duration::from_millis(100), failure_threshold: 3 }
    }
}

/// What a peer's silence on every path leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Takeover {
    /// Takeover at the failure threshold.
    #[default]
    Fast,
    /// Not before its lease has ended.
    AfterLease,
}

/// VRRP version of a virtual router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Version {
    V2,
    V3,
}

/// Address family of a virtual router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Family {
    Ipv4,
    Ipv6,
}

/// Which checksum form of VRRPv3 over IPv4 a router sends and accepts (conformance decision D1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChecksumPolicy {
    /// Accept both, send the form last heard from a valid peer, RFC 9568 until one is heard.
    #[default]
    Auto,
    Rfc9568,
    Rfc5798,
}

/// One virtual router.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RouterConfig {
    pub id: RouterId,
    pub interface: InterfaceId,
    pub version: Version,
    pub family: Family,
    /// 1 to 254, or 255 for the address owner.
    pub priority: u8,
    pub advertisement_interval: Duration,
    pub preempt: bool,
    /// How long a lower-priority owner is left alone once it is heard, with `preempt`.
    pub preempt_delay: Duration,
    pub checksum: ChecksumPolicy,
    pub group: Option<GroupId>,
    /// `None` where no peers are configured.
    pub unit: Option<UnitId>,
}

impl RouterConfig {
    /// Whether `other` describes the same router on the wire, so that a reload may keep its state.
    pub fn is_same_router(&self, other: &RouterConfig) -> bool {
        self.id == other.id
            && self.interface == other.interface
            && self.version == other.version
            && self.family == other.family
    }
}

/// Everything the engine runs on; a reload hands in the next one whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EngineConfig {
    pub routers: Vec<RouterConfig>,
    pub peers: Vec<PeerId>,
    pub peer_check: PeerCheck,
    pub takeover: Takeover,
}
