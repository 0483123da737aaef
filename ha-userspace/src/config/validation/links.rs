//! Rules about links: `[bandwidth]`, `[links]`, `[[link]]`, `[[link_pair]]`.

use super::super::problem::Report;
use super::super::raw::{Raw, RawLinks};
use super::super::validated::{Bandwidth, Link, LinkPair, Links};

pub(super) fn bandwidth(raw: &Raw, report: &mut Report) -> Option<Bandwidth> {
    let section = &raw.bandwidth;
    let minimum_somewhere =
        section.minimum.given || raw.link_settings.iter().any(|link| link.bandwidth_minimum.given);
    if section.enabled.value == Some(true) && !minimum_somewhere {
        report.error(
            &section.enabled.path,
            "no minimum is configured, so no link could be too slow",
            "add `minimum = \"10Mbps\"` to [bandwidth], or [[link]] with bandwidth_minimum",
        );
    }
    let minimum_bps = if section.minimum.given { Some(section.minimum.value?) } else { None };
    Some(Bandwidth { enabled: section.enabled.value?, minimum_bps, interval: section.interval.value? })
}

pub(super) fn links(raw: &RawLinks) -> Option<Links> {
    Some(Links {
        monitoring_interval: raw.monitoring_interval.value?,
        minimum_active_pairs: raw.minimum_active_pairs.value?,
        recovery_time: raw.recovery_time.value?,
    })
}

pub(super) fn link_settings(raw: &Raw, report: &mut Report) -> Option<Vec<Link>> {
    let pairs = raw.link_pairs.iter().flat_map(|pair| [&pair.inside, &pair.outside]);
    let monitored: Vec<_> = raw.virtual_routers.iter().map(|router| &router.interface).chain(pairs).collect();
    let all_known = monitored.iter().all(|interface| interface.value.is_some());
    for link in &raw.link_settings {
        let Some(interface) = &link.interface.value else { continue };
        if all_known && monitored.iter().all(|other| other.value.as_ref() != Some(interface)) {
            report.error(
                &link.interface.path,
                format!(
                    "{interface} belongs to no virtual router and no link pair, so nothing is measured there"
                ),
                "correct the name, or add a [[virtual_router]] or [[link_pair]] with it",
            );
        }
    }
    raw.link_settings
        .iter()
        .map(|link| {
            if link.bandwidth_minimum.given && link.bandwidth_minimum.value.is_none() {
                return None;
            }
            Some(Link {
                interface: link.interface.value.clone()?,
                bandwidth_minimum_bps: link.bandwidth_minimum.value,
            })
        })
        .collect()
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
                device: pair.device.value.clone(),
                gpio_line: pair.gpio_line.value,
                gpio_sense_line: pair.gpio_sense_line.value,
            })
        })
        .collect()
}
