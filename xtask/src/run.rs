//! `cargo xtask run`: builds the product and runs it on this host's interfaces, in the foreground.

use crate::build;
use crate::setup::{self, Purpose};
use anyhow::{Context, Result, ensure};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// Builds, loads and runs on this host's interfaces.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The daemon's configuration.
    #[arg(long)]
    config: PathBuf,
    /// Builds for production.
    #[arg(long)]
    release: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    ensure!(arguments.config.is_file(), "{}: no such file", arguments.config.display());
    let binary = build::product(arguments.release)?;
    setup::ensure(Purpose::Lab)?;
    // In our place, so that signals and the exit code are the daemon's own.
    let failed = Command::new(&binary).arg("run").arg("--config").arg(&arguments.config).exec();
    Err(failed).with_context(|| format!("starting {}", binary.display()))
}
