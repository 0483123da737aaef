//! Entry points of the data plane.

#![no_std]
#![no_main]

mod count;
mod maps;

use aya_ebpf::{
    bindings::xdp_action,
    helpers::bpf_xdp_get_buff_len,
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};

/// Ingress of a monitored interface.
#[xdp(frags)]
pub fn holdfast_xdp(ctx: XdpContext) -> u32 {
    // SAFETY: the context is the kernel's.
    count::received(unsafe { bpf_xdp_get_buff_len(ctx.ctx) });
    xdp_action::XDP_PASS
}

/// Egress of a monitored interface.
#[classifier]
pub fn holdfast_tcx(ctx: TcContext) -> i32 {
    count::sent(u64::from(ctx.len()));
    -1
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

/// Helpers that only GPL-compatible programs may call need this declaration.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
