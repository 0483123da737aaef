//! Traffic and verdict counters. Writers of `LINK_COUNTERS` and `VERDICTS`; per CPU, so that no add needs a lock.

use crate::maps::{LINK_COUNTERS, link_slot};

/// Counts one frame that came in.
#[inline(always)]
pub fn received(bytes: u64) {
    if let Some(counters) = LINK_COUNTERS.get_ptr_mut(link_slot()) {
        // SAFETY: a valid map value of this CPU; XDP does not run twice at once on one CPU for one map slot.
        unsafe {
            (*counters).rx_packets += 1;
            (*counters).rx_bytes += bytes;
        }
    }
}

/// Counts one frame that goes out.
#[inline(always)]
pub fn sent(bytes: u64) {
    if let Some(counters) = LINK_COUNTERS.get_ptr_mut(link_slot()) {
        // SAFETY: as in `received`.
        unsafe {
            (*counters).tx_packets += 1;
            (*counters).tx_bytes += bytes;
        }
    }
}
