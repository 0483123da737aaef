//! The file as written: every section and key with its place, typed and within its own bounds, nothing combined yet.

mod bypass;
mod checks;

pub(super) use bypass::{DriverName, Preset, RawBypass, RawSysfs};
pub(super) use checks::{KindName, RawCheck};

use super::problem::Report;
use super::reader::{Element, Field, SectionReader};
use super::schema::{self, Section};
use super::validated::{Fence, Mode, Takeover, Trust, VirtualAddress};
use holdfast_engine::ChecksumPolicy;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;
use toml::de::{DeTable, DeValue};

/// A list with the place of each element.
pub(super) type List<T> = Field<Vec<Element<T>>>;

pub(super) struct Raw {
    pub(super) node: RawNode,
    pub(super) ha: RawHa,
    pub(super) peers: Vec<RawPeer>,
    pub(super) peer_check: RawPeerCheck,
    pub(super) flaps: RawFlaps,
    pub(super) bandwidth: RawBandwidth,
    pub(super) links: RawLinks,
    pub(super) link_settings: Vec<RawLink>,
    pub(super) link_pairs: Vec<RawLinkPair>,
    pub(super) bypass: RawBypass,
    pub(super) checks: Vec<RawCheck>,
    pub(super) virtual_routers: Vec<RawVirtualRouter>,
    /// The file has virtual routers, be they sound or not.
    pub(super) has_virtual_routers: bool,
}

pub(super) struct RawNode {
    pub(super) name: Field<String>,
    pub(super) id: Field<u16>,
    pub(super) run_dir: Field<PathBuf>,
    pub(super) state_dir: Field<PathBuf>,
    pub(super) bpf_dir: Field<PathBuf>,
}

pub(super) struct RawHa {
    pub(super) mode: Field<Mode>,
    pub(super) primary: Field<bool>,
    pub(super) rank: Field<u8>,
    pub(super) port: Field<u16>,
    pub(super) controller_lease: Field<Duration>,
    pub(super) fence: Field<Fence>,
    pub(super) takeover: Field<Takeover>,
    pub(super) trust: Field<Trust>,
    pub(super) secret_files: List<PathBuf>,
}

pub(super) struct RawPeer {
    pub(super) name: Field<String>,
    pub(super) id: Field<u16>,
    pub(super) addresses: List<IpAddr>,
    pub(super) advert_sources: List<IpAddr>,
}

pub(super) struct RawPeerCheck {
    pub(super) interval: Field<Duration>,
    pub(super) failure_threshold: Field<u32>,
    pub(super) recovery_threshold: Field<u32>,
}

pub(super) struct RawFlaps {
    pub(super) maximum_allowed: Field<u32>,
    pub(super) window: Field<Duration>,
    /// `None` inside is `"manual"`.
    pub(super) release: Field<Option<Duration>>,
}

pub(super) struct RawBandwidth {
    pub(super) enabled: Field<bool>,
    pub(super) minimum: Field<u64>,
    pub(super) interval: Field<Duration>,
}

pub(super) struct RawLinks {
    pub(super) monitoring_interval: Field<Duration>,
    pub(super) minimum_active_pairs: Field<u32>,
    pub(super) recovery_time: Field<Duration>,
}

pub(super) struct RawLink {
    pub(super) interface: Field<String>,
    pub(super) bandwidth_minimum: Field<u64>,
}

pub(super) struct RawLinkPair {
    pub(super) path: String,
    pub(super) name: Field<String>,
    pub(super) inside: Field<String>,
    pub(super) outside: Field<String>,
    pub(super) device: Field<String>,
    pub(super) gpio_line: Field<u32>,
    pub(super) gpio_sense_line: Field<u32>,
}

pub(super) struct RawVirtualRouter {
    /// Such as `virtual_router[0]`.
    pub(super) path: String,
    pub(super) name: Field<String>,
    pub(super) interface: Field<String>,
    pub(super) vrid: Field<u8>,
    pub(super) version: Field<u8>,
    pub(super) addresses: List<VirtualAddress>,
    pub(super) priority: Field<u8>,
    pub(super) advertisement_interval: Field<Duration>,
    pub(super) preempt: Field<bool>,
    pub(super) preempt_delay: Field<Duration>,
    pub(super) accept: Field<bool>,
    pub(super) virtual_mac: Field<bool>,
    pub(super) checksum: Field<ChecksumPolicy>,
    pub(super) strict: Field<bool>,
    pub(super) group: Field<String>,
    pub(super) unicast_peers: List<IpAddr>,
    pub(super) trusted_sources: List<IpAddr>,
}

/// Reads the whole document.
pub(super) fn read(document: &DeTable<'_>, report: &mut Report) -> Raw {
    report_unknown_sections(document, report);
    Raw {
        node: one(document, "node", report, read_node),
        ha: one(document, "ha", report, read_ha),
        peers: many(document, "peer", report, read_peer),
        peer_check: one(document, "peer_check", report, read_peer_check),
        flaps: one(document, "flaps", report, read_flaps),
        bandwidth: one(document, "bandwidth", report, read_bandwidth),
        links: one(document, "links", report, read_links),
        link_settings: many(document, "link", report, read_link),
        link_pairs: many(document, "link_pair", report, read_link_pair),
        bypass: one(document, "bypass", report, bypass::read_bypass),
        checks: many(document, "check", report, checks::read_check),
        virtual_routers: many(document, "virtual_router", report, read_virtual_router),
        has_virtual_routers: document.iter().any(|(key, _)| key.get_ref() == "virtual_router"),
    }
}

fn report_unknown_sections(document: &DeTable<'_>, report: &mut Report) {
    for (key, _) in document {
        let line = report.line_at(key.span().start);
        let key = key.get_ref().as_ref();
        report.place(key, line);
        if schema::section(key).is_some() {
            continue;
        }
        let home = schema::SECTIONS.iter().find(|section| section.setting(key).is_some());
        let near = schema::nearest(key, schema::SECTIONS.iter().map(|section| section.name));
        let help = match (home, near.and_then(schema::section)) {
            (_, Some(section)) => format!("did you mean {}?", section.header()),
            (Some(section), None) => format!("`{key}` belongs in {}", section.header()),
            (None, None) => {
                let headers: Vec<_> = schema::SECTIONS.iter().map(Section::header).collect();
                format!("remove it; the sections are {}", headers.join(", "))
            }
        };
        report.error_at(key, line, "unknown section", help);
    }
}

/// The schema has every section that is read here (a test reads them all).
const MISSING: Section = Section { name: "", repeatable: false, settings: &[] };

fn known(name: &str) -> &'static Section {
    schema::section(name).unwrap_or(&MISSING)
}

fn one<T>(
    document: &DeTable<'_>,
    name: &'static str,
    report: &mut Report,
    read: fn(&mut SectionReader<'_, '_>) -> T,
) -> T {
    let section = known(name);
    let mut table = None;
    if let Some((_, value)) = document.iter().find(|(key, _)| key.get_ref() == name) {
        let line = report.line_at(value.span().start);
        report.place(name, line);
        match value.get_ref() {
            DeValue::Table(found) => table = Some(found),
            _ => wrong_section(section, name, line, report),
        }
    }
    let mut reader = SectionReader::new(section, name.to_owned(), table, report);
    let value = read(&mut reader);
    reader.finish();
    value
}

fn many<T>(
    document: &DeTable<'_>,
    name: &'static str,
    report: &mut Report,
    read: fn(&mut SectionReader<'_, '_>) -> T,
) -> Vec<T> {
    let section = known(name);
    let Some((_, value)) = document.iter().find(|(key, _)| key.get_ref() == name) else {
        return Vec::new();
    };
    let DeValue::Array(items) = value.get_ref() else {
        let line = report.line_at(value.span().start);
        wrong_section(section, name, line, report);
        return Vec::new();
    };
    let mut values = Vec::new();
    for (position, item) in items.iter().enumerate() {
        let path = format!("{name}[{position}]");
        let line = report.line_at(item.span().start);
        report.place(&path, line);
        let DeValue::Table(table) = item.get_ref() else {
            wrong_section(section, &path, line, report);
            continue;
        };
        let mut reader = SectionReader::new(section, path, Some(table), report);
        values.push(read(&mut reader));
        reader.finish();
    }
    values
}

fn wrong_section(section: &Section, path: &str, line: usize, report: &mut Report) {
    let what = if section.repeatable { "not a list of tables" } else { "not a table" };
    report.error_at(path, line, what, format!("write {} and its keys below", section.header()));
}

fn read_node(reader: &mut SectionReader<'_, '_>) -> RawNode {
    RawNode {
        name: reader.name("name"),
        id: reader.integer("id"),
        run_dir: reader.path("run_dir"),
        state_dir: reader.path("state_dir"),
        bpf_dir: reader.path("bpf_dir"),
    }
}

fn read_ha(reader: &mut SectionReader<'_, '_>) -> RawHa {
    RawHa {
        mode: reader.choice("mode", |word| match word {
            "standalone" => Some(Mode::Standalone),
            "active-passive" => Some(Mode::ActivePassive),
            _ => None,
        }),
        primary: reader.flag("primary"),
        rank: reader.integer("rank"),
        port: reader.integer("port"),
        controller_lease: reader.duration("controller_lease"),
        fence: reader.choice("fence", |word| match word {
            "vip" => Some(Fence::Vip),
            "forwarding" => Some(Fence::Forwarding),
            "none" => Some(Fence::None),
            _ => None,
        }),
        takeover: reader.choice("takeover", |word| match word {
            "fast" => Some(Takeover::Fast),
            "after-lease" => Some(Takeover::AfterLease),
            _ => None,
        }),
        trust: reader.choice("trust", |word| match word {
            "peers" => Some(Trust::Peers),
            "segment" => Some(Trust::Segment),
            _ => None,
        }),
        secret_files: reader.paths("secret_files"),
    }
}

fn read_peer(reader: &mut SectionReader<'_, '_>) -> RawPeer {
    RawPeer {
        name: reader.name("name"),
        id: reader.integer("id"),
        addresses: reader.addresses("addresses"),
        advert_sources: reader.addresses("advert_sources"),
    }
}

fn read_peer_check(reader: &mut SectionReader<'_, '_>) -> RawPeerCheck {
    RawPeerCheck {
        interval: reader.duration("interval"),
        failure_threshold: reader.integer("failure_threshold"),
        recovery_threshold: reader.integer("recovery_threshold"),
    }
}

fn read_flaps(reader: &mut SectionReader<'_, '_>) -> RawFlaps {
    RawFlaps {
        maximum_allowed: reader.integer("maximum_allowed"),
        window: reader.duration("window"),
        release: reader.duration_or_word("release"),
    }
}

fn read_bandwidth(reader: &mut SectionReader<'_, '_>) -> RawBandwidth {
    RawBandwidth {
        enabled: reader.flag("enabled"),
        minimum: reader.rate("minimum"),
        interval: reader.duration("interval"),
    }
}

fn read_links(reader: &mut SectionReader<'_, '_>) -> RawLinks {
    RawLinks {
        monitoring_interval: reader.duration("monitoring_interval"),
        minimum_active_pairs: reader.integer("minimum_active_pairs"),
        recovery_time: reader.duration("recovery_time"),
    }
}

fn read_link(reader: &mut SectionReader<'_, '_>) -> RawLink {
    RawLink { interface: reader.interface("interface"), bandwidth_minimum: reader.rate("bandwidth_minimum") }
}

fn read_link_pair(reader: &mut SectionReader<'_, '_>) -> RawLinkPair {
    RawLinkPair {
        path: reader.section_path().to_owned(),
        name: reader.name("name"),
        inside: reader.interface("inside"),
        outside: reader.interface("outside"),
        device: reader.device("device"),
        gpio_line: reader.integer("gpio_line"),
        gpio_sense_line: reader.integer("gpio_sense_line"),
    }
}

fn read_virtual_router(reader: &mut SectionReader<'_, '_>) -> RawVirtualRouter {
    RawVirtualRouter {
        path: reader.section_path().to_owned(),
        name: reader.name("name"),
        interface: reader.interface("interface"),
        vrid: reader.integer("vrid"),
        version: reader.integer("version"),
        addresses: reader.virtual_addresses("addresses"),
        priority: reader.integer("priority"),
        advertisement_interval: reader.duration("advertisement_interval"),
        preempt: reader.flag("preempt"),
        preempt_delay: reader.duration("preempt_delay"),
        accept: reader.flag("accept"),
        virtual_mac: reader.flag("virtual_mac"),
        checksum: reader.choice("checksum", |word| match word {
            "auto" => Some(ChecksumPolicy::Auto),
            "rfc9568" => Some(ChecksumPolicy::Rfc9568),
            "rfc5798" => Some(ChecksumPolicy::Rfc5798),
            _ => None,
        }),
        strict: reader.flag("strict"),
        group: reader.name("group"),
        unicast_peers: reader.addresses("unicast_peers"),
        trusted_sources: reader.addresses("trusted_sources"),
    }
}
