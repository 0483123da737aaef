//! Health checks (`[[check]]`): they run here, and what they say of the node is judged here by rise and fall.
//!
//! [`CheckRunner`] owns one thread of normal priority and everything on it; reports leave through the sink it is given.
//! What a judgement means for priorities and requirements is the consumer's business. Nothing here touches an address, a
//! map or the engine, and nothing here can hold up a real-time thread: no lock is shared with one that it would wait for,
//! and no command is started by a fork of the daemon's memory.

mod blocking;
mod command;
mod cycle;
mod examiner;
mod file;
mod http;
mod interface;
mod judgement;

mod process;
mod report;
mod runner;
mod tcp;

pub use http::{HttpTarget, UrlError};
pub use judgement::{CheckState, Judgement};
pub use report::{CheckReport, CheckStatus};
pub use runner::{CheckError, CheckRunner, ReportSink};
