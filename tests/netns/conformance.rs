//! Rows of the conformance list that need a kernel behind the data plane: what is never forwarded, what is left to hosts.

use crate::gateways::Gateways;
use crate::support::{INTERVAL, LAN, MS, Router, SECOND, SOON, VIP, VRID, mac, pings, run, start_pair};
use holdfast_lab::clock::Moment;
use holdfast_lab::forge::{AdvertSpec, Mac, mac_text};
use holdfast_lab::gateway_pair::holdfast_config;
use holdfast_lab::netns::Namespace;
use holdfast_lab::packet_socket::{Frame, PacketSocket};
use holdfast_lab::poll::eventually_true;
use holdfast_lab::topology::{CLIENT, LAN_VIP, SERVER, Segment, Side};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// How long a wire is watched for what must not come.
const WATCH: Duration = Duration::from_millis(300);
const UDP: u8 = 17;
const VRRP: u8 = 112;

/// An IPv4 or IPv6 frame of this protocol with this source address.
fn carries(frame: &Frame, protocol: u8, source: IpAddr) -> bool {
    let bytes = &frame.bytes;
    match source {
        IpAddr::V4(source) => {
            bytes.len() >= 34
                && bytes[12..14] == [8, 0]
                && bytes[23] == protocol
                && bytes[26..30] == source.octets()
        }
        IpAddr::V6(source) => {
            bytes.len() >= 54
                && bytes[12..14] == [0x86, 0xdd]
                && bytes[20] == protocol
                && bytes[22..38] == source.octets()
        }
    }
}

/// V-008, V-009: an advert on one side of a router that forwards is never seen on the other, whatever its TTL, whether its
/// VRID is configured or not.
#[test]
fn v008_v009_adverts_are_never_forwarded() {
    let gateways = Gateways::start(|_| String::new());
    let lab = &gateways.lab;
    let tester = PacketSocket::open(&lab.client, "lan0").unwrap();
    let far = PacketSocket::open(&lab.server, "wan0").unwrap();
    let six: Ipv6Addr = "fe80::100".parse().unwrap();
    let sources: [(IpAddr, &[IpAddr]); 2] =
        [(CLIENT.into(), &[LAN_VIP.into()]), (six.into(), &["fe80::1".parse().unwrap()])];
    let mut sent = 0;
    for (source, addresses) in sources {
        for vrid in [VRID, VRID + 100] {
            for ttl in [255, 64] {
                let advert = AdvertSpec { ttl, ..AdvertSpec::v3(source, tester.mac, vrid, 1, addresses) };
                tester.send(&advert.frame()).unwrap();
                sent += 1;
            }
        }
    }
    let leaked =
        far.wait_for(WATCH, |frame| sources.iter().any(|(source, _)| carries(frame, VRRP, *source))).unwrap();
    assert!(leaked.is_none(), "one of {sent} adverts crossed: {leaked:?}");
    // The way itself is open.
    assert!(pings(&lab.client, &SERVER.to_string()));
}

/// Sends UDP to the LAN's virtual address through the Active; true if any of it comes out on the other side.
fn forwards_to_its_own_address(gateways: &Gateways) -> bool {
    let lab = &gateways.lab;
    let far = PacketSocket::open(&lab.server, "wan0").unwrap();
    let near = PacketSocket::open(lab.gateway(Side::A), "wan0").unwrap();
    let say = "for i in 1 2 3 4 5; do echo x > /dev/udp/192.0.2.1/9009; done";
    assert!(lab.client.command("bash").args(["-c", say]).status().unwrap().success());
    let crossed = |frame: &Frame| carries(frame, UDP, CLIENT.into());
    far.wait_for(WATCH, crossed).unwrap().is_some() || near.wait_for(MS, crossed).unwrap().is_some()
}

/// V-060, V-134: packets to a virtual address never leave by another interface, with accept mode and without.
#[test]
fn v060_v134_packets_to_a_virtual_address_are_not_forwarded() {
    let gateways = Gateways::start(|_| String::new());
    assert_eq!(LAN_VIP, VIP);
    assert!(!forwards_to_its_own_address(&gateways), "accept = true");
    assert!(pings(&gateways.lab.client, &LAN_VIP.to_string()));
    let config = holdfast_config(Side::A, INTERVAL);
    gateways
        .a
        .set_config(&config.replace("[[virtual_router]]\n", "[[virtual_router]]\naccept = false\n"))
        .unwrap();
    gateways.a.cli_ok(&["reload"]).unwrap();
    eventually_true("the address no longer answers", SOON, || {
        !pings(&gateways.lab.client, &LAN_VIP.to_string())
    })
    .unwrap();
    assert!(!forwards_to_its_own_address(&gateways), "accept = false");
    assert!(gateways.a.status().unwrap().discards("lan", "accept-off") > 0);
}

/// An unsolicited neighbour advertisement for `address` from `mac`, with the override flag.
fn unsolicited(address: Ipv6Addr, mac: Mac) -> Vec<u8> {
    let all_nodes: Ipv6Addr = "ff02::1".parse().unwrap();
    let mut message = vec![136, 0, 0, 0, 0x20, 0, 0, 0];
    message.extend(address.octets());
    message.extend([2, 1]);
    message.extend(mac);
    let pseudo = [&address.octets()[..], &all_nodes.octets(), &[0, 0, 0, 32, 0, 0, 0, 58], &message].concat();
    let sum: u32 = pseudo.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1])).sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = !((sum + (sum >> 16)) as u16);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut frame = vec![0x33, 0x33, 0, 0, 0, 1];
    frame.extend(mac);
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 32, 58, 255]);
    frame.extend(address.octets());
    frame.extend(all_nodes.octets());
    frame.extend(message);
    frame
}

fn neighbour(node: &Namespace, address: Ipv6Addr) -> String {
    node.ip(&format!("-6 neigh show {address} dev eth0")).unwrap()
}

/// V-139: Active and Backup take a host's unsolicited advertisement up.
#[test]
fn v139_unsolicited_advertisements_of_hosts_change_the_neighbour_cache() {
    let segment = Segment::build(&["a", "b", "host"]).unwrap();
    let six = |router: Router| router.addresses(&["fe80::1/64", "2001:db8:1::1/64"]);
    let (_a, _b) = start_pair(&segment, six);
    let host = PacketSocket::open(segment.host("host"), Segment::INTERFACE).unwrap();
    let address = segment.link_local("host");
    let moved: Mac = [2, 0, 0, 0, 0x77, 0x77];
    for gateway in ["a", "b"] {
        let node = segment.host(gateway);
        assert!(pings(node, &format!("-6 {address}%eth0")), "{gateway} knows the host");
        assert!(neighbour(node, address).contains(&mac_text(host.mac)));
    }
    host.send(&unsolicited(address, moved)).unwrap();
    for gateway in ["a", "b"] {
        let updated = || neighbour(segment.host(gateway), address).contains(&mac_text(moved));
        eventually_true(&format!("{gateway} takes the new address up"), SECOND, updated).unwrap();
    }
}

/// V-141: a node is reached by its own address as Active, as Backup, and past its lease.
#[test]
fn v141_a_node_is_reached_by_its_own_address_in_every_state() {
    let segment = Segment::build(&["a", "b", "operator"]).unwrap();
    let (mut a, b) = start_pair(&segment, |router| router);
    let operator = segment.host("operator");
    let reached = |host: &str| {
        pings(operator, &segment.address(host).to_string())
            && pings(operator, &format!("-6 {}%eth0", segment.link_local(host)))
    };
    assert!(reached("a"), "Active");
    assert!(reached("b"), "Backup");
    a.kill9();
    b.wait_state(LAN, "active", SOON).unwrap();
    let killed = Moment::now();
    (killed + SECOND).sleep_until();
    assert!(reached("a"), "past the lease of a dead controller");
    assert!(reached("b"), "Active after a takeover");
    // What answers there is the node itself, by its own hardware address.
    let entry = run(operator, "ip", &format!("neigh show {} dev eth0", segment.address("a"))).stdout;
    let own = mac_text(mac(segment.host("a"), Segment::INTERFACE));
    assert!(String::from_utf8_lossy(&entry).contains(&own));
}
