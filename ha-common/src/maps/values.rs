//! Values of the maps.
//!
//! Each begins with a `Head` (layout version and size) where it is pinned and versioned as a whole, holds no `bool`,
//! `enum` or `Option`, and has explicit padding, so that both sides and a later version read the same bytes.
//! All instants are boot-clock nanoseconds (`CLOCK_BOOTTIME`, `bpf_ktime_get_boot_ns`).

use super::layout::LAYOUT_VERSION;

/// Most interfaces one daemon monitors.
pub const MAX_LINKS: u32 = 64;
/// Most link pairs one daemon bypasses: each has two interfaces of its own.
pub const MAX_LINK_PAIRS: u32 = MAX_LINKS / 2;
/// Most virtual routers one daemon carries.
pub const MAX_ROUTERS: u32 = 2048;
/// Most virtual addresses of all routers together.
pub const MAX_VIPS: u32 = 16384;
/// Longest advert frame: 255 IPv4 addresses over Ethernet need 1,062 bytes, 90 IPv6 addresses 1,502.
pub const MAX_ADVERT_FRAME: usize = 1514;

/// First word of a versioned map value.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct Head {
    pub version: u16,
    pub size: u16,
}

impl Head {
    /// Head of a value of type `T` in the layout this code was built with.
    pub const fn of<T>() -> Self {
        Head { version: LAYOUT_VERSION, size: size_of::<T>() as u16 }
    }
}

/// The controller's lease: past it, this node owns nothing.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    pub head: Head,
    pub reserved: u32,
    /// Boot-clock instant at which the controller's word ends.
    pub until_ns: u64,
}

/// Values of [`Settings::fence`].
pub mod fence {
    pub const NONE: u32 = 0;
    pub const VIP: u32 = 1;
    pub const FORWARDING: u32 = 2;
}

/// Settings of the whole data plane.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub head: Head,
    /// One of [`fence`].
    pub fence: u32,
}

/// What the controller says about an interface.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct LinkPolicy {
    pub head: Head,
    pub ifindex: u32,
    /// Virtual routers configured here.
    pub routers: u32,
    /// Virtual routers here that this node owns; transit passes under `fence = "forwarding"` while it is not 0.
    pub owned: u32,
    pub mac: [u8; 6],
    pub reserved: [u8; 2],
}

/// Bits of [`BypassLink::flags`].
pub mod bypass_flag {
    /// The interface is an end of the wire `BypassLink::pair`.
    pub const PAIRED: u32 = 1;
}

/// The wire that an interface is an end of.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BypassLink {
    pub head: Head,
    /// Bits of [`bypass_flag`].
    pub flags: u32,
    /// The interface this was written for: a slot can get another one.
    pub ifindex: u32,
    /// Index in `BYPASS_PAIRS`.
    pub pair: u32,
    /// Link slot of the port at the other end, for its counters.
    pub partner_slot: u32,
}

/// State of a wire, for both directions at once.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BypassPair {
    pub head: Head,
    /// Not 0: engaged by order.
    pub engaged: u32,
    /// Not 0: engaged also while the lease has ended.
    pub on_controller_loss: u32,
}

/// Traffic of one interface on one CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkCounters {
    pub rx_packets: u64,
    pub rx_bytes: u64,
    pub tx_packets: u64,
    pub tx_bytes: u64,
}

/// Values of [`RouterPolicy::role`].
pub mod role {
    /// Adverts have no effect and nothing is answered (RFC 9568 section 6.4.1).
    pub const INITIALIZE: u8 = 0;
    pub const BACKUP: u8 = 1;
    /// The controller holds the router Active; ownership also needs the lease and an unrevoked epoch.
    pub const ACTIVE: u8 = 2;
}

/// Bits of [`RouterPolicy::flags`].
pub mod flag {
    /// A Backup ignores adverts of lower priority (Preempt_Mode, with any preempt delay over).
    pub const PREEMPT: u16 = 1;
    /// Packets to the virtual addresses are for this host to accept (Accept_Mode, or the address owner).
    pub const ACCEPT: u16 = 1 << 1;
    /// The router's frames carry 00:00:5e:00:01/02:VRID.
    pub const VIRTUAL_MAC: u16 = 1 << 2;
    /// Adverts go to and come from listed unicast peers instead of the group.
    pub const UNICAST: u16 = 1 << 3;
    /// Only senders in `ADVERT_SOURCES` are listened to.
    pub const RESTRICTED_SOURCES: u16 = 1 << 4;
    /// Discard IPv6 adverts whose first address is not link-local (EID 8300).
    pub const STRICT: u16 = 1 << 5;
    /// Adverts of a peer count only if an authenticated message of that peer bears them out.
    pub const CORROBORATE: u16 = 1 << 6;
}

/// Values of [`RouterPolicy::checksum`], [`RouterState::heard_checksum`] and of `AdvertEvent::checksum`.
pub mod checksum_form {
    /// Accept either form (policy), or not applicable: VRRPv2 and IPv6 have one form (heard).
    pub const ANY: u8 = 0;
    /// VRRPv3 over IPv4 without pseudo-header (RFC 9568 section 5.2.8).
    pub const RFC9568: u8 = 1;
    /// VRRPv3 over IPv4 with pseudo-header (RFC 5798 as keepalived and FRR read it).
    pub const RFC5798: u8 = 2;
}

/// What the controller says about a virtual router. The router is owned while `role` is Active, `epoch` is not
/// revoked and the clock is before both `Lease::until_ns` and `grant_until_ns`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RouterPolicy {
    pub head: Head,
    /// Attach interface.
    pub ifindex: u32,
    /// Number of the present grant; rises with each one and never repeats, so a revocation cannot hit a later grant.
    pub epoch: u64,
    /// When the epoch was granted.
    pub granted_at_ns: u64,
    /// End of the group's own grant; `u64::MAX` where election alone decides.
    pub grant_until_ns: u64,
    /// Our own Advertisement_Interval.
    pub interval_ns: u64,
    /// Sum of the 32-bit words of the configured addresses as they lie in memory: differs if the lists differ,
    /// whatever their order.
    pub addresses_sum: u64,
    /// Source address of our adverts, network byte order, IPv4 mapped; zero while there is none.
    pub source: [u8; 16],
    /// VLAN as in `RouterKey::vlan`.
    pub vlan: u32,
    /// Immediate adverts allowed per own interval (V-107).
    pub answers_per_interval: u32,
    pub flags: u16,
    pub vrid: u8,
    /// 4 or 6.
    pub family: u8,
    /// VRRP version, 2 or 3.
    pub version: u8,
    pub role: u8,
    /// Effective priority; 0 while releasing, so that every other advert wins.
    pub priority: u8,
    /// One of [`checksum_form`]: the form adverts must have.
    pub checksum: u8,
    pub address_count: u8,
    /// Bit of this router's sync unit in probes, or `peers::NO_UNIT`.
    pub unit: u8,
    pub reserved: [u8; 2],
    /// Changes with every change of role or preemption: the first advert judged under a new one is reported even if
    /// nothing else about it changed, so that the election learns the owner and its interval.
    pub generation: u32,
}

/// What the data plane knows about a virtual router.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RouterState {
    pub head: Head,
    /// VRRPv3: centiseconds; VRRPv2: seconds; as last heard.
    pub heard_interval: u16,
    pub heard_priority: u8,
    /// One of [`checksum_form`].
    pub heard_checksum: u8,
    /// `event_flag` bits of the last valid advert's content.
    pub heard_flags: u16,
    pub reserved: u16,
    /// `RouterPolicy::generation` under which the last valid advert was judged.
    pub heard_generation: u32,
    /// Grant that a rightful winner's advert ended; ownership is gone while it equals `RouterPolicy::epoch`.
    pub revoked_epoch: u64,
    pub revoked_at_ns: u64,
    /// Last valid advert that restarts a Backup's Active_Down_Timer.
    pub last_advert_ns: u64,
    /// Last scheduled advert of ours that passed the egress program.
    pub last_sent_ns: u64,
    /// Sender of the last valid advert, network byte order, IPv4 mapped.
    pub heard_source: [u8; 16],
    pub answer_window_began_ns: u64,
    /// Losing adverts in the running window, answered or not.
    pub answers_in_window: u64,
    /// Valid adverts (RFC 6527 RcvdAdvertisements).
    pub adverts_received: u64,
    /// Scheduled and immediate adverts that left through the egress program.
    pub adverts_sent: u64,
    /// Losing adverts answered by XDP_TX.
    pub adverts_answered: u64,
    pub priority_zero_received: u64,
    pub priority_zero_sent: u64,
    /// Adverts in a peer's name that nothing authenticated bore out.
    pub uncorroborated: u64,
    /// When the controller was last told of one.
    pub uncorroborated_told_ns: u64,
}

/// Per-router verdict counters, indexed by `VerdictReason`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RouterVerdicts {
    pub counts: [u64; crate::verdict_reasons::REASON_SLOTS],
}

/// Our advert as a complete untagged Ethernet frame, for the immediate answer in XDP (V-105).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct AdvertTemplate {
    pub head: Head,
    /// Bytes of `frame` in use; 0 means that userspace answers.
    pub length: u32,
    pub frame: [u8; MAX_ADVERT_FRAME],
    pub reserved: [u8; 6],
}

impl Default for RouterState {
    fn default() -> Self {
        // SAFETY: every field is an integer or an array of integers, for which zero is a value.
        unsafe { core::mem::zeroed() }
    }
}

#[cfg(feature = "user")]
mod pod {
    use super::super::keys::{RouterKey, SourceKey, VipKey};
    use super::*;

    macro_rules! pod {
        ($($type:ty),* $(,)?) => {$(
            // SAFETY: `repr(C)`, integers only, no padding (asserted in `layout`), any bit pattern is valid.
            unsafe impl aya::Pod for $type {}
        )*};
    }

    pod!(
        RouterKey,
        SourceKey,
        VipKey,
        Lease,
        Settings,
        LinkPolicy,
        BypassLink,
        BypassPair,
        LinkCounters,
        RouterPolicy,
        RouterState,
        RouterVerdicts,
        AdvertTemplate,
    );
}
