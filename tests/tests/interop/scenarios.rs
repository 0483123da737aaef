//! What every peer must be able to play with us.

use crate::bench::{Bench, OurSpec, SOON};
use crate::peer::PeerSpec;
use crate::setup::{ROUTER, Setup};
use holdfast_lab::clock::Moment;
use holdfast_lab::poll::{always, eventually_true};
use std::time::Duration;

pub(crate) const HIGH: u8 = 200;
pub(crate) const LOW: u8 = 100;
/// Stamps of two captures may differ by this where nothing is wrong.
const STAMP_TOLERANCE: Duration = Duration::from_millis(2);
/// What a busy machine may add to a timer.
const LATE: Duration = Duration::from_millis(500);

/// They are Active and we follow; their node dies and we take over in time, not before.
pub(crate) fn we_follow_and_take_over(setup: Setup) {
    let bench = Bench::build(setup);
    let mut peer = bench.start_peer_active(&PeerSpec::new(&setup, HIGH));
    let begin = Moment::now();
    let ours = bench.start_ours(&OurSpec::new(LOW));
    let heard = bench.peer_advert(begin);
    assert_eq!((heard.priority, heard.version), (HIGH, setup.version));
    bench.we_follow(&ours, heard.source, setup.interval);
    bench.settles_on(bench.peer_mac());
    bench.host_resolves();
    bench.host_cache_follows(bench.peer_mac());
    let status = bench.we_follow(&ours, heard.source, setup.interval);
    assert_eq!((status.number(ROUTER, "transitions"), status.number(ROUTER, "adverts_sent")), (0, 0));
    assert!(bench.adverts.all().iter().all(|advert| advert.source != bench.our_address()));

    bench.peer_dies(&mut peer);
    let last = bench.last_peer_advert();
    let first = bench.our_advert(last.at);
    assert_in_time("takeover", first.at.since(last.at), setup.active_down(LOW));
    let status = ours.wait_state(ROUTER, "active", SOON).unwrap();
    assert_eq!((status.cause(ROUTER), status.number(ROUTER, "transitions")), (Some("advert-timeout"), 1));
    bench.settles_on(bench.our_mac());
    bench.host_cache_follows(bench.our_mac());
    bench.traffic_reaches("ours");
    assert!(ours.status().unwrap().owned(ROUTER));
}

/// We are Active and they follow; our daemon dies and they take over; it returns and takes its role back.
pub(crate) fn they_follow_and_take_over(setup: Setup) {
    let bench = Bench::build(setup);
    let mut ours = bench.start_ours_active(&OurSpec::new(HIGH));
    let peer = bench.start_peer_backup(&PeerSpec::new(&setup, LOW), &ours);
    bench.settles_on(bench.our_mac());
    bench.host_resolves();
    bench.host_cache_follows(bench.our_mac());
    always("the peer stays Backup", setup.active_down(LOW) + LATE, || !peer.is_active()).unwrap();
    let status = ours.status().unwrap();
    assert_eq!((status.state(ROUTER), status.number(ROUTER, "transitions")), (Some("active"), 1));

    ours.kill9();
    let last = bench.last_our_advert();
    let theirs = bench.peer_advert(last.at);
    assert_in_time("their takeover", theirs.at.since(last.at), setup.peers_active_down(LOW));
    eventually_true("the peer is Active", SOON, || peer.is_active()).unwrap();
    bench.settles_on(bench.peer_mac());
    bench.we_have_yielded_since(&theirs);
    bench.host_cache_follows(bench.peer_mac());

    let back = Moment::now();
    ours.restart().unwrap();
    let status = ours.wait_state(ROUTER, "active", SOON).unwrap();
    assert_eq!((status.cause(ROUTER), status.number(ROUTER, "transitions")), (Some("preemption"), 1));
    bench.settles_on(bench.our_mac());
    bench.peer_has_yielded_since(&bench.our_advert(back));
    bench.host_cache_follows(bench.our_mac());
    bench.traffic_reaches("ours");
    eventually_true("the peer is Backup", SOON, || peer.is_backup()).unwrap();
}

/// They come with the higher priority and take our role; then they give it up with priority 0.
pub(crate) fn they_preempt_and_release(setup: Setup) {
    let bench = Bench::build(setup);
    let ours = bench.start_ours_active(&OurSpec::new(LOW));
    bench.settles_on(bench.our_mac());
    let mut peer = bench.start_peer_active(&PeerSpec::new(&setup, HIGH));
    let theirs = bench.peer_advert(Moment::default());
    let status = ours.wait_state(ROUTER, "backup", SOON).unwrap();
    assert_eq!(status.cause(ROUTER), Some("higher-priority"));
    bench.settles_on(bench.peer_mac());
    bench.we_have_yielded_since(&theirs);
    bench.we_follow(&ours, theirs.source, setup.interval);

    let stop = Moment::now();
    peer.stop();
    let release =
        bench.adverts.wait_for("their priority 0", stop, SOON, |advert| advert.priority == 0).unwrap();
    let first = bench.our_advert(release.at);
    assert_in_time("succession", first.at.since(release.at), setup.skew(LOW));
    assert!(first.at.since(release.at) < setup.active_down(LOW), "the release was not taken for one");
    let status = ours.wait_state(ROUTER, "active", SOON).unwrap();
    assert_eq!((status.cause(ROUTER), status.number(ROUTER, "transitions")), (Some("priority-zero"), 2));
    bench.settles_on(bench.our_mac());
    bench.peer_has_yielded_since(&first);
}

/// We stop gracefully: one advert of priority 0, and we answer until the successor has spoken.
pub(crate) fn we_release_and_serve_until_succeeded(setup: Setup) {
    let bench = Bench::build(setup);
    let mut ours = bench.start_ours_active(&OurSpec::new(HIGH));
    let peer = bench.start_peer_backup(&PeerSpec::new(&setup, LOW), &ours);
    bench.settles_on(bench.our_mac());

    let stop = Moment::now();
    assert!(ours.stop().unwrap().success());
    let theirs = bench.peer_advert(stop);
    eventually_true("the peer is Active", SOON, || peer.is_active()).unwrap();
    bench.settles_on(bench.peer_mac());
    let releases: Vec<_> = bench.adverts.since(stop).into_iter().filter(|a| a.priority == 0).collect();
    assert_eq!(releases.len(), 1, "one advert of priority 0: {releases:?}");
    assert_eq!(releases[0].source, bench.our_address());
    assert!(bench.adverts.since(theirs.at).iter().all(|advert| advert.source == theirs.source));
    bench.we_served_until(stop, releases[0].at + setup.peers_skew(LOW), &theirs);
    bench.we_have_yielded_since(&theirs);
    for address in setup.bare_addresses() {
        let shown = bench.segment.host("ours").ip("-o addr show").unwrap();
        assert!(!shown.contains(&format!(" {address}/")), "{address} is left behind: {shown}");
    }
}

/// The operator moves the role to them; we stay Backup although ours is the higher priority, and return when they die.
pub(crate) fn failover_moves_to_them(setup: Setup) {
    let bench = Bench::build(setup);
    let ours = bench.start_ours_active(&OurSpec::new(HIGH));
    let mut peer = bench.start_peer_backup(&PeerSpec::new(&setup, LOW), &ours);
    bench.settles_on(bench.our_mac());

    let begin = Moment::now();
    ours.cli_ok(&["failover"]).unwrap();
    let theirs = bench.peer_advert(begin);
    let status = ours.wait_state(ROUTER, "backup", SOON).unwrap();
    assert_eq!(status.cause(ROUTER), Some("failover-command"));
    bench.settles_on(bench.peer_mac());
    bench.we_have_yielded_since(&theirs);
    always("we do not preempt at once", 2 * setup.active_down(LOW), || {
        ours.status().unwrap().state(ROUTER) == Some("backup")
    })
    .unwrap();

    bench.peer_dies(&mut peer);
    let status = ours.wait_state(ROUTER, "active", SOON).unwrap();
    assert_eq!(status.cause(ROUTER), Some("advert-timeout"));
    bench.settles_on(bench.our_mac());
}

/// With `preempt = false` we leave a lower-priority Active alone until it dies.
pub(crate) fn we_do_not_preempt_when_told_not_to(setup: Setup) {
    let bench = Bench::build(setup);
    let mut peer = bench.start_peer_active(&PeerSpec::new(&setup, LOW));
    let begin = Moment::now();
    let ours = bench.start_ours(&OurSpec::new(HIGH).without_preemption());
    let heard = bench.peer_advert(begin);
    bench.we_follow(&ours, heard.source, setup.interval);
    bench.settles_on(bench.peer_mac());
    always("we stay Backup", 2 * setup.active_down(LOW), || {
        ours.status().unwrap().state(ROUTER) == Some("backup")
    })
    .unwrap();
    assert!(bench.adverts.all().iter().all(|advert| advert.source != bench.our_address()));

    bench.peer_dies(&mut peer);
    let status = ours.wait_state(ROUTER, "active", SOON).unwrap();
    assert_eq!((status.cause(ROUTER), status.number(ROUTER, "transitions")), (Some("advert-timeout"), 1));
    bench.settles_on(bench.our_mac());
}

/// A peer that does not preempt leaves our lower-priority Active alone.
pub(crate) fn they_do_not_preempt_when_told_not_to(setup: Setup) {
    let bench = Bench::build(setup);
    let ours = bench.start_ours_active(&understood_at_once(&setup, LOW));
    let peer = bench.start_peer(&PeerSpec::new(&setup, HIGH).without_preemption());
    eventually_true("the peer is Backup", SOON, || peer.is_backup()).unwrap();
    always("the peer stays Backup", 2 * setup.active_down(LOW), || !peer.is_active()).unwrap();
    bench.settles_on(bench.our_mac());
    assert!(bench.adverts.all().iter().all(|advert| advert.source == bench.our_address()));
    let status = ours.status().unwrap();
    assert_eq!((status.state(ROUTER), status.number(ROUTER, "transitions")), (Some("active"), 1));
}

/// Both are Active at one priority until the segment heals: the greater address stays (RFC 9568 section 6.4.3).
pub(crate) fn the_greater_address_wins_a_tie(setup: Setup) {
    const EVEN: u8 = 150;
    let bench = Bench::build(setup);
    let port = bench.segment.port("peer");
    bench.segment.fabric.silence(&port).unwrap();
    let ours = bench.start_ours_active(&understood_at_once(&setup, EVEN));
    let peer = bench.start_peer_active(&PeerSpec::new(&setup, EVEN));
    bench.host_resolves();

    let healed = Moment::now();
    bench.segment.fabric.restore(&port).unwrap();
    if setup.our_address_is_greater {
        bench.settles_on(bench.our_mac());
        bench.peer_has_yielded_since(&bench.our_advert(healed));
        bench.host_cache_follows(bench.our_mac());
        bench.traffic_reaches("ours");
        let status = ours.status().unwrap();
        assert_eq!((status.state(ROUTER), status.number(ROUTER, "transitions")), (Some("active"), 1));
        assert!(!peer.is_active());
    } else {
        let status = ours.wait_state(ROUTER, "backup", SOON).unwrap();
        assert_eq!(status.cause(ROUTER), Some("tie-break"));
        bench.settles_on(bench.peer_mac());
        bench.we_have_yielded_since(&bench.peer_advert(healed));
        assert!(peer.is_active());
    }
}

/// A configuration of ours whose adverts the peer can read before it has said a word.
fn understood_at_once(setup: &Setup, priority: u8) -> OurSpec {
    let spec = OurSpec::new(priority);
    if setup.has_checksum_forms() { spec.with("checksum = \"rfc5798\"") } else { spec }
}

/// Asserts that a timer of length `due` ran out when it should, and never before.
pub(crate) fn assert_in_time(what: &str, took: Duration, due: Duration) {
    assert!(took + STAMP_TOLERANCE >= due, "{what} after {took:?}, before {due:?}");
    assert!(took <= due + LATE, "{what} after {took:?}, due after {due:?}");
}
