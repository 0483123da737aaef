//! Sync units and their numbers: what the bits of a probe stand for.
//!
//! A unit is a group, or a virtual router without one. All nodes must give a unit the same number without asking each
//! other, from what their configurations have in common: the names of groups, and of a lone router what it is on the wire.
//! Each name prefers the slot of its hash and takes the next free one, in the order of the names, so that a further unit
//! moves another one only where the two collide.

use crate::config::validated::VirtualRouter;
use ha_common::maps::peers::MAX_UNITS;
use ha_common::wire::siphash::SipHash;
use holdfast_engine::{Family, UnitId};
use std::collections::{BTreeMap, BTreeSet};

/// Any fixed key: the hash spreads names, it proves nothing.
const SPREAD: [u64; 2] = [0x686f_6c64_6661_7374, 0x756e_6974_7300_0001];

/// Numbers of the units of one configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct UnitNumbers {
    numbers: BTreeMap<String, UnitId>,
    digest: u32,
}

impl UnitNumbers {
    /// Numbers the units of these routers. Validation has seen to it that there are not too many; what is beyond gets none.
    pub(super) fn of<'a>(routers: impl Iterator<Item = &'a VirtualRouter> + Clone) -> Self {
        let names: BTreeSet<String> = routers.clone().map(name).collect();
        let mut taken = 0u64;
        let mut numbers = BTreeMap::new();
        for name in names {
            if taken == u64::MAX {
                break;
            }
            let mut slot = (hash(name.as_bytes()) % u64::from(MAX_UNITS)) as u32;
            while taken & (1 << slot) != 0 {
                slot = (slot + 1) % MAX_UNITS;
            }
            taken |= 1 << slot;
            numbers.insert(name, UnitId(slot as u8));
        }
        Self { numbers, digest: digest(routers) }
    }

    pub(super) fn unit(&self, router: &VirtualRouter) -> Option<UnitId> {
        self.numbers.get(&name(router)).copied()
    }

    /// Digest of units, members and their advertisement intervals: equal on nodes whose adverts must look alike.
    pub(super) fn digest(&self) -> u32 {
        self.digest
    }
}

fn name(router: &VirtualRouter) -> String {
    match &router.group {
        Some(group) => format!("group {group}"),
        None => wire_name(router),
    }
}

/// What a router is on the wire, on every node alike.
fn wire_name(router: &VirtualRouter) -> String {
    let family = if router.family == Family::Ipv4 { 4 } else { 6 };
    let first = router.addresses.iter().map(|vip| vip.address).min();
    let first = first.map(|address| address.to_string()).unwrap_or_default();
    format!("router {family} {} {first}", router.vrid)
}

fn digest<'a>(routers: impl Iterator<Item = &'a VirtualRouter>) -> u32 {
    let lines: BTreeSet<String> = routers
        .map(|router| {
            let interval = router.advertisement_interval.as_millis();
            format!("{} / {} / {interval}", name(router), wire_name(router))
        })
        .collect();
    let whole: Vec<String> = lines.into_iter().collect();
    (hash(whole.join("\n").as_bytes()) >> 32) as u32
}

fn hash(bytes: &[u8]) -> u64 {
    let chunks = bytes.chunks_exact(8);
    let tail = chunks.remainder();
    let word = |bytes: &[u8]| bytes.iter().rev().fold(0u64, |word, byte| (word << 8) | u64::from(*byte));
    chunks
        .fold(SipHash::new(SPREAD), |state, chunk| state.word(word(chunk)))
        .finish(word(tail), tail.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn routers(count: usize, groups: usize, interval: &str) -> Vec<VirtualRouter> {
        let text: String = (1..=count)
            .map(|number| {
                let group = if number <= groups { format!("group = \"g{number}\"\n") } else { String::new() };
                format!(
                    "[[virtual_router]]\nname = \"r{number}\"\ninterface = \"lan0\"\nvrid = {number}\n\
                     addresses = [\"192.0.2.{number}/24\"]\nadvertisement_interval = \"{interval}\"\n{group}"
                )
            })
            .collect();
        parse(&text, "test").unwrap().config.virtual_routers
    }

    fn numbers(routers: &[VirtualRouter]) -> UnitNumbers {
        UnitNumbers::of(routers.iter())
    }

    #[test]
    fn numbers_are_unique_and_do_not_depend_on_the_order_or_the_names_of_lone_routers() {
        let mut routers = routers(64, 10, "1s");
        let before = numbers(&routers);
        let distinct: BTreeSet<_> = routers.iter().filter_map(|router| before.unit(router)).collect();
        assert_eq!(distinct.len(), 64);
        routers.reverse();
        routers.iter_mut().for_each(|router| {
            router.name = format!("other-{}", router.vrid);
            router.interface = "eth7".to_owned();
            router.priority = crate::config::validated::Priority(7);
        });
        assert_eq!(numbers(&routers), before);
    }

    #[test]
    fn a_group_is_one_unit() {
        let mut routers = routers(3, 0, "1s");
        routers[0].group = Some("gateway".to_owned());
        routers[2].group = Some("gateway".to_owned());
        let numbers = numbers(&routers);
        assert_eq!(numbers.unit(&routers[0]), numbers.unit(&routers[2]));
        assert_ne!(numbers.unit(&routers[0]), numbers.unit(&routers[1]));
    }

    #[test]
    fn the_digest_changes_with_intervals_and_members() {
        let slow = numbers(&routers(3, 1, "1s"));
        assert_ne!(slow.digest(), numbers(&routers(3, 1, "100ms")).digest());
        assert_ne!(slow.digest(), numbers(&routers(4, 1, "1s")).digest());
        assert_eq!(slow.digest(), numbers(&routers(3, 1, "1s")).digest());
    }

    #[test]
    fn more_than_there_are_bits_get_no_number() {
        let routers = routers(65, 0, "1s");
        let numbers = numbers(&routers);
        assert_eq!(routers.iter().filter(|router| numbers.unit(router).is_none()).count(), 1);
    }
}
