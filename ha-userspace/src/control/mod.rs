//! The control socket: what the command line asks a running daemon, and how it is answered.
//!
//! `protocol` and `status` are the words, `server` listens inside the daemon, `client` speaks for the command line,
//! `systemd` tells the service manager. Nothing here decides: orders go to the driver, questions about the past are
//! answered from the journal's memory.

pub mod client;
pub mod protocol;
pub mod server;
pub mod status;
pub mod systemd;

pub use client::{Client, ClientError};
pub use protocol::{Explanation, Request, Response};
pub use server::{ControlCommand, ControlHandler, Order};
pub use status::Status;
