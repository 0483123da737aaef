//! The probe thread on real sockets: namespaces joined by veth pairs, and a peer in userspace that answers as the data plane
//! would. Needs root.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "the helpers of a test fail it by panicking")]

mod bench;
mod data_plane;
mod families;
mod health;
mod peer;
mod rotation;
mod tap;
mod wire;
