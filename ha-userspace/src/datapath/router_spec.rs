//! The part of a router's map entry that comes from configuration and interfaces, not from the election.

use super::maps::address_bytes;
use ha_common::maps::keys::{RouterKey, SourceKey, VipKey};
use ha_common::maps::peers::NO_UNIT;
use ha_common::maps::values::{Head, RouterPolicy, checksum_form, flag, role};
use holdfast_engine::{ChecksumPolicy, Family, PolicyWrite, Role, Version};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Immediate adverts allowed per own interval (V-107).
const ANSWERS_PER_INTERVAL: u32 = 10;

/// A virtual router as the data plane must know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterSpec {
    /// Slot in the router maps; equals the engine's `RouterId`.
    pub slot: u32,
    /// Interface the programs are attached to.
    pub attach_ifindex: u32,
    /// As in [`RouterKey::vlan`].
    pub vlan: u32,
    pub vrid: u8,
    pub family: Family,
    pub version: Version,
    pub interval_ns: u64,
    pub addresses: Vec<IpAddr>,
    pub source: Option<IpAddr>,
    pub checksum: ChecksumPolicy,
    pub accept: bool,
    pub virtual_mac: bool,
    pub strict: bool,
    /// Not empty: unicast mode.
    pub unicast_peers: Vec<IpAddr>,
    /// Bit of its sync unit in probes; `None` where no probe speaks of it.
    pub unit: Option<u8>,
    /// Adverts count only from `unicast_peers` and `trusted`, and those of a peer only if the peer bears them out.
    pub corroborate: bool,
    /// Senders and their values in `ADVERT_SOURCES`: 0 is trusted without a probe, else the peer's slot plus one. Comes
    /// before `unicast_peers`, whose value is 0, where both list an address.
    pub trusted: Vec<(IpAddr, u32)>,
}

/// A sender as a router's list has it, in an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    router: u32,
    address: [u8; 16],
}

impl From<&Source> for SourceKey {
    fn from(source: &Source) -> Self {
        Self { router: source.router, address: source.address }
    }
}

/// Value in `ADVERT_SOURCES` of a sender that is trusted without a probe.
const TRUSTED: u32 = 0;

impl RouterSpec {
    pub fn key(&self) -> RouterKey {
        let family = self.family_number();
        RouterKey { ifindex: self.attach_ifindex, vlan: self.vlan, vrid: self.vrid, family, reserved: [0; 2] }
    }

    /// Key of one of its addresses; a link-local one is bound to the interface.
    pub fn vip_key(&self, address: IpAddr) -> VipKey {
        let link_local = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
        let ifindex = if link_local { self.attach_ifindex } else { 0 };
        VipKey { ifindex, address: address_bytes(address) }
    }

    /// Senders that the router listens to, if it is restricted, and their values in `ADVERT_SOURCES`.
    pub fn sources(&self) -> BTreeMap<Source, u32> {
        let unicast = self.unicast_peers.iter().map(|peer| (*peer, TRUSTED));
        let source = |address| Source { router: self.slot, address: address_bytes(address) };
        unicast.chain(self.trusted.iter().copied()).map(|(address, value)| (source(address), value)).collect()
    }

    /// The map entry for a standing of the election.
    pub fn policy(&self, standing: &PolicyWrite, granted_at_ns: u64, generation: u32) -> RouterPolicy {
        let mut flags = 0;
        for (set, bit) in [
            (standing.preempt, flag::PREEMPT),
            (self.accept, flag::ACCEPT),
            (self.virtual_mac, flag::VIRTUAL_MAC),
            (!self.unicast_peers.is_empty(), flag::UNICAST | flag::RESTRICTED_SOURCES),
            (self.strict, flag::STRICT),
            (self.corroborate, flag::CORROBORATE | flag::RESTRICTED_SOURCES),
        ] {
            flags |= if set { bit } else { 0 };
        }
        RouterPolicy {
            head: Head::of::<RouterPolicy>(),
            ifindex: self.attach_ifindex,
            epoch: standing.epoch,
            granted_at_ns,
            grant_until_ns: u64::MAX,
            interval_ns: self.interval_ns,
            addresses_sum: self.addresses_sum(),
            source: self.source.map(address_bytes).unwrap_or_default(),
            vlan: self.vlan,
            answers_per_interval: ANSWERS_PER_INTERVAL,
            flags,
            vrid: self.vrid,
            family: self.family_number(),
            version: match self.version {
                Version::V2 => 2,
                Version::V3 => 3,
            },
            role: match standing.role {
                Role::Initialize => role::INITIALIZE,
                Role::Backup => role::BACKUP,
                Role::Active => role::ACTIVE,
            },
            priority: standing.priority,
            checksum: match self.checksum {
                ChecksumPolicy::Auto => checksum_form::ANY,
                ChecksumPolicy::Rfc9568 => checksum_form::RFC9568,
                ChecksumPolicy::Rfc5798 => checksum_form::RFC5798,
            },
            address_count: u8::try_from(self.addresses.len()).unwrap_or(u8::MAX),
            unit: self.unit.unwrap_or(NO_UNIT),
            reserved: [0; 2],
            generation,
        }
    }

    fn family_number(&self) -> u8 {
        match self.family {
            Family::Ipv4 => 4,
            Family::Ipv6 => 6,
        }
    }

    /// Sum of the 32-bit words of the addresses as they lie in memory (see `RouterPolicy::addresses_sum`).
    fn addresses_sum(&self) -> u64 {
        let words = |bytes: &[u8]| -> u64 {
            bytes
                .chunks_exact(4)
                .map(|word| u64::from(u32::from_ne_bytes([word[0], word[1], word[2], word[3]])))
                .sum()
        };
        self.addresses
            .iter()
            .map(|address| match address {
                IpAddr::V4(v4) => words(&v4.octets()),
                IpAddr::V6(v6) => words(&v6.octets()),
            })
            .sum()
    }
}
