//! The other nodes, as the controller keeps them: where their paths lie, what the maps are told of them, what they said last.
//!
//! The probe thread sends and judges checks; the data plane answers and learns. Here the two are configured, what was
//! learned is handed to the engine, and what the engine decided is said of this node: in the map that answers are made
//! from, and to the probe thread. A claim is said before the adverts that rest on it.

mod hearing;
mod speaking;

use super::controller::Controller;
use super::plan;
use super::units::UnitNumbers;
use crate::config::validated::{Config, Peer, Trust, VirtualRouter};
use crate::datapath::DatapathError;
use crate::datapath::peers::PathEnds;
use crate::probes::keys::{ClusterKeys, KeyError, PairKeys};
use crate::probes::paths::{Place, ProbePath, ProbePeer, ProbeSettings, place};
use crate::probes::readings::Slots;
use ha_common::maps::peers::{MAX_PATHS_PER_PEER, MAX_PEERS, PathPolicy, PeerPolicy, peer_flag};
use ha_common::maps::values::Head;
use holdfast_engine::{CheckSettings, Duration, Family, Instant, InterfaceId, PeerHealth, PeerId};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

const NANOS_PER_CENTI: u64 = 10_000_000;
/// Replies to repeated probes: at most so many per check interval.
const REPEATS_PER_INTERVAL: u64 = 4;

/// Every peer, and what is said to them.
#[derive(Debug, Default)]
pub(super) struct PeerTable {
    /// Of this run.
    incarnation: u64,
    cluster: u32,
    /// By slot in the maps, which a peer keeps as long as it is configured.
    entries: BTreeMap<u32, Entry>,
    units: UnitNumbers,
    said: Said,
    /// Numbers the changes of what is owned, for the data plane's revocations.
    grant: u64,
    /// What is said may have changed.
    dirty: bool,
    health: BTreeMap<PeerId, PeerHealth>,
    /// Frames received per interface, as last read.
    frames: BTreeMap<InterfaceId, u64>,
    last_round_trip: Option<Instant>,
}

/// A peer.
#[derive(Debug)]
struct Entry {
    id: PeerId,
    config: Peer,
    keys: PairKeys,
    plain: bool,
    /// Paths on which it is heard, one bit each.
    hears: u16,
    paths: Vec<PathEntry>,
}

/// One of its addresses.
#[derive(Debug)]
struct PathEntry {
    remote: IpAddr,
    placed: Option<Placed>,
    link_local: Option<Ipv6Addr>,
}

/// Where a path runs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Placed {
    place: Place,
    interface: InterfaceId,
    ends: PathEnds,
}

/// What this node says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Said {
    owned: u64,
    ready: u64,
    priority: u16,
    flags: u16,
    health: u16,
}

/// Whom a router listens to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RouterTrust {
    pub(super) unit: Option<u8>,
    /// Only `sources` count, and those of a peer only if it bears them out.
    pub(super) corroborate: bool,
    /// Addresses and what stands for them in the map: 0, or a peer's slot plus one.
    pub(super) sources: Vec<(IpAddr, u32)>,
}

/// What starting with peers takes beyond the configuration; read where blocking is allowed.
#[derive(Debug)]
pub(super) struct Credentials {
    pub(super) keys: Option<ClusterKeys>,
}

impl Credentials {
    /// Reads the secrets of a configuration with peers. Blocks on the disk.
    pub(super) fn read(config: &Config) -> Result<Self, KeyError> {
        let keys = match config.peers.is_empty() {
            true => None,
            false => Some(ClusterKeys::load(&config.ha.secret_files)?),
        };
        Ok(Self { keys })
    }
}

impl PeerTable {
    pub(super) fn new(incarnation: u64) -> Self {
        Self { incarnation, ..Self::default() }
    }

    /// Whether this run has a number that peers can tell from earlier ones.
    pub(super) fn can_probe(&self) -> bool {
        self.incarnation != 0
    }

    fn slots(&self) -> Vec<u32> {
        self.entries.keys().copied().collect()
    }

    fn slot_of(&self, id: PeerId) -> Option<u32> {
        self.entries.iter().find(|(_, entry)| entry.id == id).map(|(slot, _)| *slot)
    }

    fn free_slot(&self) -> Option<u32> {
        (0..MAX_PEERS).find(|slot| !self.entries.contains_key(slot))
    }

    /// The peer from which an advert from `source` would come.
    pub(super) fn of_source(&self, source: IpAddr) -> Option<PeerId> {
        self.entries.values().find(|entry| entry.speaks_from(source)).map(|entry| entry.id)
    }

    /// Its adverts count without its word.
    pub(super) fn is_plain(&self, id: PeerId) -> bool {
        self.entries.values().find(|entry| entry.id == id).is_none_or(|entry| entry.plain)
    }

    /// Notes that what is said of this node may have changed.
    pub(super) fn touch(&mut self) {
        self.dirty = true;
    }

    /// Whom a virtual router listens to, and as which unit it stands in probes.
    pub(super) fn trust(&self, config: &VirtualRouter, mode: Trust) -> RouterTrust {
        if self.entries.is_empty() {
            return RouterTrust::default();
        }
        let family = |address: &IpAddr| address.is_ipv4() == (config.family == Family::Ipv4);
        let mut sources: BTreeMap<IpAddr, u32> = BTreeMap::new();
        for address in &config.trusted_sources {
            sources.insert(*address, 0);
        }
        let mut known = true;
        for (slot, entry) in &self.entries {
            let from: Vec<IpAddr> = entry.sources().filter(family).collect();
            known &= !from.is_empty();
            sources.extend(from.into_iter().map(|address| (address, slot + 1)));
        }
        // Until every peer's address of this family is known, adverts from anywhere count, as in plain VRRP.
        let corroborate = mode == Trust::Peers && known;
        RouterTrust {
            unit: self.units.unit(config).map(|unit| unit.0),
            corroborate,
            sources: if corroborate { sources.into_iter().collect() } else { Vec::new() },
        }
    }
}

impl Entry {
    /// Where its adverts may come from.
    fn sources(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let link_locals = self.paths.iter().filter_map(|path| path.link_local).map(IpAddr::V6);
        let global_v4 = self.config.addresses.iter().copied().filter(IpAddr::is_ipv4);
        global_v4.chain(self.config.advert_sources.iter().copied()).chain(link_locals)
    }

    fn speaks_from(&self, source: IpAddr) -> bool {
        self.sources().any(|address| address == source)
    }

    fn policy(&self, config: &Config) -> PeerPolicy {
        let interval = plan::span(config.peer_check.interval);
        PeerPolicy {
            head: Head::of::<PeerPolicy>(),
            node: self.id.0,
            flags: if self.plain { peer_flag::PLAIN } else { 0 },
            receive: self.keys.receive,
            send: self.keys.send,
            key_ids: self.keys.key_ids,
            hears: self.hears,
            reserved: 0,
            fresh_ns: window(config).as_nanos(),
            interval_ns: interval.as_nanos(),
            repeat_ns: interval.as_nanos() / REPEATS_PER_INTERVAL,
        }
    }
}

/// How long a message speaks for its sender.
fn window(config: &Config) -> Duration {
    plan::span(config.peer_check.interval).scaled(u64::from(config.peer_check.failure_threshold), 1)
}

/// Slot of a path in the maps.
fn path_slot(peer: u32, index: usize) -> u32 {
    peer * MAX_PATHS_PER_PEER + index as u32
}

fn path_policy(peer: u32, index: usize, config: &Config) -> PathPolicy {
    PathPolicy {
        head: Head::of::<PathPolicy>(),
        peer,
        index: index as u32,
        reserved: 0,
        reply_deadline_ns: window(config).as_nanos(),
    }
}

fn instant(nanos: u64) -> Option<Instant> {
    (nanos != 0).then(|| Instant::from_nanos(nanos))
}

impl Controller {
    /// The operator's names for the peers.
    pub(super) fn peer_names(&self) -> BTreeMap<PeerId, String> {
        self.config.peers.iter().map(|peer| (PeerId(peer.id), peer.name.clone())).collect()
    }

    /// Whether a peer forwards beside this node, or may: true also while a configured peer's health is not known yet.
    pub(super) fn a_peer_is_healthy(&self) -> bool {
        let health = |peer: &Peer| self.peers.health.get(&PeerId(peer.id)).copied().unwrap_or_default();
        self.config.peers.iter().any(|peer| health(peer) != PeerHealth::Unhealthy)
    }

    /// When the data plane last had a probe of its own answered: the proof that the bypass watchdog is petted by.
    pub(super) fn last_round_trip(&self) -> Option<Instant> {
        self.peers.last_round_trip
    }

    /// Takes up the peers of `self.config`. Those that stay keep their slots and what is known of them.
    pub(super) fn configure_peers(&mut self) -> Result<(), DatapathError> {
        self.peers.units = UnitNumbers::of(self.config.virtual_routers.iter());
        self.peers.cluster = self.credentials.keys.as_ref().map_or(0, ClusterKeys::cluster);
        for slot in self.peers.slots() {
            let stays = self.peers.entries.get(&slot).is_some_and(|entry| {
                self.config
                    .peers
                    .iter()
                    .any(|peer| peer.id == entry.id.0 && peer.addresses == entry.config.addresses)
            });
            if !stays {
                self.remove_peer(slot)?;
            }
        }
        for peer in self.config.peers.clone() {
            self.take_up_peer(peer)?;
        }
        self.peers.health.retain(|id, _| self.config.peers.iter().any(|peer| peer.id == id.0));
        self.peers.touch();
        self.write_node()?;
        self.probes_follow();
        Ok(())
    }

    fn take_up_peer(&mut self, peer: Peer) -> Result<(), DatapathError> {
        let id = PeerId(peer.id);
        let own = self.config.node.id.unwrap_or(0);
        let keys = match self.credentials.keys.as_ref().map(|keys| keys.pair(own, peer.id)) {
            Some(Ok(keys)) => keys,
            Some(Err(error)) => {
                tracing::error!(peer = peer.name, "{error}");
                return Ok(());
            }
            None => return Ok(()),
        };
        let Some(slot) = self.peers.slot_of(id).or_else(|| self.peers.free_slot()) else { return Ok(()) };
        let known = self.peers.entries.remove(&slot);
        let fresh = || peer.addresses.iter().map(|remote| PathEntry::new(*remote)).collect();
        let entry = Entry {
            id,
            keys,
            plain: known.as_ref().is_none_or(|entry| entry.plain),
            hears: known.as_ref().map_or(0, |entry| entry.hears),
            paths: known.map_or_else(fresh, |entry| entry.paths),
            config: peer,
        };
        self.peers.entries.insert(slot, entry);
        self.write_peer(slot)?;
        self.rewrite_paths(slot)
    }

    /// A changed interval changes how old a reply may be.
    fn rewrite_paths(&mut self, slot: u32) -> Result<(), DatapathError> {
        let Some(entry) = self.peers.entries.get(&slot) else { return Ok(()) };
        for (index, path) in entry.paths.iter().enumerate() {
            if path.placed.is_some() {
                let policy = path_policy(slot, index, &self.config);
                self.datapath.maps.peers.change_path(path_slot(slot, index), policy)?;
            }
        }
        Ok(())
    }

    fn remove_peer(&mut self, slot: u32) -> Result<(), DatapathError> {
        let Some(entry) = self.peers.entries.remove(&slot) else { return Ok(()) };
        for placed in entry.paths.iter().filter_map(|path| path.placed.as_ref()) {
            self.datapath.maps.peers.remove_path(&placed.ends)?;
        }
        self.datapath.maps.peers.clear_peer(slot)
    }

    fn write_peer(&mut self, slot: u32) -> Result<(), DatapathError> {
        let Some(entry) = self.peers.entries.get(&slot) else { return Ok(()) };
        let policy = entry.policy(&self.config);
        self.datapath.maps.peers.write_peer(slot, policy)
    }

    /// Interfaces that peers are reached over: the data plane must stand there to answer.
    pub(super) fn peer_interfaces(&self, config: &Config) -> BTreeSet<String> {
        let virtual_addresses = plan::virtual_addresses(config.virtual_routers.iter());
        let remotes = config.peers.iter().flat_map(|peer| &peer.addresses);
        remotes
            .filter_map(|remote| place(&self.interfaces, *remote, None, &virtual_addresses))
            .map(|place| place.interface.to_string())
            .collect()
    }

    /// Finds out anew where the paths lie, tells the maps, and has the probe thread follow.
    pub(super) fn place_paths(&mut self) -> Result<(), DatapathError> {
        let virtual_addresses = plan::virtual_addresses(self.config.virtual_routers.iter());
        let mut changed = false;
        for slot in self.peers.slots() {
            changed |= self.place_paths_of(slot, &virtual_addresses)?;
        }
        if changed {
            self.probes_follow();
        }
        Ok(())
    }

    fn place_paths_of(&mut self, slot: u32, virtual_addresses: &[IpAddr]) -> Result<bool, DatapathError> {
        let remotes: Vec<IpAddr> = self
            .peers
            .entries
            .get(&slot)
            .map(|entry| entry.paths.iter().map(|path| path.remote).collect())
            .unwrap_or_default();
        let mut changed = false;
        for (index, remote) in remotes.into_iter().enumerate() {
            let next = self.placed(remote, virtual_addresses);
            let policy = path_policy(slot, index, &self.config);
            let entry = self.peers.entries.get_mut(&slot);
            let Some(path) = entry.and_then(|entry| entry.paths.get_mut(index)) else { continue };
            if path.placed == next {
                continue;
            }
            changed = true;
            let before = std::mem::replace(&mut path.placed, next.clone());
            let moved =
                before.as_ref().map(|placed| &placed.ends) != next.as_ref().map(|placed| &placed.ends);
            if let Some(before) = before.filter(|_| moved) {
                self.datapath.maps.peers.remove_path(&before.ends)?;
            }
            if let Some(next) = next.filter(|_| moved) {
                self.datapath.maps.peers.write_path(path_slot(slot, index), &next.ends, policy)?;
            }
        }
        Ok(changed)
    }

    fn placed(&mut self, remote: IpAddr, virtual_addresses: &[IpAddr]) -> Option<Placed> {
        let place = place(&self.interfaces, remote, None, virtual_addresses)?;
        let (attach, vlan) = self.attach_point(self.interfaces.by_index(place.ifindex)?)?;
        let ifindex = attach.link.ifindex;
        self.datapath.link(ifindex)?;
        let ends = PathEnds { attach_ifindex: ifindex, vlan, local: place.local, remote };
        let interface = self.numbers.interface(&place.interface);
        Some(Placed { place, interface, ends })
    }

    /// Hands the probe thread the peers and paths as they are now.
    pub(super) fn probes_follow(&mut self) {
        let check = &self.config.peer_check;
        let peers = self.peers.entries.iter().map(|(slot, entry)| ProbePeer {
            peer: entry.id,
            keys: entry.keys.clone(),
            paths: entry
                .paths
                .iter()
                .enumerate()
                .map(|(index, path)| ProbePath {
                    remote: path.remote,
                    slots: Slots {
                        peer: *slot,
                        path: path_slot(*slot, index),
                        link: path
                            .placed
                            .as_ref()
                            .and_then(|placed| self.datapath.link(placed.ends.attach_ifindex))
                            .map(|link| link.slot),
                    },
                    place: path.placed.as_ref().map(|placed| placed.place.clone()),
                })
                .collect(),
        });
        let settings = ProbeSettings {
            node: self.config.node.id.unwrap_or(0),
            cluster: self.peers.cluster,
            incarnation: self.peers.incarnation,
            port: self.config.ha.port,
            checks: CheckSettings::new(
                plan::span(check.interval),
                check.failure_threshold,
                check.recovery_threshold,
            ),
            peers: peers.collect(),
        };
        self.probes.configure(settings);
        self.peers.touch();
    }
}

impl PathEntry {
    fn new(remote: IpAddr) -> Self {
        Self { remote, placed: None, link_local: None }
    }
}
