//! FRR's bfdd in a namespace, with one peer: what a detector of the same times takes to notice a loss.
//!
//! When a session went down is taken from the daemon's log, which it stamps to the microsecond.

use crate::clock::Moment;
use crate::frr;
use crate::netns::{LabName, Namespace};
use crate::poll::{eventually, eventually_true};
use crate::process::Process;
use crate::workdir::WorkDir;
use anyhow::{Context, Result};
use std::net::IpAddr;
use std::time::Duration;

const READY_WITHIN: Duration = Duration::from_secs(15);
/// What the daemon writes when a session goes down.
const DOWN: &str = "up -> down";

/// A session's ends and times.
#[derive(Clone, Debug)]
pub struct BfdSession {
    pub local: IpAddr,
    pub peer: IpAddr,
    /// Of sending and of receiving; bfdd takes 10 ms or more.
    pub interval: Duration,
    pub multiplier: u8,
}

impl BfdSession {
    fn text(&self) -> String {
        let BfdSession { local, peer, interval, multiplier } = self;
        let interval = interval.as_millis();
        format!(
            "log timestamp precision 6\ndebug bfd peer\nbfd\n peer {peer} local-address {local}\n  detect-multiplier {multiplier}\n  \
             receive-interval {interval}\n  transmit-interval {interval}\n  no shutdown\n exit\nexit\n"
        )
    }
}

/// Running zebra and bfdd. Fields are dropped in order: the daemons before their files.
#[derive(Debug)]
pub struct Bfd {
    bfdd: Process,
    _zebra: Process,
    namespace: Namespace,
    files: WorkDir,
}

impl Bfd {
    /// Starts both daemons in `namespace`; `name` is unique in the lab.
    pub fn start(lab: &LabName, namespace: &Namespace, name: &str, session: &BfdSession) -> Result<Self> {
        let files = WorkDir::create(lab, &format!("{name}-bfd"))?;
        frr::give_to_user(files.path())?;
        files.write("zebra.conf", "")?;
        files.write("bfdd.conf", &session.text())?;
        let zebra = frr::run(namespace, "zebra", &files, &[])?;
        let socket = files.path().join("zserv.api");
        eventually_true("zebra's socket", READY_WITHIN, || socket.exists())
            .with_context(|| zebra.log_tail())?;
        // One control socket per node: the packaged one belongs to the host's FRR.
        let control = files.path().join("bfdd.sock");
        let control = control.to_string_lossy();
        let bfdd = frr::run(namespace, "bfdd", &files, &["--bfdctl", &control])?;
        Ok(Bfd { bfdd, _zebra: zebra, namespace: Namespace::open(namespace.name())?, files })
    }

    /// Waits until the session is up, at the configured times.
    pub fn wait_up(&self) -> Result<()> {
        let up = || {
            let shown = frr::vtysh(&self.namespace, self.files.path(), &["show bfd peers json"]).ok()?;
            let peers: serde_json::Value = serde_json::from_str(&shown).ok()?;
            (peers[0]["status"] == "up").then_some(())
        };
        eventually("the BFD session is up", READY_WITHIN, up).with_context(|| self.bfdd.log_tail())
    }

    /// Waits until the session has gone down since `begin`, and gives when that was.
    pub fn wait_down(&self, begin: Moment, deadline: Duration) -> Result<Moment> {
        let found = eventually("the BFD session goes down", deadline, || {
            let log = self.bfdd.log();
            let down = log.lines().rev().filter(|line| line.contains(DOWN)).find_map(stamp)?;
            (down >= begin).then_some(down)
        });
        found.with_context(|| self.bfdd.log_tail())
    }
}

/// The moment that a line of the log begins with, in the recent past: `2026/01/31 12:34:56.123456 ...`.
fn stamp(line: &str) -> Option<Moment> {
    const DAY_US: i64 = 24 * 3600 * 1_000_000;
    let of_day = time_of_day(line)?;
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: all-zero is a valid tm, and both places are valid for the results.
    let (now_of_day, local) = unsafe {
        let mut local: libc::tm = std::mem::zeroed();
        libc::clock_gettime(libc::CLOCK_REALTIME, &mut now);
        libc::localtime_r(&now.tv_sec, &mut local);
        (now.tv_nsec / 1000, local)
    };
    let seconds = i64::from((local.tm_hour * 60 + local.tm_min) * 60 + local.tm_sec);
    let age = (seconds * 1_000_000 + now_of_day - of_day).rem_euclid(DAY_US);
    Some(Moment::now().before(Duration::from_micros(age as u64)))
}

/// Microseconds since midnight.
fn time_of_day(line: &str) -> Option<i64> {
    let clock = line.split_whitespace().nth(1)?;
    let (whole, fraction) = clock.split_once('.')?;
    let mut seconds = 0;
    for part in whole.split(':') {
        seconds = seconds * 60 + part.parse::<i64>().ok()?;
    }
    (fraction.len() == 6).then_some(seconds * 1_000_000 + fraction.parse::<i64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_its_time_of_day() {
        let line = "2026/01/31 12:34:56.000123 BFD: [SEY1D-NT8EQ] state-change: up -> down";
        assert_eq!(time_of_day(line), Some(((12 * 60 + 34) * 60 + 56) * 1_000_000 + 123));
        assert_eq!(time_of_day("2026/01/31 12:34:56 BFD"), None);
    }

    #[test]
    fn the_configuration_names_both_ends() {
        let session = BfdSession {
            local: "192.0.2.10".parse().unwrap(),
            peer: "192.0.2.11".parse().unwrap(),
            interval: Duration::from_millis(10),
            multiplier: 3,
        };
        let text = session.text();
        assert!(text.contains("peer 192.0.2.11 local-address 192.0.2.10\n"), "{text}");
        assert!(
            text.contains("detect-multiplier 3\n  receive-interval 10\n  transmit-interval 10\n"),
            "{text}"
        );
    }
}
