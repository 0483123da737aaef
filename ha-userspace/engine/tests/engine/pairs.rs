//! Random link events against what each pair's whole history says.

use crate::support::START;
use holdfast_engine::{Duration, Instant, PairId, PairMonitor, PairSettings, PairSide, PortState};
use proptest::prelude::*;

const RECOVERY: Duration = Duration::from_secs(1);
const PAIRS: u32 = 3;

#[derive(Clone, Copy, Debug)]
enum Step {
    Pass(u64),
    /// Time passes up to the next deadline.
    Deadline,
    Port(u32, PairSide, PortState),
    Passing(u32, Option<bool>),
}

fn step() -> impl Strategy<Value = Step> {
    let side = prop_oneof![Just(PairSide::Inside), Just(PairSide::Outside)];
    let state =
        prop_oneof![6 => Just(PortState::Up), 1 => Just(PortState::Down), 1 => Just(PortState::Missing)];
    let passing = prop_oneof![3 => Just(None), 3 => Just(Some(true)), 1 => Just(Some(false))];
    prop_oneof![
        3 => (0..700_000_000_u64).prop_map(Step::Pass),
        2 => Just(Step::Deadline),
        6 => (0..PAIRS, side, state).prop_map(|(pair, side, state)| Step::Port(pair, side, state)),
        1 => (0..PAIRS, passing).prop_map(|(pair, passing)| Step::Passing(pair, passing)),
    ]
}

/// One pair by the book.
#[derive(Clone, Copy, Debug, Default)]
struct Book {
    ports: [Option<PortState>; 2],
    passing: Option<bool>,
    /// Last moment at which it was bad although all was known.
    bad_at: Option<Instant>,
}

impl Book {
    fn is_good(&self) -> bool {
        self.ports == [Some(PortState::Up); 2] && self.passing != Some(false)
    }

    fn note(&mut self, now: Instant) {
        let known = self.ports.iter().all(Option::is_some) || self.bad_at.is_some();
        // An inside port is looked at first, so a dead one is known before the other is.
        let dead_inside = self.ports[0].is_some_and(|state| state != PortState::Up);
        if !self.is_good() && (known || dead_inside) {
            self.bad_at = Some(now);
        }
    }

    fn is_active(&self, now: Instant) -> bool {
        self.is_good() && self.bad_at.is_none_or(|bad| now.since(bad) >= RECOVERY)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_pair_counts_while_good_and_once_good_for_long_enough(
        history in prop::collection::vec(step(), 1..100),
        minimum_active in 0..=PAIRS,
    ) {
        let settings = PairSettings { minimum_active, recovery_time: RECOVERY };
        let mut monitor = PairMonitor::new(settings, (0..PAIRS).map(PairId));
        let mut books = [Book::default(); PAIRS as usize];
        let mut now = START;
        for step in history {
            let was_up = monitor.is_up();
            let change = match step {
                Step::Pass(_) | Step::Deadline => {
                    let next = match step {
                        Step::Pass(nanos) => now + Duration::from_nanos(nanos),
                        _ => monitor.deadline().unwrap_or(now),
                    };
                    books.iter_mut().for_each(|book| book.note(next));
                    now = next;
                    monitor.handle_timeout(now)
                }
                Step::Port(pair, side, state) => {
                    let book = &mut books[pair as usize];
                    book.note(now);
                    book.ports[usize::from(side == PairSide::Outside)] = Some(state);
                    book.note(now);
                    monitor.port(now, PairId(pair), side, state)
                }
                Step::Passing(pair, passing) => {
                    let book = &mut books[pair as usize];
                    book.note(now);
                    book.passing = passing;
                    book.note(now);
                    monitor.passing(now, PairId(pair), passing)
                }
            };
            let active: Vec<bool> = books.iter().map(|book| book.is_active(now)).collect();
            let seen: Vec<bool> = (0..PAIRS).map(|pair| monitor.is_active(PairId(pair))).collect();
            prop_assert_eq!(&seen, &active, "{:?} {:?}", step, books);
            let count = active.iter().filter(|active| **active).count() as u32;
            prop_assert_eq!(monitor.active(), count);
            prop_assert_eq!(monitor.is_up(), count >= minimum_active);
            prop_assert_eq!(change.map(|change| change.up), (was_up != monitor.is_up()).then_some(!was_up));
            prop_assert_eq!(monitor.faults().len(), (PAIRS - count) as usize);
            prop_assert!(monitor.deadline().is_none_or(|deadline| deadline > now));
        }
    }
}
