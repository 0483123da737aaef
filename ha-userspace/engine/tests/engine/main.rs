//! Tests of the whole engine through its public face, one module per subject. Names cite conformance numbers.
#![expect(clippy::unwrap_used, reason = "the whole crate is test code")]

mod bandwidth;
mod bypass;
mod election;
mod flaps;
mod giving_up;
mod groups;
mod pairs;
mod path_health;
mod peers_corroboration;
mod peers_fitness;
mod peers_takeover;
mod peers_trust;
mod peers_vouching;
mod preemption;
mod properties;
mod standing_down;
mod state_table;
mod support;
