//! Rules about this node and its peers: `[ha]`, `[[peer]]`.

use super::super::problem::Report;
use super::super::raw::{List, Raw, RawPeer};
use super::super::schema::{
    MAX_PATHS, MAX_PATHS_PER_PEER, MAX_PEERS, MAX_SYNC_UNITS, PRIMARY_PRIORITY, PRIORITY_PER_RANK,
    SECONDARY_PRIORITY,
};
use super::super::validated::{Ha, Mode, PRIMARY_RANK, Peer, Trust};
use std::collections::BTreeSet;
use std::net::IpAddr;

pub(super) fn ha(raw: &Raw, report: &mut Report) -> Option<Ha> {
    let has_peers = !raw.peers.is_empty();
    if has_peers {
        peers_need(raw, report);
    } else if raw.ha.trust.given && raw.ha.trust.value == Some(Trust::Peers) {
        report.error(
            &raw.ha.trust.path,
            "no peer is configured, so nobody would be trusted",
            "add [[peer]] or set it to \"segment\"",
        );
    }
    rank(raw, report);
    secret_files(raw, report);
    if raw.ha.trust.given && raw.ha.trust.value.is_none() {
        return None;
    }
    let files = raw.ha.secret_files.value.as_ref()?;
    Some(Ha {
        mode: raw.ha.mode.value?,
        primary: raw.ha.primary.value? || raw.ha.rank.value == Some(PRIMARY_RANK),
        rank: if raw.ha.rank.given { Some(raw.ha.rank.value?) } else { None },
        port: raw.ha.port.value?,
        controller_lease: raw.ha.controller_lease.value?,
        fence: raw.ha.fence.value?,
        takeover: raw.ha.takeover.value?,
        trust: trust(raw),
        secret_files: files.iter().map(|file| file.value.clone()).collect(),
    })
}

/// Whose adverts count, by the file or by what else stands in it.
pub(super) fn trust(raw: &Raw) -> Trust {
    let default = if raw.peers.is_empty() { Trust::Segment } else { Trust::Peers };
    raw.ha.trust.value.unwrap_or(default)
}

/// Base priority of a virtual router that gives none.
pub(super) fn base_priority(raw: &Raw) -> u8 {
    let primary = raw.ha.primary.value == Some(true);
    match raw.ha.rank.value.or(primary.then_some(PRIMARY_RANK)) {
        None => SECONDARY_PRIORITY,
        Some(rank) => {
            let less = PRIORITY_PER_RANK.saturating_mul(rank.saturating_sub(PRIMARY_RANK));
            PRIMARY_PRIORITY.saturating_sub(less).max(SECONDARY_PRIORITY)
        }
    }
}

fn rank(raw: &Raw, report: &mut Report) {
    let (primary, rank) = (&raw.ha.primary, &raw.ha.rank);
    match (primary.value, rank.value) {
        (Some(true), Some(number)) if number != PRIMARY_RANK => report.error(
            &rank.path,
            format!("{number}, and ha.primary = true is rank {PRIMARY_RANK}"),
            "remove one of the two",
        ),
        (Some(false), Some(PRIMARY_RANK)) if primary.given => report.error(
            &rank.path,
            format!("rank {PRIMARY_RANK} is the primary, and ha.primary = false"),
            "remove ha.primary, or use another rank",
        ),
        _ => {}
    }
}

fn secret_files(raw: &Raw, report: &mut Report) {
    if let Some([first, second, ..]) = raw.ha.secret_files.value.as_deref()
        && first.value == second.value
    {
        report.error(
            &second.path,
            format!("{} repeats {}", second.value.display(), first.path),
            "list the new secret first and the old one after it, each in a file of its own",
        );
    }
}

fn peers_need(raw: &Raw, report: &mut Report) {
    if !raw.node.id.given {
        report.error("node.id", "missing, and peers are configured", "add `id = 1..65535` to [node]");
    }
    if matches!(&raw.ha.secret_files.value, Some(files) if files.is_empty()) && !elements_refused(raw) {
        report.error(
            "ha.secret_files",
            "missing, and peers are configured",
            "add `secret_files = [\"/etc/holdfast/cluster.key\"]` to [ha]; the peers share that file",
        );
    }
    if raw.ha.mode.value == Some(Mode::Standalone) {
        report.error(
            "ha.mode",
            "\"standalone\" has no peers, and [[peer]] is configured",
            "set it to \"active-passive\" or remove [[peer]]",
        );
    }
    let units = sync_units(raw);
    if units > MAX_SYNC_UNITS {
        report.error(
            "virtual_router",
            format!("{units} groups and virtual routers without group are more than peers can be told of"),
            format!(
                "put virtual routers into groups: at most {MAX_SYNC_UNITS} move by themselves beside peers"
            ),
        );
    }
}

/// What moves by itself: groups, and virtual routers without group.
fn sync_units(raw: &Raw) -> usize {
    let groups: BTreeSet<&str> =
        raw.virtual_routers.iter().filter_map(|router| router.group.value.as_deref()).collect();
    let alone = raw.virtual_routers.iter().filter(|router| !router.group.given).count();
    groups.len() + alone
}

/// The list was written, and all that is missing from it has been reported already.
fn elements_refused(raw: &Raw) -> bool {
    raw.ha.secret_files.given && raw.ha.secret_files.refused > 0
}

pub(super) fn peers(raw: &Raw, report: &mut Report) -> Option<Vec<Peer>> {
    limits(raw, report);
    let peers: Vec<_> = raw.peers.iter().map(|peer| one_peer(raw, peer, report)).collect();
    peers.into_iter().collect()
}

fn limits(raw: &Raw, report: &mut Report) {
    if raw.peers.len() > MAX_PEERS {
        report.error(
            "peer",
            format!("{} peers are more than one node probes", raw.peers.len()),
            format!("use at most {MAX_PEERS}"),
        );
    }
    let paths = |peer: &RawPeer| peer.addresses.value.as_ref().map_or(0, Vec::len);
    for peer in &raw.peers {
        if paths(peer) > MAX_PATHS_PER_PEER {
            report.error(
                &peer.addresses.path,
                format!("{} addresses are more paths than one peer has", paths(peer)),
                format!("list at most {MAX_PATHS_PER_PEER}"),
            );
        }
    }
    let all: usize = raw.peers.iter().map(paths).sum();
    if all > MAX_PATHS {
        report.error(
            "peer",
            format!("{all} addresses of all peers are more paths than one node probes"),
            format!("list at most {MAX_PATHS} together"),
        );
    }
}

fn one_peer(raw: &Raw, peer: &RawPeer, report: &mut Report) -> Option<Peer> {
    if peer.name.value.is_some() && peer.name.value == raw.node.name.value {
        report.error(&peer.name.path, "this is the name of this node", "name the other node");
    }
    if peer.id.value.is_some() && peer.id.value == raw.node.id.value {
        report.error(&peer.id.path, "this is the id of this node", "every node has an id of its own");
    }
    if peer.addresses.given
        && peer.addresses.value.as_ref().is_some_and(Vec::is_empty)
        && peer.addresses.refused == 0
    {
        report.error(&peer.addresses.path, "no address is listed", "list at least one address of the peer");
    }
    for element in peer.addresses.value.iter().flatten() {
        if matches!(element.value, IpAddr::V6(v6) if v6.is_unicast_link_local()) {
            report.error(
                &element.path,
                format!("{} is link-local, and the interface it stands on cannot be told", element.value),
                "list global or unique local addresses; the peer's link-local ones are learned from its probes",
            );
        }
    }
    Some(Peer {
        name: peer.name.value.clone()?,
        id: peer.id.value?,
        addresses: hosts(&peer.addresses, report)?,
        advert_sources: hosts(&peer.advert_sources, report)?,
    })
}

/// Addresses that each can be one host's.
pub(super) fn hosts(list: &List<IpAddr>, report: &mut Report) -> Option<Vec<IpAddr>> {
    let elements = list.value.as_ref()?;
    for (position, element) in elements.iter().enumerate() {
        if let Some(what) = not_a_host(element.value) {
            report.error(
                &element.path,
                format!("{} is {what}", element.value),
                "write the address of one host",
            );
        }
        if let Some(first) = elements[..position].iter().find(|earlier| earlier.value == element.value) {
            report.error(&element.path, format!("{} repeats {}", element.value, first.path), "list it once");
        }
    }
    Some(elements.iter().map(|element| element.value).collect())
}

/// What an address is that no single host can have.
pub(super) fn not_a_host(address: IpAddr) -> Option<&'static str> {
    match address {
        _ if address.is_unspecified() => Some("the unspecified address"),
        _ if address.is_multicast() => Some("a multicast address"),
        _ if address.is_loopback() => Some("a loopback address"),
        IpAddr::V4(v4) if v4.is_broadcast() => Some("the broadcast address"),
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => Some("an IPv4 address in IPv6 clothing"),
        _ => None,
    }
}
