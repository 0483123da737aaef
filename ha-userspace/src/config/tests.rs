//! The configuration as operators write it: the full example, the smallest file, and every way to be wrong.

use super::schema::{Kind, SECTIONS, Section, Setting};
use super::units::{show_duration, show_rate};
use super::validated::*;
use super::*;
use holdfast_engine::{ChecksumPolicy, Family, Version};
use std::time::Duration;

const EXAMPLE: &str = include_str!("../../../docs/example.toml");
const SETTINGS_PAGE: &str = include_str!("../../../docs/settings.md");

const ROUTER: &str = "[[virtual_router]]
interface = \"lan0\"
vrid = 51
addresses = [\"192.0.2.1/24\"]
";

fn problems(text: &str) -> Vec<String> {
    match parse(text, "t.toml") {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

fn warnings(text: &str) -> Vec<String> {
    parse(text, "t.toml").unwrap().warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn the_full_example_is_valid() {
    let loaded = parse(EXAMPLE, "example.toml").unwrap();
    let config = loaded.config;
    assert_eq!((config.node.name.as_str(), config.node.id), ("gw-a", Some(1)));
    assert_eq!(config.node.control_socket(), Path::new("/run/holdfast/control.sock"));
    assert_eq!((config.ha.mode, config.ha.primary, config.ha.port), (Mode::ActivePassive, true, 8612));
    assert_eq!(config.ha.trust, Trust::Peers);
    assert_eq!(config.peers[0].addresses.len(), 2);
    assert_eq!(config.flaps.release, FlapRelease::Manual);
    assert_eq!(config.bandwidth.minimum_bps, Some(10_000_000));
    assert_eq!(config.link_pairs[0].outside, "wan0");
    let router = &config.virtual_routers[0];
    assert_eq!((router.vrid, router.version, router.family), (51, Version::V3, Family::Ipv4));
    assert_eq!(router.priority, Priority(200));
    assert_eq!(router.group.as_deref(), Some("gateway"));
    let warned: Vec<_> = loaded.warnings.iter().map(|warning| warning.path.as_str()).collect();
    assert_eq!(warned, ["peer", "virtual_router[0].group"]);
}

#[test]
fn the_example_names_every_setting_but_strict() {
    for section in SECTIONS {
        for setting in section.settings.iter().filter(|setting| setting.key != "strict") {
            let line = format!("\n{} = ", setting.key);
            assert!(EXAMPLE.contains(&line), "{}.{}", section.name, setting.key);
        }
    }
}

#[test]
fn one_virtual_router_is_enough() {
    let loaded = parse(ROUTER, "t.toml").unwrap();
    assert_eq!(loaded.warnings, []);
    let config = loaded.config;
    assert_eq!(config.ha.trust, Trust::Segment);
    assert_eq!(config.ha.controller_lease, Duration::from_secs(1));
    assert_eq!(config.ha.fence, Fence::Vip);
    let router = &config.virtual_routers[0];
    assert_eq!(router.name, "lan0-51");
    assert_eq!(router.priority, Priority(100));
    assert_eq!(router.advertisement_interval, Duration::from_secs(1));
    assert!(router.preempt && router.accept && !router.virtual_mac && !router.strict);
    assert_eq!(router.checksum, ChecksumPolicy::Auto);
    assert_eq!(loaded.lines.of("virtual_router[0].vrid"), 3);
    assert_eq!(loaded.lines.of("virtual_router[0].group"), 1);
}

#[test]
fn the_default_node_is_that_of_the_smallest_file() {
    let node = default_node().unwrap();
    assert_eq!(node, parse(ROUTER, "t.toml").unwrap().config.node);
    assert_eq!(node.control_socket(), default_socket());
}

#[test]
fn the_primary_has_the_higher_base_priority() {
    let loaded = parse(&format!("[ha]\nprimary = true\n{ROUTER}"), "t.toml").unwrap();
    assert_eq!(loaded.config.virtual_routers[0].priority, Priority(200));
}

#[test]
fn a_missing_prefix_is_the_single_address() {
    let text = ROUTER.replace("192.0.2.1/24", "fe80::1\", \"2001:db8::1/64");
    let router = parse(&text, "t.toml").unwrap().config.virtual_routers.remove(0);
    assert_eq!(router.name, "lan0-51-v6");
    let prefixes: Vec<_> = router.addresses.iter().map(|address| address.prefix).collect();
    assert_eq!(prefixes, [128, 64]);
    let router = parse(&ROUTER.replace("/24", ""), "t.toml").unwrap().config.virtual_routers.remove(0);
    assert_eq!(router.addresses[0].prefix, 32);
}

#[test]
fn what_may_repeat_is_accepted() {
    let text = "[[virtual_router]]\ninterface = \"lan0\"\nvrid = 1\naddresses = [\"fe80::1\"]\n\
                [[virtual_router]]\ninterface = \"wan0\"\nvrid = 1\naddresses = [\"fe80::1\"]\n\
                [[virtual_router]]\ninterface = \"lan0\"\nvrid = 1\naddresses = [\"192.0.2.1/24\"]\n";
    assert_eq!(problems(text), [""; 0]);
    let unicast = format!("{ROUTER}virtual_mac = true\nunicast_peers = [\"192.0.2.3\"]\n");
    assert_eq!(problems(&unicast), [""; 0]);
    let forwarding = format!("[ha]\nfence = \"forwarding\"\n{ROUTER}");
    assert_eq!(problems(&forwarding), [""; 0]);
}

#[test]
fn every_problem_is_reported_at_once() {
    let text = "[nod]\n[ha]\nport = 0\n[[virtual_router]]\nvrid = 0\ninterface = \"lan0\"\n";
    assert_eq!(
        problems(text),
        [
            "t.toml:1: nod: unknown section (did you mean [node]?)",
            "t.toml:3: ha.port: 0 is out of range (use 1 to 65535)",
            "t.toml:4: virtual_router[0].addresses: missing (add `addresses = ...` to this [[virtual_router]])",
            "t.toml:5: virtual_router[0].vrid: 0 is out of range (use 1 to 255)",
        ]
    );
}

mod refusals;

/// Writes one setting into an otherwise sound file.
fn with(section: &Section, setting: &Setting, value: &str) -> String {
    let line = format!("{} = {value}\n", setting.key);
    let sound: &[(&str, &str)] = match section.name {
        "virtual_router" => &[("interface", "\"lan0\""), ("vrid", "51"), ("addresses", "[\"192.0.2.1/24\"]")],
        "peer" => &[("name", "\"gw-z\""), ("id", "9"), ("addresses", "[\"192.0.2.3\"]")],
        "link_pair" => &[("name", "\"edge\""), ("inside", "\"lan0\""), ("outside", "\"wan0\"")],
        _ => &[],
    };
    let rest: String = sound
        .iter()
        .filter(|(key, _)| *key != setting.key)
        .map(|(key, value)| format!("{key} = {value}\n"))
        .collect();
    let node_and_ha = if section.name == "peer" || setting.key == "trust" {
        "node.id = 7\nha.secret_files = [\"/k\"]\n[[peer]]\nname = \"gw-y\"\nid = 8\naddresses = [\"192.0.2.8\"]\n"
    } else {
        ""
    };
    let node_and_ha = if setting.key == "trust" {
        node_and_ha.replace("[[peer]]", &format!("ha.{line}[[peer]]"))
    } else {
        format!("{node_and_ha}{}\n{line}{rest}", section.header())
    };
    let router = if section.name == "virtual_router" { "" } else { ROUTER };
    format!("{node_and_ha}{router}")
}

fn quoted(text: impl std::fmt::Display) -> String {
    format!("\"{text}\"")
}

/// Values that a setting takes, and values out of its bounds or of another type.
fn values(setting: &Setting) -> (Vec<String>, Vec<String>) {
    const NANOSECOND: Duration = Duration::from_nanos(1);
    let long = "x".repeat(65);
    match setting.kind {
        Kind::Name => (vec![quoted("gw.a_1-b")], vec![quoted("a b"), quoted(""), quoted(long), "1".into()]),
        Kind::Interface => (
            vec![quoted("eth0.100"), quoted("x".repeat(15))],
            vec![quoted("x".repeat(16)), quoted(""), quoted("a/b"), quoted("veth0@if2 "), "1".into()],
        ),
        Kind::Path { .. } => (vec![quoted("/run/x")], vec![quoted("run/x"), "1".into()]),
        Kind::Flag { .. } => (vec!["true".into(), "false".into()], vec![quoted("yes"), "1".into()]),
        Kind::Integer { min, max, .. } => (
            vec![min.to_string(), max.to_string()],
            vec![(min - 1).to_string(), (max + 1).to_string(), quoted(min), "1.5".into()],
        ),
        Kind::Duration { min, max, .. } | Kind::DurationOr { min, max, .. } => {
            let mut wrong =
                vec![quoted(show_duration(max + NANOSECOND)), "1".into(), quoted("10"), "true".into()];
            wrong.extend(min.checked_sub(NANOSECOND).map(|below| quoted(show_duration(below))));
            (vec![quoted(show_duration(min)), quoted(show_duration(max))], wrong)
        }
        Kind::Rate { min, max } => (
            vec![quoted(show_rate(min)), quoted(show_rate(max))],
            vec![
                quoted(show_rate(min - 1)),
                quoted(show_rate(max + 1)),
                "10".into(),
                quoted("10"),
                quoted("10MB"),
            ],
        ),
        Kind::Choice { options, later, .. } => (
            options.iter().filter(|option| !later.contains(option)).map(quoted).collect(),
            later.iter().map(quoted).chain([quoted("other"), "1".into()]).collect(),
        ),
        Kind::Addresses => (
            vec!["[\"192.0.2.77\"]".into()],
            vec!["[\"192.0.2.77/24\"]".into(), quoted("192.0.2.77"), "[1]".into(), "[\"224.0.0.18\"]".into()],
        ),
        Kind::VirtualAddresses => (
            vec!["[\"192.0.2.1/24\", \"192.0.2.2\"]".into()],
            vec!["[]".into(), "[\"192.0.2.1/33\"]".into(), "[\"gw\"]".into(), quoted("192.0.2.1/24")],
        ),
        Kind::Paths { .. } => (
            vec!["[]".into(), "[\"/k\"]".into(), "[\"/a\", \"/b\"]".into()],
            vec!["[\"k\"]".into(), "[\"/a\", \"/b\", \"/c\"]".into(), quoted("/k"), "[1]".into()],
        ),
    }
}

/// A bound of one setting that only holds together with another one, which a test of its own covers.
fn needs_company(setting: &Setting, value: &str) -> bool {
    match setting.key {
        "advertisement_interval" => value == "\"255s\"",
        "enabled" | "strict" => value == "true",
        _ => false,
    }
}

#[test]
fn every_setting_takes_its_bounds_and_nothing_past_them() {
    for section in SECTIONS {
        for setting in section.settings {
            let place = format!("{}.{}", section.name, setting.key);
            let (sound, wrong) = values(setting);
            for value in sound.iter().filter(|value| !needs_company(setting, value)) {
                assert_eq!(problems(&with(section, setting, value)), [""; 0], "{place} = {value}");
            }
            for value in wrong {
                let found = parse(&with(section, setting, &value), "t.toml").unwrap_err();
                assert_eq!(found.len(), 1, "{place} = {value}: {found:?}");
                assert!(found[0].path.contains(setting.key), "{place} = {value}: {found:?}");
                assert!(found[0].line > 0 && !found[0].help.is_empty(), "{place} = {value}: {found:?}");
            }
        }
    }
}

#[test]
fn every_default_is_within_its_bounds_and_in_force_when_the_key_is_absent() {
    let absent = parse(ROUTER, "t.toml").unwrap().config;
    for section in SECTIONS {
        for setting in section.settings {
            let Some(value) = default_text(setting) else { continue };
            let written = parse(&with(section, setting, &value), "t.toml").unwrap().config;
            assert_eq!(written, absent, "{}.{}", section.name, setting.key);
        }
    }
}

/// The default as the file would have it; names of routers and peers have none.
fn default_text(setting: &Setting) -> Option<String> {
    match setting.kind {
        Kind::Path { default } | Kind::Choice { default, .. } => default.map(quoted),
        Kind::Flag { default } => Some(default.to_string()),
        Kind::Integer { default, .. } => default.map(|number| number.to_string()),
        Kind::Duration { default, .. } => default.map(|duration| quoted(show_duration(duration))),
        Kind::DurationOr { word, .. } => Some(quoted(word)),
        _ => None,
    }
}

#[test]
fn the_settings_page_has_every_setting_with_its_bounds_and_default() {
    for section in SECTIONS {
        let heading = format!("\n## `{}`\n", section.header());
        let (_, page) = SETTINGS_PAGE.split_once(&heading).unwrap_or_else(|| panic!("no heading {heading}"));
        let page = page.split("\n## ").next().unwrap();
        for setting in section.settings {
            let row = page
                .lines()
                .find(|line| line.starts_with(&format!("| `{}` |", setting.key)))
                .unwrap_or_else(|| panic!("{}.{} has no row", section.name, setting.key));
            let mut facts: Vec<String> = default_text(setting).into_iter().collect();
            match setting.kind {
                Kind::Integer { min, max, .. } => facts.extend([min.to_string(), max.to_string()]),
                Kind::Duration { min, max, .. } | Kind::DurationOr { min, max, .. } => {
                    facts.extend([show_duration(min), show_duration(max)]);
                }
                Kind::Rate { min, max } => facts.extend([show_rate(min), show_rate(max)]),
                Kind::Choice { options, .. } => facts.extend(options.iter().map(quoted)),
                _ => {}
            }
            for fact in facts {
                assert!(row.contains(&fact), "{}.{}: the row lacks {fact}", section.name, setting.key);
            }
        }
    }
}
