//! A ladder of loads that starve the gateways, each for as long as a rung lasts: nobody has failed, so nobody may move.

use crate::peered::{ACTIVE, PeeredBed};
use crate::transitions::Transitions;
use crate::trials::{Findings, Session};
use anyhow::Result;
use holdfast_lab::Moment;
use holdfast_lab::gateway_pair::Product;
use holdfast_lab::load::Load;
use std::path::Path;
use std::time::Duration;

pub(crate) const NAME: &str = "starvation";
const INTERVAL: Duration = Duration::from_millis(10);
/// One trial of a rung is a minute; more are asked for by number.
const TRIALS: usize = 1;
const RUNG: Duration = Duration::from_secs(60);
/// Time that a load takes to get going, watched as well.
const ONSET: Duration = Duration::from_millis(500);
/// Time after the load in which its consequences still count.
const AFTERWARDS: Duration = Duration::from_millis(500);

const LADDER: [(&str, Load); 6] = [
    ("16 busy loops", Load::BusyLoops(16)),
    ("16 busy loops and a fork storm", Load::Forks(16)),
    ("memory pressure", Load::Memory),
    ("real-time hog, 50 %", Load::RealTime(50)),
    ("real-time hog, 70 %", Load::RealTime(70)),
    ("real-time hog, 90 %", Load::RealTime(90)),
];

pub(crate) fn run(session: &mut Session) {
    let span = session.request.rung_seconds.map_or(RUNG, Duration::from_secs);
    for (name, load) in LADDER {
        let case = format!("{name}, {} s", span.as_secs());
        for product in session.products() {
            let start = || PeeredBed::start(product, INTERVAL, INTERVAL);
            session.so_many_trials(TRIALS, NAME, &case, product, start, |bed, findings| {
                starve(bed, product, load, span, findings)
            });
        }
    }
}

fn starve(
    bed: &mut PeeredBed,
    product: Product,
    load: Load,
    span: Duration,
    findings: &mut Findings,
) -> Result<()> {
    let before = Transitions::mark(&bed.rig.pair)?;
    let begin = Moment::now();
    let mut burden = load.start(&bed.rig.lab.name, Path::new(env!("CARGO_BIN_EXE_lab_load")))?;
    (begin + ONSET + span).sleep_until();
    let carried = burden.is_carried();
    drop(burden);
    let ended = Moment::now();
    (ended + AFTERWARDS).sleep_until();
    let end = Moment::now();
    let moved = [before.since(&bed.rig.pair, ACTIVE)?, before.since(&bed.rig.pair, ACTIVE.other())?];
    let contested = bed.contested(begin, end);
    let traffic = bed.rig.traffic().window(begin, end);
    findings.add("of the Active", "transitions", moved[0] as f64);
    findings.add("of the Backup", "transitions", moved[1] as f64);
    findings.add("two owners", "ms", contested as f64);
    findings.add("lost", "datagrams", traffic.lost as f64);
    findings.add_ms("machine's longest stall", bed.stalls.longest_gap(begin, end));
    findings.demand(carried, || "the load ended before its time".to_owned());
    if product == Product::Holdfast {
        let [active, backup] = [ACTIVE, ACTIVE.other()].map(|side| why(bed, side));
        findings.demand(moved == [0; 2], || {
            format!("transitions of A and B: {moved:?}; A: {active}; B: {backup}")
        });
        findings.demand(contested == 0, || format!("two owners for {contested} ms"));
    }
    Ok(())
}

/// The cause of a gateway's last transition.
fn why(bed: &PeeredBed, side: holdfast_lab::topology::Side) -> String {
    let cause = bed.rig.pair.cause(side, holdfast_lab::topology::Leg::Lan);
    cause.unwrap_or_else(|| "says nothing".to_owned())
}
