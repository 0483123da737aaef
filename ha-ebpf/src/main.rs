//! Entry points of the data plane. What happens to a frame is decided by `classify` (ingress) and `egress`, and turned
//! into a return code by `outcome`.
//!
//! What is `extern "C"` and keeps its name is a function of its own to the kernel's verifier too: looked at once, for every
//! number that its arguments can be, whoever calls it. Without that, the paths through a frame's headers multiply with
//! those behind them. Such a function proves the bounds of its arguments itself (`cursor::below`). Three levels of calls
//! may use 512 bytes of stack, of which Linux before 6.9 gives each level a multiple of 32.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod bypass;
mod classify;
mod count;
mod cursor;
mod egress;
mod fence;
mod maps;
mod outcome;
mod peers;
mod probe;
mod probe_answer;
mod report;
mod rewrite;
mod router;
mod trust;
mod vips;
mod vrrp;

use aya_ebpf::{
    bindings::xdp_action,
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};

/// Ingress of a monitored interface.
#[xdp(frags)]
pub fn holdfast_xdp(ctx: XdpContext) -> u32 {
    count::received((ctx.data_end() - ctx.data()) as u64);
    classify::ingress(&ctx).conclude_xdp()
}

/// Egress of a monitored interface.
#[classifier]
pub fn holdfast_tcx(ctx: TcContext) -> i32 {
    count::sent(u64::from(ctx.len()));
    egress::egress(&ctx).conclude_tc()
}

/// Passes everything: the baseline of benches and the far end of a lab's veth.
#[xdp(frags)]
pub fn holdfast_pass(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}

/// The kernel refuses some helpers to programs that are not GPL-compatible.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
