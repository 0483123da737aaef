//! The one table of settings: names, kinds, bounds and defaults.
//!
//! The reader takes types, bounds and defaults from here, unknown keys are judged and corrected by it, and tests hold
//! `docs/settings.md` against it. It states nothing that needs two settings to judge; that is `validation`'s.

use ha_common::maps::peers as maps;
use std::time::Duration;

/// A table of the file.
#[derive(Debug)]
pub struct Section {
    /// As in the header.
    pub name: &'static str,
    /// Written `[[name]]` and repeatable.
    pub repeatable: bool,
    pub settings: &'static [Setting],
}

/// One key of a section.
#[derive(Debug)]
pub struct Setting {
    pub key: &'static str,
    pub kind: Kind,
    /// Absence is an error wherever the section stands.
    pub required: bool,
    /// What the operator should know when the value is out of bounds; may be empty.
    pub hint: &'static str,
}

/// Type, bounds and default of a setting. Bounds are inclusive; `None` says that the default follows from others.
#[derive(Debug, PartialEq, Eq)]
pub enum Kind {
    /// A name of the operator's choosing.
    Name,
    /// A network interface.
    Interface,
    /// A name, or names with '/' between them, that become part of a path.
    Device,
    /// Text of at least one character.
    Text {
        default: Option<&'static str>,
    },
    /// Several of them.
    Texts,
    /// A list of numbers.
    Integers {
        min: i64,
        max: i64,
    },
    /// An IP address with port.
    SocketAddress,
    /// An absolute path.
    Path {
        default: Option<&'static str>,
    },
    Flag {
        default: bool,
    },
    Integer {
        min: i64,
        max: i64,
        default: Option<i64>,
    },
    Duration {
        min: Duration,
        max: Duration,
        default: Option<Duration>,
    },
    /// A duration or one word.
    DurationOr {
        word: &'static str,
        min: Duration,
        max: Duration,
    },
    /// Bits per second.
    Rate {
        min: u64,
        max: u64,
    },
    /// One of `options`; those in `later` are known and refused.
    Choice {
        options: &'static [&'static str],
        later: &'static [&'static str],
        default: Option<&'static str>,
    },
    /// Addresses without prefix.
    Addresses,
    /// Addresses with an optional prefix length.
    VirtualAddresses,
    /// Absolute paths.
    Paths {
        max: usize,
    },
}

impl Setting {
    const fn new(key: &'static str, kind: Kind) -> Self {
        Self { key, kind, required: false, hint: "" }
    }

    const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    const fn hint(self, hint: &'static str) -> Self {
        Self { hint, ..self }
    }
}

const fn name(key: &'static str) -> Setting {
    Setting::new(key, Kind::Name)
}

const fn interface(key: &'static str) -> Setting {
    Setting::new(key, Kind::Interface)
}

const fn path(key: &'static str, default: Option<&'static str>) -> Setting {
    Setting::new(key, Kind::Path { default })
}

const fn text(key: &'static str, default: Option<&'static str>) -> Setting {
    Setting::new(key, Kind::Text { default })
}

const fn texts(key: &'static str) -> Setting {
    Setting::new(key, Kind::Texts)
}

const fn flag(key: &'static str, default: bool) -> Setting {
    Setting::new(key, Kind::Flag { default })
}

const fn integer(key: &'static str, min: i64, max: i64, default: Option<i64>) -> Setting {
    Setting::new(key, Kind::Integer { min, max, default })
}

const fn duration(key: &'static str, min: Duration, max: Duration, default: Option<Duration>) -> Setting {
    Setting::new(key, Kind::Duration { min, max, default })
}

const fn choice(
    key: &'static str,
    options: &'static [&'static str],
    later: &'static [&'static str],
    default: Option<&'static str>,
) -> Setting {
    Setting::new(key, Kind::Choice { options, later, default })
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const MINUTE: u64 = 60;
const HOUR: u64 = 3_600;
const DAY: u64 = 86_400;

/// Advertisement interval of VRRPv3: one centisecond to 4095 (V-030).
pub const V3_INTERVAL_MIN: Duration = ms(10);
pub const V3_INTERVAL_MAX: Duration = ms(40_950);
/// Advertisement interval of VRRPv2: whole seconds in one byte.
pub const V2_INTERVAL_MIN: Duration = secs(1);
pub const V2_INTERVAL_MAX: Duration = secs(255);
/// Priority of the address owner (V-023).
pub const OWNER_PRIORITY: u8 = 255;
/// Base priority of rank 1 where a virtual router gives none, what each rank further costs, and the least of it.
pub const PRIMARY_PRIORITY: u8 = 200;
pub const PRIORITY_PER_RANK: u8 = 10;
pub const SECONDARY_PRIORITY: u8 = 100;

/// Most peers of one node, most paths to one of them, and most paths together.
pub const MAX_PEERS: usize = maps::MAX_PEERS as usize;
pub const MAX_PATHS_PER_PEER: usize = maps::MAX_PATHS_PER_PEER as usize;
pub const MAX_PATHS: usize = 128;
/// Most sync units (groups, and virtual routers without group) beside peers: a probe has one bit for each.
pub const MAX_SYNC_UNITS: usize = maps::MAX_UNITS as usize;
/// Most `[[check]]` tables.
pub const MAX_CHECKS: usize = 256;

/// Default of `node.run_dir`.
pub const DEFAULT_RUN_DIR: &str = "/run/holdfast";

/// Every section of the file.
pub const SECTIONS: &[Section] = &[
    Section { name: "node", repeatable: false, settings: NODE },
    Section { name: "ha", repeatable: false, settings: HA },
    Section { name: "peer", repeatable: true, settings: PEER },
    Section { name: "peer_check", repeatable: false, settings: PEER_CHECK },
    Section { name: "flaps", repeatable: false, settings: FLAPS },
    Section { name: "bandwidth", repeatable: false, settings: BANDWIDTH },
    Section { name: "links", repeatable: false, settings: LINKS },
    Section { name: "link", repeatable: true, settings: LINK },
    Section { name: "link_pair", repeatable: true, settings: LINK_PAIR },
    Section { name: "bypass", repeatable: false, settings: BYPASS },
    Section { name: "virtual_router", repeatable: true, settings: VIRTUAL_ROUTER },
    Section { name: "check", repeatable: true, settings: CHECK },
];

const NODE: &[Setting] = &[
    name("name"),
    integer("id", 1, 65_535, None),
    path("run_dir", Some(DEFAULT_RUN_DIR)),
    path("state_dir", Some("/var/lib/holdfast")),
    path("bpf_dir", Some("/sys/fs/bpf/holdfast")),
];

const HA: &[Setting] = &[
    choice(
        "mode",
        &["standalone", "active-passive", "active-active", "cluster"],
        &["active-active", "cluster"],
        Some("active-passive"),
    ),
    flag("primary", false),
    integer("rank", 1, 254, None).hint("1 is the primary"),
    integer("port", 1, 65_535, Some(8612)),
    duration("controller_lease", ms(100), secs(60), Some(secs(1))),
    choice("fence", &["vip", "forwarding", "none"], &[], Some("vip")),
    choice("takeover", &["fast", "after-lease"], &[], Some("fast")),
    choice("trust", &["peers", "segment"], &[], None),
    Setting::new("secret_files", Kind::Paths { max: 2 })
        .hint("keep two: the first proves, both are accepted while rotating"),
];

const PEER: &[Setting] = &[
    name("name").required(),
    integer("id", 1, 65_535, None).required(),
    Setting::new("addresses", Kind::Addresses).required(),
    Setting::new("advert_sources", Kind::Addresses),
];

const PEER_CHECK: &[Setting] = &[
    duration("interval", ms(1), secs(60), Some(ms(100))),
    integer("failure_threshold", 1, 1_000, Some(3)),
    integer("recovery_threshold", 1, 1_000, Some(5)),
];

const FLAPS: &[Setting] = &[
    integer("maximum_allowed", 0, 1_000, Some(3)),
    duration("window", secs(1), secs(DAY), Some(secs(10 * MINUTE))),
    Setting::new("release", Kind::DurationOr { word: "manual", min: secs(1), max: secs(7 * DAY) }),
];

const RATE: Kind = Kind::Rate { min: 1_000, max: 10_000_000_000_000 };

const BANDWIDTH: &[Setting] = &[
    flag("enabled", false),
    Setting::new("minimum", RATE),
    duration("interval", secs(1), secs(HOUR), Some(secs(10))),
];

const LINKS: &[Setting] = &[
    duration("monitoring_interval", ms(10), secs(60), Some(ms(100))),
    integer("minimum_active_pairs", 0, 32, Some(1)),
    duration("recovery_time", Duration::ZERO, secs(HOUR), Some(secs(1))),
];

const LINK: &[Setting] = &[interface("interface").required(), Setting::new("bandwidth_minimum", RATE)];

const LINK_PAIR: &[Setting] = &[
    name("name").required(),
    interface("inside").required(),
    interface("outside").required(),
    Setting::new("device", Kind::Device),
    integer("gpio_line", 0, MAX_GPIO_LINE, None),
    integer("gpio_sense_line", 0, MAX_GPIO_LINE, None),
];

/// Highest line number of a GPIO chip (the kernel counts them in 16 bits).
const MAX_GPIO_LINE: i64 = 65_535;

const BYPASS: &[Setting] = &[
    choice("driver", &["none", "xdp", "sysfs", "gpio", "command"], &[], Some("none")),
    choice("topology", &["inline", "parallel"], &[], None),
    flag("accept_parallel", false),
    flag("on_controller_loss", false),
    duration("watchdog", ms(500), secs(10 * MINUTE), None),
    duration("pet_interval", ms(10), secs(200), None),
    choice("preset", &["custom", "chelsio", "caswell", "silicom"], &[], Some("custom")),
    text("control_path", None),
    text("engage_value", None),
    text("release_value", None),
    text("read_path", None),
    texts("engaged_readings"),
    texts("released_readings"),
    text("arm_path", None),
    text("arm_value", None),
    text("disarm_value", None),
    text("pet_path", None),
    text("pet_value", None),
    path("chip", None),
    flag("active_low", false),
    texts("command"),
    duration("command_timeout", ms(100), secs(MINUTE), Some(secs(2))),
];

/// Greatest weight of a check, either way: from the least priority to the greatest.
const MAX_WEIGHT: i64 = 253;

const CHECK: &[Setting] = &[
    name("name").required(),
    choice("kind", &["interface", "command", "process", "file", "tcp", "http"], &[], None).required(),
    duration("interval", ms(100), secs(HOUR), Some(secs(1))),
    duration("timeout", ms(10), secs(HOUR), None),
    integer("rise", 1, 1_000, Some(1)),
    integer("fall", 1, 1_000, Some(1)),
    integer("weight", -MAX_WEIGHT, MAX_WEIGHT, Some(0)).hint("0 makes a failure a failed requirement"),
    name("group"),
    name("virtual_router"),
    interface("interface"),
    texts("command"),
    flag("shell", false),
    text("user", Some("nobody")),
    text("process", None),
    integer("minimum_count", 1, 1_000, Some(1)),
    path("path", None),
    text("content", None),
    Setting::new("address", Kind::SocketAddress),
    text("url", None),
    Setting::new("status", Kind::Integers { min: 100, max: 599 }),
    text("body", None),
];

const VIRTUAL_ROUTER: &[Setting] = &[
    name("name"),
    interface("interface").required(),
    integer("vrid", 1, 255, None).required(),
    integer("version", 2, 3, Some(3)),
    Setting::new("addresses", Kind::VirtualAddresses).required(),
    integer("priority", 1, 255, None).hint("255 is for the owner of the addresses"),
    duration("advertisement_interval", V3_INTERVAL_MIN, V2_INTERVAL_MAX, Some(secs(1)))
        .hint("version 3 takes 10ms to 40.95s, version 2 whole seconds from 1s to 255s"),
    flag("preempt", true),
    duration("preempt_delay", Duration::ZERO, secs(HOUR), Some(Duration::ZERO)),
    flag("accept", true),
    flag("virtual_mac", false),
    choice("checksum", &["auto", "rfc9568", "rfc5798"], &[], Some("auto")),
    flag("strict", false),
    name("group"),
    Setting::new("unicast_peers", Kind::Addresses),
    Setting::new("trusted_sources", Kind::Addresses),
];

/// The section called `name`.
pub fn section(name: &str) -> Option<&'static Section> {
    SECTIONS.iter().find(|section| section.name == name)
}

impl Section {
    /// The setting called `key`.
    pub fn setting(&self, key: &str) -> Option<&'static Setting> {
        self.settings.iter().find(|setting| setting.key == key)
    }

    /// As the header is written: `[node]`, `[[peer]]`.
    pub fn header(&self) -> String {
        if self.repeatable { format!("[[{}]]", self.name) } else { format!("[{}]", self.name) }
    }
}

/// Longest edit distance at which a name counts as a slip of the one that was meant.
const NEAREST_DISTANCE: usize = 3;

/// The name among `known` that `given` most likely meant.
pub fn nearest<'k>(given: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let given = given.to_lowercase().replace('-', "_");
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&given, name), name))
        .filter(|(distance, name)| {
            let shorter = given.chars().count().min(name.len());
            *distance <= NEAREST_DISTANCE && *distance < shorter.max(2)
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        for section in SECTIONS {
            for setting in section.settings {
                let same = section.settings.iter().filter(|other| other.key == setting.key).count();
                assert_eq!(same, 1, "{}.{}", section.name, setting.key);
            }
        }
    }

    #[test]
    fn the_nearest_name_is_a_slip_away() {
        let keys = || section("virtual_router").unwrap().settings.iter().map(|setting| setting.key);
        assert_eq!(nearest("adress", keys()), Some("addresses"));
        assert_eq!(nearest("adresses", keys()), Some("addresses"));
        assert_eq!(nearest("virtual-mac", keys()), Some("virtual_mac"));
        assert_eq!(nearest("Priorty", keys()), Some("priority"));
        assert_eq!(nearest("colour", keys()), None);
        assert_eq!(nearest("id", ["vrid"]), None);
    }
}
