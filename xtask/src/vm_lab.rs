//! `cargo xtask vm-lab`: real kernels in QEMU, for what namespaces on one kernel cannot show.
//!
//! Kernels are Debian's packages, fetched by apt into `target/vm-lab`; guests start from an initramfs with this
//! workspace's binaries and do what their agent is told. Nothing leaves the host: wires are unix sockets.

mod accelerator;
mod agent;
mod archive;
mod cpio;
mod image;
mod kernel_files;
mod kernels;
mod load;
mod machine;
mod manual;
mod scenario;
mod standing;
mod topology;

use crate::build;
use crate::setup::{self, Purpose};
use crate::workspace::{root, target_dir};
use accelerator::Choice;
use anyhow::{Context, Result, ensure};
use holdfast_lab::Moment;
use holdfast_lab::netns::LabName;
use holdfast_lab::workdir::WorkDir;
use image::Userland;
use kernels::Kernel;
use machine::Hardware;
use scenario::ScenarioResult;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use topology::VmLab;

/// The emulator.
const QEMU: &str = "qemu-system-x86_64";
/// Overrides where packages come from.
const MIRROR_VARIABLE: &str = "HOLDFAST_DEBIAN_MIRROR";
const MANUAL: &str = "docs/vm-lab.md";

/// Real kernels in QEMU.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, clap::Args)]
struct Options {
    /// Debian mirror (default: $HOLDFAST_DEBIAN_MIRROR, the host's, or deb.debian.org).
    #[arg(long, global = true)]
    mirror: Option<String>,
    /// What runs the guests.
    #[arg(long, global = true, value_enum, default_value_t = Choice::Auto)]
    accel: Choice,
    /// Fetches the present kernel packages even if others are there.
    #[arg(long, global = true)]
    refresh: bool,
    /// Puts the production build into the guests.
    #[arg(long, global = true)]
    release: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Starts two gateways between a client and a server, and leaves them running.
    Up {
        /// The kernel of all four.
        #[arg(long, value_enum, default_value_t = Kernel::Newest)]
        kernel: Kernel,
    },
    /// Ends what `up` started, and what a killed run left.
    Down,
    /// Runs a command in a guest that `up` started: client, gwA, gwB or server.
    Exec {
        /// The guest.
        node: String,
        /// The command; there is no shell.
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Runs the tests on real kernels.
    Test {
        /// Only this test.
        #[arg(long, value_enum)]
        only: Vec<Subject>,
        /// Only on this kernel; may be given several times.
        #[arg(long, value_enum)]
        kernel: Vec<Kernel>,
        /// Writes the tables of results, of all kernels, into the manual.
        #[arg(long, conflicts_with = "kernel")]
        record: bool,
    },
}

/// What is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Subject {
    /// Every program passes the verifier and attaches natively.
    Load,
    /// A gateway loses its power, comes back and hands over; the other serves.
    Scenario,
}

impl Subject {
    const ALL: [Subject; 2] = [Subject::Load, Subject::Scenario];
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    ensure!(
        cfg!(target_arch = "x86_64"),
        "the VM lab's guests run this host's binaries on an x86-64 kernel: it needs an x86-64 host"
    );
    standing::sweep();
    match &arguments.verb {
        Verb::Up { kernel } => {
            standing::up(&Workshop::open(&arguments.options)?, *kernel).map(|()| ExitCode::SUCCESS)
        }
        Verb::Down => standing::down().map(|()| ExitCode::SUCCESS),
        Verb::Exec { node, command } => standing::exec(node, command),
        Verb::Test { only, kernel, record } => test(&arguments.options, only, kernel, *record),
    }
}

/// Where everything of the VM lab is kept.
fn work_dir() -> PathBuf {
    target_dir().join("vm-lab")
}

/// What is needed to start guests: directories, programs, kernels.
struct Workshop<'a> {
    options: &'a Options,
    work: PathBuf,
    userland: Userland,
}

impl<'a> Workshop<'a> {
    fn open(options: &'a Options) -> Result<Self> {
        setup::ensure(Purpose::VmLab)?;
        let work = work_dir();
        for directory in ["images", "logs"] {
            let path = work.join(directory);
            fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
        }
        let product = build::product(options.release)?;
        let userland = Userland::collect(&product, options.release, &work.join("images"))?;
        Ok(Workshop { options, work, userland })
    }

    /// The hardware of guests with a kernel, and Debian's version of that.
    fn hardware(&self, kernel: Kernel, run_dir: &Path) -> Result<(Hardware, String)> {
        let asked = self.options.mirror.clone().or_else(|| std::env::var(MIRROR_VARIABLE).ok());
        let mirror = asked.unwrap_or_else(archive::host_mirror);
        let files = kernel_files::prepare(kernel, &self.work, &mirror, self.options.refresh)?;
        let initramfs = self.work.join("images").join(format!("{}.cpio", kernel.label()));
        self.userland.write_image(&files, &initramfs)?;
        let accelerator = accelerator::choose(self.options.accel, &files.image, &self.work)?;
        let hardware = Hardware {
            accelerator,
            kernel_image: files.image,
            initramfs,
            run_dir: run_dir.to_owned(),
            log_dir: self.work.join("logs"),
            label: kernel.label().to_owned(),
        };
        Ok((hardware, files.version))
    }
}

fn test(options: &Options, only: &[Subject], kernels: &[Kernel], record: bool) -> Result<ExitCode> {
    let subjects = if only.is_empty() { &Subject::ALL } else { only };
    let kernels = if kernels.is_empty() { &Kernel::ALL } else { kernels };
    let workshop = Workshop::open(options)?;
    let mut passed = true;
    if subjects.contains(&Subject::Load) {
        passed &= test_load(&workshop, kernels, record)?;
    }
    if subjects.contains(&Subject::Scenario) {
        passed &= test_scenario(&workshop, kernels, record)?;
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn test_load(workshop: &Workshop<'_>, kernels: &[Kernel], record: bool) -> Result<bool> {
    let mut results = Vec::new();
    for kernel in kernels {
        let directory = run_dir()?;
        let (hardware, version) = workshop.hardware(*kernel, directory.path())?;
        eprintln!("vm-lab: load on {} ({})", kernel.label(), hardware.accelerator.name());
        match load::run(&hardware, kernel.label(), &version) {
            Ok(result) => results.push(result),
            // Told, and the other kernels have their turn.
            Err(error) => println!("load: no result on {}: {error:#}", kernel.label()),
        }
    }
    println!("{}", load::table(&results));
    if record {
        manual::record(&root().join(MANUAL), "load", &load::table(&results))?;
    }
    let passed = results.iter().filter(|result| result.passed()).count();
    println!("load: passed on {passed} of {} kernels", kernels.len());
    Ok(passed == kernels.len())
}

fn test_scenario(workshop: &Workshop<'_>, kernels: &[Kernel], record: bool) -> Result<bool> {
    let mut results = Vec::new();
    for kernel in kernels {
        let directory = run_dir()?;
        let (hardware, _) = workshop.hardware(*kernel, directory.path())?;
        println!("scenario on {} ({})", kernel.label(), hardware.accelerator.name());
        let begin = Moment::now();
        match run_scenario(hardware) {
            Ok(result) => {
                println!("scenario: passed on {} in {} s", result.release, begin.elapsed().as_secs());
                results.push(result);
            }
            // Told, and the other kernels have their turn.
            Err(error) => println!("scenario: failed on {}: {error:#}", kernel.label()),
        }
    }
    if record {
        manual::record(&root().join(MANUAL), "scenario", &scenario::table(&results))?;
    }
    Ok(results.len() == kernels.len())
}

fn run_scenario(hardware: Hardware) -> Result<ScenarioResult> {
    let mut lab = VmLab::start(hardware)?;
    let steps = scenario::run(&mut lab)?;
    Ok(ScenarioResult { release: lab.kernel_release, steps })
}

/// A directory for sockets that ends with this process.
fn run_dir() -> Result<WorkDir> {
    WorkDir::create(&LabName::unique(), standing::PART)
}
