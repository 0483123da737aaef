//! The maps between the data plane and the controller.
//!
//! Every map has exactly one writer: the controller writes the lease, settings, policies and templates; its bypass
//! driver writes the `BYPASS_` maps; the data plane writes router states and counters. So no field needs a lock or a compare-and-swap, and neither side can
//! undo what the other decided.

pub mod keys;
pub mod layout;
pub mod names;
pub mod peers;
pub mod values;
