//! Node loss under adverts of a second, found out by peer checks of three speeds.

use super::stage::{SOON, daemon, scene};
use super::{Script, Tell};
use crate::clock::Moment;
use crate::gateway_pair::{GatewayPair, Peering};
use crate::instruments::Instruments;
use crate::topology::{GatewayLab, Side};
use anyhow::Result;
use std::time::Duration;

const ADVERTS: Duration = Duration::from_secs(1);
const CHECKS: [Duration; 3] =
    [Duration::from_millis(1), Duration::from_millis(10), Duration::from_millis(100)];
/// What a busy machine may add to the checks that have to be missed, far under three adverts.
const MARGIN: Duration = Duration::from_millis(200);
/// How long calm is watched before and after.
const CALM: Duration = Duration::from_millis(500);

pub(super) fn play(script: &mut Script, tell: Tell<'_>) -> Result<()> {
    for check in CHECKS {
        lose_node(check, script, tell)?;
    }
    Ok(())
}

fn lose_node(check: Duration, script: &mut Script, tell: Tell<'_>) -> Result<()> {
    tell(&format!("two gateways that check each other every {check:?}"));
    let lab = GatewayLab::build()?;
    let peering = Peering::every(check);
    let pair = GatewayPair::start_peered(&lab, ADVERTS, &peering)?;
    pair.wait_active(Side::A, SOON)?;
    for side in Side::BOTH {
        daemon(&pair, side)?.wait_status("the peer is healthy on every path", SOON, |status| {
            let peer = &status.0["peers"][0];
            let paths = peer["paths"].as_array();
            peer["health"] == "healthy"
                && paths.is_some_and(|all| all.iter().all(|path| path["health"] == "healthy"))
        })?;
    }
    let instruments = Instruments::start(&lab.client, &lab.server)?;
    instruments.wait_flows(SOON)?;
    std::thread::sleep(CALM);
    tell(&format!("checks every {check:?}: gwA falls silent"));
    let begin = Moment::now();
    lab.node_silent(Side::A)?;
    // Looking at the daemons now would be load at the worst moment: the datagrams tell.
    instruments.wait_flows(SOON)?;
    std::thread::sleep(CALM);
    let name = format!("{check:?} checks");
    let mut loss = scene(&name, (Side::A, Side::B), &instruments, begin);
    loss.demand(pair.is_active(Side::B), "gwB is not Active");
    loss.demand_outage(check * (peering.failure_threshold + 1) + MARGIN);
    loss.explain(daemon(&pair, Side::B)?, Side::B, "peer-unhealthy")?;
    script.scenes.push(loss);
    Ok(())
}
