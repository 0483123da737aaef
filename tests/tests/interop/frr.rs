//! FRR's vrrpd: always on macvlans with the virtual MAC, silent to losing adverts, IPv4 and IPv6 beside each other.

use crate::bench::{Bench, OurSpec, SOON};
use crate::peer::PeerSpec;
use crate::scenarios::{self, HIGH, LOW};
use crate::setup::{ROUTER, Setup, VRID};
use holdfast_lab::clock::Moment;
use holdfast_lab::forge::ChecksumForm;

const FRR: Setup = Setup::FRR;
const FRR6: Setup = Setup::FRR.ipv6();
const FRR_V2: Setup = Setup::FRR.v2();

#[test]
fn we_follow_frr_and_take_over() {
    scenarios::we_follow_and_take_over(FRR);
}

#[test]
fn frr_follows_and_takes_over() {
    scenarios::they_follow_and_take_over(FRR);
}

#[test]
fn frr_preempts_and_releases() {
    scenarios::they_preempt_and_release(FRR);
}

#[test]
fn we_serve_until_frr_has_succeeded() {
    scenarios::we_release_and_serve_until_succeeded(FRR);
}

#[test]
fn we_leave_a_lower_frr_alone_without_preemption() {
    scenarios::we_do_not_preempt_when_told_not_to(FRR);
}

#[test]
fn an_frr_without_preemption_leaves_us_alone() {
    scenarios::they_do_not_preempt_when_told_not_to(FRR);
}

#[test]
fn we_follow_frr_ipv6_and_take_over() {
    scenarios::we_follow_and_take_over(FRR6);
}

#[test]
fn frr_ipv6_follows_and_takes_over() {
    scenarios::they_follow_and_take_over(FRR6);
}

#[test]
fn frr_ipv6_preempts_and_releases() {
    scenarios::they_preempt_and_release(FRR6);
}

#[test]
fn we_follow_frr_v2_and_take_over() {
    scenarios::we_follow_and_take_over(FRR_V2);
}

#[test]
fn frr_v2_follows_and_takes_over() {
    scenarios::they_follow_and_take_over(FRR_V2);
}

#[test]
fn frr_v2_preempts_and_releases() {
    scenarios::they_preempt_and_release(FRR_V2);
}

#[test]
fn one_mac_moves_between_us_and_frr() {
    scenarios::they_follow_and_take_over(FRR.our_virtual_mac());
}

/// FRR sums the pseudo-header unless told otherwise, which releases before 9.1 cannot be. Whichever form it speaks, and
/// when it changes it, we follow.
#[test]
fn we_follow_frrs_checksum_form() {
    let bench = Bench::build(FRR);
    let peer = bench.start_peer_active(&PeerSpec::new(&FRR, HIGH));
    let ours = bench.start_ours(&OurSpec::new(LOW));
    bench.we_follow(&ours, bench.segment.address("peer"), FRR.interval);
    assert_eq!(bench.peer_advert(Moment::default()).checksum, ChecksumForm::Rfc5798);
    assert_eq!(ours.status().unwrap().router(ROUTER)["checksum_heard"], "rfc5798");

    let knob = peer.configures(&format!("no vrrp {VRID} checksum-with-ipv4-pseudoheader"));
    let (form, name) =
        if knob { (ChecksumForm::Rfc9568, "rfc9568") } else { (ChecksumForm::Rfc5798, "rfc5798") };
    let turned = Moment::now();
    bench.adverts.wait_for("FRR's form", turned, SOON, |advert| advert.checksum == form).unwrap();
    let status = ours
        .wait_status("its form is known", SOON, |status| status.router(ROUTER)["checksum_heard"] == name)
        .unwrap();
    assert_eq!(status.router(ROUTER)["checksum_sent"], name);
    assert_eq!((status.state(ROUTER), status.discards(ROUTER, "checksum-invalid")), (Some("backup"), 0));
    bench.settles_on(bench.peer_mac());
}
