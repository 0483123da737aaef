//! The Active's controller is stopped for most of its lease, again and again: its data plane vouches for it, and nothing
//! may move. keepalived, stopped as long, lets its peer take over beside it.

use crate::peered::{ACTIVE, PeeredBed};
use crate::transitions::Transitions;
use crate::trials::{Findings, Session};
use anyhow::Result;
use holdfast_lab::Moment;
use holdfast_lab::episode::LEASE;
use holdfast_lab::gateway_pair::Product;
use std::time::Duration;

pub(crate) const NAME: &str = "stopped-controller";
const TRIALS: usize = 20;
const INTERVAL: Duration = Duration::from_millis(10);
/// Four fifths of the lease.
const STOPPED: Duration = LEASE.saturating_mul(4).checked_div(5).unwrap();
/// Time after SIGCONT in which transitions and owners count.
const AFTERWARDS: Duration = Duration::from_secs(1);

pub(crate) fn run(session: &mut Session) {
    let case = format!("SIGSTOP for {} ms, adverts every 10 ms", STOPPED.as_millis());
    for product in session.products() {
        let start = || PeeredBed::start(product, INTERVAL, INTERVAL);
        session.so_many_trials(TRIALS, NAME, &case, product, start, |bed, findings| {
            stop(bed, product, findings)
        });
    }
}

fn stop(bed: &mut PeeredBed, product: Product, findings: &mut Findings) -> Result<()> {
    let before = Transitions::mark(&bed.rig.pair)?;
    let begin = Moment::now();
    bed.rig.pair.sigstop(ACTIVE);
    (begin + STOPPED).sleep_until();
    bed.rig.pair.sigcont(ACTIVE);
    let resumed = Moment::now();
    (resumed + AFTERWARDS).sleep_until();
    let end = Moment::now();
    let moved = [before.since(&bed.rig.pair, ACTIVE)?, before.since(&bed.rig.pair, ACTIVE.other())?];
    let contested = bed.contested(begin, end);
    findings.add("of the stopped node", "transitions", moved[0] as f64);
    findings.add("of the other node", "transitions", moved[1] as f64);
    findings.add("two owners", "ms", contested as f64);
    findings.add_ms("outage", bed.rig.traffic().window(begin, end).outage);
    findings.add_ms("machine's longest stall", bed.stalls.longest_gap(begin, end));
    if product == Product::Holdfast {
        findings.demand(moved == [0; 2], || format!("transitions of A and B: {moved:?}"));
        findings.demand(contested == 0, || format!("two owners for {contested} ms"));
    }
    Ok(())
}
