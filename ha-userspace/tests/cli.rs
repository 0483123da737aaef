//! The built binary as scripts see it: words on stdout and stderr, exit codes, and a daemon at the other end of the
//! socket that answers from a table.
#![expect(clippy::unwrap_used, reason = "helpers of tests stand outside of #[test] functions here")]

use holdfast::control::protocol::Response;
use holdfast::control::server::{ControlCommand, Order, bind, serve};
use holdfast::journal::{Event, EventFeed, EventRecord, Timestamp, TransitionEvent};
use holdfast_engine::{Cause, Role};
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};

const ROUTER: &str =
    "[[virtual_router]]\ninterface = \"hf-none0\"\nvrid = 51\naddresses = [\"192.0.2.1/24\"]\n";

struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

fn holdfast(arguments: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_holdfast"))
        .args(arguments)
        .env_remove("RUST_LOG")
        .env_remove("NOTIFY_SOCKET")
        .output()
        .unwrap();
    Ran {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

#[test]
fn check_accepts_a_sound_file_and_warns() {
    let files = Files::new();
    let path = files.write("ok.toml", ROUTER);
    let ran = holdfast(&["check", "--config", &path]);
    assert_eq!((ran.code, ran.stdout), (0, format!("{path} is valid\n")));
    assert_eq!(
        ran.stderr,
        format!(
            "warning: {path}:2: virtual_router[0].interface: this host has no interface hf-none0 now (correct the name, \
             or bring the interface up before the daemon)\n"
        )
    );
}

#[test]
fn check_prints_every_problem() {
    let files = Files::new();
    let path = files.write("bad.toml", "[ha]\nport = 0\nprimry = true\n[[virtual_router]]\nvrid = 300\n");
    let ran = holdfast(&["check", "--config", &path]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
    assert_eq!(
        ran.stderr,
        format!(
            "{path}:2: ha.port: 0 is out of range (use 1 to 65535)\n\
             {path}:3: ha.primry: unknown key (did you mean `primary`?)\n\
             {path}:4: virtual_router[0].interface: missing (add `interface = ...` to this [[virtual_router]])\n\
             {path}:4: virtual_router[0].addresses: missing (add `addresses = ...` to this [[virtual_router]])\n\
             {path}:5: virtual_router[0].vrid: 300 is out of range (use 1 to 255)\n\
             holdfast: {path} has 5 problems\n"
        )
    );
}

#[test]
fn check_as_json() {
    let files = Files::new();
    let path = files.write("bad.toml", &format!("{ROUTER}priority = 0\n"));
    let ran = holdfast(&["check", "--json", "--config", &path]);
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let expected = serde_json::json!({
        "valid": false,
        "problems": [{
            "file": path, "path": "virtual_router[0].priority", "line": 5, "message": "0 is out of range",
            "help": "use 1 to 255; 255 is for the owner of the addresses",
        }],
        "warnings": [],
    });
    assert_eq!((ran.code, json), (1, expected));
}

#[test]
fn check_reads_hostile_files_without_harm() {
    let files = Files::new();
    let binary = files.0.path().join("binary.toml");
    fs::write(&binary, [0xff, 0xfe, 0, 1]).unwrap();
    let nested = files.write("nested.toml", &format!("a = {}", "[".repeat(100_000)));
    for path in [
        binary.to_str().unwrap(),
        &nested,
        "/dev/zero",
        "/nonexistent/x.toml",
        files.0.path().to_str().unwrap(),
    ] {
        let ran = holdfast(&["check", "--config", path]);
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{path}: {}", ran.stderr);
        assert!(ran.stderr.starts_with(path), "{}", ran.stderr);
    }
    let ran = holdfast(&["check", "--config", "/nonexistent/x.toml"]);
    assert_eq!(
        ran.stderr,
        "/nonexistent/x.toml: cannot be read: No such file or directory (os error 2) (name a readable file with \
         --config)\nholdfast: /nonexistent/x.toml has 1 problem\n"
    );
}

#[test]
fn check_inspects_secret_files() {
    let files = Files::new();
    let key = files.write("cluster.key", &"k".repeat(32));
    let text = format!(
        "[node]\nid = 1\n[ha]\nsecret_files = [\"{key}\"]\n[[peer]]\nname = \"gw-b\"\nid = 2\n\
         addresses = [\"192.0.2.3\"]\n{ROUTER}"
    );
    let path = files.write("peers.toml", &text);
    fs::set_permissions(&key, Permissions::from_mode(0o640)).unwrap();
    let ran = holdfast(&["check", "--config", &path]);
    assert_eq!(ran.code, 1);
    assert_eq!(
        ran.stderr,
        format!(
            "{path}:4: ha.secret_files[0]: {key} has mode 0640, which lets others at the secret (run `chmod 0600 {key}`)\nholdfast: {path} has 1 problem\n"
        )
    );
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    assert_eq!(holdfast(&["check", "--config", &path]).code, 0);
}

#[test]
fn run_refuses_a_bad_file_as_check_does() {
    let files = Files::new();
    let path = files.write("bad.toml", "[ha]\nport = 0\n");
    let ran = holdfast(&["run", "--config", &path]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains(&format!("{path}:2: ha.port: 0 is out of range (use 1 to 65535)\n")));
}

#[test]
fn the_example_in_the_documentation_is_sound_but_for_its_secret() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/example.toml");
    let files = Files::new();
    let key = files.write("cluster.key", &"k".repeat(32));
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    let text = fs::read_to_string(example).unwrap().replace("/etc/holdfast/cluster.key", &key);
    let ran = holdfast(&["check", "--config", &files.write("example.toml", &text)]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}

#[test]
fn wrong_usage_is_2() {
    for arguments in [&[][..], &["fly"], &["run"], &["status", "--colour"], &["maintenance", "maybe"]] {
        let ran = holdfast(arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{arguments:?}");
        assert!(ran.stderr.contains("--help"), "{}", ran.stderr);
    }
    assert_eq!(holdfast(&["--help"]).code, 0);
    assert_eq!(holdfast(&["--version"]).stdout, concat!("holdfast ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn what_is_not_built_says_so() {
    let ran = holdfast(&["handover"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
    assert_eq!(ran.stderr, "holdfast: handover is not built yet; nothing was done\n");
}

#[test]
fn an_unreachable_daemon_is_3() {
    let files = Files::new();
    let socket = files.0.path().join("control.sock");
    let socket = socket.to_str().unwrap();
    for verb in ["status", "events", "why", "reload", "failover"] {
        let ran = holdfast(&[verb, "--socket", socket]);
        assert_eq!((ran.code, ran.stdout.as_str()), (3, ""), "{verb}");
        assert_eq!(
            ran.stderr,
            format!(
                "holdfast: the daemon cannot be reached at {socket}: No such file or directory (os error 2) (is it \
                 running? name its socket with --socket)\n"
            )
        );
    }
}

/// A daemon's control socket with a driver that answers from a table, on a thread that ends with it.
struct FakeDaemon {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    directory: TempDir,
    feed: EventFeed,
}

impl Drop for FakeDaemon {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl FakeDaemon {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let feed = EventFeed::default();
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let path = directory.path().join("control.sock");
        let served = feed.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let (orders, mut received) = mpsc::channel::<ControlCommand>(4);
                tokio::spawn(serve(bind(&path).unwrap(), orders, served));
                tokio::spawn(async move {
                    while let Some(command) = received.recv().await {
                        let _ = command.reply.send(Self::answer(&command.order));
                    }
                });
                ready.send(()).unwrap();
                let _ = stopped.await;
            });
        });
        is_ready.recv().unwrap();
        Self { stop: Some(stop), thread: Some(thread), directory, feed }
    }

    fn answer(order: &Order) -> Response {
        match order {
            Order::Status => Response::Status(Box::new(serde_json::from_str(STATUS).unwrap())),
            Order::Reload => {
                Response::Done { message: "reloaded".to_owned(), warnings: vec!["careful".to_owned()] }
            }
            Order::Failover { group: Some(group) } => Response::refused(format!("no group \"{group}\"")),
            Order::Failover { group: None } => Response::done("released"),
            Order::Maintenance { on: true } => Response::refused("still serves"),
            Order::Maintenance { on: false } => Response::done("maintenance is off"),
            Order::Bypass { switch, pair } => match pair {
                Some(pair) => Response::done(format!("{pair}: {switch:?}")),
                None => Response::refused("edge: it lies"),
            },
        }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("control.sock")
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let socket = self.socket();
        let mut all = arguments.to_vec();
        all.extend(["--socket", socket.to_str().unwrap()]);
        holdfast(&all)
    }

    fn happens(&self, seq: u64) {
        let event = TransitionEvent {
            router: "lan".to_owned(),
            from: Role::Backup,
            to: Role::Active,
            cause: Cause::PriorityZero,
            last_advert_age_ns: Some(30_000_000),
            peer: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 3))),
            peer_priority: Some(0),
            deadline_ns: None,
            lateness_ns: 0,
        };
        let at = Timestamp::from(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        self.feed.push(EventRecord { seq, at, boot_ns: 1, event: Event::Transition(event) });
    }
}

const LINE: &str = "2023-11-14T22:13:20.000Z lan: Backup -> Active: the owner stepped down with priority 0 and nobody of \
                    higher priority followed (peer 192.0.2.3 (priority 0), last advert 30ms ago)\n";

#[test]
fn orders_and_refusals() {
    let daemon = FakeDaemon::start();
    let ran = daemon.run(&["reload"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, "reloaded\n", "warning: careful\n"));
    let ran = daemon.run(&["maintenance", "off"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, "maintenance is off\n", ""));
    let ran = daemon.run(&["maintenance", "on"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (1, "", "holdfast: still serves\n"));
    let ran = daemon.run(&["failover", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(json, serde_json::json!({ "done": true, "message": "released", "warnings": [] }));
    let ran = daemon.run(&["failover", "x"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (1, "", "holdfast: no group \"x\"\n"));
    let ran = daemon.run(&["bypass", "engage", "edge"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, "edge: Engage\n", ""));
    let ran = daemon.run(&["bypass", "release"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (1, "", "holdfast: edge: it lies\n"));
    let ran = daemon.run(&["failover", "x", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code, json), (1, serde_json::json!({ "done": false, "reason": "no group \"x\"" })));
}

/// A status object as the outside contract has it.
const STATUS: &str = r#"{ "schema": 1,
  "node": {"name": "gw-a", "id": null, "mode": "standalone", "primary": false, "maintenance": false,
      "started_at": "2023-11-14T22:13:20.000Z", "version": "0.1.0"},
  "controller": {"lease_ns": 1000000000, "lease_remaining_ns": 900000000, "loop_lateness_max_ns": 0,
      "journal_failures": 0},
  "virtual_routers": [{"name": "lan", "group": null, "interface": "lan0", "vrid": 51, "version": 3, "family": "ipv4",
      "addresses": ["192.0.2.1/24"], "state": "backup", "owned": false, "fenced": true, "held_until": null,
      "priority": 100, "effective_priority": 100, "unfit": null, "active_since": null, "last_transition": null,
      "active_router": "192.0.2.3", "last_advert_age_ns": 20000000, "learned_interval_ns": 1000000000,
      "checksum_sent": "rfc9568", "checksum_heard": "rfc5798", "adverts_sent": 0, "adverts_received": 9,
      "adverts_answered_in_xdp": 0, "priority_zero_sent": 0, "priority_zero_received": 0, "transitions": 0,
      "uncorroborated": 0, "discards": {}}],
  "peers": [], "links": [], "link_pairs": [], "checks": [], "bandwidth": [],
  "flaps": {"count": 0, "window_ns": 600000000000, "maximum_allowed": 3, "latched": false, "reason": null,
      "hold_remaining_ns": 0, "release_in_ns": null, "next_expiry_in_ns": null},
  "bypass": {"driver": "none", "topology": null, "engaged": false, "wanted": [], "pairs": [], "faults": [],
      "watchdog": null},
  "data_plane": {"program": "holdfast_xdp", "attached": true, "verdicts": {"advert-absorbed": 9}} }"#;

#[test]
fn status_for_scripts_and_for_people() {
    let daemon = FakeDaemon::start();
    let ran = daemon.run(&["status", "--json"]);
    let shown: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code, shown), (0, serde_json::from_str(STATUS).unwrap()));
    let ran = daemon.run(&["status"]);
    assert_eq!(ran.code, 0);
    for line in [
        "lan           BACKUP, fenced\n",
        "  router      VRID 51 on lan0, VRRPv3 IPv4\n",
        "  active      192.0.2.3\n",
        "  verdicts    advert-absorbed 9\n",
    ] {
        assert!(ran.stdout.contains(line), "{}", ran.stdout);
    }
}

#[test]
fn events_and_why() {
    let daemon = FakeDaemon::start();
    let ran = daemon.run(&["why"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "no transition has been recorded yet\n"));
    daemon.happens(1);
    daemon.happens(2);
    assert_eq!(daemon.run(&["events"]).stdout, LINE.repeat(2));
    let ran = daemon.run(&["events", "--json", "--since", "1"]);
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((json["seq"].as_u64(), json["cause"].as_str()), (Some(2), Some("priority-zero")));

    let ran = daemon.run(&["why", "lan"]);
    assert!(ran.stdout.starts_with("lan went from Backup to Active at 2023-11-14T22:13:20.000Z ("));
    assert!(ran.stdout.contains(
        "\nCause: the owner stepped down with priority 0 and nobody of higher priority followed (priority-zero).\n\
         The last advert that counted came from 192.0.2.3 (priority 0) 30ms before that.\n"
    ));
    let ran = daemon.run(&["why", "wan"]);
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (1, "holdfast: no transition of a virtual router \"wan\" is recorded (recorded: lan)\n")
    );
}

#[test]
fn following_shows_what_happens_next() {
    let daemon = FakeDaemon::start();
    daemon.happens(1);
    let mut child = follower(&daemon.socket());
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    daemon.happens(2);
    lines.read_line(&mut line).unwrap();
    assert_eq!(line, LINE.repeat(2));
    // Its daemon goes: the follower ends and says so.
    drop(daemon);
    assert_eq!(child.wait().unwrap().code(), Some(3));
}

#[test]
fn a_follower_whose_reader_goes_ends_quietly() {
    let daemon = FakeDaemon::start();
    let mut child = follower(&daemon.socket());
    drop(child.stdout.take());
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    let mut seq = 0;
    let status = loop {
        seq += 1;
        daemon.happens(seq);
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(std::time::Instant::now() < deadline);
        std::thread::yield_now();
    };
    assert_eq!(status.code(), Some(0));
}

fn follower(socket: &Path) -> std::process::Child {
    Command::new(env!("CARGO_BIN_EXE_holdfast"))
        .args(["events", "--follow", "--socket"])
        .arg(socket)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}
