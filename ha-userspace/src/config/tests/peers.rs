//! The exact words about `[ha]`, `[[peer]]` and whose adverts count.

use super::refusals::{only, router_of, router_with};
use super::{ROUTER, parse, problems, warnings};
use crate::config::validated::Trust;

const PEER: &str = "[node]\nid = 1\nname = \"gw-a\"\n[ha]\nsecret_files = [\"/k\"]\n\
                    [[peer]]\nname = \"gw-b\"\nid = 2\naddresses = [\"192.0.2.3\"]\n";

#[test]
fn what_peers_need() {
    assert_eq!(problems(&format!("{PEER}{ROUTER}")), [""; 0]);
    assert_eq!(
        problems(&format!("[[peer]]\nname = \"b\"\nid = 2\naddresses = [\"192.0.2.3\"]\n{ROUTER}")),
        [
            "t.toml: node.id: missing, and peers are configured (add `id = 1..65535` to [node])",
            "t.toml: ha.secret_files: missing, and peers are configured (add `secret_files = \
             [\"/etc/holdfast/cluster.key\"]` to [ha]; the peers share that file)",
        ]
    );
    only(
        &format!("{}{ROUTER}", PEER.replace("id = 2", "id = 1")),
        "t.toml:8: peer[0].id: this is the id of this node (every node has an id of its own)",
    );
    only(
        &format!("{}{ROUTER}", PEER.replace("gw-b", "gw-a")),
        "t.toml:7: peer[0].name: this is the name of this node (name the other node)",
    );
    only(
        &format!("{}{ROUTER}", PEER.replace("\"192.0.2.3\"", "")),
        "t.toml:9: peer[0].addresses: no address is listed (list at least one address of the peer)",
    );
    only(
        &format!("{}{ROUTER}", PEER.replace("192.0.2.3", "192.0.2.1")),
        "t.toml:9: peer[0].addresses[0]: 192.0.2.1 is the virtual address virtual_router[0].addresses[0] (list the \
         peer's own addresses)",
    );
    assert_eq!(
        problems(&format!("{PEER}[[peer]]\nname = \"gw-b\"\nid = 2\naddresses = [\"192.0.2.3\"]\n{ROUTER}")),
        [
            "t.toml:11: peer[1].name: \"gw-b\" is already the name of peer[0].name (give each a name of its own)",
            "t.toml:12: peer[1].id: 2 is already peer[0].id (every node has an id of its own)",
            "t.toml:13: peer[1].addresses[0]: 192.0.2.3 is already peer[0].addresses[0] (an address belongs to one \
             peer)",
        ]
    );
    only(
        &format!("[ha]\ntrust = \"peers\"\n{ROUTER}"),
        "t.toml:2: ha.trust: no peer is configured, so nobody would be trusted (add [[peer]] or set it to \"segment\")",
    );
    only(
        &format!("{}{ROUTER}", PEER.replace("[ha]", "[ha]\nmode = \"standalone\"")),
        "t.toml:5: ha.mode: \"standalone\" has no peers, and [[peer]] is configured (set it to \"active-passive\" or \
         remove [[peer]])",
    );
}

#[test]
fn ranks() {
    only(
        &format!("[ha]\nprimary = true\nrank = 2\n{ROUTER}"),
        "t.toml:3: ha.rank: 2, and ha.primary = true is rank 1 (remove one of the two)",
    );
    only(
        &format!("[ha]\nprimary = false\nrank = 1\n{ROUTER}"),
        "t.toml:3: ha.rank: rank 1 is the primary, and ha.primary = false (remove ha.primary, or use another rank)",
    );
    only(
        &format!("[ha]\nrank = 255\n{ROUTER}"),
        "t.toml:2: ha.rank: 255 is out of range (use 1 to 254; 1 is the primary)",
    );
}

#[test]
fn trust_follows_the_peers() {
    let trust = |text: &str| parse(text, "t.toml").unwrap().config.ha.trust;
    assert_eq!(trust(ROUTER), Trust::Segment);
    assert_eq!(trust(&format!("{PEER}{ROUTER}")), Trust::Peers);
    let segment = PEER.replace("[ha]", "[ha]\ntrust = \"segment\"");
    assert_eq!(trust(&format!("{segment}{ROUTER}")), Trust::Segment);
}

#[test]
fn trusted_sources() {
    let with = |list: &str| format!("{PEER}{}", router_with(&format!("trusted_sources = [{list}]")));
    let config = parse(&with("\"192.0.2.9\""), "t.toml").unwrap().config;
    assert_eq!(config.virtual_routers[0].trusted_sources, ["192.0.2.9".parse::<std::net::IpAddr>().unwrap()]);
    only(
        &with("\"192.0.2.9\", \"fe80::9\""),
        "t.toml:14: virtual_router[0].trusted_sources[1]: fe80::9 is IPv6, this virtual router is IPv4 (list the other \
         routers' addresses of the same family)",
    );
    only(
        &with("\"192.0.2.1\""),
        "t.toml:14: virtual_router[0].trusted_sources[0]: 192.0.2.1 is a virtual address of this router (list the other \
         routers' own addresses)",
    );
    only(
        &with("\"192.0.2.3\""),
        "t.toml:14: virtual_router[0].trusted_sources[0]: 192.0.2.3 is peer[0].addresses[0], whose adverts are borne out \
         by probes (remove it: trusted sources are routers that do not run Holdfast)",
    );
    only(
        &with("\"192.0.2.9\", \"192.0.2.9\""),
        "t.toml:14: virtual_router[0].trusted_sources[1]: 192.0.2.9 repeats virtual_router[0].trusted_sources[0] (list \
         it once)",
    );
    assert_eq!(
        warnings(&router_with("trusted_sources = [\"192.0.2.9\"]")),
        [
            "t.toml:5: virtual_router[0].trusted_sources: it does nothing while ha.trust is \"segment\": adverts of every \
             sender count (remove it, or configure peers and ha.trust = \"peers\")"
        ]
    );
    assert_eq!(
        warnings(&format!("{}unicast_peers = [\"192.0.2.3\"]\n", with("\"192.0.2.9\""))),
        [
            "t.toml:14: virtual_router[0].trusted_sources[0]: 192.0.2.9 is not in unicast_peers, so its adverts are \
             discarded all the same (add it to unicast_peers, or remove it)"
        ]
    );
    assert_eq!(warnings(&format!("{}unicast_peers = [\"192.0.2.9\"]\n", with("\"192.0.2.9\""))), [""; 0]);
}

#[test]
fn a_lease_too_long_is_only_warned_of_where_a_backup_cannot_vouch() {
    let fast = |before: &str, more: &str| {
        warnings(&format!("{before}{}{more}", router_with("advertisement_interval = \"100ms\""))).len()
    };
    assert_eq!(fast("", ""), 1);
    assert_eq!(fast(PEER, ""), 0);
    assert_eq!(fast(PEER, "trusted_sources = [\"192.0.2.9\"]\n"), 1);
    assert_eq!(fast(&PEER.replace("[ha]", "[ha]\ntrust = \"segment\""), ""), 1);
}

#[test]
fn two_secrets_are_two_files() {
    let with = |list: &str| format!("[ha]\nsecret_files = [{list}]\n{ROUTER}");
    let files = parse(&with("\"/new\", \"/old\""), "t.toml").unwrap().config.ha.secret_files;
    assert_eq!(files, ["/new", "/old"].map(std::path::PathBuf::from));
    only(
        &with("\"/k\", \"/k\""),
        "t.toml:2: ha.secret_files[1]: /k repeats ha.secret_files[0] (list the new secret first and the old one after \
         it, each in a file of its own)",
    );
    only(
        &with("\"/a\", \"/b\", \"/c\""),
        "t.toml:2: ha.secret_files[2]: more than 2 are listed (keep two: the first proves, both are accepted while \
         rotating)",
    );
}

#[test]
fn a_path_needs_an_address_that_says_where() {
    only(
        &format!("{}{ROUTER}", PEER.replace("192.0.2.3", "fe80::3")),
        "t.toml:9: peer[0].addresses[0]: fe80::3 is link-local, and the interface it stands on cannot be told (list \
         global or unique local addresses; the peer's link-local ones are learned from its probes)",
    );
    let learned = PEER.replace("[\"192.0.2.3\"]", "[\"192.0.2.3\"]\nadvert_sources = [\"fe80::3\"]");
    assert_eq!(problems(&format!("{learned}{}", router_of("\"fe80::1\""))), [""; 0]);
}

/// `peers` of them, with `paths` addresses each.
fn crowd(peers: usize, paths: usize) -> String {
    let mut text = "[node]\nid = 60000\nname = \"gw\"\n[ha]\nsecret_files = [\"/k\"]\n".to_owned();
    for peer in 1..=peers {
        let addresses: Vec<_> = (1..=paths).map(|path| format!("\"10.1.{peer}.{path}\"")).collect();
        text +=
            &format!("[[peer]]\nname = \"p{peer}\"\nid = {peer}\naddresses = [{}]\n", addresses.join(", "));
    }
    text + ROUTER
}

#[test]
fn peers_and_paths_have_limits() {
    for (peers, paths) in [(32, 4), (8, 16), (32, 1)] {
        assert_eq!(problems(&crowd(peers, paths)), [""; 0], "{peers} x {paths}");
    }
    only(&crowd(33, 1), "t.toml:6: peer: 33 peers are more than one node probes (use at most 32)");
    only(
        &crowd(1, 17),
        "t.toml:9: peer[0].addresses: 17 addresses are more paths than one peer has (list at most 16)",
    );
    only(
        &crowd(26, 5),
        "t.toml:6: peer: 130 addresses of all peers are more paths than one node probes (list at most 128 together)",
    );
}

/// Virtual routers: `alone` without group, and `groups` of two.
fn units(before: &str, alone: usize, groups: usize) -> String {
    let mut text = before.to_owned();
    let members = (0..groups).flat_map(|group| [Some(group), Some(group)]);
    for (number, group) in std::iter::repeat_n(None, alone).chain(members).enumerate() {
        text += &format!(
            "[[virtual_router]]\ninterface = \"lan0\"\nvrid = {}\naddresses = [\"10.2.0.{}/24\"]\n",
            number + 1,
            number + 1
        );
        text += &group.map_or_else(String::new, |group| format!("group = \"g{group}\"\n"));
    }
    text
}

#[test]
fn beside_peers_at_most_64_units_move_by_themselves() {
    assert_eq!(problems(&units(PEER, 64, 0)), [""; 0]);
    assert_eq!(problems(&units(PEER, 4, 60)), [""; 0]);
    assert_eq!(problems(&units("", 65, 0)), [""; 0]);
    let refused = |units| {
        format!(
            "t.toml:10: virtual_router: {units} groups and virtual routers without group are more than peers can be told \
             of (put virtual routers into groups: at most 64 move by themselves beside peers)"
        )
    };
    only(&units(PEER, 65, 0), &refused(65));
    only(&units(PEER, 5, 60), &refused(65));
}
