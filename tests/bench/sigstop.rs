//! The Active's processes are stopped for a while and go on: two owners meanwhile, and how the roles come to rest.

use crate::kill9::contested;
use crate::transitions::Transitions;
use crate::trials::{Findings, Session, every};
use anyhow::Result;
use holdfast_lab::Moment;
use holdfast_lab::episode::{Event, Rig};
use holdfast_lab::gateway_pair::Product;
use holdfast_lab::topology::Side;
use std::time::Duration;

pub(crate) const NAME: &str = "sigstop";
const INTERVAL: Duration = Duration::from_millis(100);
const STOPPED: Duration = Duration::from_secs(5);
/// Time after SIGCONT in which transitions count.
const AFTERWARDS: Duration = Duration::from_secs(5);

pub(crate) fn run(session: &mut Session) {
    let case = format!("SIGSTOP for 5 s, {}", every(INTERVAL));
    for product in session.products() {
        session.on_rig(NAME, &case, product, INTERVAL, |rig, findings| stop(rig, product, findings));
    }
}

fn stop(rig: &mut Rig, product: Product, findings: &mut Findings) -> Result<()> {
    let stopped = Side::A;
    let before = Transitions::mark(&rig.pair)?;
    let begin = Moment::now();
    rig.pair.sigstop(stopped);
    (begin + STOPPED).sleep_until();
    let resumed = Moment::now();
    rig.pair.sigcont(stopped);
    (resumed + AFTERWARDS).sleep_until();
    let end = Moment::now();
    let bound = Event::Kill9.fence_bound(INTERVAL);
    let while_stopped = contested(rig, begin + bound, resumed);
    let after = contested(rig, resumed, end);
    let traffic = rig.traffic().window(begin, end);
    findings.add("two owners", "ms", contested(rig, begin, end) as f64);
    findings.add("two owners past the bound", "ms", while_stopped as f64);
    findings.add("two owners after SIGCONT", "ms", after as f64);
    for (side, measure) in [(stopped, "of the stopped node"), (stopped.other(), "of the other node")] {
        findings.add(measure, "transitions", before.since(&rig.pair, side)? as f64);
    }
    findings.add_ms("outage", traffic.outage);
    findings.add("lost", "datagrams", traffic.lost as f64);
    if product == Product::Holdfast {
        findings.demand(while_stopped == 0, || format!("two owners for {while_stopped} ms after {bound:?}"));
        // The node that comes back may own until the other has heard its first advert.
        let handed_over = Event::Restart.fence_bound(INTERVAL);
        findings.demand(after as u128 <= handed_over.as_millis(), || {
            format!("two owners for {after} ms after SIGCONT; one advert ends that within {handed_over:?}")
        });
    }
    Ok(())
}
