//! The exact words of every refusal and warning that more than one value decides, and of the common slips.

use super::{ROUTER, problems, warnings};

/// A second sound virtual router.
const OTHER: &str =
    "[[virtual_router]]\ninterface = \"wan0\"\nvrid = 52\naddresses = [\"198.51.100.1/24\"]\n";
pub(super) fn only(text: &str, expected: &str) {
    assert_eq!(problems(text), [expected], "{text}");
}

/// The sound router with one line more (on line 5).
pub(super) fn router_with(line: &str) -> String {
    format!("{ROUTER}{line}\n")
}

/// The sound router with other addresses (on line 4).
pub(super) fn router_of(addresses: &str) -> String {
    ROUTER.replace("\"192.0.2.1/24\"", addresses)
}

#[test]
fn syntax() {
    only("[node\n", "t.toml:1: not valid TOML: unclosed table, expected `]` (correct the syntax)");
    let twice = problems(&format!("{ROUTER}vrid = 52\n"));
    assert_eq!(twice, ["t.toml:5: not valid TOML: duplicate key (correct the syntax)"]);
}

#[test]
fn unknown_keys() {
    only(
        &router_with("priorty = 100"),
        "t.toml:5: virtual_router[0].priorty: unknown key (did you mean `priority`?)",
    );
    only(
        &router_with("controller_lease = \"1s\""),
        "t.toml:5: virtual_router[0].controller_lease: unknown key (`controller_lease` belongs in [ha])",
    );
    only(
        &format!("[flaps]\ncolour = 1\n{ROUTER}"),
        "t.toml:2: flaps.colour: unknown key (remove it; [flaps] knows maximum_allowed, window, release)",
    );
    only(
        &format!("[virtualrouter]\n{ROUTER}"),
        "t.toml:1: virtualrouter: unknown section (did you mean [[virtual_router]]?)",
    );
    only(
        &format!("vrid = 1\n{ROUTER}"),
        "t.toml:1: vrid: unknown section (`vrid` belongs in [[virtual_router]])",
    );
}

#[test]
fn wrong_types_and_units() {
    only(
        &router_with("preempt = \"no\""),
        "t.toml:5: virtual_router[0].preempt: wrong type: the text \"no\" (write true or false)",
    );
    only(
        &router_with("priority = \"high\""),
        "t.toml:5: virtual_router[0].priority: wrong type: the text \"high\" (write a number from 1 to 255)",
    );
    let unit = "(write a number with ns, us, ms, s, m, h or d, such as \"250ms\")";
    only(
        &router_with("advertisement_interval = 1"),
        &format!("t.toml:5: virtual_router[0].advertisement_interval: the number 1 has no unit {unit}"),
    );
    only(
        &router_with("advertisement_interval = \"1\""),
        &format!("t.toml:5: virtual_router[0].advertisement_interval: \"1\" has no unit {unit}"),
    );
    only(
        &router_with("advertisement_interval = \"1 parsec\""),
        &format!("t.toml:5: virtual_router[0].advertisement_interval: \"1 parsec\" is not a duration {unit}"),
    );
    only(
        &format!("[bandwidth]\nminimum = \"10MB\"\n{ROUTER}"),
        "t.toml:2: bandwidth.minimum: \"10MB\" is not a rate (write a number with bps, kbps, Mbps, Gbps or Tbps, \
         such as \"10Mbps\")",
    );
    only(
        &ROUTER.replace("[[virtual_router]]", "[virtual_router]"),
        "t.toml:1: virtual_router: not a list of tables (write [[virtual_router]] and its keys below)",
    );
    only(&format!("{ROUTER}[[ha]]\nport = 1\n"), "t.toml:5: ha: not a table (write [ha] and its keys below)");
    only(
        &format!("[flaps]\nrelease = \"never\"\n{ROUTER}"),
        "t.toml:2: flaps.release: \"never\" is not a duration (write a number with ns, us, ms, s, m, h or d, such as \
         \"250ms\", or \"manual\")",
    );
}

#[test]
fn texts_and_devices() {
    let content = |value: &str| {
        format!("[[check]]\nname = \"c\"\nkind = \"file\"\npath = \"/a\"\ncontent = {value}\n{ROUTER}")
    };
    only(&content("\"\""), "t.toml:5: check[0].content: it is empty (write at least one character)");
    only(
        &content("\"a\\nb\""),
        "t.toml:5: check[0].content: it has control characters (remove line breaks, tabs and the like)",
    );
    only(
        &content(&format!("\"{}\"", "x".repeat(1_025))),
        "t.toml:5: check[0].content: it has 1025 characters (use at most 1024)",
    );
    only(&content("1"), "t.toml:5: check[0].content: wrong type: the number 1 (write a text in quotes)");
    let status = |value: &str| {
        format!(
            "[[check]]\nname = \"c\"\nkind = \"http\"\nurl = \"http://192.0.2.9/\"\nstatus = {value}\n{ROUTER}"
        )
    };
    only(&status("[200, 600]"), "t.toml:5: check[0].status[1]: 600 is out of range (use 100 to 599)");
    only(
        &status("200"),
        "t.toml:5: check[0].status: wrong type: the number 200 (write a list of numbers such as [200])",
    );
    only(
        &format!("[[link_pair]]\nname = \"p\"\ninside = \"a\"\noutside = \"b\"\ndevice = \"../x\"\n{ROUTER}"),
        "t.toml:5: link_pair[0].device: \"../x\" is not a device name (use 1 to 64 letters, digits, '.', '_', '-', with \
         '/' between names only)",
    );
}

#[test]
fn bounds() {
    only(
        &ROUTER.replace("51", "256"),
        "t.toml:3: virtual_router[0].vrid: 256 is out of range (use 1 to 255)",
    );
    only(
        &router_with("priority = 0"),
        "t.toml:5: virtual_router[0].priority: 0 is out of range (use 1 to 255; 255 is for the owner of the addresses)",
    );
    only(
        &router_with("advertisement_interval = \"5ms\""),
        "t.toml:5: virtual_router[0].advertisement_interval: 5ms is out of range (use 10ms to 255s; version 3 takes \
         10ms to 40.95s, version 2 whole seconds from 1s to 255s)",
    );
    only(
        &router_with("advertisement_interval = \"41s\""),
        "t.toml:5: virtual_router[0].advertisement_interval: 41s is out of range for VRRPv3 (use 10ms to 40.95s)",
    );
    only(
        &router_with("advertisement_interval = \"15ms\""),
        "t.toml:5: virtual_router[0].advertisement_interval: 15ms cannot be advertised: VRRPv3 counts hundredths of a \
         second (use a multiple of 10ms)",
    );
    only(
        &router_with("version = 2\nadvertisement_interval = \"500ms\""),
        "t.toml:6: virtual_router[0].advertisement_interval: 500ms is out of range for VRRPv2 (use 1s to 255s, or \
         version = 3)",
    );
    only(
        &router_with("version = 2\nadvertisement_interval = \"1.5s\""),
        "t.toml:6: virtual_router[0].advertisement_interval: 1.5s cannot be advertised: VRRPv2 counts seconds (use \
         whole seconds, or version = 3)",
    );
    assert_eq!(problems(&router_with("version = 2\nadvertisement_interval = \"255s\"")), [""; 0]);
    assert_eq!(problems(&router_with("advertisement_interval = \"40.95s\"")), [""; 0]);
}

#[test]
fn not_built_yet() {
    only(
        &format!("[ha]\nmode = \"cluster\"\n{ROUTER}"),
        "t.toml:2: ha.mode: \"cluster\" is not built yet (remove it or set it to \"standalone\" or \"active-passive\")",
    );
    only(
        &format!("[ha]\nmode = \"active-active\"\n{ROUTER}"),
        "t.toml:2: ha.mode: \"active-active\" is not built yet (remove it or set it to \"standalone\" or \
         \"active-passive\")",
    );
}

#[test]
fn addresses() {
    only(
        "",
        "t.toml: virtual_router: no virtual router is configured (add [[virtual_router]] with interface, vrid and addresses)",
    );
    only(
        &router_of(""),
        "t.toml:4: virtual_router[0].addresses: no address is listed (list at least one (V-025))",
    );
    only(
        &router_of("\"192.0.2.1/24\", \"2001:db8::1/64\""),
        "t.toml:4: virtual_router[0].addresses[1]: 2001:db8::1 is IPv6, the first address is IPv4 (give each family a \
         virtual router of its own; one group keeps them together)",
    );
    only(
        &router_of("\"2001:db8::1/64\""),
        "t.toml:4: virtual_router[0].addresses[0]: 2001:db8::1 is not link-local (put a link-local address first, such \
         as \"fe80::1/64\" (RFC 9568 section 5.2.9))",
    );
    only(
        &format!("{}version = 2\n", router_of("\"fe80::1/64\"")),
        "t.toml:5: virtual_router[0].version: VRRPv2 has no IPv6 (set version = 3)",
    );
    only(
        &router_of("\"192.0.2.0/24\""),
        "t.toml:4: virtual_router[0].addresses[0]: 192.0.2.0/24 is the network address of its network (write the \
         address that hosts use, and the prefix length of its network)",
    );
    only(
        &router_of("\"224.0.0.18/24\""),
        "t.toml:4: virtual_router[0].addresses[0]: 224.0.0.18 is a multicast address (write the address that hosts use)",
    );
    only(
        &router_of("\"192.0.2.1/24\", \"192.0.2.1\""),
        "t.toml:4: virtual_router[0].addresses[1]: 192.0.2.1 is already virtual_router[0].addresses[0] (list each \
         virtual address once)",
    );
}

#[test]
fn too_many_addresses() {
    let v4: Vec<_> =
        (0..256).map(|number| format!("\"10.0.{}.{}\"", number / 250, number % 250 + 1)).collect();
    assert_eq!(problems(&router_of(&v4[..255].join(", "))), [""; 0]);
    only(
        &router_of(&v4.join(", ")),
        "t.toml:4: virtual_router[0].addresses: 256 addresses do not fit one advert (use at most 255 for IPv4; put the \
         rest into another virtual router of the same group)",
    );
    let v6: Vec<_> = (1..92).map(|number| format!("\"fe80::{number:x}\"")).collect();
    assert_eq!(problems(&router_of(&v6[..90].join(", "))), [""; 0]);
    only(
        &router_of(&v6.join(", ")),
        "t.toml:4: virtual_router[0].addresses: 91 addresses do not fit one advert (use at most 90 for IPv6; put the \
         rest into another virtual router of the same group)",
    );
}

#[test]
fn what_must_be_unique() {
    only(
        &format!("{}{}", router_with("name = \"x\""), OTHER.replace("vrid", "name = \"x\"\nvrid")),
        "t.toml:6: virtual_router[1]: \"x\" is already the name of virtual_router[0] (give each a name of its own)",
    );
    only(
        &format!("{ROUTER}name = \"a\"\n{}", OTHER.replace("wan0", "lan0").replace("52", "51")),
        "t.toml:8: virtual_router[1].vrid: VRID 51 on lan0 is already virtual_router[0].vrid (use another VRID; only \
         IPv4 and IPv6 may share one)",
    );
    only(
        &format!("{ROUTER}{}", OTHER.replace("198.51.100.1", "192.0.2.1")),
        "t.toml:8: virtual_router[1].addresses[0]: 192.0.2.1 is already virtual_router[0].addresses[0] (list each \
         virtual address once)",
    );
    let pair = "[[link_pair]]\nname = \"p\"\ninside = \"a\"\noutside = \"b\"\n";
    assert_eq!(
        problems(&format!("{pair}{pair}{ROUTER}")),
        [
            "t.toml:5: link_pair[1]: \"p\" is already the name of link_pair[0] (give each a name of its own)",
            "t.toml:7: link_pair[1].inside: a is already link_pair[0].inside (an interface belongs to one pair)",
            "t.toml:8: link_pair[1].outside: b is already link_pair[0].outside (an interface belongs to one pair)",
        ]
    );
    only(
        &format!("{}{ROUTER}", pair.replace("\"b\"", "\"a\"")),
        "t.toml:4: link_pair[0].outside: the pair has one interface on both sides (name two different interfaces)",
    );
    only(
        &format!("[links]\nminimum_active_pairs = 2\n{pair}{ROUTER}"),
        "t.toml:2: links.minimum_active_pairs: 2 active pairs are required, and 1 are configured (lower it or add \
         [[link_pair]])",
    );
}

#[test]
fn settings_that_do_not_apply() {
    only(
        &router_with("version = 2\nchecksum = \"rfc5798\""),
        "t.toml:6: virtual_router[0].checksum: only VRRPv3 over IPv4 has two checksum forms (remove it or set it to \
         \"auto\")",
    );
    only(
        &format!("{}checksum = \"rfc9568\"\n", router_of("\"fe80::1\"")),
        "t.toml:5: virtual_router[0].checksum: only VRRPv3 over IPv4 has two checksum forms (remove it or set it to \
         \"auto\")",
    );
    only(
        &router_with("strict = true"),
        "t.toml:5: virtual_router[0].strict: it judges the first address of IPv6 adverts, and this virtual router has \
         none (remove it or set it to false)",
    );
    assert_eq!(problems(&format!("{}strict = true\n", router_of("\"fe80::1\""))), [""; 0]);
    only(
        &router_with("unicast_peers = [\"fe80::2\"]"),
        "t.toml:5: virtual_router[0].unicast_peers[0]: fe80::2 is IPv6, this virtual router is IPv4 (list the other \
         routers' addresses of the same family)",
    );
    only(
        &router_with("unicast_peers = [\"192.0.2.1\"]"),
        "t.toml:5: virtual_router[0].unicast_peers[0]: 192.0.2.1 is a virtual address of this router (list the other \
         routers' own addresses)",
    );
    only(
        &router_with("unicast_peers = [\"192.0.2.3\", \"192.0.2.3\"]"),
        "t.toml:5: virtual_router[0].unicast_peers[1]: 192.0.2.3 repeats virtual_router[0].unicast_peers[0] (list it \
         once)",
    );
    only(
        &format!("{ROUTER}priority = 255\ngroup = \"g\"\n{OTHER}group = \"g\"\n"),
        "t.toml:6: virtual_router[0].group: the owner of the addresses (priority 255) cannot be in a group: it never \
         yields (remove group, or use a priority below 255)",
    );
}

#[test]
fn node() {
    let long = "x".repeat(100);
    only(
        &format!("[node]\nrun_dir = \"/{long}\"\n{ROUTER}"),
        "t.toml:2: node.run_dir: control.sock below it would have a path of 114 bytes (shorten it: the path of a Unix \
         socket has at most 107)",
    );
    only(
        &format!("[node]\nrun_dir = \"run\"\n{ROUTER}"),
        "t.toml:2: node.run_dir: \"run\" is not an absolute path (begin it with '/')",
    );
    only(
        &format!("[node]\nrun_dir = \"/x\"\nbpf_dir = \"/x\"\n{ROUTER}"),
        "t.toml:3: node.bpf_dir: /x is also node.run_dir (give the pins a directory of their own on the BPF file system)",
    );
    only(
        &ROUTER.replace("lan0", "interface-too-long"),
        "t.toml:2: virtual_router[0].interface: \"interface-too-long\" has 18 characters; no interface has so many (use \
         at most 15)",
    );
}

#[test]
fn what_is_only_warned_of() {
    assert_eq!(
        warnings(&router_with("group = \"g\"")),
        [
            "t.toml:5: virtual_router[0].group: this virtual router is alone in the group \"g\" (a group keeps two or more \
          together; check the spelling or remove it)"
        ]
    );
    assert_eq!(
        warnings(&router_with("advertisement_interval = \"100ms\"")),
        [
            "t.toml: ha.controller_lease: the lease of 1s is not shorter than Active_Down_Interval of \"lan0-51\" \
          (300.78125ms): should this controller die, a Backup can take over before the lease ends, and this node answers \
          until it hears the Backup's first advert (shorten ha.controller_lease or lengthen advertisement_interval)"
        ]
    );
    assert_eq!(
        warnings(&format!(
            "[ha]\ncontroller_lease = \"300ms\"\n{}",
            router_with("advertisement_interval = \"100ms\"")
        )),
        [""; 0]
    );
    assert_eq!(
        warnings(&router_with("preempt = false\npreempt_delay = \"10s\"")),
        [
            "t.toml:6: virtual_router[0].preempt_delay: it does nothing while preempt = false (remove one of the two)"
        ]
    );
    assert_eq!(
        warnings(&router_with("priority = 255\naccept = false\npreempt = false")),
        [
            "t.toml:6: virtual_router[0].accept: the owner of the addresses (priority 255) always accepts (remove it, or \
             use a priority below 255)",
            "t.toml:7: virtual_router[0].preempt: the owner of the addresses (priority 255) always preempts (remove it, \
             or use a priority below 255)",
        ]
    );
}
