//! `cargo xtask lab`: the two-gateway lab, left standing for hand work.
//!
//! A standing lab is known by its name alone: every namespace, directory and pin of it carries it, so `down` finds
//! what `up` made without a file to go stale.

use crate::setup::{self, Purpose};
use crate::{build, demo};
use anyhow::{Context, Result, bail, ensure};
use holdfast_lab::gateway_pair::{GatewayPair, Product};
use holdfast_lab::netns::{self, LabName, Namespace};
use holdfast_lab::topology::{GatewayLab, LAN_VIP, SERVER, Side};
use std::process::ExitCode;
use std::time::Duration;

/// The two-gateway lab, left standing for hand work.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Builds the lab and starts both gateways.
    Up {
        /// What runs on the gateways.
        #[arg(long, value_enum, default_value_t = Running::Holdfast)]
        with: Running,
        /// Advertisement interval.
        #[arg(long, value_parser = demo::parse_duration, default_value = "100ms")]
        interval: Duration,
        /// Name of the lab.
        #[arg(long, default_value = NAME)]
        name: String,
    },
    /// Removes the lab.
    Down {
        /// Name of the lab.
        #[arg(long, default_value = NAME)]
        name: String,
    },
    /// Opens a shell in a node: client, gwA, gwB, server or fabric; or runs a command there.
    Shell {
        /// The node.
        #[arg(default_value = "gwA")]
        node: String,
        /// Name of the lab.
        #[arg(long, default_value = NAME)]
        name: String,
        /// A command instead of a shell.
        #[arg(last = true)]
        command: Vec<String>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Running {
    Holdfast,
    Keepalived,
    Nothing,
}

/// Name of a lab when none is given.
pub(crate) const NAME: &str = "lab";
const LONGEST_NAME: usize = 16;

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    match &arguments.verb {
        Verb::Up { with, interval, name } => up(*with, *interval, name),
        Verb::Down { name } => down(name),
        Verb::Shell { node, name, command } => shell(node, name, command),
    }
}

/// The name of a standing lab that does not stand yet.
pub(crate) fn new_name(name: &str) -> Result<LabName> {
    let plain = name.chars().all(|letter| letter.is_ascii_alphanumeric());
    ensure!(
        plain && !name.is_empty() && name.len() <= LONGEST_NAME,
        "{name:?}: a lab's name is 1 to {LONGEST_NAME} letters and digits"
    );
    let lab = LabName::standing(name);
    if GatewayLab::open(lab.clone()).is_ok() {
        bail!("lab {name} stands already: `cargo xtask lab down --name {name}` removes it");
    }
    // Ruins of one that was not finished are in the way.
    netns::remove_lab(&lab);
    Ok(lab)
}

fn up(with: Running, interval: Duration, name: &str) -> Result<ExitCode> {
    setup::ensure(if with == Running::Keepalived { Purpose::Test } else { Purpose::Lab })?;
    let mut lab = GatewayLab::build_named(new_name(name)?)?;
    let product = match with {
        Running::Nothing => None,
        Running::Keepalived => Some(Product::Keepalived),
        Running::Holdfast => {
            holdfast_lab::daemon::choose_binary(&build::product(false)?);
            Some(Product::Holdfast)
        }
    };
    if let Some(product) = product {
        let mut pair = GatewayPair::start(&lab, product, interval)?;
        pair.wait_active(Side::A, Duration::from_secs(20) + interval * 10)?;
        pair.leave_running();
    }
    lab.leave_standing();
    print_hints(&lab.name, name, product);
    Ok(ExitCode::SUCCESS)
}

/// Says what can be done with a lab that was left standing.
pub(crate) fn print_hints(lab: &LabName, name: &str, product: Option<Product>) {
    println!("The lab stands: client -- lan -- gwA, gwB -- wan -- server.");
    println!("  cargo xtask lab shell gwA --name {name}           a shell in a node");
    println!("  cargo xtask lab shell client --name {name} -- ping -c 3 {SERVER}");
    println!("  cargo xtask lab shell client --name {name} -- ip neigh show {LAN_VIP}");
    println!(
        "  ip -n {} link set lan-gwA nomaster            gwA's LAN goes silent (master lan: back)",
        lab.part("fabric")
    );
    if product == Some(Product::Holdfast) {
        let directory = std::env::temp_dir().join(lab.part(&format!("{}-daemon", Side::A.label())));
        println!("  holdfast status --socket {}/run/control.sock", directory.display());
    }
    println!("  cargo xtask lab down --name {name}                removes it all");
}

fn down(name: &str) -> Result<ExitCode> {
    let removed = netns::remove_lab(&LabName::standing(name));
    if removed.is_empty() {
        println!("no lab {name} stands");
    } else {
        println!("removed {}", removed.join(", "));
    }
    Ok(ExitCode::SUCCESS)
}

fn shell(node: &str, name: &str, command: &[String]) -> Result<ExitCode> {
    let namespace = Namespace::open(&LabName::standing(name).part(node)).with_context(|| {
        format!("no node {node} in lab {name}: `cargo xtask lab up --name {name}` builds it")
    })?;
    let shell = std::env::var("SHELL").unwrap_or_else(|_| "/bin/sh".to_owned());
    let (program, arguments) = command.split_first().map_or((&shell, command), |(first, rest)| (first, rest));
    let status = namespace.command(program).args(arguments).status();
    let status = status.with_context(|| format!("starting {program} in {node}"))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
