//! Gateways in network namespaces: real daemons, real frames, judged from outside.
//!
//! Who owns an address is asked by ARP and neighbour discovery from a third host; `status`, `why` and `events` say what
//! the daemons think of it. Needs root and the binary (`cargo xtask build`).

#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

#[path = "../netns/adverts.rs"]
mod adverts;
#[path = "../netns/bad_adverts.rs"]
mod bad_adverts;
#[path = "../netns/bandwidth.rs"]
mod bandwidth;
#[path = "../netns/bypass.rs"]
mod bypass;
#[path = "../netns/bypass_peers.rs"]
mod bypass_peers;
#[path = "../netns/bypass_wire.rs"]
mod bypass_wire;
#[path = "../netns/checks.rs"]
mod checks;
#[path = "../netns/conformance.rs"]
mod conformance;
#[path = "../netns/control_socket.rs"]
mod control_socket;
#[path = "../netns/crash.rs"]
mod crash;
#[path = "../netns/environment.rs"]
mod environment;
#[path = "../netns/failover.rs"]
mod failover;
#[path = "../netns/fence.rs"]
mod fence;
#[path = "../netns/flaps.rs"]
mod flaps;
#[path = "../netns/gateways.rs"]
mod gateways;
#[path = "../netns/generic_mode.rs"]
mod generic_mode;
#[path = "../netns/groups.rs"]
mod groups;
#[path = "../netns/leaks.rs"]
mod leaks;
#[path = "../netns/link_pairs.rs"]
mod link_pairs;
#[path = "../netns/maintenance.rs"]
mod maintenance;
#[path = "../netns/peers.rs"]
mod peers;
#[path = "../netns/peers_attacks.rs"]
mod peers_attacks;
#[path = "../netns/peers_bench.rs"]
mod peers_bench;
#[path = "../netns/peers_cuts.rs"]
mod peers_cuts;
#[path = "../netns/peers_hold.rs"]
mod peers_hold;
#[path = "../netns/peers_muzzled.rs"]
mod peers_muzzled;
#[path = "../netns/peers_planned.rs"]
mod peers_planned;
#[path = "../netns/peers_secrets.rs"]
mod peers_secrets;
#[path = "../netns/peers_trust.rs"]
mod peers_trust;
#[path = "../netns/planned.rs"]
mod planned;
#[path = "../netns/preemption.rs"]
mod preemption;
#[path = "../netns/reload.rs"]
mod reload;
#[path = "../netns/self_healing.rs"]
mod self_healing;
#[path = "../netns/support.rs"]
mod support;
#[path = "../netns/variants.rs"]
mod variants;
#[path = "../netns/virtual_mac.rs"]
mod virtual_mac;
