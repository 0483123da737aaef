//! Programs that do as they are told, fail, lie, hang, shout, or are not there.

use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tempfile::TempDir;

/// Keeps its state in a file and notes its arguments.
const GOOD: &str = r#"
case "$1" in
  engage) echo engaged > state ;;
  release) echo released > state ;;
  status) cat state ;;
esac
echo "$@" >> calls
"#;

fn script(root: &TempDir, body: &str) -> PathBuf {
    let path = root.path().join("bypass-tool");
    let text = format!("#!/bin/sh\ncd {}\n{body}", root.path().display());
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    path
}

fn driver_of(program: &Path, timeout: Duration) -> CommandDriver {
    CommandDriver::new(CommandBypass { argv: vec![program.display().to_string()], timeout })
}

fn driver(root: &TempDir, body: &str) -> CommandDriver {
    driver_of(&script(root, body), Duration::from_secs(10))
}

fn pair() -> PortPair {
    PortPair { name: "w a;n".into(), inside: "eth1".into(), outside: "eth2".into(), ..PortPair::default() }
}

#[test]
fn a_program_is_told_verb_and_pair_and_asked_for_the_state() {
    let root = TempDir::new().unwrap();
    let mut driver = driver(&root, GOOD);
    driver.release(&pair()).unwrap();
    assert_eq!(driver.read_back(&pair()).reading, Reading::Released);
    driver.engage(&pair()).unwrap();
    let found = driver.read_back(&pair());
    assert_eq!(found.reading, Reading::Engaged);
    assert!(found.evidence.starts_with("`engaged` from `") && found.evidence.ends_with(" status w a;n`"));
    driver.arm_watchdog(&pair(), Duration::from_millis(1500)).unwrap();
    driver.pet(&pair()).unwrap();
    driver.disarm(&pair()).unwrap();
    let calls = fs::read_to_string(root.path().join("calls")).unwrap();
    let last: Vec<&str> = calls.lines().skip(4).collect();
    let behind = "w a;n eth1 eth2";
    assert_eq!(last, [format!("arm 1500 {behind}"), format!("pet {behind}"), format!("disarm {behind}")]);
}

#[test]
fn a_failure_carries_what_the_program_said() {
    let root = TempDir::new().unwrap();
    let mut driver = driver(&root, "echo 'relay board is off' >&2; exit 3");
    let said = driver.engage(&pair()).unwrap_err().to_string();
    assert!(said.contains("engage w a;n`: exit status: 3: relay board is off"), "{said}");
    assert!(matches!(driver.read_back(&pair()).reading, Reading::Unknown(_)));
}

#[test]
fn a_status_of_other_words_is_unknown() {
    let root = TempDir::new().unwrap();
    let mut driver = driver(&root, "echo perhaps");
    let Reading::Unknown(reason) = driver.read_back(&pair()).reading else { panic!("not known") };
    assert!(reason.ends_with("printed `perhaps`, neither `engaged` nor `released`"), "{reason}");
}

fn is_alive(pid: &str) -> bool {
    // A zombie has ended; whoever adopted it will see to it.
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or("").trim_start().starts_with('Z'))
}

fn ends(pid: &str) -> bool {
    let deadline = Instant::now() + Duration::from_secs(5);
    while is_alive(pid) {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

#[test]
fn a_program_that_hangs_is_killed_with_all_that_it_started() {
    let root = TempDir::new().unwrap();
    let program = script(&root, "trap '' TERM\nsleep 600 &\necho $! > grandchild\necho $$ > child\nwait");
    let timeout = Duration::from_millis(700);
    let mut driver = driver_of(&program, timeout);
    let begin = Instant::now();
    let said = driver.engage(&pair()).unwrap_err().to_string();
    assert!(said.contains("did not end within 700ms"), "{said}");
    assert!(begin.elapsed() >= timeout && begin.elapsed() < Duration::from_secs(10));
    for who in ["child", "grandchild"] {
        let pid = fs::read_to_string(root.path().join(who)).unwrap();
        assert!(ends(pid.trim()), "{who} lives on");
    }
}

#[test]
fn what_a_finished_program_leaves_running_neither_delays_nor_survives() {
    let root = TempDir::new().unwrap();
    let mut driver = driver(&root, "sleep 600 &\necho $! > grandchild\necho engaged");
    let begin = Instant::now();
    assert_eq!(driver.read_back(&pair()).reading, Reading::Engaged);
    assert!(begin.elapsed() < Duration::from_secs(8), "its output was not waited for");
    let pid = fs::read_to_string(root.path().join("grandchild")).unwrap();
    assert!(ends(pid.trim()));
}

#[test]
fn a_program_that_shouts_is_not_blocked_and_not_kept() {
    let root = TempDir::new().unwrap();
    let mut driver =
        driver(&root, "head -c 1000000 /dev/zero | tr '\\0' x\nhead -c 1000000 /dev/zero >&2\nexit 1");
    let said = driver.engage(&pair()).unwrap_err().to_string();
    assert!(said.contains("exit status: 1") && said.len() < 10_000, "{} bytes", said.len());
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let mut driver = driver_of(Path::new("/nonexistent/bypass-tool"), Duration::from_secs(1));
    let said = driver.engage(&pair()).unwrap_err().to_string();
    assert!(
        said.starts_with("bypass command `/nonexistent/bypass-tool engage w a;n`: cannot be started: "),
        "{said}"
    );
    let mut nameless =
        CommandDriver::new(CommandBypass { argv: Vec::new(), timeout: Duration::from_secs(1) });
    assert!(nameless.engage(&pair()).unwrap_err().to_string().contains("no program named"));
}
