//! Health checks from outside: real commands, processes, interfaces and reconfigurations.
//!
//! Needs root: commands change their user, and interfaces live in network namespaces that go with their test.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "the helpers of a test fail it by panicking")]

mod bench;
mod commands;
mod interfaces;
mod runner;
mod surroundings;
