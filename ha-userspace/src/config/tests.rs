//! The configuration as operators write it: the full example, the smallest file, and every way to be wrong.

use super::schema::SECTIONS;
use super::validated::*;
use super::*;
use holdfast_engine::{ChecksumPolicy, Family, Version};
use std::time::Duration;

const EXAMPLE: &str = include_str!("../../../docs/example.toml");

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
    assert_eq!(config.link_settings[0].bandwidth_minimum_bps, Some(100_000_000));
    assert_eq!((config.bypass.driver, config.bypass.topology), (BypassDriver::Xdp, Topology::Inline));
    assert_eq!(config.checks.len(), 6);
    assert_eq!(config.checks[0].scope, CheckScope::Group("gateway".to_owned()));
    assert_eq!(config.checks[1].scope, CheckScope::VirtualRouter("lan".to_owned()));
    let router = &config.virtual_routers[0];
    assert_eq!((router.vrid, router.version, router.family), (51, Version::V3, Family::Ipv4));
    assert_eq!(router.priority, Priority(200));
    assert_eq!(router.group.as_deref(), Some("gateway"));
    let warned: Vec<_> = loaded.warnings.iter().map(|warning| warning.path.as_str()).collect();
    assert_eq!(warned, ["virtual_router[0].group"]);
}

#[test]
fn the_example_names_every_setting_but_strict() {
    for section in SECTIONS {
        for setting in section.settings.iter().filter(|setting| setting.key != "strict") {
            let named =
                ["\n", "\n# "].iter().any(|lead| EXAMPLE.contains(&format!("{lead}{} = ", setting.key)));
            assert!(named, "{}.{}", section.name, setting.key);
        }
    }
}

#[test]
fn what_the_example_only_shows_is_sound_too() {
    let own = "driver = \"xdp\"";
    let shown = |from: &str, to: &str| {
        let (before, after) = EXAMPLE.split_once(&format!("# {from}")).unwrap();
        let (block, after) = after.split_once(to).unwrap();
        format!("{before}{}{after}", block.replace("\n# ", "\n"))
    };
    let watchdog =
        |text: &str| text.replace("# watchdog", "watchdog").replace("# pet_interval", "pet_interval");
    let pairs = |text: &str| text.replace("# device", "device").replace("# gpio", "gpio");
    let sysfs = shown("Driver \"sysfs\"; a preset fills all of the following:", "# Driver \"gpio\":\n");
    let gpio = shown("Driver \"gpio\":", "# Driver \"command\":\n");
    let command = shown("Driver \"command\":", "\n[[virtual_router]]")
        .replace("command_timeout = \"2s\"\n", "command_timeout = \"2s\"\n[[virtual_router]]");
    for (driver, text) in [("sysfs", watchdog(&sysfs)), ("gpio", gpio), ("command", watchdog(&command))] {
        let text = pairs(&text).replace(own, &format!("driver = \"{driver}\""));
        let text = text.replace("\non_controller_loss = false", "\n");
        assert_eq!(problems(&text), [""; 0], "{driver}: {text}");
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
fn each_rank_has_its_base_priority() {
    for (rank, priority, primary) in [(1, 200, true), (2, 190, false), (11, 100, false), (254, 100, false)] {
        let config = parse(&format!("[ha]\nrank = {rank}\n{ROUTER}"), "t.toml").unwrap().config;
        assert_eq!(config.virtual_routers[0].priority, Priority(priority), "{rank}");
        assert_eq!((config.ha.primary, config.ha.preference()), (primary, Some(rank)));
    }
    let primary = parse(&format!("[ha]\nprimary = true\n{ROUTER}"), "t.toml").unwrap().config.ha;
    assert_eq!((primary.rank, primary.preference()), (None, Some(1)));
    assert_eq!(parse(ROUTER, "t.toml").unwrap().config.ha.preference(), None);
    assert_eq!(problems(&format!("[ha]\nprimary = true\nrank = 1\n{ROUTER}")), [""; 0]);
    let own = parse(&format!("[ha]\nrank = 1\n{ROUTER}priority = 7\n"), "t.toml").unwrap().config;
    assert_eq!(own.virtual_routers[0].priority, Priority(7));
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

mod bounds;
mod bypass;
mod checks;
mod peers;
mod refusals;
