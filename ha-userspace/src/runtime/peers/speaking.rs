//! What this node says of itself to the other nodes: in the map that answers are made from, and to the probe thread.

use super::super::controller::{Controller, Stopping};
use super::{NANOS_PER_CENTI, Said};
use crate::datapath::DatapathError;
use crate::probes::standing::Standing;
use ha_common::maps::peers::NodePolicy;
use ha_common::maps::values::Head;
use ha_common::wire::probe::flag;
use holdfast_engine::Role;

impl Controller {
    /// What the engine's state amounts to for the other nodes.
    pub(super) fn summary(&self) -> Said {
        let mut said = Said::default();
        let mut unready = 0u64;
        for view in self.engine.routers() {
            let Some(router) = self.routers.get(view.router) else { continue };
            said.priority = said.priority.max(u16::from(view.effective_priority));
            let Some(bit) = self.peers.units.unit(&router.config).map(|unit| 1u64 << unit.0) else {
                continue;
            };
            if view.role == Role::Active && !view.releasing {
                said.owned |= bit;
            }
            if view.ready { said.ready |= bit } else { unready |= bit }
        }
        said.ready &= !unready;
        said.flags = self.standing_flags();
        said.health = self.fitness.health_bits();
        said
    }

    fn standing_flags(&self) -> u16 {
        let stopping = self.stopping != Stopping::No;
        let bypass = !self.bypassing.engaged().is_empty();
        let maintenance = self.fitness.is_in_maintenance();
        [(stopping, flag::DRAINING), (maintenance, flag::MAINTENANCE), (bypass, flag::BYPASS)]
            .into_iter()
            .filter(|(set, _)| *set)
            .fold(0, |flags, (_, bit)| flags | bit)
    }

    /// Says of this node what has changed: to the map first, then in a round of probes if ownership changed.
    pub(in crate::runtime) fn say_standing(&mut self) -> Result<(), DatapathError> {
        if !std::mem::take(&mut self.peers.dirty) || self.peers.entries.is_empty() {
            return Ok(());
        }
        let said = self.summary();
        let before = std::mem::replace(&mut self.peers.said, said);
        let moved = before.owned != said.owned;
        if said.owned & !before.owned != 0 {
            self.peers.grant += 1;
        }
        self.write_node()?;
        self.tell_probes();
        if moved {
            self.probes.announce_now();
        }
        Ok(())
    }

    pub(super) fn write_node(&mut self) -> Result<(), DatapathError> {
        let said = self.peers.said;
        let node = NodePolicy {
            head: Head::of::<NodePolicy>(),
            cluster: self.peers.cluster,
            incarnation: self.peers.incarnation,
            owned: said.owned,
            ready: said.ready,
            grant: self.peers.grant,
            digest: self.peers.units.digest(),
            health: said.health,
            lease_centis: u16::try_from(self.lease.span().as_nanos() / NANOS_PER_CENTI).unwrap_or(u16::MAX),
            node: self.config.node.id.unwrap_or(0),
            port: if self.peers.entries.is_empty() { 0 } else { self.config.ha.port },
            priority: said.priority,
            flags: said.flags,
        };
        self.datapath.maps.peers.write_node(node)
    }

    /// The probe thread's copy; also at every extension of the lease, whose end it carries.
    pub(in crate::runtime) fn tell_probes(&self) {
        let said = self.peers.said;
        self.probes.set_standing(Standing {
            owned: said.owned,
            ready: said.ready,
            priority: said.priority,
            health: said.health,
            digest: self.peers.units.digest(),
            flags: said.flags,
            lease: self.lease.span(),
            lease_until: self.lease.until(),
            hears: self.peers.entries.values().map(|entry| (entry.id, entry.hears)).collect(),
        });
    }
}
