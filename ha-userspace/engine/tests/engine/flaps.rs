//! Random losses, returns and restarts against a plain list of everything that happened.

use crate::support::START;
use holdfast_engine::{
    Duration, FlapEvent, FlapGovernor, FlapSettings, FlapUnit, Instant, LatchRelease, ReleasedBy,
};
use proptest::prelude::*;
use std::collections::BTreeSet;

const WINDOW: Duration = Duration::from_secs(60);
const RELEASE: Duration = Duration::from_secs(30);
const NOON: u64 = 1_800_000_000;

#[derive(Clone, Copy, Debug)]
enum Step {
    Pass(u64),
    Lost {
        unit: u32,
        by_fault: bool,
    },
    Regained(u32),
    Release,
    Timeout,
    /// The daemon stops for so many seconds; after a reboot the boot clock begins anew.
    Restart {
        seconds: u64,
        reboot: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..20_000_000_000_u64).prop_map(Step::Pass),
        6 => (0..3_u32, any::<bool>()).prop_map(|(unit, by_fault)| Step::Lost { unit, by_fault }),
        6 => (0..3_u32).prop_map(Step::Regained),
        1 => Just(Step::Release),
        3 => Just(Step::Timeout),
        1 => (0..90_u64, any::<bool>()).prop_map(|(seconds, reboot)| Step::Restart { seconds, reboot }),
    ]
}

/// The same by the book, on a clock that never restarts.
struct Book {
    maximum: usize,
    now: Instant,
    owned: BTreeSet<u32>,
    lost: BTreeSet<u32>,
    flaps: Vec<Instant>,
    latched: Option<Instant>,
}

impl Book {
    fn in_window(&self) -> usize {
        self.flaps.iter().filter(|flap| self.now.since(**flap) < WINDOW).count()
    }

    fn lost(&mut self, unit: u32, by_fault: bool) {
        if self.owned.remove(&unit) && by_fault && self.latched.is_none() {
            self.lost.insert(unit);
        }
    }

    fn regained(&mut self, unit: u32) -> bool {
        let counts = self.owned.insert(unit) && self.lost.contains(&unit) && self.latched.is_none();
        if counts {
            self.lost.clear();
            self.flaps.push(self.now);
            self.latched = (self.in_window() > self.maximum).then_some(self.now);
        }
        counts
    }

    fn release(&mut self) -> bool {
        let was = self.latched.take().is_some();
        if was {
            self.flaps.clear();
            self.lost.clear();
        }
        was
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_governor_keeps_the_book(
        history in prop::collection::vec(step(), 1..120),
        maximum in 0..4_u32,
        timed in any::<bool>(),
    ) {
        let release = if timed { LatchRelease::After(RELEASE) } else { LatchRelease::Manual };
        let settings = FlapSettings { maximum_allowed: maximum, window: WINDOW, release };
        let mut governor = FlapGovernor::new(settings);
        let mut now = START;
        let mut book = Book {
            maximum: maximum as usize,
            now,
            owned: BTreeSet::new(),
            lost: BTreeSet::new(),
            flaps: Vec::new(),
            latched: None,
        };
        for step in history {
            match step {
                Step::Pass(nanos) => {
                    now = now + Duration::from_nanos(nanos);
                    book.now = book.now + Duration::from_nanos(nanos);
                }
                Step::Lost { unit, by_fault } => {
                    governor.lost(now, FlapUnit(unit), by_fault);
                    book.lost(unit, by_fault);
                }
                Step::Regained(unit) => {
                    let event = governor.regained(now, FlapUnit(unit));
                    prop_assert_eq!(event.is_some(), book.regained(unit));
                    let latched = matches!(event, Some(FlapEvent::Latched(_)));
                    prop_assert_eq!(latched, event.is_some() && book.latched.is_some());
                }
                Step::Release => prop_assert_eq!(governor.release().is_some(), book.release()),
                Step::Timeout => {
                    let due = timed && book.latched.is_some_and(|since| book.now.since(since) >= RELEASE);
                    let event = governor.handle_timeout(now);
                    prop_assert_eq!(event, due.then_some(FlapEvent::Released(ReleasedBy::Time)));
                    prop_assert_eq!(due, due && book.release());
                    prop_assert!(governor.deadline().is_none_or(|deadline| deadline > now));
                }
                Step::Restart { seconds, reboot } => {
                    let record = governor.record(now, NOON);
                    let span = Duration::from_secs(seconds);
                    now = if reboot { Instant::from_nanos(seconds) } else { now + span };
                    book.now = book.now + span;
                    governor = FlapGovernor::restore(settings, now, NOON + seconds, record);
                    let owned = std::mem::take(&mut book.owned);
                    book.lost.extend(owned);
                }
            }
            let view = governor.view(now);
            prop_assert_eq!(view.latched.map(|latch| latch.age), book.latched.map(|since| book.now.since(since)));
            if book.latched.is_none() {
                prop_assert_eq!(view.flaps as usize, book.in_window());
                prop_assert!(view.flaps <= maximum);
            }
            prop_assert!(view.hold_remaining <= WINDOW);
            prop_assert!(view.latched.is_some() || view.flaps > 0 || view.hold_remaining == Duration::ZERO);
        }
    }
}
