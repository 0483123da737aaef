//! `scenario`: what the hosts notice when a gateway of two loses its power, comes back, and hands over on request.
//!
//! Everything is judged from inside the guests: what the client's traffic and its neighbour table show, and what the
//! gateways say of themselves. Bounds are generous, since guests may be emulated on a busy host: timing to the
//! millisecond is the namespace lab's business. What is new here are the kernels and the drivers.

use super::topology::{LOOK, SETTLED_WITHIN, VmLab, lan_mac};
use anyhow::{Result, ensure};
use holdfast_lab::Moment;
use holdfast_lab::topology::{LAN_VIP, Leg, SERVER, Side};
use holdfast_vm_protocol::Order;
use std::fmt::{self, Display, Formatter};
use std::net::SocketAddr;
use std::time::Duration;

const ECHO_PORT: u16 = 7;
const TRAFFIC_INTERVAL_MS: u64 = 50;
/// Detection takes less than four seconds where the host does not stall.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(60);
/// Longest the client may go without an answer: after a loss, and around planned moves.
const LONGEST_OUTAGE_MS: u64 = 30_000;
const LONGEST_PLANNED_GAP_MS: u64 = 5_000;
/// An answer no older than this means that traffic flows.
const FRESH_MS: u64 = 1_000;
/// Traffic that is watched once all is quiet.
const CALM: Duration = Duration::from_secs(3);
/// Lines of a daemon's log shown after a failure.
const SHOWN_LINES: usize = 40;
const ROUTERS: [&str; 2] = ["lan", "wan"];

/// What must be true after a step.
struct Expected {
    name: &'static str,
    active: Side,
    /// Causes of the new owner's last transition; empty if it does not matter.
    causes: &'static [&'static str],
    longest_gap_ms: u64,
}

const AT_REST: Expected =
    Expected { name: "at rest", active: Side::A, causes: &[], longest_gap_ms: LONGEST_PLANNED_GAP_MS };
const POWER_LOSS: Expected = Expected {
    name: "power loss",
    active: Side::B,
    causes: &["advert-timeout", "peer-unhealthy"],
    longest_gap_ms: LONGEST_OUTAGE_MS,
};
const POWER_BACK: Expected =
    Expected { name: "power back", active: Side::A, causes: &[], longest_gap_ms: LONGEST_PLANNED_GAP_MS };
const FAILOVER: Expected = Expected {
    name: "failover",
    active: Side::B,
    causes: &["priority-zero"],
    longest_gap_ms: LONGEST_PLANNED_GAP_MS,
};

/// What one step did to the client.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) active: Side,
    pub(crate) cause: String,
    pub(crate) longest_gap_ms: u64,
    pub(crate) sent: u64,
    pub(crate) lost: u64,
}

/// Runs all steps; an error says what failed and shows what the gateways said.
pub(crate) fn run(lab: &mut VmLab) -> Result<Vec<Step>> {
    let done = steps(lab);
    done.map_err(|error| error.context(shown(lab)))
}

fn steps(lab: &mut VmLab) -> Result<Vec<Step>> {
    start_traffic(lab)?;
    let mut done = Vec::new();
    serves(lab, Side::A, Some(Side::B), SETTLED_WITHIN)?;
    data_plane_is_native(lab)?;
    // What was lost while the gateways started is nobody's fault.
    lab.client.agent.traffic(true)?;
    done.push(step(lab, &AT_REST)?);

    lab.cut_power(Side::A);
    serves(lab, Side::B, None, TAKEN_OVER_WITHIN)?;
    done.push(step(lab, &POWER_LOSS)?);

    lab.restore_power(Side::A)?;
    serves(lab, Side::A, Some(Side::B), SETTLED_WITHIN)?;
    done.push(step(lab, &POWER_BACK)?);

    let said = lab.holdfast(Side::A, &["failover"])?;
    ensure!(said.code == Some(0), "`holdfast failover` on gwA failed: {}{}", said.stderr, said.stdout);
    serves(lab, Side::B, Some(Side::A), TAKEN_OVER_WITHIN)?;
    done.push(step(lab, &FAILOVER)?);
    Ok(done)
}

fn start_traffic(lab: &mut VmLab) -> Result<()> {
    let destination = SocketAddr::from((SERVER, ECHO_PORT));
    lab.server.agent.order(Order::Echo { address: destination })?;
    let order = Order::StartTraffic { destination, interval_ms: TRAFFIC_INTERVAL_MS };
    lab.client.agent.order(order).map(drop)
}

/// Waits until `active` owns both legs, the other knows it does not, and the client is served through it.
fn serves(lab: &mut VmLab, active: Side, backup: Option<Side>, within: Duration) -> Result<()> {
    let end = Moment::now() + within;
    loop {
        let missing = match missing(lab, active, backup)? {
            None => return Ok(()),
            Some(missing) => missing,
        };
        ensure!(Moment::now() < end, "{} does not serve within {within:?}: {missing}", active.label());
        std::thread::sleep(LOOK);
    }
}

/// What is not yet as it should be.
fn missing(lab: &mut VmLab, active: Side, backup: Option<Side>) -> Result<Option<String>> {
    let sides = [Some((active, "active")), backup.map(|side| (side, "backup"))];
    for (side, wanted) in sides.into_iter().flatten() {
        // A daemon that is still starting does not answer.
        let status = match lab.status(side) {
            Ok(status) => status,
            Err(error) => return Ok(Some(format!("{error:#}"))),
        };
        for router in ROUTERS {
            let found = status.state(router).unwrap_or("unknown");
            if found != wanted {
                return Ok(Some(format!("{router} on {} is {found}, not {wanted}", side.label())));
            }
        }
    }
    let neighbours = lab.client.agent.ip(&format!("neigh show {LAN_VIP}"))?;
    if !neighbours.contains(&lan_mac(active)) {
        return Ok(Some(format!("the client knows {LAN_VIP} as {}", neighbours.trim())));
    }
    let age = lab.client.agent.traffic(false)?.last_answer_age_ms;
    let fresh = age.is_some_and(|age| age < FRESH_MS);
    Ok((!fresh).then(|| "the client's traffic is not answered".to_owned()))
}

/// Both programs run in the driver on both gateways, their maps count, and the peer checks are answered in XDP.
fn data_plane_is_native(lab: &mut VmLab) -> Result<()> {
    for side in Side::BOTH {
        let status = lab.status(side)?;
        for leg in Leg::BOTH {
            let link = status.link(leg.interface());
            let (mode, received, sent) = (&link["mode"], &link["rx_packets"], &link["tx_packets"]);
            ensure!(mode == "native", "{} of {}: XDP runs in mode {mode}", leg.interface(), side.label());
            let counts = |count: &serde_json::Value| count.as_u64().is_some_and(|count| count > 0);
            ensure!(
                counts(received) && counts(sent),
                "{} of {}: the programs counted {received} frames in and {sent} out",
                leg.interface(),
                side.label()
            );
        }
        ensure!(
            status.verdicts("probe-answered") > 0,
            "{} answered no peer check in XDP: {}",
            side.label(),
            status.0["data_plane"]
        );
    }
    Ok(())
}

/// Lets the dust settle, takes the figures since the last step and holds them against what is expected.
fn step(lab: &mut VmLab, expected: &Expected) -> Result<Step> {
    std::thread::sleep(CALM);
    let window = lab.client.agent.traffic(true)?;
    let status = lab.status(expected.active)?;
    let cause = status.cause(ROUTERS[0]).unwrap_or("unknown").to_owned();
    let step = Step {
        name: expected.name,
        active: expected.active,
        cause,
        longest_gap_ms: window.longest_gap_ms,
        sent: window.sent,
        lost: window.sent.saturating_sub(window.answered),
    };
    println!("{step}");
    ensure!(
        expected.causes.is_empty() || expected.causes.contains(&step.cause.as_str()),
        "{}: {} became Active by {}, expected was {}",
        step.name,
        step.active.label(),
        step.cause,
        expected.causes.join(" or ")
    );
    ensure!(
        step.longest_gap_ms <= expected.longest_gap_ms,
        "{}: the client was without an answer for {} ms, {} ms are allowed",
        step.name,
        step.longest_gap_ms,
        expected.longest_gap_ms
    );
    Ok(step)
}

impl Display for Step {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "  {:<11} {} active by {:<17} longest gap {:>6} ms, {} of {} lost",
            self.name,
            self.active.label(),
            self.cause,
            self.longest_gap_ms,
            self.lost,
            self.sent
        )
    }
}

/// What a kernel's steps came to.
#[derive(Clone, Debug)]
pub(crate) struct ScenarioResult {
    pub(crate) release: String,
    pub(crate) steps: Vec<Step>,
}

/// The results as a table in Markdown, one line per kernel and step.
pub(crate) fn table(results: &[ScenarioResult]) -> String {
    let mut table = String::from(
        "| Release | Step | Active | by | Longest time without an answer | Lost |\n|---|---|---|---|---|---|\n",
    );
    for ScenarioResult { release, steps } in results {
        for step in steps {
            table += &format!(
                "| {release} | {} | {} | `{}` | {} ms | {} of {} |\n",
                step.name,
                step.active.label(),
                step.cause,
                step.longest_gap_ms,
                step.lost,
                step.sent
            );
        }
    }
    table
}

/// What is known of the gateways, for an error.
fn shown(lab: &mut VmLab) -> String {
    let mut text = String::from("the scenario failed");
    for side in Side::BOTH {
        let said = lab.log(side).unwrap_or_else(|error| format!("{error:#}"));
        let lines: Vec<&str> = said.lines().collect();
        let tail = lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n");
        let console = lab.gateway(side).map(|machine| machine.last_words()).unwrap_or_default();
        text += &format!("\n--- the daemon of {} ---\n{tail}\n{console}", side.label());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_a_line_of_the_table() {
        let step = Step {
            name: POWER_LOSS.name,
            active: Side::B,
            cause: "peer-unhealthy".to_owned(),
            longest_gap_ms: 2487,
            sent: 115,
            lost: 47,
        };
        let result = ScenarioResult { release: "6.12.107".to_owned(), steps: vec![step] };
        let line = "| 6.12.107 | power loss | gwB | `peer-unhealthy` | 2487 ms | 47 of 115 |";
        assert!(table(&[result]).lines().any(|found| found == line));
    }
}
