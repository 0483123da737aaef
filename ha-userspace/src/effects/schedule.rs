//! When each router's next advert is due. Pure: instants come in, due routers come out.
//!
//! A schedule is drift-free: the next advert is due one interval after the previous one was due, however late it left
//! (V-085). After a stall of more than an interval the missed adverts are skipped without a burst, and the phase stays.
//! It never reads a clock and never sends.

use holdfast_engine::{Duration, Instant, RouterId};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// Adverts due within this span of each other leave in one wake-up: far below what any peer can tell.
pub const BATCH_WINDOW: Duration = Duration::from_nanos(200_000);

/// An advert that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    pub router: RouterId,
    /// When it should leave.
    pub at: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    interval: Duration,
    due: Instant,
    /// Rises with every start, so that what an earlier start left in the heap is recognised as stale.
    generation: u64,
}

/// The schedules of all routers.
#[derive(Debug, Default)]
pub struct Schedule {
    entries: HashMap<RouterId, Entry>,
    heap: BinaryHeap<Reverse<(Instant, RouterId, u64)>>,
    generation: u64,
}

impl Schedule {
    /// Begins, or begins anew, with an advert due at `now`. A zero interval would never end and is taken as 1 ns.
    pub fn start(&mut self, now: Instant, router: RouterId, interval: Duration) {
        self.generation += 1;
        let interval = interval.max(Duration::from_nanos(1));
        let entry = Entry { interval, due: now, generation: self.generation };
        self.entries.insert(router, entry);
        self.heap.push(Reverse((entry.due, router, entry.generation)));
    }

    /// Ends a router's schedule; nothing of it comes out any more.
    pub fn stop(&mut self, router: RouterId) {
        self.entries.remove(&router);
        // A stop is rare beside ticks, and so is the garbage it leaves; drop it before it can outgrow what lives.
        if self.heap.len() > 2 * self.entries.len() + 16 {
            let entries = &self.entries;
            self.heap.retain(|Reverse((_, router, generation))| {
                entries.get(router).is_some_and(|entry| entry.generation == *generation)
            });
        }
    }

    /// Whether a router has a schedule.
    pub fn contains(&self, router: RouterId) -> bool {
        self.entries.contains_key(&router)
    }

    /// When the next advert is due.
    pub fn next_due(&mut self) -> Option<Instant> {
        self.drop_stale();
        self.heap.peek().map(|Reverse((due, ..))| *due)
    }

    /// Moves everything due by `now` plus [`BATCH_WINDOW`] into `out`, earliest first, and schedules what follows.
    /// Nothing comes out while nothing is due yet, so a wake-up for another reason sends nothing early.
    pub fn take_due(&mut self, now: Instant, out: &mut Vec<Due>) {
        if self.next_due().is_none_or(|due| due > now) {
            return;
        }
        let horizon = now + BATCH_WINDOW;
        while let Some(due) = self.next_due().filter(|due| *due <= horizon) {
            let Some(Reverse((_, router, generation))) = self.heap.pop() else { break };
            let Some(entry) = self.entries.get_mut(&router) else { continue };
            out.push(Due { router, at: due });
            entry.due = following(due, entry.interval, horizon);
            self.heap.push(Reverse((entry.due, router, generation)));
        }
    }

    fn drop_stale(&mut self) {
        while let Some(Reverse((_, router, generation))) = self.heap.peek() {
            if self.entries.get(router).is_some_and(|entry| entry.generation == *generation) {
                return;
            }
            self.heap.pop();
        }
    }
}

/// The first instant after `horizon` that lies a whole number of intervals after `due`.
pub(crate) fn following(due: Instant, interval: Duration, horizon: Instant) -> Instant {
    let intervals = horizon.since(due).as_nanos() / interval.as_nanos() + 1;
    due + Duration::from_nanos(interval.as_nanos().saturating_mul(intervals))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: RouterId = RouterId(1);
    const B: RouterId = RouterId(2);
    const TEN_MS: Duration = Duration::from_millis(10);

    fn at(micros: u64) -> Instant {
        Instant::from_nanos(micros * 1000)
    }

    fn due(schedule: &mut Schedule, now: Instant) -> Vec<(RouterId, Instant)> {
        let mut out = Vec::new();
        schedule.take_due(now, &mut out);
        out.iter().map(|due| (due.router, due.at)).collect()
    }

    #[test]
    fn first_at_once_then_every_interval_without_drift() {
        let mut schedule = Schedule::default();
        schedule.start(at(0), A, TEN_MS);
        assert_eq!(due(&mut schedule, at(0)), [(A, at(0))]);
        for tick in 1..1000 {
            assert_eq!(schedule.next_due(), Some(at(tick * 10_000)));
            assert_eq!(due(&mut schedule, at(tick * 10_000 - 1)), []);
            let late = tick * 7 % 3000;
            assert_eq!(due(&mut schedule, at(tick * 10_000 + late)), [(A, at(tick * 10_000))]);
        }
    }

    #[test]
    fn a_stall_skips_without_a_burst_and_keeps_the_phase() {
        let mut schedule = Schedule::default();
        schedule.start(at(0), A, TEN_MS);
        assert_eq!(due(&mut schedule, at(0)).len(), 1);
        assert_eq!(due(&mut schedule, at(57_300)), [(A, at(10_000))], "one for the whole stall");
        assert_eq!(schedule.next_due(), Some(at(60_000)));
        assert_eq!(due(&mut schedule, at(60_000)), [(A, at(60_000))]);
    }

    #[test]
    fn what_is_due_within_the_window_leaves_together_and_keeps_its_own_phase() {
        let mut schedule = Schedule::default();
        schedule.start(at(0), A, TEN_MS);
        schedule.start(at(150), B, TEN_MS);
        assert_eq!(due(&mut schedule, at(150)), [(A, at(0)), (B, at(150))]);
        assert_eq!(due(&mut schedule, at(10_000)), [(A, at(10_000)), (B, at(10_150))]);
        assert_eq!(schedule.next_due(), Some(at(20_000)));
        schedule.stop(A);
        assert_eq!(schedule.next_due(), Some(at(20_150)), "sending early moved nothing");
    }

    #[test]
    fn stop_is_final_and_start_begins_anew() {
        let mut schedule = Schedule::default();
        schedule.start(at(0), A, TEN_MS);
        schedule.stop(A);
        assert!(!schedule.contains(A));
        assert_eq!(schedule.next_due(), None);
        assert_eq!(due(&mut schedule, at(50_000)), []);
        schedule.start(at(3_000), A, TEN_MS);
        schedule.start(at(5_000), A, TEN_MS);
        assert_eq!(due(&mut schedule, at(5_000)), [(A, at(5_000))], "the earlier start is gone");
        assert_eq!(schedule.next_due(), Some(at(15_000)));
    }

    #[test]
    fn restarts_do_not_grow_the_heap() {
        let mut schedule = Schedule::default();
        for round in 0..10_000 {
            schedule.start(at(round), A, TEN_MS);
            schedule.stop(A);
        }
        assert!(schedule.heap.len() <= 17, "{}", schedule.heap.len());
    }

    #[test]
    fn three_hundred_routers_at_one_tick_come_out_in_one_batch() {
        let mut schedule = Schedule::default();
        for router in 0..300 {
            schedule.start(at(0), RouterId(router), TEN_MS);
        }
        for tick in 0..10 {
            assert_eq!(due(&mut schedule, at(tick * 10_000)).len(), 300);
        }
    }
}
