//! keepalived, VRRPv3 over IPv4.

use crate::bench::{Bench, OurSpec};
use crate::peer::PeerSpec;
use crate::scenarios::{self, HIGH, LOW, assert_in_time};
use crate::setup::{ROUTER, SHORT, Setup};

const KEEPALIVED: Setup = Setup::KEEPALIVED;

#[test]
fn we_follow_keepalived_and_take_over() {
    scenarios::we_follow_and_take_over(KEEPALIVED);
}

#[test]
fn keepalived_follows_and_takes_over() {
    scenarios::they_follow_and_take_over(KEEPALIVED);
}

#[test]
fn keepalived_preempts_and_releases() {
    scenarios::they_preempt_and_release(KEEPALIVED);
}

#[test]
fn we_serve_until_keepalived_has_succeeded() {
    scenarios::we_release_and_serve_until_succeeded(KEEPALIVED);
}

#[test]
fn failover_moves_to_keepalived() {
    scenarios::failover_moves_to_them(KEEPALIVED);
}

#[test]
fn we_leave_a_lower_keepalived_alone_without_preemption() {
    scenarios::we_do_not_preempt_when_told_not_to(KEEPALIVED);
}

#[test]
fn a_keepalived_without_preemption_leaves_us_alone() {
    scenarios::they_do_not_preempt_when_told_not_to(KEEPALIVED);
}

#[test]
fn keepalived_with_the_greater_address_wins_a_tie() {
    scenarios::the_greater_address_wins_a_tie(KEEPALIVED);
}

#[test]
fn we_win_a_tie_with_the_greater_address() {
    scenarios::the_greater_address_wins_a_tie(KEEPALIVED.our_address_is_greater());
}

/// V-079, V-081: a Backup learns the Active's interval, and keeps its own for the day it is Active itself.
#[test]
fn we_learn_keepaliveds_interval_and_speak_at_our_own() {
    let bench = Bench::build(KEEPALIVED);
    let theirs = 3 * SHORT;
    let mut peer = bench.start_peer_active(&PeerSpec::new(&KEEPALIVED, HIGH).interval(theirs));
    let ours = bench.start_ours(&OurSpec::new(LOW));
    bench.we_follow(&ours, bench.segment.address("peer"), theirs);
    bench.settles_on(bench.peer_mac());
    bench.peer_dies(&mut peer);
    let last = bench.last_peer_advert();
    let first = bench.our_advert(last.at);
    let learned = Setup { interval: theirs, ..KEEPALIVED };
    assert_in_time("takeover", first.at.since(last.at), learned.active_down(LOW));
    assert_eq!(first.interval, SHORT);
    bench.settles_on(bench.our_mac());
    let status = ours.status().unwrap();
    assert_eq!((status.state(ROUTER), status.cause(ROUTER)), (Some("active"), Some("advert-timeout")));
}
