//! The one clock of the daemon: the boot clock, which goes on during suspend and which the data plane stamps with.
//!
//! Only `runtime`, `effects` and `checks` read it; the engine is handed the result.

use holdfast_engine::Instant;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Now, by `CLOCK_BOOTTIME`.
pub fn now() -> Instant {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec for the whole call. The clock exists since Linux 2.6.39, so the call cannot
    // fail with these arguments.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut time) };
    Instant::from_nanos(time.tv_sec as u64 * NANOS_PER_SECOND + time.tv_nsec as u64)
}

#[cfg(test)]
mod tests {
    use super::now;

    #[test]
    fn never_goes_back_and_agrees_with_proc_uptime() {
        let first = now();
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let second = now();
        assert!(first <= second);
        let seconds: f64 = uptime.split_whitespace().next().unwrap().parse().unwrap();
        let difference = (second.as_nanos() as f64 / 1e9 - seconds).abs();
        assert!(difference < 1.0, "boot clock is {difference} s away from /proc/uptime");
    }
}
