//! What hosts notice of a pair of gateways that fail, stop, stall or are flooded: the product and keepalived alike.
//! Run by `cargo xtask bench`; the figures are explained in docs/performance.md.
//!
//! Promises of the product are checked in every trial; a trial that breaks one goes into the results with the logs'
//! tails, and the program fails. keepalived is only measured.

#[expect(dead_code, reason = "shared with the peers' benches, which use all of it")]
#[path = "../bench/flood.rs"]
mod flood;
#[path = "../bench/graceful.rs"]
mod graceful;
#[path = "../bench/invalid_adverts.rs"]
mod invalid_adverts;
#[path = "../bench/kill9.rs"]
mod kill9;
#[path = "../bench/node_loss.rs"]
mod node_loss;
#[path = "../bench/sigstop.rs"]
mod sigstop;
#[path = "../bench/transitions.rs"]
mod transitions;
#[expect(dead_code, reason = "shared with the peers' benches, which use all of it")]
#[path = "../bench/trials.rs"]
mod trials;

use holdfast_lab::figures::Request;
use std::process::ExitCode;
use trials::Session;

/// A bench and what runs it.
type Bench = (&'static str, fn(&mut Session));

const BENCHES: [Bench; 5] = [
    (node_loss::NAME, node_loss::run),
    (kill9::NAME, kill9::run),
    (graceful::NAME, graceful::run),
    (sigstop::NAME, sigstop::run),
    (invalid_adverts::NAME, invalid_adverts::run),
];

fn main() -> anyhow::Result<ExitCode> {
    let Some(request) = Request::from_arguments()? else {
        println!("nothing is asked for; `cargo xtask bench` measures");
        return Ok(ExitCode::SUCCESS);
    };
    let mut session = Session::new(request);
    for (name, run) in BENCHES {
        if session.request.wants(name) {
            run(&mut session);
        }
    }
    session.request.deliver(&session.results)?;
    Ok(if session.results.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
