//! The sending side of the keyed peer probe: who we prove to be, what we ask, when, and what the answers mean.
//!
//! Configuration and this node's standing come from the controller as orders; what peers answered comes from the maps the
//! data plane writes (`readings`). One real-time thread (`sender`) runs the `prober`, which sends through sockets of its
//! own and so through the egress program like everything else, and tells path and peer verdicts to a sink. It never reads
//! a reply itself, never answers anybody, and never decides who owns what.

pub mod incarnation;
mod judgement;
pub mod keys;
pub mod paths;
mod phase;
mod probed_path;
mod probed_peer;
mod prober;
#[cfg(test)]
mod prober_tests;
pub mod readings;
pub mod sender;
mod sockets;
pub mod standing;
pub mod status;
mod verdict;
