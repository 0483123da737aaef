//! keepalived, VRRPv2: whole seconds, no learning, no immediate advert.

use crate::bench::{Bench, OurSpec, SOON};
use crate::peer::PeerSpec;
use crate::scenarios::{self, HIGH, LOW};
use crate::setup::{ROUTER, Setup};
use holdfast_lab::poll::eventually_true;

const KEEPALIVED: Setup = Setup::KEEPALIVED.v2();

#[test]
fn we_follow_keepalived_v2_and_take_over() {
    scenarios::we_follow_and_take_over(KEEPALIVED);
}

#[test]
fn keepalived_v2_follows_and_takes_over() {
    scenarios::they_follow_and_take_over(KEEPALIVED);
}

#[test]
fn keepalived_v2_preempts_and_releases() {
    scenarios::they_preempt_and_release(KEEPALIVED);
}

#[test]
fn we_serve_until_keepalived_v2_has_succeeded() {
    scenarios::we_release_and_serve_until_succeeded(KEEPALIVED);
}

#[test]
fn a_keepalived_v2_without_preemption_leaves_us_alone() {
    scenarios::they_do_not_preempt_when_told_not_to(KEEPALIVED);
}

/// V-053: RFC 3768 has both sides discard an advert of another interval, so both are Active.
#[test]
fn an_advert_of_another_interval_is_discarded() {
    let bench = Bench::build(KEEPALIVED);
    let peer = bench.start_peer_active(&PeerSpec::new(&KEEPALIVED, HIGH).interval(2 * KEEPALIVED.interval));
    let ours = bench.start_ours(&OurSpec::new(LOW));
    let status = ours.wait_state(ROUTER, "active", SOON).unwrap();
    assert_eq!(status.cause(ROUTER), Some("advert-timeout"));
    let before = status.discards(ROUTER, "interval-mismatch");
    assert!(before > 0, "{:#}", status.router(ROUTER));
    let more = ours
        .wait_status("further discards", SOON, |status| {
            status.discards(ROUTER, "interval-mismatch") > before + 1
        })
        .unwrap();
    assert_eq!((more.state(ROUTER), more.number(ROUTER, "transitions")), (Some("active"), 1));
    assert!(more.router(ROUTER)["learned_interval_ns"] == KEEPALIVED.interval.as_nanos() as u64);
    eventually_true("two owners, as the standard has it", SOON, || bench.two_answer()).unwrap();
    assert!(peer.is_active());
}
