//! What a frame costs, by the kernel's own measure. The bounds catch a path that runs away; the figures are the benches'.

use super::cost_cases::{self, CostCase};
use super::plane::Plane;

const REPEAT: u32 = 1_000_000;
const TRIALS: usize = 7;
/// Bound on what transit costs beyond a program that passes everything, nanoseconds.
const TRANSIT_BOUND_NS: f64 = 2_000.0;
/// Bound on a probe or a reply, nanoseconds.
const PROBE_BOUND_NS: f64 = 20_000.0;
/// Bound on an advert, or on what a fence stops, nanoseconds.
const ADVERT_BOUND_NS: f64 = 20_000.0;

fn median(mut measure: impl FnMut() -> f64) -> f64 {
    let mut trials: Vec<f64> = (0..TRIALS).map(|_| measure()).collect();
    trials.sort_by(f64::total_cmp);
    trials[TRIALS / 2]
}

fn cost(plane: &mut Plane, case: &CostCase) -> f64 {
    let cost = median(|| case.measure(plane, REPEAT).unwrap_or_else(|surprise| panic!("{surprise}")));
    println!("{}: {cost} ns", case.what);
    cost
}

#[test]
fn transit_is_cheap() {
    let mut plane = Plane::new();
    let pass = median(|| cost_cases::pass_ns(&mut plane, REPEAT));
    println!("pass: {pass} ns");
    for case in cost_cases::transit() {
        let cost = cost(&mut plane, &case);
        assert!(cost < pass + TRANSIT_BOUND_NS, "{} costs {cost} ns", case.what);
    }
}

#[test]
fn adverts_and_fences_are_cheap() {
    let mut plane = Plane::new();
    for case in cost_cases::adverts().into_iter().chain(cost_cases::fences()) {
        let cost = cost(&mut plane, &case);
        assert!(cost < ADVERT_BOUND_NS, "{} costs {cost} ns", case.what);
    }
}

#[test]
fn probes_are_cheap() {
    let mut plane = Plane::new();
    for case in cost_cases::probes() {
        let cost = cost(&mut plane, &case);
        assert!(cost < PROBE_BOUND_NS, "{} costs {cost} ns", case.what);
    }
}
