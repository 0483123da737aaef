//! Real-time scheduling for the threads that must not be late, and memory that stays resident.
//!
//! Each thread asks for itself and reports what it got; nothing here fails a start. The caller warns once, with
//! [`Outcome::warning`], where the host refuses.

use std::fmt;
use std::io;

/// Nice value asked for where real-time scheduling is refused: the best there is.
const FALLBACK_NICE: i32 = -20;

/// A `SCHED_FIFO` priority, 1 to 99.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RealtimePriority(u8);

impl RealtimePriority {
    /// Adverts leave whatever else happens.
    pub const ADVERTS: Self = Self(52);
    /// Probes, beside the adverts: neither thread does anything long.
    pub const PROBES: Self = Self(52);
    /// The controller's loop, below the adverts.
    pub const CONTROLLER: Self = Self(51);
    /// Addresses and links, below the controller.
    pub const EFFECTS: Self = Self(50);

    /// `None` unless 1 to 99.
    pub const fn new(priority: u8) -> Option<Self> {
        if priority >= 1 && priority <= 99 { Some(Self(priority)) } else { None }
    }

    /// The number that `sched_setscheduler` takes.
    pub const fn value(self) -> u8 {
        self.0
    }
}

/// What a thread got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// `SCHED_FIFO` at the priority asked for.
    Realtime(RealtimePriority),
    /// Normal scheduling at nice -20. `errno` of the refused request.
    Nice { errno: i32 },
    /// Normal scheduling, nothing better. `errno` of the refused real-time request.
    Normal { errno: i32 },
}

impl Outcome {
    /// What to tell the operator, once: what happened, what it means, what to do. `None` when all is well.
    pub fn warning(self) -> Option<String> {
        let (errno, got) = match self {
            Self::Realtime(_) => return None,
            Self::Nice { errno } => (errno, "runs at nice -20 instead"),
            Self::Normal { errno } => (errno, "runs at normal priority"),
        };
        Some(format!(
            "real-time scheduling was refused ({}): this process {got}, so adverts may leave milliseconds late on a \
             busy host; set LimitRTPRIO=99 (or CAP_SYS_NICE) for the service, and where the kernel has real-time \
             group scheduling give its cgroup a budget in cpu.rt_runtime_us",
            io::Error::from_raw_os_error(errno)
        ))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Realtime(priority) => write!(f, "SCHED_FIFO {}", priority.0),
            Self::Nice { .. } => write!(f, "nice {FALLBACK_NICE}"),
            Self::Normal { .. } => f.write_str("normal"),
        }
    }
}

/// Asks for `SCHED_FIFO` for the calling thread, then for nice -20, then accepts what there is. Children do not
/// inherit it (`SCHED_RESET_ON_FORK`), so hooks that are started from here run as normal processes.
pub fn enter_realtime(priority: RealtimePriority) -> Outcome {
    let parameters = libc::sched_param { sched_priority: i32::from(priority.0) };
    // SAFETY: pid 0 is the calling thread, and `parameters` outlives the call.
    let set =
        unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, &parameters) };
    if set == 0 {
        return Outcome::Realtime(priority);
    }
    let errno = last_errno();
    // SAFETY: plain integers; on Linux, who 0 with PRIO_PROCESS is the calling thread.
    let niced = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, FALLBACK_NICE) };
    if niced == 0 { Outcome::Nice { errno } } else { Outcome::Normal { errno } }
}

/// Keeps the process's memory, present and future, from being paged out. Worth a warning, never a reason to stop.
pub fn lock_memory() -> io::Result<()> {
    // SAFETY: takes flags only.
    let locked = unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE) };
    if locked == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What to tell the operator when [`lock_memory`] fails.
pub fn lock_memory_warning(error: &io::Error) -> String {
    format!(
        "memory could not be locked ({error}): under memory pressure the controller may wait for the disk and adverts \
         may be late; set LimitMEMLOCK=infinity (or CAP_IPC_LOCK) for the service"
    )
}

fn last_errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EPERM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_keep_their_order_and_range() {
        assert!(RealtimePriority::ADVERTS > RealtimePriority::CONTROLLER);
        assert!(RealtimePriority::CONTROLLER > RealtimePriority::EFFECTS);
        assert_eq!(RealtimePriority::new(0), None);
        assert_eq!(RealtimePriority::new(100), None);
    }

    #[test]
    fn the_outcome_is_what_the_kernel_says() {
        let seen = std::thread::spawn(|| {
            let outcome = enter_realtime(RealtimePriority::EFFECTS);
            // SAFETY: pid 0 is the calling thread.
            (outcome, unsafe { libc::sched_getscheduler(0) })
        });
        let (outcome, policy) = seen.join().unwrap();
        match outcome {
            Outcome::Realtime(_) => assert_eq!(policy & !libc::SCHED_RESET_ON_FORK, libc::SCHED_FIFO),
            Outcome::Nice { .. } | Outcome::Normal { .. } => {
                assert_eq!(policy & !libc::SCHED_RESET_ON_FORK, libc::SCHED_OTHER);
            }
        }
        assert_eq!(outcome.warning().is_none(), matches!(outcome, Outcome::Realtime(_)));
    }

    #[test]
    fn a_refusal_names_the_remedy() {
        let warning = Outcome::Nice { errno: libc::EPERM }.warning().unwrap();
        assert!(warning.contains("LimitRTPRIO") && warning.contains("cpu.rt_runtime_us"), "{warning}");
    }
}
