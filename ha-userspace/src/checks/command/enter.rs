//! What a child does between its birth and its program: it leaves the daemon's ways behind.
//!
//! The child borrows the daemon's memory, so here are system calls only: nothing allocates, panics, locks or runs a
//! destructor, and ids change by raw calls, since the C library would change those of the daemon's threads too. The one
//! thing written is the failure, which the parent reads.

use super::identity::Identity;
use nix::errno::Errno;
use std::ffi::{CString, c_char, c_int, c_long, c_void};
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

/// The exit status of a child that did not become its program; the parent never judges it.
const NOT_STARTED: c_int = 127;
/// Highest signal number of Linux.
const LAST_SIGNAL: c_long = 64;
/// Bytes in the kernel's signal sets.
const SIGNAL_SET_SIZE: usize = 8;
/// Words that hold the kernel's `struct sigaction` on every architecture; all zero is the default action.
const SIGACTION_WORDS: usize = 4;
/// Everything but the standard streams.
const FIRST_OTHER_DESCRIPTOR: c_long = 3;
const FILE_MODE_MASK: libc::mode_t = 0o022;
/// Descriptors a command may open, unless the daemon may open fewer: programs that use `select` break above.
const DESCRIPTORS: libc::rlim_t = 1024;
/// `_LINUX_CAPABILITY_VERSION_3`.
const CAPABILITY_VERSION: u32 = 0x2008_0522;

/// Where it went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Session = 1,
    Streams,
    Descriptors,
    Scheduling,
    Limits,
    Directory,
    Identity,
    Capabilities,
    Program,
}

impl Step {
    const ALL: [Self; 9] = [
        Self::Session,
        Self::Streams,
        Self::Descriptors,
        Self::Scheduling,
        Self::Limits,
        Self::Directory,
        Self::Identity,
        Self::Capabilities,
        Self::Program,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Session => "a session of its own",
            Self::Streams => "standard streams",
            Self::Descriptors => "closing descriptors",
            Self::Scheduling => "normal scheduling",
            Self::Limits => "resource limits",
            Self::Directory => "working directory",
            Self::Identity => "user",
            Self::Capabilities => "giving up capabilities",
            Self::Program => "program",
        }
    }
}

/// Why the child did not become its program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) step: Step,
    pub(super) errno: Errno,
}

/// Null-terminated arrays of pointers into strings that outlive them.
#[derive(Debug)]
pub(super) struct Vectors<'a> {
    paths: &'a [CString],
    arguments: Vec<*const c_char>,
    environment: Vec<*const c_char>,
}

impl<'a> Vectors<'a> {
    pub(super) fn new(paths: &'a [CString], arguments: &'a [CString], environment: &'a [CString]) -> Self {
        let array = |strings: &[CString]| {
            strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
        };
        Self { paths, arguments: array(arguments), environment: array(environment) }
    }
}

/// Open descriptors of the parent for the standard streams.
#[derive(Clone, Copy, Debug)]
pub(super) struct Descriptors {
    pub(super) input: c_int,
    /// Of both output streams.
    pub(super) output: c_int,
}

/// Everything the child needs, prepared by the parent.
#[derive(Debug)]
pub(super) struct Order<'a> {
    vectors: Vectors<'a>,
    descriptors: Descriptors,
    identity: Option<(libc::uid_t, libc::gid_t)>,
    groups: Vec<libc::gid_t>,
    failed_step: AtomicU32,
    errno: AtomicI32,
}

impl<'a> Order<'a> {
    pub(super) fn new(vectors: Vectors<'a>, descriptors: Descriptors, identity: Option<&Identity>) -> Self {
        let groups = identity.map(|identity| identity.groups.iter().map(|group| group.as_raw()).collect());
        Self {
            vectors,
            descriptors,
            identity: identity.map(|identity| (identity.uid.as_raw(), identity.gid.as_raw())),
            groups: groups.unwrap_or_default(),
            failed_step: AtomicU32::new(0),
            errno: AtomicI32::new(0),
        }
    }

    /// The child takes on ids that are not the daemon's.
    pub(super) fn changes_identity(&self) -> bool {
        self.identity.is_some()
    }

    /// For the parent, once the child is out of its memory.
    pub(super) fn failure(&self) -> Option<Failure> {
        let failed = self.failed_step.load(Ordering::Acquire);
        let step = Step::ALL.into_iter().find(|&step| step as u32 == failed)?;
        Some(Failure { step, errno: Errno::from_raw(self.errno.load(Ordering::Acquire)) })
    }
}

/// Where the child starts; `order` points to an [`Order`]. Returns only where it failed.
pub(super) extern "C" fn enter(order: *mut c_void) -> c_int {
    // SAFETY: the parent passes an `Order` and waits until this process has left its memory.
    let order = unsafe { &*order.cast_const().cast::<Order<'_>>() };
    // SAFETY: this is the child that `become_program` is for.
    let step = unsafe { become_program(order) };
    order.errno.store(Errno::last_raw(), Ordering::Release);
    order.failed_step.store(step as u32, Ordering::Release);
    NOT_STARTED
}

/// Goes through the steps; the one that failed, with `errno` set. Never returns otherwise.
///
/// # Safety
/// Only in a child made with `CLONE_VM | CLONE_VFORK` and neither `CLONE_FILES`, `CLONE_FS` nor `CLONE_SIGHAND`.
unsafe fn become_program(order: &Order<'_>) -> Step {
    // SAFETY: see above; every call takes integers, or pointers to what lives in `order` or on this stack.
    unsafe {
        if libc::setsid() < 0 {
            return Step::Session;
        }
        if !take_streams(order.descriptors) {
            return Step::Streams;
        }
        let close = libc::CLOSE_RANGE_CLOEXEC as c_long;
        if libc::syscall(libc::SYS_close_range, FIRST_OTHER_DESCRIPTOR, c_long::from(u32::MAX), close) < 0 {
            return Step::Descriptors;
        }
        if !take_normal_scheduling() {
            return Step::Scheduling;
        }
        if !take_limits() {
            return Step::Limits;
        }
        libc::umask(FILE_MODE_MASK);
        if libc::chdir(c"/".as_ptr()) < 0 {
            return Step::Directory;
        }
        if !take_identity(order) {
            return Step::Identity;
        }
        if !give_up_capabilities(order) {
            return Step::Capabilities;
        }
        reset_signals();
        execute(&order.vectors);
    }
    Step::Program
}

/// # Safety
/// As of [`become_program`].
unsafe fn take_streams(descriptors: Descriptors) -> bool {
    // SAFETY: integers only. The copies survive execve, the originals do not.
    unsafe {
        libc::dup2(descriptors.input, libc::STDIN_FILENO) >= 0
            && libc::dup2(descriptors.output, libc::STDOUT_FILENO) >= 0
            && libc::dup2(descriptors.output, libc::STDERR_FILENO) >= 0
    }
}

/// Normal policy and nice value, whatever the daemon has. A child of the out-of-memory killer's own choosing.
///
/// # Safety
/// As of [`become_program`].
unsafe fn take_normal_scheduling() -> bool {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: pointers to locals and constants.
    unsafe {
        // Where the daemon is protected, its commands are not. The kernel does not pass this on to the memory's owner while
        // it waits for its child. Refused only where /proc is not there.
        let adjustment = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if adjustment >= 0 {
            libc::write(adjustment, c"0".as_ptr().cast(), 1);
            libc::close(adjustment);
        }
        libc::syscall(libc::SYS_sched_setscheduler, 0, libc::SCHED_OTHER, &raw const parameters) >= 0
            && libc::setpriority(libc::PRIO_PROCESS, 0, 0) >= 0
    }
}

/// What the daemon may do to the host's timing and memory, a command may not; and it leaves no core dumps behind.
///
/// # Safety
/// As of [`become_program`].
unsafe fn take_limits() -> bool {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    let mut descriptors = none;
    // SAFETY: pointers to locals.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut descriptors) < 0 {
            return false;
        }
        if descriptors.rlim_cur > DESCRIPTORS {
            descriptors.rlim_cur = DESCRIPTORS;
        }
        libc::setrlimit(libc::RLIMIT_NOFILE, &descriptors) >= 0
            && libc::setrlimit(libc::RLIMIT_RTPRIO, &none) >= 0
            && libc::setrlimit(libc::RLIMIT_NICE, &none) >= 0
            && libc::setrlimit(libc::RLIMIT_MEMLOCK, &none) >= 0
            && libc::setrlimit(libc::RLIMIT_CORE, &none) >= 0
    }
}

/// Groups first, the user last, since the right to the former goes with the latter.
///
/// # Safety
/// As of [`become_program`].
unsafe fn take_identity(order: &Order<'_>) -> bool {
    let Some((uid, gid)) = order.identity else { return true };
    // SAFETY: the groups live in `order`. Raw calls: they change this process alone.
    unsafe {
        libc::syscall(libc::SYS_setgroups, order.groups.len(), order.groups.as_ptr()) >= 0
            && libc::syscall(libc::SYS_setresgid, gid, gid, gid) >= 0
            && libc::syscall(libc::SYS_setresuid, uid, uid, uid) >= 0
    }
}

/// A user other than root keeps none, even where the daemon itself is no root and was given some.
///
/// # Safety
/// As of [`become_program`].
unsafe fn give_up_capabilities(order: &Order<'_>) -> bool {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: c_int,
    }
    if order.identity.is_some_and(|(uid, _)| uid == 0) {
        return true;
    }
    let header = Header { version: CAPABILITY_VERSION, pid: 0 };
    // Effective, permitted and inheritable, in two halves.
    let none = [0u32; 6];
    // SAFETY: pointers to locals of the layout that this version has.
    unsafe {
        libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) >= 0
            && libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr()) >= 0
    }
}

/// Every signal back to its default and none blocked: execve would keep what is ignored or blocked.
///
/// # Safety
/// As of [`become_program`].
unsafe fn reset_signals() {
    let default = [0u64; SIGACTION_WORDS];
    let none = 0u64;
    // SAFETY: zeroes are the default action and the empty set; the child has a table of handlers of its own. Raw, since the
    // C library keeps some signals to itself and takes a lock for one.
    unsafe {
        for signal in 1..=LAST_SIGNAL {
            let old = std::ptr::null_mut::<c_void>();
            // Refused for the two that have no handler.
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), old, SIGNAL_SET_SIZE);
        }
        let old = std::ptr::null_mut::<c_void>();
        let set = c_long::from(libc::SIG_SETMASK);
        libc::syscall(libc::SYS_rt_sigprocmask, set, &raw const none, old, SIGNAL_SET_SIZE);
    }
}

/// Tries every path; returns with `errno` set only where none could be run. As shells do, a program that may not be
/// executed is told rather than one that is not there.
///
/// # Safety
/// As of [`become_program`].
unsafe fn execute(vectors: &Vectors<'_>) {
    let mut told = libc::ENOENT;
    for path in vectors.paths {
        // SAFETY: strings and null-terminated arrays that live in the order.
        unsafe { libc::execve(path.as_ptr(), vectors.arguments.as_ptr(), vectors.environment.as_ptr()) };
        match Errno::last_raw() {
            libc::ENOENT | libc::ENOTDIR => {}
            libc::EACCES => told = libc::EACCES,
            errno => {
                told = errno;
                break;
            }
        }
    }
    Errno::set_raw(told);
}
