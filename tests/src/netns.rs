//! Network namespaces that end with the value that made them.
//!
//! Names carry the creator's pid (`hf<pid>-<lab>-<node>`), so that what a killed process left behind is recognised and
//! swept by the next one. Programs are started by `setns`, not by `ip netns exec`, which would hide /sys/fs/bpf.

use crate::cleanup::{self, Leftover, Ticket};
use crate::ip_tool;
use crate::workdir;
use anyhow::{Context, Result};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Once};

const NETNS_DIR: &str = "/run/netns";
const BPF_ROOT: &str = "/sys/fs/bpf";
/// Names made for one process's life begin with this and its pid.
const PREFIX: &str = "hf";

/// A prefix for the names of one lab: unique in the system, recognisable when its creator is gone.
#[derive(Clone, Debug)]
pub struct LabName(String);

impl LabName {
    /// A name that ends with this process.
    pub fn unique() -> Self {
        static LABS: AtomicU32 = AtomicU32::new(0);
        static SWEEP: Once = Once::new();
        SWEEP.call_once(sweep_stale);
        LabName(format!("{PREFIX}{}-{}", std::process::id(), LABS.fetch_add(1, Ordering::Relaxed)))
    }

    /// A name that the sweep leaves alone, for a lab that is left standing.
    pub fn standing(name: &str) -> Self {
        LabName(format!("{PREFIX}lab-{name}"))
    }

    /// The full name of `part` of this lab.
    pub fn part(&self, part: &str) -> String {
        format!("{}-{part}", self.0)
    }
}

/// A named network namespace with its loopback up.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    handle: Arc<File>,
    ticket: Option<Ticket>,
}

impl Namespace {
    /// Makes the namespace `part` of `lab`. Needs root.
    pub fn create(lab: &LabName, part: &str) -> Result<Self> {
        let name = lab.part(part);
        let ticket = cleanup::register(Leftover::Namespace(name.clone()));
        ip_tool::ip(&["netns", "add", &name])
            .context("making a network namespace needs root and iproute2")?;
        let mut namespace = Self::open(&name)?;
        namespace.ticket = Some(ticket);
        ip_tool::batch(&name, &["link set lo up".to_owned()])?;
        // Addresses must be usable at once, and only those that the lab gives.
        for (key, value) in
            [("accept_dad", "0"), ("accept_ra", "0"), ("autoconf", "0"), ("dad_transmits", "0")]
        {
            namespace.sysctl(&format!("net/ipv6/conf/default/{key}"), value)?;
            namespace.sysctl(&format!("net/ipv6/conf/all/{key}"), value)?;
        }
        Ok(namespace)
    }

    /// Opens an existing namespace, which then stays when the value is dropped.
    pub fn open(name: &str) -> Result<Self> {
        let path = path_of(name);
        let handle = File::open(&path).with_context(|| format!("opening {}", path.display()))?;
        Ok(Namespace { name: name.to_owned(), handle: Arc::new(handle), ticket: None })
    }

    /// The name `ip netns` knows.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Lets the namespace outlive this value and this process.
    pub fn leave_standing(&mut self) {
        self.ticket = None;
    }

    /// Runs `work` on a thread of its own inside the namespace. Sockets opened there stay in it. A panic passes through.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let worker = scope.spawn(move || {
                set_namespace(&self.handle)?;
                Ok::<T, std::io::Error>(work())
            });
            match worker.join() {
                Ok(result) => result.with_context(|| format!("entering namespace {}", self.name)),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// A command that will run inside the namespace, with /sys/fs/bpf as outside.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let handle = Arc::clone(&self.handle);
        let mut command = Command::new(program);
        // SAFETY: setns is async-signal-safe, and the closure keeps the descriptor open.
        unsafe { command.pre_exec(move || set_namespace(&handle)) };
        command
    }

    /// Runs `ip ARGUMENTS` on this namespace and gives what it printed.
    pub fn ip(&self, arguments: &str) -> Result<String> {
        let mut all = vec!["-n", self.name.as_str()];
        all.extend(arguments.split_whitespace());
        ip_tool::ip(&all)
    }

    /// Runs several `ip` lines at once.
    pub fn ip_batch(&self, lines: &[String]) -> Result<()> {
        ip_tool::batch(&self.name, lines)
    }

    /// Sets a kernel parameter of this namespace, by its path under /proc/sys.
    pub fn sysctl(&self, path: &str, value: &str) -> Result<()> {
        let file = Path::new("/proc/sys").join(path);
        self.enter(|| std::fs::write(&file, value))?
            .with_context(|| format!("setting {path} = {value} in {}", self.name))
    }

    /// Says whether `address` stands on `interface`.
    pub fn has_address(&self, interface: &str, address: &str) -> bool {
        let wanted = format!(" {address}/");
        self.ip(&format!("-o addr show dev {interface}")).is_ok_and(|shown| shown.contains(&wanted))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if self.ticket.is_some() {
            delete(&self.name);
        }
    }
}

fn path_of(name: &str) -> PathBuf {
    Path::new(NETNS_DIR).join(name)
}

fn set_namespace(handle: &File) -> std::io::Result<()> {
    // SAFETY: plain system call on an open descriptor.
    match unsafe { libc::setns(handle.as_raw_fd(), libc::CLONE_NEWNET) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Ends the processes inside the namespace and removes its name. One that is gone already is no error.
pub(crate) fn delete(name: &str) {
    if !path_of(name).exists() {
        return;
    }
    for pid in processes_in(name) {
        // SAFETY: plain system call on a process that lives in a namespace of this lab.
        unsafe { libc::kill(pid, libc::SIGKILL) };
    }
    let _ = ip_tool::ip(&["netns", "del", name]);
}

/// Processes whose main thread lives in the named namespace, this one excepted.
fn processes_in(name: &str) -> Vec<i32> {
    let Ok(wanted) = std::fs::metadata(path_of(name)) else { return Vec::new() };
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let own = std::process::id() as i32;
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| *pid != own)
        .filter(|pid| {
            std::fs::metadata(format!("/proc/{pid}/ns/net"))
                .is_ok_and(|found| found.ino() == wanted.ino() && found.dev() == wanted.dev())
        })
        .collect()
}

/// Removes all parts of a lab: namespaces, what runs in them, and pins. The way down for a lab left standing.
pub fn remove_lab(lab: &LabName) -> Vec<String> {
    let prefix = lab.part("");
    let found = names_in(NETNS_DIR, |name| name.starts_with(&prefix));
    found.iter().for_each(|name| delete(name));
    remove_directories(|name| name.starts_with(&prefix));
    found
}

/// Removes what dead processes left behind.
pub fn sweep_stale() {
    for name in names_in(NETNS_DIR, is_stale) {
        delete(&name);
    }
    remove_directories(is_stale);
}

fn remove_directories(wanted: impl Fn(&str) -> bool) {
    for root in [PathBuf::from(BPF_ROOT), workdir::root()] {
        for name in names_in(&root, &wanted) {
            cleanup::remove_directory(&root.join(name));
        }
    }
}

fn names_in(directory: impl AsRef<Path>, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| wanted(name))
        .collect()
}

/// True for a name that carries the pid of a process that no longer exists, or that only now got our own pid.
fn is_stale(name: &str) -> bool {
    creator(name)
        .is_some_and(|pid| pid == std::process::id() || !Path::new("/proc").join(pid.to_string()).exists())
}

fn creator(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split_once('-')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_creator_is_read_from_the_name() {
        assert_eq!(creator("hf123-0-gwA"), Some(123));
        assert_eq!(creator("hflab-demo-gwA"), None);
        assert_eq!(creator("other"), None);
    }

    #[test]
    fn a_living_creator_is_not_stale() {
        assert!(!is_stale("hf1-0-gwA"));
        assert!(is_stale("hf4194999-0-gwA"));
        assert!(!is_stale("hflab-demo-gwA"));
    }
}
