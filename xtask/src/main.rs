//! `cargo xtask`: every developer verb, one file each.
//!
//! Verbs are thin: they find what is there, start cargo, the product or the lab, and report. What they drive lives in
//! `tests` (the lab) and in the product; nothing is implemented a second time here.

mod bench;
mod bench_machine;
mod build;
mod conformance;
mod demo;
mod demo_view;
mod fuzz;
mod lab;
mod model;
mod mutants;
mod process;
mod run;
mod setup;
mod sim;
mod test;
mod test_layers;
mod vm_lab;
mod workspace;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Develops Holdfast.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Setup(setup::Arguments),
    Build(build::Arguments),
    Run(run::Arguments),
    Demo(demo::Arguments),
    Lab(lab::Arguments),
    Test(test::Arguments),
    Bench(bench::Arguments),
    Sim(sim::Arguments),
    Conformance(conformance::Arguments),
    Fuzz(fuzz::Arguments),
    VmLab(vm_lab::Arguments),
    Model(model::Arguments),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().verb {
        Verb::Setup(arguments) => setup::run(&arguments),
        Verb::Build(arguments) => build::run(&arguments),
        Verb::Run(arguments) => run::run(&arguments),
        Verb::Demo(arguments) => demo::run(&arguments),
        Verb::Lab(arguments) => lab::run(&arguments),
        Verb::Test(arguments) => test::run(&arguments),
        Verb::Bench(arguments) => bench::run(&arguments),
        Verb::Sim(arguments) => sim::run(&arguments),
        Verb::Conformance(arguments) => conformance::run(&arguments),
        Verb::Fuzz(arguments) => fuzz::run(&arguments),
        Verb::VmLab(arguments) => vm_lab::run(&arguments),
        Verb::Model(arguments) => model::run(&arguments),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
