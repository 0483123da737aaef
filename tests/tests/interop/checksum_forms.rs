//! The two checksum forms of VRRPv3 over IPv4: with pseudo-header (RFC 5798), as keepalived and FRR have it, and without
//! (RFC 9568). Debian 12's packages know no other than theirs, so the second form has a scripted speaker beside them.

use crate::bench::{Bench, OurSpec, SOON};
use crate::peer::PeerSpec;
use crate::scenarios::{HIGH, LOW};
use crate::setup::{ROUTER, Setup};
use crate::speaker::Speaker;
use holdfast_lab::clock::Moment;
use holdfast_lab::daemon::Daemon;
use holdfast_lab::forge::ChecksumForm::{self, Rfc5798, Rfc9568};
use holdfast_lab::poll::{always, eventually_true};
use std::time::Duration;

const KEEPALIVED: Setup = Setup::KEEPALIVED;

fn name(form: ChecksumForm) -> &'static str {
    match form {
        Rfc9568 => "rfc9568",
        Rfc5798 => "rfc5798",
        ChecksumForm::Wrong => "wrong",
    }
}

fn with_policy(priority: u8, policy: ChecksumForm) -> OurSpec {
    OurSpec::new(priority).with(&format!("checksum = \"{}\"", name(policy)))
}

/// Asserts that both forms are `form` and that nothing was discarded.
fn assert_form(ours: &Daemon, form: ChecksumForm) {
    let status = ours.status().unwrap();
    let router = status.router(ROUTER);
    assert_eq!(
        (&router["checksum_sent"], &router["checksum_heard"]),
        (&name(form).into(), &name(form).into())
    );
    assert_eq!(status.discards(ROUTER, "checksum-invalid"), 0);
}

/// Asserts that our adverts from `moment` on are in `form`.
fn assert_we_speak(bench: &Bench, moment: Moment, form: ChecksumForm) {
    const SOME: usize = 3;
    let own = || {
        let adverts = bench.adverts.since(moment).into_iter();
        adverts.filter(|advert| advert.source == bench.our_address()).collect::<Vec<_>>()
    };
    eventually_true("some adverts of ours", SOON, || own().len() >= SOME).unwrap();
    assert!(own().iter().all(|advert| advert.checksum == form), "{form:?}: {:?}", own());
}

#[test]
fn auto_takes_over_in_keepaliveds_form() {
    let bench = Bench::build(KEEPALIVED);
    let mut peer = bench.start_peer_active(&PeerSpec::new(&KEEPALIVED, HIGH));
    let ours = bench.start_ours(&OurSpec::new(LOW));
    bench.we_follow(&ours, bench.segment.address("peer"), KEEPALIVED.interval);
    assert_eq!(bench.peer_advert(Moment::default()).checksum, Rfc5798);
    assert_form(&ours, Rfc5798);
    bench.peer_dies(&mut peer);
    ours.wait_state(ROUTER, "active", SOON).unwrap();
    assert_form(&ours, Rfc5798);
    assert_we_speak(&bench, Moment::default(), Rfc5798);
    bench.settles_on(bench.our_mac());
}

#[test]
fn auto_takes_over_in_the_form_without_pseudo_header() {
    let bench = Bench::build(KEEPALIVED);
    let speaker = Speaker::start(&bench, HIGH, Rfc9568);
    let ours = bench.start_ours(&OurSpec::new(LOW));
    bench.we_follow(&ours, bench.segment.address("peer"), KEEPALIVED.interval);
    assert_form(&ours, Rfc9568);
    drop(speaker);
    ours.wait_state(ROUTER, "active", SOON).unwrap();
    assert_form(&ours, Rfc9568);
    assert_we_speak(&bench, Moment::default(), Rfc9568);
    bench.settles_on(bench.our_mac());
}

/// A keepalived that knows `v3_checksum_as_v2` speaks RFC 9568 with it; an older one keeps its own form. We follow
/// either, and take over from either.
#[test]
fn auto_follows_keepalived_with_v3_checksum_as_v2() {
    let bench = Bench::build(KEEPALIVED);
    let spec = PeerSpec::new(&KEEPALIVED, HIGH).with("v3_checksum_as_v2");
    let mut peer = bench.start_peer_active(&spec);
    let form = bench.peer_advert(Moment::default()).checksum;
    assert_ne!(form, ChecksumForm::Wrong);
    let ours = bench.start_ours(&OurSpec::new(LOW));
    bench.we_follow(&ours, bench.segment.address("peer"), KEEPALIVED.interval);
    assert_form(&ours, form);
    bench.peer_dies(&mut peer);
    ours.wait_state(ROUTER, "active", SOON).unwrap();
    assert_we_speak(&bench, Moment::default(), form);
    bench.settles_on(bench.our_mac());
}

/// As an Active that has heard nobody we prefer RFC 9568 and speak the other form now and then. A Backup that cannot
/// read the first may rise once, and by that teaches us its form: the contest ends with our next advert.
#[test]
fn auto_changes_its_form_for_a_backup_that_cannot_read_it() {
    let bench = Bench::build(KEEPALIVED);
    let ours = bench.start_ours_active(&OurSpec::new(HIGH));
    let spoken = |form| bench.adverts.all().iter().filter(|advert| advert.checksum == form).count();
    eventually_true("mostly our form", SOON, || spoken(Rfc9568) > 4 * spoken(Rfc5798)).unwrap();
    assert!(spoken(Rfc5798) > 0);
    let peer = bench.start_peer(&PeerSpec::new(&KEEPALIVED, LOW));
    let theirs = bench.peer_advert(Moment::default());
    let (own, within) = (bench.our_address(), 2 * KEEPALIVED.interval);
    let changed = bench
        .adverts
        .wait_for("our advert in their form", theirs.at, SOON, |advert| {
            advert.source == own && advert.checksum == Rfc5798
        })
        .unwrap();
    assert!(changed.at.since(theirs.at) < within, "after {:?}", changed.at.since(theirs.at));
    eventually_true("the peer is Backup", SOON, || peer.is_backup()).unwrap();
    bench.settles_on(bench.our_mac());
    bench.peer_has_yielded_since(&changed);
    assert_form(&ours, Rfc5798);
    assert_eq!(ours.status().unwrap().number(ROUTER, "transitions"), 1);
}

/// Both became Active out of each other's hearing. keepalived discards the form that we prefer and, hearing only that,
/// would never speak again; the other form, sent now and then, ends the contest whoever is to win.
#[test]
fn auto_ends_a_contest_with_keepalived_after_a_partition() {
    for (our_priority, their_priority) in [(HIGH, LOW), (LOW, HIGH)] {
        let bench = Bench::build(KEEPALIVED);
        let port = bench.segment.port("peer");
        bench.segment.fabric.silence(&port).unwrap();
        let ours = bench.start_ours_active(&OurSpec::new(our_priority));
        let peer = bench.start_peer(&PeerSpec::new(&KEEPALIVED, their_priority));
        eventually_true("the peer is Active too", SOON, || peer.is_active()).unwrap();
        bench.segment.fabric.restore(&port).unwrap();
        // One that yields to the other form hears no more of us until it rises again and shows its own.
        ours.wait_status("their form", SOON, |status| status.router(ROUTER)["checksum_heard"] == "rfc5798")
            .unwrap();
        if our_priority > their_priority {
            eventually_true("the peer yields", SOON, || peer.is_backup()).unwrap();
            bench.settles_on(bench.our_mac());
            assert_eq!(ours.status().unwrap().number(ROUTER, "transitions"), 1);
        } else {
            ours.wait_state(ROUTER, "backup", SOON).unwrap();
            bench.settles_on(bench.peer_mac());
            assert!(peer.is_active());
        }
    }
}

/// With its form configured, keepalived as Backup follows from our first advert and never speaks.
#[test]
fn a_keepalived_that_reads_our_form_never_speaks() {
    let bench = Bench::build(KEEPALIVED);
    let ours = bench.start_ours_active(&with_policy(HIGH, Rfc5798));
    let peer = bench.start_peer(&PeerSpec::new(&KEEPALIVED, LOW));
    eventually_true("the peer is Backup", SOON, || peer.is_backup()).unwrap();
    always("the peer stays Backup", 3 * KEEPALIVED.active_down(LOW), || !peer.is_active()).unwrap();
    bench.settles_on(bench.our_mac());
    assert!(bench.adverts.all().iter().all(|advert| advert.source == bench.our_address()));
    assert_eq!(ours.status().unwrap().router(ROUTER)["checksum_sent"], "rfc5798");
}

/// Neither side reads the other: both are Active, and our discards say why.
#[test]
fn strict_rfc9568_discards_keepaliveds_form() {
    let bench = Bench::build(KEEPALIVED);
    let peer = bench.start_peer_active(&PeerSpec::new(&KEEPALIVED, HIGH));
    let ours = bench.start_ours_active(&with_policy(LOW, Rfc9568));
    assert_contested_by_form(&bench, &ours, Rfc9568);
    // It sends nothing more while it hears adverts that it discards, but it holds on to its role.
    always("both stay Active", Duration::from_secs(1), || {
        peer.is_active() && ours.status().unwrap().is_active(ROUTER)
    })
    .unwrap();
    assert!(bench.two_answer(), "both answer");
}

#[test]
fn strict_rfc5798_discards_the_form_without_pseudo_header() {
    let bench = Bench::build(KEEPALIVED);
    let _speaker = Speaker::start(&bench, HIGH, Rfc9568);
    let ours = bench.start_ours_active(&with_policy(LOW, Rfc5798));
    assert_contested_by_form(&bench, &ours, Rfc5798);
    let before = ours.status().unwrap().discards(ROUTER, "checksum-invalid");
    ours.wait_status("further discards", SOON, |status| {
        status.discards(ROUTER, "checksum-invalid") > before + 2 && status.is_active(ROUTER)
    })
    .unwrap();
    bench.settles_on(bench.our_mac());
}

/// Asserts that we became Active beside an Active of higher priority because we discard its adverts.
fn assert_contested_by_form(bench: &Bench, ours: &Daemon, policy: ChecksumForm) {
    let status = ours.status().unwrap();
    assert_eq!((status.cause(ROUTER), status.number(ROUTER, "transitions")), (Some("advert-timeout"), 1));
    assert!(status.discards(ROUTER, "checksum-invalid") > 0, "{:#}", status.router(ROUTER));
    assert_eq!(status.router(ROUTER)["checksum_sent"], name(policy));
    assert!(status.router(ROUTER)["checksum_heard"].is_null());
    assert_we_speak(bench, Moment::default(), policy);
}
