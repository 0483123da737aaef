//! Where things lie in this workspace.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Package and binary of the product.
pub(crate) const PACKAGE: &str = "ha-userspace";
pub(crate) const BINARY: &str = "holdfast";
/// Package of the engine.
pub(crate) const ENGINE_PACKAGE: &str = "holdfast-engine";
/// Package of the lab and of the suites that run on it.
pub(crate) const LAB_PACKAGE: &str = "holdfast-lab";

/// Root of the workspace.
pub(crate) fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}

/// Where cargo builds.
pub(crate) fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// The cargo that started us, in the workspace's root.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}
