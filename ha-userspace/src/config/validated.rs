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
    /// `[[link]]`; each interface once, and each of a virtual router or a pair.
    pub link_settings: Vec<Link>,
    pub link_pairs: Vec<LinkPair>,
    pub bypass: Bypass,
    /// Names are unique; groups and virtual routers they name exist.
    pub checks: Vec<Check>,
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
    /// Also true with rank 1.
    pub primary: bool,
    /// As written; see [`Ha::preference`].
    pub rank: Option<u8>,
    pub port: u16,
    pub controller_lease: Duration,
    pub fence: Fence,
    pub takeover: Takeover,
    pub trust: Trust,
    pub secret_files: Vec<PathBuf>,
}

impl Ha {
    /// Place in the order of preference, 1 for the primary; `None` for a node that states none and comes last.
    pub fn preference(&self) -> Option<u8> {
        self.rank.or(self.primary.then_some(PRIMARY_RANK))
    }
}

/// The rank that `ha.primary` stands for.
pub const PRIMARY_RANK: u8 = 1;

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
    /// How long links must be good again before they count.
    pub recovery_time: Duration,
}

/// `[[link_pair]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkPair {
    pub name: String,
    pub inside: String,
    pub outside: String,
    /// What `{device}` stands for in the bypass driver's paths and values.
    pub device: Option<String>,
    /// Relay of the pair; present where the bypass driver is GPIO.
    pub gpio_line: Option<u32>,
    /// Line that shows where the relay really stands.
    pub gpio_sense_line: Option<u32>,
}

/// `[[link]]`: settings of one monitored interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub interface: String,
    /// Bits per second; in place of `bandwidth.minimum` on this link.
    pub bandwidth_minimum_bps: Option<u64>,
}

/// `[bypass]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bypass {
    pub driver: BypassDriver,
    /// Inline where there is no driver.
    pub topology: Topology,
    /// The XDP wire engages by itself once the controller's lease has ended.
    pub on_controller_loss: bool,
    /// `None`: the hardware's watchdog is left alone.
    pub watchdog: Option<Watchdog>,
}

/// `bypass.driver` with what it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "a configuration has one of it")]
pub enum BypassDriver {
    None,
    Xdp,
    Sysfs(SysfsBypass),
    Gpio(GpioBypass),
    Command(CommandBypass),
}

/// `bypass.topology`: how this node lies in the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Topology {
    /// All traffic of a pair passes this node's two ports: the wire is the only way on.
    Inline,
    /// Both nodes lie beside each other between the same segments; a wire here may close a loop. Acknowledged by
    /// `bypass.accept_parallel`.
    Parallel,
}

/// `bypass.watchdog` and `bypass.pet_interval`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watchdog {
    /// The hardware goes to bypass after this time without a pet.
    pub timeout: Duration,
    /// At most a third of the timeout.
    pub pet_interval: Duration,
}

/// Files of a bypass NIC. Paths and values may hold `{inside}`, `{outside}`, `{pair}`, `{device}`, and values
/// `{timeout_ms}` and `{timeout_s}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SysfsBypass {
    pub control_path: String,
    pub engage_value: String,
    pub release_value: String,
    pub read_path: String,
    /// Readings (trimmed) that mean engaged and released; anything else is a fault.
    pub engaged_readings: Vec<String>,
    pub released_readings: Vec<String>,
    pub watchdog: Option<SysfsWatchdog>,
}

/// The watchdog's files of a bypass NIC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SysfsWatchdog {
    /// Written once with the timeout to arm it.
    pub arm_path: String,
    pub arm_value: String,
    /// Written on a clean stop.
    pub disarm_value: String,
    pub pet_path: String,
    /// `None`: reading the path pets (Silicom).
    pub pet_value: Option<String>,
}

/// Relays behind a GPIO chip; the lines stand in the link pairs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpioBypass {
    /// Such as `/dev/gpiochip0`.
    pub chip: PathBuf,
    /// The relay bridges the ports while its line is low.
    pub active_low: bool,
}

/// A program that switches: called with `engage`, `release`, `status`, `arm TIMEOUT_MS`, `pet` or `disarm`, then pair, inside and
/// outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandBypass {
    pub argv: Vec<String>,
    pub timeout: Duration,
}

/// `[[check]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub name: String,
    pub kind: CheckKind,
    pub interval: Duration,
    pub timeout: Duration,
    /// Good results in a row until it counts as passing.
    pub rise: u32,
    /// Bad results in a row until it counts as failing.
    pub fall: u32,
    /// -253 to 253. Negative: added while it fails. Positive: added while it passes. 0: a failure is a failed requirement.
    pub weight: i16,
    pub scope: CheckScope,
}

/// What a check bears on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckScope {
    Node,
    Group(String),
    VirtualRouter(String),
}

/// `check.kind` with what it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// The interface is up and has carrier.
    Interface { interface: String },
    /// Exit status 0. Without a shell unless `shell`; then `argv` is one element for `/bin/sh -c`.
    Command { argv: Vec<String>, shell: bool, user: String },
    /// At least `minimum_count` processes run whose `comm` (or, with a slash, whose executable path) is `process`.
    Process { process: String, minimum_count: u32 },
    /// The file exists and, where given, its trimmed content equals `content`.
    File { path: PathBuf, content: Option<String> },
    /// A connection is accepted.
    Tcp { address: std::net::SocketAddr },
    /// A GET is answered with one of `status` (default 200 to 399) and, where given, a body that contains `body`.
    Http { url: String, status: Vec<u16>, body: Option<String> },
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
    /// Routers of others whose adverts count without a probe; of the router's family.
    pub trusted_sources: Vec<IpAddr>,
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
