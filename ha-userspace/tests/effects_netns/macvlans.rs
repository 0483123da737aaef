//! The virtual MAC (conformance section 7), without any data plane: what the kernel itself answers while Active and
//! while Backup.

use crate::bench::{DEADLINE, Daemon, LAN, Peer, Wire, in_fresh_namespace, ip, spec, sysctl};
use holdfast::effects::clean_up::clean_up_blocking;
use pnet::packet::icmpv6::ndp::{MutableNeighborSolicitPacket, NdpOption, NdpOptionTypes};
use pnet::packet::icmpv6::{self, Icmpv6Packet, Icmpv6Types};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

/// How long the line is watched for what must not come.
const WATCH: Duration = Duration::from_millis(300);
const TESTER_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x99];
const VIRTUAL_MAC_4: [u8; 6] = [0, 0, 0x5e, 0, 1, 51];
const VIRTUAL_MAC_6: [u8; 6] = [0, 0, 0x5e, 0, 2, 51];
const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const OWN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
const TESTER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 20);

fn who_has(wire: &Wire, target: Ipv4Addr) {
    let mut frame = [[0xff; 6], TESTER_MAC].concat();
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(TESTER_MAC);
    frame.extend(TESTER.octets());
    frame.extend([0; 6]);
    frame.extend(target.octets());
    wire.send(&frame);
}

/// (Ethernet source, ARP sender MAC) of the ARP replies for `target`.
fn arp_replies(frames: &[Vec<u8>], target: Ipv4Addr) -> Vec<([u8; 6], [u8; 6])> {
    let is_reply =
        |frame: &&Vec<u8>| frame[12..14] == [8, 6] && frame[21] == 2 && frame[28..32] == target.octets();
    let macs = |frame: &Vec<u8>| (frame[6..12].try_into().unwrap(), frame[22..28].try_into().unwrap());
    frames.iter().filter(is_reply).map(macs).collect()
}

fn mac_of(interface: &str) -> [u8; 6] {
    let shown = ip(&format!("-o link show {interface}"));
    let text = shown.split("link/ether ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    let bytes: Vec<u8> = text.split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    bytes.try_into().unwrap()
}

fn ask(wire: &Wire, target: Ipv4Addr) -> Vec<([u8; 6], [u8; 6])> {
    who_has(wire, target);
    arp_replies(&wire.watch(WATCH), target)
}

#[test]
fn v121_v122_v127_arp_is_answered_while_active_only_and_with_the_virtual_mac_only() {
    in_fresh_namespace(|| {
        let state = tempfile::tempdir().unwrap();
        let peer = Peer::joined();
        ip("addr add 192.0.2.10/24 dev lan0");
        let wire = peer.wire();
        let daemon = Daemon::start(state.path());
        let placement = daemon.configure(spec(&["192.0.2.1/24"], true)).unwrap();
        assert_eq!(placement.mac.0, VIRTUAL_MAC_4);
        assert_ne!(placement.ifindex, placement.device);
        let own = mac_of(LAN);
        assert_eq!(ask(&wire, VIP), [], "Backup, before");
        assert_eq!(ask(&wire, OWN), [(own, own)], "the parent's own address has one owner");
        daemon.add();
        assert_eq!(ask(&wire, VIP), [(VIRTUAL_MAC_4, VIRTUAL_MAC_4)], "Active");
        assert_eq!(ask(&wire, OWN), [(own, own)], "the macvlan does not answer for its parent");
        assert!(!ip("route show").contains("vrrp4"), "no route moved");
        daemon.remove();
        assert_eq!(ask(&wire, VIP), [], "Backup, after");
    });
}

#[test]
fn v122_v129_v132_packets_to_the_vip_are_answered_while_active_only() {
    in_fresh_namespace(|| {
        let state = tempfile::tempdir().unwrap();
        let peer = Peer::joined();
        ip("addr add 192.0.2.10/24 dev lan0");
        // The strictest host: packets that arrive on the macvlan have their route on its parent.
        std::fs::write("/proc/sys/net/ipv4/conf/all/rp_filter", "1").unwrap();
        peer.run(|| ip("addr add 192.0.2.20/24 dev peer0"));
        let wire = peer.wire();
        let daemon = Daemon::start(state.path());
        daemon.configure(spec(&["192.0.2.1/24"], true)).unwrap();
        daemon.add();
        let ping = || {
            std::process::Command::new("ping")
                .args(["-c1", "-W1", "192.0.2.1"])
                .output()
                .unwrap()
                .status
                .success()
        };
        assert!(peer.run(ping), "Active answers");
        assert!(peer.run(|| ip("neigh show 192.0.2.1")).contains("00:00:5e:00:01:33"));
        let false_claims = wire.watch(WATCH).into_iter().filter(|frame| {
            frame[12..14] == [8, 6] && frame[28..32] == VIP.octets() && frame[22..28] != VIRTUAL_MAC_4
        });
        assert_eq!(false_claims.count(), 0, "no ARP maps the VIP to a physical MAC");
        daemon.remove();
        let own = mac_of(LAN).map(|byte| format!("{byte:02x}")).join(":");
        peer.run(move || ip(&format!("neigh replace 192.0.2.1 lladdr {own} dev peer0")));
        assert!(!peer.run(ping), "Backup answers nobody, even on its physical MAC");
    });
}

#[test]
fn v130_v131_frames_to_the_virtual_mac_are_forwarded_once_while_active_and_never_while_backup() {
    in_fresh_namespace(|| {
        let state = tempfile::tempdir().unwrap();
        let peer = Peer::joined();
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        ip("addr add 192.0.2.10/24 dev lan0");
        ip("link add wan0 type veth peer name far0");
        ip("link set wan0 up");
        ip("link set far0 up");
        ip("addr add 203.0.113.1/24 dev wan0");
        ip("neigh add 203.0.113.9 lladdr 02:00:00:00:00:09 dev wan0");
        let (wire, far) = (peer.wire(), Wire::open("far0"));
        let daemon = Daemon::start(state.path());
        daemon.configure(spec(&["192.0.2.1/24"], true)).unwrap();
        let count_forwarded = || {
            let mut frame = [VIRTUAL_MAC_4, TESTER_MAC].concat();
            frame.extend([8, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0]);
            frame.extend(TESTER.octets());
            frame.extend([203, 0, 113, 9]);
            let sum: u32 =
                frame[14..34].chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1])).sum();
            let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
            frame[24..26].copy_from_slice(&sum.to_be_bytes());
            frame.extend([0x30, 0x39, 0x30, 0x39, 0, 8, 0, 0]);
            wire.send(&frame);
            let arrived = far.watch(WATCH);
            arrived.iter().filter(|frame| frame[12..14] == [8, 0] && frame[26..30] == TESTER.octets()).count()
        };
        assert_eq!(count_forwarded(), 0, "Backup");
        daemon.add();
        assert_eq!(count_forwarded(), 1, "Active");
        daemon.remove();
        assert_eq!(count_forwarded(), 0, "Backup again");
    });
}

fn solicit(wire: &Wire, source: Ipv6Addr, target: Ipv6Addr) {
    let [.., a, b, c] = target.octets();
    let group = Ipv6Addr::from_bits(
        Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 0).to_bits()
            | u128::from(u32::from_be_bytes([0, a, b, c])),
    );
    let probe = source.is_unspecified();
    let length = if probe { 24 } else { 32 };
    let mut message = vec![0; length];
    let mut packet = MutableNeighborSolicitPacket::new(&mut message).unwrap();
    packet.set_icmpv6_type(Icmpv6Types::NeighborSolicit);
    packet.set_target_addr(target);
    if !probe {
        let option =
            NdpOption { option_type: NdpOptionTypes::SourceLLAddr, length: 1, data: TESTER_MAC.to_vec() };
        packet.set_options(&[option]);
    }
    let sum = icmpv6::checksum(&Icmpv6Packet::new(&message).unwrap(), &source, &group);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut frame = vec![0x33, 0x33, 0xff, a, b, c];
    frame.extend(TESTER_MAC);
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, length as u8, 58, 255]);
    frame.extend(source.octets());
    frame.extend(group.octets());
    frame.extend(message);
    wire.send(&frame);
}

fn is_advert_for(frame: &[u8], target: Ipv6Addr) -> bool {
    frame.len() >= 78
        && frame[12..14] == [0x86, 0xdd]
        && frame[20] == 58
        && frame[54] == 136
        && frame[62..78] == target.octets()
}

#[test]
fn v016_v123_v128_neighbours_are_answered_while_active_only_with_the_router_flag() {
    in_fresh_namespace(|| {
        let state = tempfile::tempdir().unwrap();
        let peer = Peer::joined();
        ip("addr add 2001:db8::10/64 dev lan0 nodad");
        let wire = peer.wire();
        let daemon = Daemon::start(state.path());
        let placement = daemon.configure(spec(&["fe80::1/64", "2001:db8::1/64"], true)).unwrap();
        assert_eq!(placement.mac.0, VIRTUAL_MAC_6);
        assert_eq!(placement.warnings, Vec::<String>::new());
        let tester: Ipv6Addr = "fe80::99".parse().unwrap();
        let vips: [Ipv6Addr; 2] = ["fe80::1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        let silent = |when: &str| {
            for vip in vips {
                solicit(&wire, tester, vip);
                solicit(&wire, Ipv6Addr::UNSPECIFIED, vip);
            }
            let frames = wire.watch(WATCH);
            assert!(!frames.iter().any(|frame| vips.iter().any(|vip| is_advert_for(frame, *vip))), "{when}");
            assert!(
                !frames.iter().any(|frame| frame[6..12] == VIRTUAL_MAC_6),
                "{when}: the virtual MAC is silent"
            );
        };
        silent("Backup, before");
        daemon.add();
        for vip in vips {
            solicit(&wire, tester, vip);
            let advert = wire.expect("neighbour advert", |frame| is_advert_for(frame, vip));
            assert_eq!(advert[6..12], VIRTUAL_MAC_6);
            assert_eq!(advert[58] & 0xc0, 0xc0, "router and solicited");
            assert_eq!(advert[78..86], [[2, 1].as_slice(), &VIRTUAL_MAC_6].concat());
        }
        let name = format!("vrrp6-51-{}", placement.ifindex);
        assert_eq!(
            ip(&format!("-6 -o addr show dev {name}")).lines().count(),
            2,
            "V-016: the VIPs and nothing else"
        );
        daemon.remove();
        wire.watch(WATCH);
        silent("Backup, after");
    });
}

/// Neighbour solicitations on the wire: who asks, and the link-layer address that it gives as its own.
fn solicitations(frames: &[Vec<u8>]) -> Vec<(Ipv6Addr, [u8; 6])> {
    let asks = |frame: &&Vec<u8>| {
        frame.len() >= 86
            && frame[12..14] == [0x86, 0xdd]
            && frame[20] == 58
            && frame[54] == 135
            && frame[78] == 1
    };
    let told = |frame: &Vec<u8>| {
        let source: [u8; 16] = frame[22..38].try_into().unwrap();
        (source.into(), frame[80..86].try_into().unwrap())
    };
    frames.iter().filter(asks).map(told).collect()
}

/// V-124: this node asks in its own name with its own link-layer address, even for what binds to a virtual address: no
/// neighbour learns a physical MAC for that from a solicitation.
#[test]
fn v124_an_active_does_not_ask_for_neighbours_in_the_name_of_a_virtual_address() {
    in_fresh_namespace(|| {
        let state = tempfile::tempdir().unwrap();
        let peer = Peer::joined();
        ip("addr add 2001:db8::10/64 dev lan0 nodad");
        let wire = peer.wire();
        let daemon = Daemon::start(state.path());
        daemon.configure(spec(&["fe80::1/64", "2001:db8::1/64"], true)).unwrap();
        daemon.add();
        let ping = |arguments: &str| {
            let arguments = format!("-6 -c1 -W1 {arguments}");
            std::process::Command::new("ping").args(arguments.split(' ')).output().unwrap();
            solicitations(&wire.watch(WATCH))
        };
        let vip: Ipv6Addr = "2001:db8::1".parse().unwrap();
        let asked = ping("2001:db8::20");
        assert!(!asked.is_empty() && asked.iter().all(|(source, _)| *source != vip), "{asked:?}");
        let bound = ping("-I 2001:db8::1 2001:db8::21");
        assert!(!bound.is_empty() && bound.iter().all(|(source, _)| *source != vip), "{bound:?}");
        let own = mac_of(LAN);
        assert!(asked.iter().chain(&bound).all(|(_, mac)| *mac == own), "{asked:?} {bound:?}");
    });
}

#[test]
fn v137_nothing_leaves_with_the_virtual_mac_before_active() {
    in_fresh_namespace(|| {
        let state = tempfile::tempdir().unwrap();
        let peer = Peer::joined();
        let wire = peer.wire();
        let daemon = Daemon::start(state.path());
        daemon.configure(spec(&["192.0.2.1/24"], true)).unwrap();
        let frames = wire.watch(WATCH);
        assert!(!frames.iter().any(|frame| frame[6..12] == VIRTUAL_MAC_4));
        let igmp_or_mld = |frame: &[u8]| frame[12..14] == [8, 0] && frame[23] == 2;
        assert!(frames.iter().any(|frame| igmp_or_mld(frame)), "snooping switches learn that we listen");
    });
}

#[test]
fn settings_are_shared_restored_and_cleaned_up() {
    in_fresh_namespace(|| {
        let state = tempfile::tempdir().unwrap();
        let _peer = Peer::joined();
        let settings = || (sysctl("ipv4/conf/lan0/arp_ignore"), sysctl("ipv4/conf/lan0/arp_announce"));
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let daemon = Daemon::start(state.path());
        let placement = daemon.configure(spec(&["192.0.2.1/24"], true)).unwrap();
        let name = format!("vrrp4-51-{}", placement.ifindex);
        assert_eq!(settings(), pair("1", "2"));
        daemon.add();
        drop(daemon);
        let report = clean_up_blocking(state.path()).unwrap();
        assert_eq!(report.macvlans, std::slice::from_ref(&name));
        assert_eq!(report.addresses.len(), 1);
        assert_eq!(settings(), pair("0", "0"));
        // A graceful exit leaves nothing either; a value that somebody changed meanwhile is theirs.
        let daemon = Daemon::start(state.path());
        daemon.configure(spec(&["192.0.2.1/24"], true)).unwrap();
        std::fs::write("/proc/sys/net/ipv4/conf/lan0/arp_ignore", "2").unwrap();
        assert_eq!(daemon.remove_all(), Vec::<String>::new());
        assert_eq!(settings(), pair("2", "0"));
        let gone =
            daemon.wait_for("no macvlan", |all| all.by_name(&name).is_none().then_some(Instant::now()));
        assert!(gone.elapsed() < DEADLINE);
    });
}

#[test]
fn a_macvlan_that_vanished_is_made_anew_and_a_foreign_name_is_refused() {
    in_fresh_namespace(|| {
        let state = tempfile::tempdir().unwrap();
        let _peer = Peer::joined();
        let daemon = Daemon::start(state.path());
        let placement = daemon.configure(spec(&["192.0.2.1/24"], true)).unwrap();
        let name = format!("vrrp4-51-{}", placement.ifindex);
        ip(&format!("link del {name}"));
        let again = daemon.configure(spec(&["192.0.2.1/24"], true)).unwrap();
        assert_ne!(again.device, placement.device);
        daemon.add();
        assert!(ip(&format!("addr show dev {name}")).contains("192.0.2.1/24"));
        assert_eq!(daemon.remove_all(), Vec::<String>::new());
        ip(&format!("link add {name} type bridge"));
        let error = daemon.configure(spec(&["192.0.2.1/24"], true)).unwrap_err();
        assert!(error.contains(&name), "{error}");
        assert!(ip(&format!("-d link show {name}")).contains("bridge"), "not ours to remove");
    });
}
