//! The two checksum forms of VRRPv3 over IPv4: keepalived's own (RFC 5798), and RFC 9568's by `v3_checksum_as_v2`.

use crate::bench::{Bench, OurSpec, SOON};
use crate::peer::{Peer, PeerSpec};
use crate::scenarios::{self, HIGH, LOW};
use crate::setup::{ROUTER, Setup};
use holdfast_lab::clock::Moment;
use holdfast_lab::daemon::Daemon;
use holdfast_lab::forge::ChecksumForm;
use holdfast_lab::poll::{always, eventually_true};
use std::time::Duration;

const KEEPALIVED: Setup = Setup::KEEPALIVED;

fn keepalived(priority: u8, form: ChecksumForm) -> PeerSpec {
    let spec = PeerSpec::new(&KEEPALIVED, priority);
    if form == ChecksumForm::Rfc9568 { spec.with("v3_checksum_as_v2") } else { spec }
}

fn name(form: ChecksumForm) -> &'static str {
    match form {
        ChecksumForm::Rfc9568 => "rfc9568",
        ChecksumForm::Rfc5798 => "rfc5798",
        ChecksumForm::Wrong => "wrong",
    }
}

fn assert_forms(ours: &Daemon, sent: ChecksumForm, heard: ChecksumForm) {
    let status = ours.status().unwrap();
    let router = status.router(ROUTER);
    assert_eq!(router["checksum_sent"], name(sent));
    assert_eq!(router["checksum_heard"], name(heard));
    assert_eq!(status.discards(ROUTER, "checksum-invalid"), 0);
}

/// As a Backup we learn the Active's form, and speak it when we take over.
#[test]
fn auto_sends_the_form_that_was_heard() {
    for form in [ChecksumForm::Rfc5798, ChecksumForm::Rfc9568] {
        let bench = Bench::build(KEEPALIVED);
        let mut peer = bench.start_peer_active(&keepalived(HIGH, form));
        let ours = bench.start_ours(&OurSpec::new(LOW));
        bench.we_follow(&ours, bench.segment.address("peer"), KEEPALIVED.interval);
        assert_eq!(bench.peer_advert(Moment::default()).checksum, form);
        assert_forms(&ours, form, form);
        bench.peer_dies(&mut peer);
        ours.wait_state(ROUTER, "active", SOON).unwrap();
        assert_forms(&ours, form, form);
        bench.settles_on(bench.our_mac());
        let adverts = bench.adverts.since(bench.last_peer_advert().at);
        let own = adverts.iter().filter(|advert| advert.source == bench.our_address());
        assert!(own.clone().count() > 2 && own.clone().all(|advert| advert.checksum == form), "{form:?}");
    }
}

/// As an Active that has heard nobody we speak RFC 9568. A Backup that cannot read that rises once, and by that
/// teaches us its form: the contest ends with our next advert.
#[test]
fn auto_changes_its_form_for_a_backup_that_cannot_read_it() {
    let bench = Bench::build(KEEPALIVED);
    let ours = bench.start_ours_active(&OurSpec::new(HIGH));
    assert_eq!(bench.our_advert(Moment::default()).checksum, ChecksumForm::Rfc9568);
    let peer = bench.start_peer(&keepalived(LOW, ChecksumForm::Rfc5798));
    let theirs = bench.peer_advert(Moment::default());
    let (own, within) = (bench.our_address(), 2 * KEEPALIVED.interval);
    let changed = bench
        .adverts
        .wait_for("our advert in their form", theirs.at, SOON, |advert| {
            advert.source == own && advert.checksum == ChecksumForm::Rfc5798
        })
        .unwrap();
    assert!(changed.at.since(theirs.at) < within, "after {:?}", changed.at.since(theirs.at));
    eventually_true("the peer is Backup", SOON, || peer.is_backup()).unwrap();
    bench.settles_on(bench.our_mac());
    bench.peer_has_yielded_since(&changed);
    assert_forms(&ours, ChecksumForm::Rfc5798, ChecksumForm::Rfc5798);
    assert_eq!(ours.status().unwrap().number(ROUTER, "transitions"), 1);
}

/// A Backup that reads our form never rises.
#[test]
fn a_backup_that_reads_our_form_never_speaks() {
    let strict = |policy: &str| OurSpec::new(HIGH).with(&format!("checksum = \"{policy}\""));
    for (ours, form) in [(OurSpec::new(HIGH), ChecksumForm::Rfc9568), (strict("rfc5798"), ChecksumForm::Rfc5798)]
    {
        let bench = Bench::build(KEEPALIVED);
        let ours = bench.start_ours_active(&ours);
        let peer = bench.start_peer(&keepalived(LOW, form));
        eventually_true("the peer is Backup", SOON, || peer.is_backup()).unwrap();
        always("the peer stays Backup", 3 * KEEPALIVED.active_down(LOW), || !peer.is_active()).unwrap();
        bench.settles_on(bench.our_mac());
        assert!(bench.adverts.all().iter().all(|advert| advert.source == bench.our_address()));
        assert_eq!(ours.status().unwrap().router(ROUTER)["checksum_sent"], name(form));
    }
}

#[test]
fn strict_rfc9568_discards_keepaliveds_own_form() {
    strict_modes_part("rfc9568", ChecksumForm::Rfc5798);
}

#[test]
fn strict_rfc5798_discards_the_other_form() {
    strict_modes_part("rfc5798", ChecksumForm::Rfc9568);
}

/// Neither side reads the other: both are Active, and our discards say why.
fn strict_modes_part(policy: &str, theirs: ChecksumForm) {
    let bench = Bench::build(KEEPALIVED);
    let ours = bench.start_ours_active(&OurSpec::new(LOW).with(&format!("checksum = \"{policy}\"")));
    let peer: Peer<'_> = bench.start_peer_active(&keepalived(HIGH, theirs));
    let few = |discards: u64| discards > 5;
    let status = ours
        .wait_status("discards", SOON, |status| few(status.discards(ROUTER, "checksum-invalid")))
        .unwrap();
    assert_eq!(status.router(ROUTER)["checksum_sent"], policy);
    assert!(status.router(ROUTER)["checksum_heard"].is_null());
    always("both stay Active", Duration::from_secs(1), || {
        peer.is_active() && ours.status().unwrap().is_active(ROUTER)
    })
    .unwrap();
    assert!(bench.two_answer(), "both answer");
    assert_eq!(ours.status().unwrap().number(ROUTER, "transitions"), 1);
}

#[test]
fn with_rfc9568_keepalived_follows_and_takes_over() {
    let bench = Bench::build(KEEPALIVED);
    let mut ours = bench.start_ours_active(&OurSpec::new(HIGH));
    let peer = bench.start_peer(&keepalived(LOW, ChecksumForm::Rfc9568));
    eventually_true("the peer is Backup", SOON, || peer.is_backup()).unwrap();
    bench.settles_on(bench.our_mac());
    ours.kill9();
    let last = bench.last_our_advert();
    let theirs = bench.peer_advert(last.at);
    scenarios::assert_in_time("their takeover", theirs.at.since(last.at), KEEPALIVED.active_down(LOW));
    bench.settles_on(bench.peer_mac());
    bench.we_have_yielded_since(&theirs);
}
