//! Drives the engine: the threads, the clock, the controller's loop and its lease.

mod bandwidth;
pub mod clock;
mod controller;
mod discard_watch;
pub mod instance;
mod lease;
pub mod mailbox;
mod peers;
mod perform;
mod plan;
pub mod realtime;
mod report;
mod requests;
mod routers;
mod server;
mod stall;
mod startup;
mod units;
mod wiring;

pub use startup::{run, unload};
