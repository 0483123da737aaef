//! What the acts share: scenes from the instruments' figures, and what the daemons say.

use super::{Reason, Scene};
use crate::clock::Moment;
use crate::daemon::Daemon;
use crate::gateway_pair::{GatewayPair, router_name};
use crate::instruments::Instruments;
use crate::topology::{Leg, Side};
use anyhow::{Context, Result};
use std::time::Duration;

/// Long enough for anything that happens at all.
pub(super) const SOON: Duration = Duration::from_secs(15);
/// Time that datagrams and answers get to arrive before they are counted.
const SETTLE: Duration = Duration::from_millis(250);
/// Two owners are allowed for so long: between an address and the arrival of its advert, at a question per millisecond.
const MOST_CONTESTED_MS: usize = 20;

/// A scene that began at `begin` and ends now, as the hosts noticed it.
pub(super) fn scene(
    name: &str,
    (node, active): (Side, Side),
    instruments: &Instruments,
    begin: Moment,
) -> Scene {
    let end = Moment::now();
    std::thread::sleep(SETTLE);
    let traffic = instruments.traffic(begin, end);
    let contested_ms = instruments.worse_owners(|summary| summary.contested, begin, end);
    let mut scene = Scene {
        name: name.to_owned(),
        node: node.label(),
        active: active.label(),
        outage_ms: traffic.outage.as_secs_f64() * 1000.0,
        sent: traffic.sent,
        lost: traffic.lost,
        contested_ms,
        reasons: Vec::new(),
        figures: Vec::new(),
        faults: Vec::new(),
    };
    let contested = format!("two owners for {contested_ms} ms, at most {MOST_CONTESTED_MS} are bearable");
    scene.demand(contested_ms <= MOST_CONTESTED_MS, &contested);
    scene
}

impl Scene {
    /// Notes a fault unless the condition holds.
    pub(super) fn demand(&mut self, holds: bool, fault: &str) {
        if !holds {
            self.faults.push(fault.to_owned());
        }
    }

    /// An outage past the bound is a fault.
    pub(super) fn demand_outage(&mut self, most: Duration) {
        let most_ms = most.as_secs_f64() * 1000.0;
        let fault = format!("the outage of {:.0} ms is past {most_ms:.0} ms", self.outage_ms);
        self.demand(self.outage_ms <= most_ms, &fault);
    }

    /// Adds what a gateway says of its LAN router's last transition; another cause than `wanted` is a fault.
    pub(super) fn explain(&mut self, daemon: &Daemon, side: Side, wanted: &str) -> Result<()> {
        self.explain_leg(daemon, side, Leg::Lan, wanted)
    }

    /// [`Scene::explain`] for the router of either leg.
    pub(super) fn explain_leg(&mut self, daemon: &Daemon, side: Side, leg: Leg, wanted: &str) -> Result<()> {
        let router = router_name(leg);
        let cause = daemon.status()?.cause(router).unwrap_or("none").to_owned();
        let fault = format!("{} says {cause}, not {wanted}", side.label());
        self.demand(cause == wanted, &fault);
        let why = daemon.cli_ok(&["why", router])?.trim().to_owned();
        self.reasons.push(Reason { node: side.label(), cause, why });
        Ok(())
    }
}

/// The daemon of a side of a pair that runs the product.
pub(super) fn daemon(pair: &GatewayPair, side: Side) -> Result<&Daemon> {
    pair.daemon(side).with_context(|| format!("{} does not run the product", side.label()))
}

/// Waits until `side` serves: it alone is Active, and datagrams get through.
pub(super) fn wait_serves(pair: &GatewayPair, instruments: &Instruments, side: Side) -> Result<()> {
    pair.wait_active(side, SOON)?;
    instruments.wait_flows(SOON).with_context(|| pair.log_tails())
}

/// Waits until the Backup has heard the Active, so that it knows whom it succeeds.
pub(super) fn wait_heard(backup: &Daemon) -> Result<()> {
    backup
        .wait_status("hears the Active", SOON, |status| {
            status.number(router_name(Leg::Wan), "adverts_received") > 0
        })
        .map(drop)
}

/// How often a notice stands in the journal.
pub(super) fn notices(daemon: &Daemon, notice: &str) -> Result<usize> {
    Ok(daemon.events()?.iter().filter(|record| record["notice"] == notice).count())
}

/// How often this gateway has given a router up.
pub(super) fn times_left(daemon: &Daemon, leg: Leg) -> Result<usize> {
    let left = |record: &&serde_json::Value| {
        record["event"] == "transition" && record["router"] == router_name(leg) && record["from"] == "active"
    };
    Ok(daemon.events()?.iter().filter(left).count())
}

/// The lines of `holdfast status` under a label of the node's part, with those that continue it.
pub(super) fn status_lines(text: &str, labels: &[&str]) -> Vec<String> {
    const CONTINUED: &str = "              ";
    let mut wanted = false;
    let keep = |line: &&str| {
        if !line.starts_with(CONTINUED) {
            let label = line.split_whitespace().next().unwrap_or_default();
            wanted = line.starts_with("  ") && labels.contains(&label);
        }
        wanted
    };
    text.lines().filter(keep).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labelled_lines_are_found_with_what_continues_them() {
        let text = "node          gw\n  flaps       LATCHED: 3 flaps; `holdfast\n              bypass release` ends it\n  \
                    bypass      xdp\n  other       flaps\n              flaps\n\nflaps  no\n";
        assert_eq!(
            status_lines(text, &["flaps", "bypass"]),
            [
                "  flaps       LATCHED: 3 flaps; `holdfast",
                "              bypass release` ends it",
                "  bypass      xdp"
            ]
        );
        assert!(status_lines(text, &["peers"]).is_empty());
    }
}
