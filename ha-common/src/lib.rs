//! What the data plane and the controller must agree on, defined once.
//!
//! Owns wire formats (`wire`), the names, keys and values of the maps (`maps`), the records of the event ring
//! (`ring_events`) and the table of verdict reasons (`verdict_reasons`). It never allocates, logs or reads a clock.
#![no_std]

pub mod maps;
pub mod ring_events;
pub mod verdict_reasons;
pub mod wire;
