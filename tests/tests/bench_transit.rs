//! What the XDP program adds to a frame's way, by test-run: transit, adverts, fences and probes. Run by `cargo xtask bench`.
//!
//! The frames and the plane are those of the datapath suite. Every run must end in the verdict that its row names.
#![expect(clippy::expect_used, reason = "a plane that cannot be arranged ends the bench")]

#[expect(dead_code, reason = "shared with the datapath suite, which uses all of it")]
#[path = "../datapath/bypass_fixtures.rs"]
mod bypass_fixtures;
#[path = "../datapath/cost_cases.rs"]
mod cost_cases;
#[expect(dead_code, reason = "shared with the datapath suite, which uses all of it")]
#[path = "../datapath/fixture.rs"]
mod fixture;
#[expect(dead_code, reason = "shared with the datapath suite, which uses all of it")]
#[path = "../datapath/frames.rs"]
mod frames;
#[expect(dead_code, reason = "shared with the datapath suite, which uses all of it")]
#[path = "../datapath/peer_plane.rs"]
mod peer_plane;
#[expect(dead_code, reason = "shared with the datapath suite, which uses all of it")]
#[path = "../datapath/plane.rs"]
mod plane;
#[expect(dead_code, reason = "shared with the datapath suite, which uses all of it")]
#[path = "../datapath/probe_frames.rs"]
mod probe_frames;
#[path = "../datapath/rewinder.rs"]
mod rewinder;

use cost_cases::CostCase;
use holdfast_lab::figures::{Failure, Request, Results, Subject, USUAL_TRIALS};
use plane::Plane;
use std::process::ExitCode;

const BENCH: &str = "transit";
const REPEAT: u32 = 1_000_000;
/// Runs before the first that counts, so that caches and clock speeds have settled.
const WARM_UP: u32 = 2_000_000;
const UNIT: &str = "ns";

fn main() -> anyhow::Result<ExitCode> {
    let Some(request) = Request::from_arguments()?.filter(|request| request.wants(BENCH)) else {
        println!("nothing is asked for; `cargo xtask bench --only {BENCH}` measures");
        return Ok(ExitCode::SUCCESS);
    };
    let mut results = Results::default();
    let mut plane = Plane::new();
    cost_cases::pass_ns(&mut plane, WARM_UP);
    let trials = request.trials(USUAL_TRIALS);
    for trial in 1..=trials {
        eprintln!("{BENCH}: trial {trial} of {trials}");
        let pass = cost_cases::pass_ns(&mut plane, REPEAT);
        results.add(&subject("a program that passes everything"), "cost", UNIT, Some(pass));
        for case in cost_cases::transit() {
            measure(&mut plane, &mut results, trial, &case, Some(pass));
        }
        let rest = cost_cases::adverts().into_iter().chain(cost_cases::fences()).chain(cost_cases::probes());
        for case in rest {
            measure(&mut plane, &mut results, trial, &case, None);
        }
    }
    request.deliver(&results)?;
    Ok(if results.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn subject(case: &str) -> Subject {
    Subject { bench: BENCH.to_owned(), case: case.to_owned(), product: None }
}

/// One trial of one case. Where `pass` is given, the cost beyond it is what counts.
fn measure(plane: &mut Plane, results: &mut Results, trial: usize, case: &CostCase, pass: Option<f64>) {
    let subject = subject(case.what);
    match (case.measure(plane, REPEAT), pass) {
        (Ok(cost), Some(pass)) => results.add(&subject, "over passing", UNIT, Some(cost - pass)),
        (Ok(cost), None) => results.add(&subject, "cost", UNIT, Some(cost)),
        (Err(what), _) => {
            eprintln!("{}: trial {trial}: {what}", subject.shown());
            results.failures.push(Failure { subject, trial, what, log_tails: String::new() });
        }
    }
}
