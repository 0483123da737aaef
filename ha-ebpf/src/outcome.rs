//! What becomes of a frame, and the one place where that is counted and turned into a return code.

use crate::count;
use aya_ebpf::bindings::{TC_ACT_SHOT, xdp_action};
use ha_common::verdict_reasons::{Verdict, VerdictReason};

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

impl Outcome {
    /// Counts the outcome and returns its XDP code.
    #[inline(always)]
    pub fn conclude_xdp(self) -> u32 {
        let reason = match self {
            Outcome::Transit => return xdp_action::XDP_PASS,
            Outcome::Judged(reason) => reason,
            Outcome::Concluded(code) => return code,
        };
        count::verdict(reason);
        match reason.verdict() {
            Verdict::Pass => xdp_action::XDP_PASS,
            Verdict::Drop => xdp_action::XDP_DROP,
            Verdict::Transmit => xdp_action::XDP_TX,
            Verdict::Redirect => xdp_action::XDP_REDIRECT,
        }
    }

    /// Counts the outcome and returns its TC code.
    #[inline(always)]
    pub fn conclude_tc(self) -> i32 {
        let Outcome::Judged(reason) = self else {
            return TC_NEXT;
        };
        count::verdict(reason);
        match reason.verdict() {
            Verdict::Drop => TC_ACT_SHOT,
            Verdict::Pass | Verdict::Transmit | Verdict::Redirect => TC_NEXT,
        }
    }
}
