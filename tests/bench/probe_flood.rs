//! Probes with a bad MAC, as fast as they can be sent, at the Active's path on the LAN: what becomes of the good ones.
//!
//! The attacker would be another machine: its own work goes behind everything else on the lab's processors.

use crate::flood::{Rate, handed_over, send_until, turned_away};
use crate::peered::{ACTIVE, PeeredBed};
use crate::transitions::Transitions;
use crate::trials::{Findings, Session, USUAL_TRIALS};
use anyhow::{Context, Result};
use holdfast_lab::Moment;
use holdfast_lab::fabric::attach_foreign_xdp;
use holdfast_lab::gateway_pair::Product;
use holdfast_lab::packet_socket::PacketSocket;
use holdfast_lab::processors;
use holdfast_lab::topology::{Leg, Side};
use holdfast_lab::xdp_tools::FrameCannon;
use serde_json::Value;
use std::time::Duration;

pub(crate) const NAME: &str = "probe-flood";
const INTERVAL: Duration = Duration::from_millis(100);
/// Check intervals, and for how long each is watched: one lost probe in a thousand shows, and with the longer interval
/// what was lost apart from what came late.
const CHECKS: [(Duration, Duration); 2] = [
    (Duration::from_millis(1), Duration::from_secs(10)),
    (Duration::from_millis(10), Duration::from_secs(30)),
];
/// UDP port of the probes.
const PORT: u16 = 8612;
/// Places in an untagged IPv4 frame.
const SOURCE_MAC: std::ops::Range<usize> = 6..12;
const UDP_PORT: std::ops::Range<usize> = 36..38;
const MESSAGE: usize = 42;
/// Place of a message's kind, and what a request has there.
const KIND: usize = MESSAGE + 3;
const REQUEST: u8 = 1;
const LENGTH: usize = MESSAGE + 96;
/// Frames per call of the cannon.
const SALVO: u32 = 200_000;

pub(crate) fn run(session: &mut Session) {
    if !session.products().contains(&Product::Holdfast) {
        return;
    }
    for (check, span) in CHECKS {
        let start = || {
            let bed = PeeredBed::start(Product::Holdfast, INTERVAL, check)?;
            // What sends by XDP must have XDP on.
            attach_foreign_xdp(&bed.rig.lab.client, Leg::Lan.interface())?;
            Ok(bed)
        };
        let case = format!("checks every {} ms", check.as_millis());
        session.so_many_trials(USUAL_TRIALS, NAME, &case, Product::Holdfast, start, |bed, findings| {
            flood(bed, span, findings)
        });
    }
}

/// No flood, one from a packet socket, and one by XDP, for a span each.
fn flood(bed: &PeeredBed, span: Duration, findings: &mut Findings) -> Result<()> {
    let frame = bad_probe(bed)?;
    let mut part = Findings::default();
    watch(bed, span, &mut part, |end| {
        end.sleep_until();
        Ok(0)
    })?;
    findings.take_part("no flood", part);
    let mut part = Findings::default();
    watch(bed, span, &mut part, |end| {
        let host = PacketSocket::open(&bed.rig.lab.client, Leg::Lan.interface())?;
        host.only_from(host.mac)?;
        bed.rig.lab.client.enter(|| {
            processors::go_last();
            send_until(&host, &frame, Rate::Highest, end)
        })
    })?;
    findings.take_part("from a packet socket", part);
    let mut part = Findings::default();
    let cannon = FrameCannon::load(&frame, 1)?;
    watch(bed, span, &mut part, |end| {
        let salvos = || -> Result<u64> {
            processors::go_last();
            let mut sent = 0;
            while Moment::now() < end {
                cannon.fire(Leg::Lan.interface(), SALVO)?;
                sent += u64::from(SALVO);
            }
            Ok(sent)
        };
        bed.rig.lab.client.enter(salvos)?
    })?;
    findings.take_part("by XDP", part);
    Ok(())
}

/// A request of the Backup to the Active on the LAN as it is on the wire, from a host's own hardware address, with a MAC that is
/// none.
fn bad_probe(bed: &PeeredBed) -> Result<Vec<u8>> {
    const WITHIN: Duration = Duration::from_secs(5);
    let lab = &bed.rig.lab;
    let port = lab.port(ACTIVE.other(), Leg::Lan);
    let wire = PacketSocket::open(lab.fabric.namespace(), &port.name)?;
    let is_request = |bytes: &[u8]| {
        bytes.len() == LENGTH && bytes[UDP_PORT] == PORT.to_be_bytes() && bytes[KIND] == REQUEST
    };
    let found = wire.wait_for(WITHIN, |frame| is_request(&frame.bytes))?;
    let mut frame = found.context("no probe of the Backup on the LAN")?.bytes;
    let host = PacketSocket::open(&lab.client, Leg::Lan.interface())?;
    frame[SOURCE_MAC].copy_from_slice(&host.mac);
    for byte in &mut frame[LENGTH - 8..] {
        *byte = !*byte;
    }
    Ok(frame)
}

/// What became of the good probes on the LAN, both nodes', while something was done until an end.
fn watch(
    bed: &PeeredBed,
    span: Duration,
    findings: &mut Findings,
    attack: impl FnOnce(Moment) -> Result<u64>,
) -> Result<()> {
    let lab = &bed.rig.lab;
    let (namespace, port) = (lab.fabric.namespace(), lab.port(ACTIVE, Leg::Lan));
    let transitions = Transitions::mark(&bed.rig.pair)?;
    let (before, refused, unmatched) = (probes(bed)?, refused(bed)?, unmatched(bed)?);
    let (arrived, full) = (handed_over(namespace, &port)?, turned_away(namespace, &port)?);
    let begin = Moment::now();
    let offered = attack(begin + span)?;
    let took = begin.elapsed().as_secs_f64();
    let (arrived, full) = (handed_over(namespace, &port)? - arrived, turned_away(namespace, &port)? - full);
    let (after, refused) = (probes(bed)?, self::refused(bed)? - refused);
    let unmatched = self::unmatched(bed)? - unmatched;
    let grown: Vec<u64> = after.iter().zip(&before).map(|(after, before)| after - before).collect();
    let &[sent, lost, void] = grown.as_slice() else { anyhow::bail!("three counters of probes") };
    let percent = |count: u64| 100.0 * count as f64 / sent.max(1) as f64;
    findings.add("bad probes sent", "/s", offered as f64 / took);
    findings.add("frames that reached the Active", "/s", arrived as f64 / took);
    findings.add("frames that found its ring full", "/s", full as f64 / took);
    findings.add("refused for their MAC", "/s", refused as f64 / took);
    findings.add("good probes sent", "probes", sent as f64);
    findings.add("good probes lost", "%", percent(lost));
    findings.add("replies after their interval, all paths", "replies", unmatched as f64);
    findings.add("unanswered by the sender's own lateness", "%", percent(void));
    let moved =
        [transitions.since(&bed.rig.pair, ACTIVE)?, transitions.since(&bed.rig.pair, ACTIVE.other())?];
    findings.add("of both nodes", "transitions", (moved[0] + moved[1]) as f64);
    findings.add_ms("machine's longest stall", bed.stalls.longest_gap(begin, begin + span));
    findings.demand(moved == [0; 2], || format!("transitions of A and B: {moved:?}"));
    Ok(())
}

/// Probes on the LAN so far, of both nodes: sent, lost, and unanswered by the sender's own fault.
fn probes(bed: &PeeredBed) -> Result<[u64; 3]> {
    let mut sums = [0; 3];
    for side in Side::BOTH {
        let daemon = bed.rig.pair.daemon(side).context("only the product has probes")?;
        let status = daemon.status()?;
        let paths = status.0["peers"][0]["paths"].as_array().cloned().unwrap_or_default();
        let on_lan = |path: &&Value| path["interface"] == Leg::Lan.interface();
        let path = paths.iter().find(on_lan).context("no path on the LAN")?;
        for (sum, counter) in sums.iter_mut().zip(["sent", "lost", "void"]) {
            *sum += path[counter].as_u64().with_context(|| format!("no counter {counter}: {path}"))?;
        }
    }
    Ok(sums)
}

/// Probes that the Active has refused for their MAC.
fn refused(bed: &PeeredBed) -> Result<u64> {
    let daemon = bed.rig.pair.daemon(ACTIVE).context("only the product has probes")?;
    Ok(daemon.status()?.verdicts("probe-mac-invalid"))
}

/// Replies that came to either node after the interval of their request, on any path.
fn unmatched(bed: &PeeredBed) -> Result<u64> {
    Side::BOTH.into_iter().try_fold(0, |sum, side| {
        let daemon = bed.rig.pair.daemon(side).context("only the product has probes")?;
        Ok(sum + daemon.status()?.verdicts("probe-reply-unmatched"))
    })
}
