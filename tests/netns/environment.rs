//! Places where the daemon cannot run, or not fully: each has a clear answer, and nothing that worked is disturbed.

use crate::support::{INTERVAL, LAN, MS, Router, SECOND, SOON, VIP, pings, start, start_router, transitions};
use holdfast_lab::daemon::{self, Daemon, NodeSpec, configuration};
use holdfast_lab::fabric::attach_foreign_xdp;
use holdfast_lab::topology::Segment;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

/// Directories of a daemon that is not to start, removed with the value.
struct Scratch {
    path: PathBuf,
    bpf_dir: PathBuf,
}

impl Scratch {
    fn new(segment: &Segment) -> Self {
        let name = segment.name.part("scratch");
        let scratch =
            Scratch { path: std::env::temp_dir().join(&name), bpf_dir: Path::new("/sys/fs/bpf").join(&name) };
        for directory in ["run", "state"] {
            std::fs::create_dir_all(scratch.path.join(directory)).unwrap();
        }
        scratch
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Writes the configuration with `[node]` as the lab has it, changed by `edit`.
    fn configure(&self, rest: &str, edit: impl FnOnce(String) -> String) -> PathBuf {
        self.write("holdfast.toml", &edit(configuration("scratch", None, &self.path, &self.bpf_dir, rest)))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// Runs a daemon that is expected to end by itself.
fn run_refused(segment: &Segment, host: &str, config: &Path) -> String {
    let mut command = segment.host(host).command("timeout");
    command.arg("15").arg(daemon::binary().unwrap()).arg("run").arg("--config").arg(config);
    refused(&command.output().unwrap())
}

/// Exit code 1 and the reason.
fn refused(output: &Output) -> String {
    let reason = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{reason}");
    reason
}

fn serves(segment: &Segment, a: &Daemon) {
    let before = a.status().unwrap();
    assert!(before.is_active(LAN) && before.owned(LAN));
    std::thread::sleep(5 * INTERVAL);
    assert!(a.status().unwrap().number(LAN, "adverts_sent") >= before.number(LAN, "adverts_sent") + 4);
    assert!(segment.host("a").has_address(Segment::INTERFACE, &VIP.to_string()));
    assert_eq!(transitions(a, LAN).len(), 2);
}

/// A second daemon on the same `run_dir`, or the same `bpf_dir`, is refused and names it; the first goes on.
#[test]
fn a_second_daemon_on_the_same_directories_is_refused() {
    let segment = Segment::build(&["a", "b"]).unwrap();
    let a = start_router(&segment, "a", &Router::new(200));
    a.wait_state(LAN, "active", SOON).unwrap();
    let reason = run_refused(&segment, "a", &a.config_path());
    assert!(reason.contains("another Holdfast daemon runs") && reason.contains("run_dir"), "{reason}");

    let scratch = Scratch::new(&segment);
    let own = format!("bpf_dir = \"{}\"", scratch.bpf_dir.display());
    let theirs = format!("bpf_dir = \"{}\"", a.bpf_dir().display());
    let config = scratch.configure(&Router::new(100).text(), |text| text.replace(&own, &theirs));
    let reason = run_refused(&segment, "b", &config);
    assert!(reason.contains(&*a.bpf_dir().to_string_lossy()) && reason.contains("bpf_dir"), "{reason}");
    serves(&segment, &a);
}

#[test]
fn a_missing_interface_is_named_and_nothing_stays_attached() {
    let segment = Segment::build(&["a"]).unwrap();
    let scratch = Scratch::new(&segment);
    let text = Router::new(200).text() + &Router::new(200).name("wan").vrid(52).interface("nosuch0").text();
    let text = text.replacen("192.0.2.1/24", "192.0.2.77/24", 1);
    let reason = run_refused(&segment, "a", &scratch.configure(&text, |text| text));
    assert!(reason.contains("nosuch0"), "{reason}");
    assert!(!segment.host("a").ip("-d link show dev eth0").unwrap().contains("xdp"));
    assert!(!scratch.bpf_dir.exists(), "no pins are left");
}

/// Another program on the interface: named, left alone, and so is everything else on the interface.
#[test]
fn a_foreign_xdp_program_is_named_and_left_alone() {
    let segment = Segment::build(&["a", "asker"]).unwrap();
    let node = segment.host("a");
    attach_foreign_xdp(node, Segment::INTERFACE).unwrap();
    let shown = node.ip("-d link show dev eth0").unwrap();
    let id = shown.split_once("prog/xdp id ").unwrap().1.split(' ').next().unwrap().to_owned();
    let scratch = Scratch::new(&segment);
    let reason = run_refused(&segment, "a", &scratch.configure(&Router::new(200).text(), |text| text));
    assert!(reason.contains("eth0") && reason.contains("another XDP program"), "{reason}");
    assert!(reason.contains(&format!("program id {id}")), "{reason}");
    let after = node.ip("-d link show dev eth0").unwrap();
    assert!(after.contains(&format!("prog/xdp id {id} ")), "{after}");
    assert!(pings(segment.host("asker"), &segment.address("a").to_string()), "the network works");
    let tcx = crate::support::run(node, "bpftool", "net show dev eth0");
    assert!(!String::from_utf8_lossy(&tcx.stdout).contains("holdfast"), "no egress program stays");
    assert!(!scratch.bpf_dir.exists());
}

#[test]
fn without_privilege_the_reason_is_said() {
    let segment = Segment::build(&["a"]).unwrap();
    let scratch = Scratch::new(&segment);
    let config = scratch.configure(&Router::new(200).text(), |text| text);
    for directory in ["", "run", "state"] {
        let path = scratch.path.join(directory);
        std::os::unix::fs::chown(&path, Some(65534), Some(65534)).unwrap();
    }
    // The BPF directory exists and is writable, so that permissions of files are not what is tested.
    std::fs::create_dir(&scratch.bpf_dir).unwrap();
    std::os::unix::fs::chown(&scratch.bpf_dir, Some(65534), Some(65534)).unwrap();
    let mut command = segment.host("a").command("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "timeout", "15"]);
    command.arg(daemon::binary().unwrap()).arg("run").arg("--config").arg(&config);
    let output = command.output().unwrap();
    let _ = std::fs::remove_dir(&scratch.bpf_dir);
    let reason = refused(&output);
    let last = reason.lines().last().unwrap_or_default();
    assert!(last.contains("CAP_") && last.contains("root"), "the last line says what is needed: {reason}");
    assert!(!segment.host("a").ip("-d link show dev eth0").unwrap().contains("xdp"));
}

#[test]
fn a_pin_directory_elsewhere_than_on_a_bpf_filesystem_is_refused() {
    let segment = Segment::build(&["a"]).unwrap();
    let scratch = Scratch::new(&segment);
    let own = scratch.bpf_dir.to_string_lossy().into_owned();
    let elsewhere = scratch.path.join("pins").to_string_lossy().into_owned();
    let config = scratch.configure(&Router::new(200).text(), |text| text.replace(&own, &elsewhere));
    let reason = run_refused(&segment, "a", &config);
    assert!(reason.contains(&elsewhere) && reason.contains("BPF filesystem"), "{reason}");
    assert!(reason.contains("mount"), "it says what to do: {reason}");
}

/// What happens with a state directory that `prepare` has spoiled, in a mount namespace of its own.
fn run_with_state(segment: &Segment, scratch: &Scratch, prepare: &str) -> String {
    let config = scratch.configure(&Router::new(200).text(), |text| text);
    let binary = daemon::binary().unwrap();
    let script = format!(
        "cd {} && {prepare} && exec timeout -s TERM 4 {} run --config {}",
        scratch.path.display(),
        binary.display(),
        config.display()
    );
    let output = segment.host("a").command("unshare").args(["-m", "sh", "-c", &script]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.is_empty(), "{output:?}");
    said
}

/// Whether the address stood at any time while `work` ran.
fn address_stood(segment: &Segment, work: impl FnOnce() + Send) -> bool {
    std::thread::scope(|scope| {
        let worker = scope.spawn(work);
        let mut stood = false;
        while !worker.is_finished() {
            stood |= segment.host("a").has_address(Segment::INTERFACE, &VIP.to_string());
            std::thread::sleep(20 * MS);
        }
        worker.join().unwrap();
        stood
    })
}

/// An address that cannot be recorded must not be added: nobody could take it away again after a crash.
#[test]
fn with_a_state_directory_that_takes_nothing_no_address_is_added() {
    for prepare in [
        "mount -t tmpfs -o ro none state",
        "mount -t tmpfs -o size=4k none state && { dd if=/dev/zero of=state/fill bs=4k count=1 2>/dev/null; true; }",
    ] {
        let segment = Segment::build(&["a"]).unwrap();
        let scratch = Scratch::new(&segment);
        let mut said = String::new();
        let stood = address_stood(&segment, || said = run_with_state(&segment, &scratch, prepare));
        assert!(said.contains("state"), "{prepare}: the directory is named: {said}");
        assert!(said.contains("No space left") || said.contains("Read-only"), "{prepare}: {said}");
        assert!(!stood, "{prepare}: the address was added all the same: {said}");
        assert!(!segment.host("a").ip("-d link show dev eth0").unwrap().contains("xdp"), "{said}");
    }
}

/// A damaged record is no reason to guess: the start is refused, the file is named, and so is the remedy.
#[test]
fn a_damaged_record_is_refused_with_the_remedy() {
    let segment = Segment::build(&["a"]).unwrap();
    let scratch = Scratch::new(&segment);
    let record = scratch.write("state/addresses.json", "{ not json");
    let config = scratch.configure(&Router::new(200).text(), |text| text);
    let reason = run_refused(&segment, "a", &config);
    assert!(reason.contains(&*record.to_string_lossy()) && reason.contains("delete this file"), "{reason}");
    let mut unload = segment.host("a").command(daemon::binary().unwrap());
    let output = unload.arg("unload").arg("--config").arg(&config).output().unwrap();
    assert!(refused(&output).contains("addresses.json"));
    std::fs::remove_file(&record).unwrap();
    let spec = NodeSpec { name: "a", id: None, config: &Router::new(200).text() };
    let a = Daemon::start(&segment.name, segment.host("a"), &spec).unwrap();
    a.wait_state(LAN, "active", SOON).unwrap();
}

/// A record from another boot or namespace speaks of other interfaces: nothing is touched because of it.
#[test]
fn a_record_of_another_boot_is_not_acted_on() {
    let segment = Segment::build(&["a"]).unwrap();
    let mut a = start_router(&segment, "a", &Router::new(200));
    a.wait_state(LAN, "active", SOON).unwrap();
    let record = a.state_dir().join("addresses.json");
    a.kill9();
    let text = std::fs::read_to_string(&record).unwrap();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    std::fs::write(&record, text.replace(boot.trim(), "00000000-0000-0000-0000-000000000000")).unwrap();
    a.set_config(&Router::new(200).addresses(&["192.0.2.99/24"]).text()).unwrap();
    a.restart().unwrap();
    a.wait_state(LAN, "active", SOON).unwrap();
    assert!(segment.host("a").has_address(Segment::INTERFACE, &VIP.to_string()), "not ours to remove");
}

/// A damaged journal costs history, not service.
#[test]
fn a_damaged_journal_is_no_reason_not_to_serve() {
    let segment = Segment::build(&["a"]).unwrap();
    let mut a = start_router(&segment, "a", &Router::new(200));
    a.wait_state(LAN, "active", SOON).unwrap();
    assert!(a.stop().unwrap().success());
    let files: Vec<_> =
        std::fs::read_dir(a.state_dir()).unwrap().flatten().map(|entry| entry.path()).collect();
    assert!(!files.is_empty(), "a journal was written");
    for file in files {
        std::fs::write(file, b"\0\xff{\"half\": ").unwrap();
    }
    a.restart().unwrap();
    a.wait_state(LAN, "active", SOON).unwrap();
    assert!(transitions(&a, LAN).len() >= 2);
}

/// Two daemons with directories and a network of their own run side by side.
#[test]
fn daemons_in_their_own_namespaces_do_not_meet() {
    let segments = [Segment::build(&["a"]).unwrap(), Segment::build(&["a"]).unwrap()];
    let daemons = segments.each_ref().map(|segment| start(segment, "a", &Router::new(200).text()));
    for daemon in &daemons {
        daemon.wait_state(LAN, "active", SOON).unwrap();
    }
    std::thread::sleep(Duration::from_millis(300) + SECOND / 2);
    for daemon in &daemons {
        assert_eq!(transitions(daemon, LAN).len(), 2);
    }
}
