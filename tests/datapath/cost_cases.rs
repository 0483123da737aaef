//! Frames whose cost is worth knowing, and what a run of them costs by the kernel's own measure.
//!
//! Every measurement checks that each of its runs ended in the verdict that the case is about: a fast discard for
//! another reason would otherwise look like a good figure.

use super::bypass_fixtures::{engaged, on_guard, released, to_stranger};
use super::fixture::{as_answering_owner, as_backup};
use super::frames::*;
use super::peer_plane::{OUR_INDEX_V4, OUR_INDEX_V6};
use super::plane::{Plane, V4, now_ns};
use super::probe_frames::{FIRST, carried_v4, probe_v4, probe_v6, reply, request, request_v6, signed};
use ha_common::maps::names;
use ha_common::maps::values::fence;
use ha_common::verdict_reasons::VerdictReason::{self, *};

/// A frame, run many times over.
pub(crate) struct CostCase {
    pub(crate) what: &'static str,
    pub(crate) arrange: fn(&mut Plane),
    pub(crate) frame: Vec<u8>,
    /// What every run ends in; `None` is transit.
    pub(crate) verdict: Option<VerdictReason>,
    /// Each run gets the frame and the peer's state as they were before the one ahead of it.
    pub(crate) rewound: bool,
}

/// Frames that are none of our business.
pub(crate) fn transit() -> Vec<CostCase> {
    let case = |what, frame| CostCase { what, arrange: as_backup, frame, verdict: None, rewound: false };
    vec![
        case("IPv4 transit", udp_v4(STRANGER)),
        case("IPv6 transit", udp_v6(STRANGER_V6)),
        case("IPv4 transit, one tag", tagged(udp_v4(STRANGER), &[1])),
        case("IPv4 transit, two tags", tagged(udp_v4(STRANGER), &[1, 2])),
        CostCase {
            what: "IPv4 transit past the forwarding fence",
            arrange: behind_the_open_forwarding_fence,
            frame: udp_v4(STRANGER),
            verdict: None,
            rewound: false,
        },
        CostCase {
            what: "IPv4 transit beside an HA port",
            arrange: Plane::meet_peer,
            frame: udp_v4(STRANGER),
            verdict: None,
            rewound: false,
        },
        CostCase {
            what: "IPv6 transit beside an HA port",
            arrange: Plane::meet_peer,
            frame: udp_v6(STRANGER_V6),
            verdict: None,
            rewound: false,
        },
        CostCase {
            what: "IPv4 transit of a released bypass pair",
            arrange: released,
            frame: to_stranger(udp_v4(STRANGER)),
            verdict: None,
            rewound: false,
        },
        CostCase {
            what: "IPv4 transit of a pair that engages on controller loss",
            arrange: on_guard,
            frame: to_stranger(udp_v4(STRANGER)),
            verdict: None,
            rewound: false,
        },
        CostCase {
            what: "IPv4 bypassed, without the sending",
            arrange: engaged,
            frame: to_stranger(udp_v4(STRANGER)),
            verdict: Some(Bypassed),
            rewound: false,
        },
    ]
}

/// Probes of a peer, and its replies.
pub(crate) fn probes() -> Vec<CostCase> {
    let case = |what, frame, verdict| CostCase {
        what,
        arrange: Plane::meet_patient_peer,
        frame,
        verdict: Some(verdict),
        rewound: true,
    };
    let forged = carried_v4(&signed(&request(2), FIRST.send));
    vec![
        case("IPv4 probe answered", probe_v4(&request(2)), ProbeAnswered),
        case("IPv6 probe answered", probe_v6(&request_v6(2)), ProbeAnswered),
        case("IPv4 reply absorbed", probe_v4(&reply(2, OUR_INDEX_V4, now_ns())), ProbeReplyAbsorbed),
        case("IPv6 reply absorbed", probe_v6(&reply(2, OUR_INDEX_V6, now_ns())), ProbeReplyAbsorbed),
        case("probe with a bad MAC dropped", forged, ProbeMacInvalid),
    ]
}

/// Adverts, right and wrong.
pub(crate) fn adverts() -> Vec<CostCase> {
    let case = |what, frame, verdict| CostCase {
        what,
        arrange: as_backup,
        frame,
        verdict: Some(verdict),
        rewound: false,
    };
    vec![
        case("IPv4 advert absorbed", advert_v4(T2), AdvertAbsorbed),
        case("IPv6 advert absorbed", advert_v6(T4), AdvertAbsorbed),
        case("advert of 255 addresses absorbed", advert_of_255_addresses(), AdvertAbsorbed),
        CostCase {
            what: "IPv4 advert answered",
            arrange: answering_every_advert,
            // The answer is written over the frame that is run again, so it must itself be an advert that loses.
            frame: advert_of_priority(50),
            verdict: Some(AdvertAnswered),
            rewound: false,
        },
        case("advert with a bad checksum dropped", with_ip_byte(advert_v4(T3), 12, 193), ChecksumInvalid),
    ]
}

/// What the fences stop.
pub(crate) fn fences() -> Vec<CostCase> {
    let case = |what, arrange, frame, verdict| CostCase {
        what,
        arrange,
        frame,
        verdict: Some(verdict),
        rewound: false,
    };
    vec![
        case("ARP request fenced", as_backup, arp(1, PEER_ADDRESS, VIP), FenceArpIn),
        case("IPv4 to the address fenced", as_backup, udp_v4(VIP), FenceIpIn),
        case(
            "transit stopped by the forwarding fence",
            behind_the_forwarding_fence,
            udp_v4(STRANGER),
            FenceTransitIn,
        ),
    ]
}

fn behind_the_forwarding_fence(plane: &mut Plane) {
    plane.fence(fence::FORWARDING);
}

fn behind_the_open_forwarding_fence(plane: &mut Plane) {
    behind_the_forwarding_fence(plane);
    plane.link(1, 1);
}

fn answering_every_advert(plane: &mut Plane) {
    as_answering_owner(plane);
    plane.template(V4, &advert_of_priority(50));
    plane.policy(V4, |policy| {
        policy.answers_per_interval = u32::MAX;
        policy.interval_ns = u64::MAX / 8;
    });
}

impl CostCase {
    /// Nanoseconds per run, over `repeat` runs; the error names the runs that ended otherwise than they should.
    pub(crate) fn measure(&self, plane: &mut Plane, repeat: u32) -> Result<f64, String> {
        plane.reset();
        (self.arrange)(plane);
        // The first advert of a sender is news; those after it are not.
        plane.ingress(&self.frame);
        let before = plane.verdicts();
        let cost = if self.rewound {
            plane.time_rewound(&self.frame, repeat)
        } else {
            plane.time(names::PROGRAM_INGRESS, &self.frame, repeat).as_nanos() as f64
        };
        let after = plane.verdicts();
        for reason in VerdictReason::ALL.iter().filter(|reason| !is_advisory(**reason)) {
            let counted = after[*reason as usize] - before[*reason as usize];
            let expected = if Some(*reason) == self.verdict { u64::from(repeat) } else { 0 };
            if counted != expected {
                let (what, name) = (self.what, reason.name());
                return Err(format!(
                    "{what}: {counted} of {repeat} runs counted under {name}, not {expected}"
                ));
            }
        }
        Ok(cost)
    }
}

/// Counted besides a verdict.
fn is_advisory(reason: VerdictReason) -> bool {
    let advisory = [
        NoteAddressesDiffer,
        NoteIntervalDiffers,
        NoteTrailingBytes,
        NoteLegacyChecksum,
        NoteFirstNotLinkLocal,
    ];
    advisory.contains(&reason)
}

/// Nanoseconds per run of the program that passes everything.
pub(crate) fn pass_ns(plane: &mut Plane, repeat: u32) -> f64 {
    plane.time(names::PROGRAM_PASS, &udp_v4(STRANGER), repeat).as_nanos() as f64
}
