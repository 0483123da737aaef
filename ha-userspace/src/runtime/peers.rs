//! The other nodes, as the controller keeps them.

use super::controller::Controller;
use holdfast_engine::{Instant, PeerId};
use std::collections::BTreeMap;

impl Controller {
    /// The operator's names for the peers.
    pub(super) fn peer_names(&self) -> BTreeMap<PeerId, String> {
        self.config.peers.iter().map(|peer| (PeerId(peer.id), peer.name.clone())).collect()
    }
}

/// SEAMS of the bypass, to be filled from what probes say.
impl Controller {
    /// Whether a peer forwards beside this node, or may: true also while a configured peer's health is not known yet.
    pub(super) fn a_peer_is_healthy(&self) -> bool {
        false
    }

    /// When the data plane last had a probe of its own answered: the proof that the bypass watchdog is petted by.
    pub(super) fn last_round_trip(&self) -> Option<Instant> {
        None
    }
}
