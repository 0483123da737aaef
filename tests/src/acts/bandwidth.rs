//! An owner that answers for the address and passes nothing on gives way, once.

use super::stage::{SOON, daemon, notices, scene, times_left, wait_heard, wait_serves};
use super::{Script, Tell};
use crate::clock::Moment;
use crate::daemon::Status;
use crate::gateway_pair::{GatewayPair, Product, holdfast_config};
use crate::instruments::Instruments;
use crate::poll::always;
use crate::topology::{GatewayLab, Leg, Side};
use anyhow::Result;
use std::time::Duration;

const ADVERTS: Duration = Duration::from_millis(100);
/// A datagram per millisecond makes about 850 kbit/s; answers to who asks for the owner as often, which go on, 340.
const SETTINGS: &str = "[bandwidth]\nenabled = true\nminimum = \"600kbps\"\ninterval = \"2s\"\n";
const INTERVAL: Duration = Duration::from_secs(2);
/// What the guard's own period and a busy machine add to the interval.
const MARGIN: Duration = Duration::from_millis(1500);
/// Three intervals in which nothing may move.
const CALM: Duration = Duration::from_secs(6);

pub(super) fn play(script: &mut Script, tell: Tell<'_>) -> Result<()> {
    tell("two gateways; less than 600kbps for 2s is too little");
    let lab = GatewayLab::build()?;
    let config = |side| holdfast_config(side, ADVERTS) + SETTINGS;
    let pair = GatewayPair::start_with(&lab, Product::Holdfast, ADVERTS, config)?;
    let (a, b) = (daemon(&pair, Side::A)?, daemon(&pair, Side::B)?);
    let instruments = Instruments::start(&lab.client, &lab.server)?;
    wait_serves(&pair, &instruments, Side::A)?;
    wait_heard(b)?;
    a.wait_status("the guard of the outside leg is armed", SOON, is_armed)?;
    tell("gwA's outside leg goes dry: it routes nothing any more");
    let begin = Moment::now();
    lab.gateway(Side::A).sysctl("net/ipv4/ip_forward", "0")?;
    wait_serves(&pair, &instruments, Side::B)?;
    let mut dry = scene("dry leg", (Side::A, Side::B), &instruments, begin);
    dry.demand_outage(INTERVAL + MARGIN);
    dry.explain(a, Side::A, "low-bandwidth")?;
    dry.explain(b, Side::B, "priority-zero")?;
    script.scenes.push(dry);
    tell("nobody moves any more, though gwA has the better priority");
    let begin = Moment::now();
    let stays = always("gwB keeps it", CALM, || pair.is_active(Side::B) && !pair.is_active(Side::A));
    let mut calm = scene("afterwards", (Side::A, Side::B), &instruments, begin);
    calm.demand(stays.is_ok(), "it moved again");
    let (left, again) = (times_left(a, Leg::Lan)?, times_left(b, Leg::Lan)?);
    calm.demand((left, again) == (1, 0), &format!("gwA gave way {left} times and gwB {again} times"));
    calm.demand(notices(a, "bandwidth-low")? == 1, "bandwidth-low is not reported once");
    calm.figures.push(format!("failovers in all: {}", left + again));
    script.scenes.push(calm);
    Ok(())
}

fn is_armed(status: &Status) -> bool {
    let guards = status.0["bandwidth"].as_array();
    guards.is_some_and(|all| {
        all.iter().any(|guard| guard["link"] == Leg::Wan.interface() && guard["armed"] == true)
    })
}
