//! Two gateways that check each other: verdicts of the probes, takeover and hold, and what nobody on the segment can do.

use crate::support::{MS, SECOND, SOON};
use holdfast_lab::gateway_pair::{GatewayPair, Peering};
use holdfast_lab::topology::{GatewayLab, Side};

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
