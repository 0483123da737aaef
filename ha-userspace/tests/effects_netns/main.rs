//! The effects on real kernels: addresses, macvlans, link events and adverts in network namespaces. Needs root.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "the helpers of a test fail it by panicking")]

mod addresses;
mod adverts;
mod bench;
mod links;
mod macvlans;
