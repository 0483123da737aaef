//! Every setting of the schema by itself: its bounds, its default, its line in the manual.

use super::super::schema::{Kind, SECTIONS, Section, Setting};
use super::super::units::{show_duration, show_rate};
use super::{ROUTER, parse, problems};
use std::time::Duration;

const SETTINGS_PAGE: &str = include_str!("../../../../docs/settings.md");

/// Keys and values that stand beside the one in question.
type Company = &'static [(&'static str, &'static str)];

/// Somebody whom a bypass can ask.
const PEER_AT_END: &str = "[node]\nid = 7\n[ha]\nsecret_files = [\"/k\"]\n[[peer]]\nname = \"gw-y\"\nid = 8\n\
                           addresses = [\"192.0.2.8\"]\n";

/// What makes a bypass driver complete.
fn bypass_company(key: &str) -> Company {
    const XDP: Company = &[("driver", "\"xdp\""), ("topology", "\"inline\"")];
    const PARALLEL: Company = &[("driver", "\"xdp\""), ("accept_parallel", "true")];
    const GPIO: Company =
        &[("driver", "\"gpio\""), ("topology", "\"inline\""), ("chip", "\"/dev/gpiochip0\"")];
    const COMMAND: Company =
        &[("driver", "\"command\""), ("topology", "\"inline\""), ("command", "[\"/a\"]")];
    const WATCHDOG: Company = &[
        ("driver", "\"command\""),
        ("topology", "\"inline\""),
        ("command", "[\"/a\"]"),
        ("command_timeout", "\"100ms\""),
    ];
    const PET: Company = &[
        ("driver", "\"command\""),
        ("topology", "\"inline\""),
        ("command", "[\"/a\"]"),
        ("watchdog", "\"10m\""),
    ];
    const SYSFS: Company = &[
        ("driver", "\"sysfs\""),
        ("topology", "\"inline\""),
        ("preset", "\"silicom\""),
        ("watchdog", "\"5s\""),
    ];
    const PRESET: Company = &[
        ("driver", "\"sysfs\""),
        ("topology", "\"inline\""),
        ("control_path", "\"/c{device}\""),
        ("engage_value", "\"e\""),
        ("release_value", "\"r\""),
        ("read_path", "\"/c{device}\""),
        ("engaged_readings", "[\"e\"]"),
        ("released_readings", "[\"r\"]"),
    ];
    match key {
        "driver" => &[],
        "topology" => PARALLEL,
        "accept_parallel" | "on_controller_loss" => XDP,
        "watchdog" => WATCHDOG,
        "pet_interval" => PET,
        "preset" => PRESET,
        "chip" | "active_low" => GPIO,
        "command" | "command_timeout" => COMMAND,
        _ => SYSFS,
    }
}

/// What makes a check of a kind complete.
fn kind_company(kind: &str) -> Company {
    match kind {
        "interface" => &[("kind", "\"interface\""), ("interface", "\"lan0\"")],
        "command" => &[("kind", "\"command\""), ("command", "[\"/a\"]")],
        "process" => &[("kind", "\"process\""), ("process", "\"named\"")],
        "tcp" => &[("kind", "\"tcp\""), ("address", "\"192.0.2.9:80\"")],
        "http" => &[("kind", "\"http\""), ("url", "\"http://192.0.2.9/\"")],
        _ => &[("kind", "\"file\""), ("path", "\"/a\"")],
    }
}

fn check_company(key: &str, value: Option<&str>) -> Vec<(&'static str, &'static str)> {
    let kind = match key {
        "kind" => value.unwrap_or("").trim_matches('"'),
        "interface" => "interface",
        "command" | "shell" | "user" => "command",
        "process" | "minimum_count" => "process",
        "address" => "tcp",
        "url" | "status" | "body" => "http",
        _ => "file",
    };
    let known = ["interface", "command", "process", "file", "tcp", "http"].contains(&kind);
    let of_kind = if known { kind_company(kind) } else { &[] };
    let mut company = vec![("name", "\"c\"")];
    company.extend_from_slice(of_kind);
    if key == "timeout" {
        company.push(("interval", "\"1h\""));
    }
    company
}

fn company(section: &Section, setting: &Setting, value: Option<&str>) -> Vec<(&'static str, &'static str)> {
    match section.name {
        "virtual_router" => {
            vec![("interface", "\"lan0\""), ("vrid", "51"), ("addresses", "[\"192.0.2.1/24\"]")]
        }
        "peer" => vec![("name", "\"gw-z\""), ("id", "9"), ("addresses", "[\"192.0.2.3\"]")],
        "link_pair" => vec![("name", "\"edge\""), ("inside", "\"lan0\""), ("outside", "\"wan0\"")],
        "link" => vec![("interface", "\"lan0\"")],
        "bandwidth" => vec![("minimum", "\"1Mbps\"")],
        "bypass" => bypass_company(setting.key).to_vec(),
        "check" => check_company(setting.key, value),
        _ => Vec::new(),
    }
}

/// Writes one setting into an otherwise sound file, or that file without it.
fn with(section: &Section, setting: &Setting, value: Option<&str>) -> String {
    let line = value.map_or_else(String::new, |value| format!("{} = {value}\n", setting.key));
    let rest: String = company(section, setting, value)
        .iter()
        .filter(|(key, _)| *key != setting.key)
        .map(|(key, value)| format!("{key} = {value}\n"))
        .collect();
    let own = format!("{}\n{line}{rest}", section.header());
    let peers = "node.id = 7\nha.secret_files = [\"/k\"]\nPLACE[[peer]]\nname = \"gw-y\"\nid = 8\n\
                 addresses = [\"192.0.2.8\"]\n";
    let before = match (section.name, setting.key) {
        (_, "trust") => peers.replace("PLACE", &if line.is_empty() { line } else { format!("ha.{line}") }),
        ("peer", _) => format!("{}{own}", peers.replace("PLACE", "")),
        ("bypass", _) => format!(
            "{own}[[link_pair]]\nname = \"edge\"\ninside = \"lan0\"\noutside = \"wan0\"\ndevice = \"d\"\n\
             gpio_line = 1\n"
        ),
        _ => own,
    };
    match section.name {
        "virtual_router" => before,
        "bypass" => format!("{before}{ROUTER}{}", PEER_AT_END),
        "check" => format!("{before}{ROUTER}name = \"gw.a_1-b\"\ngroup = \"gw.a_1-b\"\n"),
        _ => format!("{before}{ROUTER}"),
    }
}

fn quoted(text: impl std::fmt::Display) -> String {
    format!("\"{text}\"")
}

/// Values that a setting takes, and values out of its bounds or of another type.
fn values(setting: &Setting) -> (Vec<String>, Vec<String>) {
    const NANOSECOND: Duration = Duration::from_nanos(1);
    let long = "x".repeat(65);
    match setting.kind {
        _ if setting.key == "url" => {
            (vec![quoted("http://192.0.2.9")], vec![quoted("192.0.2.9"), quoted(""), "1".into()])
        }
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
        _ => texts_and_lists(setting),
    }
}

/// As [`values`], for what is written as text of a form of its own or as a list.
fn texts_and_lists(setting: &Setting) -> (Vec<String>, Vec<String>) {
    let long = "x".repeat(65);
    match setting.kind {
        Kind::Device => (
            vec![quoted("g3bp0"), quoted("slot0/bypass1"), quoted("x".repeat(64))],
            ["", "/a", "a//b", "../a", "a/.", "a b", &long]
                .map(quoted)
                .into_iter()
                .chain(["1".into()])
                .collect(),
        ),
        // A text that serves as path, value, user and process alike.
        Kind::Text { .. } => (
            vec![quoted("/x{inside}"), quoted(format!("/{{inside}}{}", "x".repeat(1_015)))],
            vec![quoted(""), quoted("a\\nb"), quoted("x".repeat(1_025)), "1".into()],
        ),
        Kind::Texts => (
            vec!["[\"/x\"]".into(), "[\"/x\", \"y\"]".into()],
            vec!["[]".into(), "[\"\"]".into(), "[\"a\\tb\"]".into(), "[1]".into(), quoted("/x")],
        ),
        Kind::Integers { min, max } => (
            vec![format!("[{min}, {max}]")],
            vec![
                "[]".into(),
                format!("[{}]", min - 1),
                format!("[{min}, {}]", max + 1),
                min.to_string(),
                "[\"200\"]".into(),
            ],
        ),
        Kind::SocketAddress => (
            vec![quoted("192.0.2.9:1"), quoted("[2001:db8::9]:65535"), quoted("127.0.0.1:80")],
            ["192.0.2.9", "192.0.2.9:0", "192.0.2.9:65536", "0.0.0.0:80", "224.0.0.1:80", "host:80"]
                .map(quoted)
                .into_iter()
                .chain(["80".into()])
                .collect(),
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
        _ => panic!("{}: no values are known for {:?}", setting.key, setting.kind),
    }
}

/// A bound of one setting that only holds together with another one, which a test of its own covers.
fn needs_company(section: &Section, setting: &Setting, value: &str) -> bool {
    match (section.name, setting.key) {
        (_, "advertisement_interval") => value == "\"255s\"",
        (_, "strict") => value == "true",
        ("bypass", "driver") => value != "\"none\"",
        ("link", "interface") => true,
        _ => false,
    }
}

#[test]
fn every_setting_takes_its_bounds_and_nothing_past_them() {
    for section in SECTIONS {
        for setting in section.settings {
            let place = format!("{}.{}", section.name, setting.key);
            let (sound, wrong) = values(setting);
            for value in sound.iter().filter(|value| !needs_company(section, setting, value)) {
                assert_eq!(problems(&with(section, setting, Some(value))), [""; 0], "{place} = {value}");
            }
            for value in wrong {
                let found = parse(&with(section, setting, Some(&value)), "t.toml").unwrap_err();
                assert_eq!(found.len(), 1, "{place} = {value}: {found:?}");
                assert!(found[0].path.contains(setting.key), "{place} = {value}: {found:?}");
                assert!(found[0].line > 0 && !found[0].help.is_empty(), "{place} = {value}: {found:?}");
            }
        }
    }
}

#[test]
fn every_default_is_within_its_bounds_and_in_force_when_the_key_is_absent() {
    for section in SECTIONS {
        for setting in section.settings {
            let Some(value) = default_text(setting) else { continue };
            let written = parse(&with(section, setting, Some(&value)), "t.toml").unwrap().config;
            let absent = parse(&with(section, setting, None), "t.toml").unwrap().config;
            assert_eq!(written, absent, "{}.{}", section.name, setting.key);
        }
    }
}

/// The default as the file would have it; names of routers and peers have none.
fn default_text(setting: &Setting) -> Option<String> {
    match setting.kind {
        Kind::Path { default } | Kind::Text { default } | Kind::Choice { default, .. } => default.map(quoted),
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
                Kind::Integer { min, max, .. } | Kind::Integers { min, max } => {
                    facts.extend([min.to_string(), max.to_string()])
                }
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
