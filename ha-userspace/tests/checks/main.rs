//! Health checks from outside: real commands, processes, interfaces and reconfigurations.
//!
//! Needs root: commands change their user, and interfaces live in network namespaces that go with their test.

mod bench;
mod commands;
mod interfaces;
mod runner;
mod surroundings;
