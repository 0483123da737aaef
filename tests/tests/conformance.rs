//! The conformance table against the sources and against the page made of it.

#![allow(clippy::unwrap_used, reason = "a test that cannot read the tree has failed")]

use holdfast_lab::conformance::{Sources, Table, page, problems};
use std::path::Path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

#[test]
fn every_rule_stands_once_with_tests_that_exist_or_a_reason_and_the_page_says_so() {
    let problems = problems(root()).unwrap();
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn the_page_names_every_rule() {
    let page = page(root()).unwrap();
    for id in ["V-001", "V-170", "P-001", "P-067"] {
        assert_eq!(page.lines().filter(|line| line.starts_with(&format!("| {id} |"))).count(), 1, "{id}");
    }
}

/// One sound row per number, so that what is changed in it is the only problem.
fn changed(change: impl Fn(&mut Vec<String>)) -> Vec<String> {
    let ids = (1..=170)
        .map(|number| format!("V-{number:03}"))
        .chain((1..=67).map(|number| format!("P-{number:03}")));
    let mut rows: Vec<String> = ids
        .map(|id| {
            format!(
                "[[rule]]\nid = \"{id}\"\nrule = \"r\"\nsection = \"s\"\nstatus = \"met\"\ntests = [\"tests/a.rs::one\"]\n"
            )
        })
        .collect();
    change(&mut rows);
    let mut sources = Sources::default();
    sources.add("tests/a.rs".to_owned(), "#[test]\nfn one() {}\nfn no_test() {}\n");
    Table::parse(&rows.concat()).unwrap().problems(&sources)
}

#[test]
fn each_fault_of_a_row_is_found() {
    assert_eq!(changed(|_| {}), [""; 0]);
    let first =
        |from: &'static str, to: &'static str| changed(move |rows| rows[0] = rows[0].replace(from, to));
    let only = |problems: Vec<String>, wanted: &str| assert_eq!(problems, [wanted]);
    only(
        changed(|rows| {
            rows.remove(1);
        }),
        "V-002 is missing",
    );
    only(changed(|rows| rows.push(rows[200].clone())), "P-031 stands there 2 times");
    only(changed(|rows| rows.push(rows[0].replace("V-001", "V-171"))), "V-171 is no rule's number");
    only(first("tests = [\"tests/a.rs::one\"]", ""), "V-001: it is said to be met and names no test");
    only(first("a.rs::one", "a.rs::no_test"), "V-001: tests/a.rs has no #[test] named no_test");
    only(first("a.rs::one", "b.rs::one"), "V-001: there is no file tests/b.rs");
    only(first("a.rs::one", "a.rs::one[x]"), "V-001: no test has a row \"x\", which one is said to have");
    only(first("tests/a.rs::one", "one"), "V-001: `one` is not `path::test`");
    only(first("\"met\"", "\"deviation\""), "V-001: it deviates and gives no reason");
    only(
        first("\"met\"\ntests = [\"tests/a.rs::one\"]", "\"not-applicable\""),
        "V-001: it does not apply and gives no reason",
    );
    assert!(Table::parse("[[rule]]\nid = \"V-001\"\nstate = \"met\"\n").is_err(), "unknown keys are errors");
}
