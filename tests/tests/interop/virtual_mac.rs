//! The virtual router's MAC (RFC 9568 section 7.3), on our side, on keepalived's, and on both.

use crate::bench::{Bench, OurSpec};
use crate::scenarios::{self, HIGH};
use crate::setup::Setup;
use holdfast_lab::clock::Moment;

const OURS: Setup = Setup::KEEPALIVED.our_virtual_mac();
const THEIRS: Setup = Setup::KEEPALIVED.peer_virtual_mac();
const BOTH: Setup = OURS.peer_virtual_mac();

#[test]
fn with_ours_we_follow_and_take_over() {
    scenarios::we_follow_and_take_over(OURS);
}

#[test]
fn with_ours_keepalived_follows_and_takes_over() {
    scenarios::they_follow_and_take_over(OURS);
}

#[test]
fn with_keepaliveds_we_follow_and_take_over() {
    scenarios::we_follow_and_take_over(THEIRS);
}

#[test]
fn with_keepaliveds_it_preempts_and_releases() {
    scenarios::they_preempt_and_release(THEIRS);
}

#[test]
fn one_mac_moves_to_us() {
    scenarios::we_follow_and_take_over(BOTH);
}

#[test]
fn one_mac_moves_to_keepalived_and_back() {
    scenarios::they_follow_and_take_over(BOTH);
}

#[test]
fn one_mac_moves_with_a_graceful_stop() {
    scenarios::we_release_and_serve_until_succeeded(BOTH);
}

#[test]
fn one_mac_moves_over_ipv6() {
    scenarios::they_follow_and_take_over(BOTH.ipv6());
}

/// V-012, V-013, V-121, V-123: adverts and answers carry the virtual MAC.
#[test]
fn adverts_and_answers_carry_the_virtual_mac() {
    for (setup, family_octet) in [(OURS, 1), (OURS.ipv6(), 2)] {
        let bench = Bench::build(setup);
        let _ours = bench.start_ours_active(&OurSpec::new(HIGH));
        let virtual_mac = [0x00, 0x00, 0x5e, 0x00, family_octet, 51];
        assert_eq!(bench.our_advert(Moment::default()).source_mac, virtual_mac);
        bench.settles_on(virtual_mac);
        bench.host_resolves();
        bench.host_cache_follows(virtual_mac);
        bench.traffic_reaches("ours");
    }
}
