//! keepalived, VRRPv2: whole seconds, no learning, no immediate advert.

use crate::bench::{Bench, OurSpec, SOON};
use crate::peer::PeerSpec;
use crate::scenarios::{self, HIGH, LOW};
use crate::setup::{ROUTER, Setup};
use holdfast_lab::poll::always;

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
    // keepalived sends none of its own while it hears one that it discards, so more need not come.
    assert!(status.discards(ROUTER, "interval-mismatch") > 0, "{:#}", status.router(ROUTER));
    assert_eq!(status.number(ROUTER, "learned_interval_ns"), KEEPALIVED.interval.as_nanos() as u64);
    always("both stay Active", 2 * KEEPALIVED.active_down(LOW), || {
        peer.is_active() && ours.status().unwrap().is_active(ROUTER)
    })
    .unwrap();
    assert_eq!(ours.status().unwrap().number(ROUTER, "transitions"), 1);
    assert!(bench.two_answer(), "two owners, as the standard has it");
}
