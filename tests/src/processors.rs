//! Which processor does what, and what it costs there: threads that stay on one, and a device's receive work as a thread
//! of the kernel's that does, too.
//!
//! A veth's receive work runs wherever its peer happened to send. As a thread it has a place and a processor time.

use crate::netns::Namespace;
use anyhow::{Context, Result, ensure};
use std::process::Command;
use std::time::Duration;

/// Processors that this process may use.
pub fn count() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Keeps the calling thread on a processor. Where that is refused it goes on as it is.
pub fn stay_on(processor: usize) {
    let _ = place(0, processor);
}

/// `task` 0 is the calling thread.
fn place(task: libc::pid_t, processor: usize) -> std::io::Result<()> {
    // SAFETY: all-zero is a valid cpu_set_t, the processor's bit is inside it (CPU_SET checks), and it outlives the call.
    let placed = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(processor, &mut set);
        libc::sched_setaffinity(task, size_of_val(&set), &raw const set)
    };
    if placed == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// Lets the calling thread go behind everything else on its processor.
pub fn go_last() {
    const LAST: libc::c_int = 19;
    // SAFETY: plain system call without pointers; 0 is the calling thread. Anybody may go further back.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, LAST) };
}

/// Processor time of the calling thread.
pub fn own_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the result, and every thread has this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The receive work of a device, in a thread of the kernel's.
#[derive(Debug)]
pub struct ReceiveThread {
    tasks: Vec<libc::pid_t>,
}

impl ReceiveThread {
    /// Moves the receive work of a host's interface to a thread that stays on a processor. The interface must have GRO or
    /// XDP on. The thread goes with the interface.
    pub fn start(host: &Namespace, interface: &str, processor: usize) -> Result<Self> {
        // `ip netns exec` shows the namespace's own devices in /sys.
        let order = format!("echo 1 > /sys/class/net/{interface}/threaded");
        let before = tasks_of(interface)?;
        let output = Command::new("ip")
            .args(["netns", "exec", host.name(), "sh", "-c", &order])
            .output()
            .context("running `ip netns exec`")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "receive work of {interface} as a thread: {}", said.trim());
        let mut tasks = tasks_of(interface)?;
        tasks.retain(|task| !before.contains(task));
        ensure!(!tasks.is_empty(), "{interface} has no thread for its receive work: is GRO or XDP on?");
        for task in &tasks {
            place(*task, processor).with_context(|| format!("moving the receive work of {interface}"))?;
        }
        Ok(ReceiveThread { tasks })
    }

    /// Lets the thread go before everything of normal priority on its processor, so that nothing waits for it there.
    pub fn go_first(self) -> Result<Self> {
        const PRIORITY: libc::c_int = 1;
        let parameters = libc::sched_param { sched_priority: PRIORITY };
        for task in &self.tasks {
            // SAFETY: plain system call; `parameters` is valid for it.
            let set = unsafe { libc::sched_setscheduler(*task, libc::SCHED_FIFO, &raw const parameters) };
            ensure!(set == 0, "priority of receive work: {}", std::io::Error::last_os_error());
        }
        Ok(self)
    }

    /// Processor time used so far.
    pub fn processor_time(&self) -> Result<Duration> {
        let times = self.tasks.iter().map(|task| {
            let path = format!("/proc/{task}/schedstat");
            let text = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
            let first = text.split_whitespace().next().and_then(|word| word.parse().ok());
            first.map(Duration::from_nanos).with_context(|| format!("{path}: {text}"))
        });
        times.sum()
    }
}

/// Threads of the kernel's that do the receive work of devices of this name, in any namespace.
fn tasks_of(interface: &str) -> Result<Vec<libc::pid_t>> {
    /// The kernel cuts names off behind this many letters.
    const NAME: usize = 15;
    let mut name = format!("napi/{interface}-");
    name.truncate(NAME);
    let tasks = std::fs::read_dir("/proc").context("reading /proc")?;
    let found = tasks.flatten().filter_map(|entry| {
        let task = entry.file_name().to_str()?.parse().ok()?;
        let own = std::fs::read_to_string(entry.path().join("comm")).ok()?;
        own.starts_with(&name).then_some(task)
    });
    Ok(found.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netns::LabName;

    #[test]
    fn receive_work_becomes_a_thread_with_a_time() {
        let lab = LabName::unique();
        let (near, far) = (Namespace::create(&lab, "near").unwrap(), Namespace::create(&lab, "far").unwrap());
        crate::fabric::connect_hosts((&near, "near0"), (&far, "far0"), 1500).unwrap();
        let thread = ReceiveThread::start(&far, "far0", 0).unwrap();
        assert!(thread.processor_time().unwrap() < Duration::from_secs(1));
    }
}
