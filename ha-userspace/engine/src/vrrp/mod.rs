//! One virtual router: its timers, its election rule, its three states and the ways between them.
//!
//! Nothing here knows of other routers; what a change means for a group is said by a [`Consequence`] and drawn in
//! [`crate::groups`].

mod active;
mod backup;
pub(crate) mod election;
mod instance;
mod notices;
mod pending;
pub(crate) mod timers;
mod transitions;

pub(crate) use active::ReleaseKind;
pub(crate) use instance::{Consequence, Impairment, Router, State};
