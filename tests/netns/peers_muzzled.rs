//! A packet filter on the gateways themselves that lets no probe out: nobody can be asked, adverts still come.

use crate::peers_bench::Bench;
use crate::support::{SECOND, SOON};
use holdfast_lab::gateway_pair::Peering;
use holdfast_lab::netns::Namespace;
use holdfast_lab::poll::eventually_true;
use holdfast_lab::topology::{Leg, Side};
use std::process::Command;
use std::time::Duration;

const ADVERTS: Duration = Duration::from_millis(100);
const CHECKS: Duration = Duration::from_millis(10);
const FILTER: &str =
    "table inet muzzle { chain out { type filter hook output priority 0; udp dport 8612 drop; }; }";

fn nft(gateway: &Namespace, rules: &str) {
    let mut command = Command::new("nft");
    command.arg(rules);
    let output = gateway.enter(|| command.output()).unwrap().unwrap();
    assert!(output.status.success(), "nft {rules}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Rules that are pushed to both nodes close both; nobody may move for it, and a loss is still noticed by missing adverts.
#[test]
fn filters_that_let_no_probe_out_leave_plain_vrrp_and_one_owner() {
    let bench = Bench::start(ADVERTS, &Peering::every(CHECKS));
    let mark = bench.mark();
    for side in Side::BOTH {
        nft(bench.lab.gateway(side), FILTER);
        bench.wait_notice(side, &mark, "muzzled");
        // One after the other, as such changes come.
        std::thread::sleep(SECOND);
        bench.assert_still(&mark, side.label());
    }
    for side in Side::BOTH {
        assert_eq!(bench.status(side).0["peers"][0]["authenticated"], false);
    }
    std::thread::sleep(2 * SECOND);
    bench.assert_still(&mark, "no probe leaves");
    bench.lab.node_silent(Side::A).unwrap();
    eventually_true("B takes over", SOON, || bench.pair.is_active(Side::B)).unwrap();
    assert_eq!(bench.pair.cause(Side::B, Leg::Lan).as_deref(), Some("advert-timeout"));
    bench.lab.node_restore(Side::A).unwrap();
    bench.pair.wait_active(Side::A, SOON).unwrap();

    for side in Side::BOTH {
        nft(bench.lab.gateway(side), "delete table inet muzzle");
    }
    bench.settle(Side::A);
    for side in Side::BOTH {
        assert_eq!(bench.status(side).0["peers"][0]["authenticated"], true);
        assert_eq!(bench.notices(side, &mark, "muzzled"), 1, "told once");
    }
}
