//! What the probe thread asks the maps, through descriptors of its own.

use super::DatapathError;
use super::maps::map_error;
use super::peers::PeerReader;
use crate::probes::readings::{PathReadings, Reading, Slots};
use aya::maps::{IterableMap, Map, MapData, PerCpuArray};
use ha_common::maps::names;
use ha_common::maps::values::LinkCounters;
use holdfast_engine::{Duration, Instant};
use std::os::fd::AsFd;

/// Readings of probe paths out of the maps.
pub struct MapReadings {
    peers: PeerReader,
    link_counters: PerCpuArray<MapData, LinkCounters>,
}

impl MapReadings {
    pub(super) fn of(
        peers: PeerReader,
        link_counters: &PerCpuArray<MapData, LinkCounters>,
    ) -> Result<Self, DatapathError> {
        let name = names::LINK_COUNTERS;
        let descriptor = link_counters.map().fd().as_fd().try_clone_to_owned();
        let descriptor =
            descriptor.map_err(|error| DatapathError::Map { name, reason: error.to_string() })?;
        let data = MapData::from_fd(descriptor).map_err(|error| map_error(name, error))?;
        let link_counters = Map::PerCpuArray(data).try_into().map_err(|error| map_error(name, error))?;
        Ok(Self { peers, link_counters })
    }
}

impl PathReadings for MapReadings {
    fn read(&mut self, slots: Slots) -> Option<Reading> {
        let peer = self.peers.peer_state(slots.peer).ok()?;
        let path = self.peers.path_state(slots.path).ok()?;
        Some(Reading {
            reply_sequence: path.reply_sequence,
            reply_at: Instant::from_nanos(path.reply_at_ns),
            rtt: Duration::from_nanos(path.rtt_ns),
            request_at: Instant::from_nanos(path.request_at_ns),
            requests: path.requests,
            replies: path.replies,
            their_incarnation: peer.incarnation,
        })
    }

    fn frames_in(&mut self, slots: Slots) -> Option<u64> {
        let per_cpu = self.link_counters.get(&slots.link?, 0).ok()?;
        Some(per_cpu.iter().map(|counters| counters.rx_packets).sum())
    }
}
