//! `kind = "process"`: enough processes of a name, or of an executable, run in this PID namespace.
//!
//! One pass over `/proc`, which ends as soon as enough are found. Zombies do not count.

use super::examiner::Outcome;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The kernel keeps this much of a process's name.
const COMM_LENGTH: usize = 15;
/// What the kernel puts behind the path of an executable that was replaced meanwhile.
const DELETED: &[u8] = b" (deleted)";

/// Counts processes. `process` is a name as in `/proc/PID/comm`, or a path where it holds a slash.
pub(super) fn look(process: &str, minimum_count: u32) -> Outcome {
    look_in(Path::new("/proc"), process, minimum_count)
}

fn look_in(proc: &Path, process: &str, minimum_count: u32) -> Outcome {
    let wanted = minimum_count.max(1);
    match count(proc, process, wanted) {
        Ok(found) if found >= wanted => Outcome::good(format!("{found} or more processes {process:?} run")),
        Ok(found) => Outcome::bad(format!("{found} processes {process:?} run, wanted {wanted}")),
        Err(error) => Outcome::bad(format!("{} cannot be read: {error}", proc.display())),
    }
}

/// How many there are; stops at `enough`.
fn count(proc: &Path, process: &str, enough: u32) -> io::Result<u32> {
    let mut found = 0;
    for entry in std::fs::read_dir(proc)? {
        let entry = entry?;
        if !entry.file_name().as_bytes().iter().all(u8::is_ascii_digit) {
            continue;
        }
        // A process that goes away meanwhile is not there.
        if matches(&entry.path(), process) {
            found += 1;
            if found >= enough {
                break;
            }
        }
    }
    Ok(found)
}

fn matches(directory: &Path, process: &str) -> bool {
    if process.contains('/') {
        // A zombie has no executable any more.
        return std::fs::read_link(directory.join("exe"))
            .is_ok_and(|path| executable(path.as_os_str()) == process.as_bytes());
    }
    std::fs::read(directory.join("stat")).is_ok_and(|stat| {
        name_and_state(&stat)
            .is_some_and(|(name, state)| name == kept(process) && !matches!(state, b'Z' | b'X'))
    })
}

/// As much of a name as the kernel keeps.
fn kept(process: &str) -> &[u8] {
    &process.as_bytes()[..process.len().min(COMM_LENGTH)]
}

fn executable(path: &OsStr) -> &[u8] {
    path.as_bytes().strip_suffix(DELETED).unwrap_or(path.as_bytes())
}

/// From `PID (NAME) STATE ...`; the name may hold anything, parentheses too.
fn name_and_state(stat: &[u8]) -> Option<(&[u8], u8)> {
    let open = stat.iter().position(|&byte| byte == b'(')?;
    let close = stat.iter().rposition(|&byte| byte == b')')?;
    Some((stat.get(open + 1..close)?, *stat.get(close + 2)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A `/proc` with these processes: (stat line, executable).
    fn proc_with(processes: &[(&str, Option<&str>)]) -> tempfile::TempDir {
        let proc = tempfile::tempdir().unwrap();
        for (stat, executable) in processes {
            let directory = proc.path().join(stat.split(' ').next().unwrap());
            std::fs::create_dir(&directory).unwrap();
            std::fs::write(directory.join("stat"), stat).unwrap();
            if let Some(executable) = executable {
                std::os::unix::fs::symlink(executable, directory.join("exe")).unwrap();
            }
        }
        std::fs::write(proc.path().join("uptime"), "1 1").unwrap();
        proc
    }

    #[test]
    fn names_are_counted_without_zombies() {
        let proc = proc_with(&[
            ("1 (named) S 0", None),
            ("2 (named) Z 1", None),
            ("3 (a) (named) R 1", None),
            ("40 (named) R 1", None),
            ("5 (averyverylongna) S 1", None),
        ]);
        assert!(look_in(proc.path(), "named", 2).good);
        let few = look_in(proc.path(), "named", 3);
        assert!(!few.good && few.detail == r#"2 processes "named" run, wanted 3"#, "{few:?}");
        assert!(look_in(proc.path(), "a) (named", 1).good);
        assert!(look_in(proc.path(), "averyverylongname", 1).good, "the kernel cut it");
        assert!(!look_in(proc.path(), "averyverylong", 1).good);
        assert!(!look_in(proc.path(), "nam", 0).good, "zero counts as one");
    }

    #[test]
    fn executables_are_counted_by_path() {
        let proc = proc_with(&[
            ("1 (x) S 0", Some("/usr/sbin/named")),
            ("2 (x) S 0", Some("/usr/sbin/named (deleted)")),
            ("3 (x) S 0", Some("/opt/sbin/named")),
        ]);
        assert!(look_in(proc.path(), "/usr/sbin/named", 2).good);
        assert!(!look_in(proc.path(), "/usr/sbin/named", 3).good);
    }

    #[test]
    fn the_real_proc_shows_this_process() {
        let myself = std::env::current_exe().unwrap();
        assert!(look(myself.to_str().unwrap(), 1).good);
        let none = look("hf-no-such-proc", 1);
        assert!(!none.good && none.detail.starts_with("0 processes"), "{none:?}");
        assert!(!look_in(Path::new("/no/proc"), "x", 1).good);
    }
}
