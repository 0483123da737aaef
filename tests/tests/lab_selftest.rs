//! The lab proves itself: with the real keepalived and FRR in place of the product, its wires, its faults and its
//! instruments show what is known to be true.

#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use holdfast_lab::adverts::AdvertCapture;
use holdfast_lab::clock::Moment;
use holdfast_lab::episode::{Event, Rig};
use holdfast_lab::forge::{AdvertSpec, ChecksumForm, mac_text};
use holdfast_lab::frr::{Frr, FrrRouter};
use holdfast_lab::gateway_pair::{GatewayPair, Product};
use holdfast_lab::keepalived::{Instance, Keepalived, KeepalivedConfig};
use holdfast_lab::netns::{self, LabName, Namespace};
use holdfast_lab::owners::OwnerProbe;
use holdfast_lab::packet_socket::PacketSocket;
use holdfast_lab::poll::eventually_true;
use holdfast_lab::topology::{GatewayLab, LAN_VIP, Leg, SERVER, Segment, Side};
use holdfast_lab::traffic::Stream;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const SOON: Duration = Duration::from_secs(10);
const INTERVAL: Duration = Duration::from_millis(100);
const VRID: u8 = 51;

fn vip() -> IpAddr {
    LAN_VIP.into()
}

/// Says whether a datagram from `from` reaches an address of `to`.
fn reaches(from: &Namespace, to: &Namespace, address: IpAddr) -> bool {
    const PORT: u16 = 7007;
    let bound = to.enter(|| UdpSocket::bind((address, PORT))).unwrap();
    let receiver = bound.unwrap();
    receiver.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let sent = from.enter(|| UdpSocket::bind("0.0.0.0:0").unwrap().send_to(b"x", (address, PORT))).unwrap();
    sent.is_ok() && receiver.recv(&mut [0u8; 8]).is_ok()
}

#[test]
fn a_namespace_ends_with_its_value() {
    let lab = LabName::unique();
    let path = Path::new("/run/netns").join(lab.part("alone"));
    let namespace = Namespace::create(&lab, "alone").unwrap();
    assert!(path.exists());
    let sleeper = namespace.command("sleep").arg("60").spawn().unwrap();
    drop(namespace);
    assert!(!path.exists());
    let mut sleeper = sleeper;
    assert!(!sleeper.wait().unwrap().success(), "what ran inside is killed");
}

#[test]
fn a_namespace_ends_when_its_test_panics() {
    let lab = LabName::unique();
    let path = Path::new("/run/netns").join(lab.part("panic"));
    let outcome = std::panic::catch_unwind(|| {
        let _namespace = Namespace::create(&lab, "panic").unwrap();
        assert!(path.exists());
        panic!("on purpose");
    });
    assert!(outcome.is_err() && !path.exists());
}

#[test]
fn a_command_runs_inside_its_namespace() {
    let lab = LabName::unique();
    let namespace = Namespace::create(&lab, "inside").unwrap();
    let output = namespace.command("ip").args(["-o", "link"]).output().unwrap();
    let links = String::from_utf8(output.stdout).unwrap();
    assert!(links.contains("lo:") && links.lines().count() <= 3, "only loopback and its like: {links}");
}

#[test]
fn a_port_goes_silent_with_its_carrier_up() {
    let segment = Segment::build(&["one", "two"]).unwrap();
    let (one, two) = (segment.host("one"), segment.host("two"));
    let (to_two, port) = (segment.address("two"), segment.port("two"));
    assert!(reaches(one, two, to_two));
    segment.fabric.silence(&port).unwrap();
    assert!(!reaches(one, two, to_two));
    assert!(two.ip("link show dev eth0").unwrap().contains("LOWER_UP"));
    segment.fabric.restore(&port).unwrap();
    assert!(reaches(one, two, to_two));
    segment.fabric.set_carrier(&port, false).unwrap();
    assert!(two.ip("link show dev eth0").unwrap().contains("NO-CARRIER"));
    segment.fabric.set_carrier(&port, true).unwrap();
    eventually_true("traffic after the carrier is back", SOON, || reaches(one, two, to_two)).unwrap();
}

#[test]
fn a_port_can_lose_one_direction() {
    let segment = Segment::build(&["one", "two"]).unwrap();
    let (one, two) = (segment.host("one"), segment.host("two"));
    let port = segment.port("two");
    // Both know each other's hardware address for good, so that only the datagram's own direction matters.
    for (host, peer) in [("one", "two"), ("two", "one")] {
        let mac = PacketSocket::open(segment.host(peer), Segment::INTERFACE).unwrap().mac;
        let entry = format!("{} lladdr {} dev eth0 nud permanent", segment.address(peer), mac_text(mac));
        segment.host(host).ip(&format!("neigh replace {entry}")).unwrap();
    }
    let (to_one, to_two) = (segment.address("one"), segment.address("two"));
    segment.fabric.set_mute(&port, true).unwrap();
    assert!(reaches(one, two, to_two) && !reaches(two, one, to_one));
    segment.fabric.set_mute(&port, false).unwrap();
    segment.fabric.set_deaf(&port, true).unwrap();
    assert!(!reaches(one, two, to_two) && reaches(two, one, to_one));
    segment.fabric.set_deaf(&port, false).unwrap();
    assert!(reaches(one, two, to_two) && reaches(two, one, to_one));
}

#[test]
fn owners_are_counted_per_request() {
    for target in ["192.0.2.77", "2001:db8:1::77"] {
        let address: IpAddr = target.parse().unwrap();
        let segment = Segment::build(&["asker", "one", "two"]).unwrap();
        let add = |host: &str, verb: &str| {
            let (prefix, flags) = if address.is_ipv4() { (32, "") } else { (128, " nodad") };
            let flags = if verb == "add" { flags } else { "" };
            segment.host(host).ip(&format!("addr {verb} {target}/{prefix} dev eth0{flags}")).unwrap();
        };
        let probe = OwnerProbe::start(segment.host("asker"), Segment::INTERFACE, address, MS).unwrap();
        let settle = || {
            let begin = Moment::now() + 50 * MS;
            std::thread::sleep(250 * MS);
            probe.window(begin, Moment::now())
        };
        let nobody = settle();
        assert!(nobody.asked > 50 && nobody.unanswered == nobody.asked, "{target}: {nobody:?}");
        add("one", "add");
        let single = settle();
        assert!(
            single.unanswered <= 2 && single.contested == 0 && single.by_owner.len() == 1,
            "{target}: {single:?}"
        );
        add("two", "add");
        let double = settle();
        assert!(double.contested + 5 >= double.asked && double.by_owner.len() == 2, "{target}: {double:?}");
        add("one", "del");
        let other = settle();
        assert!(other.contested == 0 && other.by_owner.len() == 1, "{target}: {other:?}");
    }
}

#[test]
fn keepalived_takes_over_when_the_active_node_is_lost() {
    let lab = GatewayLab::build().unwrap();
    let pair = GatewayPair::start(&lab, Product::Keepalived, INTERVAL).unwrap();
    pair.wait_active(Side::A, SOON).unwrap();
    let destination = SocketAddr::new(SERVER.into(), 9000);
    let begin = Moment::now();
    let stream = Stream::start(&lab.client, &lab.server, destination, MS).unwrap();
    eventually_true("traffic through A", SOON, || stream.flows_since(begin)).unwrap();
    let before = Moment::now();
    std::thread::sleep(500 * MS);
    let calm = stream.window(before, Moment::now());
    assert_eq!(calm.lost, 0, "{calm:?}");

    let lost_at = Moment::now();
    lab.node_silent(Side::A).unwrap();
    eventually_true("B is Active", SOON, || pair.is_active(Side::B)).unwrap();
    eventually_true("traffic through B", SOON, || stream.flows_since(Moment::now().before(20 * MS))).unwrap();
    std::thread::sleep(300 * MS);
    let event = stream.finish().window(lost_at, Moment::now());
    // Active_Down_Interval at priority 100 and 100 ms is 361 ms; the takeover itself needs little more.
    assert!(event.outage > 200 * MS && event.outage < 1500 * MS, "{event:?}");
    assert!(event.lost > 100, "{event:?}");

    lab.node_restore(Side::A).unwrap();
    pair.wait_active(Side::A, SOON).unwrap();
}

#[test]
fn a_killed_keepalived_leaves_two_owners() {
    let lab = GatewayLab::build().unwrap();
    let mut pair = GatewayPair::start(&lab, Product::Keepalived, INTERVAL).unwrap();
    pair.wait_active(Side::A, SOON).unwrap();
    let probe = OwnerProbe::start(&lab.client, "lan0", vip(), MS).unwrap();
    let begin = Moment::now();
    pair.kill9(Side::A);
    eventually_true("B is Active", SOON, || pair.is_active(Side::B)).unwrap();
    std::thread::sleep(200 * MS);
    let owners = probe.window(begin, Moment::now());
    assert!(owners.contested > 50 && owners.by_owner.len() == 2, "{owners:?}");
}

#[test]
fn adverts_are_heard_and_forged_ones_are_believed() {
    let segment = Segment::build(&["peer", "tester"]).unwrap();
    let capture = AdvertCapture::start(segment.host("tester"), Segment::INTERFACE).unwrap();
    let instance = Instance::new("lan", Segment::INTERFACE, VRID, 150, &["192.0.2.1/24"]).interval(INTERVAL);
    let config = KeepalivedConfig::one(instance);
    let keepalived = Keepalived::start(&segment.name, segment.host("peer"), "peer", &config).unwrap();
    let begin = Moment::now();
    let advert =
        capture.wait_for("an advert of keepalived", begin, SOON, |advert| advert.vrid == VRID).unwrap();
    assert_eq!((advert.version, advert.priority, advert.ttl, advert.interval), (3, 150, 255, INTERVAL));
    assert_eq!((advert.source, advert.addresses), (segment.address("peer"), vec![vip()]));
    assert_eq!(advert.checksum, ChecksumForm::Rfc5798);
    eventually_true("keepalived is Active", SOON, || keepalived.is_active("lan")).unwrap();

    let tester = PacketSocket::open(segment.host("tester"), Segment::INTERFACE).unwrap();
    let mut winner = AdvertSpec::v3(segment.address("tester"), tester.mac, VRID, 200, &[vip()]);
    winner.checksum = ChecksumForm::Rfc5798;
    winner.interval = 10;
    eventually_true("keepalived yields to a better advert", SOON, || {
        tester.send(&winner.frame()).unwrap();
        !keepalived.is_active("lan")
    })
    .unwrap();
}

#[test]
fn frr_becomes_active_and_advertises_both_families() {
    let segment = Segment::build(&["peer", "tester"]).unwrap();
    let capture = AdvertCapture::start(segment.host("tester"), Segment::INTERFACE).unwrap();
    let addresses = [vip(), "fe80::1".parse().unwrap()];
    let router =
        FrrRouter { interval: INTERVAL, ..FrrRouter::new(Segment::INTERFACE, VRID, 120, &addresses) };
    let begin = Moment::now();
    let frr = Frr::start(&segment.name, segment.host("peer"), "peer", &[router]).unwrap();
    for family in [4, 6] {
        eventually_true("vrrpd is Active", SOON, || frr.is_active(VRID, family)).unwrap();
        let advert = capture
            .wait_for("an advert of vrrpd", begin, SOON, |advert| advert.source.is_ipv4() == (family == 4))
            .unwrap();
        assert_eq!((advert.vrid, advert.priority), (VRID, 120));
        assert_eq!(
            mac_text(advert.source_mac),
            format!("00:00:5e:00:0{}:33", if family == 4 { 1 } else { 2 })
        );
    }
}

#[test]
fn a_leg_can_lose_its_carrier() {
    let lab = GatewayLab::build().unwrap();
    let pair = GatewayPair::start(&lab, Product::Keepalived, INTERVAL).unwrap();
    pair.wait_active(Side::A, SOON).unwrap();
    lab.link_down(Side::A, Leg::Wan).unwrap();
    pair.wait_active(Side::B, SOON).unwrap();
    lab.link_up(Side::A, Leg::Wan).unwrap();
    pair.wait_active(Side::A, SOON).unwrap();
}

#[test]
fn an_episode_is_measured_from_blow_to_calm() {
    let mut rig = Rig::start(LabName::unique(), Product::Keepalived, INTERVAL).unwrap();
    let mut looks = 0;
    let loss = rig.episode(Event::NodeLoss, &mut |_| looks += 1).unwrap();
    assert!(loss.passed() && loss.active == "gwB" && looks > 0, "{loss:?}");
    assert!(loss.outage_ms > 200.0 && loss.outage_ms < 1500.0, "{loss:?}");
    let back = rig.episode(Event::Restore, &mut |_| ()).unwrap();
    assert!(back.recovered && back.active == "gwA", "{back:?}");
    let kill = rig.episode(Event::Kill9, &mut |_| ()).unwrap();
    assert!(
        kill.contested_after_fence_ms > 0 && !kill.passed(),
        "keepalived leaves a second owner: {kill:?}"
    );
    assert!(rig.episode(Event::Restore, &mut |_| ()).is_err(), "nothing is silent");
}

/// Starts a process that holds a lab; gives it and the path of its client's namespace.
fn hold_lab() -> (Child, PathBuf) {
    let mut holder = Command::new(env!("CARGO_BIN_EXE_hold_lab")).stdout(Stdio::piped()).spawn().unwrap();
    let mut name = String::new();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut name).unwrap();
    let client = Path::new("/run/netns").join(name.trim());
    assert!(!name.is_empty() && client.exists());
    (holder, client)
}

#[test]
fn a_signal_removes_the_whole_lab() {
    for (signal, code) in [(libc::SIGINT, 130), (libc::SIGTERM, 143)] {
        let (mut holder, client) = hold_lab();
        // SAFETY: plain system call on a child that was not waited for.
        unsafe { libc::kill(holder.id() as i32, signal) };
        assert_eq!(holder.wait().unwrap().code(), Some(code));
        let prefix = client.file_name().unwrap().to_str().unwrap().trim_end_matches("client").to_owned();
        let left = std::fs::read_dir("/run/netns").unwrap().flatten();
        assert_eq!(left.filter(|entry| entry.file_name().to_str().unwrap().starts_with(&prefix)).count(), 0);
    }
}

#[test]
fn what_a_killed_process_left_is_swept() {
    let (mut holder, client) = hold_lab();
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert!(client.exists(), "nobody could clean up");
    netns::sweep_stale();
    assert!(!client.exists());
}
