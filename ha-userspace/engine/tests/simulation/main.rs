//! Whole clusters around the real engine, under every fault that can befall them: deterministic, by seeds.
//!
//! `scenarios` and `peered` play known situations out; `campaign` draws histories from seeds, watches invariants after every
//! step, and shrinks what fails. docs/simulation.md says what is modelled, with which bounds, and how to replay a seed.
#![expect(clippy::unwrap_used, reason = "the whole crate is test code")]

mod air;
mod bounds;
mod campaign;
mod dice;
mod fault;
mod fitness;
mod history;
mod node;
mod peered;
mod plane;
mod prober;
mod scenarios;
mod setting;
#[path = "../engine/support/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "the bench is the engine suite's; the simulation shares its numbers"
)]
mod support;
mod watch;
mod world;
