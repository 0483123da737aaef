//! `cargo xtask conformance`: writes the conformance page from its table, and says what the table lacks.

use crate::workspace::root;
use anyhow::{Context, Result};
use holdfast_lab::conformance::{self, PAGE};
use std::process::ExitCode;

/// Writes docs/conformance.md from tests/conformance/table.toml.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Writes nothing; fails if the page is not what the table gives.
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let root = root();
    if !arguments.check {
        let page = conformance::page(&root)?;
        std::fs::write(root.join(PAGE), page).with_context(|| format!("writing {PAGE}"))?;
    }
    let problems = conformance::problems(&root)?;
    for problem in &problems {
        println!("{problem}");
    }
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
