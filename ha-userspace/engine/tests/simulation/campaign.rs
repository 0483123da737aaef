//! The campaign: histories by seeds until enough cluster-hours are behind it, and what to do with one that fails.
//!
//! A failing history is cut down by leaving faults out for as long as it still fails in the same way, then printed with its
//! seed as one line that can be kept. Every line of `regressions.jsonl` is replayed first.

use crate::bounds::Bounds;
use crate::fault::Fault;
use crate::history::History;
use crate::watch::{Kind, Violation, seconds};
use crate::world::World;
use holdfast_engine::{Duration, RouterId};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

/// Cluster-hours of the default run.
const HOURS: u64 = 200;
/// First seed of the default run; the others follow.
const FIRST_SEED: u64 = 1;
/// What decides otherwise: hours, the first seed, or one seed alone.
const HOURS_VARIABLE: &str = "HOLDFAST_SIM_HOURS";
const FIRST_VARIABLE: &str = "HOLDFAST_SIM_FIRST";
const SEED_VARIABLE: &str = "HOLDFAST_SIM_SEED";
/// Failing seeds after which a run ends.
const MOST_FAILURES: usize = 5;
/// Runs spent on cutting one history down.
const MOST_TRIALS: usize = 400;
const HOUR_NS: u64 = 3_600_000_000_000;
const MILLI_NS: u64 = 1_000_000;
/// After everything is mended: longest time to come to rest, and how long it must then stay so.
const CALM: Duration = Duration::from_secs(90);
const KEPT: &str = include_str!("regressions.jsonl");

/// Plays a history to its end. Returns the simulated time.
fn play(history: &History, is_told: bool) -> (u64, Result<(), Violation>) {
    let setting = history.setting.clone();
    let bounds = Bounds::of(&setting);
    let mut world = World::with(history.seed, setting, Some(bounds));
    world.watch.is_told = is_told;
    let began = world.air.now;
    for (at, fault) in &history.faults {
        let due = began + at * MILLI_NS;
        world.run(Duration::from_nanos(due - world.air.now));
        if world.watch.violation.is_some() {
            break;
        }
        if is_told {
            println!("{} s: {fault:?}", seconds(due));
        }
        world.apply(*fault);
    }
    if world.watch.violation.is_none() {
        let due = began + history.mended_ms * MILLI_NS;
        world.run(Duration::from_nanos(due.saturating_sub(world.air.now)));
        world.apply(Fault::Mend);
        world.run(bounds.rest);
        end_well(&mut world, history);
        world.run(CALM);
    }
    (world.air.now - began, world.watch.violation.take().map_or(Ok(()), Err))
}

/// One owner per router, and all routers of a group in one place.
fn end_well(world: &mut World, history: &History) {
    let routers = &history.setting.routers[0];
    let owners: Vec<Vec<usize>> =
        (1..=routers.len()).map(|router| world.owners(RouterId(router as u32))).collect();
    let one_each = owners.iter().all(|owners| owners.len() == 1);
    let together = routers[0].group.is_none() || owners.iter().all(|other| *other == owners[0]);
    if !one_each || !together {
        let what = format!("in the end the owners are {owners:?}");
        world.watch.violation.get_or_insert(Violation { kind: Kind::Unsettled, at: world.air.now, what });
    }
}

fn try_out(history: &History) -> (u64, Result<(), Violation>) {
    catch_unwind(AssertUnwindSafe(|| play(history, false))).unwrap_or_else(|panic| {
        let what = panic.downcast_ref::<String>().cloned();
        let what = what.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let what = what.unwrap_or_default();
        (0, Err(Violation { kind: Kind::Panic, at: 0, what }))
    })
}

/// Leaves out whatever the failure does not need: halves first, then smaller pieces, then single faults.
fn cut_down(history: &History, kind: Kind) -> History {
    let mut smallest = history.clone();
    let mut trials = 0;
    let mut piece = smallest.faults.len().div_ceil(2);
    while piece > 0 && trials < MOST_TRIALS {
        let mut at = smallest.faults.len();
        while at > 0 && trials < MOST_TRIALS {
            let from = at.saturating_sub(piece);
            let mut candidate = smallest.clone();
            candidate.faults.drain(from..at.min(smallest.faults.len()));
            trials += 1;
            if try_out(&candidate).1.is_err_and(|violation| violation.kind == kind) {
                smallest = candidate;
            }
            at = from;
        }
        piece = if piece == 1 { 0 } else { piece / 2 };
    }
    smallest
}

/// What a failing history is told as.
fn tell(history: &History, violation: &Violation) -> String {
    let smallest = cut_down(history, violation.kind);
    if number(SEED_VARIABLE).is_some() {
        let _ = catch_unwind(AssertUnwindSafe(|| play(&smallest, true)));
    }
    let found = try_out(&smallest).1.err().unwrap_or_else(|| violation.clone());
    let mut text = format!(
        "seed {}: {violation}\n  with {} of {} faults: {found}\n",
        history.seed,
        smallest.faults.len(),
        history.faults.len()
    );
    let start = crate::support::START.as_nanos();
    for (at, fault) in &smallest.faults {
        text += &format!("    at {} s: {fault:?}\n", seconds(start + at * MILLI_NS));
    }
    let setting = &smallest.setting;
    let priorities: Vec<u8> = setting.routers.iter().map(|routers| routers[0].priority).collect();
    let (first, nodes) = (&setting.routers[0], setting.nodes());
    text += &format!(
        "  {nodes} nodes of priorities {priorities:?}, {} routers every {} ms{}, peers: {}, checks {:?}, lease {} ms, {:?}\n",
        first.len(),
        first[0].advertisement_interval.as_nanos() / MILLI_NS,
        if first[0].group.is_some() { " in a group" } else { "" },
        setting.peered,
        setting.checks,
        setting.lease.as_nanos() / MILLI_NS,
        setting.takeover,
    );
    let line = serde_json::to_string(&smallest).unwrap();
    text + &format!("  to keep it, add this line to regressions.jsonl:\n{line}\n")
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}: a number")))
}

#[test]
fn what_once_failed_holds() {
    let kept: Vec<History> = KEPT
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}")))
        .collect();
    for history in kept {
        for history in [history.clone(), History::of(history.seed)] {
            if let (_, Err(violation)) = try_out(&history) {
                panic!("{}", tell(&history, &violation));
            }
        }
    }
}

#[test]
fn a_history_follows_from_its_seed_alone() {
    for seed in [3, 77] {
        let (one, other) = (History::of(seed), History::of(seed));
        assert_eq!(serde_json::to_string(&one).unwrap(), serde_json::to_string(&other).unwrap());
        let again: History = serde_json::from_str(&serde_json::to_string(&one).unwrap()).unwrap();
        assert_eq!(play(&one, false), play(&again, false));
    }
}

#[test]
fn no_history_breaks_an_invariant() {
    let only = number(SEED_VARIABLE);
    let wanted = number(HOURS_VARIABLE).unwrap_or(HOURS) * HOUR_NS;
    let next = AtomicU64::new(only.or(number(FIRST_VARIABLE)).unwrap_or(FIRST_SEED));
    let (first, simulated) = (next.load(Ordering::Relaxed), AtomicU64::new(0));
    let failures = std::sync::Mutex::new(Vec::new());
    let workers =
        if only.is_some() { 1 } else { std::thread::available_parallelism().map_or(1, usize::from) };
    let began = std::time::Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while simulated.load(Ordering::Relaxed) < wanted
                    && failures.lock().unwrap().len() < MOST_FAILURES
                {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let history = History::of(seed);
                    let (span, outcome) = try_out(&history);
                    simulated.fetch_add(span, Ordering::Relaxed);
                    if let Err(violation) = outcome {
                        let text = tell(&history, &violation);
                        eprintln!("{text}");
                        failures.lock().unwrap().push(text);
                    }
                    if only.is_some() {
                        break;
                    }
                }
            });
        }
    });
    let hours = simulated.into_inner() as f64 / HOUR_NS as f64;
    let last = next.into_inner().saturating_sub(1);
    println!("seeds {first} to {last}: {hours:.1} cluster-hours in {:.1} s", began.elapsed().as_secs_f64());
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} histories failed:\n{}", failures.len(), failures.join("\n"));
}
