//! A virtual router as its maps show it, and the one definition of ownership.

use crate::maps::{LEASE, ROUTER_POLICIES, ROUTER_SLOTS, ROUTER_STATES, attach_ifindex};
use aya_ebpf::helpers::generated::bpf_ktime_get_boot_ns;
use ha_common::maps::{
    keys::RouterKey,
    values::{RouterPolicy, RouterState, role},
};

/// Boot clock, nanoseconds. Costs more than the rest of most paths: read once, and only where a router is concerned.
#[inline(always)]
pub fn now_ns() -> u64 {
    // SAFETY: the helper takes nothing and returns the clock.
    unsafe { bpf_ktime_get_boot_ns() }
}

/// Whether the controller's word still holds.
#[inline(always)]
pub fn lease_is_valid(now_ns: u64) -> bool {
    LEASE.get(0).is_some_and(|lease| now_ns < lease.until_ns)
}

/// No slot of any map.
pub const NO_SLOT: u32 = u32::MAX;

/// Slot of the router of a VRID on this interface and VLAN, or [`NO_SLOT`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn router_slot(vlan: u32, vrid: u8, family: u8) -> u32 {
    let key = RouterKey { ifindex: attach_ifindex(), vlan, vrid, family, reserved: [0; 2] };
    // SAFETY: the value is one word, which is read at once.
    unsafe { ROUTER_SLOTS.get(key) }.copied().unwrap_or(NO_SLOT)
}

/// One configured virtual router.
pub struct Router {
    pub slot: u32,
    pub policy: &'static RouterPolicy,
    pub state: *mut RouterState,
}

impl Router {
    /// The router in a slot that a map named.
    #[inline(always)]
    pub fn at(slot: u32) -> Option<Self> {
        let policy = ROUTER_POLICIES.get(slot)?;
        let state = ROUTER_STATES.get_ptr_mut(slot)?;
        Some(Router { slot, policy, state })
    }

    /// The router of a VRID on this interface and VLAN.
    #[inline(always)]
    pub fn find(vlan: u32, vrid: u8, family: u8) -> Option<Self> {
        Router::at(router_slot(vlan, vrid, family))
    }

    /// Whether this node owns the router now: the controller made it Active, no winner's advert has revoked that
    /// grant, and neither the lease nor the group's grant has ended.
    #[inline(always)]
    pub fn is_owned(&self, now_ns: u64) -> bool {
        // SAFETY: `state` is a valid map value.
        let revoked_epoch = unsafe { (*self.state).revoked_epoch };
        self.policy.role == role::ACTIVE
            && self.policy.epoch != 0
            && self.policy.epoch != revoked_epoch
            && now_ns < self.policy.grant_until_ns
            && lease_is_valid(now_ns)
    }

    /// Whether this node may speak and answer for the addresses at this moment: it owns the router and has said so. Between
    /// the grant and the first advert the owner before us still serves, and two answers to one request would be two owners.
    #[inline(always)]
    pub fn serves(&self) -> bool {
        router_serves(self.slot) != 0
    }
}

/// [`Router::serves`] of the router in a slot.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn router_serves(slot: u32) -> u32 {
    let serves = |router: Router| {
        // SAFETY: `state` is a valid map value.
        let last_sent_ns = unsafe { (*router.state).last_sent_ns };
        router.is_owned(now_ns()) && last_sent_ns >= router.policy.granted_at_ns
    };
    u32::from(Router::at(slot).is_some_and(serves))
}
