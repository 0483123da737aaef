//! A lab that is left standing, the way into its guests, and the end of QEMU processes whose creator is gone.
//!
//! Directories carry their creator's process id, as in the namespace lab, or the name of the one lab that may stand.
//! A QEMU process is ended only if the number in its file belongs to one that was started with that directory.

use super::agent::Agent;
use super::kernels::Kernel;
use super::machine::agent_socket;
use super::topology::{CONTROL_SOCKET, Node, VmLab};
use super::{QEMU, Workshop};
use anyhow::{Context, Result, bail, ensure};
use holdfast_lab::netns::{self, LabName};
use holdfast_lab::topology::SERVER;
use holdfast_lab::workdir::{self, WorkDir};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Last word of the names of directories with sockets of guests.
pub(super) const PART: &str = "vm";
/// Names of namespace labs are letters and digits: this is none.
const NAME: &str = "qemu_lab";
const PREFIX: &str = "hf";
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

fn standing_dir() -> PathBuf {
    workdir::root().join(LabName::standing(NAME).part(PART))
}

pub(super) fn up(workshop: &Workshop<'_>, kernel: Kernel) -> Result<()> {
    let path = standing_dir();
    ensure!(!path.exists(), "the VM lab stands already: `cargo xtask vm-lab down` ends it");
    let mut directory = WorkDir::create(&LabName::standing(NAME), PART)?;
    let (hardware, _) = workshop.hardware(kernel, directory.path())?;
    let mut lab = VmLab::start(hardware)?;
    lab.wait_owner()?;
    lab.leave_running();
    directory.leave_standing();
    println!("The VM lab stands on {}: client -- lan -- gwA, gwB -- wan -- server.", lab.kernel_release);
    println!("  cargo xtask vm-lab exec gwA -- holdfast status --socket {CONTROL_SOCKET}");
    println!("  cargo xtask vm-lab exec client -- ping -c 3 {SERVER}");
    println!("  cargo xtask vm-lab down                      ends it");
    Ok(())
}

pub(super) fn down() -> Result<()> {
    let path = standing_dir();
    if !path.exists() {
        println!("no VM lab stands");
        return Ok(());
    }
    let ended = end_in(&path);
    netns::remove_lab(&LabName::standing(NAME));
    println!("ended {ended} QEMU processes");
    Ok(())
}

pub(super) fn exec(node: &str, command: &[String]) -> Result<ExitCode> {
    let names = Node::ALL.map(Node::name);
    ensure!(names.contains(&node), "{node}: no such guest; there are {}", names.join(", "));
    let socket = agent_socket(&standing_dir(), node);
    let mut agent = Agent::connect(node, &socket, CONNECT_WITHIN)
        .context("is the VM lab up? `cargo xtask vm-lab up` starts it")?;
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    let ran = agent.run(&words)?;
    print!("{}", ran.stdout);
    eprint!("{}", ran.stderr);
    match ran.code {
        Some(code) => Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))),
        None => bail!("{node}: `{}` was ended by a signal", command.join(" ")),
    }
}

/// Ends guests whose creator was killed before it could.
pub(super) fn sweep() {
    let Ok(entries) = fs::read_dir(workdir::root()) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_str().and_then(creator).is_some_and(|pid| !process_dir(pid).exists()) {
            end_in(&entry.path());
            // What cannot be removed is in nobody's way.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// The process that made a directory of guests for its own time: `hf123-0-vm`.
fn creator(name: &str) -> Option<u32> {
    let (pid, rest) = name.strip_prefix(PREFIX)?.split_once('-')?;
    (rest.rsplit('-').next() == Some(PART)).then(|| pid.parse().ok())?
}

fn process_dir(pid: u32) -> PathBuf {
    Path::new("/proc").join(pid.to_string())
}

/// Ends the QEMU processes of a directory; gives how many there were.
fn end_in(directory: &Path) -> usize {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    let mut ended = 0;
    for path in entries.flatten().map(|entry| entry.path()) {
        let is_pid_file = path.extension().is_some_and(|extension| extension == "pid");
        let pid = fs::read_to_string(&path).ok().filter(|_| is_pid_file);
        let Some(pid) = pid.and_then(|text| text.trim().parse::<i32>().ok()) else { continue };
        if is_of(pid, directory) && kill(Pid::from_raw(pid), Signal::SIGKILL).is_ok() {
            ended += 1;
        }
    }
    ended
}

/// Whether a process is a QEMU that was started with this directory: its number may be somebody else's by now.
fn is_of(pid: i32, directory: &Path) -> bool {
    let line = fs::read(Path::new("/proc").join(pid.to_string()).join("cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line);
    line.split('\0').next().is_some_and(|program| program.ends_with(QEMU))
        && line.contains(&directory.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_directories_of_guests_have_a_creator() {
        for (name, pid) in
            [("hf123-0-vm", Some(123)), ("hf123-0-gwA", None), ("hflab-qemu_lab-vm", None), ("other", None)]
        {
            assert_eq!(creator(name), pid, "{name}");
        }
    }

    #[test]
    fn a_process_that_is_no_guest_is_left_alone() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(!is_of(own, Path::new("/")));
    }
}
