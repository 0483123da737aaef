//! SIGKILL of the Active's processes, which clean nothing up: how long two nodes own the address.

use crate::trials::{Findings, Session, every};
use anyhow::Result;
use holdfast_lab::Moment;
use holdfast_lab::episode::{Event, Rig};
use holdfast_lab::gateway_pair::Product;
use holdfast_lab::packet_socket::PacketSocket;
use holdfast_lab::topology::{Leg, Side};
use std::time::Duration;

pub(crate) const NAME: &str = "kill9";
const INTERVAL: Duration = Duration::from_millis(100);
/// Time from the kill in which the owners are counted.
const WINDOW: Duration = Duration::from_secs(5);
/// A node that answered this shortly before the window's end is not silent.
const STILL_ANSWERS: Duration = Duration::from_millis(200);
/// Time that the last answers need to come in.
const SETTLE: Duration = Duration::from_millis(250);

pub(crate) fn run(session: &mut Session) {
    let case = format!("SIGKILL, {}", every(INTERVAL));
    for product in session.products() {
        session.on_rig(NAME, &case, product, INTERVAL, |rig, findings| kill(rig, product, findings));
    }
}

fn kill(rig: &mut Rig, product: Product, findings: &mut Findings) -> Result<()> {
    let dead = Side::A;
    let macs = macs(rig, dead)?;
    let begin = Moment::now();
    rig.pair.kill9(dead);
    let end = begin + WINDOW;
    (end + SETTLE).sleep_until();
    let traffic = rig.traffic().window(begin, end);
    let bound = Event::Kill9.fence_bound(INTERVAL);
    let past_bound = contested(rig, begin + bound, end);
    findings.add("two owners", "ms", contested(rig, begin, end) as f64);
    findings.add("two owners past the bound", "ms", past_bound as f64);
    let silent = silent_after(rig, macs, begin, end);
    findings.add("dead node silent after", "ms", silent);
    findings.add_ms("outage", traffic.outage);
    findings.add("lost", "datagrams", traffic.lost as f64);
    if product == Product::Holdfast {
        findings.demand(past_bound == 0, || format!("two owners for {past_bound} ms after {bound:?}"));
        findings.demand(silent.is_some(), || "the dead node still answers".to_owned());
        findings.demand(rig.pair.is_active(dead.other()), || "nobody took over".to_owned());
    }
    Ok(())
}

/// Milliseconds with two answering owners, on the worse leg.
pub(crate) fn contested(rig: &Rig, from: Moment, to: Moment) -> usize {
    Leg::BOTH.map(|leg| rig.owners(leg).window(from, to).contested).into_iter().max().unwrap_or_default()
}

/// Hardware addresses of a gateway's interfaces.
fn macs(rig: &Rig, side: Side) -> Result<[(Leg, [u8; 6]); 2]> {
    let mac = |leg: Leg| -> Result<(Leg, [u8; 6])> {
        Ok((leg, PacketSocket::open(rig.lab.gateway(side), leg.interface())?.mac))
    };
    Ok([mac(Leg::Lan)?, mac(Leg::Wan)?])
}

/// Milliseconds to the node's last answer, on the worse leg; `None` if it still answers at the end.
fn silent_after(rig: &Rig, macs: [(Leg, [u8; 6]); 2], begin: Moment, end: Moment) -> Option<f64> {
    let last = macs.iter().filter_map(|(leg, mac)| rig.owners(*leg).last_answered_by(*mac, begin)).max();
    let after = last.map_or(Duration::ZERO, |last| last.since(begin));
    (after + STILL_ANSWERS < end.since(begin)).then(|| crate::trials::milliseconds(after))
}
