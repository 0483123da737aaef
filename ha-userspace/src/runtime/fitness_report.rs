//! Checks, link pairs and bandwidth guards for the status object. Reads only.

use super::controller::Controller;
use super::report::wall_clock;
use crate::checks;
use crate::config::validated::{Check, CheckKind, CheckScope, LinkPair};
use crate::control::status::fitness::{BandwidthStatus, CheckStatus, LinkPairStatus, PortStatus};
use holdfast_engine::{BitRate, Instant, PortState};
use std::sync::Arc;

/// Every configured check, in the order of the file.
pub(super) fn checks(controller: &Controller, now: Instant) -> Vec<CheckStatus> {
    let known = controller.checks.statuses();
    let of = |check: &Check| known.iter().find(|status| status.name == check.name).map(Arc::as_ref);
    controller.config.checks.iter().map(|check| check_status(check, of(check), now)).collect()
}

fn check_status(check: &Check, known: Option<&checks::CheckStatus>, now: Instant) -> CheckStatus {
    CheckStatus {
        name: check.name.clone(),
        kind: kind(&check.kind).to_owned(),
        scope: match &check.scope {
            CheckScope::Node => "node".to_owned(),
            CheckScope::Group(name) => format!("group {name}"),
            CheckScope::VirtualRouter(name) => format!("virtual_router {name}"),
        },
        state: known.map(|known| known.state).unwrap_or_default(),
        detail: known.map(|known| known.detail.clone()).unwrap_or_default(),
        since: known.and_then(|known| known.changed_at).map(|at| wall_clock(at, now)),
        runs: known.map_or(0, |known| known.runs),
        timeouts: known.map_or(0, |known| known.timeouts),
        weight: check.weight,
    }
}

fn kind(kind: &CheckKind) -> &'static str {
    match kind {
        CheckKind::Interface { .. } => "interface",
        CheckKind::Command { .. } => "command",
        CheckKind::Process { .. } => "process",
        CheckKind::File { .. } => "file",
        CheckKind::Tcp { .. } => "tcp",
        CheckKind::Http { .. } => "http",
    }
}

/// Every configured pair.
pub(super) fn pairs(controller: &Controller) -> Vec<LinkPairStatus> {
    controller.config.link_pairs.iter().map(|pair| pair_status(controller, pair)).collect()
}

fn pair_status(controller: &Controller, pair: &LinkPair) -> LinkPairStatus {
    let (view, fault) = controller.link_pairs.describe(&pair.name).unzip();
    let port =
        |interface: &str, state: Option<PortState>| PortStatus { interface: interface.to_owned(), state };
    LinkPairStatus {
        name: pair.name.clone(),
        active: controller.link_pairs.is_active(&pair.name),
        inside: port(&pair.inside, view.and_then(|view| view.inside)),
        outside: port(&pair.outside, view.and_then(|view| view.outside)),
        passing: view.and_then(|view| view.passing),
        fault: fault.flatten(),
    }
}

/// Every link that has a minimum.
pub(super) fn bandwidth(controller: &Controller, now: Instant) -> Vec<BandwidthStatus> {
    let guards = controller.bandwidth.views().map(|(link, view)| BandwidthStatus {
        link: link.to_owned(),
        minimum_bps: view.minimum.as_bps(),
        interval_ns: view.interval.as_nanos(),
        armed: view.armed,
        rate_bps: view.rate.map(BitRate::as_bps),
        demand_bps: view.demand.map(BitRate::as_bps),
        below_since: view.below_since.map(|at| wall_clock(at, now)),
        failures: view.failures,
    });
    guards.collect()
}
