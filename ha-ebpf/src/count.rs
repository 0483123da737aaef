//! Traffic and verdict counters: the only writer of `LINK_COUNTERS`, `VERDICTS` and `ROUTER_VERDICTS`.
//!
//! The first two are per CPU and need no lock; per-router counters are shared and added to atomically.

use crate::{
    cursor::below,
    maps::{LINK_COUNTERS, ROUTER_VERDICTS, VERDICTS, link_slot},
};
use core::arch::asm;
use ha_common::{
    maps::values::checksum_form,
    ring_events::event_flag,
    verdict_reasons::{REASON_SLOTS, VerdictReason},
    wire::vrrp::Advert,
};

/// Counts one frame that came in, and the bytes of its linear part.
#[inline(always)]
pub fn received(bytes: u64) {
    if let Some(counters) = LINK_COUNTERS.get_ptr_mut(link_slot()) {
        // SAFETY: a valid map value that only this CPU writes.
        unsafe {
            (*counters).rx_packets += 1;
            (*counters).rx_bytes += bytes;
        }
    }
}

/// Counts the bytes of a received frame that lie beyond its linear part.
#[inline(always)]
pub fn received_beyond(bytes: u64) {
    if let Some(counters) = LINK_COUNTERS.get_ptr_mut(link_slot()) {
        // SAFETY: a valid map value that only this CPU writes.
        unsafe { (*counters).rx_bytes += bytes };
    }
}

/// Counts one frame that goes out.
#[inline(always)]
pub fn sent(bytes: u64) {
    sent_by(link_slot(), bytes);
}

/// Counts one frame that goes out of the interface in `slot`, whose own egress program does not see it.
#[inline(always)]
pub fn sent_by(slot: u32, bytes: u64) {
    if let Some(counters) = LINK_COUNTERS.get_ptr_mut(slot) {
        // SAFETY: a valid map value that only this CPU writes.
        unsafe {
            (*counters).tx_packets += 1;
            (*counters).tx_bytes += bytes;
        }
    }
}

/// Counts a verdict of the whole data plane; `reason` is the number of a `VerdictReason`.
#[inline(always)]
pub fn verdict(reason: u32) {
    if let Some(counter) = VERDICTS.get_ptr_mut(reason) {
        // SAFETY: a valid map value that only this CPU writes.
        unsafe { *counter += 1 };
    }
}

/// Counts a verdict for the router it concerns; [`verdict`] is counted apart, once, where the outcome is concluded.
#[inline(always)]
pub fn router_verdict(router: u32, reason: VerdictReason) {
    count_for_router(router, reason as u32);
}

/// Counts an advisory in both places.
#[inline(always)]
pub fn advisory(router: u32, reason: VerdictReason) {
    count_advisory(router, reason as u32);
}

/// Returns nothing of worth: the verifier wants a number from every function of its own.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn count_for_router(router: u32, reason: u32) -> u32 {
    if let Some(verdicts) = ROUTER_VERDICTS.get_ptr_mut(router) {
        // SAFETY: a valid map value, in which the counter lies.
        unsafe {
            add((&raw mut (*verdicts).counts).cast::<u64>().add(below::<REASON_SLOTS>(reason as usize)))
        };
    }
    0
}

/// As [`count_for_router`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn count_advisory(router: u32, reason: u32) -> u32 {
    verdict(reason);
    count_for_router(router, reason)
}

/// Counts what is worth a note in an accepted advert.
#[inline(always)]
pub fn notes(router: u32, advert: &Advert) {
    if advert.flags & event_flag::ADDRESSES_DIFFER != 0 {
        advisory(router, VerdictReason::NoteAddressesDiffer);
    }
    if advert.flags & event_flag::INTERVAL_DIFFERS != 0 {
        advisory(router, VerdictReason::NoteIntervalDiffers);
    }
    if advert.flags & event_flag::TRAILING_BYTES != 0 {
        advisory(router, VerdictReason::NoteTrailingBytes);
    }
    if advert.flags & event_flag::FIRST_NOT_LINK_LOCAL != 0 {
        advisory(router, VerdictReason::NoteFirstNotLinkLocal);
    }
    if advert.checksum == checksum_form::RFC5798 {
        advisory(router, VerdictReason::NoteLegacyChecksum);
    }
}

/// Adds one to a counter that several CPUs write.
///
/// # Safety
/// `counter` must point into a map value, aligned to eight bytes.
#[inline(always)]
pub unsafe fn add(counter: *mut u64) {
    // SAFETY: the caller's promise; an atomic add of the BPF instruction set. `core` has none for this target.
    unsafe { asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) counter, in(reg) 1_u64, options(nostack)) };
}

/// Sets bits in a word that several CPUs write.
///
/// # Safety
/// As [`add`].
#[inline(always)]
pub unsafe fn set_bits(word: *mut u64, bits: u64) {
    // SAFETY: the caller's promise.
    unsafe { asm!("lock *(u64 *)({0} + 0) |= {1}", in(reg) word, in(reg) bits, options(nostack)) };
}

/// Puts `new` in the place of `expected`, unless another CPU was there first; returns whether it did.
///
/// # Safety
/// As [`add`].
#[inline(always)]
pub unsafe fn exchange(word: *mut u64, expected: u64, new: u64) -> bool {
    let mut found = expected;
    // SAFETY: the caller's promise; the instruction compares with register 0 and leaves there what it found.
    unsafe {
        asm!(
            "r0 = cmpxchg_64({word} + 0, r0, {new})",
            word = in(reg) word,
            new = in(reg) new,
            inout("r0") found,
            options(nostack),
        );
    }
    found == expected
}
