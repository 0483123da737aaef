//! The compilers: a `core` for BPF (Debian's, prebuilt, or rustup's nightly, from source), the BPF linker, and the
//! components for checks.

use crate::process::{self, find};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

const SYSTEM_RUSTC: &str = "/usr/bin/rustc";
const TARGET: &str = "bpfel-unknown-none";
const LINKER_VERSION: &str = "0.10.3";

/// True if one of the two compilers can build for BPF.
pub(super) fn has_bpf_core() -> bool {
    system_has_bpf_core() || nightly_has_source()
}

fn system_has_bpf_core() -> bool {
    if !Path::new(SYSTEM_RUSTC).exists() {
        return false;
    }
    let asked =
        process::output(Command::new(SYSTEM_RUSTC).args(["--print", "target-libdir", "--target", TARGET]));
    let Ok(entries) = asked.map(|printed| std::fs::read_dir(printed.trim())) else { return false };
    entries.is_ok_and(|entries| {
        entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"))
    })
}

fn nightly_has_source() -> bool {
    let home = std::env::var_os("RUSTUP_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".rustup")));
    let Some(Ok(entries)) = home.map(|home| std::fs::read_dir(home.join("toolchains"))) else { return false };
    entries.flatten().any(|entry| {
        entry.file_name().to_string_lossy().starts_with("nightly")
            && entry.path().join("lib/rustlib/src/rust/library/core").is_dir()
    })
}

/// Installs rustup's nightly with the source of `core`.
pub(super) fn install_nightly() -> Result<()> {
    if find("rustup").is_none() {
        bail!(
            "no compiler for BPF: this distribution has no libstd-rust-web-dev-bpf, and rustup is not installed \
             (see https://rustup.rs)"
        );
    }
    eprintln!("setup: rustup toolchain install nightly, with rust-src");
    let mut rustup = Command::new("rustup");
    rustup.args(["toolchain", "install", "nightly", "--profile", "minimal", "--component", "rust-src"]);
    process::run(&mut rustup).context("rustup could not install a nightly: is there a network?")
}

/// Builds bpf-linker for the LLVM of the compiler that will feed it.
pub(super) fn install_bpf_linker() -> Result<()> {
    let feature = format!("rust-llvm-{}", llvm_version()?);
    eprintln!("setup: cargo install bpf-linker {LINKER_VERSION} ({feature}); this takes a minute or two");
    let mut cargo = crate::workspace::cargo();
    // Outside the workspace, whose cargo configuration is not meant for it.
    cargo.current_dir("/");
    cargo.args(["install", "bpf-linker", "--version", LINKER_VERSION, "--no-default-features"]);
    cargo.args(["--features", &feature]);
    process::run(&mut cargo).context("bpf-linker could not be built: is there a network and a C compiler?")
}

/// Major version of LLVM in the compiler for BPF.
fn llvm_version() -> Result<String> {
    let mut rustc = if system_has_bpf_core() {
        Command::new(SYSTEM_RUSTC)
    } else {
        let mut rustup = Command::new("rustup");
        rustup.args(["run", "nightly", "rustc"]);
        rustup
    };
    let said = process::output(rustc.args(["--version", "--verbose"]))?;
    major_llvm_version(&said).with_context(|| format!("no LLVM version in what the compiler said: {said}"))
}

fn major_llvm_version(said: &str) -> Option<String> {
    let version = said.lines().find_map(|line| line.strip_prefix("LLVM version: "))?;
    version.split('.').next().map(str::to_owned)
}

/// True if the cargo in use has the subcommand: beside itself, so that a rustup shim for a toolchain that lacks it does
/// not count.
pub(super) fn has_component(program: &str) -> bool {
    match std::env::var_os("CARGO") {
        Some(cargo) => Path::new(&cargo).with_file_name(program).is_file(),
        None => find(program).is_some(),
    }
}

/// Adds a component to rustup's active toolchain.
pub(super) fn add_component(name: &str) -> Result<()> {
    if find("rustup").is_none() {
        bail!("{name} is not installed, and without rustup it comes from your distribution");
    }
    eprintln!("setup: rustup component add {name}");
    process::run(Command::new("rustup").args(["component", "add", name]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_llvm_version_is_read() {
        assert_eq!(major_llvm_version("rustc 1.96\nLLVM version: 22.1.2\n"), Some("22".to_owned()));
        assert_eq!(major_llvm_version("rustc 1.96"), None);
    }
}
