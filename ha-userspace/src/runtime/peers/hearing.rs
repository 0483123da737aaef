//! What the other nodes say, from the maps and the probe thread to the engine.

use super::super::controller::Controller;
use super::{Entry, PathEntry, instant, path_slot, window};
use crate::datapath::DatapathError;
use crate::probes::sender::ProbeEvent;
use ha_common::maps::peers::{PathState, PeerState};
use ha_common::ring_events::{PeerEvent, peer_event};
use ha_common::wire::probe::flag;
use holdfast_engine::{Advert, Duration, Input, Instant, PathReport, PeerId, PeerReport, RouterId, Units};
use std::net::Ipv6Addr;

impl Controller {
    /// Hands the engine what every peer said last.
    pub(in crate::runtime) fn read_peers(&mut self, now: Instant) -> Result<(), DatapathError> {
        let mut heard_changed = false;
        let window = window(&self.config);
        let digest = self.peers.units.digest();
        for slot in self.peers.slots() {
            let state = self.datapath.maps.peers.read_peer_state(slot)?;
            let paths = self.read_paths(slot)?;
            let Some(entry) = self.peers.entries.get_mut(&slot) else { continue };
            let hears_otherwise = entry.note(&paths, window, now);
            let (peer, report) = (entry.id, entry.report(&state, &paths, digest));
            let latest = paths.iter().filter_map(|path| instant(path.reply_at_ns)).max();
            self.peers.last_round_trip = self.peers.last_round_trip.max(latest);
            if hears_otherwise {
                heard_changed = true;
                self.write_peer(slot)?;
            }
            self.engine.handle_input(now, Input::Peer { peer, report });
        }
        if heard_changed {
            self.tell_probes();
        }
        Ok(())
    }

    pub(super) fn read_paths(&self, slot: u32) -> Result<Vec<PathState>, DatapathError> {
        let paths = self.peers.entries.get(&slot).map_or(0, |entry| entry.paths.len());
        (0..paths).map(|index| self.datapath.maps.peers.read_path_state(path_slot(slot, index))).collect()
    }

    /// Tells the engine on which interfaces frames of any kind have come in since the last look.
    pub(in crate::runtime) fn note_frames(&mut self, now: Instant) -> Result<(), DatapathError> {
        if self.peers.entries.is_empty() {
            return Ok(());
        }
        for (interface, count) in self.heard()? {
            if self.peers.frames.insert(interface, count) != Some(count) {
                self.engine.handle_input(now, Input::Frames { interface, at: now });
            }
        }
        Ok(())
    }

    /// A peer's address on a segment became known or changed: whom the routers there listen to follows.
    pub(in crate::runtime) fn learn_link_locals(&mut self) -> Result<(), DatapathError> {
        let mut changed = false;
        for slot in self.peers.slots() {
            let states = self.read_paths(slot)?;
            let Some(entry) = self.peers.entries.get_mut(&slot) else { continue };
            for (path, state) in entry.paths.iter_mut().zip(states) {
                let told = Ipv6Addr::from(state.link_local);
                let told = told.is_unicast_link_local().then_some(told);
                if told.is_some() && path.link_local != told {
                    path.link_local = told;
                    changed = true;
                }
            }
        }
        if changed { self.retrust() } else { Ok(()) }
    }

    /// Writes whom every router listens to.
    pub(in crate::runtime) fn retrust(&mut self) -> Result<(), DatapathError> {
        for id in self.routers.ids() {
            let Some(router) = self.routers.get_mut(id) else { continue };
            let trust = self.peers.trust(&router.config, self.config.ha.trust);
            let spec = &mut router.spec;
            if (spec.corroborate, &spec.trusted) == (trust.corroborate, &trust.sources) {
                continue;
            }
            self.datapath.maps.remove_sources(spec)?;
            (spec.corroborate, spec.trusted) = (trust.corroborate, trust.sources);
            self.datapath.maps.write_sources(&router.spec)?;
            self.refresh_router(id)?;
        }
        Ok(())
    }

    /// An advert that no peer's word bore out.
    pub(in crate::runtime) fn uncorroborated(&mut self, now: Instant, router: RouterId, advert: Advert) {
        if let Some(peer) = self.peers.of_source(advert.source) {
            self.engine.handle_input(now, Input::Uncorroborated { router, peer, advert });
        }
    }

    pub(in crate::runtime) fn trust_peer(&mut self, id: PeerId, plain: bool) -> Result<(), DatapathError> {
        let Some(slot) = self.peers.slot_of(id) else { return Ok(()) };
        if let Some(entry) = self.peers.entries.get_mut(&slot) {
            entry.plain = plain;
        }
        self.write_peer(slot)
    }

    /// The data plane learned something of a peer.
    pub(in crate::runtime) fn handle_peer_event(
        &mut self,
        now: Instant,
        event: &PeerEvent,
    ) -> Result<(), DatapathError> {
        if event.kind == peer_event::LINK_LOCAL {
            self.learn_link_locals()?;
        }
        self.read_peers(now)
    }

    /// What the probe thread found.
    pub(in crate::runtime) fn handle_probe_event(
        &mut self,
        now: Instant,
        event: ProbeEvent,
    ) -> Result<(), DatapathError> {
        match event {
            ProbeEvent::PeerHealth { peer, health, silent_since, .. } => {
                self.peers.health.insert(peer, health);
                self.read_peers(now)?;
                self.engine.handle_input(now, Input::PeerHealth { peer, health, silent_since });
            }
            ProbeEvent::Muzzled { peer, muzzled } => {
                self.engine.handle_input(now, Input::Muzzled { peer, muzzled });
            }
            ProbeEvent::PathHealth { .. } => self.read_peers(now)?,
        }
        Ok(())
    }
}

impl Entry {
    /// Notes on which paths it is heard; true if that changed.
    fn note(&mut self, paths: &[PathState], window: Duration, now: Instant) -> bool {
        let mut hears = 0;
        for (index, path) in paths.iter().enumerate() {
            let heard = instant(path.reply_at_ns.max(path.request_at_ns));
            if heard.is_some_and(|at| now.since(at) <= window) {
                hears |= 1 << index;
            }
        }
        std::mem::replace(&mut self.hears, hears) != hears
    }

    fn report(&self, state: &PeerState, paths: &[PathState], digest: u32) -> PeerReport {
        PeerReport {
            heard_at: instant(state.heard_at_ns),
            owned: Units(state.owned),
            ready: Units(state.ready),
            lease_until: Instant::from_nanos(state.lease_until_ns),
            lease: Duration::from_centis(u64::from(state.lease_centis)),
            priority: u8::try_from(state.priority).unwrap_or(u8::MAX),
            same_configuration: state.digest == digest,
            draining: state.flags & flag::DRAINING != 0,
            bad_mac_at: instant(state.bad_mac_at_ns),
            paths: self
                .paths
                .iter()
                .zip(paths)
                .map(|(entry, path)| entry.report(path, state.hears))
                .collect(),
        }
    }
}

impl PathEntry {
    fn report(&self, path: &PathState, theirs: u16) -> PathReport {
        let bit = path.their_index.checked_sub(1);
        PathReport {
            interface: self.placed.as_ref().map(|placed| placed.interface),
            heard_at: instant(path.reply_at_ns.max(path.request_at_ns)),
            replied_at: instant(path.reply_at_ns),
            hears_us: bit.map(|bit| theirs.checked_shr(bit).unwrap_or(0) & 1 == 1),
        }
    }
}
