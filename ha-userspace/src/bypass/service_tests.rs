//! The thread with a real driver over real files.

use super::*;
use crate::bypass::Reading;
use crate::config::validated::{BypassDriver as Configured, SysfsBypass, SysfsWatchdog, Topology, Watchdog};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(10);

fn config(root: &Path, watchdog: bool) -> validated::Bypass {
    let at = |file: &str| format!("{}/{{pair}}-{file}", root.display());
    let files = SysfsBypass {
        control_path: at("mode"),
        engage_value: "1".into(),
        release_value: "0".into(),
        read_path: at("mode"),
        engaged_readings: vec!["1".into()],
        released_readings: vec!["0".into()],
        watchdog: Some(SysfsWatchdog {
            arm_path: at("timeout"),
            arm_value: "{timeout_ms}".into(),
            disarm_value: "off".into(),
            pet_path: at("pet"),
            pet_value: Some("x".into()),
        }),
    };
    let timings = Watchdog { timeout: Duration::from_millis(900), pet_interval: Duration::from_millis(30) };
    validated::Bypass {
        driver: Configured::Sysfs(files),
        topology: Topology::Inline,
        on_controller_loss: false,
        watchdog: watchdog.then_some(timings),
    }
}

fn root() -> TempDir {
    let root = TempDir::new().unwrap();
    for pair in ["wan", "dmz"] {
        for (file, content) in [("mode", "0"), ("timeout", ""), ("pet", "")] {
            fs::write(root.path().join(format!("{pair}-{file}")), content).unwrap();
        }
    }
    root
}

fn spawn(config: &validated::Bypass) -> (Bypass, Receiver<BypassReport>) {
    let pairs = ["wan", "dmz"].map(|name| PortPair { name: name.into(), ..PortPair::default() });
    let (reports, received) = channel();
    let sink = Box::new(move |report| drop(reports.send(report)));
    (Bypass::spawn(config, &pairs, None, sink).unwrap().unwrap(), received)
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + SOON;
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn orders_reach_the_files_and_reports_come_back() {
    let root = root();
    let (bypass, reports) = spawn(&config(root.path(), false));
    for _ in 0..2 {
        let report = reports.recv_timeout(SOON).unwrap();
        assert_eq!((report.reading, report.fault), (Reading::Released, None));
    }
    bypass.engage(["wan", "dmz"]);
    for pair in ["wan", "dmz"] {
        let report = reports.recv_timeout(SOON).unwrap();
        assert_eq!((report.pair.as_str(), report.reading), (pair, Reading::Engaged));
        assert_eq!(fs::read_to_string(root.path().join(format!("{pair}-mode"))).unwrap(), "1");
    }
    bypass.release(["dmz"]);
    let report = reports.recv_timeout(SOON).unwrap();
    assert_eq!((report.pair.as_str(), report.reading), ("dmz", Reading::Released));
    assert!(bypass.stop().is_none());
    assert_eq!(fs::read_to_string(root.path().join("wan-mode")).unwrap(), "1", "a stop moves no relay");
    let timeout = fs::read_to_string(root.path().join("wan-timeout")).unwrap();
    assert_eq!(timeout, "", "no watchdog was configured, none is touched");
}

#[test]
fn a_clean_stop_disarms_and_a_lost_handle_does_not() {
    for clean in [true, false] {
        let root = root();
        let (bypass, _reports) = spawn(&config(root.path(), true));
        let file = |name: &str| fs::read_to_string(root.path().join(name)).unwrap();
        eventually("armed", || file("wan-timeout") == "900" && file("dmz-timeout") == "900");
        assert_eq!(file("wan-pet"), "", "no pet before a proof");
        bypass.pet(clock::now());
        eventually("petted", || file("wan-pet") == "x" && file("dmz-pet") == "x");
        if clean {
            assert!(bypass.stop().is_none());
        } else {
            drop(bypass);
        }
        let expected = if clean { "off" } else { "900" };
        assert_eq!((file("wan-timeout").as_str(), file("dmz-timeout").as_str()), (expected, expected));
    }
}

#[test]
fn no_driver_needs_no_thread_and_the_wire_needs_maps() {
    let mut config = config(Path::new("/nonexistent"), false);
    config.driver = Configured::None;
    assert!(Bypass::spawn(&config, &[], None, Box::new(drop)).unwrap().is_none());
    config.driver = Configured::Xdp;
    let refused = Bypass::spawn(&config, &[], None, Box::new(drop)).unwrap_err();
    assert!(refused.to_string().contains("needs the maps"));
}
