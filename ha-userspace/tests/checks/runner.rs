//! The runner: judgement over time, changes of the configuration, and its thread.

use crate::bench::{Bench, Desk, check, command, runs, shell, wait_for, wait_until_gone};
use holdfast::checks::CheckState::{Failing, Passing, Unknown};
use holdfast::checks::{CheckError, CheckRunner};
use holdfast::config::validated::{Check, CheckKind, CheckScope};
use holdfast::runtime::clock;
use holdfast::runtime::realtime::{RealtimePriority, enter_realtime};
use std::net::TcpListener;
use std::time::Duration;

fn file(desk: &Desk, name: &str) -> CheckKind {
    CheckKind::File { path: desk.path(name), content: None }
}

fn http(url: &str) -> CheckKind {
    CheckKind::Http { url: url.to_owned(), status: Vec::new(), body: None }
}

#[test]
fn every_kind_runs() {
    let desk = Desk::new();
    desk.file("there", "on\n", 0o600);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let checks = [
        check("command", command(&["true"])),
        check("file", CheckKind::File { path: desk.path("there"), content: Some("on".to_owned()) }),
        check("http", http("http://127.0.0.1:1/")),
        check("interface", CheckKind::Interface { interface: "hf-none".to_owned() }),
        check("process", CheckKind::Process { process: "hf-none".to_owned(), minimum_count: 1 }),
        check("tcp", CheckKind::Tcp { address }),
    ];
    let before = clock::now();
    let bench = Bench::start(&checks);
    let mut reports: Vec<_> = (0..checks.len()).map(|_| bench.report()).collect();
    reports.sort_by(|one, other| one.name.cmp(&other.name));
    let states: Vec<_> = reports.iter().map(|report| (report.name.as_str(), report.state)).collect();
    let failing = [("http", Failing), ("interface", Failing), ("process", Failing)];
    let wanted = [&[("command", Passing), ("file", Passing)][..], &failing, &[("tcp", Passing)]].concat();
    assert_eq!(states, wanted, "{reports:?}");
    assert!(reports.iter().all(|report| !report.detail.is_empty() && !report.detail.contains('\n')));
    assert!(reports.iter().all(|report| report.at >= before && report.at <= clock::now()));
    let names: Vec<_> = bench.runner.statuses().iter().map(|status| status.name.clone()).collect();
    assert_eq!(names, ["command", "file", "http", "interface", "process", "tcp"]);
}

#[test]
fn rise_and_fall_hold_back_single_results() {
    let desk = Desk::new();
    let bench = Bench::start(&[Check { rise: 3, fall: 4, ..check("it", file(&desk, "flag")) }]);
    bench.expect(Failing);
    desk.file("flag", "", 0o600);
    let before = bench.status("it").unwrap();
    bench.expect(Passing);
    let after = bench.status("it").unwrap();
    assert!(after.runs >= before.runs + 2 && after.consecutive >= 3, "{before:?} {after:?}");
    assert_eq!(after.last_good, Some(true));
    assert!(after.changed_at > before.changed_at);
    std::fs::remove_file(desk.path("flag")).unwrap();
    let began = clock::now();
    assert!(bench.expect(Failing).contains("does not exist"));
    let took = clock::now().since(began).as_nanos();
    assert!(took >= 3 * 50_000_000, "four bad results are three intervals apart, not {took} ns");
}

#[test]
fn a_change_keeps_what_it_does_not_touch() {
    let desk = Desk::new();
    let pids = desk.path("pids").display().to_string();
    let long = Check {
        timeout: Duration::from_secs(500),
        ..check("long", shell(&format!("echo $$ >> {pids}; exec sleep 1000")))
    };
    let flag = check("flag", file(&desk, "flag"));
    let bench = Bench::start(&[long.clone(), flag.clone()]);
    bench.expect(Failing);
    let sleeper = desk.pids("pids", 1)[0];
    // Weight and scope are not the runner's; a new check is run at once.
    let reweighed = Check { weight: -20, scope: CheckScope::Group("lan".to_owned()), ..long.clone() };
    let slower = Check { interval: Duration::from_millis(60), fall: 7, ..flag.clone() };
    let known = bench.wait_for_runs("flag", 3);
    bench.runner.reconfigure(&[reweighed, slower, check("new", command(&["true"]))]).unwrap();
    let report = bench.report();
    assert_eq!((report.name.as_str(), report.state), ("new", Passing));
    assert!(runs(sleeper), "the command was not interrupted");
    let later = bench.wait_for_runs("flag", known.runs + 2);
    assert_eq!(later.state, Failing, "kept across the change of its timing");
    bench.no_report_for(Duration::from_millis(200));
    // Gone: nothing of it runs, nothing of it is told.
    bench.runner.reconfigure(&[flag]).unwrap();
    wait_until_gone(&[sleeper]);
    wait_for("the others to be gone", || (bench.runner.statuses().len() == 1).then_some(()));
    bench.no_report_for(Duration::from_millis(200));
}

#[test]
fn a_check_that_becomes_another_is_unknown_until_it_has_run() {
    let desk = Desk::new();
    let bench = Bench::start(&[check("it", command(&["true"]))]);
    bench.expect(Passing);
    bench.runner.reconfigure(&[Check { rise: 9, ..check("it", file(&desk, "none")) }]).unwrap();
    assert!(bench.expect(Unknown).contains("was changed"));
    bench.expect(Failing);
    // Back within the same order of changes.
    bench.runner.reconfigure(&[]).unwrap();
    bench.runner.reconfigure(&[check("it", command(&["true"]))]).unwrap();
    bench.expect(Passing);
}

#[test]
fn what_can_never_run_is_refused_and_changes_nothing() {
    let spawn = |kind| CheckRunner::spawn(&[check("web", kind)], Box::new(drop));
    let https = spawn(http("https://192.0.2.1/")).unwrap_err();
    assert!(matches!(https, CheckError::Url { .. }));
    let said = https.to_string();
    assert!(said.starts_with("check web: url \"https://192.0.2.1/\": https is not spoken here"), "{said}");
    assert!(matches!(spawn(command(&[])), Err(CheckError::Command { .. })));
    let bench = Bench::start(&[check("it", command(&["true"]))]);
    bench.expect(Passing);
    let refused = bench.runner.reconfigure(&[check("it", http("ftp://192.0.2.1/"))]);
    assert!(refused.unwrap_err().to_string().contains("must begin with http://"));
    let runs = bench.status("it").unwrap().runs;
    assert_eq!(bench.wait_for_runs("it", runs + 2).state, Passing);
}

#[test]
fn the_thread_is_a_normal_one_whoever_starts_it() {
    let bench = std::thread::spawn(|| {
        enter_realtime(RealtimePriority::CONTROLLER);
        Bench::start(&[check("only-here", command(&["true"]))])
    });
    let bench = bench.join().unwrap();
    bench.expect(Passing);
    let mut seen = 0;
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        // Threads of other tests come and go.
        let Ok(stat) = std::fs::read_to_string(task.unwrap().path().join("stat")) else { continue };
        if stat.contains("(hf-checks") {
            let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
            // Nice is the 19th field and the policy the 41st; the third follows the name.
            assert_eq!((fields[19 - 3], fields[41 - 3]), ("0", "0"), "{stat}");
            seen += 1;
        }
    }
    assert!(seen > 0);
}
