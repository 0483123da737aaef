//! Holdfast beside the real keepalived and FRR's vrrpd, on one segment, in both roles.
//!
//! Every scenario is judged from outside as well: by the adverts on the wire, and by who answers ARP or neighbour
//! solicitations for the virtual address. Scenarios that hold for every peer are in `scenarios`; the other files say
//! which of them each peer plays, and test what only that peer has.

#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

#[path = "interop/bench.rs"]
mod bench;
#[path = "interop/peer.rs"]
mod peer;
#[path = "interop/scenarios.rs"]
mod scenarios;
#[path = "interop/setup.rs"]
mod setup;
#[path = "interop/speaker.rs"]
mod speaker;

#[path = "interop/checksum_forms.rs"]
mod checksum_forms;
#[path = "interop/frr.rs"]
mod frr;
#[path = "interop/keepalived_ipv6.rs"]
mod keepalived_ipv6;
#[path = "interop/keepalived_unicast.rs"]
mod keepalived_unicast;
#[path = "interop/keepalived_v2.rs"]
mod keepalived_v2;
#[path = "interop/keepalived_v3.rs"]
mod keepalived_v3;
#[path = "interop/virtual_mac.rs"]
mod virtual_mac;
