//! The data plane, frame by frame, without a network: every verdict, what it changes, and what it leaves alone.
//!
//! Needs root and a kernel that can test-run XDP and TC programs; pins nothing and attaches nowhere.

#[path = "../datapath/frames.rs"]
mod frames;
#[path = "../datapath/plane.rs"]
mod plane;

use plane::Plane;

#[test]
fn all_programs_load_within_the_instruction_budget() {
    let start = std::time::Instant::now();
    let mut plane = Plane::new();
    println!("{:?}", start.elapsed());
    println!("{:?}", plane.verified_instructions());
    for (name, instructions) in plane.verified_instructions() {
        assert!(instructions < 500_000, "{name}: the verifier looked at {instructions} instructions");
    }
}
