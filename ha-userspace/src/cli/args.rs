//! Verbs and options, as the outside contract lists them.

use crate::config;
use clap::{Args, Parser, Subcommand, ValueEnum};
use holdfast_engine::BypassSwitch;
use std::path::PathBuf;
use tracing_subscriber::filter::LevelFilter;

/// Highly available gateways: VRRP with an XDP data plane.
#[derive(Debug, Parser)]
#[command(name = "holdfast", version, subcommand_required = true, arg_required_else_help = false)]
pub struct Arguments {
    /// Write the result as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Least severe messages to log (otherwise RUST_LOG, otherwise info)
    #[arg(long, global = true, value_name = "LEVEL", value_enum)]
    pub log_level: Option<LogLevel>,
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run the daemon in the foreground
    Run {
        /// The configuration
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Validate a configuration: every problem with its line and what to do
    Check {
        /// The configuration
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Show the node, its virtual routers, peers, links and data plane
    Status {
        #[command(flatten)]
        target: Target,
    },
    /// List transitions with their causes
    Events {
        #[command(flatten)]
        target: Target,
        /// Go on with those that happen from now on
        #[arg(long)]
        follow: bool,
        /// Only those after this number
        #[arg(long, value_name = "SEQ")]
        since: Option<u64>,
    },
    /// Explain the last transition of a virtual router, or of each
    Why {
        #[command(flatten)]
        target: Target,
        /// Name of the virtual router
        #[arg(value_name = "VR")]
        router: Option<String>,
    },
    /// Read the configuration again
    Reload {
        #[command(flatten)]
        target: Target,
    },
    /// Release a group, or everything, to a Backup
    Failover {
        #[command(flatten)]
        target: Target,
        /// Name of the group
        #[arg(value_name = "GROUP")]
        group: Option<String>,
    },
    /// Remove what a dead daemon left: addresses first, programs and pins last
    Unload {
        /// The configuration of that daemon (otherwise the default directories)
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Replace the running binary in place (not built yet)
    Handover {
        #[command(flatten)]
        target: Target,
    },
    /// Take this node out of service, or back in; it stays so across restarts
    Maintenance {
        #[command(flatten)]
        target: Target,
        state: Switch,
    },
    /// Engage or release the bypass of a link pair, or of all; a release also ends the flap latch
    Bypass {
        #[command(flatten)]
        target: Target,
        action: BypassAction,
        /// Name of the link pair
        #[arg(value_name = "PAIR")]
        pair: Option<String>,
    },
}

/// The daemon that is meant.
#[derive(Debug, Args)]
pub struct Target {
    /// The daemon's control socket
    #[arg(long, value_name = "PATH", default_value_os_t = config::default_socket())]
    pub socket: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Switch {
    On,
    Off,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum BypassAction {
    Engage,
    Release,
}

impl From<BypassAction> for BypassSwitch {
    fn from(action: BypassAction) -> Self {
        match action {
            BypassAction::Engage => BypassSwitch::Engage,
            BypassAction::Release => BypassSwitch::Release,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
            LogLevel::Trace => LevelFilter::TRACE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_verb_of_the_contract_is_understood() {
        for line in [
            "run --config f",
            "check --config f --json",
            "status --json --socket s",
            "events --json --follow",
            "events --since 7",
            "why",
            "why lan",
            "reload",
            "handover",
            "failover",
            "failover gateway --socket s",
            "maintenance on",
            "maintenance off",
            "bypass engage",
            "bypass release edge",
            "unload",
            "unload --config f",
        ] {
            let words = std::iter::once("holdfast").chain(line.split(' '));
            assert!(Arguments::try_parse_from(words).is_ok(), "{line}");
        }
        for line in ["", "run", "check", "fly", "maintenance", "bypass", "status extra", "events --since x"] {
            let words = std::iter::once("holdfast").chain(line.split_whitespace());
            assert_eq!(Arguments::try_parse_from(words).unwrap_err().exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn the_default_socket_is_that_of_the_default_configuration() {
        let arguments = Arguments::try_parse_from(["holdfast", "status"]).unwrap();
        let Verb::Status { target } = arguments.verb else { panic!("status") };
        assert_eq!(target.socket, PathBuf::from("/run/holdfast/control.sock"));
    }
}
