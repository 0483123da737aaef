//! What processes cost: their processor time as /proc tells it.

use anyhow::{Context, Result, ensure};
use std::time::Duration;

/// Places of fields in /proc/PID/stat, counted from the one after the program's name (which may hold blanks).
const GROUP: usize = 2;
const USER_TIME: usize = 11;
const SYSTEM_TIME: usize = 12;

/// Time used by the living processes of a group, all their threads included, those that have ended too.
pub(crate) fn of_group(leader: u32) -> Result<Duration> {
    let processes = std::fs::read_dir("/proc").context("reading /proc")?;
    let stats = processes.flatten().filter_map(|entry| {
        entry.file_name().to_str()?.parse::<u32>().ok()?;
        std::fs::read_to_string(entry.path().join("stat")).ok()
    });
    let ticks: Vec<u64> = stats.filter_map(|stat| ticks_in_group(&stat, leader)).collect();
    ensure!(!ticks.is_empty(), "process group {leader} has ended: it has no processor time");
    // SAFETY: plain system call without pointers.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    let per_second = u64::try_from(per_second).context("clock ticks per second")?.max(1);
    Ok(Duration::from_millis(ticks.iter().sum::<u64>() * 1000 / per_second))
}

/// Clock ticks of a process by its stat line; `None` if it is of another group.
fn ticks_in_group(stat: &str, leader: u32) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let number = |place: usize| fields.get(place)?.parse::<u64>().ok();
    (number(GROUP)? == u64::from(leader)).then_some(number(USER_TIME)? + number(SYSTEM_TIME)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_parentheses_is_skipped() {
        let stat = "42 (a) b (c)) S 1 40 40 0 -1 0 0 0 0 0 7 5 0 0 20 0 1 0 9 0 0";
        assert_eq!(ticks_in_group(stat, 40), Some(12));
        assert_eq!(ticks_in_group(stat, 41), None);
    }

    #[test]
    fn a_group_that_ended_is_an_error() {
        const PAST_EVERY_PID: u32 = 4_194_400;
        assert!(of_group(PAST_EVERY_PID).is_err());
    }
}
