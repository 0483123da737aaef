//! `cargo xtask sim`: plays simulated clusters out by seeds; the engine's campaign does the work.

use crate::process;
use crate::workspace::{ENGINE_PACKAGE, cargo};
use anyhow::Result;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

/// Plays simulated clusters out by seeds.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Plays 10,000 cluster-hours, with seeds of today's own.
    #[arg(long, conflicts_with_all = ["seed", "hours"])]
    nightly: bool,
    /// Plays one seed, tells what happens in it if it fails, and cuts it down.
    #[arg(long, value_name = "N", conflicts_with_all = ["hours", "first"])]
    seed: Option<u64>,
    /// Cluster-hours, instead of the 200 of the tests.
    #[arg(long, value_name = "N")]
    hours: Option<u64>,
    /// First seed; the others follow.
    #[arg(long, value_name = "N")]
    first: Option<u64>,
}

const CAMPAIGN: &str = "campaign::no_history_breaks_an_invariant";
/// What the campaign reads.
const SEED_VARIABLE: &str = "HOLDFAST_SIM_SEED";
const HOURS_VARIABLE: &str = "HOLDFAST_SIM_HOURS";
const FIRST_VARIABLE: &str = "HOLDFAST_SIM_FIRST";
const NIGHTLY_HOURS: u64 = 10_000;
/// More seeds than a night can play.
const SEEDS_PER_DAY: u64 = 1_000_000;
const SECONDS_PER_DAY: u64 = 86_400;

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let mut command = cargo();
    command.args(["test", "--package", ENGINE_PACKAGE, "--test", "simulation"]);
    command.args(["--", "--exact", CAMPAIGN, "--nocapture"]);
    let hours = arguments.nightly.then_some(NIGHTLY_HOURS).or(arguments.hours);
    let first = arguments.first.or_else(|| arguments.nightly.then(todays_first));
    for (variable, value) in
        [(SEED_VARIABLE, arguments.seed), (HOURS_VARIABLE, hours), (FIRST_VARIABLE, first)]
    {
        if let Some(value) = value {
            command.env(variable, value.to_string());
        }
    }
    process::run(&mut command)?;
    Ok(ExitCode::SUCCESS)
}

/// Every night plays other seeds.
fn todays_first() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs() / SECONDS_PER_DAY * SEEDS_PER_DAY
}
