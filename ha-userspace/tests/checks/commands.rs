//! Commands: how they end, how they are ended, and what is left of them.

use crate::bench::{
    Bench, Desk, check, command, failure, first_report, runs, shell, uncollected, wait_for, wait_until_gone,
};
use holdfast::checks::CheckState::{Failing, Passing};
use holdfast::config::validated::{Check, CheckKind};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::time::{Duration, Instant};

/// Ends at `timeout` unless it ends by itself; does not run again within the test.
fn once(kind: CheckKind, timeout: Duration) -> Check {
    Check { interval: Duration::from_secs(600), timeout, ..check("it", kind) }
}

const SHORT: Duration = Duration::from_millis(300);

#[test]
fn status_zero_passes_and_says_its_last_words() {
    let report = first_report(check("gw", command(&["true"])));
    assert_eq!((report.name.as_str(), report.state), ("gw", Passing));
    assert_eq!(report.detail, "exit status 0");
    let report = first_report(check("gw", shell("echo out; echo err >&2; printf 'a\\tb'")));
    assert_eq!((report.state, report.detail.as_str()), (Passing, "exit status 0: out; err; a b"));
}

#[test]
fn every_bad_end_is_told_apart() {
    assert_eq!(failure(shell("echo no route >&2; exit 3")), "exit status 3: no route");
    assert_eq!(failure(shell("kill -SEGV $$")), "killed by SIGSEGV");
    assert_eq!(failure(shell("kill -35 $$")), "killed by signal 35");
    assert_eq!(failure(shell("kill -KILL 0")), "killed by SIGKILL");
}

#[test]
fn what_cannot_be_run_says_why() {
    let desk = Desk::new();
    let missing = failure(command(&["/no/such/program"]));
    assert!(missing.starts_with("/no/such/program cannot be run: there is no such program"), "{missing}");
    let unnamed = failure(command(&["hf-no-such-program"]));
    assert!(unnamed.starts_with("hf-no-such-program cannot be run: there is no such program"), "{unnamed}");
    let plain = failure(command(&[&desk.file("plain", "#!/bin/sh\n", 0o644)]));
    assert!(plain.contains("its user may not execute it"), "{plain}");
    let of_root = failure(command(&[&desk.file("of-root", "#!/bin/sh\n", 0o700)]));
    assert!(of_root.contains("its user may not execute it"), "{of_root}");
    let bare = failure(command(&[&desk.file("bare", "exit 0\n", 0o755)]));
    assert!(bare.contains("it is no program: a script needs a first line"), "{bare}");
    let lost = failure(command(&[&desk.file("lost", "#!/no/such/interpreter\n", 0o755)]));
    assert!(lost.contains("or its interpreter is missing"), "{lost}");
    let stranger =
        CheckKind::Command { argv: vec!["true".to_owned()], shell: false, user: "hf-no-such".to_owned() };
    let stranger = failure(stranger);
    assert!(stranger.contains(r#"no user "hf-no-such""#) && stranger.contains("`user`"), "{stranger}");
}

#[test]
fn no_shell_reads_the_arguments() {
    let report = first_report(check("gw", command(&["echo", "$(id -u)", ";", "exit", "1", "*"])));
    assert_eq!(report.detail, "exit status 0: $(id -u) ; exit 1 *");
}

#[test]
fn at_the_timeout_the_whole_group_is_killed() {
    let desk = Desk::new();
    let file = desk.path("pids").display().to_string();
    let leader = desk.path("leader").display().to_string();
    // A child and a grandchild, all of them deaf to SIGTERM.
    let script = format!(
        "trap '' TERM HUP INT; (sleep 1000 & echo $! >> {file}; wait) & echo $! >> {file}; echo $$ > {leader}; echo here; wait"
    );
    let began = Instant::now();
    let bench = Bench::start(&[once(shell(&script), SHORT)]);
    let pids = [desk.pids("pids", 2), desk.pids("leader", 1)].concat();
    assert!(pids.iter().all(|&pid| runs(pid)), "{pids:?}");
    assert_eq!(bench.expect(Failing), "no end in time; the process group was killed: here");
    assert!(began.elapsed() >= SHORT && began.elapsed() < SHORT * 10, "{:?}", began.elapsed());
    wait_until_gone(&pids);
    let status = bench.status("it").unwrap();
    assert_eq!((status.runs, status.timeouts), (1, 1));
    assert!(status.last_duration.unwrap() >= SHORT);
    assert_eq!(uncollected(&desk.pids("leader", 1)), Vec::<i32>::new(), "a zombie");
}

#[test]
fn what_a_command_leaves_behind_is_killed_at_its_end() {
    let desk = Desk::new();
    let file = desk.path("pids").display().to_string();
    let report = first_report(once(shell(&format!("sleep 1000 & echo $! > {file}; exit 0")), SHORT * 30));
    assert_eq!(
        report.state, Passing,
        "the sleeper holds the output open, and nobody waits for it: {report:?}"
    );
    wait_until_gone(&desk.pids("pids", 1));
}

#[test]
fn a_horde_of_processes_is_killed() {
    let desk = Desk::new();
    let file = desk.path("pids").display().to_string();
    let script = format!("for i in $(seq 200); do sleep 1000 & echo $! >> {file}; done; wait");
    let bench = Bench::start(&[once(shell(&script), Duration::from_secs(3))]);
    let pids = desk.pids("pids", 200);
    bench.expect(Failing);
    wait_until_gone(&pids);
}

#[test]
fn a_process_that_leaves_the_group_holds_nothing_up() {
    let desk = Desk::new();
    let file = desk.path("pids").display().to_string();
    // It keeps writing into the output after the command's end.
    let escape =
        format!("setsid sh -c 'echo $$ > {file}; exec yes' & while [ ! -s {file} ]; do sleep 0.01; done");
    let report = first_report(once(shell(&escape), SHORT * 30));
    let escaped = desk.pids("pids", 1)[0];
    let _ = kill(Pid::from_raw(escaped), Signal::SIGKILL);
    assert_eq!(report.state, Passing, "{report:?}");
    wait_until_gone(&[escaped]);
}

#[test]
fn any_amount_of_output_blocks_nobody() {
    let plenty = shell("head -c 20000000 /dev/zero | tr '\\0' x; echo; echo the end");
    let report = first_report(once(plenty, Duration::from_secs(20)));
    assert_eq!(report.state, Passing);
    assert!(report.detail.ends_with("x; the end") && report.detail.len() < 300, "{report:?}");
    // Without end: it is stopped in time, and others run meanwhile.
    let endless = once(command(&["yes"]), Duration::from_secs(1));
    let other = Check { name: "other".to_owned(), ..check("other", command(&["true"])) };
    let bench = Bench::start(&[endless, other]);
    let during = wait_for("the end of yes", || {
        bench.status("it").filter(|status| status.runs > 0).and_then(|_| bench.status("other"))
    });
    assert!(during.runs >= 3, "{during:?}");
    assert!(bench.status("it").unwrap().detail.starts_with("no end in time"));
}

#[test]
fn a_check_never_overlaps_itself_and_makes_up_for_nothing() {
    let desk = Desk::new();
    let lock = desk.path("lock").display().to_string();
    let slow = shell(&format!("mkdir {lock} || exit 1; sleep 0.25; rmdir {lock}"));
    let began = Instant::now();
    let bench = Bench::start(&[check("slow", slow)]);
    bench.expect(Passing);
    let status = bench.wait_for_runs("slow", 5);
    assert!(began.elapsed() >= Duration::from_millis(5 * 250));
    assert_eq!((status.state, status.consecutive), (Passing, 5), "{status:?}");
    bench.no_report_for(SHORT);
}

#[test]
fn stopping_kills_what_is_under_way() {
    let desk = Desk::new();
    let file = desk.path("pids").display().to_string();
    let script = format!("trap '' TERM; sleep 1000 & echo $! $$ > {file}; wait");
    let checks: Vec<Check> = (0..5)
        .map(|number| Check {
            name: format!("{number}"),
            ..once(shell(&script.replace("pids", &format!("pids{number}"))), SHORT * 100)
        })
        .collect();
    let bench = Bench::start(&checks);
    let pids: Vec<i32> = (0..5).flat_map(|number| desk.pids(&format!("pids{number}"), 2)).collect();
    let began = Instant::now();
    drop(bench);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    wait_until_gone(&pids);
}
