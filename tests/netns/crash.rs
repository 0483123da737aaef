//! A controller that dies or stops: its node falls silent in time, one owner is left, and the next start cleans up.

use crate::support::{
    INTERVAL, LAN, LEASE, MARGIN, MS, Router, SECOND, SOON, VIP, VRID, ask_owner, assert_moved_cleanly, mac,
};
use crate::support::{owners_since, pings, run, start, start_pair, transitions};
use holdfast_lab::clock::Moment;
use holdfast_lab::daemon::{self, Daemon};
use holdfast_lab::forge::{AdvertSpec, gratuitous_arp, mac_text};
use holdfast_lab::packet_socket::{Frame, PacketSocket};
use holdfast_lab::poll::eventually_true;
use holdfast_lab::topology::Segment;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::Output;
use std::time::Duration;

const VIP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1);
const VIP6_LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// Virtual routers of both families on `eth0`.
fn both_families(priority: u8) -> String {
    let v6 = [format!("{VIP6_LINK_LOCAL}/64"), format!("{VIP6}/64")];
    let v6 = Router::new(priority).name("lan6").addresses(&[&v6[0], &v6[1]]);
    Router::new(priority).text() + &v6.text()
}

fn holds(segment: &Segment, host: &str) -> bool {
    segment.host(host).has_address(Segment::INTERFACE, &VIP.to_string())
}

/// True for a frame that speaks for the virtual router: any header or payload field that claims its address.
fn claims_the_address(frame: &Frame) -> bool {
    let bytes = &frame.bytes;
    let at = |from: usize, octets: &[u8]| bytes.get(from..from + octets.len()) == Some(octets);
    match bytes.get(12..14) {
        Some([0x08, 0x06]) => at(28, &VIP.octets()),
        Some([0x08, 0x00]) => at(26, &VIP.octets()) || (at(23, &[112]) && at(35, &[VRID])),
        Some([0x86, 0xdd]) => {
            let advertises = at(20, &[58]) && at(54, &[136]);
            let claims =
                |address: Ipv6Addr| at(22, &address.octets()) || (advertises && at(62, &address.octets()));
            claims(VIP6) || claims(VIP6_LINK_LOCAL) || (at(20, &[112]) && at(55, &[VRID]))
        }
        _ => false,
    }
}

/// `holdfast unload` for a daemon's directories.
fn unload(daemon: &Daemon, segment: &Segment, host: &str) -> Output {
    let mut command = segment.host(host).command(daemon::binary().unwrap());
    command.arg("unload").arg("--config").arg(daemon.config_path()).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// V-101, design section 5: within the lease nobody hears of the address again, although it stands on the interface.
#[test]
fn a_killed_active_is_silent_within_the_lease_in_both_directions() {
    let segment = Segment::build(&["a", "asker"]).unwrap();
    let mut a = start(&segment, "a", &both_families(200));
    a.wait_state(LAN, "active", SOON).unwrap();
    a.wait_state("lan6", "active", SOON).unwrap();
    let probes = [ask_owner(&segment, "asker", VIP), ask_owner(&segment, "asker", VIP6)];
    for probe in &probes {
        eventually_true("the address answers", SOON, || probe.last_owner().is_some()).unwrap();
    }
    let (zombie, asker) = (segment.host("a"), segment.host("asker"));
    // So that the asker's packets to the address reach the zombie without ARP.
    let owner = mac_text(mac(zombie, Segment::INTERFACE));
    asker.ip(&format!("neigh replace {VIP} lladdr {owner} dev eth0 nud permanent")).unwrap();
    assert!(pings(asker, &VIP.to_string()), "the Active answers (V-132, accept)");

    let killed = Moment::now();
    a.kill9();
    (killed + LEASE + MARGIN).sleep_until();
    let ear = PacketSocket::open(segment.fabric.namespace(), &segment.port("a").name).unwrap();
    assert!(holds(&segment, "a"), "the address still stands: nobody removed it");
    let peer = segment.address("asker");
    assert!(!pings(zombie, &format!("-I {VIP} {peer}")), "nothing from the address leaves");
    assert!(!pings(zombie, &format!("-6 -I {VIP6} 2001:db8:1::11")), "nor from the IPv6 address");
    for mode in ["-U", "-A"] {
        run(zombie, "arping", &format!("{mode} -c 2 -w 1 -I eth0 -s {VIP} {VIP}"));
    }
    let raw = PacketSocket::open(zombie, Segment::INTERFACE).unwrap();
    // The kernel may report what the fence stops; only what leaves matters.
    let _ = raw.send(&gratuitous_arp(raw.mac, VIP));
    let advert = AdvertSpec::v3(segment.address("a"), raw.mac, VRID, 200, &[VIP.into()]);
    let _ = raw.send(&advert.frame());
    assert!(!pings(asker, &VIP.to_string()), "packets to the address die");
    assert!(pings(zombie, &peer.to_string()), "the node's own address works");

    let mut heard = Vec::new();
    let heard_until = Moment::now();
    while let Some(frame) = ear.receive(50 * MS).unwrap().filter(|frame| frame.at <= heard_until) {
        heard.push(frame);
    }
    let from_zombie: Vec<&Frame> = heard.iter().filter(|frame| frame.bytes[6..12] == raw.mac).collect();
    assert!(!from_zombie.is_empty(), "the ear hears the node");
    let claims: Vec<_> = from_zombie.iter().filter(|frame| claims_the_address(frame)).collect();
    assert!(
        claims.is_empty(),
        "{} frames speak for the address, e.g. {:02x?}",
        claims.len(),
        claims[0].bytes
    );
    for probe in &probes {
        let owners = owners_since(probe, killed + LEASE + MARGIN);
        assert!(owners.asked > 100 && owners.unanswered == owners.asked, "{owners:?}");
    }
}

/// The zombie's address and the successor: one owner at every instant after the rival's first advert.
#[test]
fn a_killed_active_leaves_one_owner_and_the_next_start_cleans_up() {
    let segment = Segment::build(&["a", "b", "asker"]).unwrap();
    let (mut a, b) = start_pair(&segment, |router| router.with("preempt = false"));
    let probe = ask_owner(&segment, "asker", VIP);
    eventually_true("a answers", SOON, || probe.last_owner().is_some()).unwrap();
    let killed = Moment::now();
    a.kill9();
    b.wait_state(LAN, "active", SOON).unwrap();
    (killed + LEASE + SECOND).sleep_until();
    assert!(holds(&segment, "a") && holds(&segment, "b"), "the address stands on both");
    // b's first advert revokes in a's data plane, long before the lease would end.
    let takeover = Duration::from_millis(361) + MARGIN;
    let after = owners_since(&probe, killed + takeover);
    assert!(after.contested == 0 && after.longest_unanswered <= MARGIN, "{after:?}");
    assert_eq!(after.by_owner.len(), 1, "{after:?}");
    assert!(after.by_owner.contains_key(&mac_text(mac(segment.host("b"), Segment::INTERFACE))));

    let restarted = Moment::now();
    a.restart().unwrap();
    a.wait_state(LAN, "backup", SOON).unwrap();
    assert!(!holds(&segment, "a"), "the start removed what the dead daemon had left");
    std::thread::sleep(500 * MS);
    let during = owners_since(&probe, restarted);
    assert_eq!((during.contested, during.unanswered, during.by_owner.len()), (0, 0, 1), "{during:?}");
    assert_eq!(transitions(&b, LAN).len(), 2, "b never noticed");
}

#[test]
fn unload_removes_what_a_killed_daemon_left_and_refuses_while_one_runs() {
    let segment = Segment::build(&["a", "asker"]).unwrap();
    let host = segment.host("a");
    let config = both_families(200)
        + &Router::new(200)
            .name("vmac")
            .vrid(77)
            .addresses(&["192.0.2.77/24"])
            .with("virtual_mac = true")
            .text();
    let setting = || run(host, "sysctl", "-n net.ipv4.conf.eth0.arp_ignore net.ipv4.conf.eth0.arp_announce");
    let settings_before = setting().stdout;
    let mut a = start(&segment, "a", &config);
    for router in [LAN, "lan6", "vmac"] {
        a.wait_state(router, "active", SOON).unwrap();
    }
    let refused = unload(&a, &segment, "a");
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(said(&refused).contains("another Holdfast daemon runs"), "{}", said(&refused));
    assert!(a.status().unwrap().is_active(LAN) && holds(&segment, "a"), "nothing was disturbed");

    a.kill9();
    assert!(holds(&segment, "a") && a.bpf_dir().exists());
    let probe = ask_owner(&segment, "asker", VIP);
    let done = unload(&a, &segment, "a");
    assert!(done.status.success(), "{}", said(&done));
    assert!(said(&done).contains("192.0.2.1/"), "{}", said(&done));
    let left = host.ip("-o addr show").unwrap();
    for address in ["192.0.2.1/", "192.0.2.77/", "2001:db8:1::1/", "fe80::1/"] {
        assert!(!left.contains(&format!(" {address}")), "{address} is left: {left}");
    }
    let links = host.ip("-d -o link show").unwrap();
    assert!(!links.contains("macvlan") && !links.contains("xdp"), "{links}");
    assert!(!a.bpf_dir().exists(), "pins are gone");
    assert!(!a.state_dir().join("addresses.json").exists(), "and the record");
    assert_eq!(setting().stdout, settings_before, "kernel settings are as they were");
    std::thread::sleep(200 * MS);
    let owners = owners_since(&probe, Moment::now().before(150 * MS));
    assert!(owners.asked > 50 && owners.unanswered == owners.asked, "{owners:?}");

    let again = unload(&a, &segment, "a");
    assert!(again.status.success() && said(&again).contains("nothing was left"), "{}", said(&again));
}

/// V-089, claim C2: a stopped controller that wakes up has lost its roles; nobody oscillates.
fn a_stopped_controller(extra: &str, a_expected: &[&str], b_expected: &[&str]) {
    let segment = Segment::build(&["a", "b", "asker"]).unwrap();
    let with = |router: Router| if extra.is_empty() { router } else { router.with(extra) };
    let (a, b) = start_pair(&segment, with);
    let probe = ask_owner(&segment, "asker", VIP);
    eventually_true("a answers", SOON, || probe.last_owner().is_some()).unwrap();
    let stopped = Moment::now();
    a.sigstop();
    b.wait_state(LAN, "active", SOON).unwrap();
    (stopped + 5 * SECOND).sleep_until();
    let woken = Moment::now();
    a.sigcont();
    // Preemption needs an Active_Down_Interval; whatever would oscillate has had its time then.
    (woken + 3 * SECOND).sleep_until();
    let rival_speaks = stopped + Duration::from_millis(361) + MARGIN;
    let owners = owners_since(&probe, rival_speaks);
    println!("{owners:?}");
    // The only moment in which two may answer is the move back: until b hears a's advert.
    let stopped_time = probe.window(rival_speaks, woken);
    assert!(stopped_time.contested == 0 && stopped_time.longest_unanswered <= MARGIN, "{stopped_time:?}");
    assert_moved_cleanly(&owners);
    assert_eq!(transitions(&a, LAN), a_expected, "{}", a.process().log_tail());
    assert_eq!(transitions(&b, LAN), b_expected, "{}", b.process().log_tail());
    let final_owner = if a.status().unwrap().is_active(LAN) { "a" } else { "b" };
    assert!(holds(&segment, final_owner));
    assert!(
        !holds(&segment, if final_owner == "a" { "b" } else { "a" }),
        "the other has removed the address"
    );
}

#[test]
fn a_stopped_active_wakes_up_and_preempts_once() {
    a_stopped_controller(
        "",
        &[
            "initialize>backup:startup",
            "backup>active:advert-timeout",
            "active>backup:adverts-overdue",
            "backup>active:preemption",
        ],
        &["initialize>backup:startup", "backup>active:advert-timeout", "active>backup:higher-priority"],
    );
}

#[test]
fn a_stopped_active_wakes_up_and_stays_backup_without_preemption() {
    a_stopped_controller(
        "preempt = false",
        &["initialize>backup:startup", "backup>active:advert-timeout", "active>backup:adverts-overdue"],
        &["initialize>backup:startup", "backup>active:advert-timeout"],
    );
}

/// A Backup that was stopped must not take over because of its own lateness (V-089).
#[test]
fn a_stopped_backup_wakes_up_as_backup() {
    let segment = Segment::build(&["a", "b"]).unwrap();
    let (a, b) = start_pair(&segment, |router| router);
    b.sigstop();
    std::thread::sleep(2 * SECOND);
    b.sigcont();
    std::thread::sleep(10 * INTERVAL);
    assert_eq!(transitions(&b, LAN), ["initialize>backup:startup"]);
    assert_eq!(transitions(&a, LAN).len(), 2);
}

/// V-101: the successor's segment-mates also lose the zombie where it owned without a rival in reach.
#[test]
fn a_peer_address_is_reachable_again_through_the_successor() {
    let segment = Segment::build(&["a", "b", "asker"]).unwrap();
    let (mut a, b) = start_pair(&segment, |router| router);
    let asker = segment.host("asker");
    assert!(pings(asker, &Ipv4Addr::to_string(&VIP)));
    a.kill9();
    b.wait_state(LAN, "active", SOON).unwrap();
    // The gratuitous ARP has moved the asker's entry: no address resolution is awaited here.
    eventually_true("the successor answers", SECOND, || pings(asker, &VIP.to_string())).unwrap();
    let entry = asker.ip(&format!("neigh show {VIP} dev eth0")).unwrap();
    assert!(entry.contains(&mac_text(mac(segment.host("b"), Segment::INTERFACE))), "{entry}");
}
