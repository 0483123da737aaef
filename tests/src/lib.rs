//! The lab: namespaces, wires, traffic and the programs under test, for scenarios, interop, the demo and benches.
//!
//! Everything is plain Linux: the `ip` tool, a few system calls and the real packages. What the lab makes carries the
//! creator's pid in its name and disappears when the value is dropped, on a panic, on Ctrl-C and SIGTERM, and at the
//! latest when the next lab starts. Nothing here depends on the daemon's code: the lab judges it from outside.

pub mod acts;
pub mod adverts;
pub mod bfd;
pub mod clock;
pub mod conformance;
pub mod daemon;
pub mod episode;
pub mod fabric;
pub mod figures;
pub mod forge;
pub mod frr;
pub mod gateway_pair;
pub mod inline_lab;
pub mod instruments;
pub mod keepalived;
pub mod load;
pub mod netns;
pub mod owners;
pub mod packet_socket;
pub mod poll;
pub mod process;
pub mod processors;
pub mod stalls;
pub mod topology;
pub mod traffic;
pub mod trickle;
pub mod workdir;
pub mod xdp_tools;

mod bpf;
mod cleanup;
mod ip_tool;
mod link_ioctl;
mod processor_time;
mod stamped;
mod xdp_port;

pub use clock::Moment;
pub use netns::Namespace;
pub use poll::eventually;
