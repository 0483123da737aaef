//! The data plane, frame by frame, without a network: every verdict, what it changes, and what it leaves alone.
//!
//! Needs root and a kernel that can test-run XDP and TC programs; pins and attaches only inside
//! namespaces of its own.
#![expect(clippy::expect_used, reason = "a fixture that cannot be arranged fails by panicking")]

#[path = "../datapath/advert_fixtures.rs"]
mod advert_fixtures;
#[path = "../datapath/behaviour.rs"]
mod behaviour;
#[path = "../datapath/bypass_fixtures.rs"]
mod bypass_fixtures;
#[path = "../datapath/cost.rs"]
mod cost;
#[path = "../datapath/cost_cases.rs"]
mod cost_cases;
#[path = "../datapath/fence_fixtures.rs"]
mod fence_fixtures;
#[path = "../datapath/fixture.rs"]
mod fixture;
#[path = "../datapath/frames.rs"]
mod frames;
#[path = "../datapath/live.rs"]
mod live;
#[path = "../datapath/peer_plane.rs"]
mod peer_plane;
#[path = "../datapath/pins.rs"]
mod pins;
#[path = "../datapath/plane.rs"]
mod plane;
#[path = "../datapath/probe_answers.rs"]
mod probe_answers;
#[path = "../datapath/probe_attacks.rs"]
mod probe_attacks;
#[path = "../datapath/probe_fixtures.rs"]
mod probe_fixtures;
#[path = "../datapath/probe_frames.rs"]
mod probe_frames;
#[path = "../datapath/random_adverts.rs"]
mod random_adverts;
#[path = "../datapath/rewinder.rs"]
mod rewinder;
#[path = "../datapath/trust_fixtures.rs"]
mod trust_fixtures;
#[path = "../datapath/typed_peers.rs"]
mod typed_peers;

use aya::util::KernelVersion;
use fixture::Fixture;
use ha_common::verdict_reasons::VerdictReason;
use plane::Plane;

/// Instructions that the verifier may look at; the kernel allows a million. The ingress program takes 56,154 on Linux 6.18 and
/// 50,859 on 6.12, the egress program 9,162 and 7,750.
const VERIFIER_BUDGET: u32 = 70_000;
/// As [`VERIFIER_BUDGET`], for verifiers that prune less: on Linux 6.1 ingress takes 98,878 and egress 8,751.
const OLD_VERIFIER_BUDGET: u32 = 120_000;
/// First kernel that was seen to need no more than [`VERIFIER_BUDGET`].
const PRUNES_WELL: KernelVersion = KernelVersion::new(6, 12, 0);

fn check(fixtures: &[Fixture]) {
    let mut plane = Plane::new();
    for fixture in fixtures {
        fixture.check(&mut plane);
    }
}

#[test]
fn adverts_that_are_accepted() {
    check(&advert_fixtures::accepted());
}

#[test]
fn adverts_that_are_discarded() {
    check(&advert_fixtures::discarded());
}

#[test]
fn adverts_that_are_judged() {
    check(&advert_fixtures::judged());
}

#[test]
fn the_inbound_fence() {
    check(&fence_fixtures::inbound());
}

#[test]
fn the_forwarding_fence() {
    check(&fence_fixtures::forwarding());
}

#[test]
fn the_outbound_fence() {
    check(&fence_fixtures::outbound());
}

#[test]
fn probe_requests() {
    check(&probe_fixtures::requests());
}

#[test]
fn probe_replies_and_challenges() {
    check(&probe_fixtures::replies());
}

#[test]
fn probe_addresses() {
    check(&probe_fixtures::addresses());
}

#[test]
fn probes_refused_for_their_headers() {
    check(&probe_fixtures::headers());
}

#[test]
fn adverts_borne_out_or_not_as_backup() {
    check(&trust_fixtures::as_backup());
}

#[test]
fn adverts_borne_out_or_not_as_owner() {
    check(&trust_fixtures::as_owner());
}

#[test]
fn the_bypass_wire() {
    check(&bypass_fixtures::crossing());
    check(&bypass_fixtures::staying());
    check(&bypass_fixtures::not_engaged());
}

#[test]
fn every_reason_has_a_fixture() {
    let tables = [
        advert_fixtures::accepted(),
        advert_fixtures::discarded(),
        advert_fixtures::judged(),
        fence_fixtures::inbound(),
        fence_fixtures::forwarding(),
        fence_fixtures::outbound(),
        probe_fixtures::requests(),
        probe_fixtures::replies(),
        probe_fixtures::addresses(),
        probe_fixtures::headers(),
        trust_fixtures::as_backup(),
        trust_fixtures::as_owner(),
        bypass_fixtures::crossing(),
    ];
    let fixtures = tables.iter().flatten();
    let covered: Vec<VerdictReason> = fixtures
        .flat_map(|fixture| fixture.verdict.into_iter().chain(fixture.notes.iter().copied()))
        .collect();
    let missing: Vec<&str> = VerdictReason::ALL
        .iter()
        .filter(|reason| !covered.contains(reason))
        .map(|reason| reason.name())
        .collect();
    assert!(missing.is_empty(), "no fixture for {missing:?}");
}

#[test]
fn all_programs_load_within_the_instruction_budget() {
    let kernel = KernelVersion::current().expect("version of the running kernel");
    let budget = if kernel < PRUNES_WELL { OLD_VERIFIER_BUDGET } else { VERIFIER_BUDGET };
    for (name, instructions) in Plane::new().verified_instructions() {
        println!("{name}: the verifier looked at {instructions} instructions");
        assert!(instructions < budget, "{name}: {instructions} instructions, of at most {budget}");
    }
}
