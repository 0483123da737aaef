//! How often a gateway's role changed, by what each product tells: the daemon's events, or keepalived's log.

use anyhow::{Context, Result};
use holdfast_lab::daemon::Daemon;
use holdfast_lab::gateway_pair::{GatewayPair, router_name};
use holdfast_lab::topology::{Leg, Side};
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};

/// The router that is watched; the other one is in its group and moves with it.
const WATCHED: Leg = Leg::Lan;

/// A point in both gateways' histories.
pub(crate) struct Transitions([Mark; 2]);

enum Mark {
    /// Number of the daemon's last event.
    Event(u64),
    /// Length of keepalived's log.
    Length(u64),
}

impl Transitions {
    /// The present point. Both gateways must be able to answer.
    pub(crate) fn mark(pair: &GatewayPair) -> Result<Self> {
        let mark = |side: Side| -> Result<Mark> {
            match pair.daemon(side) {
                Some(daemon) => Ok(Mark::Event(last_event(&events(daemon, 0)?))),
                None => Ok(Mark::Length(std::fs::metadata(pair.process(side).log_path())?.len())),
            }
        };
        Ok(Transitions([mark(Side::A)?, mark(Side::B)?]))
    }

    /// Transitions of a gateway since this point.
    pub(crate) fn since(&self, pair: &GatewayPair, side: Side) -> Result<u64> {
        let router = router_name(WATCHED);
        match (&self.0[side as usize], pair.daemon(side)) {
            (Mark::Event(before), Some(daemon)) => {
                let events = events(daemon, *before)?;
                let moves = |event: &&Value| event["event"] == "transition" && event["router"] == router;
                Ok(events.iter().filter(moves).count() as u64)
            }
            (Mark::Length(before), _) => {
                let path = pair.process(side).log_path();
                let mut log = File::open(path).with_context(|| format!("opening {}", path.display()))?;
                log.seek(SeekFrom::Start(*before))?;
                count_lines(BufReader::new(log), &format!("({router}) Entering "))
            }
            (Mark::Event(_), None) => anyhow::bail!("{} is no longer the same product", side.label()),
        }
    }
}

/// The daemon's events after the numbered one.
pub(crate) fn events(daemon: &Daemon, after: u64) -> Result<Vec<Value>> {
    let text = daemon.cli_ok(&["events", "--json", "--since", &after.to_string()])?;
    let events =
        text.lines().map(|line| serde_json::from_str(line).with_context(|| format!("event {line:?}")));
    events.collect()
}

fn last_event(events: &[Value]) -> u64 {
    events.last().and_then(|event| event["seq"].as_u64()).unwrap_or(0)
}

fn count_lines(mut log: impl BufRead, sign: &str) -> Result<u64> {
    let mut line = Vec::new();
    let mut count = 0;
    while log.read_until(b'\n', &mut line)? > 0 {
        count += u64::from(line.windows(sign.len()).any(|part| part == sign.as_bytes()));
        line.clear();
    }
    Ok(count)
}
