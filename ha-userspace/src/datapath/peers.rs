//! Typed access to the peer maps: what the controller says of this node, its peers and their paths, and what the data plane
//! heard from them.
//!
//! Writers live in [`PeerMaps`], for the controller alone. [`PeerReader`] reads the same states through descriptors of its
//! own and may be handed to other threads. Neither decides anything, and keys pass through without being kept.

use super::DatapathError;
use super::maps::{address_bytes, ignore_missing, map_error, take, typed};
use aya::Pod;
use aya::maps::{Array, HashMap, IterableMap, Map, MapData};
use ha_common::maps::names;
use ha_common::maps::peers::{
    MacKey, NodePolicy, NodeState, PathKey, PathPolicy, PathState, PeerPolicy, PeerState,
};
use ha_common::maps::values::Head;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::Arc;

/// The two words of a MAC key's 16 bytes.
pub fn mac_key(bytes: [u8; 16]) -> MacKey {
    bytemuck::cast::<[u8; 16], MacKey>(bytes).map(u64::from_le)
}

/// Where a path begins and ends, as a received probe shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathEnds {
    /// Interface the programs are attached to.
    pub attach_ifindex: u32,
    /// As in `RouterKey::vlan`.
    pub vlan: u32,
    /// This node's address.
    pub local: IpAddr,
    /// The peer's address.
    pub remote: IpAddr,
}

impl PathEnds {
    fn key(&self) -> PathKey {
        PathKey {
            ifindex: self.attach_ifindex,
            vlan: self.vlan,
            local: address_bytes(self.local),
            remote: address_bytes(self.remote),
        }
    }
}

/// The peer maps, for their one writer.
pub struct PeerMaps {
    node: Array<MapData, NodePolicy>,
    node_state: Array<MapData, NodeState>,
    peers: Array<MapData, PeerPolicy>,
    peer_states: Array<MapData, PeerState>,
    path_slots: HashMap<MapData, PathKey, u32>,
    paths: Array<MapData, PathPolicy>,
    path_states: Array<MapData, PathState>,
    reader: PeerReader,
}

impl PeerMaps {
    /// Takes the maps out of a loaded object.
    pub fn take(ebpf: &mut aya::Ebpf) -> Result<Self, DatapathError> {
        let peer_states = typed!(ebpf, names::PEER_STATES);
        let path_states = typed!(ebpf, names::PATH_STATES);
        let reader = PeerReader::of(&peer_states, &path_states)?;
        Ok(Self {
            node: typed!(ebpf, names::NODE),
            node_state: typed!(ebpf, names::NODE_STATE),
            peers: typed!(ebpf, names::PEERS),
            peer_states,
            path_slots: typed!(ebpf, names::PATH_SLOTS),
            paths: typed!(ebpf, names::PATHS),
            path_states,
            reader,
        })
    }

    /// What this node says of itself from now on. Under another incarnation than before, paths must be written anew: the
    /// sequences that were answered belong to the old one.
    pub fn write_node(&mut self, policy: NodePolicy) -> Result<(), DatapathError> {
        let policy = NodePolicy { head: Head::of::<NodePolicy>(), ..policy };
        self.node.set(0, policy, 0).map_err(|error| map_error(names::NODE, error))
    }

    /// What the data plane did to this node's standing.
    pub fn read_node_state(&self) -> Result<NodeState, DatapathError> {
        self.node_state.get(&0, 0).map_err(|error| map_error(names::NODE_STATE, error))
    }

    /// What is to be known of a peer. What was heard from it stays. A key slot that is not in use holds zeros.
    pub fn write_peer(&mut self, slot: u32, policy: PeerPolicy) -> Result<(), DatapathError> {
        let policy = PeerPolicy { head: Head::of::<PeerPolicy>(), ..policy };
        self.peers.set(slot, policy, 0).map_err(|error| map_error(names::PEERS, error))
    }

    /// Empties a peer's slot, its keys and all that was heard from it. Its paths must be removed before.
    pub fn clear_peer(&mut self, slot: u32) -> Result<(), DatapathError> {
        self.write_peer(slot, EMPTY_PEER)?;
        let state = PeerState { head: Head::of::<PeerState>(), ..PeerState::default() };
        self.peer_states.set(slot, state, 0).map_err(|error| map_error(names::PEER_STATES, error))
    }

    /// Makes a path's slot ready: nothing heard, its policy, then the key that leads to it.
    pub fn write_path(
        &mut self,
        slot: u32,
        ends: &PathEnds,
        policy: PathPolicy,
    ) -> Result<(), DatapathError> {
        let state = PathState { head: Head::of::<PathState>(), ..PathState::default() };
        self.path_states.set(slot, state, 0).map_err(|error| map_error(names::PATH_STATES, error))?;
        self.change_path(slot, policy)?;
        self.path_slots.insert(ends.key(), slot, 0).map_err(|error| map_error(names::PATH_SLOTS, error))
    }

    /// Gives a path another policy; what was heard on it stays.
    pub fn change_path(&mut self, slot: u32, policy: PathPolicy) -> Result<(), DatapathError> {
        let policy = PathPolicy { head: Head::of::<PathPolicy>(), ..policy };
        self.paths.set(slot, policy, 0).map_err(|error| map_error(names::PATHS, error))
    }

    /// Takes a path out; its slot is free then. Missing is fine.
    pub fn remove_path(&mut self, ends: &PathEnds) -> Result<(), DatapathError> {
        ignore_missing(self.path_slots.remove(&ends.key()))
            .map_err(|error| map_error(names::PATH_SLOTS, error))
    }

    pub fn read_peer_state(&self, slot: u32) -> Result<PeerState, DatapathError> {
        self.reader.peer_state(slot)
    }

    pub fn read_path_state(&self, slot: u32) -> Result<PathState, DatapathError> {
        self.reader.path_state(slot)
    }

    /// A handle for another thread.
    pub fn reader(&self) -> PeerReader {
        self.reader.clone()
    }
}

/// An empty slot.
const EMPTY_PEER: PeerPolicy = PeerPolicy {
    head: Head::of::<PeerPolicy>(),
    node: 0,
    flags: 0,
    receive: [[0; 2]; 2],
    send: [[0; 2]; 2],
    key_ids: [0; 2],
    hears: 0,
    reserved: 0,
    fresh_ns: 0,
    interval_ns: 0,
    repeat_ns: 0,
};

/// Reads what the data plane heard, from any thread. Clones share one pair of descriptors, which stay valid without the
/// [`PeerMaps`] they came from.
#[derive(Clone)]
pub struct PeerReader(Arc<PeerStates>);

struct PeerStates {
    peers: Array<MapData, PeerState>,
    paths: Array<MapData, PathState>,
}

impl PeerReader {
    fn of(
        peers: &Array<MapData, PeerState>,
        paths: &Array<MapData, PathState>,
    ) -> Result<Self, DatapathError> {
        let states = PeerStates {
            peers: duplicate(names::PEER_STATES, peers)?,
            paths: duplicate(names::PATH_STATES, paths)?,
        };
        Ok(Self(Arc::new(states)))
    }

    /// What was heard from the peer in `slot`.
    pub fn peer_state(&self, slot: u32) -> Result<PeerState, DatapathError> {
        self.0.peers.get(&slot, 0).map_err(|error| map_error(names::PEER_STATES, error))
    }

    /// What was heard on the path in `slot`.
    pub fn path_state(&self, slot: u32) -> Result<PathState, DatapathError> {
        self.0.paths.get(&slot, 0).map_err(|error| map_error(names::PATH_STATES, error))
    }
}

impl std::fmt::Debug for PeerReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PeerReader").finish_non_exhaustive()
    }
}

/// The same map through a descriptor of its own.
fn duplicate<T: Pod>(
    name: &'static str,
    map: &Array<MapData, T>,
) -> Result<Array<MapData, T>, DatapathError> {
    let descriptor = map.map().fd().as_fd().try_clone_to_owned();
    let descriptor = descriptor.map_err(|error| DatapathError::Map { name, reason: error.to_string() })?;
    let data = MapData::from_fd(descriptor).map_err(|error| map_error(name, error))?;
    Map::Array(data).try_into().map_err(|error| map_error(name, error))
}

#[cfg(test)]
mod tests {
    use super::{PathEnds, mac_key};

    #[test]
    fn a_key_is_two_little_endian_words() {
        let bytes = std::array::from_fn(|at| at as u8);
        assert_eq!(mac_key(bytes), [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908]);
    }

    #[test]
    fn ends_are_mapped_into_one_family() {
        let ends = PathEnds {
            attach_ifindex: 4,
            vlan: 17,
            local: [192, 0, 2, 1].into(),
            remote: "2001:db8::2".parse().expect("an address"),
        };
        let key = ends.key();
        assert_eq!((key.ifindex, key.vlan), (4, 17));
        assert_eq!(key.local[10..], [0xff, 0xff, 192, 0, 2, 1]);
        assert_eq!((key.remote[..4].to_vec(), key.remote[15]), (vec![0x20, 1, 0x0d, 0xb8], 2));
    }
}
