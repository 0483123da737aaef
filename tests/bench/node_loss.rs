//! The Active's node goes silent on all its links: how long the hosts are without a gateway.

use crate::trials::{Findings, Session, every};
use holdfast_lab::episode::{Event, Report};
use std::time::Duration;

pub(crate) const NAME: &str = "node-loss";
/// VRRP's classic interval, the demo's, and the shortest that VRRPv3 can do.
pub(crate) const INTERVALS: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_millis(100), Duration::from_millis(10)];

pub(crate) fn run(session: &mut Session) {
    for interval in INTERVALS {
        for product in session.products() {
            session.on_rig(NAME, &every(interval), product, interval, |rig, findings| {
                let report = rig.episode(Event::NodeLoss, &mut |_| ())?;
                findings.add("outage", "ms", report.outage_ms);
                findings.add("lost", "datagrams", report.lost as f64);
                demand_survival(findings, &report);
                Ok(())
            });
        }
    }
}

/// Service is back, and nobody answered beside the owner past the bound.
pub(crate) fn demand_survival(findings: &mut Findings, report: &Report) {
    findings.demand(report.recovered, || format!("{} did not take over", report.active));
    findings.demand(report.contested_after_fence_ms == 0, || {
        let Report { contested_after_fence_ms, fence_bound_ms, .. } = report;
        format!("two owners for {contested_after_fence_ms} ms after the bound of {fence_bound_ms} ms")
    });
}
