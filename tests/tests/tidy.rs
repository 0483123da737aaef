//! Rules of the house that a reader cannot be trusted to check: forbidden imports per room, clocks in the engine, and
//! documentation that has fallen behind the code. `tidy_docs` holds the manual against it page by page.

#![allow(clippy::unwrap_used, reason = "a test that cannot read the tree has failed")]

use ha_common::verdict_reasons::{Verdict, VerdictReason};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn rust_files(folder: &str) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut open = vec![root().join(folder)];
    while let Some(directory) = open.pop() {
        for entry in
            fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        {
            let path = entry.unwrap().path();
            if path.is_dir() && path.file_name().is_none_or(|name| name != "target") {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                files.push((path, text));
            }
        }
    }
    assert!(!files.is_empty(), "{folder} has no Rust files: the rule would check nothing");
    files
}

/// The code of a file: without comments and without its test module.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split("#[cfg(test)]\nmod ")
        .next()
        .unwrap_or("")
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
}

/// A test module in a file of its own.
fn is_test(path: &Path) -> bool {
    path.file_stem().is_some_and(|stem| stem == "tests" || stem.to_string_lossy().ends_with("_tests"))
}

fn forbid(folder: &str, words: &[&str], except: &[&str], why: &str) {
    for (path, text) in rust_files(folder).into_iter().filter(|(path, _)| !is_test(path)) {
        let shown = path.strip_prefix(root()).unwrap().display().to_string();
        if except.iter().any(|allowed| shown.starts_with(allowed)) {
            continue;
        }
        for line in code(&text) {
            for word in words {
                assert!(!line.contains(word), "{shown}: `{word}` in `{}`: {why}", line.trim());
            }
        }
    }
}

#[test]
fn the_engine_reads_no_clock_does_no_io_and_draws_no_randomness() {
    let words = [
        "std::time",
        "std::thread",
        "std::fs",
        "std::net::Udp",
        "std::net::Tcp",
        "rand::",
        "f32",
        "f64",
        "tokio",
        "HashMap",
        "unsafe ",
    ];
    forbid("ha-userspace/engine/src", &words, &[], "the engine is pure; time and chance are inputs");
}

#[test]
fn aya_has_one_home() {
    let except = ["ha-userspace/src/datapath", "ha-userspace/src/bpf_object.rs"];
    forbid("ha-userspace/src", &["aya::"], &except, "only the datapath room speaks to the kernel's BPF side");
}

#[test]
fn the_data_plane_holds_no_policy_of_its_own() {
    forbid("ha-ebpf/src", &["f32", "f64", "format!", "panic!("], &[], "bounded, integer, silent");
}

#[test]
fn ha_common_neither_allocates_nor_logs() {
    let except = ["ha-common/src/wire/vrrp_tests.rs"];
    forbid("ha-common/src", &["alloc::", "std::", "println!", "log::"], &except, "it runs in the kernel too");
}

#[test]
fn no_file_has_grown_past_a_room() {
    const MOST_LINES: usize = 600;
    for folder in ["ha-common", "ha-ebpf", "ha-userspace", "xtask", "tests"] {
        for (path, text) in rust_files(folder) {
            let lines = text.lines().count();
            assert!(
                lines <= MOST_LINES,
                "{}: {lines} lines; past {MOST_LINES} it is asking to be two",
                path.display()
            );
        }
    }
}

#[test]
fn every_reason_is_documented_as_the_table_has_it() {
    let manual = fs::read_to_string(root().join("docs/reasons.md")).unwrap();
    for reason in VerdictReason::ALL {
        let verdict = match reason.verdict() {
            Verdict::Pass => "pass",
            Verdict::Drop => "drop",
            Verdict::Transmit => "transmit",
            Verdict::Redirect => "redirect",
        };
        let line = format!("| `{}` | {verdict} | {} |", reason.name(), reason.description().trim());
        assert!(manual.lines().any(|found| found == line), "docs/reasons.md lacks or misstates:\n{line}");
    }
    let documented = manual.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(documented, VerdictReason::ALL.len(), "docs/reasons.md lists a reason that no longer exists");
}

#[test]
fn nothing_left_undone_is_marked_in_the_code() {
    for folder in ["ha-common/src", "ha-ebpf/src", "ha-userspace", "xtask/src", "tests/src"] {
        let words = ["todo!(", "unimplemented!(", "TODO", "FIXME", "#[ignore"];
        forbid(folder, &words, &[], "finish it or say so in the manual");
    }
}
