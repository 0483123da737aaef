//! What a reload changes: a comparison of two validated configurations, nothing else.

use super::validated::{Config, Ha, Node, VirtualRouter};

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
    let Config { node: _, ha: _, virtual_routers: _, peers, peer_check, flaps, bandwidth, links, link_pairs } =
        old;
    for (section, differs) in [
        ("peer_check", *peer_check != new.peer_check),
        ("flaps", *flaps != new.flaps),
        ("bandwidth", *bandwidth != new.bandwidth),
        ("links", *links != new.links),
        ("peer", *peers != new.peers),
        ("link_pair", *link_pairs != new.link_pairs),
    ] {
        if differs {
            found.settings.push(section.to_owned());
        }
    }
    found
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
