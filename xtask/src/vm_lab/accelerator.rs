//! Whether guests run on the processor (KVM) or are emulated (TCG). A /dev/kvm that opens is no proof: some hosts offer
//! one on which no guest ever gets anywhere, so a kernel is started on it once and must reach the end of its start.

use super::QEMU;
use anyhow::{Result, bail};
use clap::ValueEnum;
use holdfast_lab::process::Process;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const DEVICE: &str = "/dev/kvm";
/// A kernel without a first file system panics within two seconds on any processor of this century.
const PROBE_WITHIN: Duration = Duration::from_secs(10);
/// What the probe found, valid until the host starts again.
const RECORD: &str = "accelerator";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// What a kernel says that got through its start and found nothing to mount.
const REACHED: &str = "Kernel panic - not syncing: VFS";

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Choice {
    /// KVM where a kernel starts on it.
    Auto,
    Kvm,
    Tcg,
}

/// What runs the guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accelerator {
    Kvm,
    Tcg,
}

impl Accelerator {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Accelerator::Kvm => "kvm",
            Accelerator::Tcg => "tcg",
        }
    }

    /// QEMU's options. The emulated processor has no `cmpxchg16b`: QEMU 7.2 now and then returns from an emulated one with
    /// garbage in the flags, and the guest's kernel dies of it.
    pub(crate) fn options(self) -> [&'static str; 4] {
        match self {
            Accelerator::Kvm => ["-accel", "kvm", "-cpu", "host"],
            Accelerator::Tcg => ["-accel", "tcg,thread=single,tb-size=128", "-cpu", "qemu64,+rdrand,-cx16"],
        }
    }

    /// What a kernel must be told. Where the host stalls, an emulated timer that is checked seems broken, which ends the
    /// start, and a time stamp counter that is calibrated goes at a wrong speed for minutes.
    pub(crate) fn kernel_parameters(self) -> &'static str {
        match self {
            Accelerator::Kvm => "",
            Accelerator::Tcg => "no_timer_check tsc=unstable",
        }
    }
}

pub(crate) fn choose(choice: Choice, kernel_image: &Path, work: &Path) -> Result<Accelerator> {
    match choice {
        Choice::Tcg => return Ok(Accelerator::Tcg),
        Choice::Kvm if !device_opens() => {
            bail!("{DEVICE} cannot be opened: run as root on a host with KVM, or leave `--accel kvm` out")
        }
        Choice::Kvm => return Ok(Accelerator::Kvm),
        Choice::Auto if !device_opens() => return Ok(Accelerator::Tcg),
        Choice::Auto => {}
    }
    let boot = fs::read_to_string(BOOT_ID).unwrap_or_default();
    let record = work.join(RECORD);
    let known = fs::read_to_string(&record).unwrap_or_default();
    let found = match known.split_once(' ') {
        Some(("kvm", of)) if of == boot => Accelerator::Kvm,
        Some(("tcg", of)) if of == boot => Accelerator::Tcg,
        _ => probe(kernel_image, work)?,
    };
    // Without a record the next start probes again.
    let _ = fs::write(&record, format!("{} {boot}", found.name()));
    Ok(found)
}

fn device_opens() -> bool {
    File::options().read(true).write(true).open(DEVICE).is_ok()
}

fn probe(kernel_image: &Path, work: &Path) -> Result<Accelerator> {
    eprintln!("vm-lab: trying {DEVICE}");
    let log = work.join("kvm-probe.log");
    let _ = fs::remove_file(&log);
    let mut qemu = Command::new(QEMU);
    qemu.args(Accelerator::Kvm.options());
    qemu.args(["-machine", "q35", "-nodefaults", "-no-reboot", "-display", "none", "-m", "256"]);
    qemu.args(["-serial", "stdio", "-append", "console=ttyS0 panic=-1", "-kernel"]).arg(kernel_image);
    let mut process = Process::spawn("the KVM probe", qemu, &log)?;
    let ended = process.wait(PROBE_WITHIN).is_ok();
    if ended && process.log().contains(REACHED) {
        return Ok(Accelerator::Kvm);
    }
    eprintln!("vm-lab: no kernel starts on {DEVICE} ({}): guests are emulated", log.display());
    Ok(Accelerator::Tcg)
}
