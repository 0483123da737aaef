//! The lab's one time line: `CLOCK_MONOTONIC` nanoseconds, shared by all namespaces.
//!
//! Kernel receive stamps come in wall-clock time and are converted on receipt, so that a late reader does not look
//! like a late packet.

use std::time::Duration;

/// An instant on the lab's time line, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// The present.
    pub fn now() -> Self {
        Moment(read(libc::CLOCK_MONOTONIC))
    }

    /// The instant `nanoseconds` after the time line's origin.
    pub const fn from_nanos(nanoseconds: u64) -> Self {
        Moment(nanoseconds)
    }

    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time since `earlier`, zero if it lies in the future.
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    pub fn elapsed(self) -> Duration {
        Moment::now().since(self)
    }

    pub fn before(self, span: Duration) -> Moment {
        Moment(self.0.saturating_sub(span.as_nanos() as u64))
    }

    /// Converts a wall-clock stamp that lies in the recent past.
    pub(crate) fn from_wall_clock(stamp_ns: u64) -> Moment {
        let age = read(libc::CLOCK_REALTIME).saturating_sub(stamp_ns);
        Moment(Moment::now().0.saturating_sub(age))
    }

    /// Converts a stamp of the boot clock that lies in the recent past, as the daemon's journal has it.
    pub fn from_boot_clock(stamp_ns: u64) -> Moment {
        let age = read(libc::CLOCK_BOOTTIME).saturating_sub(stamp_ns);
        Moment(Moment::now().0.saturating_sub(age))
    }

    /// Sleeps until this instant; returns at once if it has passed.
    pub fn sleep_until(self) {
        let wake = libc::timespec { tv_sec: (self.0 / NANOS) as i64, tv_nsec: (self.0 % NANOS) as i64 };
        loop {
            // SAFETY: `wake` is a valid timespec; an absolute sleep writes no remainder.
            let result = unsafe {
                libc::clock_nanosleep(libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME, &wake, std::ptr::null_mut())
            };
            if result != libc::EINTR {
                return;
            }
        }
    }
}

impl std::ops::Add<Duration> for Moment {
    type Output = Moment;

    fn add(self, span: Duration) -> Moment {
        Moment(self.0 + span.as_nanos() as u64)
    }
}

const NANOS: u64 = 1_000_000_000;

fn read(clock: libc::clockid_t) -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid place for the result; both clocks exist on every Linux.
    unsafe { libc::clock_gettime(clock, &mut now) };
    now.tv_sec as u64 * NANOS + now.tv_nsec as u64
}

/// Asks for real-time priority for the calling thread, so that load in the lab does not distort what it measures; where
/// the system refuses, for the best of the normal ones. A thread that gets neither goes on as it is.
pub(crate) fn prefer_real_time() {
    const PRIORITY: libc::c_int = 5;
    prefer_priority(PRIORITY);
}

/// As [`prefer_real_time`], with this real-time priority, 1 to 99.
pub(crate) fn prefer_priority(priority: libc::c_int) {
    const NICEST: libc::c_int = -20;
    let parameters = libc::sched_param { sched_priority: priority };
    // SAFETY: 0 is the calling thread in both calls and `parameters` is valid; a refusal changes nothing.
    unsafe {
        if libc::sched_setscheduler(0, libc::SCHED_FIFO, &parameters) != 0 {
            libc::setpriority(libc::PRIO_PROCESS, 0, NICEST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleeping_until_reaches_the_moment() {
        let target = Moment::now() + Duration::from_millis(3);
        target.sleep_until();
        assert!(Moment::now() >= target);
    }

    #[test]
    fn wall_clock_stamps_land_on_the_time_line() {
        let stamp = read(libc::CLOCK_REALTIME) - 5_000_000;
        let age = Moment::from_wall_clock(stamp).elapsed();
        assert!(age >= Duration::from_millis(5) && age < Duration::from_millis(500), "{age:?}");
    }
}
