//! Every kept input again, without the fuzzer: seeds, the corpora, and what once broke a property.

#![allow(clippy::unwrap_used, reason = "a test that cannot read the tree has failed")]

use holdfast_fuzz::{LONGEST_KEPT, TARGETS, Target, seeds};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// More are not kept: a corpus is read by people too.
const MOST_KEPT: usize = 48;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn inputs(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut inputs: Vec<_> =
        paths.map(|path| (path.display().to_string(), fs::read(&path).unwrap())).collect();
    inputs.sort();
    inputs
}

fn replay(inputs: impl IntoIterator<Item = (&'static Target, String, Vec<u8>)>) {
    let broken: Vec<String> = inputs
        .into_iter()
        .filter(|(target, _, input)| catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_err())
        .map(|(target, name, _)| format!("{}: {name}", target.name))
        .collect();
    assert!(broken.is_empty(), "broken by\n{}", broken.join("\n"));
}

fn kept(kind: &str) -> Vec<(&'static Target, String, Vec<u8>)> {
    let of = |target: &'static Target| {
        let inputs = inputs(&folder(kind).join(target.name));
        inputs.into_iter().map(move |(name, input)| (target, name, input))
    };
    TARGETS.iter().flat_map(of).collect()
}

#[test]
fn seeds_hold() {
    replay(TARGETS.iter().flat_map(|target| {
        let seeds = seeds::of(target.name);
        assert!(!seeds.is_empty(), "{} begins with nothing", target.name);
        let named = seeds.into_iter().enumerate();
        named.map(move |(number, seed)| (target, format!("seed {number}"), seed))
    }));
}

#[test]
fn the_corpora_hold() {
    replay(kept("corpus"));
}

#[test]
fn what_once_broke_holds() {
    replay(kept("regressions"));
}

#[test]
fn the_corpora_are_small_and_each_belongs_to_a_target() {
    for target in TARGETS {
        let inputs = inputs(&folder("corpus").join(target.name));
        assert!((1..=MOST_KEPT).contains(&inputs.len()), "{}: {} inputs", target.name, inputs.len());
        for (name, input) in inputs {
            assert!(input.len() <= LONGEST_KEPT, "{name} has {} bytes", input.len());
        }
    }
    for kind in ["corpus", "regressions"] {
        let Ok(entries) = fs::read_dir(folder(kind)) else { continue };
        for entry in entries {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(holdfast_fuzz::target(&name).is_some(), "{kind}/{name} belongs to no target");
        }
    }
}

#[test]
fn the_manual_names_every_target() {
    let manual = fs::read_to_string(folder("../../docs/fuzzing.md")).unwrap();
    for target in TARGETS {
        let row = format!("| `{}` | ", target.name);
        assert!(manual.lines().any(|line| line.starts_with(&row)), "docs/fuzzing.md lacks {}", target.name);
    }
}
