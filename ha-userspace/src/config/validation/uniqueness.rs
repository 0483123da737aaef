//! Rules across sections: what must be there once, groups, and the limits of the data plane.

use super::super::problem::Report;
use super::super::raw::{Raw, RawVirtualRouter};
use super::super::schema::OWNER_PRIORITY;
use super::routers;
use ha_common::maps::values::{MAX_LINKS, MAX_ROUTERS, MAX_VIPS};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::net::IpAddr;

pub(super) fn check(raw: &Raw, report: &mut Report) {
    names_and_ids(raw, report);
    vrids(raw, report);
    virtual_addresses(raw, report);
    peer_addresses(raw, report);
    trusted_peers(raw, report);
    pair_interfaces(raw, report);
    links_and_lines(raw, report);
    groups(raw, report);
    limits(raw, report);
}

/// Where each value was first seen; reports every later one.
fn once<'p, T: Eq + Hash>(
    values: impl Iterator<Item = (T, &'p str)>,
    report: &mut Report,
    message: impl Fn(&T, &str) -> (String, String),
) {
    let mut first: HashMap<T, &str> = HashMap::new();
    for (value, path) in values {
        if let Some(earlier) = first.get(&value) {
            let (message, help) = message(&value, earlier);
            report.error(path, message, help);
        } else {
            first.insert(value, path);
        }
    }
}

fn names_and_ids(raw: &Raw, report: &mut Report) {
    let taken = |name: &String, earlier: &str| {
        (format!("\"{name}\" is already the name of {earlier}"), "give each a name of its own".to_owned())
    };
    let routers =
        raw.virtual_routers.iter().filter_map(|router| Some((routers::name(router)?, router.path.as_str())));
    once(routers, report, taken);
    let peers = raw.peers.iter().filter_map(|peer| Some((peer.name.value.clone()?, peer.name.path.as_str())));
    once(peers, report, taken);
    let pairs = raw.link_pairs.iter().filter_map(|pair| Some((pair.name.value.clone()?, pair.path.as_str())));
    once(pairs, report, taken);
    let checks = raw.checks.iter().filter_map(|check| Some((check.name.value.clone()?, check.path.as_str())));
    once(checks, report, taken);
    let ids = raw.peers.iter().filter_map(|peer| Some((peer.id.value?, peer.id.path.as_str())));
    once(ids, report, |id, earlier| {
        (format!("{id} is already {earlier}"), "every node has an id of its own".to_owned())
    });
}

fn vrids(raw: &Raw, report: &mut Report) {
    let keys = raw.virtual_routers.iter().filter_map(|router| {
        let key = (router.interface.value.clone()?, router.vrid.value?, routers::family(router)?);
        Some((key, router.vrid.path.as_str()))
    });
    once(keys, report, |(interface, vrid, _), earlier| {
        (
            format!("VRID {vrid} on {interface} is already {earlier}"),
            "use another VRID; only IPv4 and IPv6 may share one".to_owned(),
        )
    });
}

/// Link-local addresses mean something else on each interface and may repeat there.
fn virtual_addresses(raw: &Raw, report: &mut Report) {
    let keys = raw.virtual_routers.iter().flat_map(|router| {
        router.addresses.value.iter().flatten().map(|element| {
            let address = element.value.address;
            let scope = if is_link_local(address) { router.interface.value.clone() } else { None };
            ((address, scope), element.path.as_str())
        })
    });
    once(keys, report, |(address, _), earlier| {
        (format!("{address} is already {earlier}"), "list each virtual address once".to_owned())
    });
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

fn peer_addresses(raw: &Raw, report: &mut Report) {
    let virtual_addresses: HashMap<IpAddr, &str> = raw
        .virtual_routers
        .iter()
        .flat_map(|router| router.addresses.value.iter().flatten())
        .map(|element| (element.value.address, element.path.as_str()))
        .collect();
    let mut first: HashMap<IpAddr, (usize, &str)> = HashMap::new();
    for (number, peer) in raw.peers.iter().enumerate() {
        for element in peer.addresses.value.iter().flatten() {
            let address = element.value;
            if let Some(path) = virtual_addresses.get(&address) {
                report.error(
                    &element.path,
                    format!("{address} is the virtual address {path}"),
                    "list the peer's own addresses",
                );
            }
            match first.get(&address) {
                Some((other, path)) if *other != number => report.error(
                    &element.path,
                    format!("{address} is already {path}"),
                    "an address belongs to one peer",
                ),
                Some(_) => {}
                None => {
                    first.insert(address, (number, &element.path));
                }
            }
        }
    }
}

/// A peer's adverts are borne out by its probes; as a trusted source it would need none, and so would a forger.
fn trusted_peers(raw: &Raw, report: &mut Report) {
    let of_peers: HashMap<IpAddr, &str> = raw
        .peers
        .iter()
        .flat_map(|peer| [&peer.addresses, &peer.advert_sources])
        .flat_map(|list| list.value.iter().flatten())
        .map(|element| (element.value, element.path.as_str()))
        .collect();
    let trusted = raw.virtual_routers.iter().flat_map(|router| router.trusted_sources.value.iter().flatten());
    for element in trusted {
        if let Some(path) = of_peers.get(&element.value) {
            report.error(
                &element.path,
                format!("{} is {path}, whose adverts are borne out by probes", element.value),
                "remove it: trusted sources are routers that do not run Holdfast",
            );
        }
    }
}

fn links_and_lines(raw: &Raw, report: &mut Report) {
    let links = raw
        .link_settings
        .iter()
        .filter_map(|link| Some((link.interface.value.clone()?, link.interface.path.as_str())));
    once(links, report, |interface, earlier| {
        (format!("{interface} is already {earlier}"), "write one [[link]] for each interface".to_owned())
    });
    let devices = raw
        .link_pairs
        .iter()
        .filter_map(|pair| Some((pair.device.value.clone()?, pair.device.path.as_str())));
    once(devices, report, |device, earlier| {
        (format!("{device} is already {earlier}"), "a device belongs to one pair".to_owned())
    });
    let lines = raw.link_pairs.iter().flat_map(|pair| {
        [&pair.gpio_line, &pair.gpio_sense_line]
            .into_iter()
            .filter_map(|line| Some((line.value?, line.path.as_str())))
    });
    once(lines, report, |line, earlier| {
        (format!("line {line} is already {earlier}"), "a line has one purpose".to_owned())
    });
}

fn pair_interfaces(raw: &Raw, report: &mut Report) {
    let sides = raw.link_pairs.iter().flat_map(|pair| {
        let outside = Some(&pair.outside).filter(|outside| outside.value != pair.inside.value);
        [Some(&pair.inside), outside]
            .into_iter()
            .flatten()
            .filter_map(|side| Some((side.value.clone()?, side.path.as_str())))
    });
    once(sides, report, |interface, earlier| {
        (format!("{interface} is already {earlier}"), "an interface belongs to one pair".to_owned())
    });
}

fn groups(raw: &Raw, report: &mut Report) {
    let mut members: BTreeMap<&str, Vec<&RawVirtualRouter>> = BTreeMap::new();
    for router in &raw.virtual_routers {
        if let Some(group) = &router.group.value {
            members.entry(group).or_default().push(router);
        }
    }
    for (group, routers) in members {
        for router in &routers {
            if router.priority.value == Some(OWNER_PRIORITY) {
                report.error(
                    &router.group.path,
                    "the owner of the addresses (priority 255) cannot be in a group: it never yields",
                    "remove group, or use a priority below 255",
                );
            }
        }
        if let [only] = routers[..] {
            report.warning(
                &only.group.path,
                format!("this virtual router is alone in the group \"{group}\""),
                "a group keeps two or more together; check the spelling or remove it",
            );
        }
    }
}

fn limits(raw: &Raw, report: &mut Report) {
    let interfaces: BTreeSet<&str> = raw
        .virtual_routers
        .iter()
        .map(|router| &router.interface)
        .chain(raw.link_pairs.iter().flat_map(|pair| [&pair.inside, &pair.outside]))
        .filter_map(|interface| interface.value.as_deref())
        .collect();
    let addresses =
        raw.virtual_routers.iter().flat_map(|router| router.addresses.value.iter().flatten()).count();
    for (what, found, most) in [
        ("virtual routers", raw.virtual_routers.len(), MAX_ROUTERS),
        ("virtual addresses", addresses, MAX_VIPS),
        ("interfaces", interfaces.len(), MAX_LINKS),
    ] {
        if u32::try_from(found).map_or(true, |found| found > most) {
            report.error(
                "virtual_router",
                format!("{found} {what} are more than one daemon carries"),
                format!("use at most {most}"),
            );
        }
    }
}
