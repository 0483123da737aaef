//! Compiles the data plane (`ha-ebpf`) and hands its object to the crate as the environment variable
//! `HOLDFAST_BPF_OBJECT`, a path inside `OUT_DIR` for `include_bytes_aligned!`.
//!
//! Two toolchains can do it: Debian's `rustc`, which has a prebuilt `core` for BPF, and a rustup nightly, which builds
//! one. The first found is used; `HOLDFAST_BPF_TOOLCHAIN` (`system` or `nightly`) forces one of them.

use anyhow::{Context, Result, bail};
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "bpfel-unknown-none";
const SYSTEM_RUSTC: &str = "/usr/bin/rustc";
const LINKER: &str = "bpf-linker";
const PACKAGE: &str = "ha-ebpf";
const TOOLCHAIN_VARIABLE: &str = "HOLDFAST_BPF_TOOLCHAIN";
const SETUP_HINT: &str = "run `cargo xtask setup` to install what the data plane is built with";
/// Separator inside `CARGO_ENCODED_RUSTFLAGS`.
const FLAG_SEPARATOR: &str = "\x1f";

/// What cargo and clippy export for the host build and what would poison the nested one.
const HOST_BUILD_VARIABLES: &[&str] = &[
    "CARGO_BUILD_RUSTC_WORKSPACE_WRAPPER",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_MAKEFLAGS",
    "CARGO_TARGET_DIR",
    "CLIPPY_ARGS",
    "CLIPPY_TERMINAL_WIDTH",
    "MAKEFLAGS",
    "MFLAGS",
    "RUSTC",
    "RUSTC_LINKER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTDOC",
    "RUSTFLAGS",
];

fn main() -> Result<()> {
    let manifest_dir = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let root = manifest_dir.parent().context("ha-userspace lies inside the workspace")?;
    let out_dir = PathBuf::from(variable("OUT_DIR")?);
    watch(root);

    let object = match (env::var(TOOLCHAIN_VARIABLE).ok().as_deref(), system_toolchain()) {
        (None | Some("system"), Some(linker)) => build_with_system(root, &out_dir, &linker)?,
        (None | Some("nightly"), _) => build_with_nightly(root, &out_dir)?,
        (Some("system"), None) => {
            bail!("{SYSTEM_RUSTC} has no core for {TARGET}, or no {LINKER}: {SETUP_HINT}")
        }
        (Some(other), _) => bail!("{TOOLCHAIN_VARIABLE}={other}: expected `system` or `nightly`"),
    };
    println!("cargo:rustc-env=HOLDFAST_BPF_OBJECT={}", object.display());
    Ok(())
}

fn variable(name: &str) -> Result<OsString> {
    env::var_os(name).with_context(|| format!("{name} is not set: this is a cargo build script"))
}

fn watch(root: &Path) {
    for path in [
        "Cargo.toml",
        "ha-ebpf/src",
        "ha-ebpf/Cargo.toml",
        "ha-ebpf/Cargo.lock",
        "ha-common/src",
        "ha-common/Cargo.toml",
    ] {
        println!("cargo:rerun-if-changed={}", root.join(path).display());
    }
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed={TOOLCHAIN_VARIABLE}");
}

/// The BPF linker to use with the system's compiler; `None` unless that compiler has a `core` for BPF.
fn system_toolchain() -> Option<PathBuf> {
    let mut probe = Command::new(SYSTEM_RUSTC);
    without_host_build(&mut probe);
    let printed = probe.args(["--print", "target-libdir", "--target", TARGET]).output().ok()?;
    let library = PathBuf::from(String::from_utf8(printed.stdout).ok()?.trim());
    let has_core = fs::read_dir(library)
        .ok()?
        .filter_map(|entry| entry.ok())
        .any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"));
    if has_core { find_linker() } else { None }
}

fn find_linker() -> Option<PathBuf> {
    let on_path = env::var_os("PATH").map(|path| env::split_paths(&path).collect::<Vec<_>>());
    let cargo_home = env::var_os("CARGO_HOME").map(|home| PathBuf::from(home).join("bin"));
    let home = env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo/bin"));
    on_path
        .into_iter()
        .flatten()
        .chain(cargo_home)
        .chain(home)
        .map(|directory| directory.join(LINKER))
        .find(|candidate| candidate.is_file())
}

fn without_host_build(command: &mut Command) {
    for name in HOST_BUILD_VARIABLES {
        command.env_remove(name);
    }
}

fn build_with_system(root: &Path, out_dir: &Path, linker: &Path) -> Result<PathBuf> {
    let architecture = variable("CARGO_CFG_TARGET_ARCH")?;
    let flags = [
        format!("--cfg=bpf_target_arch=\"{}\"", architecture.to_string_lossy()),
        "-Cdebuginfo=2".to_owned(),
        "-Clink-arg=--btf".to_owned(),
        format!("-Clinker={}", linker.display()),
    ]
    .join(FLAG_SEPARATOR);
    let target_dir = out_dir.join("bpf-target");

    let mut build = Command::new(variable("CARGO")?);
    without_host_build(&mut build);
    build
        .current_dir(root.join(PACKAGE))
        .env("RUSTC", SYSTEM_RUSTC)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags)
        .args(["build", "--release", "--locked", "--target", TARGET, "--target-dir"])
        .arg(&target_dir);
    let output = build.output().with_context(|| format!("cannot start {build:?}"))?;
    if !output.status.success() {
        let messages = String::from_utf8_lossy(&output.stderr);
        bail!("building {PACKAGE} failed ({}); {SETUP_HINT} if a tool is missing\n{messages}", output.status);
    }
    copy_object(&target_dir.join(TARGET).join("release").join(PACKAGE), out_dir)
}

fn build_with_nightly(root: &Path, out_dir: &Path) -> Result<PathBuf> {
    let crate_dir = root.join(PACKAGE);
    let root_dir = crate_dir.to_str().context("the workspace's path is not UTF-8")?;
    // aya-build runs cargo in the current directory, and this crate is a workspace of its own.
    env::set_current_dir(&crate_dir).with_context(|| format!("cannot enter {root_dir}"))?;
    let package = aya_build::Package { name: PACKAGE, root_dir, ..Default::default() };
    aya_build::build_ebpf([package], aya_build::Toolchain::Nightly).context(SETUP_HINT)?;
    copy_object(&out_dir.join(PACKAGE), out_dir)
}

fn copy_object(built: &Path, out_dir: &Path) -> Result<PathBuf> {
    let object = out_dir.join("holdfast.bpf.o");
    fs::copy(built, &object)
        .with_context(|| format!("no BPF object at {}; {SETUP_HINT}", built.display()))?;
    Ok(object)
}
