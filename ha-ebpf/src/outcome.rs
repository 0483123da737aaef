//! What becomes of a frame, and the one place where that is counted and turned into a return code.

use crate::count;
use aya_ebpf::bindings::{TC_ACT_SHOT, xdp_action};
use ha_common::verdict_reasons::{REASON_SLOTS, Verdict, VerdictReason};

/// `TCX_NEXT`, which is also what clsact calls `TC_ACT_UNSPEC`: the next program decides.
const TC_NEXT: i32 = -1;

/// What the data plane makes of a frame.
#[derive(Clone, Copy)]
pub enum Outcome {
    /// Nothing of ours: counted as traffic and passed on.
    Transit,
    /// Counted under its reason, which says what happens to the frame.
    Judged(VerdictReason),
    /// Concluded already, by a function of its own; the XDP code.
    Concluded(u32),
}

/// The reasons with one verdict, as a set of bits.
const fn reasons_for(verdict: Verdict) -> u64 {
    const { assert!(REASON_SLOTS <= u64::BITS as usize) };
    let mut reasons = 0;
    let mut index = 0;
    while index < VerdictReason::ALL.len() {
        let reason = VerdictReason::ALL[index];
        if reason.verdict() as u8 == verdict as u8 {
            reasons |= 1 << reason as u32;
        }
        index += 1;
    }
    reasons
}

impl Outcome {
    /// Counts the outcome and returns its XDP code.
    #[inline(always)]
    pub fn conclude_xdp(self) -> u32 {
        match self {
            Outcome::Transit => xdp_action::XDP_PASS,
            Outcome::Judged(reason) => conclude(reason as u32),
            Outcome::Concluded(code) => code,
        }
    }

    /// Counts the outcome and returns its TC code.
    #[inline(always)]
    pub fn conclude_tc(self) -> i32 {
        let Outcome::Judged(reason) = self else {
            return TC_NEXT;
        };
        if conclude(reason as u32) == xdp_action::XDP_DROP { TC_ACT_SHOT } else { TC_NEXT }
    }
}

/// Counts a verdict and returns its XDP code.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn conclude(reason: u32) -> u32 {
    const DROP: u64 = reasons_for(Verdict::Drop);
    const TRANSMIT: u64 = reasons_for(Verdict::Transmit);
    const REDIRECT: u64 = reasons_for(Verdict::Redirect);
    count::verdict(reason);
    let is_one_of = |reasons: u64| reasons >> (reason % u64::BITS) & 1 != 0;
    if is_one_of(DROP) {
        xdp_action::XDP_DROP
    } else if is_one_of(TRANSMIT) {
        xdp_action::XDP_TX
    } else if is_one_of(REDIRECT) {
        xdp_action::XDP_REDIRECT
    } else {
        xdp_action::XDP_PASS
    }
}
