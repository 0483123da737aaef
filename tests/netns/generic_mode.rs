//! Generic XDP, the declared fallback: a bridge has no native XDP, and the election runs on it all the same.

use crate::support::{
    INTERVAL, LAN, Router, SECOND, SOON, VIP, ask_owner, mac, owners_for, start_router, transitions,
};
use holdfast_lab::poll::eventually_true;
use holdfast_lab::topology::Segment;

const BRIDGE: &str = "br0";

/// V-105, V-103: on an interface that refuses native XDP adverts are heard, losers answered and winners yielded to.
#[test]
fn a_pair_on_bridges_runs_in_generic_mode() {
    let segment = Segment::build(&["a", "b", "ear"]).unwrap();
    for host in ["a", "b"] {
        let (node, address) = (segment.host(host), segment.address(host));
        node.ip(&format!("link add {BRIDGE} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"))
            .unwrap();
        node.ip(&format!("addr flush dev {}", Segment::INTERFACE)).unwrap();
        node.ip(&format!("link set {} master {BRIDGE}", Segment::INTERFACE)).unwrap();
        node.ip(&format!("link set {BRIDGE} up")).unwrap();
        node.ip(&format!("addr add {address}/24 dev {BRIDGE}")).unwrap();
    }
    let router = |priority| Router::new(priority).interface(BRIDGE);
    let a = start_router(&segment, "a", &router(200));
    let status = a.wait_state(LAN, "active", SOON).unwrap();
    assert_eq!(status.link(BRIDGE)["mode"], "generic");
    let b = start_router(&segment, "b", &router(100));
    b.wait_status("b hears a", SOON, |status| status.number(LAN, "adverts_received") > 3).unwrap();
    assert_eq!(transitions(&b, LAN), ["initialize>backup:startup"]);

    let probe = ask_owner(&segment, "ear", VIP);
    eventually_true("an answer", SOON, || probe.last_owner().is_some()).unwrap();
    let owners = owners_for(&probe, 3 * INTERVAL);
    assert_eq!((owners.contested, owners.by_owner.len()), (0, 1), "{owners:?}");
    assert_eq!(probe.last_owner().map(|(owner, _)| owner), Some(mac(segment.host("a"), BRIDGE)));

    segment.fabric.silence(&segment.port("a")).unwrap();
    b.wait_state(LAN, "active", SOON).unwrap();
    segment.fabric.restore(&segment.port("a")).unwrap();
    let status = b.wait_state(LAN, "backup", SOON).unwrap();
    assert_eq!(status.cause(LAN), Some("higher-priority"));
    assert!(
        status.discards(LAN, "advert-revoked") > 0,
        "revoked in the data plane: {:#}",
        status.router(LAN)
    );
    let owners = owners_for(&probe, SECOND);
    assert_eq!((owners.contested, owners.by_owner.len()), (0, 1), "{owners:?}");
}
