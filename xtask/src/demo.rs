//! `cargo xtask demo`: two gateways, one address, and what happens to the hosts when a gateway fails; then the acts, each
//! with one setting at work.

use crate::demo_view::{View, print_act, print_table};
use crate::setup::{self, Purpose};
use crate::{build, lab};
use anyhow::{Context, Result};
use clap::ValueEnum;
use holdfast_lab::acts::{self, Act, ActReport};
use holdfast_lab::episode::{Event, Report, Rig};
use holdfast_lab::gateway_pair::Product;
use holdfast_lab::netns::LabName;
use std::process::ExitCode;
use std::str::FromStr;
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
    /// What happens, in order: node-loss, restore, kill9, restart, stop; or none.
    #[arg(long, value_delimiter = ',', default_values_t = Event::ALL.map(|event| event.name().to_owned()))]
    events: Vec<String>,
    /// What follows, each in a lab of its own: peers, flap-storm, bandwidth, link-pair; or none. Not with keepalived.
    #[arg(long, value_delimiter = ',', default_values_t = Act::ALL.map(|act| act.name().to_owned()))]
    acts: Vec<String>,
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
/// Stands for an empty list.
const NONE: &str = "none";
/// Shortest interval both VRRPv3 and this lab can do.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);
const LONGEST_INTERVAL: Duration = Duration::from_millis(40_950);

#[derive(Debug, serde::Serialize)]
struct DemoResult<'a> {
    product: Product,
    interval_ms: u128,
    events: &'a [Report],
    acts: &'a [ActReport],
    passed: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let events: Vec<Event> = read_list(&arguments.events)?;
    let mut acts: Vec<Act> = read_list(&arguments.acts)?;
    let product = arguments.with.product();
    if product == Product::Keepalived {
        acts.clear();
    }
    setup::ensure(if product == Product::Keepalived { Purpose::Test } else { Purpose::Lab })?;
    if product == Product::Holdfast {
        holdfast_lab::daemon::choose_binary(&build::product(arguments.release)?);
    }
    let mut view = View::new(arguments.json);
    let events = if events.is_empty() { Vec::new() } else { run_events(arguments, &events, &mut view)? };
    let acts: Vec<ActReport> = acts.into_iter().map(|act| run_act(act, arguments.json, &mut view)).collect();
    let passed = events.iter().all(Report::passed) && acts.iter().all(|act| act.passed);
    if arguments.json {
        let interval_ms = arguments.interval.as_millis();
        let result = DemoResult { product, interval_ms, events: &events, acts: &acts, passed };
        println!("{}", serde_json::to_string_pretty(&result)?);
    } else {
        println!("\ndemo: {}", if passed { "passed" } else { "FAILED" });
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Names separated by commas, or the word for none.
fn read_list<T: FromStr<Err = String>>(names: &[String]) -> Result<Vec<T>> {
    let named = names.iter().filter(|name| *name != NONE);
    named.map(|name| name.parse()).collect::<Result<_, String>>().map_err(anyhow::Error::msg)
}

/// The events, one after the other on one lab, and their table.
fn run_events(arguments: &Arguments, events: &[Event], view: &mut View) -> Result<Vec<Report>> {
    let product = arguments.with.product();
    let name = if arguments.keep { lab::new_name(DEMO_NAME)? } else { LabName::unique() };
    view.headline(&format!("building the lab; adverts every {:?}", arguments.interval));
    let mut rig = Rig::start(name.clone(), product, arguments.interval).context("building the lab")?;
    let reports = perform(&mut rig, events, view);
    view.end();
    if arguments.keep {
        rig.leave_standing();
    } else {
        drop(rig);
    }
    let reports = reports?;
    if !arguments.json {
        print_table(&reports);
        if arguments.keep {
            lab::print_hints(&name, DEMO_NAME, Some(product));
        }
    }
    Ok(reports)
}

/// An act and its table.
fn run_act(act: Act, json: bool, view: &mut View) -> ActReport {
    let report = acts::play(act, &mut |what| view.headline(&format!("{}: {what}", act.name())));
    view.end();
    if !json {
        print_act(&report);
    }
    report
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
    fn lists_are_read_by_name() {
        let names = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
        let acts: Vec<Act> = read_list(&names("peers,link-pair")).unwrap();
        assert_eq!(acts, [Act::Peers, Act::LinkPair]);
        assert!(read_list::<Event>(&names("none")).unwrap().is_empty());
        assert!(read_list::<Act>(&names("tragedy")).is_err());
    }

    #[test]
    fn intervals_carry_units() {
        assert_eq!(parse_duration("10ms"), Ok(Duration::from_millis(10)));
        assert_eq!(parse_duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert!(parse_duration("100").is_err_and(|error| error.contains("unit")));
        assert!(parse_duration("1ms").is_err_and(|error| error.contains("outside")));
    }
}
