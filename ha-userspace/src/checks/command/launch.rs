//! Starting a program without forking the daemon.
//!
//! A fork would copy the page tables of a locked, real-time process and have its threads fault afterwards. Here the child
//! borrows the daemon's memory (`CLONE_VM | CLONE_VFORK`): one calling thread stands still until the child has become the
//! program, and no other thread notices. What the child does in between is in `enter`, and is system calls only.
//!
//! While a child that borrows our memory is already an unprivileged user, that user must not be able to trace it. The
//! process is not dumpable during that time ([`Shielded`]), which is what the kernel judges tracing by.

use super::child::Child;
use super::enter::{self, Descriptors, Order, Vectors};
use super::identity::Identity;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::signal::SigSet;
use nix::sys::stat::Mode;
use nix::unistd::{Pid, pipe2};
use std::ffi::{CString, c_void};
use std::fmt;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use thiserror::Error;

/// Where programs without a slash are looked for, and what the command finds in its own `PATH`.
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The variable that tells a command which check it is.
const CHECK_VARIABLE: &str = "HOLDFAST_CHECK";
const SHELL: &str = "/bin/sh";
/// For the child until it is the program: some small frames of system calls.
const STACK_SIZE: usize = 64 << 10;
/// What the ABI asks of a stack pointer.
const STACK_ALIGNMENT: usize = 16;

/// Why a program did not start.
#[derive(Debug, Error)]
pub(super) enum LaunchError {
    #[error("nothing can be started: {0} (limits of processes, descriptors or memory?)")]
    Resources(#[from] Errno),
    #[error("{program} cannot be run: {}", reason(*.errno))]
    Program { program: String, errno: Errno },
    #[error(
        "cannot become user {user}: {errno}; the daemon needs CAP_SETUID and CAP_SETGID for checks as another user"
    )]
    Identity { user: String, errno: Errno },
    #[error("the command's surroundings could not be set up ({step}): {errno}")]
    Surroundings { step: &'static str, errno: Errno },
}

fn reason(errno: Errno) -> String {
    match errno {
        Errno::ENOENT => "there is no such program, or its interpreter is missing".to_owned(),
        Errno::EACCES => "its user may not execute it (mode bits of the file and its directories)".to_owned(),
        Errno::ENOEXEC => "it is no program: a script needs a first line such as #!/bin/sh".to_owned(),
        errno => errno.desc().to_owned(),
    }
}

/// A program with its arguments and environment, as the kernel takes them.
#[derive(Clone, Debug)]
pub(super) struct Program {
    name: String,
    /// Tried in this order.
    paths: Vec<CString>,
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

impl Program {
    pub(super) fn new(check: &str, argv: &[String], shell: bool) -> Result<Self, &'static str> {
        let first = argv.first().filter(|first| !first.is_empty()).ok_or("names no program")?;
        let (name, arguments): (&str, Vec<&str>) = if shell {
            (SHELL, vec![SHELL, "-c", first])
        } else {
            (first, argv.iter().map(String::as_str).collect())
        };
        let c_string = |text: &str| CString::new(text).map_err(|_| "holds a zero byte");
        let paths = if name.contains('/') {
            vec![c_string(name)?]
        } else {
            let candidates = SEARCH_PATH.split(':').map(|directory| c_string(&format!("{directory}/{name}")));
            candidates.collect::<Result<_, _>>()?
        };
        let environment = [format!("PATH={SEARCH_PATH}"), format!("{CHECK_VARIABLE}={check}")];
        Ok(Self {
            name: name.to_owned(),
            paths,
            arguments: arguments.into_iter().map(c_string).collect::<Result<_, _>>()?,
            environment: environment.iter().map(|entry| c_string(entry)).collect::<Result<_, _>>()?,
        })
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// A started program and the reading end of its output.
#[derive(Debug)]
pub(super) struct Launched {
    pub(super) child: Child,
    pub(super) output: OwnedFd,
}

/// Starts the program. Blocks until it has replaced the child, which a dead network filesystem can delay without end.
pub(super) fn launch(program: &Program, identity: Option<&Identity>) -> Result<Launched, LaunchError> {
    let input = open("/dev/null", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    let (output, output_end) = pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&output, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let vectors = Vectors::new(&program.paths, &program.arguments, &program.environment);
    let descriptors = Descriptors { input: input.as_raw_fd(), output: output_end.as_raw_fd() };
    let order = Order::new(vectors, descriptors, identity);
    let child = clone_into(&order)?;
    match order.failure() {
        None => Ok(Launched { child, output }),
        // The child has ended itself; dropping it collects it.
        Some(failure) => Err(explain(program, identity, failure)),
    }
}

fn explain(program: &Program, identity: Option<&Identity>, failure: enter::Failure) -> LaunchError {
    let errno = failure.errno;
    match failure.step {
        enter::Step::Program => LaunchError::Program { program: program.name.clone(), errno },
        enter::Step::Identity => {
            let user = identity.map_or_else(String::new, |identity| identity.name.clone());
            LaunchError::Identity { user, errno }
        }
        step => LaunchError::Surroundings { step: step.name(), errno },
    }
}

/// Makes the child and returns once it is the program, or has ended.
fn clone_into(order: &Order<'_>) -> Result<Child, Errno> {
    let _shield = order.changes_identity().then(Shielded::raise);
    // No handler of the daemon may run in a child that borrows its memory.
    let mask = SigSet::all().thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_SETMASK)?;
    let mut stack = vec![0u8; STACK_SIZE];
    let top = stack.as_mut_ptr_range().end;
    let misaligned = top.addr() % STACK_ALIGNMENT;
    let mut pidfd: libc::c_int = -1;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
    // SAFETY: the child runs `enter::enter` on a stack of its own, which lives until the call returns, and CLONE_VFORK
    // returns only once the child has left our memory by execve or by its end. `order` outlives that as well, and the
    // child changes nothing but the failure in it, which is atomic. The function makes system calls only: it neither
    // allocates, nor panics, nor takes a lock, nor runs a destructor.
    let pid = unsafe {
        libc::clone(
            enter::enter,
            top.sub(misaligned).cast::<c_void>(),
            flags,
            std::ptr::from_ref(order).cast_mut().cast::<c_void>(),
            &raw mut pidfd,
        )
    };
    let outcome = Errno::result(pid);
    let restored = mask.thread_set_mask();
    let pid = outcome?;
    // SAFETY: the kernel has just opened it for us, and nobody else knows of it.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    let child = Child::new(Pid::from_raw(pid), pidfd);
    restored.map(|()| child)
}

/// Children under way that take on another identity, and the dumpable setting to go back to.
#[derive(Debug)]
struct Shield {
    children: usize,
    before: i32,
}

static SHIELD: Mutex<Shield> = Mutex::new(Shield { children: 0, before: 0 });

/// While one of these lives, only those with `CAP_SYS_PTRACE` can trace this process or a child that borrows its memory.
#[derive(Debug)]
struct Shielded;

impl Shielded {
    fn raise() -> Self {
        let mut shield = shield();
        if shield.children == 0 {
            shield.before = dumpable();
            set_dumpable(0);
        }
        shield.children += 1;
        Self
    }
}

impl Drop for Shielded {
    /// The last one out puts the setting back, so core dumps of the daemon stay what they were.
    fn drop(&mut self) {
        let mut shield = shield();
        shield.children -= 1;
        // The child's change of identity has set it as well, so it is set in any case. The kernel takes 0 and 1 only.
        if shield.children == 0 && shield.before == 1 {
            set_dumpable(1);
        }
    }
}

fn shield() -> MutexGuard<'static, Shield> {
    SHIELD.lock().unwrap_or_else(PoisonError::into_inner)
}

fn dumpable() -> i32 {
    // SAFETY: takes and returns integers only.
    unsafe { libc::prctl(libc::PR_GET_DUMPABLE) }
}

fn set_dumpable(value: libc::c_ulong) {
    // SAFETY: takes integers only; fails for other values than 0 and 1.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, value) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(strings: &[CString]) -> Vec<&str> {
        strings.iter().map(|string| string.to_str().unwrap()).collect()
    }

    #[test]
    fn programs_are_searched_unless_they_hold_a_slash() {
        let named = Program::new("gw", &["ping".to_owned(), "-c1".to_owned()], false).unwrap();
        assert_eq!(words(&named.arguments), ["ping", "-c1"]);
        assert_eq!(named.paths.len(), 6);
        assert!(words(&named.paths).contains(&"/usr/bin/ping"));
        assert!(words(&named.environment).contains(&"HOLDFAST_CHECK=gw"));
        let path = Program::new("gw", &["/opt/check".to_owned()], false).unwrap();
        assert_eq!(words(&path.paths), ["/opt/check"]);
        let shell = Program::new("gw", &["a | b".to_owned()], true).unwrap();
        assert_eq!(words(&shell.arguments), ["/bin/sh", "-c", "a | b"]);
    }

    #[test]
    fn what_can_never_run_is_refused() {
        assert!(Program::new("gw", &[], false).is_err());
        assert!(Program::new("gw", &[String::new()], false).is_err());
        assert!(Program::new("gw", &["a".to_owned(), "b\0".to_owned()], false).is_err());
    }

    #[test]
    fn the_process_is_dumpable_again_afterwards() {
        let before = dumpable();
        let first = Shielded::raise();
        let second = Shielded::raise();
        assert_eq!(dumpable(), 0);
        drop(first);
        assert_eq!(dumpable(), 0, "another child is still under way");
        drop(second);
        assert_eq!(dumpable(), before);
    }
}
