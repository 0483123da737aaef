//! Many checks at once leave nothing behind. Alone in its process, so that descriptors, threads and children can be counted.
#![expect(clippy::unwrap_used, reason = "the helpers of a test fail it by panicking")]

use holdfast::checks::{CheckRunner, CheckState};
use holdfast::config::validated::{Check, CheckKind, CheckScope};
use std::path::Path;
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(60);
const CHECKS: usize = 100;
/// Of each check, until it is enough.
const RUNS: u64 = 10;

fn check(number: usize) -> Check {
    // Every fifth never ends by itself and every seventh fails; all leave a process behind.
    let script = match number {
        number if number % 5 == 0 => "sleep 1000 & sleep 1000",
        number if number % 7 == 0 => "sleep 1000 & exit 1",
        _ => "sleep 1000 & exit 0",
    };
    Check {
        name: format!("check-{number}"),
        kind: CheckKind::Command { argv: vec![script.to_owned()], shell: true, user: "nobody".to_owned() },
        interval: Duration::from_millis(100),
        timeout: Duration::from_millis(if number.is_multiple_of(5) { 100 } else { 10_000 }),
        rise: 1,
        fall: 1,
        weight: 0,
        scope: CheckScope::Node,
    }
}

fn entries(directory: &str) -> usize {
    std::fs::read_dir(directory).unwrap().count()
}

/// The name and state of every process whose environment says that it was started by a check of this test, and of every
/// child of this process.
fn ours() -> Vec<String> {
    let me = std::process::id().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap() {
        let path = entry.unwrap().path();
        let Ok(stat) = std::fs::read_to_string(path.join("stat")) else { continue };
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        if fields[1] == me || started_by_a_check(&path) {
            found.push(stat.split(" 0 ").next().unwrap().to_owned());
        }
    }
    found
}

fn started_by_a_check(process: &Path) -> bool {
    let environment = std::fs::read(process.join("environ")).unwrap_or_default();
    environment.split(|&byte| byte == 0).any(|entry| entry.starts_with(b"HOLDFAST_CHECK=check-"))
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < end, "waited {DEADLINE:?} for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_hundred_checks_leak_nothing() {
    let checks: Vec<Check> = (0..CHECKS).map(check).collect();
    // The first runtime of a process opens what all of them share.
    drop(CheckRunner::spawn(&[], Box::new(drop)).unwrap());
    let (descriptors, threads) = (entries("/proc/self/fd"), entries("/proc/self/task"));
    let began = Instant::now();
    let runner = CheckRunner::spawn(&checks, Box::new(drop)).unwrap();
    wait_for("enough runs of every check", || {
        let statuses = runner.statuses();
        statuses.len() == CHECKS && statuses.iter().all(|status| status.runs >= RUNS)
    });
    let statuses = runner.statuses();
    let runs: u64 = statuses.iter().map(|status| status.runs).sum();
    println!("{runs} runs in {:?}, {} threads", began.elapsed(), entries("/proc/self/task"));
    for status in &statuses {
        let number: usize = status.name["check-".len()..].parse().unwrap();
        let failing = number.is_multiple_of(5) || number.is_multiple_of(7);
        let wanted = if failing { CheckState::Failing } else { CheckState::Passing };
        assert_eq!(status.state, wanted, "{status:?}");
        let timeouts = if number.is_multiple_of(5) { status.runs } else { 0 };
        assert_eq!(status.timeouts, timeouts, "{status:?}");
    }
    // Bounded while it runs: a pipe and a process each at most, and what belongs to the runtime.
    let open = entries("/proc/self/fd");
    assert!(open < descriptors + 5 * CHECKS, "{open} descriptors");
    drop(runner);
    wait_for("the last process to go", || ours().is_empty());
    wait_for("the descriptors to be closed", || entries("/proc/self/fd") == descriptors);
    wait_for("the pool's threads to end", || entries("/proc/self/task") <= threads);
}
