//! The other nodes, as the controller keeps them.

use super::controller::Controller;
use holdfast_engine::PeerId;
use std::collections::BTreeMap;

impl Controller {
    /// The operator's names for the peers.
    pub(super) fn peer_names(&self) -> BTreeMap<PeerId, String> {
        self.config.peers.iter().map(|peer| (PeerId(peer.id), peer.name.clone())).collect()
    }
}
