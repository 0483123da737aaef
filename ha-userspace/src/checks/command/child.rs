//! A started process: its end, its process group, and that no zombie stays behind.
//!
//! The process leads a group of its own. The group is always killed before the leader is collected: until then the
//! leader, dead or not, keeps the group's number from being given to anybody else.

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// How long a drop waits for a killed process; then a thread of its own goes on waiting.
const DROP_PATIENCE_MILLIS: u16 = 100;
/// Between attempts where the runtime cannot watch the process.
const POLL_PAUSE: Duration = Duration::from_millis(5);
const REAPER_NAME: &str = "hf-checks-reap";
const REAPER_STACK: usize = 64 << 10;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    Status(i32),
    Signal(i32),
    /// Somebody else collected it.
    Lost,
}

/// A process that leads its group. Dropping it kills the group and collects the leader.
#[derive(Debug)]
pub(super) struct Child {
    pid: Pid,
    /// `None` once the leader was collected.
    pidfd: Option<OwnedFd>,
}

impl Child {
    pub(super) fn new(pid: Pid, pidfd: OwnedFd) -> Self {
        Self { pid, pidfd: Some(pidfd) }
    }

    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// Kills every process of the group, at once.
    pub(super) fn kill_group(&self) {
        if self.pidfd.is_some() {
            // Refused only where nobody is left.
            let _ = killpg(self.pid, Signal::SIGKILL);
        }
    }

    /// Waits for the leader's end, kills what it left of its group, and collects it. May be dropped and called again.
    pub(super) async fn ended(&mut self) -> io::Result<Exit> {
        let Some(pidfd) = &self.pidfd else { return Ok(Exit::Lost) };
        // SAFETY: the descriptor is borrowed, so it stays open and the same until `watched` is dropped below.
        let watched = unsafe { AsyncFd::register_with_interest(pidfd.as_fd(), Interest::READABLE)? };
        loop {
            let mut ready = watched.readable().await?;
            if readable(pidfd, 0) {
                break;
            }
            ready.clear_ready();
            tokio::time::sleep(POLL_PAUSE).await;
        }
        drop(watched);
        Ok(self.collect())
    }

    /// The leader has ended.
    fn collect(&mut self) -> Exit {
        self.kill_group();
        let Some(pidfd) = self.pidfd.take() else { return Exit::Lost };
        reap(&pidfd, libc::WNOHANG)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill_group();
        let Some(pidfd) = self.pidfd.take() else { return };
        if readable(&pidfd, DROP_PATIENCE_MILLIS) {
            reap(&pidfd, libc::WNOHANG);
            return;
        }
        tracing::warn!(pid = %self.pid, "a command of a check was killed and does not end: it hangs in the kernel");
        let wait = move || reap(&pidfd, 0);
        // Without a thread, the zombie stays until the daemon ends.
        let _ = std::thread::Builder::new().name(REAPER_NAME.to_owned()).stack_size(REAPER_STACK).spawn(wait);
    }
}

/// Whether the process has ended, after `patience` milliseconds at most.
fn readable(pidfd: &OwnedFd, patience: u16) -> bool {
    use nix::poll::{PollFd, PollFlags, poll};
    loop {
        let mut watched = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
        match poll(&mut watched, patience) {
            Err(Errno::EINTR) => {}
            ended => return ended.is_ok_and(|count| count > 0),
        }
    }
}

/// Collects the process. Not by `nix`, which fails on a real-time signal.
fn reap(pidfd: &OwnedFd, flags: i32) -> Exit {
    // SAFETY: integers and unions of integers only.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let id = pidfd.as_raw_fd() as libc::id_t;
    loop {
        // SAFETY: `info` is valid for the whole call, and the descriptor is open.
        let waited = unsafe { libc::waitid(libc::P_PIDFD, id, &mut info, libc::WEXITED | flags) };
        match Errno::result(waited) {
            Ok(_) => break,
            Err(Errno::EINTR) => {}
            Err(_) => return Exit::Lost,
        }
    }
    // SAFETY: after a successful waitid this member is the one that is filled.
    let status = unsafe { info.si_status() };
    match info.si_code {
        libc::CLD_EXITED => Exit::Status(status),
        libc::CLD_KILLED | libc::CLD_DUMPED => Exit::Signal(status),
        _ => Exit::Lost,
    }
}
