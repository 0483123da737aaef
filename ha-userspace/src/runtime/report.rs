//! Fills the status object from the engine's views and the maps. Reads only.

use super::controller::Controller;
use super::routers::Router;
use crate::config::validated::{LinkPair, Peer, VirtualRouter};
use crate::control::status::{
    AttachMode, BypassFaultStatus, BypassStatus, ControllerStatus, DataPlaneStatus, FamilyName, Health,
    LinkPairStatus, LinkStatus, NodeStatus, PathStatus, PeerStatus, ReasonCounts, SCHEMA, Status,
    TransitionStatus, VirtualRouterStatus, WatchdogStatus, driver_name, mode_name, topology_name,
};
use crate::datapath::maps::Verdicts;
use crate::datapath::{DatapathError, XdpAttachMode};
use crate::journal::{Event, Timestamp};
use holdfast_engine::{ChecksumForm, Family, Instant, Role, RouterView, Version};
use std::time::SystemTime;

/// The whole node at `now`.
pub(super) fn status(controller: &Controller, now: Instant) -> Result<Status, DatapathError> {
    let config = &controller.config;
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
        peers: config.peers.iter().map(unprobed).collect(),
        link_pairs: config.link_pairs.iter().map(|pair| pair_status(controller, pair)).collect(),
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
        held_until: None,
        priority: config.priority.0,
        effective_priority: view.map_or(0, |view| view.effective_priority),
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

fn pair_status(controller: &Controller, pair: &LinkPair) -> LinkPairStatus {
    let up = |name: &str| controller.interfaces.by_name(name).is_some_and(|interface| interface.link.up);
    LinkPairStatus { name: pair.name.clone(), active: up(&pair.inside) && up(&pair.outside) }
}

/// A configured peer: nothing is known of it until probes are sent.
fn unprobed(peer: &Peer) -> PeerStatus {
    let path = |address: &std::net::IpAddr| PathStatus {
        address: *address,
        rtt_ns: None,
        sent: 0,
        answered: 0,
        lost: 0,
    };
    PeerStatus {
        name: peer.name.clone(),
        id: peer.id,
        health: Health::Unknown,
        paths: peer.addresses.iter().map(path).collect(),
        role: None,
        controller_heartbeat_age_ns: None,
    }
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
fn wall_clock(at: Instant, now: Instant) -> Timestamp {
    let age = std::time::Duration::from_nanos(now.since(at).as_nanos());
    SystemTime::now().checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH).into()
}
