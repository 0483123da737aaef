//! Rules about this node and its peers: `[ha]`, `[[peer]]`, `[[link_pair]]`.

use super::super::problem::Report;
use super::super::raw::{List, Raw, RawPeer};
use super::super::validated::{Ha, LinkPair, Mode, Peer, Trust};
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
    let trust = match raw.ha.trust.value {
        Some(trust) => trust,
        None if raw.ha.trust.given => return None,
        None if has_peers => Trust::Peers,
        None => Trust::Segment,
    };
    let files = raw.ha.secret_files.value.as_ref()?;
    Some(Ha {
        mode: raw.ha.mode.value?,
        primary: raw.ha.primary.value?,
        port: raw.ha.port.value?,
        controller_lease: raw.ha.controller_lease.value?,
        fence: raw.ha.fence.value?,
        takeover: raw.ha.takeover.value?,
        trust,
        secret_files: files.iter().map(|file| file.value.clone()).collect(),
    })
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
    report.warning(
        "peer",
        "probes between peers are not built yet; elections follow plain VRRP",
        "nothing to do: this configuration stays valid",
    );
}

/// The list was written, and all that is missing from it has been reported already.
fn elements_refused(raw: &Raw) -> bool {
    raw.ha.secret_files.given && raw.ha.secret_files.refused > 0
}

pub(super) fn peers(raw: &Raw, report: &mut Report) -> Option<Vec<Peer>> {
    let peers: Vec<_> = raw.peers.iter().map(|peer| one_peer(raw, peer, report)).collect();
    peers.into_iter().collect()
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

pub(super) fn link_pairs(raw: &Raw, report: &mut Report) -> Option<Vec<LinkPair>> {
    for pair in &raw.link_pairs {
        if pair.inside.value.is_some() && pair.inside.value == pair.outside.value {
            report.error(
                &pair.outside.path,
                "the pair has one interface on both sides",
                "name two different interfaces",
            );
        }
    }
    if let Some(minimum) = raw.links.minimum_active_pairs.value
        && !raw.link_pairs.is_empty()
        && usize::try_from(minimum).is_ok_and(|minimum| minimum > raw.link_pairs.len())
    {
        report.error(
            &raw.links.minimum_active_pairs.path,
            format!("{minimum} active pairs are required, and {} are configured", raw.link_pairs.len()),
            "lower it or add [[link_pair]]",
        );
    }
    raw.link_pairs
        .iter()
        .map(|pair| {
            Some(LinkPair {
                name: pair.name.value.clone()?,
                inside: pair.inside.value.clone()?,
                outside: pair.outside.value.clone()?,
            })
        })
        .collect()
}
