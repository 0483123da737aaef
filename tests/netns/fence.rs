//! The fence's three modes, and accept mode.

use crate::support::{INTERVAL, LAN, LEASE, MARGIN, MS, Router, SECOND, SOON, VIP, ask_owner, mac};
use crate::support::{owners_for, owners_since, pings, start, start_router};
use holdfast_lab::clock::Moment;
use holdfast_lab::daemon::{Daemon, NodeSpec};
use holdfast_lab::forge::mac_text;
use holdfast_lab::poll::eventually_true;
use holdfast_lab::topology::{GatewayLab, LAN_VIP, Leg, SERVER, Segment, Side, WAN_VIP};
use holdfast_lab::traffic::Stream;
use std::net::SocketAddr;

struct Gateways {
    a: Daemon,
    b: Daemon,
    lab: GatewayLab,
}

impl Gateways {
    /// Both legs in a group, with lines added to `[ha]` and to each router.
    fn start(ha: &str, extra: &str) -> Self {
        let lab = GatewayLab::build().unwrap();
        let config = |priority: u8| {
            let leg = |name: &str, leg: Leg, vrid: u8, address: String| {
                let router = Router::new(priority).name(name).interface(leg.interface()).vrid(vrid);
                router.addresses(&[&address]).with("group = \"gateway\"").with(extra).text()
            };
            let lan = leg("lan", Leg::Lan, 51, format!("{LAN_VIP}/24"));
            format!("[ha]\n{ha}\n\n") + &lan + &leg("wan", Leg::Wan, 52, format!("{WAN_VIP}/24"))
        };
        let start = |side: Side, priority: u8| {
            let (config, node) = (config(priority), lab.gateway(side));
            Daemon::start(&lab.name, node, &NodeSpec { name: side.label(), id: None, config: &config })
                .unwrap()
        };
        let a = start(Side::A, 200);
        for router in ["lan", "wan"] {
            a.wait_state(router, "active", SOON).unwrap();
        }
        let b = start(Side::B, 100);
        b.wait_status("B hears A", SOON, |status| status.number("wan", "adverts_received") > 0).unwrap();
        Gateways { a, b, lab }
    }

    /// Points the client's route at one gateway's own address, whoever owns the virtual one.
    fn route_by(&self, side: Side) {
        self.lab.client.ip(&format!("route replace default via {}", side.lan_address())).unwrap();
    }

    fn server_answers(&self) -> bool {
        pings(&self.lab.client, &SERVER.to_string())
    }
}

/// Design section 5: `forwarding` also stops transit by our own MAC where nothing is owned; local addresses stay.
#[test]
fn a_forwarding_fence_stops_transit_where_nothing_is_owned() {
    let mut gateways = Gateways::start("fence = \"forwarding\"", "");
    assert!(gateways.server_answers(), "transit through the Active");
    gateways.route_by(Side::B);
    // The server's answers go by the virtual address, to A; only the way in is B's.
    assert!(!gateways.server_answers(), "the Backup forwards nothing");
    let status = gateways.b.status().unwrap();
    assert!(status.verdicts("fence-transit-in") >= 2, "{:#}", status.0["data_plane"]);
    assert!(pings(&gateways.lab.client, &Side::B.lan_address().to_string()), "its own address answers");
    gateways.route_by(Side::A);
    assert!(gateways.server_answers());

    // Past the lease a dead Active forwards nothing either, though the routes still lead there.
    gateways.b.stop().unwrap();
    let killed = Moment::now();
    gateways.a.kill9();
    (killed + LEASE + MARGIN).sleep_until();
    assert!(!gateways.server_answers(), "the zombie forwards nothing");
    assert!(pings(&gateways.lab.client, &Side::A.lan_address().to_string()));
}

/// `vip` leaves transit by the node's own address alone.
#[test]
fn the_default_fence_leaves_other_transit_alone() {
    let gateways = Gateways::start("fence = \"vip\"", "");
    gateways.route_by(Side::B);
    assert!(gateways.server_answers());
    let status = gateways.b.status().unwrap();
    assert_eq!(status.verdicts("fence-transit-in"), 0);
    assert_eq!(status.router("lan")["fenced"], true);
}

/// `none`: a dead controller's address goes on answering, which is what the operator asked for; elections still work.
#[test]
fn without_a_fence_a_dead_controller_still_answers() {
    let segment = Segment::build(&["a", "asker"]).unwrap();
    let config = String::from("[ha]\nfence = \"none\"\n\n") + &Router::new(200).text();
    let mut a = start(&segment, "a", &config);
    a.wait_state(LAN, "active", SOON).unwrap();
    let probe = ask_owner(&segment, "asker", VIP);
    assert_eq!(owners_for(&probe, 300 * MS).unanswered, 0);
    let killed = Moment::now();
    a.kill9();
    (killed + LEASE + 300 * MS).sleep_until();
    let owners = owners_since(&probe, killed + LEASE + MARGIN);
    assert!(owners.asked > 100 && owners.unanswered == 0, "{owners:?}");
}

/// V-132, V-133, V-134: accept = false answers ARP and forwards, but takes nothing for the address itself.
#[test]
fn without_accept_the_address_is_a_gateway_and_nothing_else() {
    let gateways = Gateways::start("", "accept = false");
    let client = &gateways.lab.client;
    assert!(gateways.server_answers(), "transit works");
    assert!(!pings(client, &LAN_VIP.to_string()), "the address does not answer");
    let entry = client.ip(&format!("neigh show {LAN_VIP}")).unwrap();
    let owner = mac_text(mac(gateways.lab.gateway(Side::A), "lan0"));
    assert!(entry.contains(&owner), "ARP is answered: {entry}");
    let status = gateways.a.status().unwrap();
    assert!(status.discards("lan", "accept-off") >= 2, "{:#}", status.router("lan"));
}

/// V-132, V-133: the same for IPv6, where neighbour solicitations are answered all the same.
#[test]
fn without_accept_an_ipv6_address_still_resolves() {
    let segment = Segment::build(&["a", "asker"]).unwrap();
    let six = Router::new(200).addresses(&["fe80::1/64", "2001:db8:1::1/64"]).with("accept = false");
    let a = start_router(&segment, "a", &six);
    a.wait_state(LAN, "active", SOON).unwrap();
    let vip: std::net::IpAddr = "2001:db8:1::1".parse().unwrap();
    let probe = ask_owner(&segment, "asker", vip);
    eventually_true("the address resolves", SOON, || probe.last_owner().is_some()).unwrap();
    assert!(!pings(segment.host("asker"), "-6 2001:db8:1::1"));
    assert!(a.status().unwrap().discards(LAN, "accept-off") >= 2);
    let owners = owners_for(&probe, 300 * MS);
    assert_eq!((owners.unanswered, owners.contested), (0, 0), "{owners:?}");
}

/// Transit counts on the wire side: a stream through the Active shows in the links' counters.
#[test]
fn transit_is_counted_in_both_directions() {
    let gateways = Gateways::start("", "");
    let lab = &gateways.lab;
    let stream = Stream::start(&lab.client, &lab.server, SocketAddr::new(SERVER.into(), 9000), MS).unwrap();
    eventually_true("traffic", SOON, || stream.flows_since(Moment::now().before(30 * MS))).unwrap();
    let count =
        |link: &str, field: &str| gateways.a.status().unwrap().link(link)[field].as_u64().unwrap_or_default();
    let before = (count("lan0", "rx_packets"), count("wan0", "tx_packets"));
    std::thread::sleep(SECOND);
    let after = (count("lan0", "rx_packets"), count("wan0", "tx_packets"));
    drop(stream);
    // A thousand datagrams, and at least the adverts beside them.
    let adverts = (SECOND.as_nanos() / INTERVAL.as_nanos()) as u64;
    assert!(after.0 - before.0 > 900 && after.1 - before.1 > 900 + adverts / 2, "{before:?} {after:?}");
}
