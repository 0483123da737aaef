//! The flap governor: counts how often this node lost its ownership by fault and got it back, holds preemption back
//! longer with each time, and latches past the maximum.
//!
//! Told of every loss and return of every unit (a group, or a virtual router without one); planned moves are told too,
//! and count nothing. It neither engages bypass nor releases an address: it says that it latched, when, and why. Its
//! record survives restarts and reboots, so it holds ages, never instants of the boot clock.

use crate::flap_record::{FlapRecord, FlapUnit, FlapView, LatchReason, LatchRecord, LatchView};
use crate::time::{Duration, Instant};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, VecDeque};

/// Hold after the first flap; doubled with each further one in the window.
const BASE_HOLD: Duration = Duration::from_secs(1);
/// Doublings at most: 136 years, so that no arithmetic overflows.
const MOST_DOUBLINGS: u32 = 32;
/// Older than a century is no older: a wall clock gone wrong must not exhaust our own.
const LONGEST_AGE: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);
/// Flaps kept at most, whatever a record or the configuration asks for.
const MOST_FLAPS: usize = 1_001;

/// `flaps.release`: how a latch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LatchRelease {
    /// By the operator only.
    Manual,
    /// By itself after this time, or earlier by the operator.
    After(Duration),
}

/// `[flaps]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlapSettings {
    /// One more in the window latches; 0 latches at the first. Up to 1000.
    pub maximum_allowed: u32,
    pub window: Duration,
    pub release: LatchRelease,
}

/// How a latch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReleasedBy {
    Operator,
    Time,
}

/// What a call changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FlapEvent {
    /// A flap was counted: so many in the window, and preemption is held so long after the next loss.
    Counted {
        flaps: u32,
        hold: Duration,
    },
    /// A flap was counted that was one too many.
    Latched(LatchReason),
    Released(ReleasedBy),
}

/// A latch in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Latch {
    since: Instant,
    reason: LatchReason,
}

/// The governor of one node.
///
/// A flap is counted when a unit comes back that was lost by fault. One fault usually takes several units: whatever was lost
/// by fault before the first of them comes back belongs to the same flap and is not counted again. While latched nothing
/// is counted, and a release begins with an empty window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlapGovernor {
    settings: FlapSettings,
    /// Added to the boot clock, so that what happened before this boot has an instant too. All instants below carry it.
    shift: Duration,
    /// Oldest first, all inside the window.
    flaps: VecDeque<Instant>,
    /// Last loss or return by fault.
    last_move: Option<Instant>,
    owned: BTreeSet<FlapUnit>,
    lost: BTreeSet<FlapUnit>,
    latch: Option<Latch>,
    revision: u64,
}

impl FlapGovernor {
    pub const fn new(settings: FlapSettings) -> Self {
        Self {
            settings,
            shift: Duration::ZERO,
            flaps: VecDeque::new(),
            last_move: None,
            owned: BTreeSet::new(),
            lost: BTreeSet::new(),
            latch: None,
            revision: 0,
        }
    }

    /// As recorded, older by the time that passed between `record.saved_at_unix` and `now_unix`.
    ///
    /// A wall clock that went backwards counts as no time at all: a latch is never shortened by it. What the record still
    /// owned was lost by a crash or a power cut, so its return is a flap; a successor that takes over without a loss
    /// empties `record.owned` first and tells of its units with [`Self::regained`]. Call [`Self::handle_timeout`] next: a timed
    /// latch may have ended meanwhile.
    pub fn restore(settings: FlapSettings, now: Instant, now_unix: u64, record: FlapRecord) -> Self {
        let elapsed = Duration::from_nanos(
            now_unix.saturating_sub(record.saved_at_unix).saturating_mul(Duration::from_secs(1).as_nanos()),
        );
        let aged = |age: Duration| (age + elapsed).min(LONGEST_AGE);
        let ages = record.flap_ages.iter().copied();
        let ages = ages.chain(record.last_move_age).chain(record.latch.map(|latch| latch.age));
        let shift = ages.map(aged).max().unwrap_or(Duration::ZERO);
        let at = |age: Duration| now + shift - aged(age);
        let crashed = !record.owned.is_empty();
        let mut governor = Self {
            shift,
            flaps: record.flap_ages.iter().map(|age| at(*age)).collect(),
            last_move: record.last_move_age.map(at),
            lost: record.lost.union(&record.owned).copied().collect(),
            latch: record.latch.map(|latch| Latch { since: at(latch.age), reason: latch.reason }),
            ..Self::new(settings)
        };
        governor.flaps.make_contiguous().sort_unstable();
        if crashed {
            governor.last_move = Some(governor.inner(now));
            governor.revision += 1;
        }
        governor.expire(now);
        governor
    }

    /// What has to survive a crash, as of now.
    pub fn record(&self, now: Instant, now_unix: u64) -> FlapRecord {
        let age = |at: Instant| self.age(now, at);
        FlapRecord {
            saved_at_unix: now_unix,
            latch: self.latch.map(|latch| LatchRecord { age: age(latch.since), reason: latch.reason }),
            flap_ages: self.flaps.iter().map(|at| age(*at)).collect(),
            last_move_age: self.last_move.map(age),
            owned: self.owned.clone(),
            lost: self.lost.clone(),
        }
    }

    /// Rises with every change that a crash must not undo; flaps that leave the window by age are none.
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// Other settings, at a reload. A lower maximum latches at the next flap, not at the reload; a latch in force
    /// follows the new `release`.
    pub fn reconfigure(&mut self, now: Instant, settings: FlapSettings) {
        self.settings = settings;
        self.expire(now);
    }

    /// A unit is not owned any more. Not `by_fault`: ordered by the operator, a peer of higher rank that came back, a
    /// stop or a reload.
    pub fn lost(&mut self, now: Instant, unit: FlapUnit, by_fault: bool) {
        if !self.owned.remove(&unit) {
            return;
        }
        self.revision += 1;
        if by_fault && self.latch.is_none() {
            self.lost.insert(unit);
            self.last_move = Some(self.inner(now));
        }
    }

    /// A unit is owned.
    pub fn regained(&mut self, now: Instant, unit: FlapUnit) -> Option<FlapEvent> {
        if !self.owned.insert(unit) {
            return None;
        }
        self.revision += 1;
        if !self.lost.contains(&unit) || self.latch.is_some() {
            return None;
        }
        self.lost.clear();
        Some(self.count(now))
    }

    fn count(&mut self, now: Instant) -> FlapEvent {
        self.expire(now);
        let at = self.inner(now);
        self.last_move = Some(at);
        self.flaps.push_back(at);
        let flaps = self.count_now();
        let FlapSettings { maximum_allowed, window, .. } = self.settings;
        if flaps <= maximum_allowed {
            return FlapEvent::Counted { flaps, hold: self.hold(flaps) };
        }
        let reason = LatchReason { flaps, maximum_allowed, window };
        self.latch = Some(Latch { since: at, reason });
        FlapEvent::Latched(reason)
    }

    /// The operator releases the latch; none if there is none.
    pub fn release(&mut self) -> Option<FlapEvent> {
        self.end_latch(ReleasedBy::Operator)
    }

    /// Time has passed: ends a timed latch, forgets flaps that left the window.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<FlapEvent> {
        self.expire(now);
        let due = self.release_at().is_some_and(|at| at <= self.inner(now));
        if due { self.end_latch(ReleasedBy::Time) } else { None }
    }

    fn end_latch(&mut self, by: ReleasedBy) -> Option<FlapEvent> {
        self.latch.take()?;
        self.revision += 1;
        self.flaps.clear();
        self.lost.clear();
        self.last_move = None;
        Some(FlapEvent::Released(by))
    }

    /// When [`Self::handle_timeout`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let window = self.settings.window;
        let expiry = self.flaps.front().filter(|_| self.latch.is_none()).map(|oldest| *oldest + window);
        let next = expiry.into_iter().chain(self.release_at()).min();
        next.map(|at| at - self.shift)
    }

    /// Until when an owner of lower priority is left alone; none if it need not be.
    ///
    /// After the n-th flap in the window that is 2^(n-1) seconds, at most the window, from the last loss or return by fault.
    /// For preemption only: a unit that nobody owns is taken at once, whatever stands here.
    pub fn hold_until(&self, now: Instant) -> Option<Instant> {
        let inner = self.inner(now);
        let window = self.settings.window;
        let counted = self.flaps.iter().filter(|flap| inner.since(**flap) < window).count();
        let end = self.last_move? + self.hold(u32::try_from(counted).unwrap_or(u32::MAX));
        (end > inner).then(|| end - self.shift)
    }

    fn hold(&self, flaps: u32) -> Duration {
        let Some(doublings) = flaps.checked_sub(1) else { return Duration::ZERO };
        BASE_HOLD.scaled(1 << doublings.min(MOST_DOUBLINGS), 1).min(self.settings.window)
    }

    pub const fn is_latched(&self) -> bool {
        self.latch.is_some()
    }

    pub fn view(&self, now: Instant) -> FlapView {
        let inner = self.inner(now);
        let window = self.settings.window;
        let is_latched = self.latch.is_some();
        let counted = self.flaps.iter().filter(|flap| is_latched || inner.since(**flap) < window);
        let expiry = self.flaps.front().filter(|_| !is_latched);
        FlapView {
            flaps: u32::try_from(counted.count()).unwrap_or(u32::MAX),
            maximum_allowed: self.settings.maximum_allowed,
            window,
            next_expiry_in: expiry.map(|oldest| (*oldest + window).since(inner)),
            hold_remaining: self.hold_until(now).map_or(Duration::ZERO, |end| end.since(now)),
            latched: self.latch.map(|latch| LatchView {
                age: inner.since(latch.since),
                reason: latch.reason,
                release_in: self.release_at().map(|at| at.since(inner)),
            }),
        }
    }

    fn release_at(&self) -> Option<Instant> {
        match (self.latch, self.settings.release) {
            (Some(latch), LatchRelease::After(hold)) => Some(latch.since + hold),
            _ => None,
        }
    }

    /// While latched the flaps that latched stay, to be shown.
    fn expire(&mut self, now: Instant) {
        let inner = self.inner(now);
        let window = self.settings.window;
        while self.latch.is_none() && self.flaps.front().is_some_and(|oldest| inner.since(*oldest) >= window)
        {
            self.flaps.pop_front();
        }
        while self.flaps.len() > MOST_FLAPS {
            self.flaps.pop_front();
        }
    }

    fn count_now(&self) -> u32 {
        u32::try_from(self.flaps.len()).unwrap_or(u32::MAX)
    }

    fn inner(&self, now: Instant) -> Instant {
        now + self.shift
    }

    fn age(&self, now: Instant, at: Instant) -> Duration {
        self.inner(now).since(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAN: FlapUnit = FlapUnit(1);
    const WAN: FlapUnit = FlapUnit(2);
    const NOON: u64 = 1_800_000_000;
    const MANUAL: FlapSettings = settings(3, LatchRelease::Manual);

    const fn settings(maximum_allowed: u32, release: LatchRelease) -> FlapSettings {
        FlapSettings { maximum_allowed, window: Duration::from_secs(600), release }
    }

    /// An hour after boot and so many seconds.
    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(3_600_000_000_000) + Duration::from_secs(seconds)
    }

    fn owning(settings: FlapSettings) -> FlapGovernor {
        let mut governor = FlapGovernor::new(settings);
        assert_eq!(governor.regained(at(0), LAN), None, "the first ownership is no return");
        governor
    }

    /// One flap: lost at `seconds`, back a second later.
    fn flap(governor: &mut FlapGovernor, seconds: u64) -> Option<FlapEvent> {
        governor.lost(at(seconds), LAN, true);
        governor.regained(at(seconds + 1), LAN)
    }

    fn counted(event: Option<FlapEvent>) -> Option<u32> {
        match event {
            Some(FlapEvent::Counted { flaps, .. }) => Some(flaps),
            _ => None,
        }
    }

    fn latched() -> FlapGovernor {
        let mut governor = owning(settings(3, LatchRelease::After(Duration::from_secs(100))));
        for number in 1..=3 {
            assert_eq!(counted(flap(&mut governor, number * 10)), Some(number as u32));
        }
        let window = Duration::from_secs(600);
        let reason = LatchReason { flaps: 4, maximum_allowed: 3, window };
        assert_eq!(flap(&mut governor, 40), Some(FlapEvent::Latched(reason)));
        governor
    }

    #[test]
    fn one_more_than_the_maximum_latches() {
        let governor = latched();
        let latch = governor.view(at(51)).latched.unwrap();
        assert_eq!((latch.age, latch.release_in), (Duration::from_secs(10), Some(Duration::from_secs(90))));
        assert_eq!(governor.view(at(51)).flaps, 4);
    }

    #[test]
    fn a_maximum_of_zero_latches_at_the_first_flap() {
        let mut governor = owning(settings(0, LatchRelease::Manual));
        governor.lost(at(1), LAN, true);
        assert!(!governor.is_latched(), "a loss without return is no flap");
        assert!(matches!(governor.regained(at(2), LAN), Some(FlapEvent::Latched(_))));
    }

    #[test]
    fn planned_moves_count_nothing() {
        let mut governor = owning(settings(0, LatchRelease::Manual));
        governor.lost(at(1), LAN, false);
        governor.lost(at(2), LAN, true);
        assert_eq!(governor.regained(at(3), LAN), None);
        assert_eq!(governor.hold_until(at(3)), None);
    }

    #[test]
    fn one_fault_of_several_units_is_one_flap() {
        let mut governor = owning(MANUAL);
        governor.regained(at(0), WAN);
        governor.lost(at(10), LAN, true);
        governor.lost(at(10), WAN, true);
        assert_eq!(counted(governor.regained(at(11), WAN)), Some(1));
        assert_eq!(governor.regained(at(12), LAN), None);
        governor.lost(at(13), LAN, true);
        assert_eq!(counted(governor.regained(at(14), LAN)), Some(2));
    }

    #[test]
    fn the_window_slides_and_its_edge_is_exact() {
        let mut governor = owning(MANUAL);
        flap(&mut governor, 9);
        assert_eq!(governor.deadline(), Some(at(610)));
        assert_eq!(governor.view(at(610) - Duration::from_nanos(1)).flaps, 1);
        assert_eq!(governor.view(at(610)).flaps, 0);
        assert_eq!(governor.handle_timeout(at(610)), None);
        assert_eq!(governor.deadline(), None);
        assert_eq!(counted(flap(&mut governor, 620)), Some(1));
    }

    #[test]
    fn the_hold_doubles_from_the_last_move_and_ends_with_the_window() {
        let mut governor = owning(settings(1_000, LatchRelease::Manual));
        governor.lost(at(1), LAN, true);
        assert_eq!(governor.hold_until(at(1)), None, "nothing is held before the first flap");
        governor.regained(at(2), LAN);
        for (number, hold) in (1..).zip([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]) {
            let moved = at(3 + number);
            governor.lost(moved, LAN, true);
            assert_eq!(governor.hold_until(moved), Some(moved + Duration::from_secs(hold)));
            assert_eq!(governor.hold_until(moved + Duration::from_secs(hold)), None);
            governor.regained(moved, LAN);
        }
        assert_eq!(governor.hold_until(at(700)), None, "all have left the window");
    }

    #[test]
    fn a_timed_latch_ends_by_itself_and_begins_afresh() {
        let mut governor = latched();
        assert_eq!(governor.deadline(), Some(at(141)));
        assert_eq!(governor.handle_timeout(at(141) - Duration::from_nanos(1)), None);
        assert_eq!(governor.handle_timeout(at(141)), Some(FlapEvent::Released(ReleasedBy::Time)));
        assert_eq!(governor.view(at(141)).flaps, 0);
        assert_eq!(governor.release(), None);
        assert_eq!(counted(flap(&mut governor, 150)), Some(1));
    }

    #[test]
    fn while_latched_nothing_is_counted() {
        let mut governor = latched();
        governor.lost(at(50), LAN, true);
        assert_eq!(governor.release(), Some(FlapEvent::Released(ReleasedBy::Operator)));
        assert_eq!(governor.regained(at(51), LAN), None);
        assert_eq!((governor.view(at(51)).flaps, governor.deadline()), (0, None));
    }

    #[test]
    fn a_latch_survives_a_reboot_with_its_age() {
        let record = latched().record(at(51), NOON);
        let boot = Instant::from_nanos(5_000_000_000);
        let mut governor = FlapGovernor::restore(latched().settings, boot, NOON + 30, record);
        let latch = governor.view(boot).latched.unwrap();
        assert_eq!((latch.age, latch.release_in), (Duration::from_secs(40), Some(Duration::from_secs(60))));
        assert_eq!(governor.deadline(), Some(boot + Duration::from_secs(60)));
        assert_eq!(
            governor.handle_timeout(boot + Duration::from_secs(60)),
            Some(FlapEvent::Released(ReleasedBy::Time))
        );
    }

    #[test]
    fn a_wall_clock_gone_back_shortens_no_latch_and_one_gone_mad_breaks_nothing() {
        let record = latched().record(at(51), NOON);
        let boot = Instant::from_nanos(0);
        let governor = FlapGovernor::restore(latched().settings, boot, 0, record.clone());
        assert_eq!(governor.view(boot).latched.unwrap().release_in, Some(Duration::from_secs(90)));
        let mut governor = FlapGovernor::restore(MANUAL, boot, u64::MAX, record);
        assert!(governor.is_latched(), "only the operator releases it");
        governor.release();
        governor.regained(boot, LAN);
        assert_eq!(counted(flap(&mut governor, 10)), Some(1));
        assert_eq!(governor.view(at(12)).next_expiry_in, Some(Duration::from_secs(599)));
    }

    #[test]
    fn recent_flaps_survive_a_reboot_and_leave_the_window_in_time() {
        let mut governor = owning(MANUAL);
        flap(&mut governor, 9);
        flap(&mut governor, 99);
        governor.lost(at(200), LAN, false);
        let boot = Instant::from_nanos(1);
        let record = governor.record(at(200), NOON);
        let mut governor = FlapGovernor::restore(MANUAL, boot, NOON + 60, record);
        assert_eq!(governor.view(boot).flaps, 2);
        assert_eq!(governor.deadline(), Some(boot + Duration::from_secs(600 - 190 - 60)));
        assert_eq!(governor.regained(boot, LAN), None, "a stop is a planned move");
        governor.handle_timeout(boot + Duration::from_secs(350));
        assert_eq!(governor.view(boot + Duration::from_secs(350)).flaps, 1);
    }

    #[test]
    fn a_crash_while_owning_is_a_fault() {
        let governor = owning(MANUAL);
        let boot = Instant::from_nanos(1);
        let record = governor.record(at(5), NOON);
        let mut restarted = FlapGovernor::restore(MANUAL, boot, NOON, record.clone());
        assert_eq!(counted(restarted.regained(boot, LAN)), Some(1));
        let handed_over = FlapRecord { owned: BTreeSet::new(), ..record };
        let mut successor = FlapGovernor::restore(MANUAL, boot, NOON, handed_over);
        assert_eq!(successor.regained(boot, LAN), None);
    }

    #[test]
    fn whatever_has_to_be_saved_raises_the_revision() {
        let mut governor = owning(settings(0, LatchRelease::Manual));
        let mut last = governor.revision();
        let mut raised = |governor: &FlapGovernor| {
            core::mem::replace(&mut last, governor.revision()) < governor.revision()
        };
        governor.lost(at(1), LAN, true);
        assert!(raised(&governor));
        governor.regained(at(2), LAN);
        assert!(raised(&governor));
        governor.regained(at(3), LAN);
        assert!(!raised(&governor));
        governor.release();
        assert!(raised(&governor));
    }
}
