//! The one way to packet memory: bounds-checked loads at any offset, in the shape that the verifier accepts, and parts
//! for what is read often or rewritten in place.
//!
//! Owns nothing and writes nothing. A [`Frame`] must be made anew after every helper that may move the packet.

use aya_ebpf::bindings::{__sk_buff, xdp_md};
use core::arch::asm;
use core::ptr;
use ha_common::wire::Buffer;

/// A program's context, which says where the packet lies.
pub trait Context: Copy {
    /// First byte, and the byte behind the linear part.
    fn bounds(self) -> (usize, usize);
}

/// Reads the bounds out of a context, anew each time: volatile, or the compiler would keep the old pointers.
macro_rules! context {
    ($type:ty) => {
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
        }
    };
}

context!(xdp_md);
context!(__sk_buff);

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
    fn anew(self) -> Self {
        Frame::of(self.ctx)
    }

    #[inline(always)]
    fn len(&self) -> usize {
        self.end - self.start
    }

    reads!();
}
