//! The `holdfast` binary: the command line over the library, and the one place where both meet the daemon.

use holdfast::cli::{self, Daemon};
use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main(std::env::args_os(), DAEMON)
}

/// The daemon's entry points.
const DAEMON: Daemon = Daemon { run: daemon::run, unload: daemon::unload };

/// A build without the daemon's runtime: it validates and talks to others, and says so when asked to serve.
mod daemon {
    use holdfast::config::Loaded;
    use holdfast::config::validated::Node;
    use std::path::Path;

    pub(super) fn run(_: Loaded, _: &Path) -> anyhow::Result<()> {
        anyhow::bail!("this build has no data plane and cannot serve (use a complete build)")
    }

    pub(super) fn unload(_: &Node) -> anyhow::Result<Vec<String>> {
        anyhow::bail!("this build has no data plane and removed nothing (use a complete build)")
    }
}
