//! The mutation check: deliberate faults of the engine, each of which the engine's own tests must notice.
//!
//! The faults are data (`tests/mutants.toml` of the engine). Each is applied to a copy of the crate in a workspace of its own
//! under `target/mutants`, built and tested there, cheapest tests first, until one fails. A fault that no longer fits the
//! source is an error, for it would prove nothing.

use crate::process;
use crate::workspace::{ENGINE_PACKAGE, cargo, root, target_dir};
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where the engine lies in the workspace.
const ENGINE: &str = "ha-userspace/engine";
const LIST: &str = "tests/mutants.toml";
/// The crate in the copy's workspace.
const COPY: &str = "engine";
/// A test program that runs longer hangs because of the fault.
const LONGEST_RUN: Duration = Duration::from_secs(300);
const POLL: Duration = Duration::from_millis(20);
/// Cluster-hours that a fault may survive in the simulation, which nearly all do not.
const HOURS: (&str, &str) = ("HOLDFAST_SIM_HOURS", "20");
/// Quick to build and quick enough to run.
const PROFILE: &str = "\n[profile.dev]\nopt-level = 1\ndebug = false\nincremental = true\n";

/// What is run of a test program, in this order.
struct Stage {
    program: &'static str,
    arguments: &'static [&'static str],
}

const STAGES: [Stage; 5] = [
    Stage { program: "holdfast_engine", arguments: &[] },
    Stage { program: "engine", arguments: &["--skip", "properties::"] },
    Stage { program: "simulation", arguments: &["--skip", "campaign::"] },
    Stage { program: "engine", arguments: &["properties::"] },
    Stage { program: "simulation", arguments: &["campaign::"] },
];

/// One deliberate fault.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutant {
    name: String,
    /// Below the crate's directory.
    file: PathBuf,
    /// Occurs exactly once in the file.
    before: String,
    after: String,
}

#[derive(Debug, serde::Deserialize)]
struct List {
    mutant: Vec<Mutant>,
}

/// What has become of them.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) killed: usize,
    /// What no test noticed, or could not be tried out, and why.
    pub(crate) failed: Vec<String>,
}

/// How the tests took a fault.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// By this test, or what else ended the program.
    Killed(String),
    Survived,
}

/// Runs all mutants whose names contain `filter`.
pub(crate) fn run(filter: Option<&str>) -> Result<Report> {
    let list = read_list()?;
    let wanted: Vec<&Mutant> =
        list.iter().filter(|mutant| filter.is_none_or(|part| mutant.name.contains(part))).collect();
    ensure!(!wanted.is_empty(), "no mutant's name contains {:?}", filter.unwrap_or_default());
    let copy = Copy::make()?;
    println!("mutant none: the copy itself must pass");
    if let Outcome::Killed(by) = copy.test()? {
        bail!("the engine's own tests fail without a mutant: {by}");
    }
    let mut report = Report::default();
    for (number, mutant) in wanted.iter().enumerate() {
        let began = Instant::now();
        let outcome = copy.try_out(mutant);
        let seconds = began.elapsed().as_secs();
        let place = format!("{}/{}", number + 1, wanted.len());
        match outcome {
            Ok(Outcome::Killed(by)) => {
                println!("mutant {place} {}: killed by {by} ({seconds} s)", mutant.name);
                report.killed += 1;
            }
            Ok(Outcome::Survived) => {
                println!("mutant {place} {}: SURVIVED ({seconds} s)", mutant.name);
                report.failed.push(format!("{}: no test noticed it", mutant.name));
            }
            Err(error) => {
                println!("mutant {place} {}: NOT TRIED OUT: {error:#}", mutant.name);
                report.failed.push(format!("{}: {error:#}", mutant.name));
            }
        }
    }
    Ok(report)
}

fn read_list() -> Result<Vec<Mutant>> {
    let path = root().join(ENGINE).join(LIST);
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let list: List = toml::from_str(&text).with_context(|| format!("in {}", path.display()))?;
    Ok(list.mutant)
}

/// The source with the fault.
fn mutated(mutant: &Mutant, source: &str) -> Result<String> {
    let found = source.matches(&mutant.before).count();
    ensure!(
        found == 1,
        "mutant {:?} does not fit: {:?} occurs {found} times in {}; bring {LIST} up to date",
        mutant.name,
        mutant.before,
        mutant.file.display()
    );
    ensure!(mutant.before != mutant.after, "mutant {:?} changes nothing", mutant.name);
    Ok(source.replacen(&mutant.before, &mutant.after, 1))
}

/// The crate in a workspace of its own.
struct Copy {
    directory: PathBuf,
}

impl Copy {
    fn make() -> Result<Self> {
        let directory = target_dir().join("mutants");
        let crate_directory = directory.join(COPY);
        if crate_directory.exists() {
            std::fs::remove_dir_all(&crate_directory)
                .with_context(|| format!("removing {}", crate_directory.display()))?;
        }
        copy_tree(&root().join(ENGINE), &crate_directory)?;
        let manifest = std::fs::read_to_string(root().join("Cargo.toml")).context("reading Cargo.toml")?;
        std::fs::write(directory.join("Cargo.toml"), own_workspace(&manifest)?)?;
        std::fs::copy(root().join("Cargo.lock"), directory.join("Cargo.lock"))?;
        Ok(Self { directory })
    }

    /// Applies the fault, tests, and takes it back.
    fn try_out(&self, mutant: &Mutant) -> Result<Outcome> {
        let path = self.directory.join(COPY).join(&mutant.file);
        let source = std::fs::read_to_string(&path)
            .with_context(|| format!("mutant {:?}: reading {}", mutant.name, path.display()))?;
        std::fs::write(&path, mutated(mutant, &source)?)?;
        let outcome = self.test().with_context(|| format!("mutant {:?}", mutant.name));
        std::fs::write(&path, source)?;
        outcome
    }

    fn test(&self) -> Result<Outcome> {
        let programs = self.build()?;
        for Stage { program, arguments } in &STAGES {
            let (_, path) = programs
                .iter()
                .find(|(name, _)| name == program)
                .with_context(|| format!("the engine has no test program {program}"))?;
            let outcome = self.run_program(path, arguments)?;
            if outcome != Outcome::Survived {
                return Ok(outcome);
            }
        }
        Ok(Outcome::Survived)
    }

    /// The test programs by name.
    fn build(&self) -> Result<Vec<(String, PathBuf)>> {
        let mut command = cargo();
        command.current_dir(&self.directory).env_remove("CARGO_TARGET_DIR");
        command.args(["test", "--package", ENGINE_PACKAGE, "--lib", "--tests", "--no-run"]);
        command.args(["--message-format", "json", "--quiet"]).env("RUSTFLAGS", "--cap-lints=allow");
        let output = process::output(&mut command).context("a mutant must build")?;
        let messages = output.lines().filter_map(|line| serde_json::from_str::<Artifact>(line).ok());
        Ok(messages.filter_map(|artifact| Some((artifact.target.name, artifact.executable?))).collect())
    }

    fn run_program(&self, program: &Path, arguments: &[&str]) -> Result<Outcome> {
        let said = self.directory.join("output");
        let mut command = Command::new(program);
        command.current_dir(self.directory.join(COPY)).args(arguments).env(HOURS.0, HOURS.1);
        command.stdin(Stdio::null()).stderr(Stdio::null()).stdout(std::fs::File::create(&said)?);
        let child = command.spawn().with_context(|| format!("starting {}", program.display()))?;
        let Some(passed) = finish(child)? else { return Ok(Outcome::Killed("hanging".to_owned())) };
        if passed {
            return Ok(Outcome::Survived);
        }
        let output = String::from_utf8_lossy(&std::fs::read(&said)?).into_owned();
        Ok(Outcome::Killed(failures(&output)))
    }
}

/// Of cargo's messages: what was built.
#[derive(Debug, serde::Deserialize)]
struct Artifact {
    target: Target,
    executable: Option<PathBuf>,
}

#[derive(Debug, serde::Deserialize)]
struct Target {
    name: String,
}

/// Whether the program succeeded; `None` if it had to be ended.
fn finish(mut child: Child) -> Result<Option<bool>> {
    let deadline = Instant::now() + LONGEST_RUN;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status.success()));
        }
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(POLL);
    }
}

/// The first failed test, and how many there are.
fn failures(output: &str) -> String {
    let names: Vec<&str> =
        output.lines().filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED")).collect();
    match names.as_slice() {
        [] => "a crash".to_owned(),
        [only] => (*only).to_owned(),
        [first, others @ ..] => format!("{first} and {} more", others.len()),
    }
}

/// The workspace's manifest for the copy: the same versions and lints, one member.
fn own_workspace(manifest: &str) -> Result<String> {
    let mut tables: toml::Table = manifest.parse().context("in Cargo.toml")?;
    let workspace = tables
        .get_mut("workspace")
        .and_then(toml::Value::as_table_mut)
        .context("Cargo.toml has no [workspace]")?;
    for key in ["exclude", "default-members"] {
        workspace.remove(key);
    }
    workspace.insert("members".to_owned(), toml::Value::Array(vec![COPY.into()]));
    if let Some(dependencies) = workspace.get_mut("dependencies").and_then(toml::Value::as_table_mut) {
        dependencies.retain(|_, dependency| dependency.get("path").is_none());
    }
    tables.remove("profile");
    Ok(toml::to_string(&tables)? + PROFILE)
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to).with_context(|| format!("creating {}", to.display()))?;
    for entry in std::fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target).with_context(|| format!("writing {}", target.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_mutant_fits_the_engine_and_has_a_name_of_its_own() {
        let list = read_list().unwrap();
        let names: BTreeSet<&str> = list.iter().map(|mutant| mutant.name.as_str()).collect();
        assert_eq!(names.len(), list.len());
        for mutant in &list {
            let source = std::fs::read_to_string(root().join(ENGINE).join(&mutant.file)).unwrap();
            assert_ne!(mutated(mutant, &source).unwrap(), source);
        }
    }

    #[test]
    fn a_mutant_that_fits_nowhere_or_twice_is_refused() {
        let mutant = |before: &str| Mutant {
            name: "it".to_owned(),
            file: "f".into(),
            before: before.to_owned(),
            after: "b".to_owned(),
        };
        assert!(mutated(&mutant("x"), "a a").is_err());
        assert!(mutated(&mutant("a"), "a a").is_err());
        assert_eq!(mutated(&mutant("a"), "ca").unwrap(), "cb");
    }

    #[test]
    fn the_copy_is_a_workspace_of_its_own() {
        let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
        let own: toml::Table = own_workspace(&manifest).unwrap().parse().unwrap();
        let members = own["workspace"]["members"].as_array().unwrap();
        assert_eq!(members, &["engine".into()]);
        assert!(own["workspace"]["dependencies"].get("holdfast-engine").is_none());
        assert!(own["workspace"]["dependencies"].get("proptest").is_some());
    }

    #[test]
    fn the_first_failure_is_named() {
        let output = "test a ... ok\ntest b::c ... FAILED\ntest d ... FAILED\n";
        assert_eq!(failures(output), "b::c and 1 more");
        assert_eq!(failures("stack overflow"), "a crash");
    }
}
