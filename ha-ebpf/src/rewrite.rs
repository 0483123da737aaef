//! Turns a received frame into our advert, from the template that the controller wrote.

use aya_ebpf::{
    bindings::xdp_md,
    helpers::generated::{bpf_xdp_adjust_tail, bpf_xdp_get_buff_len, bpf_xdp_store_bytes},
};
use core::{arch::asm, ptr};
use ha_common::{
    maps::values::{AdvertTemplate, MAX_ADVERT_FRAME},
    wire::{
        ethernet::{ADDRESSES_LENGTH, HEADER_LENGTH},
        vlan::TAG_LENGTH,
    },
};

const MIN_BODY: u64 = (HEADER_LENGTH - ADDRESSES_LENGTH) as u64;
const MAX_BODY: u64 = (MAX_ADVERT_FRAME - ADDRESSES_LENGTH) as u64;
/// No body: shorter than the shortest.
const OUT_OF_BOUNDS: u64 = 0;

/// Bytes of the whole frame, fragments included.
#[inline(always)]
pub fn frame_length(ctx: *mut xdp_md) -> u64 {
    // SAFETY: `ctx` is the program's context.
    unsafe { bpf_xdp_get_buff_len(ctx) }
}

/// `body`, or [`OUT_OF_BOUNDS`] unless it lies between `MIN_BODY` and `MAX_BODY`.
///
/// The result is a new value to the compiler, so what it keeps on the stack is bounded already. A verifier as old as
/// that of Linux 6.1 does not carry a later comparison over to a copy on the stack.
#[inline(always)]
fn bounded(body: u64) -> u64 {
    let mut bounded = body;
    // SAFETY: touches its own registers only.
    unsafe {
        asm!(
            "if {body} < {least} goto +1",
            "if {body} <= {most} goto +1",
            "{body} = {out}",
            body = inout(reg) bounded,
            least = const MIN_BODY,
            most = const MAX_BODY,
            out = const OUT_OF_BOUNDS,
            options(pure, nomem, nostack),
        );
    }
    bounded
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
    let body = bounded(u64::from(length).wrapping_sub(ADDRESSES_LENGTH as u64));
    if body == OUT_OF_BOUNDS {
        return None;
    }
    let tags_length = (tags * TAG_LENGTH) as u64;
    let new_length = body + tags_length + ADDRESSES_LENGTH as u64;
    let delta = new_length as i64 - frame_length(ctx) as i64;
    // SAFETY: the helpers check the frame's bounds; the sources are parts of one map value.
    unsafe {
        let frame = (&raw const (*template).frame).cast::<u8>().cast_mut();
        if bpf_xdp_adjust_tail(ctx, delta as i32) != 0 {
            return None;
        }
        let body_at = ADDRESSES_LENGTH as u32 + tags_length as u32;
        let addresses = bpf_xdp_store_bytes(ctx, 0, frame.cast(), ADDRESSES_LENGTH as u32);
        let rest = bpf_xdp_store_bytes(ctx, body_at, frame.add(ADDRESSES_LENGTH).cast(), body as u32);
        (addresses == 0 && rest == 0).then_some(new_length)
    }
}
