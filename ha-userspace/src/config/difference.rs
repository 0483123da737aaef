//! What a reload changes: a comparison of two validated configurations, nothing else.

use super::validated::{
    Bypass, BypassDriver, CommandBypass, Config, GpioBypass, Ha, Node, SysfsBypass, VirtualRouter,
};
use std::mem::discriminant;

/// What differs between the running and the next configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Virtual routers that are new, by name.
    pub added: Vec<String>,
    /// Virtual routers that go, by name.
    pub removed: Vec<String>,
    /// Virtual routers that stay, with the keys that change.
    pub changed: Vec<(String, Vec<&'static str>)>,
    /// Other settings that change and can do so while the daemon runs.
    pub settings: Vec<String>,
    /// Settings that only a restart can change. Not empty: the reload is refused and nothing changes.
    pub needs_restart: Vec<String>,
}

impl Difference {
    /// Nothing differs.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Why this reload cannot be done, if so.
    pub fn refusal(&self) -> Option<String> {
        if self.needs_restart.is_empty() {
            return None;
        }
        Some(format!(
            "nothing was changed: {} cannot change while the daemon runs (set back, or restart the daemon)",
            self.needs_restart.join(", ")
        ))
    }
}

/// Pushes the name of each field in which the two differ.
macro_rules! differing {
    ($old:expr, $new:expr, $type:ident { $($field:ident => $key:expr),* $(,)? }) => {{
        // Naming every field makes a new one a compile error here instead of a change that reloads overlook.
        let $type { $($field: _),* } = $old;
        let mut keys = Vec::new();
        $(if $old.$field != $new.$field { keys.push($key); })*
        keys
    }};
}

/// Compares two configurations; virtual routers are told apart by name.
pub fn difference(old: &Config, new: &Config) -> Difference {
    let mut found = Difference::default();
    virtual_routers(&old.virtual_routers, &new.virtual_routers, &mut found);
    node_and_ha(old, new, &mut found);
    bypass(&old.bypass, &new.bypass, &mut found);
    let Config {
        node: _,
        ha: _,
        virtual_routers: _,
        bypass: _,
        peers,
        peer_check,
        flaps,
        bandwidth,
        links,
        link_settings,
        link_pairs,
        checks,
    } = old;
    for (section, differs) in [
        ("peer_check", *peer_check != new.peer_check),
        ("flaps", *flaps != new.flaps),
        ("bandwidth", *bandwidth != new.bandwidth),
        ("links", *links != new.links),
    ] {
        if differs {
            found.settings.push(section.to_owned());
        }
    }
    named("peer", peers, &new.peers, |peer| &peer.name, &mut found);
    named("link", link_settings, &new.link_settings, |link| &link.interface, &mut found);
    named("link_pair", link_pairs, &new.link_pairs, |pair| &pair.name, &mut found);
    named("check", checks, &new.checks, |check| &check.name, &mut found);
    found
}

/// Tables that are told apart by name: `peer gw-b (added)`.
fn named<T: PartialEq>(
    section: &str,
    old: &[T],
    new: &[T],
    name: impl Fn(&T) -> &String,
    found: &mut Difference,
) {
    for item in old {
        match new.iter().find(|other| name(other) == name(item)) {
            None => found.settings.push(format!("{section} {} (removed)", name(item))),
            Some(next) if next != item => found.settings.push(format!("{section} {} (changed)", name(item))),
            Some(_) => {}
        }
    }
    let is_new = |item: &&T| old.iter().all(|other| name(other) != name(item));
    found.settings.extend(new.iter().filter(is_new).map(|item| format!("{section} {} (added)", name(item))));
}

/// Another driver knows nothing of what the old one engaged or armed, so that only a restart changes it.
fn bypass(old: &Bypass, new: &Bypass, found: &mut Difference) {
    if discriminant(&old.driver) != discriminant(&new.driver) {
        found.needs_restart.push("bypass.driver".to_owned());
        return;
    }
    let mut keys = differing!(old, new, Bypass {
        driver => "bypass.driver",
        topology => "bypass.topology",
        on_controller_loss => "bypass.on_controller_loss",
        watchdog => "bypass.watchdog",
    });
    keys.retain(|key| *key != "bypass.driver");
    match (&old.driver, &new.driver) {
        (BypassDriver::Sysfs(old), BypassDriver::Sysfs(new)) => {
            keys.extend(differing!(old, new, SysfsBypass {
                control_path => "bypass.control_path",
                engage_value => "bypass.engage_value",
                release_value => "bypass.release_value",
                read_path => "bypass.read_path",
                engaged_readings => "bypass.engaged_readings",
                released_readings => "bypass.released_readings",
                watchdog => "the watchdog's files and values of bypass",
            }))
        }
        (BypassDriver::Gpio(old), BypassDriver::Gpio(new)) => keys.extend(differing!(old, new, GpioBypass {
            chip => "bypass.chip",
            active_low => "bypass.active_low",
        })),
        (BypassDriver::Command(old), BypassDriver::Command(new)) => {
            keys.extend(differing!(old, new, CommandBypass {
                argv => "bypass.command",
                timeout => "bypass.command_timeout",
            }));
        }
        _ => {}
    }
    found.settings.extend(keys.into_iter().map(str::to_owned));
}

fn virtual_routers(old: &[VirtualRouter], new: &[VirtualRouter], found: &mut Difference) {
    for router in old {
        match new.iter().find(|other| other.name == router.name) {
            None => found.removed.push(router.name.clone()),
            Some(next) => {
                let keys = virtual_router(router, next);
                if !keys.is_empty() {
                    found.changed.push((router.name.clone(), keys));
                }
            }
        }
    }
    let is_new = |router: &&VirtualRouter| old.iter().all(|other| other.name != router.name);
    found.added.extend(new.iter().filter(is_new).map(|router| router.name.clone()));
}

fn virtual_router(old: &VirtualRouter, new: &VirtualRouter) -> Vec<&'static str> {
    differing!(old, new, VirtualRouter {
        name => "name",
        interface => "interface",
        vrid => "vrid",
        version => "version",
        family => "family",
        addresses => "addresses",
        priority => "priority",
        advertisement_interval => "advertisement_interval",
        preempt => "preempt",
        preempt_delay => "preempt_delay",
        accept => "accept",
        virtual_mac => "virtual_mac",
        checksum => "checksum",
        strict => "strict",
        group => "group",
        unicast_peers => "unicast_peers",
        trusted_sources => "trusted_sources",
    })
}

/// Keys of `[node]` and `[ha]` that only a restart can change.
const RESTART: [&str; 4] = ["node.run_dir", "node.state_dir", "node.bpf_dir", "ha.port"];

fn node_and_ha(old: &Config, new: &Config, found: &mut Difference) {
    let mut keys = differing!(&old.node, new.node, Node {
        name => "node.name",
        id => "node.id",
        run_dir => "node.run_dir",
        state_dir => "node.state_dir",
        bpf_dir => "node.bpf_dir",
    });
    keys.extend(differing!(&old.ha, new.ha, Ha {
        mode => "ha.mode",
        primary => "ha.primary",
        rank => "ha.rank",
        port => "ha.port",
        controller_lease => "ha.controller_lease",
        fence => "ha.fence",
        takeover => "ha.takeover",
        trust => "ha.trust",
        secret_files => "ha.secret_files",
    }));
    for key in keys {
        let list = if RESTART.contains(&key) { &mut found.needs_restart } else { &mut found.settings };
        list.push(key.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    const BASE: &str = r#"
        [node]
        name = "gw-a"
        [[virtual_router]]
        name = "lan"
        interface = "lan0"
        vrid = 51
        addresses = ["192.0.2.1/24"]
        [[virtual_router]]
        name = "wan"
        interface = "wan0"
        vrid = 52
        addresses = ["198.51.100.1/24"]
    "#;

    fn config(edits: &[(&str, &str)]) -> Config {
        let mut text = BASE.to_owned();
        for (from, to) in edits {
            assert!(text.contains(from), "{from}");
            text = text.replacen(from, to, 1);
        }
        parse(&text, "test.toml").unwrap().config
    }

    #[test]
    fn the_same_file_changes_nothing() {
        assert!(difference(&config(&[]), &config(&[])).is_empty());
    }

    #[test]
    fn routers_are_told_apart_by_name() {
        let next = config(&[
            ("name = \"wan\"", "name = \"dmz\""),
            ("vrid = 51", "vrid = 51\npriority = 7\npreempt = false"),
        ]);
        let found = difference(&config(&[]), &next);
        assert_eq!(found.added, ["dmz"]);
        assert_eq!(found.removed, ["wan"]);
        assert_eq!(found.changed, [("lan".to_owned(), vec!["priority", "preempt"])]);
        assert_eq!(found.refusal(), None);
    }

    const PAIR: &str = "[[link_pair]]\nname = \"edge\"\ninside = \"lan0\"\noutside = \"wan0\"\n";

    fn with(tables: &str) -> Config {
        parse(&format!("{tables}{BASE}"), "test.toml").unwrap().config
    }

    #[test]
    fn named_tables_are_told_apart_by_name() {
        let check = "[[check]]\nname = \"up\"\nkind = \"file\"\npath = \"/up\"\n";
        let link = "[[link]]\ninterface = \"lan0\"\nbandwidth_minimum = \"1Mbps\"\n";
        let old = with(&format!("{PAIR}{check}{link}"));
        let new = with(&format!(
            "{}{}{}",
            PAIR.replace("edge", "core"),
            check.replace("/up", "/down"),
            link.replace("lan0", "wan0")
        ));
        assert_eq!(
            difference(&old, &new).settings,
            [
                "link lan0 (removed)",
                "link wan0 (added)",
                "link_pair edge (removed)",
                "link_pair core (added)",
                "check up (changed)",
            ]
        );
        let peer = "[[peer]]\nname = \"gw-b\"\nid = 2\naddresses = [\"192.0.2.3\"]\n";
        let ids = "node.id = 1\nha.secret_files = [\"/k\"]\nnode.name = \"gw-a\"\n";
        let text = format!("{ids}{peer}{}", BASE.split_once("name = \"gw-a\"").unwrap().1);
        let with_peer = parse(&text, "test.toml").unwrap().config;
        assert_eq!(
            difference(&config(&[]), &with_peer).settings,
            ["node.id", "ha.trust", "ha.secret_files", "peer gw-b (added)"]
        );
    }

    #[test]
    fn the_bypass_driver_changes_by_restart_and_its_settings_by_reload() {
        let peer =
            "[ha]\nsecret_files = [\"/k\"]\n[[peer]]\nname = \"gw-b\"\nid = 2\naddresses = [\"192.0.2.3\"]\n";
        let with = |tables: &str| {
            let base = BASE.replacen("name = \"gw-a\"", "name = \"gw-a\"\nid = 1", 1);
            parse(&format!("{peer}{tables}{base}"), "test.toml").unwrap().config
        };
        let bypass = |keys: &str| with(&format!("[bypass]\ntopology = \"inline\"\n{keys}{PAIR}"));
        let gpio = "gpio_line = 4\n";
        let silicom = bypass("driver = \"sysfs\"\npreset = \"silicom\"\nwatchdog = \"6s\"\n");
        let found = difference(&with(PAIR), &silicom);
        assert_eq!(found.needs_restart, ["bypass.driver"]);
        assert!(found.refusal().is_some());

        let other = "driver = \"sysfs\"\npreset = \"silicom\"\nwatchdog = \"9s\"\nengage_value = \"1\"\n\
                     pet_value = \"x\"\n";
        let found = difference(&silicom, &bypass(other));
        assert_eq!(
            found.settings,
            ["bypass.watchdog", "bypass.engage_value", "the watchdog's files and values of bypass"]
        );
        assert_eq!(found.refusal(), None);

        let xdp = bypass("driver = \"xdp\"\n");
        let alone = bypass("driver = \"xdp\"\non_controller_loss = true\n");
        assert_eq!(difference(&xdp, &alone).settings, ["bypass.on_controller_loss"]);

        let relays = |keys: &str| {
            with(&format!("[bypass]\ntopology = \"inline\"\ndriver = \"gpio\"\n{keys}{PAIR}{gpio}"))
        };
        let (chip0, chip1) =
            ("chip = \"/dev/gpiochip0\"\n", "chip = \"/dev/gpiochip1\"\nactive_low = true\n");
        assert_eq!(difference(&relays(chip0), &relays(chip1)).settings, ["bypass.chip", "bypass.active_low"]);

        let program = bypass("driver = \"command\"\ncommand = [\"/a\"]\n");
        let slow = bypass("driver = \"command\"\ncommand = [\"/b\"]\ncommand_timeout = \"3s\"\n");
        assert_eq!(difference(&program, &slow).settings, ["bypass.command", "bypass.command_timeout"]);
    }

    #[test]
    fn what_needs_a_restart_is_refused() {
        let next = config(&[(
            "name = \"gw-a\"",
            "name = \"gw-b\"\nrun_dir = \"/run/other\"\n[ha]\nport = 9000\nprimary = true\n[flaps]\nwindow = \"1m\"",
        )]);
        let found = difference(&config(&[]), &next);
        assert_eq!(found.needs_restart, ["node.run_dir", "ha.port"]);
        assert_eq!(found.settings, ["node.name", "ha.primary", "flaps"]);
        assert_eq!(
            found.refusal().as_deref(),
            Some(
                "nothing was changed: node.run_dir, ha.port cannot change while the daemon runs \
                 (set back, or restart the daemon)"
            )
        );
    }
}
