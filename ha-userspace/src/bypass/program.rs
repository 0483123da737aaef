//! Runs a program to its end or to a deadline, whichever comes first, and then ends whatever it started.
//!
//! No shell; standard input is empty; both outputs are read up to a bound and cannot block the program or us. The
//! program leads a process group of its own, which is killed as a whole.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Bytes that are kept of each output; the rest is read and dropped.
const MOST_KEPT: usize = 4096;

/// How a program ended.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) status: ExitStatus,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// Why there is no outcome.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProgramError {
    #[error("cannot be started: {0}")]
    Start(io::Error),
    #[error(
        "did not end within {0:?} and was killed with all that it started; raise bypass.command_timeout if it needs longer"
    )]
    TimedOut(Duration),
    #[error("waiting for it: {0}")]
    Wait(io::Error),
}

/// A process group that dies with this value.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        // An error means that nobody is left in the group, which is what is wanted.
        let _ = killpg(Pid::from_raw(self.0.id() as i32), Signal::SIGKILL);
        let _ = self.0.wait();
    }
}

/// Runs `argv` with `arguments` behind it.
pub(super) fn run(argv: &[String], arguments: &[&str], timeout: Duration) -> Result<Outcome, ProgramError> {
    let (program, own) = argv.split_first().ok_or_else(|| {
        ProgramError::Start(io::Error::new(io::ErrorKind::InvalidInput, "no program named"))
    })?;
    let deadline = Instant::now() + timeout;
    let child = Command::new(program)
        .args(own)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(ProgramError::Start)?;
    let mut group = Group(child);
    let ended = pidfd(&group.0).map_err(ProgramError::Wait)?;
    let mut stdout = Output::of(group.0.stdout.take()).map_err(ProgramError::Wait)?;
    let mut stderr = Output::of(group.0.stderr.take()).map_err(ProgramError::Wait)?;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ProgramError::TimedOut(timeout));
        }
        let has_ended = wait(&ended, &mut stdout, &mut stderr, left).map_err(ProgramError::Wait)?;
        stdout.drain();
        stderr.drain();
        if has_ended {
            let status = group.0.wait().map_err(ProgramError::Wait)?;
            return Ok(Outcome { status, stdout: stdout.text(), stderr: stderr.text() });
        }
    }
}

/// A descriptor that becomes readable when the child has ended.
fn pidfd(child: &Child) -> io::Result<OwnedFd> {
    // SAFETY: plain system call without pointers.
    let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, child.id(), 0) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just made and is owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor as i32) })
}

/// Waits until there is something to read or the program has ended; the latter is the answer.
fn wait(ended: &OwnedFd, stdout: &mut Output, stderr: &mut Output, left: Duration) -> io::Result<bool> {
    let mut watched = vec![PollFd::new(ended.as_fd(), PollFlags::POLLIN)];
    for output in [&*stdout, &*stderr] {
        if let Some(pipe) = &output.pipe {
            watched.push(PollFd::new(pipe.as_fd(), PollFlags::POLLIN));
        }
    }
    // Rounded up, or the last part of a millisecond would be spent spinning.
    let milliseconds = i32::try_from(left.as_millis() + 1).unwrap_or(i32::MAX);
    match poll(&mut watched, PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX)) {
        Ok(_) => Ok(watched[0].any().unwrap_or(false)),
        Err(nix::errno::Errno::EINTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// One output of the program. Closed as soon as the program closes it, so that it is not waited for any more.
struct Output {
    pipe: Option<std::fs::File>,
    kept: Vec<u8>,
}

impl Output {
    fn of(pipe: Option<impl Into<OwnedFd>>) -> io::Result<Self> {
        let pipe: Option<std::fs::File> = pipe.map(|pipe| std::fs::File::from(pipe.into()));
        if let Some(pipe) = &pipe {
            // SAFETY: plain system calls on an open descriptor.
            let set = unsafe {
                let flags = libc::fcntl(pipe.as_raw_fd(), libc::F_GETFL);
                libc::fcntl(pipe.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK)
            };
            if set < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(Self { pipe, kept: Vec::new() })
    }

    /// Takes in what is there.
    fn drain(&mut self) {
        let mut buffer = [0; MOST_KEPT];
        while let Some(pipe) = &mut self.pipe {
            match pipe.read(&mut buffer) {
                Ok(0) => self.pipe = None,
                Ok(length) => {
                    let room = MOST_KEPT - self.kept.len();
                    self.kept.extend(&buffer[..length.min(room)]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.pipe = None,
            }
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.kept).trim().to_owned()
    }
}
