//! Random checks of random peers against a plain recount of their whole history.

use crate::support::START;
use holdfast_engine::{
    Check, CheckSettings, Duration, Health, Instant, PathIndex, PathMonitor, PeerId, PeerMonitors,
};
use proptest::prelude::*;

const INTERVAL: Duration = Duration::from_millis(10);

fn check() -> impl Strategy<Value = Check> {
    prop_oneof![
        3 => (0..5_000_000_u64).prop_map(|rtt| Check::Answered { rtt: Duration::from_nanos(rtt) }),
        3 => Just(Check::Missed),
        2 => any::<bool>().prop_map(|heard_others| Check::Void { heard_others }),
    ]
}

/// Rows of the same kind, so that long ones are common.
fn checks() -> impl Strategy<Value = Vec<Check>> {
    prop::collection::vec((check(), 1..8_usize), 0..20)
        .prop_map(|rows| rows.into_iter().flat_map(|(check, times)| vec![check; times]).collect())
}

fn at(check: usize) -> Instant {
    START + INTERVAL.scaled(check as u64, 1)
}

/// Whether each check speaks for the path, against it, or not at all, by the rule of void checks alone.
fn verdicts(history: &[Check], forgiven: usize) -> Vec<Option<bool>> {
    (0..history.len())
        .map(|end| match history[end] {
            Check::Answered { .. } => Some(true),
            Check::Missed => Some(false),
            Check::Void { heard_others } => {
                let is_void = |check: &&Check| matches!(check, Check::Void { .. });
                let before = history[..end].iter().rev().take_while(is_void).count();
                (heard_others && before >= forgiven).then_some(false)
            }
        })
        .collect()
}

/// Health after a whole history, by looking for the last row that decided.
fn recount(verdicts: &[Option<bool>], failure: usize, recovery: usize) -> (Health, Option<usize>) {
    let counted: Vec<(usize, bool)> =
        verdicts.iter().enumerate().filter_map(|(number, verdict)| Some((number, (*verdict)?))).collect();
    let mut health = Health::Unknown;
    for end in 1..=counted.len() {
        let row = |good: bool| counted[..end].iter().rev().take_while(|(_, was)| *was == good).count();
        if row(false) >= failure {
            health = Health::Unhealthy;
        } else if row(true) >= if health == Health::Unknown { 1 } else { recovery } {
            health = Health::Healthy;
        }
    }
    let missing = counted.iter().rev().take_while(|(_, was)| !was).last().map(|(number, _)| *number);
    (health, missing)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_path_is_what_its_whole_history_says(history in checks(), failure in 1..5_u32, recovery in 1..6_u32) {
        let mut monitor = PathMonitor::new(CheckSettings::new(INTERVAL, failure, recovery));
        let verdicts = verdicts(&history, failure as usize);
        for (number, check) in history.iter().enumerate() {
            let before = monitor.health();
            let change = monitor.checked(at(number), *check);
            let (health, missing) = recount(&verdicts[..=number], failure as usize, recovery as usize);
            prop_assert_eq!(monitor.health(), health, "check {}", number);
            prop_assert_eq!(monitor.missing_since(), missing.map(at), "check {}", number);
            prop_assert_eq!(change.map(|change| (change.from, change.to)), (before != health).then_some((before, health)));
        }
        let counts = monitor.view(PathIndex(0)).counts;
        prop_assert_eq!(counts.ended, history.len() as u64);
        prop_assert_eq!(counts.ended, counts.answered + counts.lost + counts.void);
    }

    #[test]
    fn without_a_missed_check_and_without_others_heard_nobody_is_ever_unhealthy(history in checks()) {
        let mut monitor = PathMonitor::new(CheckSettings::new(INTERVAL, 1, 1));
        for (number, check) in history.into_iter().enumerate() {
            let check = match check {
                Check::Answered { rtt } => Check::Answered { rtt },
                Check::Missed | Check::Void { .. } => Check::Void { heard_others: false },
            };
            monitor.checked(at(number), check);
            prop_assert_ne!(monitor.health(), Health::Unhealthy);
        }
    }

    #[test]
    fn a_peer_is_the_best_of_its_paths(
        history in prop::collection::vec((0..3_u16, 0..3_u8, check(), 1..5_usize), 0..60),
    ) {
        let mut peers = PeerMonitors::default();
        peers.configure(CheckSettings::new(INTERVAL, 2, 2), (0..3).map(|peer| (PeerId(peer), usize::from(peer))));
        let mut number = 0;
        for (peer, path, check, times) in history {
            for _ in 0..times {
                number += 1;
                let before = peers.clone();
                let peer = PeerId(peer);
                let outcome = peers.checked(at(number), peer, PathIndex(path), check);
                let view = peers.get(peer).unwrap().view(peer);
                let any_healthy = view.paths.iter().any(|path| path.health == Health::Healthy);
                let all_unhealthy = view.paths.iter().all(|path| path.health == Health::Unhealthy);
                let was = before.get(peer).unwrap().health();
                let expected = match (any_healthy, all_unhealthy && !view.paths.is_empty()) {
                    (true, _) => Health::Healthy,
                    (false, true) => Health::Unhealthy,
                    (false, false) => was,
                };
                prop_assert_eq!(view.health, expected);
                let all_missing = view.paths.iter().all(|path| path.missing_since.is_some());
                prop_assert_eq!(view.silent_since.is_some(), all_missing && !view.paths.is_empty());
                prop_assert_eq!(outcome.peer.is_some(), was != view.health);
                for other in (0..3).map(PeerId).filter(|other| *other != peer) {
                    prop_assert_eq!(before.get(other), peers.get(other));
                }
            }
        }
    }
}
