//! The layers of the tests, and which cargo invocations they are.
//!
//! The suites in `tests/tests` belong to a layer by the first word of their file's name. A file that belongs to none
//! is an error: nobody would run it.

use crate::workspace::{LAB_PACKAGE, root};
use anyhow::{Context, Result, bail};
use clap::ValueEnum;

/// A layer, cheapest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Layer {
    /// Rules about the repository itself.
    Tidy,
    /// What stands beside the code, the engine excepted.
    Unit,
    /// The engine's tables and properties.
    Engine,
    /// Every parser of outside bytes: kept inputs, then a short run of the fuzzer.
    Fuzz,
    /// Every state that a bounded number of faults leads to.
    Model,
    /// Whole clusters under a seeded simulation.
    Simulation,
    /// The protocol's requirements by their numbers.
    Conformance,
    /// XDP programs by test-run.
    Datapath,
    /// Gateways in network namespaces.
    Netns,
    /// Against the real keepalived and FRR.
    Interop,
    /// Deliberate faults of the engine, which its tests must notice. Takes long: only where asked for.
    Mutants,
}

/// First word of a measuring program, which `cargo xtask bench` runs.
pub(crate) const BENCH_WORD: &str = "bench";

impl Layer {
    pub(crate) const ALL: [Layer; 10] = [
        Layer::Tidy,
        Layer::Unit,
        Layer::Engine,
        Layer::Fuzz,
        Layer::Model,
        Layer::Simulation,
        Layer::Conformance,
        Layer::Datapath,
        Layer::Netns,
        Layer::Interop,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Layer::Tidy => "tidy",
            Layer::Unit => "unit",
            Layer::Engine => "engine",
            Layer::Fuzz => "fuzz",
            Layer::Model => "model",
            Layer::Simulation => "simulation",
            Layer::Conformance => "conformance",
            Layer::Datapath => "datapath",
            Layer::Netns => "netns",
            Layer::Interop => "interop",
            Layer::Mutants => "mutants",
        }
    }

    /// First words of the files of `tests/tests` that belong to the layer.
    fn words(self) -> &'static [&'static str] {
        match self {
            Layer::Tidy => &["tidy", "docs"],
            Layer::Unit | Layer::Fuzz | Layer::Model | Layer::Mutants => &[],
            Layer::Engine => &["engine"],
            Layer::Simulation => &["simulation"],
            Layer::Conformance => &["conformance"],
            Layer::Datapath => &["datapath"],
            Layer::Netns => &["netns", "lab"],
            Layer::Interop => &["interop"],
        }
    }

    /// Tests of the layer that run side by side; timing suffers from neighbours on a small machine.
    pub(crate) fn threads(self) -> Option<usize> {
        match self {
            Layer::Netns | Layer::Interop => Some(2),
            _ => None,
        }
    }

    /// True if the suites of the layer start the daemon.
    pub(crate) fn needs_product(self) -> bool {
        matches!(self, Layer::Netns | Layer::Interop)
    }

    /// Arguments after `cargo test`, one list per invocation.
    pub(crate) fn invocations(self, suites: &[String]) -> Vec<Vec<String>> {
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let mut invocations = match self {
            Layer::Unit => vec![
                words(
                    "--workspace --exclude holdfast-engine --exclude holdfast-lab --exclude holdfast-fuzz --exclude holdfast-model",
                ),
                words("--package holdfast-lab --lib"),
            ],
            Layer::Engine => vec![words("--package holdfast-engine --lib --test engine")],
            Layer::Fuzz => vec![words("--package holdfast-fuzz")],
            Layer::Model => vec![words("--package holdfast-model")],
            Layer::Simulation => vec![words("--package holdfast-engine --test simulation")],
            _ => Vec::new(),
        };
        let own: Vec<&String> =
            suites.iter().filter(|suite| self.words().contains(&first_word(suite))).collect();
        if !own.is_empty() {
            let mut suites = words(&format!("--package {LAB_PACKAGE}"));
            suites.extend(own.into_iter().flat_map(|suite| ["--test".to_owned(), suite.clone()]));
            invocations.push(suites);
        }
        invocations
    }
}

fn first_word(suite: &str) -> &str {
    suite.split('_').next().unwrap_or(suite)
}

/// Names of the suites in `tests/tests`, each of them in a layer or a bench.
pub(crate) fn suites() -> Result<Vec<String>> {
    let directory = root().join("tests/tests");
    let mut suites = Vec::new();
    for entry in std::fs::read_dir(&directory).with_context(|| format!("reading {}", directory.display()))? {
        let path = entry?.path();
        let is_suite = path.extension().is_some_and(|extension| extension == "rs");
        if let Some(name) = path.file_stem().and_then(|stem| stem.to_str()).filter(|_| is_suite) {
            suites.push(name.to_owned());
        }
    }
    suites.sort();
    match suites.iter().find(|suite| !belongs_somewhere(suite)) {
        Some(stray) => {
            let words: Vec<&str> = Layer::ALL.iter().flat_map(|layer| layer.words()).copied().collect();
            bail!(
                "tests/tests/{stray}.rs belongs to no layer: its name must begin with one of {}",
                words.join(", ")
            )
        }
        None => Ok(suites),
    }
}

fn belongs_somewhere(suite: &str) -> bool {
    let word = first_word(suite);
    word == BENCH_WORD || Layer::ALL.iter().any(|layer| layer.words().contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_belong_to_the_layer_of_their_first_word() {
        let suites = ["interop_frr", "interop_keepalived", "lab_selftest"].map(str::to_owned);
        let interop = Layer::Interop.invocations(&suites);
        assert_eq!(interop.len(), 1);
        assert_eq!(interop[0][2..], ["--test", "interop_frr", "--test", "interop_keepalived"]);
        assert!(Layer::Datapath.invocations(&suites).is_empty());
        assert!(!belongs_somewhere("misc_things"));
    }

    #[test]
    fn every_suite_in_the_repository_has_a_layer() {
        assert!(suites().is_ok_and(|suites| suites.contains(&"lab_selftest".to_owned())));
    }
}
