//! The `holdfast` binary: the command line over the library, and the one place where both meet the daemon.

use holdfast::cli::{self, Daemon};
use holdfast::runtime;
use std::process::ExitCode;

/// The daemon's entry points.
const DAEMON: Daemon = Daemon { run: runtime::run, unload: runtime::unload };

fn main() -> ExitCode {
    cli::main(std::env::args_os(), DAEMON)
}
