//! Two gateways that check each other: verdicts of the probes, takeover and hold, and what nobody on the segment can do.

use crate::support::{MS, SECOND, SOON};
use holdfast_lab::clock::Moment;
use holdfast_lab::gateway_pair::{GatewayPair, Peering};
use holdfast_lab::poll::eventually_true;
use holdfast_lab::topology::{GatewayLab, Leg, SERVER, Side};
use holdfast_lab::traffic::Stream;
use std::net::SocketAddr;

/// A pair with A Active and both hearing each other on every path.
pub(crate) fn start(lab: &GatewayLab, interval: std::time::Duration, peering: &Peering) -> GatewayPair {
    let pair = GatewayPair::start_peered(lab, interval, peering).unwrap();
    pair.wait_active(Side::A, SOON).unwrap();
    for side in Side::BOTH {
        let daemon = pair.daemon(side).unwrap();
        daemon
            .wait_status("the peer is healthy on every path", SOON, |status| {
                let peer = &status.0["peers"][0];
                let paths = peer["paths"].as_array().unwrap();
                peer["health"] == "healthy" && paths.iter().all(|path| path["health"] == "healthy")
            })
            .unwrap();
    }
    pair
}

#[test]
fn peers_find_each_other_on_every_path() {
    let lab = GatewayLab::build().unwrap();
    let pair = start(&lab, 100 * MS, &Peering::every(10 * MS));
    std::thread::sleep(SECOND);
    for side in Side::BOTH {
        let status = pair.daemon(side).unwrap().status().unwrap();
        let peer = &status.0["peers"][0];
        println!("{}", pair.daemon(side).unwrap().cli_ok(&["status"]).unwrap());
        assert_eq!(peer["authenticated"], true, "{peer:#}");
        assert_eq!(peer["role"], if side == Side::A { "backup" } else { "active" }, "{peer:#}");
        assert_eq!(peer["paths"].as_array().unwrap().len(), 3);
        for path in peer["paths"].as_array().unwrap() {
            assert!(path["answered"].as_u64().unwrap() >= 50, "{path:#}");
            assert!(path["rtt_ns"].as_u64().unwrap() > 0, "{path:#}");
        }
    }
}

/// Longest time without a datagram of the stream in the last `span`.
fn outage(stream: &Stream, since: Moment) -> std::time::Duration {
    stream.window(since, Moment::now()).outage
}

#[test]
fn a_lost_node_is_succeeded_at_the_threshold() {
    for (check, bound) in [(MS, 200 * MS), (10 * MS, 250 * MS), (100 * MS, 600 * MS)] {
        let lab = GatewayLab::build().unwrap();
        let pair = start(&lab, SECOND, &Peering::every(check));
        let stream =
            Stream::start(&lab.client, &lab.server, SocketAddr::new(SERVER.into(), 9000), MS).unwrap();
        eventually_true("traffic through A", SOON, || stream.flows_since(Moment::now().before(50 * MS)))
            .unwrap();
        let lost = Moment::now();
        lab.node_silent(Side::A).unwrap();
        eventually_true("B takes over", SOON, || pair.is_active(Side::B)).unwrap();
        eventually_true("traffic through B", SOON, || stream.flows_since(Moment::now().before(20 * MS)))
            .unwrap();
        std::thread::sleep(300 * MS);
        println!("{check:?}: outage {:?}", outage(&stream, lost.before(10 * MS)));
        println!("{}", pair.daemon(Side::B).unwrap().cli_ok(&["why"]).unwrap());
        assert_eq!(pair.cause(Side::B, Leg::Lan).as_deref(), Some("peer-unhealthy"));
        assert!(outage(&stream, lost.before(10 * MS)) < bound);
    }
}
