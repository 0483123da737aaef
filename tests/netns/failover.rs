//! Ownership moves when a node or a link is lost, and comes back to one owner when the loss is over.

use crate::support::{INTERVAL, LAN, MARGIN, MS, Router, SECOND, SOON, mac, transitions};
use crate::support::{ask_owner, owners_for, start_pair, start_router};
use holdfast_lab::clock::Moment;
use holdfast_lab::episode::{Event, Rig};
use holdfast_lab::forge::mac_text;
use holdfast_lab::gateway_pair::{GatewayPair, Product};
use holdfast_lab::netns::LabName;
use holdfast_lab::owners::OwnerProbe;
use holdfast_lab::packet_socket::PacketSocket;
use holdfast_lab::poll::eventually_true;
use holdfast_lab::topology::{GatewayLab, LAN_VIP, Leg, SERVER, Segment, Side, WAN_VIP};
use holdfast_lab::traffic::Stream;
use std::net::SocketAddr;
use std::time::Duration;

/// Every loss that the demo shows, one after the other on one pair: V-071, V-077, V-101, V-112.
#[test]
fn every_loss_ends_with_one_owner_and_traffic() {
    let mut rig = Rig::start(LabName::unique(), Product::Holdfast, INTERVAL).unwrap();
    let sequence = [Event::NodeLoss, Event::Restore, Event::Kill9, Event::Restart, Event::Stop];
    for event in sequence {
        let report = rig.episode(event, &mut |_| ()).unwrap();
        println!("{report:?}");
        assert!(report.passed(), "{report:#?}\n{}", rig.pair.log_tails());
        assert_eq!(report.duplicated, 0, "{report:#?}");
        match event {
            // Three intervals and the skew of priority 100 are 361 ms; what the move itself needs is little.
            Event::NodeLoss | Event::Kill9 => {
                assert!(report.outage_ms < 1000.0, "{report:#?}");
                assert_eq!(report.cause.as_deref(), Some("advert-timeout"), "{report:#?}");
            }
            Event::Stop => assert_eq!(report.lost, 0, "{report:#?}"),
            Event::Restore | Event::Restart => {}
        }
    }
}

/// V-115: carrier loss on one side moves both, and its return brings both back.
#[test]
fn a_lost_link_moves_the_whole_group() {
    let lab = GatewayLab::build().unwrap();
    let pair = GatewayPair::start(&lab, Product::Holdfast, INTERVAL).unwrap();
    pair.wait_active(Side::A, SOON).unwrap();
    let stream = Stream::start(&lab.client, &lab.server, SocketAddr::new(SERVER.into(), 9000), MS).unwrap();
    let lan = OwnerProbe::start(&lab.client, "lan0", LAN_VIP.into(), MS).unwrap();
    let wan = OwnerProbe::start(&lab.server, "wan0", WAN_VIP.into(), MS).unwrap();
    eventually_true("traffic through A", SOON, || stream.flows_since(Moment::now().before(50 * MS))).unwrap();

    lab.link_down(Side::A, Leg::Wan).unwrap();
    pair.wait_active(Side::B, SOON).unwrap();
    eventually_true("traffic through B", SOON, || stream.flows_since(Moment::now().before(20 * MS))).unwrap();
    let (lan_now, wan_now) = (owners_for(&lan, 500 * MS), owners_for(&wan, 500 * MS));
    let b = |leg: Leg| mac_text(mac(lab.gateway(Side::B), leg.interface()));
    assert_eq!(lan_now.by_owner.keys().collect::<Vec<_>>(), [&b(Leg::Lan)], "{lan_now:?}");
    assert_eq!(wan_now.by_owner.keys().collect::<Vec<_>>(), [&b(Leg::Wan)], "{wan_now:?}");
    assert_eq!((lan_now.contested, wan_now.contested), (0, 0));
    assert_eq!(pair.cause(Side::A, Leg::Wan).as_deref(), Some("interface-down"));
    assert_eq!(pair.cause(Side::A, Leg::Lan).as_deref(), Some("group-member"));
    assert!(!lab.gateway(Side::A).has_address("lan0", &LAN_VIP.to_string()));

    lab.link_up(Side::A, Leg::Wan).unwrap();
    pair.wait_active(Side::A, SOON).unwrap();
    let back = owners_for(&lan, 500 * MS);
    assert_eq!((back.contested, back.by_owner.len()), (0, 1), "{back:?}");
}

/// V-112: both are Active while the segment is cut; after it heals one is, and it announces itself again.
#[test]
fn a_healed_partition_has_one_owner_that_announces_again() {
    let segment = Segment::build(&["a", "b", "asker"]).unwrap();
    let (a, b) = start_pair(&segment, |router| router);
    segment.fabric.silence(&segment.port("b")).unwrap();
    b.wait_state(LAN, "active", SOON).unwrap();
    assert!(a.status().unwrap().is_active(LAN));

    let probe = ask_owner(&segment, "asker", crate::support::VIP);
    let ears = PacketSocket::open(segment.host("asker"), Segment::INTERFACE).unwrap();
    let healed = Moment::now();
    segment.fabric.restore(&segment.port("b")).unwrap();
    let owner = mac(segment.host("a"), Segment::INTERFACE);
    let announcement = ears
        .wait_for(2 * SECOND, |frame| is_gratuitous_arp(&frame.bytes) && frame.bytes[6..12] == owner)
        .unwrap();
    assert!(announcement.is_some(), "the survivor announces again");
    b.wait_state(LAN, "backup", SOON).unwrap();
    std::thread::sleep(500 * MS);
    let after = probe.window(healed + INTERVAL + MARGIN, Moment::now());
    assert_eq!((after.contested, after.by_owner.len()), (0, 1), "{after:?}");
    assert!(after.by_owner.contains_key(&mac_text(owner)), "{after:?}");
    assert_eq!(transitions(&a, LAN).len(), 2, "a never left Active: {:?}", transitions(&a, LAN));
    assert_eq!(transitions(&b, LAN).last().unwrap(), "active>backup:higher-priority");
}

/// V-113: of two Backups only the better one fires.
#[test]
fn of_two_backups_the_better_one_takes_over() {
    let segment = Segment::build(&["a", "b", "c"]).unwrap();
    let (_a, b) = start_pair(&segment, |router| router);
    let c = start_router(&segment, "c", &Router::new(150));
    c.wait_state(LAN, "backup", SOON).unwrap();
    c.wait_status("c hears a", SOON, |status| status.number(LAN, "adverts_received") > 0).unwrap();
    segment.fabric.silence(&segment.port("a")).unwrap();
    c.wait_state(LAN, "active", SOON).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(transitions(&b, LAN), ["initialize>backup:startup"]);
    assert!(c.status().unwrap().is_active(LAN));
}

fn is_gratuitous_arp(frame: &[u8]) -> bool {
    let vip = crate::support::VIP.octets();
    frame.len() >= 42 && frame[12..14] == [0x08, 0x06] && frame[28..32] == vip && frame[38..42] == vip
}
