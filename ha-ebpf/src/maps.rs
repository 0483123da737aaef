//! The maps, under the names and with the types that `ha_common::maps::names` documents.
//!
//! The controller pins them by name (`EbpfLoader::map_pin_path`), so none is declared pinned here and the object
//! can be loaded unpinned by tests.

use aya_ebpf::{
    Global,
    macros::map,
    maps::{Array, DevMap, HashMap, PerCpuArray, RingBuf},
};
use ha_common::{
    maps::{
        keys::{RouterKey, SourceKey, VIP_FILTER_WORDS, VipKey},
        peers::{
            MAX_PATHS, MAX_PEERS, NodePolicy, NodeState, PathKey, PathPolicy, PathState, PeerPolicy,
            PeerState,
        },
        values::{
            AdvertTemplate, BypassLink, BypassPair, Lease, LinkCounters, LinkPolicy, MAX_LINK_PAIRS,
            MAX_LINKS, MAX_ROUTERS, MAX_VIPS, RouterPolicy, RouterState, RouterVerdicts, Settings, fence,
        },
    },
    verdict_reasons::REASON_SLOTS,
};

/// Bytes of the event ring: a power of two and a multiple of the page size; about 4,000 records.
const EVENT_RING_BYTES: u32 = 256 * 1024;
/// Most addresses of this host that `fence = "forwarding"` knows.
const MAX_LOCAL_ADDRESSES: u32 = 4096;
/// Most trusted advert senders of all routers together.
const MAX_ADVERT_SOURCES: u32 = 16384;

/// Index of this program's interface in `LINKS` and `LINK_COUNTERS`; set by the loader before the program is loaded.
#[unsafe(no_mangle)]
static LINK_SLOT: Global<u32> = Global::new(0);

#[map]
pub static LEASE: Array<Lease> = Array::with_max_entries(1, 0);
#[map]
pub static SETTINGS: Array<Settings> = Array::with_max_entries(1, 0);
#[map]
pub static LINKS: Array<LinkPolicy> = Array::with_max_entries(MAX_LINKS, 0);
#[map]
pub static LINK_COUNTERS: PerCpuArray<LinkCounters> = PerCpuArray::with_max_entries(MAX_LINKS, 0);
#[map]
pub static ROUTER_SLOTS: HashMap<RouterKey, u32> = HashMap::with_max_entries(MAX_ROUTERS, 0);
#[map]
pub static ROUTER_POLICIES: Array<RouterPolicy> = Array::with_max_entries(MAX_ROUTERS, 0);
#[map]
pub static ROUTER_STATES: Array<RouterState> = Array::with_max_entries(MAX_ROUTERS, 0);
#[map]
pub static ROUTER_VERDICTS: Array<RouterVerdicts> = Array::with_max_entries(MAX_ROUTERS, 0);
#[map]
pub static ADVERT_TEMPLATES: Array<AdvertTemplate> = Array::with_max_entries(MAX_ROUTERS, 0);
#[map]
pub static ADVERT_SOURCES: HashMap<SourceKey, u32> = HashMap::with_max_entries(MAX_ADVERT_SOURCES, 0);
#[map]
pub static VIPS: HashMap<VipKey, u32> = HashMap::with_max_entries(MAX_VIPS, 0);
#[map]
pub static VIP_FILTER: Array<u64> = Array::with_max_entries(VIP_FILTER_WORDS, 0);
#[map]
pub static LOCAL_ADDRESSES: HashMap<[u8; 16], u32> = HashMap::with_max_entries(MAX_LOCAL_ADDRESSES, 0);
#[map]
pub static VERDICTS: PerCpuArray<u64> = PerCpuArray::with_max_entries(REASON_SLOTS as u32, 0);
#[map]
pub static BYPASS_LINKS: Array<BypassLink> = Array::with_max_entries(MAX_LINKS, 0);
#[map]
pub static BYPASS_PAIRS: Array<BypassPair> = Array::with_max_entries(MAX_LINK_PAIRS, 0);
#[map]
pub static BYPASS_PORTS: DevMap = DevMap::with_max_entries(MAX_LINKS, 0);
#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(EVENT_RING_BYTES, 0);

#[map]
pub static NODE: Array<NodePolicy> = Array::with_max_entries(1, 0);
#[map]
pub static NODE_STATE: Array<NodeState> = Array::with_max_entries(1, 0);
#[map]
pub static PEERS: Array<PeerPolicy> = Array::with_max_entries(MAX_PEERS, 0);
#[map]
pub static PEER_STATES: Array<PeerState> = Array::with_max_entries(MAX_PEERS, 0);
#[map]
pub static PATH_SLOTS: HashMap<PathKey, u32> = HashMap::with_max_entries(MAX_PATHS, 0);
#[map]
pub static PATHS: Array<PathPolicy> = Array::with_max_entries(MAX_PATHS, 0);
#[map]
pub static PATH_STATES: Array<PathState> = Array::with_max_entries(MAX_PATHS, 0);

/// Slot of the interface this program instance is attached to.
#[inline(always)]
pub fn link_slot() -> u32 {
    LINK_SLOT.load()
}

/// What the controller says about that interface.
#[inline(always)]
pub fn link() -> Option<&'static LinkPolicy> {
    LINKS.get(link_slot())
}

/// The interface this program instance is attached to; 0 before the controller has said so.
#[inline(always)]
pub fn attach_ifindex() -> u32 {
    link().map_or(0, |link| link.ifindex)
}

/// One of `ha_common::maps::values::fence`.
#[inline(always)]
pub fn fence_mode() -> u32 {
    SETTINGS.get(0).map_or(fence::NONE, |settings| settings.fence)
}

/// What the controller says about this node.
#[inline(always)]
pub fn node() -> Option<&'static NodePolicy> {
    NODE.get(0)
}
