//! Tests of the whole engine through its public face, one module per subject. Names cite conformance numbers.
#![expect(clippy::unwrap_used, reason = "the whole crate is test code")]

mod bandwidth;
mod election;
mod flaps;
mod giving_up;
mod groups;
mod pairs;
mod path_health;
mod preemption;
mod properties;
mod simulation;
mod state_table;
mod support;
