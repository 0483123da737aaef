//! Installing Debian packages, without letting their services start.

use crate::process;
use anyhow::{Context, Result};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// Asked by package scripts whether a service may start; 101 says no.
const POLICY: &str = "/usr/sbin/policy-rc.d";
const DENY: &str = "#!/bin/sh\nexit 101\n";
const EXECUTABLE: u32 = 0o755;
/// Services of packages that are installed only to be run in the lab.
const LAB_ONLY_SERVICES: &[&str] = &["keepalived", "frr"];

/// Installs those of `packages` that the distribution has. Does nothing where there is no apt.
pub(super) fn install(packages: &[&str]) -> Result<()> {
    if packages.is_empty() || process::find("apt-get").is_none() {
        return Ok(());
    }
    anyhow::ensure!(
        is_root(),
        "installing {} needs root: run `sudo apt-get install {}` and then this again",
        packages.join(", "),
        packages.join(" ")
    );
    process::output(apt().arg("update"))
        .context("the package lists could not be fetched: is there a network?")?;
    let available: Vec<&str> = packages.iter().copied().filter(|package| has_candidate(package)).collect();
    for package in packages.iter().filter(|package| !available.contains(package)) {
        eprintln!("setup: this distribution has no package {package}");
    }
    if available.is_empty() {
        return Ok(());
    }
    eprintln!("setup: apt-get install {}", available.join(" "));
    let _no_services = Policy::deny()?;
    process::output(apt().args(["install", "--yes", "--no-install-recommends"]).args(&available))
        .context("apt could not install the packages")?;
    for service in LAB_ONLY_SERVICES.iter().filter(|service| available.contains(service)) {
        keep_off(service);
    }
    Ok(())
}

fn apt() -> Command {
    let mut apt = Command::new("apt-get");
    apt.env("DEBIAN_FRONTEND", "noninteractive").arg("--quiet");
    apt
}

fn has_candidate(package: &str) -> bool {
    let shown = process::output(Command::new("apt-cache").args(["policy", package])).unwrap_or_default();
    shown.contains("Candidate:") && !shown.contains("Candidate: (none)")
}

/// Keeps a service that came with the package from starting at the next boot.
fn keep_off(service: &str) {
    if Path::new("/run/systemd/system").exists() {
        // A service that cannot be disabled is not running either: the policy kept it from starting.
        let _ = process::output(Command::new("systemctl").args(["disable", service]));
    }
}

pub(super) fn is_root() -> bool {
    process::output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

/// A start-nothing policy for the time of an installation; one that exists already is left alone.
struct Policy {
    made: bool,
}

impl Policy {
    fn deny() -> Result<Self> {
        let path = Path::new(POLICY);
        if path.exists() {
            return Ok(Policy { made: false });
        }
        std::fs::write(path, DENY).with_context(|| format!("writing {POLICY}"))?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(EXECUTABLE))?;
        Ok(Policy { made: true })
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        if self.made {
            let _ = std::fs::remove_file(POLICY);
        }
    }
}
