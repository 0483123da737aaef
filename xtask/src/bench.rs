//! `cargo xtask bench`: the figures, with keepalived measured beside us in the same run.
//!
//! `failover` drives the lab; the other benches are programs of `tests/tests` whose names begin with `bench`, run in
//! release mode with their output shown.

use crate::demo::parse_duration;
use crate::setup::{self, Purpose};
use crate::test_layers::benches;
use crate::workspace::{LAB_PACKAGE, cargo};
use crate::{build, process};
use anyhow::{Context, Result, bail};
use holdfast_lab::episode::{Event, Report, Rig};
use holdfast_lab::gateway_pair::Product;
use holdfast_lab::netns::LabName;
use std::process::ExitCode;
use std::time::Duration;

/// Measures, beside keepalived.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only this bench: `failover`, or a program's name without `bench_`.
    #[arg(long)]
    only: Option<String>,
    /// Trials per figure; medians are shown.
    #[arg(long, default_value_t = 5)]
    trials: usize,
    /// Advertisement intervals of `failover`.
    #[arg(long, value_delimiter = ',', value_parser = parse_duration, default_values = ["1s", "100ms", "10ms"])]
    intervals: Vec<Duration>,
    /// Events of `failover`.
    #[arg(long, value_delimiter = ',', default_values = ["node-loss", "kill9", "stop"])]
    events: Vec<String>,
    /// Products of `failover`.
    #[arg(long, value_delimiter = ',', value_enum, default_values = ["holdfast", "keepalived"])]
    with: Vec<crate::demo::With>,
    /// Prints `failover` as JSON.
    #[arg(long)]
    json: bool,
}

const FAILOVER: &str = "failover";

/// Medians over the trials of one event.
#[derive(Debug, serde::Serialize)]
struct Figure {
    product: Product,
    interval_ms: u128,
    event: Event,
    trials: usize,
    recovered: usize,
    outage_ms: f64,
    outage_worst_ms: f64,
    lost: f64,
    contested_ms: f64,
    contested_after_fence_ms: f64,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let wanted = |name: &str| arguments.only.as_deref().is_none_or(|only| only == name);
    let programs: Vec<String> =
        benches()?.into_iter().filter(|name| wanted(name.trim_start_matches("bench_"))).collect();
    if programs.is_empty() && !wanted(FAILOVER) {
        bail!("no bench {:?}; there are {FAILOVER}, {}", arguments.only, benches()?.join(", "));
    }
    setup::ensure(Purpose::Test)?;
    for program in &programs {
        let mut bench = cargo();
        bench.args(["test", "--release", "--package", LAB_PACKAGE, "--test", program, "--", "--nocapture"]);
        process::run(bench.arg("--test-threads=1"))?;
    }
    if wanted(FAILOVER) {
        failover(arguments)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn failover(arguments: &Arguments) -> Result<()> {
    let events = arguments.events.iter().map(|name| name.parse()).collect::<Result<Vec<Event>, String>>();
    let events = events.map_err(anyhow::Error::msg)?;
    let products: Vec<Product> = arguments.with.iter().map(|with| with.product()).collect();
    if products.contains(&Product::Holdfast) {
        holdfast_lab::daemon::choose_binary(&build::product(true)?);
    }
    let mut figures = Vec::new();
    for interval in &arguments.intervals {
        for product in &products {
            figures.extend(trials(*product, *interval, &events, arguments.trials)?);
        }
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&figures)?);
    } else {
        print_figures(&figures);
    }
    Ok(())
}

fn trials(product: Product, interval: Duration, events: &[Event], count: usize) -> Result<Vec<Figure>> {
    let mut rig = Rig::start(LabName::unique(), product, interval).context("building the lab")?;
    let mut figures = Vec::new();
    for event in events {
        let mut reports = Vec::new();
        for trial in 1..=count {
            eprintln!("{product:?}, adverts every {interval:?}, {}: trial {trial} of {count}", event.name());
            rig.settle(&mut |_| ())?;
            if *event == Event::Restore {
                rig.episode(Event::NodeLoss, &mut |_| ())?;
            } else if *event == Event::Restart {
                rig.episode(Event::Stop, &mut |_| ())?;
            }
            reports.push(rig.episode(*event, &mut |_| ())?);
        }
        figures.push(Figure::of(product, interval, *event, &reports));
    }
    Ok(figures)
}

impl Figure {
    fn of(product: Product, interval: Duration, event: Event, reports: &[Report]) -> Self {
        let figures = |pick: fn(&Report) -> f64| reports.iter().map(pick).collect::<Vec<f64>>();
        Figure {
            product,
            interval_ms: interval.as_millis(),
            event,
            trials: reports.len(),
            recovered: reports.iter().filter(|report| report.recovered).count(),
            outage_ms: median(figures(|report| report.outage_ms)),
            outage_worst_ms: figures(|report| report.outage_ms).into_iter().fold(0.0, f64::max),
            lost: median(figures(|report| report.lost as f64)),
            contested_ms: median(figures(|report| report.contested_ms as f64)),
            contested_after_fence_ms: median(figures(|report| report.contested_after_fence_ms as f64)),
        }
    }
}

/// Median; the mean of the middle two where their number is even, 0 where there is none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        count if count % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

fn print_figures(figures: &[Figure]) {
    println!(
        "{:<11} {:>9} {:<10} {:>10} {:>10} {:>8} {:>11} {:>12} {:>10}",
        "product",
        "adverts",
        "event",
        "outage ms",
        "worst ms",
        "lost",
        "two owners",
        "after fence",
        "recovered"
    );
    for figure in figures {
        println!(
            "{:<11} {:>6} ms {:<10} {:>10.1} {:>10.1} {:>8.0} {:>8.0} ms {:>9.0} ms {:>6} of {}",
            format!("{:?}", figure.product),
            figure.interval_ms,
            figure.event.name(),
            figure.outage_ms,
            figure.outage_worst_ms,
            figure.lost,
            figure.contested_ms,
            figure.contested_after_fence_ms,
            figure.recovered,
            figure.trials,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(Vec::new()), 0.0);
    }
}
