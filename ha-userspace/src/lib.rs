//! The Holdfast daemon and command line, as a library so that tests can reach its rooms.
//!
//! Data flows one way: `datapath` (maps and ring) -> engine -> `effects`; `runtime` drives, `control` and `cli` show.

pub mod bpf_object;
pub mod bypass;
pub mod checks;
pub mod cli;
pub mod config;
pub mod control;
pub mod datapath;
pub mod effects;
pub mod journal;
pub mod probes;
pub mod runtime;
