//! Rules about one `[[virtual_router]]` at a time.

use super::super::problem::Report;
use super::super::raw::{List, Raw, RawVirtualRouter};
use super::super::reader::Element;
use super::super::schema::{
    OWNER_PRIORITY, V2_INTERVAL_MAX, V2_INTERVAL_MIN, V3_INTERVAL_MAX, V3_INTERVAL_MIN,
};
use super::super::units::show_duration;
use super::super::validated::{Priority, Trust, VirtualAddress, VirtualRouter};
use super::cluster;
use holdfast_engine::{ChecksumPolicy, Family, Version};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// Most addresses of one advert: the count is one byte (V-025), and IPv6 must fit the MTU (V-046).
const MAX_ADDRESSES_V4: usize = 255;
const MAX_ADDRESSES_V6: usize = 90;
/// Resolution of VRRPv3 intervals.
const CENTISECOND: Duration = Duration::from_millis(10);
/// Longest IPv4 prefix that has a network and a broadcast address.
const LAST_PREFIX_WITH_BROADCAST: u8 = 30;

pub(super) fn virtual_routers(raw: &Raw, report: &mut Report) -> Option<Vec<VirtualRouter>> {
    if !raw.has_virtual_routers {
        report.error(
            "virtual_router",
            "no virtual router is configured",
            "add [[virtual_router]] with interface, vrid and addresses",
        );
    }
    let base = cluster::base_priority(raw);
    let routers: Vec<_> =
        raw.virtual_routers.iter().map(|router| virtual_router(router, base, report)).collect();
    for router in &raw.virtual_routers {
        lease_against_interval(raw, router, report);
        idle_trust(raw, router, report);
    }
    routers.into_iter().collect()
}

fn virtual_router(raw: &RawVirtualRouter, base: u8, report: &mut Report) -> Option<VirtualRouter> {
    let version = raw.version.value.map(|number| if number == 2 { Version::V2 } else { Version::V3 });
    let family = family(raw);
    addresses(raw, family, report);
    version_and_family(raw, version, family, report);
    interval(raw, version, report);
    others_addresses(raw, &raw.unicast_peers, family, report);
    others_addresses(raw, &raw.trusted_sources, family, report);
    idle_settings(raw, report);
    let priority = match raw.priority.value {
        Some(priority) => priority,
        None if raw.priority.given => return None,
        None => base,
    };
    Some(VirtualRouter {
        name: name(raw)?,
        interface: raw.interface.value.clone()?,
        vrid: raw.vrid.value?,
        version: version?,
        family: family?,
        addresses: raw.addresses.value.as_ref()?.iter().map(|element| element.value).collect(),
        priority: Priority(priority),
        advertisement_interval: raw.advertisement_interval.value?,
        preempt: raw.preempt.value?,
        preempt_delay: raw.preempt_delay.value?,
        accept: raw.accept.value?,
        virtual_mac: raw.virtual_mac.value?,
        checksum: raw.checksum.value?,
        strict: raw.strict.value?,
        group: raw.group.value.clone(),
        unicast_peers: cluster::hosts(&raw.unicast_peers, report)?,
        trusted_sources: cluster::hosts(&raw.trusted_sources, report)?,
    })
}

/// The given name, or one made of interface, VRID and family: `lan0-51`, `lan0-51-v6`.
pub(super) fn name(raw: &RawVirtualRouter) -> Option<String> {
    if raw.name.given {
        return raw.name.value.clone();
    }
    let suffix = if family(raw)? == Family::Ipv6 { "-v6" } else { "" };
    Some(format!("{}-{}{suffix}", raw.interface.value.as_ref()?, raw.vrid.value?))
}

/// The family of a virtual router is that of its first address.
pub(super) fn family(raw: &RawVirtualRouter) -> Option<Family> {
    let first = raw.addresses.value.as_ref()?.first()?;
    Some(family_of(first.value.address))
}

fn family_of(address: IpAddr) -> Family {
    if address.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 }
}

fn family_name(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "IPv4",
        Family::Ipv6 => "IPv6",
    }
}

fn addresses(raw: &RawVirtualRouter, family: Option<Family>, report: &mut Report) {
    let Some(elements) = &raw.addresses.value else { return };
    let Some(family) = family else {
        if raw.addresses.refused == 0 {
            report.error(&raw.addresses.path, "no address is listed", "list at least one (V-025)");
        }
        return;
    };
    for element in elements {
        one_address(element, family, report);
    }
    let most = if family == Family::Ipv4 { MAX_ADDRESSES_V4 } else { MAX_ADDRESSES_V6 };
    if elements.len() > most {
        report.error(
            &raw.addresses.path,
            format!("{} addresses do not fit one advert", elements.len()),
            format!(
                "use at most {most} for {}; put the rest into another virtual router of the same group",
                family_name(family)
            ),
        );
    }
    // V-039: the first address of an IPv6 virtual router is its link-local one. A refused element may have been it.
    let link_local = matches!(elements[0].value.address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    if family == Family::Ipv6 && !link_local && raw.addresses.refused == 0 {
        report.error(
            &elements[0].path,
            format!("{} is not link-local", elements[0].value.address),
            "put a link-local address first, such as \"fe80::1/64\" (RFC 9568 section 5.2.9)",
        );
    }
}

fn one_address(element: &Element<VirtualAddress>, family: Family, report: &mut Report) {
    let VirtualAddress { address, prefix } = element.value;
    let found = family_of(address);
    if found != family {
        report.error(
            &element.path,
            format!("{address} is {}, the first address is {}", family_name(found), family_name(family)),
            "give each family a virtual router of its own; one group keeps them together",
        );
    }
    if let Some(what) = cluster::not_a_host(address) {
        report.error(&element.path, format!("{address} is {what}"), "write the address that hosts use");
    } else if let IpAddr::V4(v4) = address
        && let Some(what) = network_edge(v4, prefix)
    {
        report.error(
            &element.path,
            format!("{v4}/{prefix} is the {what} address of its network"),
            "write the address that hosts use, and the prefix length of its network",
        );
    }
}

fn network_edge(address: Ipv4Addr, prefix: u8) -> Option<&'static str> {
    if prefix > LAST_PREFIX_WITH_BROADCAST {
        return None;
    }
    let host_bits = u32::MAX >> prefix;
    match address.to_bits() & host_bits {
        0 => Some("network"),
        bits if bits == host_bits => Some("broadcast"),
        _ => None,
    }
}

fn version_and_family(
    raw: &RawVirtualRouter,
    version: Option<Version>,
    family: Option<Family>,
    report: &mut Report,
) {
    if version == Some(Version::V2) && family == Some(Family::Ipv6) {
        report.error(&raw.version.path, "VRRPv2 has no IPv6", "set version = 3");
    }
    let one_form = version == Some(Version::V2) || family == Some(Family::Ipv6);
    if one_form && raw.checksum.value.is_some_and(|policy| policy != ChecksumPolicy::Auto) {
        report.error(
            &raw.checksum.path,
            "only VRRPv3 over IPv4 has two checksum forms",
            "remove it or set it to \"auto\"",
        );
    }
    let no_link_local = version == Some(Version::V2) || family == Some(Family::Ipv4);
    if no_link_local && raw.strict.value == Some(true) {
        report.error(
            &raw.strict.path,
            "it judges the first address of IPv6 adverts, and this virtual router has none",
            "remove it or set it to false",
        );
    }
}

fn interval(raw: &RawVirtualRouter, version: Option<Version>, report: &mut Report) {
    let (Some(interval), Some(version)) = (raw.advertisement_interval.value, version) else { return };
    let path = &raw.advertisement_interval.path;
    let shown = show_duration(interval);
    let whole = |unit: Duration| interval.as_nanos().is_multiple_of(unit.as_nanos());
    match version {
        Version::V3 if !(V3_INTERVAL_MIN..=V3_INTERVAL_MAX).contains(&interval) => {
            report.error(path, format!("{shown} is out of range for VRRPv3"), "use 10ms to 40.95s");
        }
        Version::V3 if !whole(CENTISECOND) => {
            report.error(
                path,
                format!("{shown} cannot be advertised: VRRPv3 counts hundredths of a second"),
                "use a multiple of 10ms",
            );
        }
        Version::V2 if !(V2_INTERVAL_MIN..=V2_INTERVAL_MAX).contains(&interval) => {
            report.error(
                path,
                format!("{shown} is out of range for VRRPv2"),
                "use 1s to 255s, or version = 3",
            );
        }
        Version::V2 if !whole(Duration::from_secs(1)) => {
            report.error(
                path,
                format!("{shown} cannot be advertised: VRRPv2 counts seconds"),
                "use whole seconds, or version = 3",
            );
        }
        Version::V2 | Version::V3 => {}
    }
}

/// Addresses of other routers: of this one's family, and none of its own.
fn others_addresses(
    raw: &RawVirtualRouter,
    list: &List<IpAddr>,
    family: Option<Family>,
    report: &mut Report,
) {
    let (Some(elements), Some(family)) = (&list.value, family) else { return };
    for element in elements {
        let found = family_of(element.value);
        if found != family {
            report.error(
                &element.path,
                format!(
                    "{} is {}, this virtual router is {}",
                    element.value,
                    family_name(found),
                    family_name(family)
                ),
                "list the other routers' addresses of the same family",
            );
        }
        let own = raw.addresses.value.iter().flatten().any(|address| address.value.address == element.value);
        if own {
            report.error(
                &element.path,
                format!("{} is a virtual address of this router", element.value),
                "list the other routers' own addresses",
            );
        }
    }
}

/// Trusted sources that change nothing.
fn idle_trust(raw: &Raw, router: &RawVirtualRouter, report: &mut Report) {
    let Some(place) = router.trusted_sources.given_at() else { return };
    let trusted = router.trusted_sources.value.as_deref().unwrap_or_default();
    if cluster::trust(raw) == Trust::Segment {
        if !trusted.is_empty() {
            report.warning(
                place,
                "it does nothing while ha.trust is \"segment\": adverts of every sender count",
                "remove it, or configure peers and ha.trust = \"peers\"",
            );
        }
        return;
    }
    let Some(unicast) = router.unicast_peers.value.as_deref().filter(|peers| !peers.is_empty()) else {
        return;
    };
    for element in trusted {
        if unicast.iter().all(|peer| peer.value != element.value) {
            report.warning(
                &element.path,
                format!(
                    "{} is not in unicast_peers, so its adverts are discarded all the same",
                    element.value
                ),
                "add it to unicast_peers, or remove it",
            );
        }
    }
}

/// Settings that are sound and do nothing here.
fn idle_settings(raw: &RawVirtualRouter, report: &mut Report) {
    if raw.preempt.value == Some(false) && raw.preempt_delay.value.is_some_and(|delay| !delay.is_zero()) {
        report.warning(
            &raw.preempt_delay.path,
            "it does nothing while preempt = false",
            "remove one of the two",
        );
    }
    if raw.priority.value == Some(OWNER_PRIORITY) {
        if raw.accept.value == Some(false) {
            report.warning(
                &raw.accept.path,
                "the owner of the addresses (priority 255) always accepts",
                "remove it, or use a priority below 255",
            );
        }
        if raw.preempt.value == Some(false) {
            report.warning(
                &raw.preempt.path,
                "the owner of the addresses (priority 255) always preempts",
                "remove it, or use a priority below 255",
            );
        }
    }
}

/// Three intervals and the skew of the highest priority a Backup can have: nobody takes over sooner.
fn shortest_down_interval(interval: Duration, version: u8) -> Duration {
    const SKEW_PARTS: u32 = 2;
    const SKEW_WHOLE: u32 = 256;
    let unit = if version == 2 { Duration::from_secs(1) } else { interval };
    interval * 3 + unit * SKEW_PARTS / SKEW_WHOLE
}

/// Some router that may be Backup here has no probe, so it cannot know that this node's lease still runs.
fn some_backup_cannot_vouch(raw: &Raw, router: &RawVirtualRouter) -> bool {
    cluster::trust(raw) == Trust::Segment
        || router.trusted_sources.value.as_ref().is_some_and(|list| !list.is_empty())
}

/// After a crash the lease must end before a Backup takes over, else both answer for a while (design, the fence).
fn lease_against_interval(raw: &Raw, router: &RawVirtualRouter, report: &mut Report) {
    let (Some(lease), Some(interval), Some(version)) =
        (raw.ha.controller_lease.value, router.advertisement_interval.value, router.version.value)
    else {
        return;
    };
    let down = shortest_down_interval(interval, version);
    if lease < down || !some_backup_cannot_vouch(raw, router) {
        return;
    }
    let name = name(router).unwrap_or_else(|| router.path.clone());
    report.warning(
        &raw.ha.controller_lease.path,
        format!(
            "the lease of {} is not shorter than Active_Down_Interval of \"{name}\" ({}): should this controller \
             die, a Backup can take over before the lease ends, and this node answers until it hears the Backup's \
             first advert",
            show_duration(lease),
            show_duration(down),
        ),
        "shorten ha.controller_lease or lengthen advertisement_interval",
    );
}
