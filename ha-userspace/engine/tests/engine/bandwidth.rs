//! Two nodes that hand ownership to each other whenever the owner's guard fires.

use crate::support::START;
use holdfast_engine::{
    BandwidthEvent, BandwidthGuard, BandwidthSettings, BitRate, Duration, Instant, RateWindow,
};
use proptest::prelude::*;

const SETTINGS: BandwidthSettings =
    BandwidthSettings { minimum: BitRate::from_bps(1_000), interval: Duration::from_secs(10) };
const MINIMUM: u64 = 1_000;

/// Two guards, one owner.
struct Pair {
    guards: [BandwidthGuard; 2],
    owner: usize,
    now: Instant,
    moves: Vec<Instant>,
}

impl Pair {
    fn new() -> Self {
        Self {
            guards: [BandwidthGuard::new(SETTINGS), BandwidthGuard::new(SETTINGS)],
            owner: 0,
            now: START,
            moves: Vec::new(),
        }
    }

    /// One second: the owner passes what is asked, up to what its link can; the other passes nothing.
    fn second(&mut self, demand: u64, capacities: [u64; 2]) {
        self.now = self.now + Duration::from_secs(1);
        let owner = self.owner;
        for (number, guard) in self.guards.iter_mut().enumerate() {
            let passed = if number == owner { demand.min(capacities[number]) } else { 0 };
            let demand = Some(BitRate::from_bps(demand));
            let event = guard.sample(self.now, number == owner, BitRate::from_bps(passed), demand);
            if let Some(BandwidthEvent::TooLow { .. }) = event {
                assert_eq!(number, owner, "a node that does not own failed");
                self.moves.push(self.now);
                self.owner = 1 - owner;
            }
        }
    }

    fn seconds(&mut self, seconds: u64, demand: u64, capacities: [u64; 2]) {
        for _ in 0..seconds {
            self.second(demand, capacities);
        }
    }
}

#[test]
fn two_nodes_below_the_minimum_never_play_ping_pong() {
    let mut pair = Pair::new();
    pair.seconds(60, 5 * MINIMUM, [5 * MINIMUM; 2]);
    pair.seconds(3_600, 5 * MINIMUM, [MINIMUM / 2; 2]);
    assert_eq!((pair.moves.len(), pair.owner), (1, 1), "one move, and it stays");
    // The better link comes back where nobody owns: nothing moves for it.
    pair.seconds(3_600, 5 * MINIMUM, [5 * MINIMUM, MINIMUM / 2]);
    assert_eq!(pair.moves.len(), 1);
    // The owner recovers and fails again: that is a new fault.
    pair.seconds(60, 5 * MINIMUM, [5 * MINIMUM; 2]);
    pair.seconds(3_600, 5 * MINIMUM, [5 * MINIMUM, MINIMUM / 2]);
    assert_eq!((pair.moves.len(), pair.owner), (2, 0));
}

#[test]
fn low_from_the_start_moves_nothing() {
    let mut pair = Pair::new();
    pair.seconds(3_600, 5 * MINIMUM, [MINIMUM - 1; 2]);
    assert_eq!(pair.moves, []);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_move_is_paid_for_by_an_interval_above_and_one_below(
        phases in prop::collection::vec((1..40_u64, 0..3_000_u64, 0..3_000_u64, 0..3_000_u64), 1..40),
    ) {
        let mut pair = Pair::new();
        let mut owners = Vec::new();
        for (seconds, demand, first, second) in phases {
            for _ in 0..seconds {
                let passed = demand.min([first, second][pair.owner]);
                let moves = pair.moves.len();
                owners.push((passed >= MINIMUM, demand >= MINIMUM));
                pair.second(demand, [first, second]);
                if pair.moves.len() > moves {
                    let below = owners.iter().rev().take_while(|(above, demand)| !above && *demand).count();
                    prop_assert_eq!(below, 11);
                    let best = owners.split(|(above, _)| !above).map(<[_]>::len).max();
                    prop_assert!(best >= Some(11), "{best:?}");
                    owners.clear();
                }
            }
        }
    }

    #[test]
    fn a_rate_is_what_was_counted_over_the_time(
        readings in prop::collection::vec((1..2_000_000_000_u64, 0..1_000_000_u64, prop::bool::weighted(0.1)), 2..200),
    ) {
        let mut window = RateWindow::new(SETTINGS.interval);
        let mut now = START;
        let mut counter = 77;
        let mut history = vec![(now, 0_u128)];
        window.sample(now, counter);
        for (nanos, bytes, restarts) in readings {
            now = now + Duration::from_nanos(nanos);
            // A restarted counter that is not below the old one cannot be told from one that went on.
            counter = if restarts && bytes < counter { bytes } else { counter + bytes };
            window.sample(now, counter);
            history.push((now, history.last().unwrap().1 + u128::from(bytes)));
            let known = now.since(START) >= SETTINGS.interval;
            prop_assert_eq!(window.rate().is_some(), known);
            if let Some(rate) = window.rate() {
                let (_, total) = *history.last().unwrap();
                // The window begins at a reading no younger than the interval, and as many slots back at most.
                let possible = history.iter().filter(|(at, _)| now.since(*at) >= SETTINGS.interval);
                let rates = possible.map(|(at, bytes)| {
                    (total - bytes) * 8_000_000_000 / u128::from(now.since(*at).as_nanos())
                });
                prop_assert!(rates.rev().take(64).any(|expected| expected == u128::from(rate.as_bps())));
            }
        }
    }
}
