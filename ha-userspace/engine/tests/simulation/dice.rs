//! Seeded chance, and clocks that run apart. Nothing else in the simulation is random or knows a time of its own.

use holdfast_engine::Instant;
use serde::{Deserialize, Serialize};

/// Parts of a million: what clock rates differ in.
const MILLION: u64 = 1_000_000;

/// xorshift64*: enough to vary histories, small enough to read.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn seeded(seed: u64) -> Self {
        Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        // The low bits are the weak ones.
        (self.next() >> 16) % bound.max(1)
    }

    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        percent > 0 && self.below(100) < percent
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// A node's boot clock: true time, seen through a rate and an offset of its own.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Clock {
    /// Its nanoseconds in a million true ones.
    rate: u64,
    /// Its reading at true time zero.
    offset: u64,
}

impl Clock {
    pub(crate) const TRUE: Clock = Clock { rate: MILLION, offset: 0 };

    pub(crate) fn new(parts_per_million: i32, offset: u64) -> Self {
        Clock { rate: MILLION.saturating_add_signed(i64::from(parts_per_million)), offset }
    }

    /// What it shows at a true time.
    pub(crate) fn reading(&self, now: u64) -> Instant {
        if self.rate == MILLION {
            return Instant::from_nanos(self.offset + now);
        }
        Instant::from_nanos(
            self.offset + (u128::from(now) * u128::from(self.rate) / u128::from(MILLION)) as u64,
        )
    }

    /// First true time at which it shows `reading` or more.
    pub(crate) fn when(&self, reading: Instant) -> u64 {
        let span = reading.as_nanos().saturating_sub(self.offset);
        if self.rate == MILLION {
            return span;
        }
        (u128::from(span) * u128::from(MILLION)).div_ceil(u128::from(self.rate)) as u64
    }

    /// It stood still for a true span that has just ended.
    pub(crate) fn stood_still(&mut self, span: u64) {
        let lost = (u128::from(span) * u128::from(self.rate) / u128::from(MILLION)) as u64;
        self.offset = self.offset.saturating_sub(lost);
    }
}

#[test]
fn a_clock_shows_a_reading_from_the_time_it_is_said_to() {
    let mut dice = Dice::seeded(1);
    for rate in [-500, -1, 0, 1, 300] {
        let clock = Clock::new(rate, 5_000_000_000);
        for _ in 0..1_000 {
            let reading = Instant::from_nanos(5_000_000_000 + dice.below(7_200_000_000_000));
            let when = clock.when(reading);
            assert!(clock.reading(when) >= reading);
            assert!(when == 0 || clock.reading(when - 1) < reading || rate == 0);
        }
    }
}
