//! What a command finds when it starts: nothing of the daemon's rights, signals, limits or descriptors.

use crate::bench::{Desk, check, first_report, shell};
use holdfast::checks::CheckState::Passing;
use holdfast::config::validated::{Check, CheckKind};
use holdfast::runtime::realtime::{RealtimePriority, enter_realtime, lock_memory};
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::unistd::User;
use std::os::fd::AsRawFd;
use std::time::Duration;

/// No second run within a test: it would write over what the first one told.
const ONCE: Duration = Duration::from_secs(600);

/// What a script prints about its own process, read back from a file. Its thread has the daemon's bad habits.
fn told(script: &str, user: &str) -> String {
    let desk = Desk::new();
    let path = desk.path("told").display().to_string();
    let argv = vec![format!("exec > {path} 2>&1; {script}")];
    let kind = CheckKind::Command { argv, shell: true, user: user.to_owned() };
    let report = std::thread::spawn(move || {
        enter_realtime(RealtimePriority::EFFECTS);
        SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK).unwrap();
        first_report(Check { interval: ONCE, ..check("gw \"1\"", kind) })
    });
    let report = report.join().unwrap();
    assert_eq!(report.state, Passing, "{report:?}");
    std::fs::read_to_string(desk.path("told")).unwrap()
}

/// The value of a line `NAME:  VALUE` of `/proc/PID/status`.
fn value<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {status}")).trim()
}

#[test]
fn it_is_nobody_in_every_respect() {
    let nobody = User::from_name("nobody").unwrap().unwrap();
    let (uid, gid) = (nobody.uid.to_string(), nobody.gid.to_string());
    assert_eq!(told("id -u; id -ru; id -g; id -G", "nobody"), format!("{uid}\n{uid}\n{gid}\n{gid}\n"));
    let status = told("cat /proc/self/status", "nobody");
    assert_eq!(value(&status, "Uid"), [&*uid; 4].join("\t"));
    assert_eq!(value(&status, "Gid"), [&*gid; 4].join("\t"));
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(value(&status, set).trim_start_matches('0'), "", "{set}");
    }
    let root = told("id -u; grep -c CapEff /proc/self/status", "root");
    assert_eq!(root, "0\n1\n", "where root is asked for");
}

#[test]
fn signals_scheduling_and_memory_are_those_of_a_plain_process() {
    // Not locked for good: only what is there now.
    lock_memory().unwrap();
    let status = told("cat /proc/self/status", "nobody");
    // SAFETY: takes nothing.
    unsafe { libc::munlockall() };
    for set in ["SigBlk", "SigIgn"] {
        assert_eq!(value(&status, set).trim_start_matches('0'), "", "{set}");
    }
    assert_eq!(value(&status, "VmLck"), "0 kB");
    let stat = told("cat /proc/self/stat; cat /proc/self/oom_score_adj", "nobody");
    let (stat, adjustment) = stat.split_once('\n').unwrap();
    let after_name: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    // Counted from the third field, which follows the name: nice is the 19th, real-time priority the 40th, policy the 41st.
    let field = |number: usize| after_name[number - 3];
    assert_eq!((field(19), field(40), field(41)), ("0", "0", "0"), "{stat}");
    assert_eq!(adjustment.trim(), "0");
}

#[test]
fn it_leads_a_session_and_finds_a_bare_desk() {
    let found = told("echo $$; cut -d' ' -f5,6 /proc/$$/stat; pwd; umask; env -u PWD -u _ | sort", "nobody");
    let lines: Vec<&str> = found.lines().collect();
    assert_eq!(lines[1], format!("{0} {0}", lines[0]), "group and session");
    assert_eq!(lines[2], "/");
    assert_eq!(lines[3].trim_start_matches('0'), "22");
    // The shell may add names of its own, which are no part of what it was given.
    let variables: Vec<&str> = lines[4..]
        .iter()
        .filter(|line| !line.starts_with("OLDPWD") && !line.starts_with("SHLVL"))
        .copied()
        .collect();
    assert_eq!(variables.len(), 2, "{found}");
    assert_eq!(variables[0], "HOLDFAST_CHECK=gw \"1\"");
    assert!(variables[1].starts_with("PATH=/usr/local/sbin:"), "{found}");
}

#[test]
fn no_descriptor_and_no_privileged_limit_is_passed_on() {
    // One that is passed on to programs, if nobody prevents it.
    let open = std::fs::File::open("/dev/null").unwrap();
    // SAFETY: takes a descriptor and returns a new one or -1.
    let leaky = unsafe { libc::dup(open.as_raw_fd()) };
    assert!(leaky > 2);
    let found = told("ls /proc/$$/fd; readlink /proc/$$/fd/0", "nobody");
    // SAFETY: just opened above, and nobody else knows of it.
    unsafe { libc::close(leaky) };
    let (descriptors, input) = found.trim().rsplit_once('\n').unwrap();
    let descriptors: Vec<&str> =
        descriptors.lines().filter(|&fd| fd.parse().is_ok_and(|fd: i32| fd < 10)).collect();
    // Shells keep a copy for themselves at 10 and above.
    assert_eq!((descriptors, input), (vec!["0", "1", "2"], "/dev/null"));
    let limits = told("cat /proc/self/limits", "nobody");
    for name in ["Max realtime priority", "Max nice priority", "Max locked memory", "Max core file size"] {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        assert_eq!(line.split_whitespace().take(2).collect::<Vec<_>>(), ["0", "0"], "{name}");
    }
}

#[test]
fn the_daemon_itself_stays_what_it_was() {
    let before = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let report = first_report(check("gw", shell("exit 0")));
    assert_eq!(report.state, Passing);
    let after = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    for name in ["Uid", "Gid", "Groups", "CapEff", "SigBlk", "SigIgn"] {
        assert_eq!(value(&before, name), value(&after, name), "{name}");
    }
}
