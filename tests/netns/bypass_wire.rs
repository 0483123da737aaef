//! The bypass wire on real devices: what one port takes in, the other gives out as it was, and what is this host's own
//! stays. The data plane and its bypass driver run here without a daemon, so that its loss can be had at will.
//!
//! `left` and `right` are hosts on either side of `gw`; whatever they exchange has crossed the wire.

use super::support::pings;
use ha_common::maps::values::{Head, LinkPolicy, fence};
use ha_common::verdict_reasons::VerdictReason;
use holdfast::bypass::{Bypass, BypassReport, PortPair, Reading, WirePorts};
use holdfast::config::validated;
use holdfast::datapath::bpffs::PinDirectory;
use holdfast::datapath::{Datapath, MonitoredLink, WirePort, XdpAttachMode};
use holdfast::runtime::clock;
use holdfast_lab::fabric::{connect_hosts, strips_tags};
use holdfast_lab::forge::AdvertSpec;
use holdfast_lab::netns::LabName;
use holdfast_lab::packet_socket::PacketSocket;
use holdfast_lab::{Moment, Namespace, eventually};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

const PAIR: &str = "wan";
const MTU: u32 = 9000;
/// The gateway's address on its inside port.
const OWN: &str = "192.0.2.10";
/// A virtual address is not there in these tests; this one belongs to `right`.
const RIGHT: &str = "192.0.2.2";
const SOON: Duration = Duration::from_secs(5);
/// Time in which a frame that must not arrive would have.
const GRACE: Duration = Duration::from_millis(300);
const LONG_LEASE: Duration = Duration::from_secs(600);
const STRANGER: [u8; 6] = [2, 0, 0, 0, 0, 0x77];
const VLAN: u16 = 0x8100;
const QINQ: u16 = 0x88a8;

struct Lab {
    left: Namespace,
    right: Namespace,
    gw: Namespace,
    pins: PathBuf,
}

/// What a daemon would have: dropped, it is what a killed daemon leaves.
struct Plane {
    datapath: Datapath,
    bypass: Bypass,
    reports: Receiver<BypassReport>,
}

impl Lab {
    fn build() -> Self {
        let name = LabName::unique();
        let node = |part| Namespace::create(&name, part).unwrap();
        let lab = Lab {
            left: node("left"),
            right: node("right"),
            gw: node("gw"),
            pins: Path::new("/sys/fs/bpf").join(name.part("pins")),
        };
        connect_hosts((&lab.gw, "in0"), (&lab.left, "eth0"), MTU).unwrap();
        connect_hosts((&lab.gw, "out0"), (&lab.right, "eth0"), MTU).unwrap();
        lab.left.ip_batch(&["addr add 192.0.2.1/24 dev eth0".into()]).unwrap();
        lab.right.ip_batch(&[format!("addr add {RIGHT}/24 dev eth0")]).unwrap();
        lab.gw.ip_batch(&[format!("addr add {OWN}/24 dev in0")]).unwrap();
        lab
    }

    fn load(&self, on_controller_loss: bool, lease: Duration) -> Plane {
        self.gw.enter(|| Plane::load(&self.pins, on_controller_loss, lease)).unwrap()
    }

    /// Raw sockets of `left` and `right`.
    fn sockets(&self) -> (PacketSocket, PacketSocket) {
        let open = |host| PacketSocket::open(host, "eth0").unwrap().with_tags().unwrap();
        (open(&self.left), open(&self.right))
    }

    fn crosses(&self) -> bool {
        let (left, right) = self.sockets();
        let frame = frame(STRANGER, left.mac, &[], 60);
        left.send(&frame).unwrap();
        right.wait_for(GRACE, |found| found.bytes == frame).unwrap().is_some()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Whoever held the pins is gone by now.
        if let Ok(pins) = PinDirectory::open(&self.pins) {
            let _ = Datapath::clear_left(&pins);
            let _ = pins.remove();
        }
    }
}

impl Plane {
    fn load(pins: &Path, on_controller_loss: bool, lease: Duration) -> Self {
        let (mut datapath, _ring) = Datapath::load(PinDirectory::open(pins).unwrap()).unwrap();
        datapath.maps.write_settings(fence::VIP).unwrap();
        let local: IpAddr = OWN.parse().unwrap();
        datapath.maps.write_local_addresses([local].into_iter()).unwrap();
        let config = validated::Bypass {
            driver: validated::BypassDriver::Xdp,
            topology: validated::Topology::Inline,
            on_controller_loss,
            watchdog: None,
        };
        let pair = PortPair { name: PAIR.into(), ..PortPair::default() };
        let (sender, reports) = channel();
        let maps = datapath.maps.take_bypass();
        let sink = Box::new(move |report| drop(sender.send(report)));
        let bypass = Bypass::spawn(&config, &[pair], maps, sink).unwrap().unwrap();
        let inside = Some(monitor(&mut datapath, "in0"));
        let outside = Some(monitor(&mut datapath, "out0"));
        let mut plane = Plane { datapath, bypass, reports };
        plane.extend_lease(lease);
        plane.bypass.rewire(vec![WirePorts { pair: PAIR.into(), inside, outside }]);
        plane
    }

    fn extend_lease(&mut self, span: Duration) {
        let span = holdfast_engine::Duration::from_nanos(span.as_nanos() as u64);
        self.datapath.maps.write_lease(clock::now() + span).unwrap();
    }

    /// Waits for a report of this reading; none may carry a fault unless it says so.
    fn reads(&self, reading: Reading) -> BypassReport {
        let begin = Moment::now();
        while begin.elapsed() < SOON {
            if let Ok(report) = self.reports.recv_timeout(SOON)
                && report.reading == reading
            {
                return report;
            }
        }
        panic!("never read as {reading:?}")
    }

    fn engage(&self) {
        self.bypass.engage([PAIR]);
        assert_eq!(self.reads(Reading::Engaged).fault, None);
    }

    fn release(&self) {
        self.bypass.release([PAIR]);
        assert_eq!(self.reads(Reading::Released).fault, None);
    }

    fn verdict(&self, reason: VerdictReason) -> u64 {
        self.datapath.maps.read_verdict(reason).unwrap()
    }
}

/// Attaches the data plane to an interface of this thread's namespace and tells it whose it is.
fn monitor(datapath: &mut Datapath, name: &str) -> WirePort {
    let ifindex = nix::net::if_::if_nametoindex(name).unwrap();
    let MonitoredLink { slot, mode, .. } = *datapath.monitor(name, ifindex).unwrap();
    assert_eq!(mode, XdpAttachMode::Native, "jumbo frames and all");
    let text = std::process::Command::new("ip").args(["-o", "link", "show", name]).output().unwrap().stdout;
    let text = String::from_utf8(text).unwrap();
    let mac = text.split_whitespace().skip_while(|word| *word != "link/ether").nth(1).unwrap();
    let bytes: Vec<u8> = mac.split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    let head = Head::of::<LinkPolicy>();
    let mac = bytes.try_into().unwrap();
    let policy = LinkPolicy { head, ifindex, routers: 0, owned: 0, mac, reserved: [0; 2] };
    datapath.maps.write_link(slot, policy).unwrap();
    WirePort { name: name.into(), slot, ifindex, mode }
}

/// An Ethernet frame with tags (EtherType and VID) and a payload that nobody understands.
fn frame(destination: [u8; 6], source: [u8; 6], tags: &[(u16, u16)], length: usize) -> Vec<u8> {
    const EXPERIMENTAL: u16 = 0x88b5;
    let mut frame = [destination, source].concat();
    for (kind, vid) in tags {
        frame.extend(kind.to_be_bytes());
        frame.extend(vid.to_be_bytes());
    }
    frame.extend(EXPERIMENTAL.to_be_bytes());
    let begin = frame.len();
    frame.resize(length.max(begin), 0);
    frame[begin..].iter_mut().zip(0_u8..=255).for_each(|(byte, value)| *byte = value);
    frame
}

/// Sends a frame from one host and says whether it comes out at the other as it was.
fn arrives(from: &PacketSocket, to: &PacketSocket, sent: &[u8]) -> bool {
    from.send(sent).unwrap();
    to.wait_for(SOON, |found| found.bytes == sent).unwrap().is_some()
}

#[test]
fn every_frame_crosses_as_it_is_in_both_directions() {
    let lab = Lab::build();
    let plane = lab.load(false, LONG_LEASE);
    plane.engage();
    let (left, right) = lab.sockets();
    for (from, to) in [(&left, &right), (&right, &left)] {
        let groups = [
            ("unicast", STRANGER),
            ("broadcast", [0xff; 6]),
            ("IPv4 multicast", [1, 0, 0x5e, 1, 2, 3]),
            ("IPv6 multicast", [0x33, 0x33, 0, 0, 0, 1]),
            ("LLDP", [1, 0x80, 0xc2, 0, 0, 0x0e]),
        ];
        for (what, destination) in groups {
            assert!(arrives(from, to, &frame(destination, from.mac, &[], 60)), "{what}");
        }
        for length in [60, 1514, 1515, 4096, MTU as usize + 14] {
            assert!(arrives(from, to, &frame(STRANGER, from.mac, &[], length)), "{length} bytes");
        }
        for tags in [&[(VLAN, 17)][..], &[(VLAN, 0xe00a)], &[(QINQ, 40), (VLAN, 41)], &[(VLAN, 1); 3]] {
            for length in [64, MTU as usize + 14] {
                let sent = frame([0xff; 6], from.mac, tags, length);
                assert!(arrives(from, to, &sent), "tags {tags:?}, {length} bytes");
            }
        }
    }
    assert_eq!(plane.verdict(VerdictReason::BypassPortMissing), 0);
}

#[test]
fn hosts_on_both_sides_become_one_segment() {
    let lab = Lab::build();
    let plane = lab.load(false, LONG_LEASE);
    assert!(!pings(&lab.left, RIGHT), "there is no way without the wire");
    plane.engage();
    // The way through begins with ARP, both ways.
    assert!(pings(&lab.left, RIGHT));
    assert!(pings(&lab.left, &format!("-M do -s 8972 {RIGHT}")), "jumbo frames");
    plane.release();
    assert!(!pings(&lab.left, RIGHT));
    plane.engage();
    assert!(pings(&lab.left, RIGHT), "again, with one order");
}

#[test]
fn the_gateway_is_reached_through_both_of_its_ports_while_engaged() {
    let lab = Lab::build();
    let plane = lab.load(false, LONG_LEASE);
    plane.engage();
    // ARP for its own address is answered by itself, not by whoever is across.
    assert!(pings(&lab.left, OWN));
    lab.gw.ip_batch(&["addr add 198.51.100.10/24 dev out0".into()]).unwrap();
    lab.right.ip_batch(&["addr add 198.51.100.2/24 dev eth0".into()]).unwrap();
    // And the gateway reaches out: the answers come to its own MAC.
    assert!(pings(&lab.gw, "198.51.100.2"));
    let (left, right) = lab.sockets();
    let to_gateway = frame(gateway_mac(&lab, "in0"), left.mac, &[], 60);
    left.send(&to_gateway).unwrap();
    assert!(right.wait_for(GRACE, |found| found.bytes == to_gateway).unwrap().is_none());
}

fn gateway_mac(lab: &Lab, interface: &str) -> [u8; 6] {
    PacketSocket::open(&lab.gw, interface).unwrap().mac
}

#[test]
fn the_ports_of_a_wire_leave_tags_in_the_frame() {
    let lab = Lab::build();
    let strip = || ["in0", "out0"].map(|port| strips_tags(&lab.gw, port).unwrap());
    assert_eq!(strip(), [true, true], "as a NIC comes");
    let plane = lab.load(false, LONG_LEASE);
    plane.reads(Reading::Released);
    eventually("tags stay in the frame", SOON, || (strip() == [false, false]).then_some(())).unwrap();
    let Plane { bypass, .. } = plane;
    bypass.stop();
    assert_eq!(strip(), [true, true], "a clean stop leaves the NIC as it was");
}

#[test]
fn adverts_never_cross() {
    let lab = Lab::build();
    let plane = lab.load(false, LONG_LEASE);
    plane.engage();
    let (left, right) = lab.sockets();
    let addresses: [IpAddr; 2] = ["192.0.2.1".parse().unwrap(), "fe80::1".parse().unwrap()];
    for source in addresses {
        let advert = AdvertSpec::v3(source, left.mac, 51, 100, &[source]).frame();
        left.send(&advert).unwrap();
        let tagged = [&advert[..12], &[0x81, 0, 0, 17], &advert[12..]].concat();
        left.send(&tagged).unwrap();
        let is_advert = |bytes: &[u8]| bytes.ends_with(&advert[14..]);
        assert!(right.wait_for(GRACE, |found| is_advert(&found.bytes)).unwrap().is_none(), "{source}");
    }
    assert_eq!(plane.verdict(VerdictReason::VridUnknown), 4, "they were seen as adverts");
    assert!(lab.crosses(), "what came after them does cross");
}

#[test]
fn bypassed_frames_count_on_both_ports() {
    let lab = Lab::build();
    let plane = lab.load(false, LONG_LEASE);
    plane.engage();
    let slot = |name: &str| plane.datapath.links().iter().find(|link| link.name == name).unwrap().slot;
    let traffic = |name: &str| plane.datapath.maps.read_link_counters(slot(name)).unwrap();
    let (left, right) = lab.sockets();
    let (before_in, before_out) = (traffic("in0"), traffic("out0"));
    let bypassed = plane.verdict(VerdictReason::Bypassed);
    const FRAMES: u64 = 50;
    let jumbo = frame(STRANGER, left.mac, &[], 9014);
    for _ in 0..FRAMES {
        left.send(&jumbo).unwrap();
    }
    for _ in 0..FRAMES {
        assert!(right.wait_for(SOON, |found| found.bytes == jumbo).unwrap().is_some());
    }
    let (after_in, after_out) = (traffic("in0"), traffic("out0"));
    assert_eq!(plane.verdict(VerdictReason::Bypassed) - bypassed, FRAMES);
    let bytes = FRAMES * jumbo.len() as u64;
    assert_eq!(
        (after_in.rx_packets - before_in.rx_packets, after_in.rx_bytes - before_in.rx_bytes),
        (FRAMES, bytes)
    );
    assert_eq!(
        (after_out.tx_packets - before_out.tx_packets, after_out.tx_bytes - before_out.tx_bytes),
        (FRAMES, bytes)
    );
}

#[test]
fn a_killed_controller_fails_to_wire() {
    let lab = Lab::build();
    let lease = Duration::from_secs(3);
    let plane = lab.load(true, lease);
    let begin = Moment::now();
    assert!(!lab.crosses(), "the controller lives");
    // Nothing is unloaded, stopped or told: the process's descriptors close, the pins stay.
    drop(plane);
    assert!(!lab.crosses(), "its lease still holds");
    eventually("frames through the wire", SOON, || lab.crosses().then_some(())).unwrap();
    assert!(begin.elapsed() >= lease - Duration::from_millis(500), "not before the lease has ended");
    assert!(pings(&lab.left, RIGHT) && pings(&lab.left, OWN));
}

#[test]
fn without_being_asked_to_a_dead_controllers_ports_stay_apart() {
    let lab = Lab::build();
    drop(lab.load(false, Duration::from_millis(200)));
    std::thread::sleep(GRACE);
    assert!(!lab.crosses());
}

#[test]
fn a_controller_that_comes_back_ends_the_wire_by_extending_its_lease() {
    let lab = Lab::build();
    let mut plane = lab.load(true, LONG_LEASE);
    assert!(!lab.crosses());
    // It stops extending, as a stopped process does.
    plane.extend_lease(Duration::ZERO);
    assert!(lab.crosses());
    let report = plane.reads(Reading::Engaged);
    assert!(report.fault.unwrap().starts_with("engaged without an order: read engaged = 0, lease over = 1"));
    plane.extend_lease(LONG_LEASE);
    assert!(!lab.crosses());
    assert_eq!(plane.reads(Reading::Released).fault, None);
}

#[test]
fn a_wire_whose_port_disappears_is_reported() {
    let lab = Lab::build();
    let plane = lab.load(false, LONG_LEASE);
    plane.engage();
    lab.gw.ip("link del out0").unwrap();
    let begin = Moment::now();
    let fault = loop {
        let report = plane.reports.recv_timeout(SOON).unwrap();
        if let Reading::Unknown(_) = report.reading {
            break report.fault.unwrap();
        }
        assert!(begin.elapsed() < SOON);
    };
    assert!(fault.contains("a port has gone"), "{fault}");
    let left = PacketSocket::open(&lab.left, "eth0").unwrap();
    left.send(&frame(STRANGER, left.mac, &[], 60)).unwrap();
    eventually("the drop is counted", SOON, || {
        (plane.verdict(VerdictReason::BypassPortMissing) > 0).then_some(())
    })
    .unwrap();
}

#[test]
fn a_changed_configuration_takes_over_an_engaged_wire() {
    let lab = Lab::build();
    let plane = lab.load(false, LONG_LEASE);
    plane.engage();
    let Plane { datapath, bypass, .. } = plane;
    let port = |name: &str| {
        let link = datapath.links().iter().find(|link| link.name == name).unwrap();
        let MonitoredLink { slot, ifindex, mode, .. } = *link;
        Some(WirePort { name: name.into(), slot, ifindex, mode })
    };
    let maps = bypass.stop();
    assert!(maps.is_some());
    assert!(lab.crosses(), "a stop releases nothing");
    let config = validated::Bypass {
        driver: validated::BypassDriver::Xdp,
        topology: validated::Topology::Inline,
        on_controller_loss: true,
        watchdog: None,
    };
    let pair = PortPair { name: PAIR.into(), ..PortPair::default() };
    let (sender, reports) = channel();
    let sink = Box::new(move |report: BypassReport| drop(sender.send(report)));
    let next = lab.gw.enter(|| Bypass::spawn(&config, &[pair], maps, sink).unwrap().unwrap()).unwrap();
    next.engage([PAIR]);
    next.rewire(vec![WirePorts { pair: PAIR.into(), inside: port("in0"), outside: port("out0") }]);
    let engaged = |report: &BypassReport| report.reading == Reading::Engaged && report.fault.is_none();
    eventually("engaged anew", SOON, || reports.try_iter().any(|report| engaged(&report)).then_some(()))
        .unwrap();
    assert!(lab.crosses());
}
