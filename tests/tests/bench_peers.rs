//! Peers that check each other, and the bypass: what a probe costs, how fast a lost node is succeeded, what starvation, stopped
//! controllers and floods do, and what the wire carries. Run by `cargo xtask bench`; the figures are explained in
//! docs/performance.md.
//!
//! Promises of the product are checked in every trial; a trial that breaks one goes into the results with the logs'
//! tails, and the program fails. keepalived, FRR and the kernel's own are only measured.
#![expect(clippy::expect_used, reason = "a plane that cannot be arranged ends the bench")]

#[expect(dead_code, reason = "shared with the gateways' benches, which use all of it")]
#[path = "../bench/flood.rs"]
mod flood;
#[expect(dead_code, reason = "shared with the datapath suite, which uses all of it")]
#[path = "../datapath/frames.rs"]
mod frames;
#[path = "../bench/peer_loss.rs"]
mod peer_loss;
#[expect(dead_code, reason = "shared with the datapath suite, which uses all of it")]
#[path = "../datapath/peer_plane.rs"]
mod peer_plane;
#[path = "../bench/peered.rs"]
mod peered;
#[expect(dead_code, reason = "shared with the datapath suite, which uses all of it")]
#[path = "../datapath/plane.rs"]
mod plane;
#[path = "../bench/probe_answer.rs"]
mod probe_answer;
#[path = "../bench/probe_flood.rs"]
mod probe_flood;
#[expect(dead_code, reason = "shared with the datapath suite, which uses all of it")]
#[path = "../datapath/probe_frames.rs"]
mod probe_frames;
#[path = "../datapath/rewinder.rs"]
mod rewinder;
#[path = "../bench/starvation.rs"]
mod starvation;
#[path = "../bench/stopped_controller.rs"]
mod stopped_controller;
#[path = "../bench/transitions.rs"]
mod transitions;
#[expect(dead_code, reason = "shared with the gateways' benches, which use all of it")]
#[path = "../bench/trials.rs"]
mod trials;
#[path = "../bench/wire.rs"]
mod wire;

use holdfast_lab::figures::Request;
use std::process::ExitCode;
use trials::Session;

/// A bench and what runs it.
type Bench = (&'static str, fn(&mut Session));

const BENCHES: [Bench; 6] = [
    (probe_answer::NAME, probe_answer::run),
    (peer_loss::NAME, peer_loss::run),
    (starvation::NAME, starvation::run),
    (stopped_controller::NAME, stopped_controller::run),
    (probe_flood::NAME, probe_flood::run),
    (wire::NAME, wire::run),
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
