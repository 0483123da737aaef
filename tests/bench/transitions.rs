//! How often a gateway's role changed, by what each product tells: the daemon's status, or keepalived's log.

use anyhow::{Context, Result};
use holdfast_lab::gateway_pair::{GatewayPair, router_name};
use holdfast_lab::topology::{Leg, Side};
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};

/// The router that is watched; the other one is in its group and moves with it.
const WATCHED: Leg = Leg::Lan;

/// A point in both gateways' histories.
pub(crate) struct Transitions([Mark; 2]);

enum Mark {
    /// The daemon's counter.
    Counter(u64),
    /// Length of keepalived's log.
    Length(u64),
}

impl Transitions {
    /// The present point. Both gateways must be able to answer.
    pub(crate) fn mark(pair: &GatewayPair) -> Result<Self> {
        let mark = |side: Side| -> Result<Mark> {
            match pair.daemon(side) {
                Some(daemon) => {
                    Ok(Mark::Counter(daemon.status()?.number(router_name(WATCHED), "transitions")))
                }
                None => Ok(Mark::Length(std::fs::metadata(pair.process(side).log_path())?.len())),
            }
        };
        Ok(Transitions([mark(Side::A)?, mark(Side::B)?]))
    }

    /// Transitions of a gateway since this point.
    pub(crate) fn since(&self, pair: &GatewayPair, side: Side) -> Result<u64> {
        let router = router_name(WATCHED);
        match (&self.0[side as usize], pair.daemon(side)) {
            (Mark::Counter(before), Some(daemon)) => {
                Ok(daemon.status()?.number(router, "transitions").saturating_sub(*before))
            }
            (Mark::Length(before), _) => {
                let path = pair.process(side).log_path();
                let mut log = File::open(path).with_context(|| format!("opening {}", path.display()))?;
                log.seek(SeekFrom::Start(*before))?;
                count_lines(BufReader::new(log), &format!("({router}) Entering "))
            }
            (Mark::Counter(_), None) => anyhow::bail!("{} is no longer the same product", side.label()),
        }
    }
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
