//! Two nodes, one segment and a sync link, with every placement of a bounded number of faults.
//!
//! The decisions are the engine's own, called as the daemon calls it. What stands around it is modelled: the data plane's
//! judgement of adverts and its fence, the probes and their words, the lease, and time in steps. The checker visits every
//! state that faults can lead to, at every moment they can strike, until nothing new comes up; it is told which states must
//! never be. Time in a state is relative, so that the same situation an hour later is the same state.
//!
//! Left out, and tried by the seeded simulation instead: messages under way (they arrive at once or not at all), clocks that
//! run apart, controllers that run in another order within a step, more nodes, groups, requirements and flaps.

pub mod check;
pub mod cluster;
pub mod faults;
pub mod model;
pub mod node;
pub mod peering;
pub mod plane;
pub mod relative;
pub mod settings;

pub use check::{Breach, Report, check};
pub use cluster::Cluster;
pub use faults::Fault;
pub use model::{ClusterModel, Deed};
pub use settings::Settings;
