//! One fuzzer on one target: started, read, and what it broke kept.

use super::Places;
use super::build::Target;
use anyhow::{Context, Result};
use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// As in `holdfast_fuzz::TARGET_VARIABLE`.
pub(super) const TARGET_VARIABLE: &str = "HOLDFAST_FUZZ_TARGET";
/// An input that takes longer hangs, seconds.
const HANG: u64 = 10;
/// Memory past which a target is taken for one that grows without bound, MiB.
const MOST_MEMORY: u64 = 1024;
/// Time to shorten an input that broke a property, seconds.
const SHORTENING: u64 = 15;
/// Longest piece of what a target said that is shown.
const SHOWN_BYTES: usize = 600;

/// A run that is to come.
#[derive(Debug)]
pub(super) struct Session {
    name: String,
    fuzzer: PathBuf,
    longest: usize,
    time: Duration,
    dictionary: PathBuf,
    /// Where new inputs go, then where to begin.
    directories: Vec<PathBuf>,
    log: PathBuf,
    /// Where an input that breaks something is first put.
    broken: PathBuf,
    regressions: PathBuf,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Outcome {
    name: String,
    figures: Figures,
    failure: Option<String>,
}

/// What libFuzzer says of a run.
#[derive(Debug, Default, PartialEq, Eq)]
struct Figures {
    runs: u64,
    per_second: u64,
    edges: u64,
    features: u64,
}

impl Session {
    pub(super) fn new(
        fuzzer: &Path,
        target: &Target,
        places: &Places,
        found: PathBuf,
        time: Duration,
    ) -> Result<Self> {
        let name = target.name.clone();
        let directories = [found, places.corpus.join(&name), places.seeds.join(&name)];
        let broken = super::build::directory().join("broken").join(&name);
        for directory in directories.iter().chain([&places.logs, &broken]) {
            fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
        }
        Ok(Session {
            fuzzer: fuzzer.to_owned(),
            longest: target.longest,
            time,
            dictionary: places.seeds.join(format!("{name}.dict")),
            directories: directories.into(),
            log: places.logs.join(format!("{name}.log")),
            broken,
            regressions: places.regressions.join(&name),
            name,
        })
    }

    pub(super) fn run(self) -> Result<Outcome> {
        let mut command = self.command();
        command.arg(format!("-max_total_time={}", self.time.as_secs().max(1)));
        command.arg(format!("-max_len={}", self.longest)).args(&self.directories);
        let log = File::create(&self.log).with_context(|| format!("writing {}", self.log.display()))?;
        let status = command.stdout(Stdio::null()).stderr(log).status();
        let status = status.with_context(|| format!("starting {}", self.fuzzer.display()))?;
        let said = fs::read(&self.log).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let failure = if status.success() { None } else { Some(self.keep(&said)?) };
        Ok(Outcome { name: self.name, figures: figures(&said), failure })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.fuzzer);
        command.env(TARGET_VARIABLE, &self.name).env("RUST_BACKTRACE", "0");
        command.arg(format!("-artifact_prefix={}/", self.broken.display()));
        command.arg(format!("-timeout={HANG}")).arg(format!("-rss_limit_mb={MOST_MEMORY}"));
        command.args(["-print_final_stats=1", "-use_value_profile=0"]);
        if fs::metadata(&self.dictionary).is_ok_and(|file| file.len() > 0) {
            command.arg(format!("-dict={}", self.dictionary.display()));
        }
        command
    }

    /// Shortens the input that broke a property, keeps it where the ordinary tests replay it, and says so.
    fn keep(&self, said: &str) -> Result<String> {
        let reason = reason(said);
        let written =
            said.lines().find_map(|line| line.split_once("Test unit written to ").map(|(_, path)| path));
        let Some(input) = written.map(|path| PathBuf::from(path.trim())) else {
            return Ok(format!("{reason}\n  see {}", self.log.display()));
        };
        let name = input.file_name().context("the broken input has no name")?;
        fs::create_dir_all(&self.regressions)?;
        let kept = self.regressions.join(name);
        let mut shorten = self.command();
        shorten.args(["-minimize_crash=1", &format!("-max_total_time={SHORTENING}")]);
        shorten.arg(format!("-exact_artifact_path={}", kept.display())).arg(&input);
        // Not every input becomes shorter; then it is kept as it is.
        let _ = shorten.stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !kept.exists() {
            fs::copy(&input, &kept).with_context(|| format!("keeping {}", kept.display()))?;
        }
        Ok(format!(
            "{reason}\n  kept as {}; `cargo test -p holdfast-fuzz` replays it: commit it with the correction",
            kept.display()
        ))
    }
}

/// What a target said when it broke, or libFuzzer in its place.
fn reason(said: &str) -> String {
    let panic = said.find("panicked at ").map(|at| &said[at..]);
    let shown: String = match panic {
        Some(panic) => panic
            .lines()
            .take_while(|line| !line.starts_with("note: "))
            .take(4)
            .collect::<Vec<_>>()
            .join("\n  "),
        None => said
            .lines()
            .find(|line| line.contains("ERROR: libFuzzer"))
            .unwrap_or("the fuzzer failed")
            .to_owned(),
    };
    shown.chars().take(SHOWN_BYTES).collect()
}

fn figures(said: &str) -> Figures {
    let stat = |name: &str| {
        let value =
            said.lines().find_map(|line| line.strip_prefix("stat::")?.strip_prefix(name)?.strip_prefix(':'));
        value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
    };
    let last = said.lines().rfind(|line| line.starts_with('#') && line.contains(" cov: ")).unwrap_or("");
    let count = |name: &str| {
        let words = last.split_whitespace().skip_while(|word| *word != name);
        words.skip(1).find_map(|word| word.parse().ok()).unwrap_or(0)
    };
    Figures {
        runs: stat("number_of_executed_units"),
        per_second: stat("average_exec_per_sec"),
        edges: count("cov:"),
        features: count("ft:"),
    }
}

impl Outcome {
    pub(super) const HEADING: &str = "target                   runs  per second   edges  features";

    pub(super) fn is_good(&self) -> bool {
        self.failure.is_none()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figures { runs, per_second, edges, features } = self.figures;
        write!(formatter, "{:<18} {runs:>10} {per_second:>11} {edges:>7} {features:>9}", self.name)?;
        match &self.failure {
            Some(failure) => write!(formatter, "  BROKEN\n  {failure}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "INFO: Seed: 7\n#2\tINITED cov: 20 ft: 21 corp: 1/1b\n\
        #193723\tDONE   cov: 463 ft: 855 corp: 170/12571b lim: 1024 exec/s: 27674 rss: 31Mb\n\
        stat::number_of_executed_units: 193723\nstat::average_exec_per_sec:     27674\n";

    #[test]
    fn figures_are_those_of_the_end() {
        let expected = Figures { runs: 193_723, per_second: 27_674, edges: 463, features: 855 };
        assert_eq!(figures(SAID), expected);
        assert_eq!(figures("nothing"), Figures::default());
    }

    #[test]
    fn what_broke_is_the_first_thing_said() {
        let panic =
            "x\nthread '<unnamed>' (7) panicked at tests/fuzz/src/a.rs:1:2:\nleft is not right\nnote: y\n";
        assert!(reason(panic).starts_with("panicked at tests/fuzz/src/a.rs:1:2:\n  left is not right"));
        assert_eq!(
            reason("==7== ERROR: libFuzzer: timeout after 10 seconds\n"),
            "==7== ERROR: libFuzzer: timeout after 10 seconds"
        );
        assert_eq!(reason(""), "the fuzzer failed");
    }
}
