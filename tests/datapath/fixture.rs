//! One frame through one program: what was arranged, what went in, what must come of it.

use super::plane::{Plane, SECOND_NS, V2, V4, V6, now_ns};
use ha_common::verdict_reasons::{REASON_SLOTS, Verdict, VerdictReason};

const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;
const XDP_TX: u32 = 3;
const XDP_REDIRECT: u32 = 4;
const TC_NEXT: u32 = u32::MAX;
const TC_SHOT: u32 = 2;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    In,
    Out,
}

/// A row of the tables.
pub(crate) struct Fixture {
    pub(crate) what: &'static str,
    pub(crate) way: Way,
    pub(crate) arrange: fn(&mut Plane),
    pub(crate) frame: Vec<u8>,
    /// `None` is transit: nothing but the traffic is counted.
    pub(crate) verdict: Option<VerdictReason>,
    /// Advisory reasons counted besides the verdict.
    pub(crate) notes: &'static [VerdictReason],
    /// The router that the verdict and the notes are counted for, too.
    pub(crate) router: Option<u32>,
}

/// A received frame and its verdict for a router.
pub(crate) fn received(
    what: &'static str,
    arrange: fn(&mut Plane),
    frame: Vec<u8>,
    router: u32,
    verdict: VerdictReason,
) -> Fixture {
    Fixture { what, way: Way::In, arrange, frame, verdict: Some(verdict), notes: &[], router: Some(router) }
}

/// A received frame that the data plane lets go.
pub(crate) fn transit(what: &'static str, arrange: fn(&mut Plane), frame: Vec<u8>) -> Fixture {
    Fixture { what, way: Way::In, arrange, frame, verdict: None, notes: &[], router: None }
}

impl Fixture {
    pub(crate) fn leaving(mut self) -> Self {
        self.way = Way::Out;
        self
    }

    pub(crate) fn noting(mut self, notes: &'static [VerdictReason]) -> Self {
        self.notes = notes;
        self
    }

    pub(crate) fn with_router(mut self, router: u32) -> Self {
        self.router = Some(router);
        self
    }

    pub(crate) fn without_router(mut self) -> Self {
        self.router = None;
        self
    }

    /// Runs the row on a reset plane and checks return code, every counter and the frame.
    pub(crate) fn check(&self, plane: &mut Plane) {
        plane.reset();
        (self.arrange)(plane);
        let before = Counters::read(plane);
        let run = match self.way {
            Way::In => plane.ingress(&self.frame),
            Way::Out => plane.egress(&self.frame),
        };
        let after = Counters::read(plane);
        assert_eq!(run.code, self.expected_code(), "{}: return code", self.what);
        self.check_verdicts(&before, &after);
        self.check_traffic(&before, &after, run.frame.len());
        if run.code != XDP_TX {
            assert_eq!(run.frame, self.frame, "{}: the frame is left as it was", self.what);
        }
    }

    fn expected_code(&self) -> u32 {
        let verdict = self.verdict.map_or(Verdict::Pass, VerdictReason::verdict);
        match (self.way, verdict) {
            (Way::In, Verdict::Pass) => XDP_PASS,
            (Way::In, Verdict::Drop) => XDP_DROP,
            (Way::In, Verdict::Transmit) => XDP_TX,
            (Way::In, Verdict::Redirect) => XDP_REDIRECT,
            (Way::Out, Verdict::Drop) => TC_SHOT,
            (Way::Out, Verdict::Pass | Verdict::Transmit | Verdict::Redirect) => TC_NEXT,
        }
    }

    fn check_verdicts(&self, before: &Counters, after: &Counters) {
        let counted: Vec<VerdictReason> =
            self.verdict.into_iter().chain(self.notes.iter().copied()).collect();
        let moved = differences(&before.global, &after.global);
        assert_eq!(moved, named(&counted), "{}: global counters", self.what);
        for ((slot, before), (_, after)) in before.routers.iter().zip(&after.routers) {
            let expected = if self.router == Some(*slot) { named(&counted) } else { Vec::new() };
            assert_eq!(differences(before, after), expected, "{}: counters of router {slot}", self.what);
        }
    }

    fn check_traffic(&self, before: &Counters, after: &Counters, length_after: usize) {
        let (was, is) = (before.traffic, after.traffic);
        let received = (is.rx_packets - was.rx_packets, is.rx_bytes - was.rx_bytes);
        let sent = (is.tx_packets - was.tx_packets, is.tx_bytes - was.tx_bytes);
        let one = (1, self.frame.len() as u64);
        match self.way {
            Way::In => {
                assert_eq!(received, one, "{}: traffic in", self.what);
                let answered = self.verdict.map(VerdictReason::verdict) == Some(Verdict::Transmit);
                let expected = if answered { (1, length_after as u64) } else { (0, 0) };
                assert_eq!(sent, expected, "{}: traffic out", self.what);
            }
            Way::Out => assert_eq!((received, sent), ((0, 0), one), "{}: traffic", self.what),
        }
    }
}

struct Counters {
    global: [u64; REASON_SLOTS],
    routers: Vec<(u32, [u64; REASON_SLOTS])>,
    traffic: ha_common::maps::values::LinkCounters,
}

impl Counters {
    fn read(plane: &mut Plane) -> Self {
        let routers = [V4, V6, V2].map(|slot| (slot, plane.router_verdicts(slot))).to_vec();
        Counters { global: plane.verdicts(), routers, traffic: plane.traffic() }
    }
}

fn differences(before: &[u64; REASON_SLOTS], after: &[u64; REASON_SLOTS]) -> Vec<(String, u64)> {
    let moved = before.iter().zip(after).enumerate().filter(|(_, (before, after))| before != after);
    moved.map(|(slot, (before, after))| (name(slot), after - before)).collect()
}

fn named(reasons: &[VerdictReason]) -> Vec<(String, u64)> {
    let mut slots: Vec<usize> = reasons.iter().map(|reason| *reason as usize).collect();
    slots.sort_unstable();
    slots.into_iter().map(|slot| (name(slot), 1)).collect()
}

fn name(slot: usize) -> String {
    VerdictReason::ALL.get(slot).map_or_else(|| format!("slot {slot}"), |reason| reason.name().to_owned())
}

/// Nothing beyond the plane's defaults.
pub(crate) fn as_backup(_plane: &mut Plane) {}

/// All three routers are ours.
pub(crate) fn as_owner(plane: &mut Plane) {
    for slot in [V4, V6, V2] {
        plane.own(slot);
    }
    plane.link(3, 3);
}

/// Ours, with a template for answers.
pub(crate) fn as_answering_owner(plane: &mut Plane) {
    as_owner(plane);
    plane.template(V4, &super::frames::our_advert());
    plane.template(V6, &super::frames::our_advert_v6());
    plane.template(V2, &super::frames::our_advert());
}

/// The controller believes itself Active, but its lease has passed.
pub(crate) fn as_lapsed_owner(plane: &mut Plane) {
    as_owner(plane);
    plane.lease_until(now_ns() - SECOND_NS);
}
