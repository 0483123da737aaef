//! The configuration as the daemon runs on it. Illegal combinations cannot be expressed or have been refused.

use holdfast_engine::{ChecksumPolicy, Family, Version};
use serde::Serialize;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A whole configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub node: Node,
    pub ha: Ha,
    pub peers: Vec<Peer>,
    pub peer_check: PeerCheck,
    pub flaps: Flaps,
    pub bandwidth: Bandwidth,
    pub links: Links,
    pub link_pairs: Vec<LinkPair>,
    /// At least one. Names, and (interface, VRID, family), are unique.
    pub virtual_routers: Vec<VirtualRouter>,
}

/// `[node]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub name: String,
    /// 1 to 65535; present where peers are configured.
    pub id: Option<u16>,
    pub run_dir: PathBuf,
    pub state_dir: PathBuf,
    pub bpf_dir: PathBuf,
}

/// Name of the control socket inside `node.run_dir`.
pub const CONTROL_SOCKET: &str = "control.sock";

impl Node {
    /// Where the daemon listens for the command line.
    pub fn control_socket(&self) -> PathBuf {
        self.run_dir.join(CONTROL_SOCKET)
    }
}

/// `[ha]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ha {
    pub mode: Mode,
    pub primary: bool,
    pub port: u16,
    pub controller_lease: Duration,
    pub fence: Fence,
    pub takeover: Takeover,
    pub trust: Trust,
    pub secret_files: Vec<PathBuf>,
}

/// `ha.mode`. The modes of more than one owner are refused by validation until they are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    Standalone,
    ActivePassive,
}

/// `ha.fence`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fence {
    None,
    Vip,
    Forwarding,
}

/// `ha.takeover`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Takeover {
    Fast,
    AfterLease,
}

/// `ha.trust`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Trust {
    Peers,
    Segment,
}

/// `[[peer]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub name: String,
    pub id: u16,
    /// One probe path each.
    pub addresses: Vec<IpAddr>,
    pub advert_sources: Vec<IpAddr>,
}

/// `[peer_check]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCheck {
    /// 1 ms to 60 s.
    pub interval: Duration,
    pub failure_threshold: u32,
    pub recovery_threshold: u32,
}

/// `[flaps]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaps {
    pub maximum_allowed: u32,
    pub window: Duration,
    pub release: FlapRelease,
}

/// `flaps.release`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlapRelease {
    Manual,
    After(Duration),
}

/// `[bandwidth]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bandwidth {
    pub enabled: bool,
    /// Bits per second.
    pub minimum_bps: Option<u64>,
    pub interval: Duration,
}

/// `[links]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Links {
    pub monitoring_interval: Duration,
    pub minimum_active_pairs: u32,
}

/// `[[link_pair]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkPair {
    pub name: String,
    pub inside: String,
    pub outside: String,
}

/// `[[virtual_router]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualRouter {
    pub name: String,
    pub interface: String,
    /// 1 to 255.
    pub vrid: u8,
    pub version: Version,
    pub family: Family,
    /// In the order of the file; for IPv6 the first is link-local. 1 to 255, one family.
    pub addresses: Vec<VirtualAddress>,
    /// 1 to 255; 255 says that this router owns its addresses, which then stand on the interface already.
    pub priority: Priority,
    pub advertisement_interval: Duration,
    pub preempt: bool,
    pub preempt_delay: Duration,
    pub accept: bool,
    pub virtual_mac: bool,
    pub checksum: ChecksumPolicy,
    /// Refuse IPv6 adverts whose first address is not link-local (EID 8300).
    pub strict: bool,
    pub group: Option<String>,
    /// Not empty: unicast mode.
    pub unicast_peers: Vec<IpAddr>,
}

/// A configured priority: 1 to 254, or 255 for the address owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Priority(pub u8);

/// A virtual address with its prefix length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VirtualAddress {
    pub address: IpAddr,
    pub prefix: u8,
}
