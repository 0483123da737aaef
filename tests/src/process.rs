//! A program under test: started in its own process group, its output in a file, killed when the value is dropped.

use crate::cleanup::{self, Leftover, Ticket};
use crate::poll::eventually;
use crate::processor_time;
use anyhow::{Context, Result};
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// Lines of a log shown when something fails.
const SHOWN_LINES: usize = 80;

/// A running child and its process group.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    /// The child was waited for: its pid may be somebody else's by now.
    reaped: bool,
    log: PathBuf,
    ticket: Option<Ticket>,
}

impl Process {
    /// Starts `command` with standard output and error appended to `log`.
    pub fn spawn(name: &str, mut command: Command, log: &Path) -> Result<Self> {
        let output = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("opening {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).process_group(0);
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().with_context(|| format!("starting {name} ({program})"))?;
        let ticket = cleanup::register(Leftover::ProcessGroup(child.id() as i32));
        Ok(Process { name: name.to_owned(), child, reaped: false, log: log.to_owned(), ticket: Some(ticket) })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that holds what the program prints.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// Processor time that the program and all of its group have used so far, in all their threads, by the kernel's
    /// accounting (10 ms steps on most systems).
    pub fn processor_time(&self) -> Result<Duration> {
        processor_time::of_group(self.child.id())
    }

    /// What the program has printed.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The last lines of the log, for an error message.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
        format!("--- last lines of {} ---\n{}\n---", self.name, tail.join("\n"))
    }

    /// The exit status, if the program has ended.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().ok().flatten();
        if status.is_some() && !self.reaped {
            self.reaped = true;
            // What it started and left behind ends too, while the group is surely still its own.
            cleanup::kill_group(self.child.id() as i32);
        }
        status
    }

    /// Sends a signal to the program alone, unless it is known to have ended.
    pub fn signal(&self, signal: i32) {
        if !self.reaped {
            // SAFETY: plain system call; the child was not waited for, so its pid is still its own.
            unsafe { libc::kill(self.child.id() as i32, signal) };
        }
    }

    /// Sends a signal to the program and all it started, unless it is known to have ended.
    pub fn signal_group(&self, signal: i32) {
        if !self.reaped {
            // SAFETY: as in `signal`; the child leads its group.
            unsafe { libc::kill(-(self.child.id() as i32), signal) };
        }
    }

    /// Waits for the end.
    pub fn wait(&mut self, deadline: Duration) -> Result<ExitStatus> {
        let what = format!("end of {}", self.name);
        let ended = eventually(&what, deadline, || self.exited());
        ended.with_context(|| self.log_tail())
    }

    /// Sends SIGTERM and waits for the end.
    pub fn terminate(&mut self, deadline: Duration) -> Result<ExitStatus> {
        self.signal(libc::SIGTERM);
        self.wait(deadline)
    }

    /// Kills the program and all it started by SIGKILL.
    pub fn kill9(&mut self) {
        self.signal_group(libc::SIGKILL);
        self.reaped |= self.child.wait().is_ok();
    }

    /// Lets the program outlive this value and this process.
    pub fn leave_running(&mut self) {
        self.ticket = None;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ticket.is_none() {
            return;
        }
        if std::thread::panicking() {
            eprintln!("{}", self.log_tail());
        }
        self.kill9();
    }
}
