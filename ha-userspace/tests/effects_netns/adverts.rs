//! The advert thread on the wire: exact bytes, on time, paced, and not disturbed by a dead link.

use crate::bench::{DEADLINE, LAN, Peer, in_fresh_namespace, ip};
use holdfast::effects::adverts::{AdvertFrames, AdvertKind, AdvertOptions, AdvertSender};
use holdfast::effects::announcements::{AnnouncementFrame, DEFAULT_ROUNDS};
use holdfast::effects::frames::{AdvertContent, MacAddress, announcement};
use holdfast::effects::packet_socket::Outbound;
use holdfast_engine::{ChecksumForm, Duration, Family, RouterId, Version};
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration as StdDuration, Instant};

const ROUTER: RouterId = RouterId(1);
const TEN_MS: Duration = Duration::from_millis(10);
const MAC: MacAddress = MacAddress::of_virtual_router(Family::Ipv4, 51);
/// A host may stall for tens of milliseconds under its hypervisor; a scheduler fault would be far above this.
const TOLERATED_LATENESS: Duration = Duration::from_millis(100);

fn content(vrid: u8) -> AdvertContent {
    AdvertContent {
        version: Version::V3,
        vrid,
        addresses: vec!["192.0.2.1".parse().unwrap()],
        interval: TEN_MS,
        source: "192.0.2.10".parse().unwrap(),
        checksum: ChecksumForm::Rfc9568,
    }
}

fn ifindex(name: &str) -> u32 {
    nix::net::if_::if_nametoindex(name).unwrap()
}

fn frames(vrid: u8) -> AdvertFrames {
    AdvertFrames::build(&content(vrid), 100, ifindex(LAN), MAC, &[]).unwrap()
}

fn bytes(outbound: &Outbound) -> &[u8] {
    match outbound {
        Outbound::Ethernet { frame, .. } => frame,
        Outbound::Routed { packet, .. } => packet,
    }
}

fn is_advert(frame: &[u8]) -> bool {
    frame[12..14] == [8, 0] && frame[23] == 112
}

fn until(what: &str, reached: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !reached() {
        assert!(Instant::now() < deadline, "{what} never came");
        std::thread::yield_now();
    }
}

#[test]
fn adverts_leave_byte_exact_and_on_schedule() {
    in_fresh_namespace(|| {
        let peer = Peer::joined();
        let wire = peer.wire();
        let mut sender = AdvertSender::spawn(AdvertOptions::default()).unwrap();
        let frames = frames(51);
        sender.configure(ROUTER, frames.clone());
        let began = Instant::now();
        sender.start(ROUTER, TEN_MS);
        for _ in 0..100 {
            assert_eq!(wire.expect("advert", is_advert), bytes(&frames.normal[0]));
        }
        let took = began.elapsed();
        assert!(took >= StdDuration::from_millis(980), "100 adverts in {took:?}");
        assert!(took < StdDuration::from_millis(1500), "100 adverts in {took:?}");
        println!("{}, late by at most {:?}", sender.scheduling(), sender.maximum_lateness());
        // Releasing: the schedule ends, one advert of priority 0 is the last thing on the wire.
        sender.stop(ROUTER);
        sender.send_once(ROUTER, AdvertKind::PriorityZero);
        let rest = wire.watch(StdDuration::from_millis(100));
        let rest: Vec<_> = rest.iter().filter(|frame| is_advert(frame)).collect();
        assert_eq!(rest.last().unwrap().as_slice(), bytes(&frames.priority_zero[0]));
        assert_eq!(rest.iter().filter(|frame| frame[36] == 0).count(), 1, "V-100: exactly one");
        let counts = sender.counts(ROUTER);
        assert_eq!(counts.priority_zero_sent, 1);
        assert_eq!(counts.adverts_sent, 100 + rest.len() as u64);
        assert!(counts.maximum_lateness < TOLERATED_LATENESS, "{counts:?}");
    });
}

#[test]
fn v120_announcing_255_addresses_delays_no_advert() {
    in_fresh_namespace(|| {
        let peer = Peer::joined();
        let wire = peer.wire();
        let mut sender = AdvertSender::spawn(AdvertOptions::default()).unwrap();
        sender.configure(ROUTER, frames(51));
        let announcements: Vec<AnnouncementFrame> = (1..=255)
            .map(|last| AnnouncementFrame {
                ifindex: ifindex(LAN),
                frame: announcement(MAC, IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))),
            })
            .collect();
        sender.start(ROUTER, TEN_MS);
        sender.announce(ROUTER, announcements.clone(), 3);
        let mut received = Vec::new();
        let deadline = Instant::now() + DEADLINE;
        while received.iter().filter(|frame: &&Vec<u8>| !is_advert(frame)).count() < 3 * 255 {
            let frame = wire.next(deadline).expect("every announcement");
            if is_advert(&frame) || frame[12..14] == [8, 6] {
                received.push(frame);
            }
        }
        assert!(is_advert(&received[0]), "V-094: the advert comes first");
        let seen: Vec<&Vec<u8>> = received.iter().filter(|frame| !is_advert(frame)).collect();
        for (place, frame) in seen.iter().enumerate() {
            assert_eq!(**frame, announcements[place % 255].frame, "round {}", place / 255);
        }
        let first_round = received.iter().position(|frame| *frame == announcements[254].frame).unwrap();
        let adverts = received[..first_round].iter().filter(|frame| is_advert(frame)).count();
        assert!(adverts >= 2, "adverts in the 16 ms of the first round: {adverts}");
        let counts = sender.counts(ROUTER);
        println!("late by at most {:?}, {:?}", counts.maximum_lateness, counts.lateness);
        assert_eq!(counts.announcements_sent, 3 * 255);
        assert!(counts.maximum_lateness < TOLERATED_LATENESS, "{counts:?}");
        // Stop ends a burst.
        sender.announce(ROUTER, announcements, DEFAULT_ROUNDS);
        sender.stop(ROUTER);
        wire.watch(StdDuration::from_millis(150));
        let after = sender.counts(ROUTER).announcements_sent;
        assert!(after <= 4 * 255, "{after}");
        assert_eq!(
            wire.watch(StdDuration::from_millis(150)).iter().filter(|f| f[12..14] == [8, 6]).count(),
            0
        );
    });
}

#[test]
fn three_hundred_routers_at_ten_milliseconds() {
    in_fresh_namespace(|| {
        let _peer = Peer::joined();
        let mut sender = AdvertSender::spawn(AdvertOptions::default()).unwrap();
        for router in 0..300 {
            sender.configure(RouterId(router), frames((router % 255 + 1) as u8));
        }
        (0..300).for_each(|router| sender.start(RouterId(router), TEN_MS));
        let began = Instant::now();
        until("a second of adverts", || sender.counts(RouterId(299)).adverts_sent >= 100);
        let expected = began.elapsed().as_millis() as u64 / 10;
        for router in 0..300 {
            let counts = sender.counts(RouterId(router));
            assert!(
                counts.adverts_sent + 3 >= expected.min(100),
                "router {router}: {counts:?} of {expected}"
            );
            assert_eq!((counts.no_buffer, counts.link_down, counts.other_errors), (0, 0, 0));
        }
        println!("300 routers: late by at most {:?}", sender.maximum_lateness());
        assert!(sender.maximum_lateness() < TOLERATED_LATENESS);
    });
}

#[test]
fn a_dead_link_is_counted_and_adverts_resume_with_it() {
    in_fresh_namespace(|| {
        let peer = Peer::joined();
        let mut sender = AdvertSender::spawn(AdvertOptions::default()).unwrap();
        sender.configure(ROUTER, frames(51));
        sender.start(ROUTER, TEN_MS);
        until("a first advert", || sender.counts(ROUTER).adverts_sent > 0);
        ip("link set lan0 down");
        until("failures", || sender.counts(ROUTER).link_down > 5);
        let before = sender.counts(ROUTER).adverts_sent;
        ip("link set lan0 up");
        until("adverts again", || sender.counts(ROUTER).adverts_sent > before + 5);
        peer.wire().expect("advert", is_advert);
        ip("link del lan0");
        let failures = sender.counts(ROUTER).link_down;
        until("failures on a vanished interface", || sender.counts(ROUTER).link_down > failures + 5);
        assert!(sender.is_running());
        sender.remove(ROUTER);
        assert_eq!(sender.counts(ROUTER).adverts_sent, 0, "forgotten");
    });
}

#[test]
fn v165_unicast_peers_get_their_own_copy_in_both_families() {
    in_fresh_namespace(|| {
        let peer = Peer::joined();
        ip("addr add 192.0.2.10/24 dev lan0");
        ip("addr add fe80::10/64 dev lan0 nodad");
        peer.run(|| {
            ip("addr add 192.0.2.11/24 dev peer0");
            ip("addr add 192.0.2.12/24 dev peer0");
            ip("addr add fe80::11/64 dev peer0 nodad");
        });
        let wire = peer.wire();
        let mut sender = AdvertSender::spawn(AdvertOptions::default()).unwrap();
        let peers: Vec<IpAddr> = vec!["192.0.2.11".parse().unwrap(), "192.0.2.12".parse().unwrap()];
        let v4 = AdvertFrames::build(&content(51), 100, ifindex(LAN), MAC, &peers).unwrap();
        let mut content6 = content(51);
        content6.addresses = vec!["fe80::1".parse().unwrap()];
        content6.source = "fe80::10".parse().unwrap();
        let peer6: IpAddr = "fe80::11".parse().unwrap();
        let v6 = AdvertFrames::build(&content6, 100, ifindex(LAN), MAC, &[peer6]).unwrap();
        sender.configure(RouterId(4), v4.clone());
        sender.configure(RouterId(6), v6.clone());
        sender.start(RouterId(4), TEN_MS);
        sender.start(RouterId(6), TEN_MS);
        for outbound in v4.normal.iter().chain(&v6.normal) {
            let packet = bytes(outbound);
            // The kernel may fill in the IPv4 identification, which the sender leaves 0, and then the header checksum.
            let same = |frame: &[u8]| match packet[0] >> 4 {
                4 => {
                    frame.len() == 14 + packet.len()
                        && frame[14..18] == packet[..4]
                        && frame[22] == 255
                        && frame[26..] == packet[12..]
                }
                _ => frame.len() == 14 + packet.len() && frame[14..] == *packet,
            };
            wire.expect("unicast advert", same);
        }
        let counts = sender.counts(RouterId(4));
        assert_eq!((counts.other_errors, counts.last_errno), (0, 0), "{counts:?}");
    });
}
