//! `cargo xtask setup`: installs what is missing, says what and why, and does nothing when nothing is.
//!
//! Checks look at files only, so that the verbs that call this first pay next to nothing. Installing is by apt where
//! there is apt, by rustup and cargo elsewhere; services of installed packages are kept from starting.

mod apt;
mod requirements;
mod toolchain;

use anyhow::Result;
use clap::ValueEnum;
use requirements::{REQUIREMENTS, Requirement};
use std::process::ExitCode;

/// Installs what building, the lab and the tests need.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only what this purpose needs (default: everything but the VM lab).
    #[arg(long = "for", value_enum)]
    purpose: Option<Purpose>,
    /// Only says what is missing; exits 1 if anything is.
    #[arg(long)]
    check: bool,
}

/// What something is needed for. Each purpose includes the ones before it, except that guests of the VM lab need neither
/// the test suites nor the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Purpose {
    /// Compiling the product.
    Build,
    /// Running gateways in network namespaces.
    Lab,
    /// The test suites, with the real packages as peers.
    Test,
    /// Formatting and lints as `.ci/run` checks them.
    Checks,
    /// Real kernels in QEMU.
    VmLab,
}

impl Purpose {
    fn includes(self, other: Purpose) -> bool {
        match self {
            Purpose::VmLab => other == Purpose::VmLab || other <= Purpose::Lab,
            _ => other <= self,
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let purpose = arguments.purpose.unwrap_or(Purpose::Checks);
    let missing = missing_for(purpose);
    if arguments.check {
        for requirement in &missing {
            println!("missing: {} ({})", requirement.name, requirement.why);
        }
        return Ok(if missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    ensure(purpose)?;
    println!("setup: everything is in place");
    Ok(ExitCode::SUCCESS)
}

/// Installs what `purpose` still needs; silent when that is nothing.
pub(crate) fn ensure(purpose: Purpose) -> Result<()> {
    let missing = missing_for(purpose);
    if missing.is_empty() {
        return Ok(());
    }
    for requirement in &missing {
        eprintln!("setup: {} is missing: {}", requirement.name, requirement.why);
    }
    let packages: Vec<&str> = missing.iter().flat_map(|requirement| requirement.apt).copied().collect();
    apt::install(&packages)?;
    for requirement in &missing {
        if let Some(install) = requirement.install
            && !(requirement.present)()
        {
            install()?;
        }
    }
    let still: Vec<String> = missing
        .iter()
        .filter(|requirement| !(requirement.present)())
        .map(|requirement| format!("{} ({})\n    {}", requirement.name, requirement.why, requirement.by_hand))
        .collect();
    anyhow::ensure!(
        still.is_empty(),
        "could not install everything; still missing:\n  {}",
        still.join("\n  ")
    );
    Ok(())
}

fn missing_for(purpose: Purpose) -> Vec<&'static Requirement> {
    REQUIREMENTS
        .iter()
        .filter(|requirement| purpose.includes(requirement.purpose) && !(requirement.present)())
        .collect()
}
