//! Builds the fuzzer: the targets with coverage counters in them, linked with libFuzzer, in a target directory of its own.
//!
//! The flags are those that clang's `-fsanitize=fuzzer` stands for. They need no nightly compiler: the pass is in LLVM,
//! and stable options reach it.

use crate::process;
use crate::workspace::{cargo, target_dir};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

const PACKAGE: &str = "holdfast-fuzz";
const FLAGS: &[&str] = &[
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];
/// Separator inside `CARGO_ENCODED_RUSTFLAGS`.
const FLAG_SEPARATOR: &str = "\x1f";

/// A target of the fuzzer.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) name: String,
    /// Longest input worth trying, bytes.
    pub(super) longest: usize,
}

/// Where the fuzzer is built and keeps its things.
pub(super) fn directory() -> PathBuf {
    target_dir().join("fuzz")
}

/// Builds the fuzzer and says where it is.
pub(super) fn fuzzer() -> Result<PathBuf> {
    let host = host()?;
    let mut build = cargo();
    build.args(["build", "--package", PACKAGE, "--bin", PACKAGE, "--features", "libfuzzer"]);
    // With a target named, build scripts and macros go without counters.
    build.args(["--profile", "fuzz", "--target", &host, "--target-dir"]).arg(directory());
    build.env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join(FLAG_SEPARATOR));
    process::run(&mut build).context("the fuzzer could not be built: is there a C++ compiler?")?;
    Ok(directory().join(host).join("fuzz").join(PACKAGE))
}

fn host() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = process::output(Command::new(rustc).arg("-vV"))?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc does not say what host it runs on")
}

/// Writes seeds and dictionaries into `seeds` and gives the targets.
pub(super) fn targets(seeds: &Path) -> Result<Vec<Target>> {
    if seeds.exists() {
        std::fs::remove_dir_all(seeds).with_context(|| format!("emptying {}", seeds.display()))?;
    }
    let mut write = cargo();
    write.args(["run", "--quiet", "--package", PACKAGE, "--bin", "seeds", "--"]).arg(seeds);
    let said = process::output(&mut write)?;
    said.lines().map(|line| target(line).with_context(|| format!("no target: {line}"))).collect()
}

fn target(line: &str) -> Option<Target> {
    let (name, longest) = line.split_once(' ')?;
    Some(Target { name: name.to_owned(), longest: longest.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_name_and_a_length() {
        let frames = target("frames 512").map(|target| (target.name, target.longest));
        assert_eq!(frames, Some(("frames".to_owned(), 512)));
        assert!(target("frames").is_none() && target("frames long").is_none());
    }
}
