//! The data plane's peers, arranged and read back: one node, one peer, a path in each family.

use super::frames::{OUR_ADDRESS, PEER_ADDRESS, address_v6};
use super::plane::{IFINDEX, Plane, SECOND_NS};
use super::probe_frames::*;
use super::rewinder::{Rewinder, States};
use aya::Pod;
use ha_common::maps::keys::mapped;
use ha_common::maps::names;
use ha_common::maps::peers::{NodePolicy, NodeState, PathKey, PathPolicy, PathState, PeerPolicy, PeerState};
use ha_common::maps::values::Head;
use ha_common::wire::probe::health;

pub(crate) const PEER: u32 = 2;
pub(crate) const PATH_V4: u32 = 4;
pub(crate) const PATH_V6: u32 = 6;
/// Our numbers of the paths.
pub(crate) const OUR_INDEX_V4: u32 = 1;
pub(crate) const OUR_INDEX_V6: u32 = 9;
/// What we tell the peer about its paths.
pub(crate) const HEARS: u16 = 0b10_0000_0010;
pub(crate) const GRANT: u64 = 40;
/// Long enough that no test outlives it by chance, shorter than any machine has run.
pub(crate) const LONG_NS: u64 = 10 * SECOND_NS;

/// What a message may change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Knowledge {
    peer: [u64; 9],
    paths: Vec<[u64; 9]>,
}

fn node_policy() -> NodePolicy {
    NodePolicy {
        head: Head::of::<NodePolicy>(),
        cluster: CLUSTER,
        incarnation: OURS,
        owned: 0b110,
        ready: 0b111,
        grant: GRANT,
        digest: DIGEST,
        health: health::LINKS | health::CHECKS,
        lease_centis: 100,
        node: NODE,
        port: PORT,
        priority: 150,
        flags: 0,
    }
}

fn peer_policy() -> PeerPolicy {
    PeerPolicy {
        head: Head::of::<PeerPolicy>(),
        node: PEER_NODE,
        flags: 0,
        receive: [FIRST.receive, SECOND.receive],
        send: [FIRST.send, SECOND.send],
        key_ids: [FIRST.id, SECOND.id],
        hears: HEARS,
        reserved: 0,
        fresh_ns: LONG_NS,
        interval_ns: LONG_NS,
        repeat_ns: LONG_NS,
    }
}

impl Plane {
    fn change<T: Pod>(&mut self, name: &str, slot: u32, change: impl FnOnce(&mut T)) {
        let mut map = self.array::<T>(name);
        let mut value = map.get(&slot, 0).expect(name);
        change(&mut value);
        map.set(slot, value, 0).expect(name);
    }

    /// No peers, no HA port.
    pub(crate) fn forget_peers(&mut self) {
        self.clear::<PathKey>(names::PATH_SLOTS);
        self.set(names::NODE, 0, NodePolicy { node: 0, port: 0, ..node_policy() });
        self.change(names::NODE_STATE, 0, |state: &mut NodeState| (state.revoked, state.grant) = (0, 0));
        self.set(names::PEERS, PEER, PeerPolicy { node: 0, ..peer_policy() });
        self.set(names::PEER_STATES, PEER, PeerState::default());
        for slot in [PATH_V4, PATH_V6] {
            self.set(names::PATH_STATES, slot, PathState::default());
        }
    }

    /// One peer, on an untagged path in each family.
    pub(crate) fn meet_peer(&mut self) {
        self.set(names::NODE, 0, node_policy());
        self.set(names::PEERS, PEER, peer_policy());
        for (slot, index) in [(PATH_V4, OUR_INDEX_V4), (PATH_V6, OUR_INDEX_V6)] {
            let head = Head::of::<PathPolicy>();
            let policy = PathPolicy { head, peer: PEER, index, reserved: 0, reply_deadline_ns: LONG_NS };
            self.set(names::PATHS, slot, policy);
            self.path_key(slot, 0);
        }
    }

    /// As [`Plane::meet_peer`], and its replies are waited for without end.
    pub(crate) fn meet_patient_peer(&mut self) {
        self.meet_peer();
        for slot in [PATH_V4, PATH_V6] {
            self.path(slot, |path| path.reply_deadline_ns = u64::MAX);
        }
    }

    /// Time per run of the ingress program on `frame` in nanoseconds, each run on the frame as it is here and with the peer's
    /// state as if it had not been heard.
    pub(crate) fn time_rewound(&mut self, frame: &[u8], repeat: u32) -> f64 {
        let is_v6 = frame[12] == 0x86;
        let states = States {
            peers: self.map_descriptor(names::PEER_STATES),
            peer: PEER,
            paths: self.map_descriptor(names::PATH_STATES),
            path: if is_v6 { PATH_V6 } else { PATH_V4 },
        };
        let rewinder = Rewinder::new(frame, &states);
        let rewinding = rewinder.time(self.program_descriptor(names::PROGRAM_PASS), repeat);
        let whole = rewinder.time(self.program_descriptor(names::PROGRAM_INGRESS), repeat);
        let pass = self.time(names::PROGRAM_PASS, frame, repeat).as_nanos() as f64;
        f64::from(whole) - f64::from(rewinding) + pass
    }

    /// Lets the addresses of a path mean it on another VLAN, too.
    pub(crate) fn path_key(&mut self, slot: u32, vlan: u32) {
        let (local, remote) = if slot == PATH_V6 {
            (address_v6(OUR_GLOBAL), address_v6(PEER_GLOBAL))
        } else {
            (mapped(OUR_ADDRESS), mapped(PEER_ADDRESS))
        };
        let key = PathKey { ifindex: IFINDEX, vlan, local, remote };
        self.hash(names::PATH_SLOTS).insert(key, slot, 0).expect("path slot");
    }

    pub(crate) fn node(&mut self, change: impl FnOnce(&mut NodePolicy)) {
        self.change(names::NODE, 0, change);
    }

    pub(crate) fn peer(&mut self, change: impl FnOnce(&mut PeerPolicy)) {
        self.change(names::PEERS, PEER, change);
    }

    pub(crate) fn path(&mut self, slot: u32, change: impl FnOnce(&mut PathPolicy)) {
        self.change(names::PATHS, slot, change);
    }

    pub(crate) fn node_state(&mut self) -> NodeState {
        self.array(names::NODE_STATE).get(&0, 0).expect("node state")
    }

    pub(crate) fn peer_state(&mut self) -> PeerState {
        self.array(names::PEER_STATES).get(&PEER, 0).expect("peer state")
    }

    pub(crate) fn set_peer_state(&mut self, change: impl FnOnce(&mut PeerState)) {
        self.change(names::PEER_STATES, PEER, change);
    }

    pub(crate) fn path_state(&mut self, slot: u32) -> PathState {
        self.array(names::PATH_STATES).get(&slot, 0).expect("path state")
    }

    pub(crate) fn set_path_state(&mut self, slot: u32, change: impl FnOnce(&mut PathState)) {
        self.change(names::PATH_STATES, slot, change);
    }

    /// All that messages have taught, without the counters of what was refused.
    pub(crate) fn knowledge(&mut self) -> Knowledge {
        let peer = self.peer_state();
        let small = |a: u16, b: u16, c: u16, d: u16| {
            u64::from(a) | u64::from(b) << 16 | u64::from(c) << 32 | u64::from(d) << 48
        };
        Knowledge {
            peer: [
                peer.incarnation,
                peer.heard_at_ns,
                peer.their_clock_ns,
                peer.owned,
                peer.ready,
                peer.lease_until_ns,
                u64::from(peer.digest),
                small(peer.health, peer.lease_centis, peer.priority, peer.hears),
                u64::from(peer.flags),
            ],
            paths: [PATH_V4, PATH_V6].map(|slot| self.path_knowledge(slot)).to_vec(),
        }
    }

    fn path_knowledge(&mut self, slot: u32) -> [u64; 9] {
        let path = self.path_state(slot);
        let half =
            |at: usize| u64::from_ne_bytes(path.link_local[at..at + 8].try_into().expect("eight bytes"));
        [
            u64::from(path.their_index),
            path.request_incarnation,
            path.request_sequence,
            path.request_at_ns,
            path.reply_sequence,
            path.reply_at_ns,
            path.requests + (path.replies << 32),
            half(0),
            half(8),
        ]
    }
}
