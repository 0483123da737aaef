//! From configuration and interfaces to what each room is given: engine configuration, map entries, effects.
//!
//! Slots, group numbers and interface numbers are given out once per name and kept across reloads, so that a router
//! that stays the same keeps its state in the engine and in the maps.

use super::units::UnitNumbers;
use crate::config::validated::{self, Config, VirtualRouter};
use holdfast_engine::{
    Duration, EngineConfig, GroupId, InterfaceId, PeerCheck, PeerId, RouterConfig, RouterId, Takeover,
};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Numbers given to names.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    routers: BTreeMap<Identity, RouterId>,
    groups: BTreeMap<String, GroupId>,
    interfaces: BTreeMap<String, InterfaceId>,
}

/// What makes a router the same one after a reload. A change of any of these makes another router of it.
type Identity = (String, String, u8, bool, u8, bool);

impl Numbers {
    /// Number of an interface name.
    pub(super) fn interface(&mut self, name: &str) -> InterfaceId {
        let next = InterfaceId(next_number(self.interfaces.values().map(|id| id.0)));
        *self.interfaces.entry(name.into()).or_insert(next)
    }

    /// Names behind the group numbers.
    pub(super) fn group_names(&self) -> BTreeMap<GroupId, String> {
        self.groups.iter().map(|(name, id)| (*id, name.clone())).collect()
    }

    /// Number of a group name, if it is in use.
    pub(super) fn known_group(&self, name: &str) -> Option<GroupId> {
        self.groups.get(name).copied()
    }

    fn group(&mut self, name: &str) -> GroupId {
        let next = GroupId(next_number(self.groups.values().map(|id| id.0)));
        *self.groups.entry(name.into()).or_insert(next)
    }

    /// Slot of a router; the lowest free one for a new router.
    fn router(&mut self, router: &VirtualRouter) -> RouterId {
        let next = RouterId(next_number(self.routers.values().map(|id| id.0)));
        *self.routers.entry(identity(router)).or_insert(next)
    }

    /// Gives back the slots of routers that are not in `config`.
    fn retain(&mut self, config: &Config) {
        let wanted: Vec<Identity> = config.virtual_routers.iter().map(identity).collect();
        self.routers.retain(|known, _| wanted.contains(known));
    }

    /// Routers of `config` with their slots, and the engine's view of them.
    pub(super) fn number(&mut self, config: &Config) -> (BTreeMap<RouterId, VirtualRouter>, EngineConfig) {
        let mut routers = BTreeMap::new();
        let mut engine = EngineConfig {
            peers: config.peers.iter().map(|peer| PeerId(peer.id)).collect(),
            peer_check: PeerCheck {
                interval: span(config.peer_check.interval),
                failure_threshold: config.peer_check.failure_threshold,
            },
            takeover: match config.ha.takeover {
                validated::Takeover::Fast => Takeover::Fast,
                validated::Takeover::AfterLease => Takeover::AfterLease,
            },
            ..EngineConfig::default()
        };
        let units = UnitNumbers::of(config.virtual_routers.iter());
        // Slots of removed routers are free only after new ones were numbered: a slot never changes owner in one step.
        for router in &config.virtual_routers {
            let id = self.router(router);
            engine.routers.push(RouterConfig {
                id,
                interface: self.interface(&router.interface),
                version: router.version,
                family: router.family,
                priority: router.priority.0,
                advertisement_interval: span(router.advertisement_interval),
                preempt: router.preempt,
                preempt_delay: span(router.preempt_delay),
                checksum: router.checksum,
                group: router.group.as_deref().map(|group| self.group(group)),
                unit: units.unit(router).filter(|_| !config.peers.is_empty()),
            });
            routers.insert(id, router.clone());
        }
        self.retain(config);
        (routers, engine)
    }
}

fn identity(router: &VirtualRouter) -> Identity {
    (
        router.name.clone(),
        router.interface.clone(),
        router.vrid,
        matches!(router.family, holdfast_engine::Family::Ipv4),
        match router.version {
            holdfast_engine::Version::V2 => 2,
            holdfast_engine::Version::V3 => 3,
        },
        router.virtual_mac,
    )
}

/// Lowest number not in use.
fn next_number(used: impl Iterator<Item = u32>) -> u32 {
    let mut used: Vec<u32> = used.collect();
    used.sort_unstable();
    (0u32..).zip(used).take_while(|(expected, found)| expected == found).count() as u32
}

/// The engine's span of a configured one; configuration bounds keep it far from overflow.
pub(super) fn span(duration: std::time::Duration) -> Duration {
    Duration::from_nanos(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
}

/// Addresses of all virtual routers on an interface: none of them may serve as the source of adverts.
pub(super) fn virtual_addresses<'a>(routers: impl Iterator<Item = &'a VirtualRouter>) -> Vec<IpAddr> {
    routers
        .filter(|router| router.priority.0 != u8::MAX)
        .flat_map(|router| router.addresses.iter().map(|vip| vip.address))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::next_number;

    #[test]
    fn the_lowest_free_number_is_given() {
        for (used, expected) in [(vec![], 0), (vec![0, 1, 2], 3), (vec![2, 0], 1), (vec![1], 0)] {
            assert_eq!(next_number(used.into_iter()), expected);
        }
    }
}
