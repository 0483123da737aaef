//! Tests of the whole engine through its public face, one module per subject. Names cite conformance numbers.

mod election;
mod properties;
mod simulation;
mod state_table;
mod support;
