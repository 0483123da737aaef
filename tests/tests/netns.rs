//! Gateways in network namespaces: real daemons, real frames, judged from outside.
//!
//! Who owns an address is asked by ARP and neighbour discovery from a third host; `status`, `why` and `events` say what
//! the daemons think of it. Needs root and the binary (`cargo xtask build`).

#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

#[path = "../netns/adverts.rs"]
mod adverts;
#[path = "../netns/bad_adverts.rs"]
mod bad_adverts;
#[path = "../netns/crash.rs"]
mod crash;
#[path = "../netns/failover.rs"]
mod failover;
#[path = "../netns/planned.rs"]
mod planned;
#[path = "../netns/preemption.rs"]
mod preemption;
#[path = "../netns/support.rs"]
mod support;
