//! Carries out the orders for virtual routers, on the effects thread: what stands for each, and the moves under way.
//!
//! A move (adding or removing all addresses of a router, with its macvlan set up or down) is one run of pipelined
//! requests; many routers' moves share the pipeline, and their answers are collected afterwards. An address that stood
//! before us is never removed: it is the address owner's (priority 255), or somebody else's.

use super::addresses::{self, PlannedAddress};
use super::clean_up::ignore_gone;
use super::executor::{EffectOutcome, OutcomeSink, Placement, RouterSpec};
use super::frames::MacAddress;
use super::interfaces::{Interface, Interfaces};
use super::link_monitor::snapshot;
use super::macvlan;
use super::memberships::Membership;
use super::netlink::{Netlink, NetlinkError, PIPELINE, Pending};
use super::record::{AddressRecord, Origin, Record, RouterRecord};
use super::sysctl::{self, Sysctls};
use holdfast_engine::{Family, RouterId};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::rc::Rc;

/// What stands for one router.
struct Router {
    spec: RouterSpec,
    /// The configured interface.
    parent: u32,
    /// Where the addresses go.
    device: u32,
    macvlan: Option<String>,
    /// Addresses that stood before us.
    foreign: BTreeSet<IpAddr>,
    /// Addresses that we added, as we added them.
    held: Vec<PlannedAddress>,
    _membership: Option<Membership>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Add,
    Remove,
}

enum Step {
    Link,
    Address(PlannedAddress),
}

/// A move whose answers are still to be collected.
struct Move {
    router: RouterId,
    direction: Direction,
    steps: Vec<(Step, Pending)>,
    errors: Vec<String>,
}

/// All routers of this daemon.
pub(super) struct RouterEffects {
    netlink: Netlink,
    known: Rc<RefCell<Interfaces>>,
    state_dir: PathBuf,
    origin: Origin,
    outcomes: OutcomeSink,
    routers: BTreeMap<RouterId, Router>,
    sysctls: Sysctls,
    moves: Vec<Move>,
    in_flight: usize,
}

impl RouterEffects {
    pub(super) fn new(
        netlink: Netlink,
        known: Rc<RefCell<Interfaces>>,
        state_dir: PathBuf,
        outcomes: OutcomeSink,
    ) -> io::Result<Self> {
        let origin = Origin::here()?;
        Ok(Self {
            netlink,
            known,
            state_dir,
            origin,
            outcomes,
            routers: BTreeMap::new(),
            sysctls: Sysctls::default(),
            moves: Vec::new(),
            in_flight: 0,
        })
    }

    /// See [`super::executor::Effects::configure_router`].
    pub(super) async fn configure(&mut self, id: RouterId, spec: RouterSpec) {
        self.settle().await;
        let outcome = match self.place(id, spec).await {
            Ok(placement) => Ok(placement),
            Err(error) => {
                self.remove(id).await;
                Err(error)
            }
        };
        (self.outcomes)(EffectOutcome::Configured { router: id, outcome });
    }

    async fn place(&mut self, id: RouterId, spec: RouterSpec) -> Result<Placement, String> {
        let interfaces = self.interfaces().await?;
        let interface = interfaces.by_name(&spec.interface).ok_or_else(|| {
            format!("interface {} does not exist; it is used as soon as it appears", spec.interface)
        })?;
        let held = self.release_unlisted(id, &spec, interface).await;
        let ours: Vec<IpAddr> =
            self.routers.values().flat_map(|router| &router.held).map(|a| a.address).collect();
        let standing = |address: &IpAddr| {
            interface.holds(*address)
                && !ours.contains(address)
                && !held.iter().any(|h| h.address == *address)
        };
        let foreign: BTreeSet<IpAddr> =
            spec.addresses.iter().map(|wanted| wanted.address).filter(standing).collect();
        let parent = interface.link.ifindex;
        let existing = self.routers.remove(&id);
        // A macvlan that somebody deleted is made anew.
        let kept = existing
            .as_ref()
            .filter(|router| router.macvlan.is_some() && interfaces.by_index(router.device).is_some())
            .map(|router| router.device);
        let macvlan = spec.virtual_mac.then(|| macvlan::name(spec.family, spec.vrid, parent));
        let router = Router {
            parent,
            device: kept.unwrap_or(parent),
            macvlan,
            foreign,
            held,
            _membership: existing.and_then(|router| router._membership),
            spec,
        };
        self.routers.insert(id, router);
        self.plan_settings(id)?;
        self.save_record()?;
        let warnings = self.apply_settings(id)?;
        if kept.is_none() {
            self.create_macvlan(id).await?;
        }
        self.finish_placement(id, interface, warnings)
    }

    /// Releases what the new configuration of a router no longer wants, everything if it moves elsewhere, and returns
    /// what it still holds.
    async fn release_unlisted(
        &mut self,
        id: RouterId,
        spec: &RouterSpec,
        interface: &Interface,
    ) -> Vec<PlannedAddress> {
        let Some(router) = self.routers.get_mut(&id) else { return Vec::new() };
        let old = &router.spec;
        let stays = router.parent == interface.link.ifindex
            && (old.vrid, old.family, old.virtual_mac) == (spec.vrid, spec.family, spec.virtual_mac);
        if !stays {
            self.remove(id).await;
            return Vec::new();
        }
        let listed =
            |held: &PlannedAddress| spec.addresses.iter().any(|wanted| wanted.address == held.address);
        let (kept, unlisted): (Vec<_>, Vec<_>) = router.held.drain(..).partition(listed);
        let device = router.device;
        for address in unlisted {
            if let Err(error) = ignore_gone(self.request_removal(device, &address).done().await) {
                tracing::warn!(router = spec.name, address = %address.address, %error, "an address could not be removed");
            }
        }
        kept
    }

    fn plan_settings(&mut self, id: RouterId) -> Result<(), String> {
        let Some(router) = self.routers.get(&id) else { return Ok(()) };
        if router.spec.family != Family::Ipv4 {
            return Ok(());
        }
        let interface = &router.spec.interface;
        let settings = if router.macvlan.is_some() {
            macvlan::parent_settings(interface)
        } else if router.spec.addresses.iter().any(|wanted| wanted.prefix < 32) {
            // Where a virtual address brings its own subnet, others may join it later and must outlive it.
            vec![(format!("ipv4/conf/{interface}/promote_secondaries"), "1")]
        } else {
            Vec::new()
        };
        for (path, value) in settings {
            let failed = |error| format!("cannot read /proc/sys/net/{path}: {error}");
            self.sysctls.plan(id, path.clone(), value).map_err(failed)?;
        }
        Ok(())
    }

    /// Writes the planned settings. A virtual MAC cannot do without its own; elsewhere a refusal is a warning, since a
    /// service that may not write below /proc/sys can still serve.
    fn apply_settings(&self, id: RouterId) -> Result<Vec<String>, String> {
        let Err((path, error)) = self.sysctls.apply(id) else { return Ok(Vec::new()) };
        let problem = format!("cannot set /proc/sys/net/{path}: {error}");
        if self.routers.get(&id).is_some_and(|router| router.spec.virtual_mac) {
            return Err(format!("{problem}; virtual_mac needs it, or hosts learn two MACs for one address"));
        }
        Ok(vec![format!("{problem}; addresses that join a virtual subnet may go when it moves")])
    }

    async fn create_macvlan(&mut self, id: RouterId) -> Result<(), String> {
        let Some(router) = self.routers.get_mut(&id) else { return Ok(()) };
        let Some(name) = &router.macvlan else { return Ok(()) };
        let spec = &router.spec;
        let created = macvlan::create(&self.netlink, name, router.parent, spec.family, spec.vrid).await;
        router.device = created.map_err(|error| error.to_string())?;
        Ok(())
    }

    fn finish_placement(
        &mut self,
        id: RouterId,
        interface: &Interface,
        mut warnings: Vec<String>,
    ) -> Result<Placement, String> {
        let router = self.routers.get_mut(&id).ok_or("the router is unknown")?;
        if router._membership.is_none() {
            match Membership::join(router.spec.family, router.parent) {
                Ok(membership) => router._membership = Some(membership),
                Err(error) => warnings.push(format!(
                    "{}: joining the VRRP group failed ({error}); a NIC that filters multicast may not deliver adverts",
                    router.spec.interface
                )),
            }
        }
        let spec = &router.spec;
        let mac = if spec.virtual_mac {
            MacAddress::of_virtual_router(spec.family, spec.vrid)
        } else {
            interface.link.mac
        };
        warnings.extend(router_flag_warning(router));
        if spec.virtual_mac && !router.foreign.is_empty() {
            warnings.push(format!(
                "{}: {} stands on the interface itself, which answers for it with its own MAC in spite of virtual_mac",
                spec.interface,
                router.foreign.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", "),
            ));
        }
        Ok(Placement { ifindex: router.parent, device: router.device, mac, warnings })
    }

    /// See [`super::executor::Effects::add_addresses`].
    pub(super) async fn add_addresses(&mut self, id: RouterId) {
        self.settle_before(id).await;
        let Some(router) = self.routers.get(&id) else {
            let outcome = Err("the router is not configured on any interface".to_owned());
            return (self.outcomes)(EffectOutcome::AddressesAdded { router: id, outcome });
        };
        let device = router.device;
        let plans = self.plans(router);
        let macvlan = router.macvlan.is_some();
        let mut steps = Vec::with_capacity(plans.len() + 1);
        if macvlan {
            steps.push((Step::Link, self.netlink.set_link(macvlan::up(device))));
        }
        self.moves.push(Move { router: id, direction: Direction::Add, steps, errors: Vec::new() });
        for plan in plans {
            let request = self.netlink.add_address(addresses::add_message(device, &plan));
            self.pipeline(Step::Address(plan), request).await;
        }
    }

    /// The addresses to add for a router, and how: all but those that stood before us and still stand.
    fn plans(&self, router: &Router) -> Vec<PlannedAddress> {
        let known = self.known.borrow();
        let virtual_addresses: Vec<IpAddr> = self
            .routers
            .values()
            .flat_map(|router| &router.spec.addresses)
            .map(|wanted| wanted.address)
            .collect();
        let base = known.by_index(router.parent);
        let stands = |address: IpAddr| {
            router.foreign.contains(&address) && base.is_some_and(|interface| interface.holds(address))
        };
        let plan = |wanted: &crate::config::validated::VirtualAddress| {
            // What we hold goes back as it was, whatever has changed around it.
            if let Some(held) = router.held.iter().find(|held| held.address == wanted.address) {
                return *held;
            }
            match base {
                Some(base) => addresses::plan(*wanted, base, &virtual_addresses, router.macvlan.is_some()),
                None => PlannedAddress { address: wanted.address, prefix: wanted.prefix, prefix_route: true },
            }
        };
        router.spec.addresses.iter().filter(|wanted| !stands(wanted.address)).map(plan).collect()
    }

    /// See [`super::executor::Effects::remove_addresses`].
    pub(super) async fn remove_addresses(&mut self, id: RouterId) {
        self.settle_before(id).await;
        let Some(router) = self.routers.get(&id) else {
            return (self.outcomes)(EffectOutcome::AddressesRemoved { router: id, outcome: Ok(()) });
        };
        let (device, macvlan, held) = (router.device, router.macvlan.is_some(), router.held.clone());
        self.moves.push(Move {
            router: id,
            direction: Direction::Remove,
            steps: Vec::new(),
            errors: Vec::new(),
        });
        for address in held {
            let request = self.request_removal(device, &address);
            self.pipeline(Step::Address(address), request).await;
        }
        if macvlan {
            let request = self.netlink.set_link(macvlan::down(device));
            self.pipeline(Step::Link, request).await;
        }
    }

    fn request_removal(&self, device: u32, address: &PlannedAddress) -> Pending {
        self.netlink.remove_address(addresses::remove_message(device, address.address, address.prefix))
    }

    /// Adds a request to the latest move; collects answers when too many are under way.
    async fn pipeline(&mut self, step: Step, request: Pending) {
        if let Some(latest) = self.moves.last_mut() {
            latest.steps.push((step, request));
            self.in_flight += 1;
        }
        if self.in_flight >= PIPELINE {
            self.collect().await;
        }
    }

    /// Waits if a move of this router is still under way: the next one depends on what it left.
    async fn settle_before(&mut self, id: RouterId) {
        if self.moves.iter().any(|under_way| under_way.router == id) {
            self.settle().await;
        }
    }

    /// Collects every answer and reports every move.
    pub(super) async fn settle(&mut self) {
        self.collect().await;
        for done in std::mem::take(&mut self.moves) {
            let outcome = if done.errors.is_empty() { Ok(()) } else { Err(done.errors.join("; ")) };
            let router = done.router;
            (self.outcomes)(match done.direction {
                Direction::Add => EffectOutcome::AddressesAdded { router, outcome },
                Direction::Remove => EffectOutcome::AddressesRemoved { router, outcome },
            });
        }
    }

    /// Collects the answers to all requests under way.
    async fn collect(&mut self) {
        let mut moves = std::mem::take(&mut self.moves);
        for under_way in &mut moves {
            for (step, request) in std::mem::take(&mut under_way.steps) {
                let outcome = request.done().await;
                if let Some(router) = self.routers.get_mut(&under_way.router) {
                    let taken = match under_way.direction {
                        Direction::Add => router.took_addition(&step, outcome),
                        Direction::Remove => router.took_removal(&step, outcome),
                    };
                    under_way.errors.extend(taken.err());
                }
            }
        }
        self.moves = moves;
        self.in_flight = 0;
    }

    /// See [`super::executor::Effects::forget_router`].
    pub(super) async fn forget(&mut self, id: RouterId) {
        self.settle().await;
        let mut errors = self.remove(id).await;
        errors.extend(self.save_record().err());
        for error in errors {
            tracing::warn!(error, "a virtual router could not be removed completely");
        }
    }

    /// See [`super::executor::Effects::remove_all`].
    pub(super) async fn remove_all(&mut self) -> Vec<String> {
        self.settle().await;
        let mut errors = Vec::new();
        for id in self.routers.keys().copied().collect::<Vec<_>>() {
            errors.extend(self.remove(id).await);
        }
        if errors.is_empty() {
            errors.extend(Record::delete(&self.state_dir).err().map(|error| error.to_string()));
        }
        errors
    }

    /// Takes away everything of a router: addresses, then its macvlan, then its settings.
    async fn remove(&mut self, id: RouterId) -> Vec<String> {
        let mut errors = Vec::new();
        if let Some(router) = self.routers.remove(&id) {
            let requests: Vec<_> = router
                .held
                .iter()
                .map(|address| (address.address, self.request_removal(router.device, address)))
                .collect();
            for (address, request) in requests {
                let removed = ignore_gone(request.done().await);
                errors.extend(removed.err().map(|error| format!("{address} could not be removed: {error}")));
            }
            if let Some(name) = router.macvlan.filter(|_| router.device != router.parent) {
                let removed =
                    ignore_gone(self.netlink.remove_link(macvlan::by_index(router.device)).done().await);
                errors.extend(removed.err().map(|error| format!("{name} could not be removed: {error}")));
            }
        }
        self.sysctls.release(id);
        errors
    }

    async fn interfaces(&self) -> Result<Interfaces, String> {
        snapshot(&self.netlink).await.map_err(|error| format!("cannot read the interfaces: {error}"))
    }

    fn save_record(&self) -> Result<(), String> {
        let mut record = Record::new(self.origin.clone());
        record.sysctls = self.sysctls.records();
        record.routers =
            self.routers.values().map(|router| (router.spec.name.clone(), router.record())).collect();
        record.save(&self.state_dir).map_err(|error| error.to_string())
    }
}

impl Router {
    fn record(&self) -> RouterRecord {
        let ours = self.spec.addresses.iter().filter(|wanted| !self.foreign.contains(&wanted.address));
        RouterRecord {
            interface: self.spec.interface.clone(),
            ifindex: self.parent,
            macvlan: self.macvlan.clone(),
            addresses: ours
                .map(|wanted| AddressRecord { address: wanted.address, prefix: wanted.prefix })
                .collect(),
        }
    }

    fn took_addition(&mut self, step: &Step, outcome: Result<(), NetlinkError>) -> Result<(), String> {
        let Step::Address(planned) = step else {
            return outcome.map_err(|error| format!("the macvlan could not be set up: {error}"));
        };
        let held = self.held.iter().any(|held| held.address == planned.address);
        match outcome {
            Ok(()) => {
                self.foreign.remove(&planned.address);
                if !held {
                    self.held.push(*planned);
                }
                Ok(())
            }
            Err(error) if error.errno() == Some(libc::EEXIST) => {
                if !held {
                    // Somebody put it there since we looked; it serves, and it is theirs to remove.
                    self.foreign.insert(planned.address);
                }
                Ok(())
            }
            Err(error) => {
                let PlannedAddress { address, prefix, .. } = planned;
                Err(format!("{address}/{prefix} could not be added on {}: {error}", self.spec.interface))
            }
        }
    }

    fn took_removal(&mut self, step: &Step, outcome: Result<(), NetlinkError>) -> Result<(), String> {
        let outcome = ignore_gone(outcome);
        match step {
            Step::Link => outcome.map_err(|error| format!("the macvlan could not be set down: {error}")),
            Step::Address(planned) => match outcome {
                Ok(()) => {
                    self.held.retain(|held| held.address != planned.address);
                    Ok(())
                }
                Err(error) => Err(format!(
                    "{} could not be removed from {}: {error}",
                    planned.address, self.spec.interface
                )),
            },
        }
    }
}

/// The kernel's own neighbour adverts carry the Router flag (V-123) only where the interface forwards. Our macvlans do;
/// an interface that is not ours is only looked at.
fn router_flag_warning(router: &Router) -> Option<String> {
    let spec = &router.spec;
    if spec.family != Family::Ipv6 || spec.virtual_mac {
        return None;
    }
    let path = format!("ipv6/conf/{}/forwarding", spec.interface);
    let forwards = sysctl::read(&path).is_ok_and(|value| value != "0");
    (!forwards).then(|| {
        format!(
            "{}: IPv6 forwarding is off, so the kernel's neighbour adverts for the virtual addresses lack the Router flag \
             and hosts drop this router from their list; set net.ipv6.conf.all.forwarding=1",
            spec.interface
        )
    })
}
