//! Names of programs, maps and load-time constants in the BPF object.

/// XDP entry, one instance per monitored interface.
pub const PROGRAM_INGRESS: &str = "holdfast_xdp";
/// TCX (or clsact) egress program, one instance per monitored interface.
pub const PROGRAM_EGRESS: &str = "holdfast_tcx";
/// XDP program that returns XDP_PASS: the baseline of benches and the far end of a lab's veth.
pub const PROGRAM_PASS: &str = "holdfast_pass";

/// Load-time constant: index of the interface in `LINKS` and `LINK_COUNTERS`.
pub const CONST_LINK_SLOT: &str = "LINK_SLOT";

/// `Array<Lease>`, one entry, written by the controller.
pub const LEASE: &str = "LEASE";
/// `Array<Settings>`, one entry, written by the controller.
pub const SETTINGS: &str = "SETTINGS";
/// `Array<LinkPolicy>`, by link slot, written by the controller.
pub const LINKS: &str = "LINKS";
/// `PerCpuArray<LinkCounters>`, by link slot, written by the data plane.
pub const LINK_COUNTERS: &str = "LINK_COUNTERS";
/// `HashMap<RouterKey, u32>`: the slot of a virtual router, written by the controller.
pub const ROUTER_SLOTS: &str = "ROUTER_SLOTS";
/// `Array<RouterPolicy>`, by router slot, written by the controller.
pub const ROUTER_POLICIES: &str = "ROUTER_POLICIES";
/// `Array<RouterState>`, by router slot, written by the data plane.
pub const ROUTER_STATES: &str = "ROUTER_STATES";
/// `Array<RouterVerdicts>`, by router slot, written by the data plane.
pub const ROUTER_VERDICTS: &str = "ROUTER_VERDICTS";
/// `Array<AdvertTemplate>`, by router slot, written by the controller.
pub const ADVERT_TEMPLATES: &str = "ADVERT_TEMPLATES";
/// `HashMap<SourceKey, u32>`: advert sources a restricted router listens to, written by the controller. The value is the
/// slot of the peer that must bear the advert out plus one, or 0 for a sender that is trusted without.
pub const ADVERT_SOURCES: &str = "ADVERT_SOURCES";
/// `HashMap<VipKey, u32>`: the slot of the router that a virtual address belongs to, written by the controller.
pub const VIPS: &str = "VIPS";
/// `Array<u64>`: bit set over hashed virtual addresses that spares transit frames the `VIPS` look-up.
pub const VIP_FILTER: &str = "VIP_FILTER";
/// `HashMap<[u8; 16], u32>`: addresses of this host (for `fence = "forwarding"`), written by the controller.
pub const LOCAL_ADDRESSES: &str = "LOCAL_ADDRESSES";
/// `PerCpuArray<u64>`, by `VerdictReason`, written by the data plane.
pub const VERDICTS: &str = "VERDICTS";
/// `Array<BypassLink>`, by link slot: which wire an interface is an end of, written by the bypass driver.
pub const BYPASS_LINKS: &str = "BYPASS_LINKS";
/// `Array<BypassPair>`, by position of the pair in the configuration, written by the bypass driver.
pub const BYPASS_PAIRS: &str = "BYPASS_PAIRS";
/// `DevMap`, by link slot: the port at the other end of an interface's wire, written by the bypass driver.
pub const BYPASS_PORTS: &str = "BYPASS_PORTS";
/// `RingBuf` of `AdvertEvent` records, written by the data plane.
pub const EVENTS: &str = "EVENTS";

/// `Array<NodePolicy>`, one entry, written by the controller.
pub const NODE: &str = "NODE";
/// `Array<NodeState>`, one entry, written by the data plane.
pub const NODE_STATE: &str = "NODE_STATE";
/// `Array<PeerPolicy>`, by peer slot, written by the controller.
pub const PEERS: &str = "PEERS";
/// `Array<PeerState>`, by peer slot, written by the data plane.
pub const PEER_STATES: &str = "PEER_STATES";
/// `HashMap<PathKey, u32>`: the slot of a path, written by the controller.
pub const PATH_SLOTS: &str = "PATH_SLOTS";
/// `Array<PathPolicy>`, by path slot, written by the controller.
pub const PATHS: &str = "PATHS";
/// `Array<PathState>`, by path slot, written by the data plane.
pub const PATH_STATES: &str = "PATH_STATES";

/// Every map, in the order of this file: all are pinned and shared by the program instances.
pub const ALL_MAPS: &[&str] = &[
    LEASE,
    SETTINGS,
    LINKS,
    LINK_COUNTERS,
    ROUTER_SLOTS,
    ROUTER_POLICIES,
    ROUTER_STATES,
    ROUTER_VERDICTS,
    ADVERT_TEMPLATES,
    ADVERT_SOURCES,
    VIPS,
    VIP_FILTER,
    LOCAL_ADDRESSES,
    VERDICTS,
    BYPASS_LINKS,
    BYPASS_PAIRS,
    BYPASS_PORTS,
    EVENTS,
    NODE,
    NODE_STATE,
    PEERS,
    PEER_STATES,
    PATH_SLOTS,
    PATHS,
    PATH_STATES,
];
