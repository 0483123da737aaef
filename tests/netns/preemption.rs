//! Who takes over from whom, and when: preemption, its absence, its delay, and the address owner.

use crate::support::{
    INTERVAL, LAN, MS, Router, SECOND, SOON, VIP, ask_owner, assert_moved_cleanly, owners_since, start_pair,
};
use crate::support::{start_router, transitions};
use holdfast_lab::adverts::AdvertCapture;
use holdfast_lab::clock::Moment;
use holdfast_lab::daemon::Daemon;
use holdfast_lab::poll::always;
use holdfast_lab::topology::Segment;

/// `b` (100) is Active alone, then `a` (200, as changed) comes.
fn late_better_node(change: impl Fn(Router) -> Router) -> (Segment, Daemon, Daemon, Moment) {
    let segment = Segment::build(&["a", "b", "asker"]).unwrap();
    let b = start_router(&segment, "b", &Router::new(100));
    b.wait_state(LAN, "active", SOON).unwrap();
    let begin = Moment::now();
    let a = start_router(&segment, "a", &change(Router::new(200)));
    (segment, a, b, begin)
}

/// V-098: the better node takes over; at no moment do two answer for longer than it takes to hear its advert.
#[test]
fn a_better_node_preempts() {
    let (segment, a, b, _) = late_better_node(|router| router);
    let probe = ask_owner(&segment, "asker", VIP);
    let begin = Moment::now();
    let status = a.wait_state(LAN, "active", SOON).unwrap();
    assert_eq!(status.cause(LAN), Some("preemption"));
    b.wait_state(LAN, "backup", SOON).unwrap();
    std::thread::sleep(200 * MS);
    let owners = owners_since(&probe, begin);
    assert_moved_cleanly(&owners);
    assert_eq!(b.status().unwrap().cause(LAN), Some("higher-priority"));
}

/// V-097: with `preempt = false` the better node stays Backup as long as anybody owns, and takes over from silence.
#[test]
fn without_preemption_a_better_node_waits_for_a_loss() {
    let (segment, a, b, _) = late_better_node(|router| router.with("preempt = false"));
    always("a stays Backup", 2 * SECOND, || a.status().unwrap().state(LAN) == Some("backup")).unwrap();
    segment.fabric.silence(&segment.port("b")).unwrap();
    let status = a.wait_state(LAN, "active", SOON).unwrap();
    assert_eq!(status.cause(LAN), Some("advert-timeout"));
    drop(b);
}

/// The delay runs from the first advert of the lesser owner; then, and not before, the better node takes over.
#[test]
fn preemption_waits_for_its_delay() {
    let (segment, a, b, begin) = late_better_node(|router| router.with("preempt_delay = \"2s\""));
    let probe = ask_owner(&segment, "asker", VIP);
    a.wait_state(LAN, "active", SOON).unwrap();
    let waited = begin.elapsed();
    assert!(waited >= 2 * SECOND, "took over after {waited:?}");
    assert_eq!(a.status().unwrap().cause(LAN), Some("preemption"));
    b.wait_state(LAN, "backup", SOON).unwrap();
    let owners = owners_since(&probe, begin + SECOND);
    assert_moved_cleanly(&owners);
}

/// The delay does not hold a node back when nobody owns the address.
#[test]
fn a_delay_does_not_prolong_a_loss() {
    let (segment, a, _b, _) = late_better_node(|router| router.with("preempt_delay = \"60s\""));
    a.wait_status("a hears b", SOON, |status| status.number(LAN, "adverts_received") > 2).unwrap();
    assert_eq!(a.status().unwrap().state(LAN), Some("backup"));
    segment.fabric.silence(&segment.port("b")).unwrap();
    let status = a.wait_state(LAN, "active", 2 * SECOND).unwrap();
    assert_eq!(status.cause(LAN), Some("advert-timeout"));
}

/// V-090, V-099: the owner of the address is Active at once, its advert is the first word, and it preempts always.
#[test]
fn the_address_owner_is_active_at_once() {
    let segment = Segment::build(&["a", "b", "asker"]).unwrap();
    let b = start_router(&segment, "b", &Router::new(254).addresses(&["192.0.2.10/24"]));
    b.wait_state(LAN, "active", SOON).unwrap();
    let capture = AdvertCapture::start(segment.host("asker"), Segment::INTERFACE).unwrap();
    let begin = Moment::now();
    let owner = Router::new(255).addresses(&["192.0.2.10/24"]).with("preempt = false");
    let mut a = start_router(&segment, "a", &owner);
    a.wait_state(LAN, "active", SOON).unwrap();
    let first = capture.wait_for("the owner's advert", begin, SOON, |advert| advert.priority == 255).unwrap();
    assert_eq!(first.source, segment.address("a"), "the owner's own address is its source");
    assert_eq!(transitions(&a, LAN), ["initialize>active:owner-startup"]);
    b.wait_state(LAN, "backup", SOON).unwrap();
    // The address stood before the daemon came, so it stands when it has gone.
    a.stop().unwrap();
    assert!(segment.host("a").has_address(Segment::INTERFACE, "192.0.2.10"));
}

/// V-095, V-096: an equal or better advert is deferred to; nobody moves while both are there.
#[test]
fn equal_priorities_do_not_contend() {
    let segment = Segment::build(&["a", "b"]).unwrap();
    let a = start_router(&segment, "a", &Router::new(100));
    a.wait_state(LAN, "active", SOON).unwrap();
    // b has the greater address, which decides only between two Actives.
    let b = start_router(&segment, "b", &Router::new(100));
    std::thread::sleep(10 * INTERVAL);
    assert_eq!(transitions(&b, LAN), ["initialize>backup:startup"]);
    assert_eq!(transitions(&a, LAN).len(), 2);
}

/// V-093: a Backup stops without a word.
#[test]
fn a_backup_stops_silently() {
    let segment = Segment::build(&["a", "b", "ear"]).unwrap();
    let (a, mut b) = start_pair(&segment, |router| router);
    let capture = AdvertCapture::start(segment.host("ear"), Segment::INTERFACE).unwrap();
    let begin = Moment::now();
    b.stop().unwrap();
    std::thread::sleep(3 * INTERVAL);
    let of_b = segment.address("b");
    assert!(capture.since(begin).iter().all(|advert| advert.source != of_b), "{:?}", capture.since(begin));
    assert_eq!(transitions(&a, LAN).len(), 2);
}
