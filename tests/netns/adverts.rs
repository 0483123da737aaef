//! Contests on the wire: losing adverts are answered in the kernel within a bound, winning ones end ownership at once.

use crate::bad_adverts::flood;
use crate::support::{
    INTERVAL, LAN, MARGIN, MS, Router, SECOND, SOON, VIP, VRID, ask_owner, mac, owners_since,
};
use crate::support::{start_router, transition_count, transitions};
use holdfast_lab::adverts::AdvertCapture;
use holdfast_lab::clock::Moment;
use holdfast_lab::daemon::Daemon;
use holdfast_lab::forge::{AdvertSpec, ChecksumForm};
use holdfast_lab::packet_socket::PacketSocket;
use holdfast_lab::poll::eventually_true;
use holdfast_lab::topology::Segment;
use std::net::IpAddr;
use std::time::Duration;

/// Immediate adverts per interval (V-107).
const ANSWERS_PER_INTERVAL: u64 = 10;

struct Contest {
    capture: AdvertCapture,
    tester: PacketSocket,
    a: Daemon,
    segment: Segment,
}

impl Contest {
    /// `a` (192.0.2.11) is Active; the tester (192.0.2.12) can say anything.
    fn start(router: &Router) -> Self {
        let segment = Segment::build(&["smaller", "a", "tester", "ear"]).unwrap();
        let a = start_router(&segment, "a", router);
        a.wait_state(LAN, "active", SOON).unwrap();
        let tester = PacketSocket::open(segment.host("tester"), Segment::INTERFACE).unwrap();
        let own = mac(segment.host("a"), Segment::INTERFACE);
        let capture = AdvertCapture::start_from(segment.host("ear"), Segment::INTERFACE, own).unwrap();
        Contest { capture, tester, a, segment }
    }

    fn advert(&self, source: IpAddr, priority: u8) -> AdvertSpec {
        AdvertSpec { interval: 10, ..AdvertSpec::v3(source, self.tester.mac, VRID, priority, &[VIP.into()]) }
    }

    fn send(&self, priority: u8) {
        let advert = self.advert(self.segment.address("tester"), priority);
        self.tester.send(&advert.frame()).unwrap();
    }
}

/// V-105, V-106: a losing advert is answered at once, in XDP, and the schedule stays as it was.
#[test]
fn losing_adverts_are_answered_at_once_in_xdp() {
    let long = Duration::from_secs(2);
    let contest = Contest::start(&Router::new(100).interval(long));
    let first = contest.capture.wait_for("a scheduled advert", Moment::now(), SOON, |_| true).unwrap();
    std::thread::sleep(300 * MS);
    let smaller = contest.segment.address("smaller");
    // Lower priority, from whatever address; equal priority from a smaller one.
    for (source, priority) in [(contest.segment.address("tester"), 50), (smaller, 100), (smaller, 1)] {
        let before = contest.a.status().unwrap().number(LAN, "adverts_answered_in_xdp");
        let at = Moment::now();
        contest.tester.send(&contest.advert(source, priority).frame()).unwrap();
        let answer = contest.capture.wait_for("an answer", at, SECOND, |_| true).unwrap();
        assert!(answer.at.since(at) < 20 * MS, "priority {priority}: {:?}", answer.at.since(at));
        assert_eq!((answer.priority, answer.ttl, answer.interval), (100, 255, long));
        assert_eq!((answer.source, answer.checksum), (contest.segment.address("a"), ChecksumForm::Rfc9568));
        assert_eq!(answer.addresses, [IpAddr::from(VIP)]);
        let after = contest.a.status().unwrap().number(LAN, "adverts_answered_in_xdp");
        assert_eq!(after, before + 1, "answered in XDP");
        std::thread::sleep(50 * MS);
        assert_eq!(contest.capture.since(at).len(), 1, "one answer to one advert");
    }
    let next = contest.capture.wait_for("the next scheduled", first.at + SECOND, SOON, |_| true).unwrap();
    let gap = next.at.since(first.at);
    assert!(gap > long - MARGIN && gap < long + MARGIN, "the schedule is untouched: {gap:?}");
    assert_eq!(transitions(&contest.a, LAN).len(), 2);
}

/// V-107: answers are bounded, however fast losing adverts come; scheduled ones leave all the same.
#[test]
fn a_storm_of_losing_adverts_is_answered_within_the_bound() {
    let contest = Contest::start(&Router::new(100));
    let before = contest.a.status().unwrap();
    let frame = contest.advert(contest.segment.address("tester"), 50).frame();
    let begin = Moment::now();
    let sent = flood(&contest.tester, &frame, begin + 2 * SECOND);
    let intervals = begin.elapsed().as_nanos() as u64 / INTERVAL.as_nanos() as u64;
    let after = contest.a.status().unwrap();
    let grown = |field: &str| after.number(LAN, field) - before.number(LAN, field);
    let answered = grown("adverts_answered_in_xdp");
    println!(
        "{sent} losing adverts in {intervals} intervals: {answered} answers, {} scheduled",
        grown("adverts_sent")
    );
    // Windows begin with the first advert; two CPUs may both take the last answer of one.
    assert!(answered <= (ANSWERS_PER_INTERVAL + 1) * (intervals + 2), "{answered} answers");
    assert!(answered >= intervals, "{answered} answers in {intervals} intervals");
    assert!(grown("adverts_sent") + 1 >= intervals, "{} of {intervals} left", grown("adverts_sent"));
    assert!(after.discards(LAN, "advert-answer-limited") > 0);
    assert_eq!(transition_count(&after), transition_count(&before));
}

/// V-103, design section 3: a winning advert revokes in the data plane, before the controller has acted.
#[test]
fn a_winning_advert_ends_ownership_at_once() {
    let contest = Contest::start(&Router::new(100));
    let probe = ask_owner(&contest.segment, "ear", VIP);
    eventually_true("a answers", SOON, || probe.last_owner().is_some()).unwrap();
    let at = Moment::now();
    contest.send(200);
    let status = contest.a.wait_state(LAN, "backup", SOON).unwrap();
    assert_eq!(status.cause(LAN), Some("higher-priority"));
    assert!(status.discards(LAN, "advert-revoked") >= 1, "revoked in the data plane");
    assert!(!status.owned(LAN));
    eventually_true("the address is gone", SECOND, || {
        !contest.segment.host("a").has_address(Segment::INTERFACE, &VIP.to_string())
    })
    .unwrap();
    // The tester says nothing more, so `a` takes over again after its Active_Down_Interval of 361 ms.
    (at + 330 * MS).sleep_until();
    let silent = probe.window(at + 5 * MS, at + 290 * MS);
    assert!(silent.asked > 200 && silent.unanswered == silent.asked, "{silent:?}");
    let adverts = contest.capture.since(at + 5 * MS);
    assert_eq!(adverts, [], "no advert while Backup, none of priority 0");
    contest.a.wait_state(LAN, "active", SOON).unwrap();
    assert_eq!(contest.a.status().unwrap().cause(LAN), Some("advert-timeout"));
}

/// V-104, V-108, V-109, V-110: the greater source address wins a tie, unsigned; Preempt_Mode is not asked.
#[test]
fn a_tie_is_won_by_the_greater_address() {
    let contest = Contest::start(&Router::new(100).with("preempt = false"));
    contest.send(100);
    let status = contest.a.wait_state(LAN, "backup", SOON).unwrap();
    assert_eq!(status.cause(LAN), Some("tie-break"));
}

/// V-102: an advert of priority 0 is answered with ours at once.
#[test]
fn priority_zero_from_another_is_answered() {
    let contest = Contest::start(&Router::new(100).interval(2 * SECOND));
    contest.capture.wait_for("a scheduled advert", Moment::now(), SOON, |_| true).unwrap();
    std::thread::sleep(200 * MS);
    let at = Moment::now();
    contest.send(0);
    let answer = contest.capture.wait_for("an answer", at, SECOND, |_| true).unwrap();
    assert!(answer.at.since(at) < 20 * MS && answer.priority == 100, "{answer:?}");
    assert!(contest.a.status().unwrap().is_active(LAN));
}

/// V-072: our own adverts coming back change nothing and are not answered.
#[test]
fn our_own_adverts_coming_back_are_no_event() {
    let contest = Contest::start(&Router::new(100));
    let own = mac(contest.segment.host("a"), Segment::INTERFACE);
    let mut echo = contest.advert(contest.segment.address("a"), 100);
    echo.source_mac = own;
    // Sent from the port's side of the wire, as a hub or a loop would.
    let port = contest.segment.port("a");
    let wire = PacketSocket::open(contest.segment.fabric.namespace(), &port.name).unwrap();
    let before = contest.a.status().unwrap();
    for _ in 0..50 {
        wire.send(&echo.frame()).unwrap();
        std::thread::sleep(5 * MS);
    }
    let after = contest.a.status().unwrap();
    assert_eq!(after.discards(LAN, "advert-self"), before.discards(LAN, "advert-self") + 50);
    let answered = "adverts_answered_in_xdp";
    assert_eq!(after.number(LAN, answered), before.number(LAN, answered));
    assert_eq!(transition_count(&after), transition_count(&before));
}

/// V-105 in the long run: a rival that goes on with a lower priority is refuted and the hosts hear the owner again.
#[test]
fn a_losing_rival_does_not_win_the_hosts() {
    let contest = Contest::start(&Router::new(100));
    let probe = ask_owner(&contest.segment, "ear", VIP);
    let begin = Moment::now() + 100 * MS;
    for _ in 0..20 {
        contest.send(50);
        std::thread::sleep(INTERVAL);
    }
    let owners = owners_since(&probe, begin);
    assert_eq!((owners.contested, owners.by_owner.len()), (0, 1), "{owners:?}");
    assert_eq!(transitions(&contest.a, LAN).len(), 2);
}
