//! The command line: words in, words and an exit code out.
//!
//! Input is the arguments. `run` and `unload` are handed to the functions in [`Daemon`]; every other verb reads a
//! file or asks a daemon. Exit codes are the contract's; results go to stdout, reasons to stderr.

pub mod args;
mod check;
pub mod logging;
pub mod render;
mod verbs;

use crate::config::validated::Node;
use crate::config::{self, Loaded, Problem};
use args::{Arguments, Verb};
use clap::Parser;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

/// Exit codes of every verb. Wrong usage (2) is the argument parser's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// Refused or failed; the reason is on stderr.
    Failed,
    /// The daemon cannot be reached.
    Unreachable,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        ExitCode::from(match outcome {
            Outcome::Done => 0,
            Outcome::Failed => 1,
            Outcome::Unreachable => 3,
        })
    }
}

/// What the command line hands to the daemon's own code.
#[derive(Clone, Copy, Debug)]
pub struct Daemon {
    /// Runs until stopped. Logging has been started; the path is for reloads.
    pub run: fn(Loaded, &Path) -> anyhow::Result<()>,
    /// Removes what a dead daemon left and returns a line per thing removed; fails while one runs.
    pub unload: fn(&Node) -> anyhow::Result<Vec<String>>,
}

/// Carries out one command line, program name first.
pub fn main(arguments: impl IntoIterator<Item = OsString>, daemon: Daemon) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version come this way too, with exit code 0. A closed terminal is no reason to fail.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    dispatch(&arguments, daemon).into()
}

fn dispatch(arguments: &Arguments, daemon: Daemon) -> Outcome {
    let json = arguments.json;
    match &arguments.verb {
        Verb::Run { config } => run(config, arguments, daemon),
        Verb::Check { config } => check::check(config, json),
        Verb::Status { target } => verbs::status(target, json),
        Verb::Events { target, follow, since } => verbs::events(target, json, *follow, *since),
        Verb::Why { target, router } => verbs::why(target, json, router.clone()),
        Verb::Reload { target } => verbs::reload(target, json),
        Verb::Failover { target, group } => verbs::failover(target, json, group.clone()),
        Verb::Unload { config } => unload(config.as_deref(), arguments, daemon),
        Verb::Handover { .. } => not_built("handover"),
        Verb::Maintenance { target, state } => verbs::maintenance(target, json, *state),
        Verb::Bypass { target, action, pair } => verbs::bypass(target, json, *action, pair.clone()),
    }
}

fn not_built(verb: &str) -> Outcome {
    complain(&format!("{verb} is not built yet; nothing was done"));
    Outcome::Failed
}

fn run(path: &Path, arguments: &Arguments, daemon: Daemon) -> Outcome {
    let loaded = match config::load(path) {
        Ok(loaded) => loaded,
        Err(problems) => return refuse(&problems),
    };
    let _flushes_when_dropped = logging::start(arguments.log_level);
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    match (daemon.run)(loaded, path) {
        Ok(()) => Outcome::Done,
        Err(error) => {
            // Once: the log may be lossy, and whoever starts us by hand reads stderr.
            complain(&format!("{error:#}"));
            Outcome::Failed
        }
    }
}

fn unload(path: Option<&Path>, arguments: &Arguments, daemon: Daemon) -> Outcome {
    let node = match path {
        // Secrets and interfaces may be gone by now; only the directories matter.
        Some(path) => config::parse_file(path).map(|loaded| loaded.config.node),
        None => config::default_node(),
    };
    let node = match node {
        Ok(node) => node,
        Err(problems) => return refuse(&problems),
    };
    let _flushes_when_dropped = logging::start(arguments.log_level);
    match (daemon.unload)(&node) {
        Ok(removed) if arguments.json => print_json(&serde_json::json!({ "removed": removed })),
        Ok(removed) if removed.is_empty() => print("nothing was left\n"),
        Ok(removed) => print(&format!("{}\n", removed.join("\n"))),
        Err(error) => {
            complain(&format!("{error:#}"));
            Outcome::Failed
        }
    }
}

fn refuse(problems: &[Problem]) -> Outcome {
    for problem in problems {
        eprint_line(&problem.to_string());
    }
    Outcome::Failed
}

/// Writes a reason to stderr.
fn complain(reason: &str) {
    eprint_line(&format!("holdfast: {reason}"));
}

/// As `eprintln!`, without its panic where nobody listens.
fn eprint_line(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Writes a result to stdout at once. A reader that has gone (`| head`) has what it wanted.
fn print(text: &str) -> Outcome {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Outcome::Done,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Outcome::Done,
        Err(error) => {
            complain(&format!("the result cannot be written: {error}"));
            Outcome::Failed
        }
    }
}

fn print_json(value: &impl serde::Serialize) -> Outcome {
    match serde_json::to_string_pretty(value) {
        Ok(text) => print(&format!("{text}\n")),
        Err(error) => {
            complain(&format!("the result cannot be written as JSON: {error}"));
            Outcome::Failed
        }
    }
}
