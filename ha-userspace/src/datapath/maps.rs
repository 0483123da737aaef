//! Typed access to the shared maps. One method per thing the controller writes or reads.

use super::{BypassMaps, DatapathError, MapReadings, PeerMaps, RouterSpec};
use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray, RingBuf};
use ha_common::maps::keys::{RouterKey, SourceKey, VIP_FILTER_WORDS, VipKey, filter_bit, mapped};
use ha_common::maps::names;
use ha_common::maps::values::{
    AdvertTemplate, Head, Lease, LinkCounters, LinkPolicy, MAX_ADVERT_FRAME, RouterPolicy, RouterState,
    RouterVerdicts, Settings,
};
use ha_common::verdict_reasons::{REASON_SLOTS, VerdictReason};
use holdfast_engine::{Instant, PolicyWrite};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

/// Counts by verdict reason.
pub type Verdicts = BTreeMap<&'static str, u64>;

/// An address as the maps hold it: network byte order, IPv4 mapped into IPv6.
pub fn address_bytes(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => mapped(v4.octets()),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// The inverse of [`address_bytes`].
pub fn address_from_bytes(bytes: [u8; 16]) -> IpAddr {
    Ipv6Addr::from(bytes).to_canonical()
}

/// Every map of the data plane.
pub struct MapSet {
    lease: Array<MapData, Lease>,
    settings: Array<MapData, Settings>,
    links: Array<MapData, LinkPolicy>,
    link_counters: PerCpuArray<MapData, LinkCounters>,
    router_slots: HashMap<MapData, RouterKey, u32>,
    policies: Array<MapData, RouterPolicy>,
    states: Array<MapData, RouterState>,
    router_verdicts: Array<MapData, RouterVerdicts>,
    templates: Array<MapData, AdvertTemplate>,
    sources: HashMap<MapData, SourceKey, u32>,
    vips: HashMap<MapData, VipKey, u32>,
    vip_filter: Array<MapData, u64>,
    local_addresses: HashMap<MapData, [u8; 16], u32>,
    verdicts: PerCpuArray<MapData, u64>,
    /// This node as probes tell of it, its peers and their paths.
    pub peers: PeerMaps,
    bypass: Option<BypassMaps>,
    /// What stands in `VIPS`, to compute the filter and differences from.
    vips_written: BTreeMap<[u8; 20], u32>,
    locals_written: BTreeSet<[u8; 16]>,
}

/// Takes a map out of a loaded object, as the type that is wanted of it.
macro_rules! typed {
    ($ebpf:expr, $name:expr) => {
        take($ebpf, $name)?.try_into().map_err(|error| map_error($name, error))?
    };
}
pub(super) use typed;

impl MapSet {
    /// Takes the maps out of a loaded object.
    pub fn take(ebpf: &mut aya::Ebpf) -> Result<(Self, RingBuf<MapData>), DatapathError> {
        let bypass = Some(BypassMaps::take(ebpf)?);
        let maps = Self {
            lease: typed!(ebpf, names::LEASE),
            settings: typed!(ebpf, names::SETTINGS),
            links: typed!(ebpf, names::LINKS),
            link_counters: typed!(ebpf, names::LINK_COUNTERS),
            router_slots: typed!(ebpf, names::ROUTER_SLOTS),
            policies: typed!(ebpf, names::ROUTER_POLICIES),
            states: typed!(ebpf, names::ROUTER_STATES),
            router_verdicts: typed!(ebpf, names::ROUTER_VERDICTS),
            templates: typed!(ebpf, names::ADVERT_TEMPLATES),
            sources: typed!(ebpf, names::ADVERT_SOURCES),
            vips: typed!(ebpf, names::VIPS),
            vip_filter: typed!(ebpf, names::VIP_FILTER),
            local_addresses: typed!(ebpf, names::LOCAL_ADDRESSES),
            verdicts: typed!(ebpf, names::VERDICTS),
            peers: PeerMaps::take(ebpf)?,
            bypass,
            vips_written: BTreeMap::new(),
            locals_written: BTreeSet::new(),
        };
        let ring = typed!(ebpf, names::EVENTS);
        Ok((maps, ring))
    }

    /// The maps of the bypass wire, for the driver that alone writes them; `None` once they were taken.
    pub fn take_bypass(&mut self) -> Option<BypassMaps> {
        self.bypass.take()
    }

    pub fn write_settings(&mut self, fence: u32) -> Result<(), DatapathError> {
        let settings = Settings { head: Head::of::<Settings>(), fence };
        self.settings.set(0, settings, 0).map_err(|error| map_error(names::SETTINGS, error))
    }

    /// Extends the controller's word to `until`.
    pub fn write_lease(&mut self, until: Instant) -> Result<(), DatapathError> {
        let lease = Lease { head: Head::of::<Lease>(), reserved: 0, until_ns: until.as_nanos() };
        self.lease.set(0, lease, 0).map_err(|error| map_error(names::LEASE, error))
    }

    pub fn write_link(&mut self, slot: u32, policy: LinkPolicy) -> Result<(), DatapathError> {
        self.links.set(slot, policy, 0).map_err(|error| map_error(names::LINKS, error))
    }

    /// Makes a router's slot ready: cleared state, then its standing, then the key that leads to it.
    pub fn add_router(&mut self, spec: &RouterSpec, standing: &PolicyWrite) -> Result<(), DatapathError> {
        let state = RouterState { head: Head::of::<RouterState>(), ..RouterState::default() };
        self.states.set(spec.slot, state, 0).map_err(|error| map_error(names::ROUTER_STATES, error))?;
        let verdicts = RouterVerdicts { counts: [0; REASON_SLOTS] };
        self.router_verdicts
            .set(spec.slot, verdicts, 0)
            .map_err(|error| map_error(names::ROUTER_VERDICTS, error))?;
        self.write_policy(spec, standing, 0, 0)?;
        self.write_sources(spec)?;
        self.router_slots
            .insert(spec.key(), spec.slot, 0)
            .map_err(|error| map_error(names::ROUTER_SLOTS, error))
    }

    /// Takes a router out: its key first, so that nothing finds a half-removed one.
    pub fn remove_router(&mut self, spec: &RouterSpec) -> Result<(), DatapathError> {
        ignore_missing(self.router_slots.remove(&spec.key()))
            .map_err(|error| map_error(names::ROUTER_SLOTS, error))?;
        self.remove_sources(spec)
    }

    /// Undoes [`Self::write_sources`].
    pub fn remove_sources(&mut self, spec: &RouterSpec) -> Result<(), DatapathError> {
        for key in spec.sources().keys().map(SourceKey::from) {
            ignore_missing(self.sources.remove(&key))
                .map_err(|error| map_error(names::ADVERT_SOURCES, error))?;
        }
        Ok(())
    }

    pub fn write_policy(
        &mut self,
        spec: &RouterSpec,
        standing: &PolicyWrite,
        granted_at_ns: u64,
        generation: u32,
    ) -> Result<(), DatapathError> {
        let policy = spec.policy(standing, granted_at_ns, generation);
        self.policies.set(spec.slot, policy, 0).map_err(|error| map_error(names::ROUTER_POLICIES, error))
    }

    /// Senders a restricted router listens to.
    pub fn write_sources(&mut self, spec: &RouterSpec) -> Result<(), DatapathError> {
        for (source, voucher) in spec.sources() {
            self.sources
                .insert(SourceKey::from(&source), voucher, 0)
                .map_err(|error| map_error(names::ADVERT_SOURCES, error))?;
        }
        Ok(())
    }

    /// Makes the senders of `now` out of those of `before`, without a moment in which one of both is not listened to.
    pub fn replace_sources(&mut self, before: &RouterSpec, now: &RouterSpec) -> Result<(), DatapathError> {
        self.write_sources(now)?;
        let kept = now.sources();
        for source in before.sources().keys().filter(|source| !kept.contains_key(source)) {
            ignore_missing(self.sources.remove(&SourceKey::from(source)))
                .map_err(|error| map_error(names::ADVERT_SOURCES, error))?;
        }
        Ok(())
    }

    /// The frame XDP answers losing adverts with; `None`, or one that is too long, leaves them to the controller.
    pub fn write_template(&mut self, slot: u32, frame: Option<&[u8]>) -> Result<(), DatapathError> {
        let mut template = AdvertTemplate {
            head: Head::of::<AdvertTemplate>(),
            length: 0,
            frame: [0; MAX_ADVERT_FRAME],
            reserved: [0; 6],
        };
        if let Some(frame) = frame.filter(|frame| frame.len() <= MAX_ADVERT_FRAME) {
            template.frame[..frame.len()].copy_from_slice(frame);
            template.length = u32::try_from(frame.len()).unwrap_or(0);
        }
        self.templates.set(slot, template, 0).map_err(|error| map_error(names::ADVERT_TEMPLATES, error))
    }

    /// Makes `VIPS` and its filter hold exactly the addresses of `specs`.
    pub fn write_vips<'a>(
        &mut self,
        specs: impl Iterator<Item = &'a RouterSpec>,
    ) -> Result<(), DatapathError> {
        let mut wanted = BTreeMap::new();
        for spec in specs {
            for address in &spec.addresses {
                wanted.insert(vip_order(spec.vip_key(*address)), spec.slot);
            }
        }
        let failed = |error| map_error(names::VIPS, error);
        for (key, slot) in &wanted {
            if self.vips_written.get(key) != Some(slot) {
                self.vips.insert(vip_from_order(key), slot, 0).map_err(failed)?;
            }
        }
        self.write_filter(wanted.keys())?;
        for key in self.vips_written.keys().filter(|key| !wanted.contains_key(*key)) {
            ignore_missing(self.vips.remove(&vip_from_order(key))).map_err(failed)?;
        }
        self.vips_written = wanted;
        Ok(())
    }

    fn write_filter<'a>(&mut self, keys: impl Iterator<Item = &'a [u8; 20]>) -> Result<(), DatapathError> {
        let mut words = vec![0u64; VIP_FILTER_WORDS as usize];
        for key in keys {
            let bit = filter_bit(u32::from_be_bytes([key[16], key[17], key[18], key[19]]));
            words[bit as usize / 64] |= 1 << (bit % 64);
        }
        for (index, word) in (0u32..).zip(words) {
            self.vip_filter.set(index, word, 0).map_err(|error| map_error(names::VIP_FILTER, error))?;
        }
        Ok(())
    }

    /// Makes `LOCAL_ADDRESSES` hold exactly `addresses`.
    pub fn write_local_addresses(
        &mut self,
        addresses: impl Iterator<Item = IpAddr>,
    ) -> Result<(), DatapathError> {
        let wanted: BTreeSet<[u8; 16]> = addresses.map(address_bytes).collect();
        let failed = |error| map_error(names::LOCAL_ADDRESSES, error);
        for address in wanted.difference(&self.locals_written) {
            self.local_addresses.insert(address, 1, 0).map_err(failed)?;
        }
        for address in self.locals_written.difference(&wanted) {
            ignore_missing(self.local_addresses.remove(address)).map_err(failed)?;
        }
        self.locals_written = wanted;
        Ok(())
    }

    pub fn read_state(&self, slot: u32) -> Result<RouterState, DatapathError> {
        self.states.get(&slot, 0).map_err(|error| map_error(names::ROUTER_STATES, error))
    }

    /// Counters of an interface, summed over the CPUs.
    pub fn read_link_counters(&self, slot: u32) -> Result<LinkCounters, DatapathError> {
        let per_cpu =
            self.link_counters.get(&slot, 0).map_err(|error| map_error(names::LINK_COUNTERS, error))?;
        Ok(per_cpu.iter().fold(LinkCounters::default(), |sum, cpu| LinkCounters {
            rx_packets: sum.rx_packets + cpu.rx_packets,
            rx_bytes: sum.rx_bytes + cpu.rx_bytes,
            tx_packets: sum.tx_packets + cpu.tx_packets,
            tx_bytes: sum.tx_bytes + cpu.tx_bytes,
        }))
    }

    /// What the probe thread reads, for good: it goes on when these maps are dropped.
    pub fn probe_readings(&self) -> Result<MapReadings, DatapathError> {
        MapReadings::of(self.peers.reader(), &self.link_counters)
    }

    /// One reason's count over all interfaces.
    pub fn read_verdict(&self, reason: VerdictReason) -> Result<u64, DatapathError> {
        let per_cpu =
            self.verdicts.get(&(reason as u32), 0).map_err(|error| map_error(names::VERDICTS, error))?;
        Ok(per_cpu.iter().sum())
    }

    /// Counts of all reasons over all interfaces.
    pub fn read_verdicts(&self) -> Result<Verdicts, DatapathError> {
        VerdictReason::ALL.iter().map(|reason| Ok((reason.name(), self.read_verdict(*reason)?))).collect()
    }

    /// Counts of all reasons of one router.
    pub fn read_router_verdicts(&self, slot: u32) -> Result<Verdicts, DatapathError> {
        let verdicts =
            self.router_verdicts.get(&slot, 0).map_err(|error| map_error(names::ROUTER_VERDICTS, error))?;
        Ok(VerdictReason::ALL
            .iter()
            .map(|reason| (reason.name(), verdicts.counts[*reason as usize]))
            .collect())
    }
}

fn vip_order(key: VipKey) -> [u8; 20] {
    bytemuck::cast(key)
}

fn vip_from_order(bytes: &[u8; 20]) -> VipKey {
    bytemuck::pod_read_unaligned(bytes)
}

pub(super) fn take(ebpf: &mut aya::Ebpf, name: &'static str) -> Result<Map, DatapathError> {
    ebpf.take_map(name).ok_or_else(|| DatapathError::Map {
        name,
        reason: "missing from the BPF object; rebuild with `cargo xtask build`".into(),
    })
}

pub(super) fn ignore_missing(result: Result<(), aya::maps::MapError>) -> Result<(), aya::maps::MapError> {
    match result {
        Err(aya::maps::MapError::KeyNotFound) => Ok(()),
        Err(aya::maps::MapError::SyscallError(error))
            if error.io_error.kind() == std::io::ErrorKind::NotFound =>
        {
            Ok(())
        }
        other => other,
    }
}

pub(super) fn map_error(name: &'static str, error: aya::maps::MapError) -> DatapathError {
    DatapathError::Map { name, reason: error.to_string() }
}
