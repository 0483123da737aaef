//! What the host says to the agent inside a guest, and what it hears back: one JSON object per line over a
//! virtio-serial port. Requests are answered in order, each by one reply with the request's number.
//!
//! Shared by `vm-lab/guest`, which obeys, and `cargo xtask vm-lab`, which asks. Holds no behaviour.

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Name of the virtio-serial port between host and agent.
pub const PORT_NAME: &str = "holdfast.agent";
/// Where the host lays the list of modules, one file name per line in loading order.
pub const MODULE_LIST: &str = "/modules/order";
/// Directory of the modules.
pub const MODULE_DIR: &str = "/modules";
/// Directory of the logs of spawned programs, `<name>.log`.
pub const LOG_DIR: &str = "/run/log";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    pub id: u64,
    pub order: Order,
}

/// What a guest can be told to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Says who it is.
    Hello,
    /// Runs a program to its end.
    Run { argv: Vec<String> },
    /// Starts a program that stays; its output goes to a file in [`LOG_DIR`].
    Spawn { name: String, argv: Vec<String> },
    /// Gives the content of a file.
    Read { path: String },
    /// Writes a file with these permissions; a file that exists, such as a kernel parameter, keeps its own.
    Write { path: String, content: String, mode: u32 },
    /// Loads every program of the BPF object and attaches the data plane to an interface.
    CheckPrograms { interface: String },
    /// Sends back every datagram that arrives at this address, from now on.
    Echo { address: SocketAddr },
    /// Sends numbered datagrams to an echo, from now on.
    StartTraffic { destination: SocketAddr, interval_ms: u64 },
    /// Gives the figures of the present window, which begins with the traffic or with the last order to begin anew.
    Traffic { anew: bool },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    pub id: u64,
    /// What came of it, or why not.
    pub result: Result<Answer, String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    Done,
    Hello(Hello),
    Ran(Ran),
    Text(String),
    Programs(ProgramsReport),
    Traffic(TrafficWindow),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// As `uname -r` has it.
    pub kernel_release: String,
    /// Time since the kernel started.
    pub uptime_ms: u64,
    /// What could not be mounted or loaded while starting.
    pub complaints: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ran {
    /// `None` if a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// What a kernel made of the BPF object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProgramsReport {
    pub programs: Vec<ProgramReport>,
    /// How the data plane sits on the interface, or why it does not.
    pub attached: Result<AttachReport, String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProgramReport {
    pub name: String,
    pub result: Result<Verified, Refused>,
}

/// A program that passed the verifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// Instructions the verifier walked through, over all paths; the kernel gives up at a million.
    pub instructions: u32,
    /// Size after translation, in bytes.
    pub translated_bytes: u32,
    /// Size as machine code, in bytes; 0 without a JIT.
    pub jited_bytes: u32,
    /// Time of the load, verification included.
    pub load_ms: u64,
}

/// A program that did not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    pub error: String,
    /// The end of the verifier's log.
    pub log: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachReport {
    /// `native` or `generic`.
    pub ingress: String,
    /// `tcx` or `clsact`.
    pub egress: String,
}

/// What became of the datagrams of a stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficWindow {
    pub sent: u64,
    pub answered: u64,
    /// Longest time without an answer, from the start of the window to its end.
    pub longest_gap_ms: u64,
    /// Time since the last answer; `None` if there was none yet.
    pub last_answer_age_ms: Option<u64>,
}
