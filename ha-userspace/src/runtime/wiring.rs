//! Ties virtual routers to interfaces: which link the programs attach to, which address adverts come from, and what
//! changes when an interface comes, goes or changes under us.

use super::controller::Controller;
use super::peers::RouterTrust;
use super::plan;
use super::requests::Command;
use super::routers::{INITIAL_STANDING, Router};
use crate::config::validated::{Config, VirtualRouter};
use crate::datapath::{DatapathError, MonitoredLink, RouterSpec};
use crate::effects::executor;
use crate::effects::frames::MacAddress;
use crate::effects::interfaces::{Interface, LinkEvent};
use ha_common::maps::values::fence;
use holdfast_engine::{Input, Instant, InterfaceId, Role, RouterId};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

const SPARE_THREAD: &str = "hf-spare";

impl Controller {
    /// Brings every room to `self.config`: at start, and after a reload has replaced it.
    pub(super) fn apply_configuration(&mut self, now: Instant) -> Result<(), DatapathError> {
        let (wanted, engine_config) = self.numbers.number(&self.config);
        self.number_flap_units(now, &wanted);
        self.datapath.maps.write_settings(fence_number(&self.config))?;
        self.lease.set_span(plan::span(self.config.ha.controller_lease));
        self.set_stall_threshold();
        self.configure_peers()?;
        for (id, config) in &wanted {
            self.take_up(*id, config)?;
        }
        // Routers that are as they were may have to listen to others: trust and peers are not of their making.
        self.retrust()?;
        self.engine.handle_input(now, Input::Configured(engine_config));
        self.perform_actions(now)?;
        self.drop_routers(&wanted)?;
        self.configure_fitness(now)?;
        self.attach_links();
        self.datapath.maps.write_vips(self.routers.iter().map(|router| &router.spec))?;
        self.rewire(now)
    }

    /// Creates a router, or gives an existing one its new configuration.
    fn take_up(&mut self, id: RouterId, config: &VirtualRouter) -> Result<(), DatapathError> {
        if let Some(router) = self.routers.get_mut(id) {
            if router.config == *config {
                return Ok(());
            }
            router.config = config.clone();
            // A peer that is no longer listed is no longer listened to.
            self.datapath.maps.remove_sources(&router.spec)?;
            router.spec = spec(id, config, &router.facts(), self.peers.trust(config, self.config.ha.trust));
            self.datapath.maps.write_sources(&router.spec)?;
            self.effects.configure_router(id, effects_spec(config));
            if router.standing.role == Role::Active {
                // The addresses may be others now; those that stand are as good as added, and all are announced.
                self.effects.add_addresses(id);
            }
            return self.refresh_router(id);
        }
        let interface = self.numbers.interface(&config.interface);
        self.routers.insert(Router {
            config: config.clone(),
            spec: spec(id, config, &Facts::none(interface), self.peers.trust(config, self.config.ha.trust)),
            interface,
            ifindex: 0,
            mac: MacAddress::default(),
            up: false,
            standing: INITIAL_STANDING,
            granted_at: Instant::default(),
            generation: 0,
            xdp_mode: None,
        });
        Ok(())
    }

    fn drop_routers(&mut self, wanted: &BTreeMap<RouterId, VirtualRouter>) -> Result<(), DatapathError> {
        for id in self.routers.ids() {
            if wanted.contains_key(&id) {
                continue;
            }
            if let Some(router) = self.routers.remove(id) {
                self.datapath.maps.remove_router(&router.spec)?;
                self.adverts.remove(id);
                self.effects.forget_router(id);
            }
        }
        Ok(())
    }

    /// A link or address changed. What follows from it is done once per pass, by [`Self::settle_links`].
    pub(super) fn handle_link_event(&mut self, now: Instant, event: &LinkEvent) {
        let lost = self.lost_virtual_address(event);
        if !self.interfaces.apply(event) {
            return;
        }
        if let Some(router) = lost {
            self.engine.handle_input(now, Input::AddressLost { router });
        }
        self.unsettled = self.unsettled.max(match event {
            LinkEvent::Address { .. } => Unsettled::Addresses,
            LinkEvent::Link(_) | LinkEvent::LinkGone { .. } => Unsettled::Links,
        });
    }

    /// Draws the consequences of the link events of this pass.
    pub(super) fn settle_links(&mut self, now: Instant) -> Result<(), DatapathError> {
        match std::mem::take(&mut self.unsettled) {
            Unsettled::Nothing => return Ok(()),
            // A path's interface is known by its address, which comes after the interface.
            Unsettled::Addresses if self.config.peers.is_empty() => {}
            Unsettled::Addresses => self.attach_links(),
            Unsettled::Links => {
                self.attach_links();
                self.read_ports(now);
            }
        }
        self.rewire(now)
    }

    /// The Active router whose address an event says is gone.
    fn lost_virtual_address(&self, event: &LinkEvent) -> Option<RouterId> {
        let LinkEvent::Address { ifindex, address, added: false } = event else { return None };
        self.routers
            .iter()
            .find(|router| {
                let stands_here = router.ifindex == *ifindex || router.config.virtual_mac;
                stands_here && router.addresses().any(|vip| vip == address.address)
            })
            .map(Router::id)
    }

    /// Attaches the programs wherever a configured interface is, and lets go of interfaces that are gone. A refusal
    /// is reported and leaves that interface's routers in Initialize.
    fn attach_links(&mut self) {
        let wanted = self.attach_points(&self.config);
        let links = self.datapath.links();
        let stale: Vec<u32> =
            links.iter().map(|link| link.ifindex).filter(|known| !wanted.contains_key(known)).collect();
        for ifindex in stale {
            self.datapath.forget(ifindex);
        }
        for (ifindex, name) in wanted {
            if self.datapath.link(ifindex).is_none()
                && let Err(error) = self.datapath.monitor(&name, ifindex)
            {
                tracing::error!(interface = name, "{error}");
            }
        }
        self.load_spare();
    }

    /// Has the programs for the next interface loaded on another thread, so that attaching them later costs nothing.
    fn load_spare(&mut self) {
        if self.spare_loader.as_ref().is_some_and(|loader| !loader.is_finished()) {
            return;
        }
        let Some(load) = self.datapath.spare_loader() else { return };
        let own = self.own_mailbox.clone();
        let loader = std::thread::Builder::new().name(SPARE_THREAD.into()).spawn(move || match load() {
            Ok(spare) => {
                own.send(Command::Spare(spare));
            }
            Err(error) => {
                tracing::warn!("programs for a further interface could not be loaded ahead: {error}")
            }
        });
        self.spare_loader = loader.ok();
    }

    /// Attaches what `config` needs beyond what is attached; undone as a whole if one interface is missing or refuses.
    pub(super) fn attach_for(&mut self, config: &Config) -> Result<(), WiringError> {
        for name in monitored_names(config) {
            if self.interfaces.by_name(&name).is_none() {
                return Err(WiringError::MissingInterface { interface: name });
            }
        }
        let mut attached = Vec::new();
        for (ifindex, name) in self.attach_points(config) {
            if self.datapath.link(ifindex).is_some() {
                continue;
            }
            match self.datapath.monitor(&name, ifindex) {
                Ok(link) => {
                    tracing::info!(interface = name, mode = ?link.mode, "the data plane is attached");
                    attached.push(ifindex);
                }
                Err(error) => {
                    attached.into_iter().for_each(|ifindex| self.datapath.forget(ifindex));
                    return Err(error.into());
                }
            }
        }
        self.load_spare();
        Ok(())
    }

    /// Interfaces to attach to, for those of `config` that exist.
    fn attach_points(&self, config: &Config) -> BTreeMap<u32, String> {
        let mut names = monitored_names(config);
        names.extend(self.peer_interfaces(config));
        let found = names.into_iter().filter_map(|name| {
            let (attach, _) = self.attach_point(self.interfaces.by_name(&name)?)?;
            Some((attach.link.ifindex, attach.link.name.clone()))
        });
        found.collect()
    }

    /// The monitored link that an interface's frames pass.
    pub(super) fn attached_link(&self, ifindex: u32) -> Option<&MonitoredLink> {
        let (attach, _) = self.attach_point(self.interfaces.by_index(ifindex)?)?;
        self.datapath.link(attach.link.ifindex)
    }

    /// Where an interface's frames first appear: the interface itself, or the parent of a VLAN, with the VLAN key.
    pub(super) fn attach_point<'a>(&'a self, interface: &'a Interface) -> Option<(&'a Interface, u32)> {
        let mut point = interface;
        let mut vlan = 0u32;
        while let (Some(parent), Some(id)) = (point.link.parent, point.link.vlan) {
            // From the inside out: the first tag found is the innermost and ends in the low half.
            vlan = if vlan == 0 { u32::from(id) } else { (u32::from(id) << 16) | vlan };
            point = self.interfaces.by_index(parent)?;
        }
        Some((point, vlan))
    }

    /// Brings each router's interface facts up to date and tells the engine what changed.
    fn rewire(&mut self, now: Instant) -> Result<(), DatapathError> {
        let virtual_addresses = plan::virtual_addresses(self.config.virtual_routers.iter());
        let mut states: BTreeMap<InterfaceId, bool> = BTreeMap::new();
        for id in self.routers.ids() {
            let Some(facts) = self.facts(id, &virtual_addresses) else { continue };
            states.insert(facts.interface, facts.up);
            self.rewire_router(now, id, &facts)?;
        }
        self.write_local_addresses()?;
        self.place_paths()?;
        self.rewire_bypass()?;
        let links: Vec<u32> = self.datapath.links().iter().map(|link| link.ifindex).collect();
        for ifindex in links {
            self.write_link_policy(ifindex)?;
        }
        for (interface, up) in states {
            self.engine.handle_input(now, Input::Interface { interface, up });
            self.perform_actions(now)?;
        }
        Ok(())
    }

    fn rewire_router(&mut self, now: Instant, id: RouterId, facts: &Facts) -> Result<(), DatapathError> {
        let Some(router) = self.routers.get_mut(id) else { return Ok(()) };
        let moved = router.spec.attach_ifindex != facts.attach_ifindex
            || router.spec.vlan != facts.vlan
            || router.ifindex != facts.ifindex;
        let resourced = router.spec.source != facts.source;
        if moved && router.spec.attach_ifindex != 0 {
            // Its interface is gone or another one: the engine leaves it before the maps do.
            self.engine.handle_input(now, Input::Interface { interface: facts.interface, up: false });
            self.perform_actions(now)?;
            if let Some(router) = self.routers.get(id) {
                self.datapath.maps.remove_router(&router.spec)?;
            }
        }
        let Some(router) = self.routers.get_mut(id) else { return Ok(()) };
        let refaced = router.mac != facts.mac;
        router.mac = facts.mac;
        router.up = facts.up;
        router.ifindex = facts.ifindex;
        router.xdp_mode = self.datapath.link(facts.attach_ifindex).map(|link| link.mode);
        let trust = self.peers.trust(&router.config, self.config.ha.trust);
        router.spec = spec(id, &router.config, facts, trust);
        if moved {
            self.effects.configure_router(id, effects_spec(&router.config));
            if facts.attach_ifindex != 0 {
                self.discards.forget(id);
                self.datapath.maps.add_router(&router.spec, &router.standing)?;
            }
            self.datapath.maps.write_vips(self.routers.iter().map(|router| &router.spec))?;
        }
        if moved || resourced || refaced {
            self.refresh_router(id)?;
        }
        if resourced || moved {
            self.engine.handle_input(now, Input::Source { router: id, address: facts.source });
            self.perform_actions(now)?;
        }
        Ok(())
    }

    /// Addresses of this host, for `fence = "forwarding"`.
    fn write_local_addresses(&mut self) -> Result<(), DatapathError> {
        let addresses: Vec<IpAddr> = self
            .interfaces
            .iter()
            .flat_map(|interface| &interface.addresses)
            .map(|known| known.address)
            .collect();
        self.datapath.maps.write_local_addresses(addresses.into_iter())
    }

    fn facts(&self, id: RouterId, virtual_addresses: &[IpAddr]) -> Option<Facts> {
        let router = self.routers.get(id)?;
        let gone = Facts { mac: router.mac, ..Facts::none(router.interface) };
        let Some(found) = self.interfaces.by_name(&router.config.interface) else { return Some(gone) };
        let Some((attach, vlan)) = self.attach_point(found) else { return Some(gone) };
        if self.datapath.link(attach.link.ifindex).is_none() {
            return Some(gone);
        }
        let owner = router.config.priority.0 == u8::MAX;
        Some(Facts {
            interface: router.interface,
            ifindex: found.link.ifindex,
            attach_ifindex: attach.link.ifindex,
            vlan,
            mac: found.link.mac,
            up: found.link.up,
            source: found.source(router.config.family, virtual_addresses, owner),
        })
    }
}

/// What link events of a pass have touched, the most consequential last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unsettled {
    #[default]
    Nothing,
    Addresses,
    Links,
}

/// What the interfaces say about a router at one instant.
struct Facts {
    interface: InterfaceId,
    ifindex: u32,
    attach_ifindex: u32,
    vlan: u32,
    mac: MacAddress,
    up: bool,
    source: Option<IpAddr>,
}

impl Facts {
    /// Of an interface that does not exist.
    const fn none(interface: InterfaceId) -> Self {
        Self {
            interface,
            ifindex: 0,
            attach_ifindex: 0,
            vlan: 0,
            mac: MacAddress([0; 6]),
            up: false,
            source: None,
        }
    }
}

impl Router {
    /// The interface facts it was last wired with.
    fn facts(&self) -> Facts {
        Facts {
            interface: self.interface,
            ifindex: self.ifindex,
            attach_ifindex: self.spec.attach_ifindex,
            vlan: self.spec.vlan,
            mac: self.mac,
            up: self.up,
            source: self.spec.source,
        }
    }
}

/// Why a configuration cannot be wired up on this host.
#[derive(Debug, thiserror::Error)]
pub(super) enum WiringError {
    #[error(
        "interface {interface} does not exist on this host; create it first or correct the name in the configuration"
    )]
    MissingInterface { interface: String },
    #[error(transparent)]
    Datapath(#[from] DatapathError),
}

pub(super) fn monitored_names(config: &Config) -> BTreeSet<String> {
    let routers = config.virtual_routers.iter().map(|router| router.interface.clone());
    let pairs = config.link_pairs.iter().flat_map(|pair| [pair.inside.clone(), pair.outside.clone()]);
    routers.chain(pairs).collect()
}

/// The map entry of a router, from its configuration and the interface it stands on.
fn spec(id: RouterId, config: &VirtualRouter, facts: &Facts, trust: RouterTrust) -> RouterSpec {
    RouterSpec {
        slot: id.0,
        attach_ifindex: facts.attach_ifindex,
        vlan: facts.vlan,
        vrid: config.vrid,
        family: config.family,
        version: config.version,
        interval_ns: plan::span(config.advertisement_interval).as_nanos(),
        addresses: config.addresses.iter().map(|vip| vip.address).collect(),
        source: facts.source,
        checksum: config.checksum,
        accept: config.accept || config.priority.0 == u8::MAX,
        virtual_mac: config.virtual_mac,
        strict: config.strict,
        unicast_peers: config.unicast_peers.clone(),
        unit: trust.unit,
        corroborate: trust.corroborate,
        trusted: trust.sources,
    }
}

/// What the effects thread must know of a router.
fn effects_spec(config: &VirtualRouter) -> executor::RouterSpec {
    executor::RouterSpec {
        name: config.name.clone(),
        interface: config.interface.clone(),
        vrid: config.vrid,
        family: config.family,
        addresses: config.addresses.clone(),
        virtual_mac: config.virtual_mac,
    }
}

fn fence_number(config: &Config) -> u32 {
    match config.ha.fence {
        crate::config::validated::Fence::None => fence::NONE,
        crate::config::validated::Fence::Vip => fence::VIP,
        crate::config::validated::Fence::Forwarding => fence::FORWARDING,
    }
}
