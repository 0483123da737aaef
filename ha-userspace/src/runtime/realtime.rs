//! Real-time scheduling for the threads that must not be late, and memory that stays resident.
//!
//! A thread that keeps time (adverts, probes) asks for a reserved part of a processor (`SCHED_DEADLINE`), which no
//! `SCHED_FIFO` task of the host precedes, however high its priority, nor the time that the kernel reserves for normal
//! tasks (its fair server stops `SCHED_FIFO` for up to 50 ms a second). Where that is refused, and for every other
//! thread, `SCHED_FIFO`. Each thread asks for itself and reports what it got; nothing here fails a start. The caller warns
//! once, with [`Outcome::warning`], where the host refuses.

use std::fmt;
use std::io;
use std::time::Duration;

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

/// A part of one processor that a thread may count on: `runtime` in every `period`. What others leave of theirs it may use
/// as well (`SCHED_FLAG_RECLAIM`), so that a burst does not wait for the next period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reservation {
    runtime: Duration,
    period: Duration,
}

impl Reservation {
    /// For a thread that wakes for short work at exact instants. Two of these fit on a host with one processor, where
    /// the kernel lets 90 % of it be reserved.
    pub const TIMEKEEPER: Self =
        Self { runtime: Duration::from_micros(500), period: Duration::from_millis(2) };
}

/// What a thread got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// `SCHED_DEADLINE` with what was asked for.
    Reserved(Reservation),
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
            Self::Reserved(_) | Self::Realtime(_) => return None,
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
            Self::Reserved(Reservation { runtime, period }) => {
                write!(f, "SCHED_DEADLINE {runtime:?} of {period:?}")
            }
            Self::Realtime(priority) => write!(f, "SCHED_FIFO {}", priority.0),
            Self::Nice { .. } => write!(f, "nice {FALLBACK_NICE}"),
            Self::Normal { .. } => f.write_str("normal"),
        }
    }
}

/// Asks for a part of a processor for the calling thread, then as [`enter_realtime`]. The kernel refuses it to a thread
/// that is kept to some of the processors, and where too much of them is reserved.
pub fn enter_reserved(reservation: Reservation, priority: RealtimePriority) -> Outcome {
    let nanos = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    let attributes = libc::sched_attr {
        size: size_of::<libc::sched_attr>() as u32,
        sched_policy: libc::SCHED_DEADLINE as u32,
        sched_flags: (libc::SCHED_FLAG_RESET_ON_FORK | libc::SCHED_FLAG_RECLAIM) as u64,
        sched_nice: 0,
        sched_priority: 0,
        sched_runtime: nanos(reservation.runtime),
        sched_deadline: nanos(reservation.period),
        sched_period: nanos(reservation.period),
    };
    // SAFETY: pid 0 is the calling thread, `attributes` outlives the call and states its own size.
    let refused = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    if refused == 0 { Outcome::Reserved(reservation) } else { enter_realtime(priority) }
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

    /// What `request` got in a thread of its own, and the policy that the kernel has for it.
    fn asked(request: fn() -> Outcome) -> (Outcome, i32) {
        let seen = std::thread::spawn(move || {
            let outcome = request();
            // SAFETY: pid 0 is the calling thread.
            (outcome, unsafe { libc::sched_getscheduler(0) } & !libc::SCHED_RESET_ON_FORK)
        });
        seen.join().unwrap()
    }

    fn policy_of(outcome: Outcome) -> i32 {
        match outcome {
            Outcome::Reserved(_) => libc::SCHED_DEADLINE,
            Outcome::Realtime(_) => libc::SCHED_FIFO,
            Outcome::Nice { .. } | Outcome::Normal { .. } => libc::SCHED_OTHER,
        }
    }

    #[test]
    fn the_outcome_is_what_the_kernel_says() {
        let (outcome, policy) = asked(|| enter_realtime(RealtimePriority::EFFECTS));
        assert_eq!(policy, policy_of(outcome));
        assert_eq!(outcome.warning().is_none(), matches!(outcome, Outcome::Realtime(_)));
    }

    #[test]
    fn a_reservation_is_what_the_kernel_says() {
        let (outcome, policy) = asked(|| enter_reserved(Reservation::TIMEKEEPER, RealtimePriority::ADVERTS));
        assert_eq!(policy, policy_of(outcome));
        let well = matches!(outcome, Outcome::Reserved(_) | Outcome::Realtime(_));
        assert_eq!(outcome.warning().is_none(), well);
    }

    #[test]
    fn a_thread_kept_to_one_processor_of_several_falls_back() {
        let (outcome, policy) = asked(|| {
            let mut one = nix::sched::CpuSet::new();
            one.set(0).unwrap();
            nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &one).unwrap();
            enter_reserved(Reservation::TIMEKEEPER, RealtimePriority::ADVERTS)
        });
        let several = std::thread::available_parallelism().unwrap().get() > 1;
        assert_eq!(policy, policy_of(outcome));
        assert!(!several || !matches!(outcome, Outcome::Reserved(_)), "{outcome}");
    }

    #[test]
    fn outcomes_are_named_as_the_kernel_names_them() {
        assert_eq!(Outcome::Reserved(Reservation::TIMEKEEPER).to_string(), "SCHED_DEADLINE 500µs of 2ms");
        assert_eq!(Outcome::Realtime(RealtimePriority::PROBES).to_string(), "SCHED_FIFO 52");
    }

    #[test]
    fn a_refusal_names_the_remedy() {
        let warning = Outcome::Nice { errno: libc::EPERM }.warning().unwrap();
        assert!(warning.contains("LimitRTPRIO") && warning.contains("cpu.rt_runtime_us"), "{warning}");
    }
}
