//! The bench under the tests of checks: a runner whose reports can be waited for, scripts that an unprivileged user can
//! run, and processes that are looked for by pid.

use holdfast::checks::{CheckReport, CheckRunner, CheckState, CheckStatus};
use holdfast::config::validated::{Check, CheckKind, CheckScope};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// Far above what any step takes.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);
/// Between looks at something that is waited for.
const PAUSE: Duration = Duration::from_millis(5);

/// A check that counts every result, every 50 ms.
pub(crate) fn check(name: &str, kind: CheckKind) -> Check {
    Check {
        name: name.to_owned(),
        kind,
        interval: Duration::from_millis(50),
        timeout: Duration::from_secs(5),
        rise: 1,
        fall: 1,
        weight: 0,
        scope: CheckScope::Node,
    }
}

/// A command without a shell, as nobody.
pub(crate) fn command(argv: &[&str]) -> CheckKind {
    let argv = argv.iter().map(|&word| word.to_owned()).collect();
    CheckKind::Command { argv, shell: false, user: "nobody".to_owned() }
}

/// A command for the shell, as nobody.
pub(crate) fn shell(script: &str) -> CheckKind {
    CheckKind::Command { argv: vec![script.to_owned()], shell: true, user: "nobody".to_owned() }
}

/// A runner and its reports.
pub(crate) struct Bench {
    pub(crate) runner: CheckRunner,
    reports: Receiver<CheckReport>,
}

impl Bench {
    pub(crate) fn start(checks: &[Check]) -> Self {
        let (sender, reports) = mpsc::channel();
        let sink = Box::new(move |report| drop(sender.send(report)));
        Self { runner: CheckRunner::spawn(checks, sink).unwrap(), reports }
    }

    pub(crate) fn report(&self) -> CheckReport {
        self.reports.recv_timeout(DEADLINE).expect("a report")
    }

    /// The next report must be of this state; returns its detail.
    pub(crate) fn expect(&self, state: CheckState) -> String {
        let report = self.report();
        assert_eq!(report.state, state, "{report:?}");
        report.detail
    }

    pub(crate) fn no_report_for(&self, time: Duration) {
        assert_eq!(self.reports.recv_timeout(time), Err(RecvTimeoutError::Timeout));
    }

    pub(crate) fn status(&self, name: &str) -> Option<Arc<CheckStatus>> {
        self.runner.statuses().into_iter().find(|status| status.name == name)
    }

    pub(crate) fn wait_for_runs(&self, name: &str, runs: u64) -> Arc<CheckStatus> {
        wait_for("runs", || self.status(name).filter(|status| status.runs >= runs))
    }
}

/// Runs a check once and returns its first report.
pub(crate) fn first_report(check: Check) -> CheckReport {
    Bench::start(&[check]).report()
}

/// The detail of a check that must fail.
pub(crate) fn failure(kind: CheckKind) -> String {
    let report = first_report(check("it", kind));
    assert_eq!(report.state, CheckState::Failing, "{report:?}");
    report.detail
}

pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited {DEADLINE:?} for {what}");
        std::thread::sleep(PAUSE);
    }
}

/// A directory that everybody may write to.
pub(crate) struct Desk {
    directory: tempfile::TempDir,
}

impl Desk {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::set_permissions(directory.path(), Permissions::from_mode(0o777)).unwrap();
        Self { directory }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A file with these contents and mode; returns its path.
    pub(crate) fn file(&self, name: &str, content: &str, mode: u32) -> String {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// The pids that a script has written to a file, once there are `count`.
    pub(crate) fn pids(&self, name: &str, count: usize) -> Vec<i32> {
        wait_for("pids", || {
            let text = std::fs::read_to_string(self.path(name)).ok()?;
            let complete = text.ends_with('\n');
            let pids: Vec<i32> = text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
            (complete && pids.len() >= count).then_some(pids)
        })
    }
}

/// Whether a process runs: it is there, and no zombie that waits for whoever adopted it.
pub(crate) fn runs(pid: i32) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
    stat.is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| !rest.starts_with(['Z', 'X'])))
}

/// Waits until none of them runs any more.
pub(crate) fn wait_until_gone(pids: &[i32]) {
    wait_for(&format!("the end of {pids:?}"), || pids.iter().all(|&pid| !runs(pid)).then_some(()));
}

/// The children of this process that nobody has collected, of those given.
pub(crate) fn uncollected(pids: &[i32]) -> Vec<i32> {
    let there = |pid: &&i32| Path::new("/proc").join(pid.to_string()).exists();
    pids.iter().filter(there).copied().collect()
}
