//! Status and events as text for people: 80 columns, no colours. Pure text from the answers.

mod fitness;

use crate::config::units::show_duration;
use crate::control::status::{
    AttachMode, BypassStatus, FamilyName, FlapStatus, Health, LinkStatus, PathStatus, PeerStatus,
    ReasonCounts, Status, VirtualRouterStatus,
};
use crate::journal::{EventRecord, Timestamp, explain};
use holdfast_engine::Role;
use std::fmt::Write;
use std::time::Duration;

/// Columns of a terminal.
const WIDTH: usize = 80;
/// Column at which the text beside a label begins.
const INDENT: usize = 14;

/// `bypass.driver` of a node without one.
const NO_DRIVER: &str = "none";

/// One event on one line.
pub fn event(record: &EventRecord) -> String {
    format!("{} {}", record.at, explain::line(&record.event))
}

/// The whole status as of `now`.
pub fn status(status: &Status, now: Timestamp) -> String {
    let mut text = String::new();
    node(&mut text, status, now);
    for router in &status.virtual_routers {
        text.push('\n');
        virtual_router(&mut text, router, now);
    }
    if !status.peers.is_empty() {
        text.push_str("\npeers\n");
        status.peers.iter().for_each(|each| peer(&mut text, each));
    }
    if !status.links.is_empty() {
        text.push_str("\nlinks\n");
        status.links.iter().for_each(|each| link(&mut text, each));
    }
    for pair in &status.link_pairs {
        fitness::pair(&mut text, pair);
    }
    fitness::checks(&mut text, &status.checks, now);
    fitness::bandwidth(&mut text, &status.bandwidth, now);
    text.push('\n');
    data_plane(&mut text, status);
    text
}

fn node(text: &mut String, status: &Status, now: Timestamp) {
    let node = &status.node;
    let id = node.id.map(|id| format!(" (id {id})")).unwrap_or_default();
    let primary = if node.primary { ", primary" } else { "" };
    let maintenance = if node.maintenance { ", IN MAINTENANCE" } else { "" };
    let up = explain::age(node.started_at.until(now));
    let line =
        format!("{}{id}, {}{primary}{maintenance}, holdfast {}, up {up}", node.name, node.mode, node.version);
    labelled_at(text, 0, "node", &line);
    let controller = &status.controller;
    let line = format!(
        "lease {}, {} left; its loop was at most {} late",
        span(controller.lease_ns),
        span(controller.lease_remaining_ns),
        span(controller.loop_lateness_max_ns)
    );
    labelled(text, "controller", &line);
    if controller.journal_failures > 0 {
        let line = format!("{} EVENTS NOT WRITTEN TO DISK", controller.journal_failures);
        labelled(text, "journal", &line);
    }
    if status.flaps.count > 0 || status.flaps.latched {
        labelled(text, "flaps", &flaps(&status.flaps));
    }
    if status.bypass.driver != NO_DRIVER {
        bypass(text, &status.bypass);
    }
}

fn flaps(flaps: &FlapStatus) -> String {
    let mut line = match &flaps.reason {
        Some(reason) => format!("LATCHED: {reason}"),
        None => format!("{} in {}, {} allowed", flaps.count, span(flaps.window_ns), flaps.maximum_allowed),
    };
    if flaps.latched {
        let _ = match flaps.release_in_ns {
            Some(left) => write!(line, "; ends by itself in {}", span(left)),
            None => write!(line, "; `holdfast bypass release` ends it"),
        };
    }
    if flaps.hold_remaining_ns > 0 {
        let _ = write!(line, "; preempts nobody for {}", span(flaps.hold_remaining_ns));
    }
    if let Some(left) = flaps.next_expiry_in_ns {
        let _ = write!(line, "; the oldest is forgotten in {}", span(left));
    }
    line
}

fn bypass(text: &mut String, bypass: &BypassStatus) {
    let topology = bypass.topology.as_ref().map(|topology| format!(", {topology}")).unwrap_or_default();
    let state = match bypass.engaged {
        true => format!("ENGAGED: {}", bypass.pairs.join(", ")),
        false => "released".to_owned(),
    };
    let mut line = format!("{}{topology}, {state}", bypass.driver);
    let missing: Vec<_> = bypass.wanted.iter().filter(|pair| !bypass.pairs.contains(pair)).collect();
    if !missing.is_empty() {
        let missing: Vec<_> = missing.into_iter().map(String::as_str).collect();
        let _ = write!(line, "; NOT ENGAGED AS WANTED: {}", missing.join(", "));
    }
    labelled(text, "bypass", &line);
    if let Some(watchdog) = &bypass.watchdog {
        let proof = match watchdog.proof_age_ns {
            Some(age) => format!("last round trip proven {} ago", span(age)),
            None => "NO ROUND TRIP PROVEN YET".to_owned(),
        };
        let (timeout, pets) = (span(watchdog.timeout_ns), span(watchdog.pet_interval_ns));
        labelled(text, "watchdog", &format!("{timeout}, petted every {pets}; {proof}"));
    }
    for fault in &bypass.faults {
        labelled(text, "FAULT", &format!("{}: {}", fault.pair, fault.fault));
    }
}

fn virtual_router(text: &mut String, router: &VirtualRouterStatus, now: Timestamp) {
    let state = match (router.state, router.owned) {
        (Role::Active, true) => "ACTIVE, owned",
        (Role::Active, false) => "ACTIVE, NOT OWNED",
        (Role::Backup, _) => "BACKUP",
        (Role::Initialize, _) => "INITIALIZE",
    };
    let fenced = if router.fenced { ", fenced" } else { "" };
    labelled_at(text, 0, &router.name, &format!("{state}{fenced}"));
    let family = match router.family {
        FamilyName::Ipv4 => "IPv4",
        FamilyName::Ipv6 => "IPv6",
    };
    let group = router.group.as_ref().map(|group| format!(", group {group}")).unwrap_or_default();
    let (vrid, interface, version) = (router.vrid, &router.interface, router.version);
    labelled(text, "router", &format!("VRID {vrid} on {interface}, VRRPv{version} {family}{group}"));
    labelled(text, "addresses", &router.addresses.join(", "));
    labelled(text, "priority", &priority(router));
    labelled(text, "active", &active(router, now));
    if let Some(until) = router.held_until {
        labelled(text, "held until", &until.to_string());
    }
    match &router.last_transition {
        None => labelled(text, "since", "the start; no transition yet"),
        Some(last) => {
            let evidence = if last.detail.is_empty() { String::new() } else { format!(" ({})", last.detail) };
            let line = format!(
                "{} ({} ago): {} -> {}: {}{evidence}",
                last.at,
                explain::age(last.at.until(now)),
                explain::role(last.from),
                explain::role(last.to),
                explain::cause(last.cause)
            );
            labelled(text, "since", &line);
        }
    }
    labelled(text, "adverts", &adverts(router));
    labelled_counts(text, "discards", &router.discards);
}

fn priority(router: &VirtualRouterStatus) -> String {
    let now = match router.priority == router.effective_priority {
        true => router.priority.to_string(),
        false => format!("{}, now {}", router.priority, router.effective_priority),
    };
    let unfit = router.unfit.map(|reason| format!(", UNFIT: {}", explain::fitness(reason)));
    now + &unfit.unwrap_or_default()
}

fn active(router: &VirtualRouterStatus, now: Timestamp) -> String {
    let since = |since: Timestamp| format!(" for {}", explain::age(since.until(now)));
    match (router.state, router.active_router) {
        (Role::Active, address) => {
            let address = address.map(|address| format!(" ({address})")).unwrap_or_default();
            format!("this node{address}{}", router.active_since.map(since).unwrap_or_default())
        }
        (_, Some(address)) => address.to_string(),
        (_, None) => "unknown".to_owned(),
    }
}

fn adverts(router: &VirtualRouterStatus) -> String {
    let mut line = format!(
        "{} sent, {} received, {} answered in XDP",
        router.adverts_sent, router.adverts_received, router.adverts_answered_in_xdp
    );
    if let Some(age) = router.last_advert_age_ns {
        let _ = write!(line, ", last heard {} ago", span(age));
    }
    if let Some(interval) = router.learned_interval_ns {
        let _ = write!(line, ", every {}", span(interval));
    }
    line
}

fn peer(text: &mut String, peer: &PeerStatus) {
    let health = match peer.health {
        Health::Healthy => "healthy",
        Health::Unhealthy => "UNHEALTHY",
        Health::Unknown => "not judged yet",
    };
    let mut line = format!("id {}, {health}", peer.id);
    if !peer.authenticated {
        line.push_str(", NOT AUTHENTICATED: plain VRRP towards it");
    }
    if peer.role.is_some() {
        let owns = if peer.owns.is_empty() { "nothing".to_owned() } else { peer.owns.join(" ") };
        let _ = write!(line, ", owns {owns}");
        let missing = if peer.ready_for.is_empty() { ", ready for nothing" } else { "" };
        let _ = write!(line, "{missing}, lease {} left", span(peer.lease_remaining_ns));
    } else if let Some(age) = peer.heard_age_ns {
        let _ = write!(line, ", last heard {} ago", span(age));
    }
    labelled(text, &peer.name, &line);
    peer.paths.iter().for_each(|each| path(text, each));
}

fn path(text: &mut String, path: &PathStatus) {
    let health = match path.health {
        Health::Healthy => "up",
        Health::Unhealthy => "DOWN",
        Health::Unknown => "?",
    };
    let via = path
        .interface
        .as_deref()
        .map_or_else(|| "no interface faces it".to_owned(), |name| format!("via {name}"));
    let mut line = format!("{} {via} {health}", path.address);
    if let Some(rtt) = path.rtt_smoothed_ns.or(path.rtt_ns) {
        let _ = write!(line, ", round trip {}", span(rtt));
    }
    let _ = write!(line, ", {} answered, {} lost", path.answered, path.lost);
    if path.void > 0 {
        let _ = write!(line, ", {} void", path.void);
    }
    if let Some(failure) = &path.last_failure {
        let _ = write!(line, ", not sent: {failure}");
    }
    labelled(text, "path", &line);
}

fn link(text: &mut String, link: &LinkStatus) {
    let carrier = if link.carrier { "up" } else { "DOWN" };
    let mode = match link.mode {
        Some(AttachMode::Native) => "native",
        Some(AttachMode::Generic) => "generic",
        None => "NO XDP",
    };
    let (rx, tx) = (explain::rate(link.rx_bps), explain::rate(link.tx_bps));
    let _ = writeln!(text, "  {:<15}  {carrier:<4}  {mode:<7}  rx {rx:>9}  tx {tx:>9}", link.name);
}

fn data_plane(text: &mut String, status: &Status) {
    let attached = if status.data_plane.attached { "attached everywhere" } else { "NOT ATTACHED EVERYWHERE" };
    labelled_at(text, 0, "data plane", &format!("{} {attached}", status.data_plane.program));
    labelled_counts(text, "verdicts", &status.data_plane.verdicts);
}

/// Only what occurred; nothing where nothing did.
fn labelled_counts(text: &mut String, label: &str, counts: &ReasonCounts) {
    let counts: Vec<_> = counts
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(reason, count)| format!("{reason}\u{a0}{count}"))
        .collect();
    if !counts.is_empty() {
        labelled(text, label, &counts.join(", "));
    }
}

fn labelled(text: &mut String, label: &str, value: &str) {
    labelled_at(text, 2, label, value);
}

/// `label  value`, the value wrapped between words; a no-break space keeps two words together.
fn labelled_at(text: &mut String, margin: usize, label: &str, value: &str) {
    let mut line = format!("{:margin$}{label}", "");
    let padding = INDENT.saturating_sub(line.chars().count()).max(1);
    let _ = write!(line, "{:padding$}", "");
    let mut empty = true;
    for word in value.split(' ') {
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            finish_line(text, &line);
            line = " ".repeat(INDENT);
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    finish_line(text, &line);
}

fn finish_line(text: &mut String, line: &str) {
    text.push_str(line.replace('\u{a0}', " ").trim_end());
    text.push('\n');
}

/// A span to three significant places or so.
fn span(nanos: u64) -> String {
    let grain = match nanos {
        10_000_000_000.. => 100_000_000,
        10_000_000.. => 1_000_000,
        10_000.. => 1_000,
        _ => 1,
    };
    show_duration(Duration::from_nanos(nanos - nanos % grain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::status::{BypassFaultStatus, samples};

    #[test]
    fn status_is_readable() {
        let expected = "\
node          gw-a (id 1), active-passive, primary, holdfast 0.1.0, up 1h
  controller  lease 1s, 912ms left; its loop was at most 3.1ms late
  bypass      command, inline, released
  watchdog    3s, petted every 1s; last round trip proven 40ms ago

lan           ACTIVE, owned
  router      VRID 51 on lan0, VRRPv3 IPv4, group gateway
  addresses   192.0.2.1/24
  priority    200
  active      this node (192.0.2.2) for 59m 50s
  since       2023-11-14T22:13:30.000Z (59m 50s ago): Backup -> Active: no
              advert arrived for Active_Down_Interval (last advert 3.6s ago)
  adverts     100 sent, 7 received, 1 answered in XDP, last heard 5s ago, every
              1s
  discards    ttl-invalid 3

peers
  gw-b        id 2, healthy, owns nothing, lease 960ms left
  path        192.0.2.3 via lan0 up, round trip 38us, 118 answered, 2 lost

links
  lan0             up    native   rx  12.3Mbps  tx    999bps
  pair        edge active (lan0 up, wan0 up)

checks
  upstream    passing for 59m 50s, weight -30 of group gateway, 120 runs, 1
              timed out: ended with status 0

bandwidth
  wan0        12.3Mbps of 12.4Mbps wanted, at least 10.0Mbps over 10s, armed

data plane    holdfast_xdp attached everywhere
  verdicts    advert-absorbed 42
";
        assert_eq!(status(&samples::status(), samples::at(3_600)), expected);
    }

    #[test]
    fn what_is_wrong_stands_out() {
        let mut wrong = samples::status();
        wrong.controller.journal_failures = 2;
        wrong.flaps.latched = true;
        wrong.flaps.reason = Some("4 flaps within 10m, 3 allowed".to_owned());
        wrong.bypass.engaged = true;
        wrong.bypass.pairs = vec!["edge".to_owned()];
        wrong.bypass.wanted = vec!["core".to_owned(), "edge".to_owned()];
        wrong.bypass.faults =
            vec![BypassFaultStatus { pair: "core".to_owned(), fault: "reads released".to_owned() }];
        wrong.data_plane.attached = false;
        let router = &mut wrong.virtual_routers[0];
        router.owned = false;
        router.fenced = true;
        router.effective_priority = 1;
        router.last_transition = None;
        wrong.links[0].carrier = false;
        wrong.links[0].mode = None;
        let text = status(&wrong, samples::at(0));
        for line in [
            "  journal     2 EVENTS NOT WRITTEN TO DISK\n",
            "  flaps       LATCHED: 4 flaps within 10m, 3 allowed; `holdfast bypass release`\n              ends it\n",
            "  bypass      command, inline, ENGAGED: edge; NOT ENGAGED AS WANTED: core\n",
            "  FAULT       core: reads released\n",
            "lan           ACTIVE, NOT OWNED, fenced\n",
            "  priority    200, now 1\n",
            "  since       the start; no transition yet\n",
            "  lan0             DOWN  NO XDP   rx",
            "data plane    holdfast_xdp NOT ATTACHED EVERYWHERE\n",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }

    #[test]
    fn long_lists_stay_within_the_width() {
        let mut many = samples::status();
        let router = &mut many.virtual_routers[0];
        router.name = "a-name-that-is-longer-than-the-label-column".to_owned();
        router.addresses = (1..60).map(|last| format!("192.0.2.{last}/24")).collect();
        many.data_plane.verdicts = ha_common::verdict_reasons::VerdictReason::ALL
            .iter()
            .map(|reason| (reason.name().to_owned(), 7))
            .collect();
        let text = status(&many, samples::at(0));
        let longest = text.lines().map(|line| line.chars().count()).max();
        assert!(longest <= Some(WIDTH), "{text}");
        assert!(text.contains("advert-absorbed 7, "));
    }
}
