//! Fills the status object from the engine's views and the maps. Reads only.

use super::controller::Controller;
use super::fitness_report;
use super::routers::Router;
use crate::config::validated::{Peer, VirtualRouter};
use crate::control::status::{
    AttachMode, BypassFaultStatus, BypassStatus, ControllerStatus, DataPlaneStatus, FamilyName, Health,
    LinkStatus, NodeStatus, PathStatus, PeerStatus, ReasonCounts, SCHEMA, Status, TransitionStatus,
    VirtualRouterStatus, WatchdogStatus, driver_name, mode_name, topology_name,
};
use crate::datapath::maps::Verdicts;
use crate::datapath::{DatapathError, XdpAttachMode};
use crate::journal::{Event, Timestamp};
use holdfast_engine::{ChecksumForm, Family, Instant, PeerId, Role, RouterView, UnitId, Units, Version};
use std::time::SystemTime;

/// The whole node at `now`.
pub(super) fn status(controller: &Controller, now: Instant) -> Result<Status, DatapathError> {
    let config = &controller.config;
    let probed = if config.peers.is_empty() { Vec::new() } else { controller.probes.statuses() };
    let routers = controller.routers.iter().map(|router| router_status(controller, router, now));
    let links = link_names(controller).into_iter().map(|name| link_status(controller, name));
    let links: Vec<LinkStatus> = links.collect::<Result<_, _>>()?;
    Ok(Status {
        schema: SCHEMA,
        node: NodeStatus {
            name: config.node.name.clone(),
            id: config.node.id,
            mode: mode_name(config.ha.mode).into(),
            primary: config.ha.primary,
            maintenance: controller.fitness.is_in_maintenance(),
            started_at: controller.started_at.into(),
            version: env!("CARGO_PKG_VERSION").into(),
        },
        controller: ControllerStatus {
            lease_ns: controller.lease.span().as_nanos(),
            lease_remaining_ns: controller.lease.remaining(now).as_nanos(),
            loop_lateness_max_ns: controller.stall.longest().as_nanos(),
            journal_failures: controller.feed.write_failures(),
        },
        virtual_routers: routers.collect::<Result<_, _>>()?,
        peers: config.peers.iter().map(|peer| peer_status(controller, peer, &probed, now)).collect(),
        link_pairs: fitness_report::pairs(controller),
        checks: fitness_report::checks(controller, now),
        bandwidth: fitness_report::bandwidth(controller, now),
        flaps: controller.governor.status(now),
        bypass: bypass_status(controller, now),
        data_plane: DataPlaneStatus {
            program: controller.datapath.program(),
            attached: links.iter().all(|link| link.mode.is_some()),
            verdicts: occurred(&controller.datapath.maps.read_verdicts()?),
        },
        links,
    })
}

fn router_status(
    controller: &Controller,
    router: &Router,
    now: Instant,
) -> Result<VirtualRouterStatus, DatapathError> {
    let state = controller.datapath.maps.read_state(router.spec.slot)?;
    let view = controller.engine.view(router.id());
    let view = view.as_ref();
    let config = &router.config;
    let owned = router.standing.role == Role::Active
        && router.standing.epoch != 0
        && state.revoked_epoch != router.standing.epoch
        && !controller.lease.lapsed(now);
    let heard = (state.last_advert_ns != 0).then(|| Instant::from_nanos(state.last_advert_ns));
    let last_advert = heard.max(view.and_then(|view| view.last_advert));
    Ok(VirtualRouterStatus {
        name: config.name.clone(),
        group: config.group.clone(),
        interface: config.interface.clone(),
        vrid: config.vrid,
        version: if config.version == Version::V2 { 2 } else { 3 },
        family: if config.family == Family::Ipv4 { FamilyName::Ipv4 } else { FamilyName::Ipv6 },
        addresses: config.addresses.iter().map(|vip| format!("{}/{}", vip.address, vip.prefix)).collect(),
        state: view.map(|view| view.role).unwrap_or_default(),
        owned,
        fenced: !owned && controller.config.ha.fence != crate::config::validated::Fence::None,
        held_until: view.and_then(|view| view.vouched_until).map(|at| wall_clock_ahead(at, now)),
        uncorroborated: state.uncorroborated,
        priority: config.priority.0,
        effective_priority: view.map_or(0, |view| view.effective_priority),
        unfit: view.and_then(|view| view.unfit),
        active_since: view.and_then(|view| view.active_since).map(|at| wall_clock(at, now)),
        last_transition: last_transition(controller, router, view, now),
        active_router: view.and_then(|view| view.active_router).map(|(address, _)| address),
        last_advert_age_ns: last_advert.map(|at| now.since(at).as_nanos()),
        learned_interval_ns: view.map(|view| view.learned_interval.as_nanos()),
        checksum_sent: sent_form(config, view),
        checksum_heard: view.and_then(|view| view.checksum_heard),
        adverts_sent: state.adverts_sent,
        adverts_received: state.adverts_received,
        adverts_answered_in_xdp: state.adverts_answered,
        priority_zero_sent: state.priority_zero_sent,
        priority_zero_received: state.priority_zero_received,
        transitions: view.map_or(0, |view| view.transitions),
        discards: occurred(&controller.datapath.maps.read_router_verdicts(router.spec.slot)?),
    })
}

/// The last transition as the journal tells it. The journal writes to disk first, so it may still be behind the engine,
/// whose word then counts: state and cause of one status belong together.
fn last_transition(
    controller: &Controller,
    router: &Router,
    view: Option<&RouterView>,
    now: Instant,
) -> Option<TransitionStatus> {
    let latest = view.and_then(|view| view.last_transition.as_ref());
    let record = controller.feed.last_transition(&router.config.name);
    let current = record.filter(|record| latest.is_none_or(|latest| record.boot_ns >= latest.at.as_nanos()));
    match (current, latest) {
        (None, Some(latest)) => {
            let event = Event::from_transition(latest, &controller.names());
            TransitionStatus::from_event(wall_clock(latest.at, now), &event)
        }
        (current, _) => current.as_deref().and_then(TransitionStatus::from_record),
    }
}

/// The form of our adverts, where there is a choice.
fn sent_form(config: &VirtualRouter, view: Option<&RouterView>) -> Option<ChecksumForm> {
    let choice = config.version == Version::V3 && config.family == Family::Ipv4;
    view.filter(|_| choice).map(|view| view.checksum_sent)
}

fn link_names(controller: &Controller) -> Vec<&str> {
    let config = &controller.config;
    let routers = config.virtual_routers.iter().map(|router| router.interface.as_str());
    let pairs = config.link_pairs.iter().flat_map(|pair| [pair.inside.as_str(), pair.outside.as_str()]);
    let mut names: Vec<&str> = routers.chain(pairs).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn link_status(controller: &Controller, name: &str) -> Result<LinkStatus, DatapathError> {
    let interface = controller.interfaces.by_name(name);
    let ifindex = interface.map(|interface| interface.link.ifindex);
    let attached = ifindex.and_then(|ifindex| controller.attached_link(ifindex));
    let counters = match attached {
        Some(link) => controller.datapath.maps.read_link_counters(link.slot)?,
        None => Default::default(),
    };
    let rates = attached.map(|link| controller.bandwidth.rates(link.ifindex)).unwrap_or_default();
    Ok(LinkStatus {
        name: name.into(),
        ifindex,
        carrier: interface.is_some_and(|interface| interface.link.up),
        mode: attached.map(|link| match link.mode {
            XdpAttachMode::Native => AttachMode::Native,
            XdpAttachMode::Generic => AttachMode::Generic,
        }),
        rx_bps: rates.rx_bps,
        tx_bps: rates.tx_bps,
        rx_packets: counters.rx_packets,
        rx_bytes: counters.rx_bytes,
        tx_packets: counters.tx_packets,
        tx_bytes: counters.tx_bytes,
    })
}

/// A peer as the probe thread judges it and as it spoke last.
fn peer_status(
    controller: &Controller,
    peer: &Peer,
    probed: &[crate::probes::status::PeerStatus],
    now: Instant,
) -> PeerStatus {
    let id = PeerId(peer.id);
    let probed = probed.iter().find(|status| status.peer == id);
    let said = controller.engine.peer(id);
    let heard_at = said.and_then(|said| said.heard_at);
    let fresh = controller.engine.is_peer_fresh(id, now);
    PeerStatus {
        name: peer.name.clone(),
        id: peer.id,
        health: match probed.map(|status| status.health) {
            Some(holdfast_engine::Health::Healthy) => Health::Healthy,
            Some(holdfast_engine::Health::Unhealthy) => Health::Unhealthy,
            Some(holdfast_engine::Health::Unknown) | None => Health::Unknown,
        },
        paths: match probed {
            Some(status) => status.paths.iter().map(|path| path_status(path, now)).collect(),
            None => peer.addresses.iter().map(|address| PathStatus::unprobed(*address)).collect(),
        },
        role: said.filter(|_| fresh).map(|said| if said.owned.0 == 0 { Role::Backup } else { Role::Active }),
        controller_heartbeat_age_ns: said.filter(|said| said.heard_at.is_some()).map(|said| {
            // The controller extends its lease whenever it has gone round: what is left of it says when that was.
            let extended = said.lease_until.since(Instant::default()).saturating_sub(said.lease);
            now.since(Instant::default() + extended).as_nanos()
        }),
        heard_age_ns: heard_at.map(|at| now.since(at).as_nanos()),
        lease_remaining_ns: said.map_or(0, |said| said.lease_until.since(now).as_nanos()),
        owns: owned_names(controller, said.map_or(Units::NONE, |said| said.owned).filter(fresh)),
        ready_for: owned_names(controller, said.map_or(Units::NONE, |said| said.ready).filter(fresh)),
        authenticated: !controller.peers.is_plain(id),
    }
}

fn path_status(path: &crate::probes::status::PathStatus, now: Instant) -> PathStatus {
    let trips = path.view.round_trips;
    let counts = path.view.counts;
    PathStatus {
        address: path.remote,
        interface: path.interface.as_deref().map(str::to_owned),
        health: match path.view.health {
            holdfast_engine::Health::Healthy => Health::Healthy,
            holdfast_engine::Health::Unhealthy => Health::Unhealthy,
            holdfast_engine::Health::Unknown => Health::Unknown,
        },
        rtt_ns: trips.map(|trips| trips.last.as_nanos()),
        rtt_smoothed_ns: trips.map(|trips| trips.smoothed.as_nanos()),
        rtt_min_ns: trips.map(|trips| trips.least.as_nanos()),
        rtt_max_ns: trips.map(|trips| trips.most.as_nanos()),
        sent: path.counters.sent,
        answered: counts.answered,
        lost: counts.lost,
        void: counts.void,
        sent_late: path.counters.sent_late,
        last_failure: path.counters.last_failure.map(|(failure, at)| {
            format!(
                "{failure}, {} ago",
                crate::config::units::show_duration(std::time::Duration::from_nanos(
                    now.since(at).as_nanos()
                ))
            )
        }),
        requests_heard: path.requests,
    }
}

/// Names of the units behind the bits.
fn owned_names(controller: &Controller, units: Units) -> Vec<String> {
    let mut names: Vec<String> = controller
        .routers
        .iter()
        .filter(|router| router.spec.unit.is_some_and(|unit| units.contains(UnitId(unit))))
        .map(|router| router.config.group.clone().unwrap_or_else(|| router.config.name.clone()))
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn bypass_status(controller: &Controller, now: Instant) -> BypassStatus {
    let (config, bypassing) = (&controller.config.bypass, &controller.bypassing);
    let nanos = |span: std::time::Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    let engaged = bypassing.engaged();
    let fault =
        |(pair, fault): (&String, &String)| BypassFaultStatus { pair: pair.clone(), fault: fault.clone() };
    BypassStatus {
        driver: driver_name(&config.driver).into(),
        topology: topology_name(&config.driver, config.topology).map(Into::into),
        engaged: !engaged.is_empty(),
        wanted: bypassing.wanted(),
        pairs: engaged,
        faults: bypassing.faults().map(fault).collect(),
        watchdog: config.watchdog.map(|watchdog| WatchdogStatus {
            timeout_ns: nanos(watchdog.timeout),
            pet_interval_ns: nanos(watchdog.pet_interval),
            proof_age_ns: bypassing.proven_at().map(|at| now.since(at).as_nanos()),
        }),
    }
}

fn occurred(verdicts: &Verdicts) -> ReasonCounts {
    verdicts.iter().filter(|(_, count)| **count != 0).map(|(name, count)| ((*name).into(), *count)).collect()
}

/// Wall-clock time of a boot-clock instant, for people.
pub(super) fn wall_clock(at: Instant, now: Instant) -> Timestamp {
    let age = std::time::Duration::from_nanos(now.since(at).as_nanos());
    SystemTime::now().checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH).into()
}

/// Wall-clock time of a boot-clock instant to come, for people.
fn wall_clock_ahead(at: Instant, now: Instant) -> Timestamp {
    let ahead = std::time::Duration::from_nanos(at.since(now).as_nanos());
    (SystemTime::now() + ahead).into()
}
