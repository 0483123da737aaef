//! `cargo xtask fuzz`: fuzzes the parsers of outside bytes, guided by coverage, and says what was seen.
//!
//! What must hold of a parser stands in `tests/fuzz`; the fuzzer is libFuzzer, built with the compiler everything else is
//! built with. An input that breaks a property is shortened and kept in `tests/fuzz/regressions`, where an ordinary test
//! replays it from then on.

mod build;
mod corpus;
mod session;

use crate::setup::{self, Purpose};
use anyhow::{Context, Result, bail};
use session::{Outcome, Session};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Duration;

/// Fuzzes the parsers of outside bytes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only this target (default: all of them, each for its share of the time).
    target: Option<String>,
    /// How long to fuzz in all.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
    /// Fuzzers side by side (default: one per processor).
    #[arg(long)]
    jobs: Option<usize>,
    /// Afterwards choose the corpus in the repository anew, from all that was found.
    #[arg(long)]
    keep: bool,
}

/// Time of all targets together in the test command, on one processor.
const SHORT_RUN: Duration = Duration::from_secs(75);
/// Below this a fuzzer has hardly read its corpus.
const SHORTEST_SESSION: Duration = Duration::from_secs(2);

/// Where things lie below the target directory.
struct Places {
    /// What is written anew for each run: seeds, dictionaries, logs.
    seeds: PathBuf,
    /// What earlier long runs found.
    found: PathBuf,
    logs: PathBuf,
    /// In the repository.
    corpus: PathBuf,
    regressions: PathBuf,
}

impl Places {
    fn new() -> Self {
        let own = build::directory();
        let crate_directory = crate::workspace::root().join("tests/fuzz");
        Places {
            seeds: own.join("seeds"),
            found: own.join("corpus"),
            logs: own.join("logs"),
            corpus: crate_directory.join("corpus"),
            regressions: crate_directory.join("regressions"),
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    setup::ensure(Purpose::Test)?;
    let all = Duration::from_secs(60 * arguments.minutes);
    let places = Places::new();
    let fuzzer = build::fuzzer()?;
    let targets = build::targets(&places.seeds)?;
    let chosen: Vec<_> = targets
        .iter()
        .filter(|each| arguments.target.as_ref().is_none_or(|name| *name == each.name))
        .collect();
    if chosen.is_empty() {
        let names: Vec<&str> = targets.iter().map(|target| target.name.as_str()).collect();
        bail!("there is no such target; there are {}", names.join(", "));
    }
    let jobs = arguments.jobs.unwrap_or_else(processors).clamp(1, chosen.len());
    let share = all * u32::try_from(jobs)? / u32::try_from(chosen.len())?;
    let sessions = chosen.iter().map(|target| {
        let found = places.found.join(&target.name);
        Session::new(&fuzzer, target, &places, found, share.max(SHORTEST_SESSION))
    });
    let outcomes = side_by_side(sessions.collect::<Result<_>>()?, jobs)?;
    if arguments.keep {
        for target in chosen {
            corpus::choose_anew(&fuzzer, target, &places)?;
        }
    }
    let good = outcomes.iter().all(Outcome::is_good);
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The short run of the test command over all targets whose names contain `filter`: so many passed, so many failed.
/// Begins with the corpus in the repository each time.
pub(crate) fn short(filter: Option<&str>) -> Result<(usize, usize)> {
    let places = Places::new();
    let targets = build::targets(&places.seeds)?;
    let chosen: Vec<_> =
        targets.iter().filter(|target| filter.is_none_or(|part| target.name.contains(part))).collect();
    if chosen.is_empty() {
        return Ok((0, 0));
    }
    let fuzzer = build::fuzzer()?;
    let share = (SHORT_RUN / u32::try_from(targets.len())?).max(SHORTEST_SESSION);
    let sessions = chosen.into_iter().map(|target| {
        let scratch = build::directory().join("scratch").join(&target.name);
        if scratch.exists() {
            std::fs::remove_dir_all(&scratch).with_context(|| format!("emptying {}", scratch.display()))?;
        }
        Session::new(&fuzzer, target, &places, scratch, share)
    });
    let outcomes = side_by_side(sessions.collect::<Result<_>>()?, processors())?;
    let passed = outcomes.iter().filter(|outcome| outcome.is_good()).count();
    Ok((passed, outcomes.len() - passed))
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Runs the sessions, `jobs` at a time, and tells of each as it ends.
fn side_by_side(sessions: VecDeque<Session>, jobs: usize) -> Result<Vec<Outcome>> {
    let (waiting, done) = (Mutex::new(sessions), Mutex::new(Vec::new()));
    println!("{}", Outcome::HEADING);
    std::thread::scope(|scope| {
        let worker = || {
            while let Some(session) = waiting.lock().ok().and_then(|mut waiting| waiting.pop_front()) {
                let outcome = session.run();
                if let Ok(outcome) = &outcome {
                    println!("{outcome}");
                }
                if let Ok(mut done) = done.lock() {
                    done.push(outcome);
                }
            }
        };
        for _ in 0..jobs {
            scope.spawn(worker);
        }
    });
    done.into_inner().unwrap_or_default().into_iter().collect()
}
