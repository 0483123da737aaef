//! Files in temporary directories, laid out as bypass NICs lay them out, and files that lie.

use super::*;
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use tempfile::TempDir;

fn pair() -> PortPair {
    PortPair {
        name: "wan".into(),
        inside: "eth1".into(),
        outside: "eth2".into(),
        device: Some("g3bp0".into()),
        ..PortPair::default()
    }
}

/// `current_mode` and a watchdog as Chelsio has them, below `root`.
fn chelsio(root: &TempDir) -> SysfsBypass {
    let folder = root.path().join("eth1/bypass");
    fs::create_dir_all(&folder).unwrap();
    for (file, content) in [("current_mode", "normal\n"), ("watchdog", "0\n"), ("watchdog_ping", "")] {
        fs::write(folder.join(file), content).unwrap();
    }
    let below = format!("{}/{{inside}}/bypass", root.path().display());
    SysfsBypass {
        control_path: format!("{below}/current_mode"),
        engage_value: "bypass".into(),
        release_value: "normal".into(),
        read_path: format!("{below}/current_mode"),
        engaged_readings: vec!["bypass".into()],
        released_readings: vec!["normal".into()],
        watchdog: Some(SysfsWatchdog {
            arm_path: format!("{below}/watchdog"),
            arm_value: "{timeout_ms}".into(),
            disarm_value: "0".into(),
            pet_path: format!("{below}/watchdog_ping"),
            pet_value: Some("1".into()),
        }),
    }
}

#[test]
fn a_chelsio_layout_is_switched_and_read_back() {
    let root = TempDir::new().unwrap();
    let mut driver = SysfsDriver::new(chelsio(&root));
    let path = root.path().join("eth1/bypass/current_mode");
    assert_eq!(driver.read_back(&pair()).reading, Reading::Released);
    let written = driver.engage(&pair()).unwrap();
    assert_eq!(written, format!("`bypass` to {}", path.display()));
    assert_eq!(fs::read_to_string(&path).unwrap(), "bypass");
    let found = driver.read_back(&pair());
    assert_eq!(found.reading, Reading::Engaged);
    assert_eq!(found.evidence, format!("`bypass` from {}", path.display()));
    driver.release(&pair()).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "normal", "the longer word is gone");
    assert_eq!(driver.read_back(&pair()).reading, Reading::Released);
}

#[test]
fn a_watchdog_is_armed_petted_and_disarmed_by_its_files() {
    let root = TempDir::new().unwrap();
    let mut driver = SysfsDriver::new(chelsio(&root));
    let file = |name: &str| fs::read_to_string(root.path().join("eth1/bypass").join(name)).unwrap();
    driver.arm_watchdog(&pair(), Duration::from_millis(1500)).unwrap();
    assert_eq!(file("watchdog"), "1500");
    driver.pet(&pair()).unwrap();
    assert_eq!(file("watchdog_ping"), "1");
    driver.disarm(&pair()).unwrap();
    assert_eq!(file("watchdog"), "0");
}

#[test]
fn a_caswell_layout_is_found_by_its_device() {
    let root = TempDir::new().unwrap();
    let folder = root.path().join("g3bp0");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("bypass"), "n\n").unwrap();
    let path = format!("{}/{{device}}/bypass", root.path().display());
    let mut driver = SysfsDriver::new(SysfsBypass {
        control_path: path.clone(),
        engage_value: "b".into(),
        release_value: "n".into(),
        read_path: path.clone(),
        engaged_readings: vec!["b".into(), "2".into()],
        released_readings: vec!["n".into()],
        watchdog: None,
    });
    driver.engage(&pair()).unwrap();
    assert_eq!(fs::read_to_string(folder.join("bypass")).unwrap(), "b");
    fs::write(folder.join("bypass"), "2\n").unwrap();
    assert_eq!(driver.read_back(&pair()).reading, Reading::Engaged, "any of the readings");
    let said = driver.arm_watchdog(&pair(), Duration::from_secs(1)).unwrap_err().to_string();
    assert_eq!(said, "the bypass driver sysfs has no watchdog");
    let nameless = PortPair { device: None, ..pair() };
    assert!(driver.engage(&nameless).unwrap_err().to_string().contains("set link_pair.device"));
}

/// Bytes that wait in a pipe.
fn waiting(pipe: &fs::File) -> i32 {
    let mut count = 0;
    // SAFETY: the call stores one integer.
    assert_eq!(unsafe { libc::ioctl(pipe.as_raw_fd(), libc::FIONREAD, &mut count) }, 0);
    count
}

#[test]
fn a_silicom_watchdog_is_petted_by_reading() {
    let root = TempDir::new().unwrap();
    let path = root.path().join("reset_bypass_wd");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    let mut files = chelsio(&root);
    files.watchdog = files.watchdog.map(|watchdog| SysfsWatchdog {
        pet_path: path.display().to_string(),
        pet_value: None,
        ..watchdog
    });
    let mut driver = SysfsDriver::new(files);
    driver.pet(&pair()).unwrap();
    // What a pipe holds is there until somebody reads it, so it tells whether the file was read.
    let mut hardware =
        OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap();
    for _ in 0..3 {
        hardware.write_all(b"on\n").unwrap();
        assert_eq!(waiting(&hardware), 3);
        driver.pet(&pair()).unwrap();
        assert_eq!(waiting(&hardware), 0);
    }
}

#[test]
fn a_file_that_swallows_what_is_written_reads_as_what_it_is() {
    let root = TempDir::new().unwrap();
    let mut files = chelsio(&root);
    files.control_path = "/dev/null".into();
    let mut driver = SysfsDriver::new(files);
    assert_eq!(driver.engage(&pair()).unwrap(), "`bypass` to /dev/null");
    assert_eq!(driver.read_back(&pair()).reading, Reading::Released);
}

#[test]
fn an_unknown_reading_is_no_guess() {
    let root = TempDir::new().unwrap();
    let mut driver = SysfsDriver::new(chelsio(&root));
    let path = root.path().join("eth1/bypass/current_mode");
    fs::write(&path, "disconnect\n").unwrap();
    let Reading::Unknown(reason) = driver.read_back(&pair()).reading else { panic!("not known") };
    let words = "which is neither in bypass.engaged_readings nor in bypass.released_readings";
    assert_eq!(reason, format!("{} reads `disconnect`, {words}", path.display()));
}

#[test]
fn missing_files_and_refused_writes_are_named_and_nothing_is_created() {
    let root = TempDir::new().unwrap();
    let mut files = chelsio(&root);
    let missing = root.path().join("none");
    files.control_path = missing.display().to_string();
    files.read_path = root.path().display().to_string();
    let mut driver = SysfsDriver::new(files.clone());
    let said = driver.engage(&pair()).unwrap_err().to_string();
    assert!(said.contains(&missing.display().to_string()) && said.contains("No such file"), "{said}");
    assert!(!missing.exists());
    let Reading::Unknown(reason) = driver.read_back(&pair()).reading else { panic!("a directory") };
    assert!(reason.contains("Is a directory"), "{reason}");
    // A file of the kernel that nobody may write, not even root.
    files.control_path = "/proc/version".into();
    let said = SysfsDriver::new(files).engage(&pair()).unwrap_err().to_string();
    assert!(said.starts_with("writing `bypass` to /proc/version: "), "{said}");
}
