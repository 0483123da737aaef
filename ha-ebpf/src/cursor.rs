//! The one way to packet memory: bounds-checked loads at any offset, in the shape that the verifier accepts, and parts
//! for what is read often or rewritten in place.
//!
//! Owns nothing and writes nothing. A [`Frame`] must be made anew after every helper that may move the packet.

use aya_ebpf::bindings::{__sk_buff, xdp_md};
use core::arch::asm;
use core::ptr;
use ha_common::wire::{Buffer, checksum};

/// A sum that no words have: the frame ends before the last of them.
const NO_SUM: u64 = u64::MAX;
/// Most words, or groups of four, that a sum is asked of.
const MAX_SUMMED: usize = 255;
/// Bound of the offsets that sums begin at: two tags, the longest IPv4 header and a VRRP header lie in front.
const SUM_BOUND: usize = 128;

/// A program's context, which says where the packet lies.
pub trait Context: Copy {
    /// First byte, and the byte behind the linear part.
    fn bounds(self) -> (usize, usize);

    /// As `Buffer::sum_words`.
    #[inline(always)]
    fn sum_words<const LIMIT: usize>(self, offset: usize, words: usize) -> Option<u64> {
        checksum::sum_words::<LIMIT, _>(Frame::of(self), offset, words)
    }

    /// As `Buffer::sum_quads`.
    #[inline(always)]
    fn sum_quads<const LIMIT: usize>(self, offset: usize, quads: usize) -> Option<u64> {
        checksum::sum_quads::<LIMIT, _>(Frame::of(self), offset, quads)
    }
}

/// Reads the bounds out of a context, anew each time: volatile, or the compiler would keep the old pointers.
macro_rules! context {
    ($type:ty { $($sums:item)* }) => {
        impl Context for *mut $type {
            #[inline(always)]
            fn bounds(self) -> (usize, usize) {
                // SAFETY: the context is the kernel's and outlives the program's run.
                unsafe {
                    let start = ptr::read_volatile(&raw const (*self).data);
                    let end = ptr::read_volatile(&raw const (*self).data_end);
                    (start as usize, end as usize)
                }
            }

            $($sums)*
        }
    };
}

context!(xdp_md {
    #[inline(always)]
    fn sum_words<const LIMIT: usize>(self, offset: usize, words: usize) -> Option<u64> {
        const { assert!(LIMIT <= MAX_SUMMED) };
        let sum = frame_sum_words(self, offset, words);
        (sum != NO_SUM).then_some(sum)
    }

    #[inline(always)]
    fn sum_quads<const LIMIT: usize>(self, offset: usize, quads: usize) -> Option<u64> {
        const { assert!(LIMIT <= MAX_SUMMED) };
        let sum = frame_sum_quads(self, offset, quads);
        (sum != NO_SUM).then_some(sum)
    }
});
context!(__sk_buff {});

/// Sum of up to [`MAX_SUMMED`] words of the frame, or [`NO_SUM`]. The verifier follows the loop once, and not every turn that it
/// can end with into what comes behind it.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn frame_sum_words(ctx: *mut xdp_md, offset: usize, words: usize) -> u64 {
    checksum::sum_words::<MAX_SUMMED, _>(XdpFrame::of(ctx), below::<SUM_BOUND>(offset), words)
        .unwrap_or(NO_SUM)
}

/// As [`frame_sum_words`], of groups of four words.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn frame_sum_quads(ctx: *mut xdp_md, offset: usize, quads: usize) -> u64 {
    checksum::sum_quads::<MAX_SUMMED, _>(XdpFrame::of(ctx), below::<SUM_BOUND>(offset), quads)
        .unwrap_or(NO_SUM)
}

/// The linear part of a frame.
#[derive(Clone, Copy)]
pub struct Frame<C> {
    ctx: C,
    start: usize,
    end: usize,
}

/// A received frame.
pub type XdpFrame = Frame<*mut xdp_md>;
/// A frame about to leave.
pub type TcFrame = Frame<*mut __sk_buff>;

/// Hides a pointer's origin from the compiler, so that the checked register is also the one that is loaded from. The
/// verifier grants access to that register, not to another sum of the same terms.
#[inline(always)]
fn opaque(mut pointer: usize) -> usize {
    // SAFETY: the register keeps its value. It must be a real instruction: without one the line information would
    // name one offset twice, which the kernel refuses.
    unsafe { asm!("{0} = {0}", inout(reg) pointer, options(pure, nomem, nostack, preserves_flags)) };
    pointer
}

/// `value`, of which the verifier afterwards knows that it is less than `BOUND`, a power of two: what is above is cut off.
#[inline(always)]
pub fn below<const BOUND: usize>(value: usize) -> usize {
    const { assert!(BOUND.is_power_of_two()) };
    let mut bounded = value;
    // SAFETY: touches its own register only.
    unsafe {
        asm!("{value} &= {mask}", value = inout(reg) bounded, mask = const BOUND - 1, options(pure, nomem, nostack));
    }
    bounded
}

impl<C: Context> Frame<C> {
    #[inline(always)]
    pub fn of(ctx: C) -> Self {
        let (start, end) = ctx.bounds();
        Frame { ctx, start, end }
    }

    #[inline(always)]
    fn read<T: Copy>(&self, offset: usize) -> Option<T> {
        let at = opaque(self.start + offset);
        if at + size_of::<T>() > self.end {
            return None;
        }
        // SAFETY: inside the packet, as just checked. The load may be unaligned, which BPF programs may do on every
        // architecture that sets HAVE_EFFICIENT_UNALIGNED_ACCESS; `read_unaligned` would go byte by byte.
        Some(unsafe { *(at as *const T) })
    }
}

impl XdpFrame {
    /// The `LENGTH` bytes from `offset` on.
    #[inline(always)]
    pub fn part<const LENGTH: usize>(&self, offset: usize) -> Option<Part<LENGTH>> {
        let at = opaque(self.start + offset);
        (at + LENGTH <= self.end).then_some(Part(at))
    }
}

/// A part of a packet whose bounds have been checked once: a read at an offset that is a constant costs one instruction.
#[derive(Clone, Copy)]
pub struct Part<const LENGTH: usize>(usize);

impl<const LENGTH: usize> Part<LENGTH> {
    /// Where a `T` at `offset` lies, to be read and written in place.
    #[inline(always)]
    pub fn pointer<T>(&self, offset: usize) -> Option<*mut T> {
        (offset + size_of::<T>() <= LENGTH).then_some((self.0 + offset) as *mut T)
    }

    #[inline(always)]
    fn read<T: Copy>(&self, offset: usize) -> Option<T> {
        // SAFETY: inside the packet, by `XdpFrame::part`; unaligned as in `Frame::read`.
        self.pointer::<T>(offset).map(|at| unsafe { *at })
    }
}

/// The reads that a frame and its parts share.
macro_rules! reads {
    () => {
        #[inline(always)]
        fn u8(&self, offset: usize) -> Option<u8> {
            self.read(offset)
        }

        #[inline(always)]
        fn be16(&self, offset: usize) -> Option<u16> {
            self.read(offset).map(u16::from_be)
        }

        #[inline(always)]
        fn be32(&self, offset: usize) -> Option<u32> {
            self.read(offset).map(u32::from_be)
        }

        #[inline(always)]
        fn ne32(&self, offset: usize) -> Option<u32> {
            self.read(offset)
        }

        #[inline(always)]
        fn words(&self, offset: usize) -> Option<[u32; 4]> {
            self.read(offset)
        }
    };
}

impl<const LENGTH: usize> Buffer for Part<LENGTH> {
    #[inline(always)]
    fn len(&self) -> usize {
        LENGTH
    }

    reads!();
}

impl<C: Context> Buffer for Frame<C> {
    #[inline(always)]
    fn sum_words<const LIMIT: usize>(self, offset: usize, words: usize) -> Option<u64> {
        self.ctx.sum_words::<LIMIT>(offset, words)
    }

    #[inline(always)]
    fn sum_quads<const LIMIT: usize>(self, offset: usize, quads: usize) -> Option<u64> {
        self.ctx.sum_quads::<LIMIT>(offset, quads)
    }

    #[inline(always)]
    fn len(&self) -> usize {
        self.end - self.start
    }

    reads!();
}
