//! What must hold of every parser of outside bytes, whatever the bytes are.
//!
//! A [`Target`] is a function over bytes that panics when a property is broken. libFuzzer calls it with inputs that
//! coverage guides (`cargo xtask fuzz`), and an ordinary test with the kept ones (`tests/replay.rs`). Targets never
//! touch the network, the clock or the disk, so that an input says the same everywhere.

mod choices;
mod kernel_view;
mod reference_advert;
pub mod seeds;
mod targets;

pub use targets::{TARGETS, Target, target};

/// Environment variable that names the target to the fuzzer.
pub const TARGET_VARIABLE: &str = "HOLDFAST_FUZZ_TARGET";
/// Longest input that is kept in the repository, bytes.
pub const LONGEST_KEPT: usize = 4096;
