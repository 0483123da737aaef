//! Virtual MACs and IPv6: who answers, from which hardware address, and that traffic follows.

use crate::support::{INTERVAL, LAN, MARGIN, MS, Router, SECOND, SOON, VIP, VRID, ask_owner, mac};
use crate::support::{owners_for, owners_since, pings, start, start_pair, start_router};
use holdfast_lab::adverts::AdvertCapture;
use holdfast_lab::clock::Moment;
use holdfast_lab::daemon::{Daemon, NodeSpec};
use holdfast_lab::forge::{Mac, mac_text};
use holdfast_lab::netns::Namespace;
use holdfast_lab::packet_socket::{Frame, PacketSocket};
use holdfast_lab::poll::eventually_true;
use holdfast_lab::topology::{GatewayLab, LAN_VIP, Leg, SERVER, Segment, Side, VIP_LINK_LOCAL, WAN_VIP};
use holdfast_lab::traffic::Stream;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

const VIRTUAL_MAC: Mac = [0, 0, 0x5e, 0, 1, VRID];
const VIRTUAL_MAC6: Mac = [0, 0, 0x5e, 0, 2, VRID];
const VIP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1);

fn six(priority: u8) -> Router {
    Router::new(priority).addresses(&["fe80::1/64", "2001:db8:1::1/64"])
}

fn virtual_mac(router: Router) -> Router {
    router.with("virtual_mac = true")
}

/// Waits for an ARP reply for the VIP.
fn is_arp_reply(frame: &Frame) -> bool {
    frame.bytes.len() >= 42
        && frame.bytes[12..14] == [8, 6]
        && frame.bytes[20..22] == [0, 2]
        && frame.bytes[28..32] == VIP.octets()
}

/// V-012, V-117, V-121, V-127: frames and answers carry the virtual MAC, the Backup is silent, failover keeps the MAC.
#[test]
fn the_virtual_mac_answers_and_stays_the_same_over_a_failover() {
    let segment = Segment::build(&["a", "b", "asker"]).unwrap();
    let capture = AdvertCapture::start(segment.host("asker"), Segment::INTERFACE).unwrap();
    let begin = Moment::now();
    let (a, b) = start_pair(&segment, virtual_mac);
    let advert = capture.wait_for("an advert", begin, SOON, |_| true).unwrap();
    assert_eq!((advert.source_mac, advert.source), (VIRTUAL_MAC, segment.address("a")));

    let asker = segment.host("asker");
    let ear = PacketSocket::open(asker, Segment::INTERFACE).unwrap();
    assert!(pings(asker, &VIP.to_string()), "the address answers");
    let reply = ear.wait_for(SECOND, is_arp_reply).unwrap().unwrap();
    assert_eq!(reply.bytes[6..12], VIRTUAL_MAC, "source of the frame");
    assert_eq!(reply.bytes[22..28], VIRTUAL_MAC, "sender inside");

    let probe = ask_owner(&segment, "asker", VIP);
    let calm = owners_for(&probe, 300 * MS);
    assert_eq!((calm.unanswered, calm.contested), (0, 0), "only the Active answers: {calm:?}");
    let begin = Moment::now();
    segment.fabric.silence(&segment.port("a")).unwrap();
    b.wait_state(LAN, "active", SOON).unwrap();
    std::thread::sleep(300 * MS);
    let moved = owners_since(&probe, begin);
    assert_eq!(moved.by_owner.keys().collect::<Vec<_>>(), [&mac_text(VIRTUAL_MAC)], "{moved:?}");
    assert!(pings(asker, &VIP.to_string()), "without a new ARP entry");
    let entry = asker.ip(&format!("neigh show {VIP} dev eth0")).unwrap();
    assert!(entry.contains(&mac_text(VIRTUAL_MAC)), "{entry}");

    let healed = Moment::now();
    segment.fabric.restore(&segment.port("a")).unwrap();
    b.wait_state(LAN, "backup", SOON).unwrap();
    std::thread::sleep(300 * MS);
    let after = owners_since(&probe, healed + INTERVAL + MARGIN);
    assert_eq!(after.contested, 0, "{after:?}");
    assert!(a.status().unwrap().is_active(LAN));
}

/// V-129, V-130: a Backup takes no frame to the virtual MAC and no packet to the address, even by its own MAC.
#[test]
fn a_backup_takes_nothing_that_is_the_actives() {
    let segment = Segment::build(&["a", "b", "asker"]).unwrap();
    let (_a, b) = start_pair(&segment, virtual_mac);
    let asker = segment.host("asker");
    let own = mac_text(mac(segment.host("b"), Segment::INTERFACE));
    asker.ip(&format!("neigh replace {VIP} lladdr {own} dev eth0 nud permanent")).unwrap();
    assert!(!pings(asker, &VIP.to_string()), "the Backup does not answer by its own MAC");
    let status = b.status().unwrap();
    assert!(status.discards(LAN, "fence-ip-in") >= 2, "{:#}", status.router(LAN));
    // A frame to the virtual MAC that reaches the Backup's port, as when a switch floods.
    let port = segment.port("b");
    let wire = PacketSocket::open(segment.fabric.namespace(), &port.name).unwrap();
    let before = b.status().unwrap().discards(LAN, "fence-mac-in");
    let mut frame = vec![0u8; 60];
    frame[..6].copy_from_slice(&VIRTUAL_MAC);
    frame[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 9]);
    frame[12..14].copy_from_slice(&[8, 0]);
    frame[14..34]
        .copy_from_slice(&[0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 12, 198, 51, 100, 100]);
    wire.send(&frame).unwrap();
    eventually_true("the frame is counted", SECOND, || {
        b.status().unwrap().discards(LAN, "fence-mac-in") > before
    })
    .unwrap();
}

struct VirtualMacPair {
    daemons: Vec<Daemon>,
    lab: GatewayLab,
}

impl VirtualMacPair {
    /// Both legs of both families with virtual MACs, in one group.
    fn start() -> Self {
        let lab = GatewayLab::build().unwrap();
        let config = |priority: u8| {
            let leg = |name: &str, leg: Leg, vrid: u8, addresses: &[&str]| {
                let router = Router::new(priority).name(name).interface(leg.interface()).vrid(vrid);
                virtual_mac(router.addresses(addresses)).with("group = \"gateway\"").text()
            };
            let (lan, wan) = (format!("{LAN_VIP}/24"), format!("{WAN_VIP}/24"));
            let link_local = format!("{VIP_LINK_LOCAL}/64");
            leg("lan", Leg::Lan, 51, &[&lan])
                + &leg("wan", Leg::Wan, 52, &[&wan])
                + &leg("lan6", Leg::Lan, 51, &[&link_local, "2001:db8:1::1/64"])
                + &leg("wan6", Leg::Wan, 52, &[&link_local, "2001:db8:2::1/64"])
        };
        let start = |side: Side, priority: u8| {
            let (config, node) = (config(priority), lab.gateway(side));
            let spec = NodeSpec { name: side.label(), id: None, config: &config };
            Daemon::start(&lab.name, node, &spec).unwrap()
        };
        let a = start(Side::A, 200);
        for router in ["lan", "wan", "lan6", "wan6"] {
            a.wait_state(router, "active", SOON).unwrap();
        }
        let b = start(Side::B, 100);
        b.wait_status("B hears A", SOON, |status| status.number("wan6", "adverts_received") > 0).unwrap();
        VirtualMacPair { daemons: vec![a, b], lab }
    }
}

/// V-131: traffic of both families is forwarded once through the virtual MAC, and follows it to the other gateway.
#[test]
fn traffic_flows_through_the_virtual_mac_and_follows_it() {
    let pair = VirtualMacPair::start();
    let lab = &pair.lab;
    let destinations = [
        SocketAddr::new(SERVER.into(), 9000),
        SocketAddr::new("2001:db8:2::100".parse::<IpAddr>().unwrap(), 9001),
    ];
    let streams = destinations.map(|to| Stream::start(&lab.client, &lab.server, to, MS).unwrap());
    for stream in &streams {
        eventually_true("traffic", SOON, || stream.flows_since(Moment::now().before(30 * MS))).unwrap();
    }
    let calm = Moment::now();
    std::thread::sleep(600 * MS);
    for stream in &streams {
        let summary = stream.window(calm, Moment::now());
        assert_eq!((summary.lost, summary.duplicated), (0, 0), "{summary:?}");
    }
    assert!(gateway_macs(&lab.client).contains(&mac_text(VIRTUAL_MAC)));
    assert!(gateway_macs(&lab.client).contains(&mac_text(VIRTUAL_MAC6)));

    let begin = Moment::now();
    pair.daemons[0].cli_ok(&["failover"]).unwrap();
    for router in ["lan", "wan", "lan6", "wan6"] {
        pair.daemons[1].wait_state(router, "active", SOON).unwrap();
    }
    std::thread::sleep(600 * MS);
    for (stream, to) in streams.iter().zip(destinations) {
        let summary = stream.window(begin, Moment::now());
        println!("failover, {to}: {summary:?}");
        // The successor has its macvlan ready before its advert moves the MAC.
        assert_eq!((summary.lost, summary.duplicated), (0, 0), "{to}: {summary:?}");
    }
    // No hardware address of a gateway itself ever stood for the virtual one (V-122).
    for side in Side::BOTH {
        let own = mac_text(mac(lab.gateway(side), Leg::Lan.interface()));
        let entries = lab.client.ip(&format!("neigh show {LAN_VIP}")).unwrap();
        assert!(!entries.contains(&own), "{entries}");
    }
}

fn gateway_macs(client: &Namespace) -> String {
    client.ip("neigh show").unwrap()
}

/// Neighbour advertisements for the VIP: flags and the target link-layer address.
fn advertisement(frame: &Frame) -> Option<(u8, Mac)> {
    let bytes = &frame.bytes;
    let claims = bytes.len() >= 86
        && bytes[12..14] == [0x86, 0xdd]
        && bytes[20] == 58
        && bytes[54] == 136
        && bytes[62..78] == VIP6.octets();
    claims.then(|| (bytes[58], bytes[80..86].try_into().unwrap()))
}

const ROUTER_FLAG: u8 = 0x80;
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;

/// V-118, V-123, V-128: on takeover one unsolicited NA per address with R and O; solicitations are answered by the Active
/// alone, with R where the node forwards.
#[test]
fn ipv6_addresses_are_announced_and_answered_by_the_active_alone() {
    let segment = Segment::build(&["a", "b", "asker"]).unwrap();
    for host in ["a", "b"] {
        segment.host(host).sysctl("net/ipv6/conf/all/forwarding", "1").unwrap();
    }
    let asker = segment.host("asker");
    let a = start_router(&segment, "a", &virtual_mac(six(200)));
    a.wait_state(LAN, "active", SOON).unwrap();
    let b = start_router(&segment, "b", &virtual_mac(six(100)));
    b.wait_status("b hears a", SOON, |status| status.number(LAN, "adverts_received") > 0).unwrap();
    let ear = PacketSocket::open(asker, Segment::INTERFACE).unwrap();
    assert!(pings(asker, &format!("-6 {VIP6}")));
    let answer = ear.wait_for(SECOND, |frame| advertisement(frame).is_some()).unwrap().unwrap();
    let (flags, target) = advertisement(&answer).unwrap();
    assert_eq!((flags & (ROUTER_FLAG | SOLICITED), target), (ROUTER_FLAG | SOLICITED, VIRTUAL_MAC6));
    assert_eq!(answer.bytes[6..12], VIRTUAL_MAC6);

    let probe = ask_owner(&segment, "asker", VIP6);
    eventually_true("a answers", SOON, || probe.last_owner().is_some()).unwrap();
    let calm = owners_for(&probe, 300 * MS);
    assert_eq!((calm.unanswered, calm.contested), (0, 0), "{calm:?}");

    let announced = PacketSocket::open(asker, Segment::INTERFACE).unwrap();
    let begin = Moment::now();
    segment.fabric.silence(&segment.port("a")).unwrap();
    let is_unsolicited =
        |frame: &Frame| advertisement(frame).is_some_and(|(flags, _)| flags & SOLICITED == 0);
    let news = announced.wait_for(2 * SECOND, is_unsolicited).unwrap().unwrap();
    let (flags, target) = advertisement(&news).unwrap();
    assert_eq!((flags, target), (ROUTER_FLAG | OVERRIDE, VIRTUAL_MAC6));
    assert_eq!((news.bytes[21], &news.bytes[..6]), (255, &[0x33, 0x33, 0, 0, 0, 1][..]));
    b.wait_state(LAN, "active", SOON).unwrap();
    std::thread::sleep(200 * MS);
    let moved = owners_since(&probe, begin);
    assert_eq!(moved.contested, 0, "{moved:?}");
    assert!(pings(asker, &format!("-6 {VIP6}")));
}

/// V-003, V-011, V-013, V-039: IPv6 adverts come from the link-local address, to ff02::12, virtual address 1 first.
#[test]
fn ipv6_adverts_are_formed_as_the_rfc_has_it() {
    let segment = Segment::build(&["a", "ear"]).unwrap();
    let capture = AdvertCapture::start(segment.host("ear"), Segment::INTERFACE).unwrap();
    let begin = Moment::now();
    let a = start(&segment, "a", &virtual_mac(six(150)).text());
    let advert = capture.wait_for("an advert", begin, SOON, |advert| advert.source.is_ipv6()).unwrap();
    assert_eq!(advert.source, IpAddr::V6(segment.link_local("a")));
    assert_eq!(advert.destination, "ff02::12".parse::<IpAddr>().unwrap());
    assert_eq!((advert.source_mac, advert.destination_mac), (VIRTUAL_MAC6, [0x33, 0x33, 0, 0, 0, 0x12]));
    assert_eq!((advert.ttl, advert.version, advert.priority, advert.interval), (255, 3, 150, INTERVAL));
    let wanted: [IpAddr; 2] = ["fe80::1".parse().unwrap(), VIP6.into()];
    assert_eq!(advert.addresses, wanted);
    // V-011: without a link-local address nothing is sent, and above all not from a global address.
    segment.host("a").ip(&format!("addr del {}/64 dev eth0", segment.link_local("a"))).unwrap();
    let status = a.wait_state(LAN, "initialize", SOON).unwrap();
    assert_eq!(status.cause(LAN), Some("source-lost"));
    let quiet = Moment::now();
    std::thread::sleep(5 * INTERVAL);
    assert_eq!(capture.since(quiet), []);
    segment.host("a").ip(&format!("addr add {}/64 dev eth0 nodad", segment.link_local("a"))).unwrap();
    a.wait_state(LAN, "active", SOON).unwrap();
}
