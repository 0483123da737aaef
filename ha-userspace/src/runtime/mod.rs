//! Drives the engine: the threads, the clock, the controller's loop and its lease.

mod bandwidth;
mod bypass_exchange;
mod bypassing;
pub mod clock;
mod controller;
mod discard_watch;
mod fitness;
mod fitness_report;
mod governor;
pub mod instance;
mod latch_writer;
mod lease;
mod link_pairs;
pub mod mailbox;
mod maintenance;
mod passing;
mod peers;
mod perform;
mod plan;
pub mod realtime;
mod report;
mod requests;
mod requirements;
mod routers;
mod server;
mod stall;
mod startup;
mod units;
mod wiring;

pub use startup::{run, unload};
