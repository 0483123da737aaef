//! `cargo xtask demo`: two gateways, one address, and what happens to the hosts when a gateway fails.

use crate::demo_view::{View, print_table};
use crate::setup::{self, Purpose};
use crate::{build, lab};
use anyhow::{Context, Result};
use clap::ValueEnum;
use holdfast_lab::episode::{Event, Report, Rig};
use holdfast_lab::gateway_pair::Product;
use holdfast_lab::netns::LabName;
use std::process::ExitCode;
use std::time::Duration;

/// Builds the lab, lets gateways fail, and shows what the hosts notice.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Leaves the lab standing afterwards.
    #[arg(long)]
    keep: bool,
    /// Prints the result as one JSON object.
    #[arg(long)]
    json: bool,
    /// Advertisement interval.
    #[arg(long, value_parser = parse_duration, default_value = "100ms")]
    interval: Duration,
    /// What happens, in order: node-loss, restore, kill9, restart, stop.
    #[arg(long, value_delimiter = ',', default_values_t = Event::ALL.map(|event| event.name().to_owned()))]
    events: Vec<String>,
    /// What runs on the gateways.
    #[arg(long, value_enum, default_value_t = With::Holdfast)]
    with: With,
    /// Runs the production build.
    #[arg(long)]
    release: bool,
}

/// What runs on the gateways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum With {
    Holdfast,
    Keepalived,
}

impl With {
    pub(crate) fn product(self) -> Product {
        match self {
            With::Holdfast => Product::Holdfast,
            With::Keepalived => Product::Keepalived,
        }
    }
}

const DEMO_NAME: &str = "demo";
/// Shortest interval both VRRPv3 and this lab can do.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);
const LONGEST_INTERVAL: Duration = Duration::from_millis(40_950);

#[derive(Debug, serde::Serialize)]
struct DemoResult<'a> {
    product: Product,
    interval_ms: u128,
    events: &'a [Report],
    passed: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let events = arguments.events.iter().map(|name| name.parse()).collect::<Result<Vec<Event>, String>>();
    let events = events.map_err(anyhow::Error::msg)?;
    let product = arguments.with.product();
    setup::ensure(if product == Product::Keepalived { Purpose::Test } else { Purpose::Lab })?;
    if product == Product::Holdfast {
        holdfast_lab::daemon::choose_binary(&build::product(arguments.release)?);
    }
    let name = if arguments.keep { lab::new_name(DEMO_NAME)? } else { LabName::unique() };
    let mut view = View::new(arguments.json);
    view.headline(&format!("building the lab; adverts every {:?}", arguments.interval));
    let mut rig = Rig::start(name.clone(), product, arguments.interval).context("building the lab")?;
    let reports = perform(&mut rig, &events, &mut view);
    view.end();
    if arguments.keep {
        rig.leave_standing();
    } else {
        drop(rig);
    }
    let reports = reports?;
    let passed = reports.iter().all(Report::passed);
    if arguments.json {
        let interval_ms = arguments.interval.as_millis();
        let result = DemoResult { product, interval_ms, events: &reports, passed };
        println!("{}", serde_json::to_string_pretty(&result)?);
    } else {
        print_table(&reports, passed);
    }
    if arguments.keep && !arguments.json {
        lab::print_hints(&name, DEMO_NAME, Some(product));
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn perform(rig: &mut Rig, events: &[Event], view: &mut View) -> Result<Vec<Report>> {
    let mut reports = Vec::new();
    for (number, event) in (1..).zip(events) {
        view.headline(&format!("event {number} of {}: {}", events.len(), event.name()));
        let needs_rest = matches!(event, Event::NodeLoss | Event::Kill9 | Event::Stop);
        if needs_rest {
            rig.settle(&mut |rig| view.refresh(rig))?;
        }
        let report = rig.episode(*event, &mut |rig| view.refresh(rig));
        reports.push(report.with_context(|| format!("event {}", event.name()))?);
    }
    Ok(reports)
}

/// Reads `10ms`, `1s` or `1.5s` within VRRPv3's range.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        _ => return Err(format!("{text:?} needs a unit: 10ms or 1s")),
    };
    let seconds = number.trim().parse::<f64>().map_err(|_| format!("{number:?} is not a number"))? * factor;
    let interval = Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?;
    if (SHORTEST_INTERVAL..=LONGEST_INTERVAL).contains(&interval) {
        Ok(interval)
    } else {
        Err(format!("{text} is outside {SHORTEST_INTERVAL:?} to {LONGEST_INTERVAL:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_carry_units() {
        assert_eq!(parse_duration("10ms"), Ok(Duration::from_millis(10)));
        assert_eq!(parse_duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert!(parse_duration("100").is_err_and(|error| error.contains("unit")));
        assert!(parse_duration("1ms").is_err_and(|error| error.contains("outside")));
    }
}
