//! Planned moves: SIGTERM of the Active, and the operator's `failover`. The product must lose no datagram.

use crate::node_loss::{INTERVALS, demand_survival};
use crate::trials::{Findings, Session, every, milliseconds};
use anyhow::{Context, Result};
use holdfast_lab::Moment;
use holdfast_lab::episode::{Event, Rig};
use holdfast_lab::gateway_pair::Product;
use holdfast_lab::topology::Side;
use std::time::Duration;

pub(crate) const NAME: &str = "graceful";
/// Time in which the hosts are watched after the order was carried out, beyond an interval.
const AFTERWARDS: Duration = Duration::from_millis(800);

pub(crate) fn run(session: &mut Session) {
    for interval in INTERVALS {
        let case = format!("SIGTERM, {}", every(interval));
        for product in session.products() {
            session.on_rig(NAME, &case, product, interval, |rig, findings| {
                let report = rig.episode(Event::Stop, &mut |_| ())?;
                findings.add("lost", "datagrams", report.lost as f64);
                findings.add("outage", "ms", report.outage_ms);
                findings.add("nobody answers for the address", "ms", report.unanswered_ms as f64);
                if product == Product::Holdfast {
                    findings.demand(report.lost == 0, || format!("{} datagrams lost", report.lost));
                    demand_survival(findings, &report);
                }
                Ok(())
            });
        }
        if session.products().contains(&Product::Holdfast) {
            let case = format!("failover, {}", every(interval));
            session.on_rig(NAME, &case, Product::Holdfast, interval, |rig, findings| {
                for (from, case) in [(Side::A, "to the Backup"), (Side::B, "and back")] {
                    let mut part = Findings::default();
                    fail_over(rig, from, &mut part)?;
                    findings.take_part(case, part);
                }
                Ok(())
            });
        }
    }
}

/// Orders the Active to release everything, and watches the hosts.
fn fail_over(rig: &mut Rig, from: Side, findings: &mut Findings) -> Result<()> {
    let begin = Moment::now();
    let daemon = rig.pair.daemon(from).context("only the product has a failover command")?;
    daemon.cli_ok(&["failover"])?;
    let ordered = begin.elapsed();
    rig.pair.wait_active(from.other(), Duration::from_secs(15) + rig.interval() * 4)?;
    (Moment::now() + AFTERWARDS + rig.interval()).sleep_until();
    let traffic = rig.traffic().window(begin, Moment::now());
    findings.add("lost", "datagrams", traffic.lost as f64);
    findings.add("outage", "ms", milliseconds(traffic.outage));
    findings.add("order carried out after", "ms", milliseconds(ordered));
    findings.demand(traffic.lost == 0, || format!("{} datagrams lost", traffic.lost));
    Ok(())
}
