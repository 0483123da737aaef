//! `cargo xtask build`: one binary, which carries its BPF object.

use crate::process;
use crate::setup::{self, Purpose};
use crate::workspace::{BINARY, PACKAGE, cargo, target_dir};
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::process::ExitCode;

/// Builds the `holdfast` binary.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Builds for production.
    #[arg(long)]
    release: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let path = product(arguments.release)?;
    let size = std::fs::metadata(&path).with_context(|| format!("reading {}", path.display()))?.len();
    const MEBIBYTE: f64 = 1_048_576.0;
    println!("{}  {:.1} MiB", path.display(), size as f64 / MEBIBYTE);
    Ok(ExitCode::SUCCESS)
}

/// Builds the product and gives the binary's path.
pub(crate) fn product(release: bool) -> Result<PathBuf> {
    setup::ensure(Purpose::Build)?;
    let mut build = cargo();
    build.args(["build", "--package", PACKAGE, "--bin", BINARY]);
    if release {
        build.arg("--release");
    }
    process::run(&mut build)?;
    let profile = if release { "release" } else { "debug" };
    Ok(target_dir().join(profile).join(BINARY))
}
