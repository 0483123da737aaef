//! A lost port of a link pair makes the node give way; its return counts only after the recovery time.

use super::stage::{SOON, daemon, scene, wait_heard, wait_serves};
use super::{Script, Tell};
use crate::clock::Moment;
use crate::gateway_pair::{GatewayPair, Product, holdfast_config, router_name};
use crate::instruments::Instruments;
use crate::netns::Namespace;
use crate::topology::{GatewayLab, Leg, Side};
use anyhow::Result;
use std::time::Duration;

const ADVERTS: Duration = Duration::from_millis(100);
const RECOVERY: Duration = Duration::from_secs(2);
const SETTINGS: &str = "[links]\nrecovery_time = \"2s\"\n\n\
                        [[link_pair]]\nname = \"edge\"\ninside = \"edge0\"\noutside = \"edge1\"\n";
/// The pair's ports on each gateway: wires that lead nowhere, beside those that carry the traffic.
const PORTS: [&str; 2] = ["edge0", "edge1"];
/// A planned change of owner costs next to nothing.
const MOST_OUTAGE: Duration = Duration::from_millis(150);
const CALM: Duration = Duration::from_millis(500);

pub(super) fn play(script: &mut Script, tell: Tell<'_>) -> Result<()> {
    tell("two gateways, each with a link pair of its own");
    let lab = GatewayLab::build()?;
    for side in Side::BOTH {
        add_ports(lab.gateway(side))?;
    }
    let config = |side| holdfast_config(side, ADVERTS) + SETTINGS;
    let pair = GatewayPair::start_with(&lab, Product::Holdfast, ADVERTS, config)?;
    let (a, b) = (daemon(&pair, Side::A)?, daemon(&pair, Side::B)?);
    let instruments = Instruments::start(&lab.client, &lab.server)?;
    wait_serves(&pair, &instruments, Side::A)?;
    wait_heard(b)?;
    std::thread::sleep(CALM);

    tell("a port of gwA's pair loses its carrier");
    let begin = Moment::now();
    set_carrier(lab.gateway(Side::A), false)?;
    wait_serves(&pair, &instruments, Side::B)?;
    a.wait_state(router_name(Leg::Lan), "backup", SOON)?;
    std::thread::sleep(CALM);
    let mut lost = scene("port lost", (Side::A, Side::B), &instruments, begin);
    lost.demand_outage(MOST_OUTAGE);
    lost.explain(a, Side::A, "requirement-failed")?;
    lost.explain(b, Side::B, "priority-zero")?;
    let edge = &a.status()?.0["link_pairs"][0];
    lost.demand(edge["active"] == false, "the pair still counts as active");
    lost.figures.push(format!("the pair: {}", edge["fault"].as_str().unwrap_or("no fault")));
    script.scenes.push(lost);

    tell("the carrier is back; it counts after 2s");
    let begin = Moment::now();
    set_carrier(lab.gateway(Side::A), true)?;
    wait_serves(&pair, &instruments, Side::A)?;
    let waited = begin.elapsed();
    std::thread::sleep(CALM);
    let mut back = scene("port back", (Side::A, Side::A), &instruments, begin);
    back.demand_outage(MOST_OUTAGE);
    back.demand(waited >= RECOVERY, &format!("gwA is back after {waited:?}, before its recovery time"));
    back.figures.push(format!("gwA serves again {:.1} s after the carrier is back", waited.as_secs_f64()));
    back.explain(a, Side::A, "preemption")?;
    script.scenes.push(back);
    Ok(())
}

fn add_ports(node: &Namespace) -> Result<()> {
    PORTS.iter().try_for_each(|port| {
        node.ip_batch(&[
            format!("link add {port} type veth peer name {port}-far"),
            format!("link set {port} up"),
            format!("link set {port}-far up"),
        ])
    })
}

/// Takes the carrier of the outer port away, or gives it back.
fn set_carrier(node: &Namespace, carrier: bool) -> Result<()> {
    let [_, outside] = PORTS;
    node.ip_batch(&[format!("link set {outside}-far {}", if carrier { "up" } else { "down" })])
}
