//! From an address to the virtual router it belongs to.
//!
//! Most addresses belong to none, so a bit set over a hash of the last four bytes answers first; it may say yes for an
//! address that is not virtual, never no for one that is.

use crate::{
    maps::{VIP_FILTER, VIPS, attach_ifindex},
    router::{NO_SLOT, Router},
};
use ha_common::{
    maps::keys::{VipKey, filter_bit},
    wire::ipv6,
};

const WORD_BITS: u32 = u64::BITS;

/// Whether an address with these last four bytes (big-endian) can be virtual.
#[inline(always)]
pub fn may_be_virtual(low_word: u32) -> bool {
    let bit = filter_bit(low_word);
    VIP_FILTER.get(bit / WORD_BITS).is_some_and(|word| word >> (bit % WORD_BITS) & 1 != 0)
}

/// The router that an address (IPv4 mapped) belongs to.
#[inline(always)]
pub fn router_of(address: ipv6::Words) -> Option<Router> {
    let [a, b, c, d] = address;
    let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    Router::at(vip_slot(pair(a, b), pair(c, d)))
}

/// Slot of the router of an address, given as two words that lie in memory as the address does; or [`NO_SLOT`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn vip_slot(first: u64, second: u64) -> u32 {
    let address = [first as u32, (first >> 32) as u32, second as u32, (second >> 32) as u32];
    let ifindex = if ipv6::is_link_local(&address) { attach_ifindex() } else { 0 };
    let key = VipKey { ifindex, address: ipv6::bytes(address) };
    // SAFETY: the value is one word, which is read at once.
    unsafe { VIPS.get(key) }.copied().unwrap_or(NO_SLOT)
}

/// The router that an IPv4 address, as a big-endian number, belongs to.
#[inline(always)]
pub fn router_of_v4(address: u32) -> Option<Router> {
    if may_be_virtual(address) { router_of(ipv6::mapped(address)) } else { None }
}
