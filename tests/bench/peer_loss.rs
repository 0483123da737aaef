//! The Active's node is lost to everyone, with peers that check each other: how long hosts are without a gateway, beside
//! the machine's own stalls, keepalived, and what FRR's bfdd takes to notice such a loss.

use crate::peered::{ACTIVE, PeeredBed};
use crate::transitions;
use crate::trials::{Findings, Session, milliseconds};
use anyhow::Result;
use holdfast_lab::Moment;
use holdfast_lab::bfd::{Bfd, BfdSession};
use holdfast_lab::episode::LEASE;
use holdfast_lab::gateway_pair::Product;
use holdfast_lab::stalls::StallWatch;
use holdfast_lab::topology::{Leg, Segment};
use holdfast_lab::xdp_tools::Gate;
use serde_json::Value;
use std::time::Duration;

pub(crate) const NAME: &str = "peer-loss";
const SECOND: Duration = Duration::from_secs(1);
const CHECKS: [(Duration, usize); 2] = [(Duration::from_millis(1), 100), (SLOW, 20)];
const SLOW: Duration = Duration::from_millis(10);
/// keepalived's shortest interval.
const ADVERTS: Duration = Duration::from_millis(10);
const THRESHOLD: u8 = 3;
/// Time after the loss in which the lab itself does nothing.
const QUIET: Duration = Duration::from_millis(300);
/// Time after the loss in which the hosts are watched: the lease, and what the last datagrams take.
const WATCHED: Duration = LEASE.saturating_add(Duration::from_millis(300));
/// Time after the loss in which stalls of the machine count at least.
const STALLS: Duration = Duration::from_millis(50);

pub(crate) fn run(session: &mut Session) {
    let products = session.products();
    if products.contains(&Product::Holdfast) {
        for (check, trials) in CHECKS {
            let case = format!("checks of {} ms x {THRESHOLD}, adverts every 1 s", check.as_millis());
            let start = || PeeredBed::start(Product::Holdfast, SECOND, check);
            session.so_many_trials(trials, NAME, &case, Product::Holdfast, start, |bed, findings| {
                lose(bed, findings)?;
                findings.demand(by_verdict(bed), || "the peer's verdict did not move it".to_owned());
                Ok(())
            });
        }
    }
    if products.contains(&Product::Keepalived) {
        let start = || PeeredBed::start(Product::Keepalived, ADVERTS, ADVERTS);
        let case = "adverts every 10 ms";
        session.so_many_trials(CHECKS[1].1, NAME, case, Product::Keepalived, start, lose);
        let mut standing = None;
        let case = format!("FRR bfdd, {} ms x {THRESHOLD}, detection alone", SLOW.as_millis());
        session.apart(CHECKS[1].1, NAME, &case, |findings| detect(&mut standing, findings));
    }
}

/// One loss of the Active, and what it did to the hosts.
fn lose(bed: &mut PeeredBed, findings: &mut Findings) -> Result<()> {
    let begin = bed.lose_active(QUIET)?;
    let end = begin + WATCHED;
    end.sleep_until();
    let traffic = bed.rig.traffic().window(begin, end);
    findings.add_ms("outage", traffic.outage);
    findings.add("lost", "datagrams", traffic.lost as f64);
    if let Some(daemon) = bed.rig.pair.daemon(ACTIVE.other()) {
        let events = transitions::events(daemon, 0)?;
        let noticed = recorded_after(&events, begin, |event| event["notice"] == "peer-unhealthy");
        let took = recorded_after(&events, begin, |event| event["to"] == "active");
        findings.add("peer found silent after", "ms", noticed);
        findings.add("Backup is Active after", "ms", took);
    }
    let watched = traffic.outage.max(STALLS);
    findings.add_ms("machine's longest stall", bed.stalls.longest_gap(begin, begin + watched));
    let moved = bed.rig.pair.is_active(ACTIVE.other());
    findings.demand(moved, || "nobody took over".to_owned());
    let contested = bed.contested(begin, end);
    findings.demand(contested == 0, || format!("two owners for {contested} ms"));
    Ok(())
}

fn by_verdict(bed: &PeeredBed) -> bool {
    bed.rig.pair.cause(ACTIVE.other(), Leg::Lan).as_deref() == Some("peer-unhealthy")
}

/// Milliseconds from an instant to the first event since then that is the wanted one.
fn recorded_after(events: &[Value], begin: Moment, wanted: impl Fn(&Value) -> bool) -> Option<f64> {
    let at = |event: &Value| Some(Moment::from_boot_clock(event["boot_ns"].as_u64()?));
    let found = events.iter().filter(|event| wanted(event)).filter_map(at).find(|at| *at >= begin);
    found.map(|at| milliseconds(at.since(begin)))
}

/// Two hosts with a BFD session between them. The daemons are dropped before their hosts.
struct Detectors {
    far: Bfd,
    near: Bfd,
    gate: Gate,
    stalls: StallWatch,
    _segment: Segment,
}

impl Detectors {
    fn start() -> Result<Self> {
        let segment = Segment::build(&["near", "far"])?;
        let gate = Gate::attach(segment.fabric.namespace(), &[segment.port("near")])?;
        let speaker = |own: &str, other: &str| {
            let (local, peer) = (segment.address(own), segment.address(other));
            let session = BfdSession { local, peer, interval: SLOW, multiplier: THRESHOLD };
            Bfd::start(&segment.name, segment.host(own), own, &session)
        };
        let (far, near) = (speaker("far", "near")?, speaker("near", "far")?);
        Ok(Detectors { far, near, gate, stalls: StallWatch::start(), _segment: segment })
    }
}

/// One loss of a host, and when the other one's bfdd noticed.
fn detect(standing: &mut Option<Detectors>, findings: &mut Findings) -> Result<()> {
    /// Time in which the session comes to its short interval.
    const REST: Duration = Duration::from_millis(1500);
    let detectors = match standing.take() {
        Some(detectors) => detectors,
        None => Detectors::start()?,
    };
    detectors.gate.set_shut(false)?;
    detectors.far.wait_up()?;
    detectors.near.wait_up()?;
    std::thread::sleep(REST);
    let begin = Moment::now();
    detectors.gate.set_shut(true)?;
    (begin + QUIET).sleep_until();
    let down = detectors.far.wait_down(begin, SECOND * 5)?;
    findings.add_ms("peer found silent after", down.since(begin));
    findings.add_ms("machine's longest stall", detectors.stalls.longest_gap(begin, begin + STALLS));
    *standing = Some(detectors);
    Ok(())
}
