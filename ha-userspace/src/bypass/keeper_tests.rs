//! Orders, lies, changes nobody ordered, and pets, over a driver that is a few variables, on a clock that is a number.

use super::*;
use crate::bypass::DriverError;
use std::sync::{Arc, Mutex};
use std::time::Duration as Span;

#[derive(Default)]
struct Hardware {
    engaged: bool,
    /// Orders are accepted and ignored.
    deaf: bool,
    /// Orders take effect only after this many readings.
    slow: u32,
    /// Orders are refused.
    broken: bool,
    /// Readings fail.
    blind: bool,
    pending: Option<bool>,
    orders: usize,
    pets: usize,
    armed: Option<Span>,
    arms: usize,
    no_watchdog: bool,
}

#[derive(Clone, Default)]
struct FakeDriver(Arc<Mutex<Hardware>>);

impl FakeDriver {
    fn switch(&self, engaged: bool) -> Result<String, DriverError> {
        let mut hardware = self.0.lock().unwrap();
        hardware.orders += 1;
        if hardware.broken {
            return Err(DriverError::NoLine { pair: "wan".into(), key: "gpio_line" });
        }
        match (hardware.deaf, hardware.slow) {
            (true, _) => {}
            (false, 0) => hardware.engaged = engaged,
            (false, _) => hardware.pending = Some(engaged),
        }
        Ok(format!("`{engaged}` to /hw/control"))
    }

    fn with<T>(&self, change: impl FnOnce(&mut Hardware) -> T) -> T {
        change(&mut self.0.lock().unwrap())
    }
}

impl BypassDriver for FakeDriver {
    fn engage(&mut self, _pair: &PortPair) -> Result<String, DriverError> {
        self.switch(true)
    }

    fn release(&mut self, _pair: &PortPair) -> Result<String, DriverError> {
        self.switch(false)
    }

    fn read_back(&mut self, _pair: &PortPair) -> ReadBack {
        let mut hardware = self.0.lock().unwrap();
        if hardware.slow > 0 {
            hardware.slow -= 1;
        } else if let Some(engaged) = hardware.pending.take() {
            hardware.engaged = engaged;
        }
        if hardware.blind {
            return ReadBack { reading: Reading::Unknown("fog".into()), evidence: "fog".into() };
        }
        let reading = if hardware.engaged { Reading::Engaged } else { Reading::Released };
        ReadBack { reading, evidence: format!("`{}` from /hw/state", hardware.engaged) }
    }

    fn arm_watchdog(&mut self, _pair: &PortPair, timeout: Span) -> Result<(), DriverError> {
        let mut hardware = self.0.lock().unwrap();
        hardware.arms += 1;
        if hardware.no_watchdog {
            return Err(DriverError::NoWatchdog { driver: "fake" });
        }
        hardware.armed = Some(timeout);
        Ok(())
    }

    fn pet(&mut self, _pair: &PortPair) -> Result<(), DriverError> {
        self.with(|hardware| hardware.pets += 1);
        Ok(())
    }

    fn disarm(&mut self, _pair: &PortPair) -> Result<(), DriverError> {
        self.with(|hardware| hardware.armed = None);
        Ok(())
    }
}

/// A keeper of one pair, its hardware, what it reported, and the time.
struct Bench {
    keeper: Keeper,
    hardware: FakeDriver,
    reports: Arc<Mutex<Vec<BypassReport>>>,
    now: Instant,
    proven_at: Option<Instant>,
    /// Lets every step find a fresh proof.
    proves: bool,
}

const WATCHDOG: Span = Span::from_millis(900);
const PET_INTERVAL: Span = Span::from_millis(300);

impl Bench {
    fn new(watchdog: bool) -> Self {
        let now = Instant::from_nanos(1_000_000_000_000);
        let hardware = FakeDriver::default();
        let reports: Arc<Mutex<Vec<BypassReport>>> = Arc::default();
        let sink = Arc::clone(&reports);
        let pair = PortPair { name: "wan".into(), ..PortPair::default() };
        let pets = watchdog.then(|| PetTimer::new(WATCHDOG, PET_INTERVAL, now));
        let keeper = Keeper::new(
            Box::new(hardware.clone()),
            vec![pair],
            pets,
            Box::new(move |report| sink.lock().unwrap().push(report)),
            now,
        );
        Bench { keeper, hardware, reports, now, proven_at: None, proves: false }
    }

    /// Lets time pass, step by step as the keeper asks for it.
    fn run(&mut self, milliseconds: u64) {
        let end = self.now + Duration::from_millis(milliseconds);
        for _ in 0..100_000 {
            if self.proves {
                self.proven_at = Some(self.now);
            }
            let next = self.keeper.step(self.now, self.proven_at);
            if next > end {
                self.now = end;
                return;
            }
            self.now = next;
        }
        panic!("the keeper spins");
    }

    fn order(&mut self, wanted: Wanted) {
        self.keeper.take(self.now, Order::Want(wanted, vec!["wan".into()]));
    }

    fn reports(&self) -> Vec<BypassReport> {
        std::mem::take(&mut self.reports.lock().unwrap())
    }

    fn only_report(&self) -> BypassReport {
        let mut reports = self.reports();
        assert_eq!(reports.len(), 1, "{reports:?}");
        reports.remove(0)
    }
}

#[test]
fn every_order_ends_in_a_report_of_what_was_read() {
    let mut bench = Bench::new(false);
    bench.run(10);
    let found = bench.only_report();
    assert_eq!((found.wanted, found.reading, found.fault), (Wanted::Released, Reading::Released, None));
    for wanted in [Wanted::Engaged, Wanted::Engaged, Wanted::Released] {
        bench.order(wanted);
        bench.run(10);
        let report = bench.only_report();
        assert_eq!((report.pair.as_str(), report.wanted, report.fault.as_ref()), ("wan", wanted, None));
        assert!(wanted.is_met_by(&report.reading));
    }
    bench.run(60_000);
    assert!(bench.reports().is_empty(), "nothing changes, nothing is said");
}

#[test]
fn a_relay_may_take_a_moment() {
    let mut bench = Bench::new(false);
    bench.run(10);
    bench.reports();
    bench.hardware.with(|hardware| hardware.slow = 1);
    bench.order(Wanted::Engaged);
    bench.run(100);
    let report = bench.only_report();
    assert_eq!((report.reading, report.fault), (Reading::Engaged, None));
    assert_eq!(bench.hardware.with(|hardware| hardware.orders), 1);
}

#[test]
fn a_lie_is_told_in_full_and_tried_again_up_to_a_bound() {
    let mut bench = Bench::new(false);
    bench.run(10);
    bench.reports();
    bench.hardware.with(|hardware| hardware.deaf = true);
    bench.order(Wanted::Engaged);
    bench.run(100);
    let report = bench.only_report();
    assert_eq!((report.wanted, report.reading), (Wanted::Engaged, Reading::Released));
    let lie = "wrote `true` to /hw/control, read `false` from /hw/state, which means released";
    assert_eq!(report.fault.as_deref(), Some(lie));
    bench.run(60_000);
    let report = bench.only_report();
    assert_eq!(report.fault, Some(format!("{lie}; given up after {MOST_ATTEMPTS} attempts")));
    assert_eq!(bench.hardware.with(|hardware| hardware.orders), MOST_ATTEMPTS as usize);
    // It comes round after all.
    bench.hardware.with(|hardware| hardware.engaged = true);
    bench.run(1100);
    assert_eq!(bench.only_report().fault, None);
}

#[test]
fn a_driver_that_recovers_between_attempts_is_believed() {
    let mut bench = Bench::new(false);
    bench.run(10);
    bench.reports();
    bench.hardware.with(|hardware| hardware.broken = true);
    bench.order(Wanted::Engaged);
    bench.run(100);
    let fault = bench.only_report().fault.unwrap();
    assert!(fault.contains("has no gpio_line"), "{fault}");
    bench.hardware.with(|hardware| hardware.broken = false);
    bench.run(500);
    let report = bench.only_report();
    assert_eq!((report.reading, report.fault), (Reading::Engaged, None));
}

#[test]
fn a_change_nobody_ordered_is_reported_and_left_alone() {
    let mut bench = Bench::new(false);
    bench.run(10);
    bench.reports();
    bench.hardware.with(|hardware| hardware.engaged = true);
    bench.run(1100);
    let report = bench.only_report();
    assert_eq!((report.wanted, report.reading), (Wanted::Released, Reading::Engaged));
    assert_eq!(report.fault.as_deref(), Some("engaged without an order: read `true` from /hw/state"));
    bench.run(30_000);
    assert!(bench.reports().is_empty());
    assert_eq!(bench.hardware.with(|hardware| hardware.orders), 0);
    bench.hardware.with(|hardware| hardware.engaged = false);
    bench.run(1100);
    assert_eq!(bench.only_report().fault, None);
    bench.hardware.with(|hardware| hardware.blind = true);
    bench.run(1100);
    let report = bench.only_report();
    assert_eq!((report.reading, report.fault.as_deref()), (Reading::Unknown("fog".into()), Some("fog")));
}

#[test]
fn an_unknown_pair_is_answered() {
    let mut bench = Bench::new(false);
    bench.keeper.take(bench.now, Order::Want(Wanted::Engaged, vec!["lan".into()]));
    let report = bench.only_report();
    assert_eq!(report.pair, "lan");
    assert!(report.fault.unwrap().starts_with("no link pair of this name"));
}

#[test]
fn the_watchdog_is_armed_at_start_and_petted_while_there_is_proof() {
    let mut bench = Bench::new(true);
    bench.proves = true;
    bench.run(3050);
    let (armed, pets) = bench.hardware.with(|hardware| (hardware.armed, hardware.pets));
    assert_eq!(armed, Some(WATCHDOG));
    assert!((10..=11).contains(&pets), "{pets} pets in ten intervals");
    assert!(bench.reports().iter().all(|report| report.fault.is_none()));
}

#[test]
fn no_proof_no_pet_and_it_is_said() {
    let mut bench = Bench::new(true);
    bench.proves = true;
    bench.run(1000);
    bench.reports();
    bench.proves = false;
    let before = bench.hardware.with(|hardware| hardware.pets);
    bench.run(3000);
    let given = bench.hardware.with(|hardware| hardware.pets) - before;
    assert!(given <= 1, "{given} pets on a proof that had aged");
    let fault = bench.only_report().fault.unwrap();
    assert_eq!(fault, "watchdog not petted: the data plane has not proven a round trip in time");
    // The hardware trips; that, too, is read and said.
    bench.hardware.with(|hardware| hardware.engaged = true);
    bench.run(1100);
    let report = bench.only_report();
    assert_eq!(report.reading, Reading::Engaged);
    assert!(report.fault.unwrap().starts_with("engaged without an order, perhaps by its watchdog"));
    bench.proves = true;
    bench.run(100);
    assert!(bench.hardware.with(|hardware| hardware.pets) > before + given, "proof again, pets again");
}

#[test]
fn a_release_arms_the_watchdog_again() {
    let mut bench = Bench::new(true);
    bench.proves = true;
    bench.run(100);
    bench.order(Wanted::Engaged);
    bench.run(100);
    let arms = bench.hardware.with(|hardware| hardware.arms);
    bench.order(Wanted::Released);
    bench.run(100);
    assert_eq!(bench.hardware.with(|hardware| hardware.arms), arms + 1);
}

#[test]
fn a_clean_stop_disarms() {
    let mut bench = Bench::new(true);
    bench.run(10);
    assert!(bench.hardware.with(|hardware| hardware.armed.is_some()));
    assert!(bench.keeper.stop().is_none());
    assert_eq!(bench.hardware.with(|hardware| hardware.armed), None);
}

#[test]
fn a_watchdog_that_cannot_be_armed_is_reported_and_never_petted() {
    let mut bench = Bench::new(true);
    bench.proves = true;
    bench.hardware.with(|hardware| hardware.no_watchdog = true);
    bench.run(20_000);
    let reports = bench.reports();
    let fault = reports.last().and_then(|report| report.fault.clone());
    assert_eq!(fault.as_deref(), Some("watchdog not armed: the bypass driver fake has no watchdog"));
    assert!(reports.len() <= 2, "{reports:?}");
    let (pets, arms) = bench.hardware.with(|hardware| (hardware.pets, hardware.arms));
    assert_eq!(pets, 0);
    assert!((3..=5).contains(&arms), "tried {arms} times in 20 s");
}
