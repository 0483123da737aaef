//! What must not outlive this process: namespaces, process groups and directories, in one process-wide list.
//!
//! Values remove their own entry when they are dropped. When SIGINT, SIGTERM or SIGHUP arrives, a thread removes all
//! that is still listed and ends the process. It never touches anything this process did not make.

use std::collections::BTreeMap;
use std::os::fd::{IntoRawFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

/// Something to remove.
#[derive(Clone, Debug)]
pub(crate) enum Leftover {
    /// A process group led by a child of ours.
    ProcessGroup(i32),
    /// A named network namespace.
    Namespace(String),
    /// A directory, also of pins on the BPF file system.
    Directory(PathBuf),
}

/// An entry of the list; taking it off does not remove the thing.
#[derive(Debug)]
pub(crate) struct Ticket(u64);

impl Drop for Ticket {
    fn drop(&mut self) {
        list().remove(&self.0);
    }
}

static LIST: Mutex<BTreeMap<u64, Leftover>> = Mutex::new(BTreeMap::new());
static NEXT: AtomicU64 = AtomicU64::new(0);
static SIGNAL_PIPE: AtomicI32 = AtomicI32::new(-1);
static WATCHER: Once = Once::new();

fn list() -> MutexGuard<'static, BTreeMap<u64, Leftover>> {
    LIST.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lists `leftover` for removal at an early end.
pub(crate) fn register(leftover: Leftover) -> Ticket {
    WATCHER.call_once(watch_signals);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    list().insert(number, leftover);
    Ticket(number)
}

extern "C" fn on_signal(signal: libc::c_int) {
    let byte = signal as u8;
    // SAFETY: write is async-signal-safe; the pipe lives as long as the process.
    unsafe { libc::write(SIGNAL_PIPE.load(Ordering::Relaxed), (&raw const byte).cast(), 1) };
}

fn watch_signals() {
    let Ok((reader, writer)) = nix::unistd::pipe() else { return };
    SIGNAL_PIPE.store(writer.into_raw_fd(), Ordering::Relaxed);
    std::thread::spawn(move || end_on_signal(reader.into_raw_fd()));
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        let handler = on_signal as extern "C" fn(libc::c_int);
        // SAFETY: the handler only calls write; no other code of this process installs handlers for these signals.
        unsafe { libc::signal(signal, handler as libc::sighandler_t) };
    }
}

fn end_on_signal(pipe: RawFd) {
    let mut byte = 0u8;
    // SAFETY: `byte` is a valid one-byte buffer and the pipe belongs to this thread.
    while unsafe { libc::read(pipe, (&raw mut byte).cast(), 1) } != 1 {}
    // The lock stays held to the end, so that no other thread can list, and then leave behind, anything new.
    let list = list();
    let rank = |leftover: &Leftover| match leftover {
        Leftover::ProcessGroup(_) => 0,
        Leftover::Namespace(_) => 1,
        Leftover::Directory(_) => 2,
    };
    let mut leftovers: Vec<&Leftover> = list.values().collect();
    leftovers.sort_by_key(|leftover| rank(leftover));
    for leftover in leftovers {
        remove(leftover);
    }
    const SIGNALLED: i32 = 128;
    // SAFETY: ends the process without running destructors, which would take the list's lock.
    unsafe { libc::_exit(SIGNALLED + i32::from(byte)) }
}

fn remove(leftover: &Leftover) {
    match leftover {
        Leftover::ProcessGroup(leader) => kill_group(*leader),
        Leftover::Namespace(name) => crate::netns::delete(name),
        Leftover::Directory(path) => remove_directory(path),
    }
}

/// Sends SIGKILL to a process group; one that has ended is no error.
pub(crate) fn kill_group(leader: i32) {
    // SAFETY: plain system call on a group that a child of ours leads.
    unsafe { libc::kill(-leader, libc::SIGKILL) };
}

/// Removes a directory tree by unlinking alone, which the BPF file system also understands.
pub(crate) fn remove_directory(path: &Path) {
    if let Ok(entries) = std::fs::read_dir(path) {
        for entry in entries.flatten() {
            let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_directory {
                remove_directory(&entry.path());
            } else {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
    let _ = std::fs::remove_dir(path);
}
