//! The exact words about `[[check]]`, and what each kind becomes.

use super::refusals::only;
use super::{ROUTER, parse, problems, warnings};
use crate::config::validated::*;
use std::time::Duration;

/// A check of a kind with these keys (from line 4 on).
fn check(kind: &str, keys: &str) -> String {
    format!("[[check]]\nname = \"c\"\nkind = \"{kind}\"\n{keys}\n{ROUTER}")
}

fn found(kind: &str, keys: &str) -> Check {
    let text = check(kind, keys);
    let mut checks =
        parse(&text, "t.toml").unwrap_or_else(|problems| panic!("{text}\n{problems:?}")).config.checks;
    checks.remove(0)
}

#[test]
fn each_kind_carries_what_it_needs() {
    let file = found("file", "path = \"/a\"");
    let defaults = Check {
        name: "c".to_owned(),
        kind: CheckKind::File { path: "/a".into(), content: None },
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        rise: 1,
        fall: 1,
        weight: 0,
        scope: CheckScope::Node,
    };
    assert_eq!(file, defaults);
    let kinds = [
        (
            "file",
            "path = \"/a\"\ncontent = \"yes\"",
            CheckKind::File { path: "/a".into(), content: Some("yes".into()) },
        ),
        ("interface", "interface = \"sync0\"", CheckKind::Interface { interface: "sync0".into() }),
        (
            "command",
            "command = [\"/a\", \"b c\"]",
            CheckKind::Command { argv: vec!["/a".into(), "b c".into()], shell: false, user: "nobody".into() },
        ),
        (
            "command",
            "command = [\"a | b\"]\nshell = true\nuser = \"monitor\"",
            CheckKind::Command { argv: vec!["a | b".into()], shell: true, user: "monitor".into() },
        ),
        ("process", "process = \"named\"", CheckKind::Process { process: "named".into(), minimum_count: 1 }),
        (
            "process",
            "process = \"/usr/sbin/a-name-that-is-long\"\nminimum_count = 3",
            CheckKind::Process { process: "/usr/sbin/a-name-that-is-long".into(), minimum_count: 3 },
        ),
        (
            "tcp",
            "address = \"[2001:db8::9]:443\"",
            CheckKind::Tcp { address: "[2001:db8::9]:443".parse().unwrap() },
        ),
        (
            "http",
            "url = \"http://192.0.2.9\"",
            CheckKind::Http { url: "http://192.0.2.9".into(), status: (200..=399).collect(), body: None },
        ),
        (
            "http",
            "url = \"http://[::1]:8080/a?b\"\nstatus = [204]\nbody = \"ok\"",
            CheckKind::Http {
                url: "http://[::1]:8080/a?b".into(),
                status: vec![204],
                body: Some("ok".into()),
            },
        ),
    ];
    for (kind, keys, expected) in kinds {
        assert_eq!(found(kind, keys).kind, expected, "{kind}: {keys}");
    }
}

#[test]
fn a_kind_needs_its_keys() {
    for (kind, key) in [
        ("interface", "interface"),
        ("command", "command"),
        ("process", "process"),
        ("file", "path"),
        ("tcp", "address"),
        ("http", "url"),
    ] {
        only(
            &check(kind, ""),
            &format!(
                "t.toml:1: check[0].{key}: missing, and the check is of kind \"{kind}\" (add `{key} = ...` to this [[check]])"
            ),
        );
    }
    assert_eq!(
        problems(&format!("[[check]]\n{ROUTER}")),
        [
            "t.toml:1: check[0].name: missing (add `name = ...` to this [[check]])",
            "t.toml:1: check[0].kind: missing (add `kind = ...` to this [[check]])",
        ]
    );
}

#[test]
fn keys_belong_to_kinds() {
    let keys = [
        ("interface", "interface = \"lan0\""),
        ("command", "command = [\"/a\"]"),
        ("command", "shell = true"),
        ("command", "user = \"monitor\""),
        ("process", "process = \"named\""),
        ("process", "minimum_count = 2"),
        ("file", "path = \"/a\""),
        ("file", "content = \"yes\""),
        ("tcp", "address = \"192.0.2.9:80\""),
        ("http", "url = \"http://192.0.2.9/\""),
        ("http", "status = [200]"),
        ("http", "body = \"ok\""),
    ];
    for (owner, line) in keys {
        let (kind, needs) =
            if owner == "tcp" { ("file", "path = \"/a\"") } else { ("tcp", "address = \"192.0.2.9:80\"") };
        let key = line.split(' ').next().unwrap();
        only(
            &check(kind, &format!("{line}\n{needs}")),
            &format!(
                "t.toml:4: check[0].{key}: `{key}` is for the kind \"{owner}\", and this check is of kind \"{kind}\" (remove \
                 it, or set kind = \"{owner}\")"
            ),
        );
    }
}

#[test]
fn a_check_ends_before_the_next_begins() {
    let times = |times: &str| check("file", &format!("path = \"/a\"\n{times}"));
    only(
        &times("interval = \"500ms\"\ntimeout = \"501ms\""),
        "t.toml:6: check[0].timeout: 501ms is longer than the interval (500ms) (shorten it or lengthen the interval: a \
         check runs once at a time)",
    );
    assert_eq!(problems(&times("interval = \"500ms\"\ntimeout = \"500ms\"")), [""; 0]);
    assert_eq!(found("file", "path = \"/a\"\ninterval = \"500ms\"").timeout, Duration::from_millis(500));
    assert_eq!(found("file", "path = \"/a\"\ninterval = \"1h\"").timeout, Duration::from_secs(1));
}

#[test]
fn what_a_check_bears_on_exists() {
    let scoped = |scope: &str| check("file", &format!("path = \"/a\"\n{scope}"));
    assert_eq!(
        found("file", "path = \"/a\"\nvirtual_router = \"lan0-51\"").scope,
        CheckScope::VirtualRouter("lan0-51".to_owned())
    );
    only(
        &scoped("virtual_router = \"lan\""),
        "t.toml:5: check[0].virtual_router: no virtual router is called \"lan\" (use one of lan0-51)",
    );
    only(
        &scoped("group = \"gateway\""),
        "t.toml:5: check[0].group: no virtual router is in a group \"gateway\" (correct the name, or give the virtual \
         routers this group)",
    );
    let grouped = format!("{}group = \"gateway\"\n", scoped("group = \"gateway\""));
    let config = parse(&grouped, "t.toml").unwrap().config;
    assert_eq!(config.checks[0].scope, CheckScope::Group("gateway".to_owned()));
    only(
        &format!("{}group = \"gateway\"\n", scoped("group = \"gateway\"\nvirtual_router = \"lan0-51\"")),
        "t.toml:6: check[0].virtual_router: the check has `group` and `virtual_router` (keep one of the two; without any \
         it bears on the whole node)",
    );
    // What is wrong with the router is not said twice.
    assert_eq!(problems(&format!("{}name = \"a b\"\n", scoped("virtual_router = \"lan\""))).len(), 1);
    assert_eq!(problems(&format!("{}group = \"a b\"\n", scoped("group = \"g\""))).len(), 1);
}

#[test]
fn the_owner_s_priority_has_no_weights() {
    let weighted = |weight| {
        let scope = format!("path = \"/a\"\nvirtual_router = \"lan0-51\"\nweight = {weight}");
        format!("{}priority = 255\n", check("file", &scope))
    };
    assert_eq!(
        warnings(&weighted(-5)),
        [
            "t.toml:6: check[0].weight: \"lan0-51\" owns its addresses (priority 255), which no weight changes (remove it, or \
             use a priority below 255)"
        ]
    );
    assert_eq!(warnings(&weighted(0)), [""; 0]);
    only(
        &check("file", "path = \"/a\"\nweight = -254"),
        "t.toml:5: check[0].weight: -254 is out of range (use -253 to 253; 0 makes a failure a failed requirement)",
    );
}

#[test]
fn names_are_unique_and_checks_bounded() {
    let one = "[[check]]\nname = \"c\"\nkind = \"file\"\npath = \"/a\"\n";
    only(
        &format!("{one}{one}{ROUTER}"),
        "t.toml:5: check[1]: \"c\" is already the name of check[0] (give each a name of its own)",
    );
    let many = |count: usize| -> String {
        (0..count)
            .map(|number| one.replace("\"c\"", &format!("\"c{number}\"")))
            .chain([ROUTER.to_owned()])
            .collect()
    };
    assert_eq!(problems(&many(256)), [""; 0]);
    only(&many(257), "t.toml:1: check: 257 checks are more than one daemon carries (use at most 256)");
}

#[test]
fn commands_of_checks() {
    only(
        &check("command", "command = [\"test\", \"-e\", \"/a\"]"),
        "t.toml:4: check[0].command[0]: \"test\" is not an absolute path: no search path is used (begin it with '/', and \
         list each argument by itself)",
    );
    only(
        &check("command", "command = []"),
        "t.toml:4: check[0].command: no program is listed (list the program and then its arguments, one by one)",
    );
    only(
        &check("command", "command = [\"a\", \"b\"]\nshell = true"),
        "t.toml:4: check[0].command: 2 elements, and a shell takes one line (write the whole line as one element, or set \
         shell = false)",
    );
}

#[test]
fn processes_files_and_urls() {
    only(
        &check("process", "process = \"systemd-resolved\""),
        "t.toml:4: check[0].process: \"systemd-resolved\" has 16 bytes, and the kernel keeps 15 of a name (write \
         \"systemd-resolve\", or the path of the executable)",
    );
    only(
        &check("process", "process = \"sbin/named\""),
        "t.toml:4: check[0].process: \"sbin/named\" is neither a name nor an absolute path (write the name, or the path of \
         the executable from '/' on)",
    );
    only(
        &check("file", "path = \"/a\"\ncontent = \" yes\""),
        "t.toml:5: check[0].content: \" yes\" begins or ends with a blank, and contents are compared without (write it \
         without)",
    );
    only(
        &check("http", "url = \"http://192.0.2.9/\"\nstatus = []"),
        "t.toml:5: check[0].status: no status is listed (list those that pass, or remove it)",
    );
    let help = "write it as \"http://192.0.2.9:8080/health\"";
    let address = "is not an IP address, with or without port";
    for (url, message, help) in [
        ("https://192.0.2.9/", "\"https://192.0.2.9/\" does not begin with http://", help),
        ("http://gw.example/", &format!("\"gw.example\" {address}"), help),
        ("http://192.0.2.9:0/", &format!("\"192.0.2.9:0\" {address}"), help),
        ("http:///a", &format!("\"\" {address}"), help),
        ("http://2001:db8::9/", &format!("\"2001:db8::9\" {address}"), help),
        ("http://u@192.0.2.9/", &format!("\"u@192.0.2.9\" {address}"), help),
        (
            "http://192.0.2.9/a b",
            "\"http://192.0.2.9/a b\" has a character that no request can carry",
            "write it percent-encoded",
        ),
    ] {
        only(
            &check("http", &format!("url = \"{url}\"")),
            &format!("t.toml:4: check[0].url: {message} ({help})"),
        );
    }
    only(
        &check("tcp", "address = \"gw:80\""),
        "t.toml:4: check[0].address: \"gw:80\" is not an IP address with port (write the address and the port, such as \
         \"192.0.2.9:443\" or \"[2001:db8::9]:443\")",
    );
    only(
        &check("tcp", "address = \"192.0.2.9:0\""),
        "t.toml:4: check[0].address: nothing listens at 192.0.2.9:0 (write the address and the port, such as \
         \"192.0.2.9:443\" or \"[2001:db8::9]:443\")",
    );
}
