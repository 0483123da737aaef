//! What a frame costs, by the kernel's own measure. The bounds are wide: they catch a lost fast path, not a slow host.

use super::fixture::{as_answering_owner, as_backup};
use super::frames::*;
use super::plane::{Plane, V4};
use ha_common::maps::names;
use ha_common::maps::values::fence;

const REPEAT: u32 = 1_000_000;
const TRIALS: usize = 7;
/// Bound on what transit costs beyond a program that passes everything, nanoseconds.
const TRANSIT_BOUND_NS: u128 = 60;

fn median_ns(plane: &mut Plane, program: &str, frame: &[u8]) -> u128 {
    let mut trials: Vec<u128> = (0..TRIALS).map(|_| plane.time(program, frame, REPEAT).as_nanos()).collect();
    trials.sort_unstable();
    trials[TRIALS / 2]
}

#[test]
fn transit_is_cheap() {
    let mut plane = Plane::new();
    as_backup(&mut plane);
    let frame = udp_v4(STRANGER);
    let pass = median_ns(&mut plane, names::PROGRAM_PASS, &frame);
    println!("pass: {pass} ns");
    for (what, frame) in [
        ("IPv4 transit", udp_v4(STRANGER)),
        ("IPv4 transit, two tags", tagged(udp_v4(STRANGER), &[1, 2])),
        ("IPv6 transit", udp_v6(STRANGER_V6)),
    ] {
        let cost = median_ns(&mut plane, names::PROGRAM_INGRESS, &frame);
        println!("{what}: {cost} ns, {} over pass", cost.saturating_sub(pass));
        assert!(cost < pass + TRANSIT_BOUND_NS, "{what} costs {cost} ns");
    }
    plane.fence(fence::FORWARDING);
    let backup = median_ns(&mut plane, names::PROGRAM_INGRESS, &udp_v4(STRANGER));
    plane.link(1, 1);
    let owner = median_ns(&mut plane, names::PROGRAM_INGRESS, &udp_v4(STRANGER));
    println!("forwarding fence: {backup} ns dropped, {owner} ns passed");
}

#[test]
fn adverts_are_cheap() {
    let mut plane = Plane::new();
    for (what, frame) in [
        ("IPv4 advert absorbed", advert_v4(T2)),
        ("IPv6 advert absorbed", advert_v6(T4)),
        ("advert of 255 addresses absorbed", advert_of_255_addresses()),
        ("bad checksum", with_ip_byte(advert_v4(T3), 12, 193)),
        ("fenced IPv4", udp_v4(VIP)),
    ] {
        let cost = median_ns(&mut plane, names::PROGRAM_INGRESS, &frame);
        println!("{what}: {cost} ns");
        assert!(cost < 20_000, "{what} costs {cost} ns");
    }
    // The answer is written over the frame that is run again, so it must itself be an advert that loses.
    as_answering_owner(&mut plane);
    plane.template(V4, &advert_of_priority(50));
    plane.policy(V4, |policy| {
        policy.answers_per_interval = u32::MAX;
        policy.interval_ns = u64::MAX / 8;
    });
    let cost = median_ns(&mut plane, names::PROGRAM_INGRESS, &advert_of_priority(50));
    let answered = plane.state(V4).adverts_answered;
    println!("IPv4 advert answered: {cost} ns");
    assert_eq!(answered, u64::from(REPEAT) * TRIALS as u64, "every run was an answer");
}
