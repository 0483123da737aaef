//! `cargo xtask bench`: the figures, with keepalived measured beside us in the same run.
//!
//! The benches are programs of `tests/tests` whose names begin with `bench`. They are built for production, asked by
//! a request, and leave their results in a file; this verb joins, prints and stores them. docs/performance.md says
//! what each figure means.

use crate::bench_machine::Machine;
use crate::demo::With;
use crate::setup::{self, Purpose};
use crate::workspace::{LAB_PACKAGE, cargo, target_dir};
use crate::{build, process};
use anyhow::{Context, Result, bail};
use holdfast_lab::figures::{Failure, Request, Results, Subject};
use holdfast_lab::gateway_pair::Product;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Measures, beside keepalived.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Trials per figure, instead of each figure's own number (5 for most); medians, minima and maxima are shown.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    trials: Option<u16>,
    /// Seconds per rung of the starvation ladder, instead of 60.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    rung: Option<u64>,
    /// Only these: transit, node-loss, kill9, graceful, sigstop, invalid-adverts, probe-answer, peer-loss, starvation,
    /// stopped-controller, probe-flood, wire.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Also writes everything, trial by trial, to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// What is measured.
    #[arg(long, value_delimiter = ',', value_enum, default_values = ["holdfast", "keepalived"])]
    with: Vec<With>,
    /// Development builds, to try a bench out: the figures mean little.
    #[arg(long)]
    dev: bool,
}

/// A measuring program and its benches.
struct Program {
    name: &'static str,
    benches: &'static [&'static str],
}

const PROGRAMS: [Program; 3] = [
    Program { name: "bench_transit", benches: &["transit"] },
    Program {
        name: "bench_gateways",
        benches: &["node-loss", "kill9", "graceful", "sigstop", "invalid-adverts"],
    },
    Program {
        name: "bench_peers",
        benches: &["probe-answer", "peer-loss", "starvation", "stopped-controller", "probe-flood", "wire"],
    },
];

/// Names the product's binary to the programs; one that is set already stands.
const BINARY_VARIABLE: &str = "HOLDFAST_BIN";

/// What `--json` writes.
#[derive(serde::Serialize)]
struct Report<'a> {
    machine: &'a Machine,
    /// `null`: each figure's own number.
    trials: Option<u16>,
    passed: bool,
    #[serde(flatten)]
    results: &'a Results,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let programs = chosen(&arguments.only)?;
    setup::ensure(Purpose::Test)?;
    let product = match std::env::var_os(BINARY_VARIABLE) {
        // The programs run in another directory.
        Some(path) => std::path::absolute(path)?,
        None => build::product(!arguments.dev)?,
    };
    // Building is over before anything is measured.
    for (program, _) in &programs {
        process::run(program_command(program, arguments.dev).arg("--no-run"))?;
    }
    let machine = Machine::of_this_host(&product);
    eprintln!("{machine}");
    let mut results = Results::default();
    for (program, benches) in programs {
        results.append(ask(program, benches, arguments, &product));
    }
    let passed = results.passed();
    println!("{machine}\n\n{}", results.table());
    print_failures(&results);
    if let Some(path) = &arguments.json {
        let report = Report { machine: &machine, trials: arguments.trials, passed, results: &results };
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(path, text + "\n").with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The programs that have one of the wanted benches, and which of theirs are wanted.
fn chosen(only: &[String]) -> Result<Vec<(&'static Program, Vec<String>)>> {
    let known: Vec<&str> = PROGRAMS.iter().flat_map(|program| program.benches).copied().collect();
    if let Some(unknown) = only.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("no bench {unknown:?}; there are {}", known.join(", "));
    }
    let wanted = |bench: &&&str| only.is_empty() || only.iter().any(|name| name == **bench);
    let chosen = PROGRAMS.iter().map(|program| {
        let benches = program.benches.iter().filter(wanted).map(|bench| (*bench).to_owned());
        (program, benches.collect::<Vec<_>>())
    });
    Ok(chosen.filter(|(_, benches)| !benches.is_empty()).collect())
}

fn program_command(program: &Program, dev: bool) -> std::process::Command {
    let mut command = cargo();
    command.arg("test");
    if !dev {
        command.arg("--release");
    }
    command.args(["--package", LAB_PACKAGE, "--test", program.name]);
    command
}

/// Runs a program. One that ends without results is a failure of its own.
fn ask(program: &Program, benches: Vec<String>, arguments: &Arguments, product: &Path) -> Results {
    let shown = benches.join(", ");
    run_program(program, benches, arguments, product).unwrap_or_else(|error| {
        let subject = Subject { bench: program.name.to_owned(), case: shown, product: None };
        let what = format!("{error:#}");
        let failure = Failure { subject, trial: 0, what, log_tails: String::new() };
        Results { figures: Vec::new(), failures: vec![failure] }
    })
}

fn run_program(
    program: &Program,
    benches: Vec<String>,
    arguments: &Arguments,
    product: &Path,
) -> Result<Results> {
    let path = target_dir().join(format!("{}.json", program.name));
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("removing {}", path.display()));
        }
        _ => {}
    }
    let products: Vec<Product> = arguments.with.iter().map(|with| with.product()).collect();
    let request = Request {
        benches,
        trials: arguments.trials.map(usize::from),
        rung_seconds: arguments.rung,
        products,
        results: path.clone(),
    };
    let mut command = program_command(program, arguments.dev);
    command.arg("--quiet").arg("--").arg(serde_json::to_string(&request)?);
    // What it prints is progress; standard output is for the table.
    command.env(BINARY_VARIABLE, product).stdout(std::io::stderr());
    let status = command.status().with_context(|| format!("starting {}", program.name))?;
    match std::fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).with_context(|| format!("results of {}", program.name)),
        Err(_) => bail!("{} ended without results ({status})", program.name),
    }
}

fn print_failures(results: &Results) {
    for failure in &results.failures {
        println!("FAILED: {}, trial {}: {}", failure.subject.shown(), failure.trial, failure.what);
        if !failure.log_tails.is_empty() {
            println!("{}", failure.log_tails);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_layers::{BENCH_WORD, suites};

    #[test]
    fn every_measuring_program_is_known() {
        let mut known: Vec<&str> = PROGRAMS.iter().map(|program| program.name).collect();
        known.sort_unstable();
        let found: Vec<String> =
            suites().unwrap().into_iter().filter(|suite| suite.starts_with(BENCH_WORD)).collect();
        assert_eq!(found, known);
    }

    #[test]
    fn benches_choose_their_programs() {
        let names = |only: &[&str]| -> Vec<&str> {
            let only: Vec<String> = only.iter().map(|name| (*name).to_owned()).collect();
            chosen(&only).map_or_else(
                |_| vec!["refused"],
                |all| all.into_iter().map(|(program, _)| program.name).collect(),
            )
        };
        assert_eq!(names(&[]), ["bench_transit", "bench_gateways", "bench_peers"]);
        assert_eq!(names(&["wire", "transit"]), ["bench_transit", "bench_peers"]);
        assert_eq!(names(&["kill9", "sigstop"]), ["bench_gateways"]);
        assert_eq!(names(&["kill8"]), ["refused"]);
    }
}
