//! The first process of a guest of the VM lab, and its agent.
//!
//! As process 1 of a minimal initramfs it mounts what Linux needs, loads the modules that were laid beside it, and then
//! obeys requests that come in over a virtio-serial port (see `holdfast-vm-protocol`). It must never run on a host: it
//! refuses to be anything but process 1. It decides nothing and asserts nothing; the host does.

mod agent;
mod boot;
mod programs;
mod run;
mod traffic;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    if std::process::id() != 1 {
        bail!("this is the first process of a guest of `cargo xtask vm-lab`; there is nothing to run here");
    }
    let complaints = boot::bring_up();
    for complaint in &complaints {
        eprintln!("guest: {complaint}");
    }
    let Err(error) = agent::serve(complaints);
    // The end of process 1 is a kernel panic, which ends the machine and is seen on the console.
    Err(error)
}
