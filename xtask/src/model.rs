//! `cargo xtask model`: visits every state that a bounded number of faults leads to, at full speed.

use crate::workspace::cargo;
use anyhow::{Context, Result};
use std::process::ExitCode;

/// Checks election, lease and vouching in every state that faults can lead to.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// More faults, further apart: takes an hour or so and some gigabytes.
    #[arg(long)]
    deep: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let mut command = cargo();
    command.args(["run", "--quiet", "--release", "--package", "holdfast-model"]);
    if arguments.deep {
        command.args(["--", "--deep"]);
    }
    let status = command.status().context("starting the model checker")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
