//! Turns a received frame into our advert, from the template that the controller wrote.

use aya_ebpf::{
    bindings::xdp_md,
    check_bounds_signed,
    helpers::generated::{bpf_xdp_adjust_tail, bpf_xdp_get_buff_len, bpf_xdp_store_bytes},
};
use core::ptr;
use ha_common::{
    maps::values::{AdvertTemplate, MAX_ADVERT_FRAME},
    wire::{
        ethernet::{ADDRESSES_LENGTH, HEADER_LENGTH},
        vlan::TAG_LENGTH,
    },
};

const MIN_BODY: i64 = (HEADER_LENGTH - ADDRESSES_LENGTH) as i64;
const MAX_BODY: i64 = (MAX_ADVERT_FRAME - ADDRESSES_LENGTH) as i64;

/// Bytes of the whole frame, fragments included.
#[inline(always)]
pub fn frame_length(ctx: *mut xdp_md) -> u64 {
    // SAFETY: `ctx` is the program's context.
    unsafe { bpf_xdp_get_buff_len(ctx) }
}

/// Replaces the frame by the template, keeping its `tags` VLAN tags. Returns the length of the new frame; `None` means
/// that it cannot be sent: there is no template, or the frame could not be resized.
///
/// Packet pointers made before are void afterwards.
#[inline(always)]
pub fn into_answer(ctx: *mut xdp_md, template: *const AdvertTemplate, tags: usize) -> Option<u64> {
    // SAFETY: `template` is a valid map value. Read once: the bounds must be those of the value that is used.
    let length = unsafe { ptr::read_volatile(&raw const (*template).length) };
    // What follows the addresses; the addresses go in front of the tags.
    let body = i64::from(length) - ADDRESSES_LENGTH as i64;
    if !check_bounds_signed(body, MIN_BODY, MAX_BODY) {
        return None;
    }
    let tags_length = (tags * TAG_LENGTH) as i64;
    let new_length = body + tags_length + ADDRESSES_LENGTH as i64;
    let delta = new_length - frame_length(ctx) as i64;
    // SAFETY: the helpers check the frame's bounds; the sources are parts of one map value.
    unsafe {
        let frame = (&raw const (*template).frame).cast::<u8>().cast_mut();
        if bpf_xdp_adjust_tail(ctx, delta as i32) != 0 {
            return None;
        }
        let body_at = ADDRESSES_LENGTH as u32 + tags_length as u32;
        let addresses = bpf_xdp_store_bytes(ctx, 0, frame.cast(), ADDRESSES_LENGTH as u32);
        let rest = bpf_xdp_store_bytes(ctx, body_at, frame.add(ADDRESSES_LENGTH).cast(), body as u32);
        (addresses == 0 && rest == 0).then_some(new_length as u64)
    }
}
