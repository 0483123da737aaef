//! `cargo xtask test`: all layers, or one, and a line at the end that sums them up.

use crate::setup::{self, Purpose};
use crate::test_layers::{Layer, suites};
use crate::workspace::cargo;
use crate::{build, fuzz, mutants, process};
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader};
use std::process::{ExitCode, Stdio};

/// Runs the tests.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only this layer; may be given several times.
    #[arg(long, value_enum)]
    only: Vec<Layer>,
    /// Only tests whose names contain this.
    filter: Option<String>,
}

/// Failed tests of a timing-sensitive layer that are worth a second run; more than this is no accident.
const MOST_REPEATED: usize = 12;

/// Sums over all invocations.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: usize,
    failed: usize,
    /// Invocations that ended badly without a failed test to show for it: a build error, a crash.
    broken: Vec<String>,
    /// Names of failed tests of the running invocation.
    failures: Vec<String>,
    /// Tests that failed among neighbours and passed alone.
    unsteady: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let suites = suites()?;
    let layers = if arguments.only.is_empty() { Layer::ALL.to_vec() } else { arguments.only.clone() };
    setup::ensure(Purpose::Test)?;
    let mut tally = Tally::default();
    for layer in layers {
        if layer == Layer::Mutants {
            eprintln!("==> {}", layer.name());
            tally.take(mutants::run(arguments.filter.as_deref())?);
            continue;
        }
        let invocations = layer.invocations(&suites);
        if invocations.is_empty() {
            if !arguments.only.is_empty() {
                bail!("layer {} has no tests", layer.name());
            }
            continue;
        }
        eprintln!("==> {}", layer.name());
        if layer.needs_product() {
            build::product(false)?;
        }
        for invocation in invocations {
            run_one(layer, &invocation, arguments.filter.as_deref(), &mut tally)?;
        }
        if layer == Layer::Fuzz {
            let (passed, failed) = fuzz::short(arguments.filter.as_deref())?;
            tally.passed += passed;
            tally.failed += failed;
        }
    }
    for broken in &tally.broken {
        println!("did not finish: {broken}");
    }
    for unsteady in &tally.unsteady {
        println!("unsteady: {unsteady} failed at first and passed alone");
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    let good = tally.failed == 0 && tally.broken.is_empty();
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_one(layer: Layer, invocation: &[String], filter: Option<&str>, tally: &mut Tally) -> Result<()> {
    let mut command = cargo();
    command.args(["test", "--no-fail-fast"]).args(invocation);
    command.args(filter);
    if let Some(threads) = layer.threads() {
        command.env("RUST_TEST_THREADS", threads.to_string());
    }
    carry_out(command, tally)?;
    let failures = std::mem::take(&mut tally.failures);
    if layer.threads().is_some() && (1..=MOST_REPEATED).contains(&failures.len()) {
        repeat(invocation, failures, tally)?;
    }
    Ok(())
}

/// Runs failed tests of a timing-sensitive layer once more, one at a time: a machine that stalls for a moment spoils
/// neighbours, a defect fails again. What passes then is named as unsteady at the end.
fn repeat(invocation: &[String], failures: Vec<String>, tally: &mut Tally) -> Result<()> {
    println!("==> once more, alone: {}", failures.join(", "));
    let mut command = cargo();
    command.args(["test", "--no-fail-fast"]).args(invocation);
    command.args(["--", "--exact"]).args(&failures).env("RUST_TEST_THREADS", "1");
    let mut again = Tally::default();
    carry_out(command, &mut again)?;
    let steady = again.broken.is_empty() && again.passed + again.failed == failures.len();
    if !steady {
        tally.broken.extend(again.broken);
        return Ok(());
    }
    tally.passed += again.passed;
    tally.failed -= again.passed.min(tally.failed);
    tally.unsteady.extend(failures.into_iter().filter(|name| !again.failures.contains(name)));
    Ok(())
}

fn carry_out(mut command: std::process::Command, tally: &mut Tally) -> Result<()> {
    let what = process::shown(&command);
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("starting `{what}`"))?;
    let failed_before = tally.failed;
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line.context("reading what cargo prints")?;
            println!("{line}");
            tally.add(&line);
        }
    }
    let status = child.wait()?;
    if !status.success() && tally.failed == failed_before {
        tally.broken.push(format!("{what} ({status})"));
    }
    Ok(())
}

impl Tally {
    /// A mutant that survives is a failed test.
    fn take(&mut self, report: mutants::Report) {
        self.passed += report.killed;
        self.failed += report.failed.len();
        self.broken.extend(report.failed.into_iter().map(|failure| format!("mutant {failure}")));
    }

    /// Adds a line such as `test result: ok. 11 passed; 0 failed; ...`; others change nothing.
    fn add(&mut self, line: &str) {
        if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            self.failures.push(name.to_owned());
        }
        let Some(result) = line.strip_prefix("test result: ") else { return };
        let counts = result.split_once(". ").map_or("", |(_, counts)| counts);
        for part in counts.split("; ") {
            match part.split_once(' ') {
                Some((count, "passed")) => self.passed += count.parse::<usize>().unwrap_or(0),
                Some((count, "failed")) => self.failed += count.parse::<usize>().unwrap_or(0),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_summed() {
        let mut tally = Tally::default();
        tally.add(
            "test result: ok. 11 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 5.21s",
        );
        tally.add("test result: FAILED. 4 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out");
        tally.add("test parses_99_passed ... ok");
        tally.add("test adverts::a_tie ... FAILED");
        let failures = vec!["adverts::a_tie".to_owned()];
        assert_eq!(tally, Tally { passed: 15, failed: 2, failures, ..Tally::default() });
    }
}
