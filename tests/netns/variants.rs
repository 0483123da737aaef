//! The same election in other clothes: VRRPv2, unicast, the older checksum form, and many routers on one interface.

use crate::support::{
    INTERVAL, LAN, MS, Router, SECOND, SOON, VIP, VRID, ask_owner, assert_moved_cleanly, owners_for,
    owners_since,
};
use crate::support::{start, start_pair, start_router, transition_count, transitions};
use holdfast_lab::adverts::AdvertCapture;
use holdfast_lab::clock::Moment;
use holdfast_lab::forge::{AdvertSpec, ChecksumForm};
use holdfast_lab::packet_socket::PacketSocket;
use holdfast_lab::poll::eventually_true;
use holdfast_lab::topology::Segment;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// V-047, V-049, V-056, V-100: a VRRPv2 pair at its shortest interval; takeover after 3 s and the skew, or at once when
/// released.
#[test]
fn a_vrrpv2_pair_fails_over() {
    let segment = Segment::build(&["a", "b", "ear"]).unwrap();
    let two = |router: Router| router.interval(SECOND).with("version = 2");
    let capture = AdvertCapture::start(segment.host("ear"), Segment::INTERFACE).unwrap();
    let (mut a, b) = start_pair(&segment, two);
    let heard = capture.wait_for("an advert", Moment::now(), SOON, |_| true).unwrap();
    assert_eq!((heard.version, heard.interval, heard.checksum), (2, SECOND, ChecksumForm::Rfc9568));
    let probe = ask_owner(&segment, "ear", VIP);
    let lost = Moment::now();
    segment.fabric.silence(&segment.port("a")).unwrap();
    b.wait_state(LAN, "active", SOON).unwrap();
    let took = lost.elapsed();
    // From the last advert 3.609 s; it was up to one interval old.
    assert!(took > 2500 * MS && took < 4200 * MS, "{took:?}");
    segment.fabric.restore(&segment.port("a")).unwrap();
    b.wait_state(LAN, "backup", SOON).unwrap();
    let begin = Moment::now();
    assert!(a.stop().unwrap().success());
    b.wait_state(LAN, "active", SOON).unwrap();
    std::thread::sleep(200 * MS);
    let owners = owners_since(&probe, begin);
    assert_moved_cleanly(&owners);
    assert_eq!(owners.by_owner.len(), 2, "{owners:?}");
    assert_eq!(b.status().unwrap().cause(LAN), Some("priority-zero"));
}

/// V-058: VRRPv2 does not answer a losing advert.
#[test]
fn vrrpv2_ignores_a_losing_advert_silently() {
    let segment = Segment::build(&["a", "tester"]).unwrap();
    let a = start_router(&segment, "a", &Router::new(100).interval(SECOND).with("version = 2"));
    a.wait_state(LAN, "active", SOON).unwrap();
    let capture = AdvertCapture::start(segment.host("tester"), Segment::INTERFACE).unwrap();
    capture.wait_for("a scheduled advert", Moment::now(), SOON, |_| true).unwrap();
    let tester = PacketSocket::open(segment.host("tester"), Segment::INTERFACE).unwrap();
    let IpAddr::V4(source) = segment.address("tester") else { unreachable!() };
    let at = Moment::now();
    tester.send(&AdvertSpec::v2(source, tester.mac, VRID, 50, &[VIP.into()]).frame()).unwrap();
    std::thread::sleep(300 * MS);
    let own = segment.address("a");
    assert!(capture.since(at).iter().all(|advert| advert.source != own), "{:?}", capture.since(at));
    assert!(a.status().unwrap().is_active(LAN));
}

/// V-165, V-166, V-168: unicast copies to each peer, and only the peers are listened to.
#[test]
fn a_unicast_pair_fails_over_and_hears_only_its_peers() {
    let segment = Segment::build(&["a", "b", "tester"]).unwrap();
    let peers = |peer: &str| format!("unicast_peers = [\"{}\"]", segment.address(peer));
    let a = start_router(&segment, "a", &Router::new(200).with(&peers("b")));
    a.wait_state(LAN, "active", SOON).unwrap();
    let b = start_router(&segment, "b", &Router::new(100).with(&peers("a")));
    b.wait_status("b hears a", SOON, |status| status.number(LAN, "adverts_received") > 3).unwrap();
    assert_eq!(transitions(&b, LAN), ["initialize>backup:startup"]);

    let tester = PacketSocket::open(segment.host("tester"), Segment::INTERFACE).unwrap();
    let winner = AdvertSpec::v3(segment.address("tester"), tester.mac, VRID, 250, &[VIP.into()]);
    let mut direct = winner.clone();
    direct.destination = segment.address("a");
    direct.destination_mac = crate::support::mac(segment.host("a"), Segment::INTERFACE);
    for _ in 0..10 {
        tester.send(&winner.frame()).unwrap();
        tester.send(&direct.frame()).unwrap();
        std::thread::sleep(10 * MS);
    }
    let status = a.status().unwrap();
    assert!(status.is_active(LAN));
    assert_eq!(status.discards(LAN, "source-untrusted"), 10, "{:#}", status.router(LAN));
    assert_eq!(status.discards(LAN, "destination-invalid"), 10, "{:#}", status.router(LAN));

    segment.fabric.silence(&segment.port("a")).unwrap();
    let status = b.wait_state(LAN, "active", SOON).unwrap();
    assert_eq!(status.cause(LAN), Some("advert-timeout"));
    segment.fabric.restore(&segment.port("a")).unwrap();
    b.wait_state(LAN, "backup", SOON).unwrap();
}

/// V-034, V-037, decision D1: `auto` answers in the form last heard; the strict modes hear only their own.
#[test]
fn checksum_forms_are_as_configured() {
    let segment = Segment::build(&["a", "tester"]).unwrap();
    let a = start_router(&segment, "a", &Router::new(100));
    a.wait_state(LAN, "active", SOON).unwrap();
    let capture = AdvertCapture::start(segment.host("tester"), Segment::INTERFACE).unwrap();
    let own = segment.address("a");
    let speaks = |form: ChecksumForm| {
        let is_so = |advert: &holdfast_lab::adverts::Advert| advert.source == own && advert.checksum == form;
        capture.wait_for(&format!("an advert in {form:?}"), Moment::now(), SOON, is_so)
    };
    speaks(ChecksumForm::Rfc9568).unwrap();
    let tester = PacketSocket::open(segment.host("tester"), Segment::INTERFACE).unwrap();
    let mut rival = AdvertSpec::v3(segment.address("tester"), tester.mac, VRID, 50, &[VIP.into()]);
    rival.checksum = ChecksumForm::Rfc5798;
    rival.interval = 10;
    tester.send(&rival.frame()).unwrap();
    speaks(ChecksumForm::Rfc5798).unwrap();
    let status = a.status().unwrap();
    assert_eq!(status.router(LAN)["checksum_sent"], "rfc5798");
    assert_eq!(status.router(LAN)["checksum_heard"], "rfc5798");
    assert!(status.is_active(LAN));

    a.set_config(&Router::new(100).with("checksum = \"rfc9568\"").text()).unwrap();
    a.cli_ok(&["reload"]).unwrap();
    speaks(ChecksumForm::Rfc9568).unwrap();
    rival.priority = 250;
    let before = a.status().unwrap().discards(LAN, "checksum-invalid");
    tester.send(&rival.frame()).unwrap();
    eventually_true("the other form is refused", SECOND, || {
        a.status().unwrap().discards(LAN, "checksum-invalid") == before + 1
    })
    .unwrap();
    assert!(a.status().unwrap().is_active(LAN));
}

/// Fifty virtual routers on one interface: all advertise on time, all move, none is missed.
#[test]
fn fifty_routers_on_one_interface_move_together() {
    const ROUTERS: u8 = 50;
    let segment = Segment::build(&["a", "b", "ear"]).unwrap();
    let config = |priority: u8| {
        let router = |number: u8| {
            let address = format!("192.0.2.{}/32", 100 + number);
            Router::new(priority).name(&format!("r{number}")).vrid(number).addresses(&[&address]).text()
        };
        (1..=ROUTERS).map(router).collect::<String>()
    };
    let all = |status: &holdfast_lab::daemon::Status, state: &str| {
        (1..=ROUTERS).all(|number| status.state(&format!("r{number}")) == Some(state))
    };
    let a = start(&segment, "a", &config(200));
    a.wait_status("all Active", SOON, |status| all(status, "active")).unwrap();
    let b = start(&segment, "b", &config(100));
    b.wait_status("all heard", SOON, |status| {
        (1..=ROUTERS).all(|number| status.number(&format!("r{number}"), "adverts_received") > 0)
    })
    .unwrap();
    let capture = AdvertCapture::start(segment.host("ear"), Segment::INTERFACE).unwrap();
    let begin = Moment::now();
    std::thread::sleep(2 * SECOND);
    let end = Moment::now();
    let due = (end.since(begin).as_nanos() / INTERVAL.as_nanos()) as usize;
    // The capture reads in order: with the next adverts in hand it has all before them.
    capture.wait_for("the adverts after the last", end + INTERVAL, SOON, |_| true).unwrap();
    let mut sent: BTreeMap<u8, usize> = BTreeMap::new();
    for advert in capture.since(begin).iter().filter(|advert| advert.at <= end) {
        *sent.entry(advert.vrid).or_default() += 1;
    }
    let late: Vec<_> = sent.iter().filter(|(_, count)| **count + 1 < due).collect();
    assert!(sent.len() == usize::from(ROUTERS) && late.is_empty(), "{due} due, late are {late:?}");
    assert_eq!(transition_count(&b.status().unwrap()), 0, "none of b's has been Active");

    let probes =
        [101u8, 150].map(|last| ask_owner(&segment, "ear", std::net::Ipv4Addr::new(192, 0, 2, last)));
    segment.fabric.silence(&segment.port("a")).unwrap();
    b.wait_status("all moved", SOON, |status| all(status, "active")).unwrap();
    for probe in &probes {
        let owners = owners_for(probe, 500 * MS);
        assert_eq!((owners.unanswered, owners.contested, owners.by_owner.len()), (0, 0, 1), "{owners:?}");
    }
    let standing = segment.host("b").ip("-o addr show dev eth0").unwrap();
    let held = standing.lines().filter(|line| line.contains("/32 ")).count();
    assert_eq!(held, usize::from(ROUTERS), "{standing}");
    segment.fabric.restore(&segment.port("a")).unwrap();
    b.wait_status("all moved back", SOON, |status| all(status, "backup")).unwrap();
    let standing = segment.host("b").ip("-o addr show dev eth0").unwrap();
    eventually_true("no address is left", SECOND, || {
        !segment.host("b").ip("-o addr show dev eth0").unwrap().contains("/32 ")
    })
    .unwrap_or_else(|error| panic!("{error}: {standing}"));
}
