//! Carries out orders, reads back what they did, and goes on reading: the loop of the bypass thread, one step at a time.
//!
//! A step does one thing with the driver, which may take its time, so that pets come first whatever else is due. A
//! driver that reads back otherwise than it was set is given a moment, then reported and tried again with growing
//! pauses, up to a bound. What changes without an order is reported and left alone: a tripped watchdog stays tripped
//! until somebody decides otherwise.

use super::driver::{BypassDriver, ReadBack, Reading};
use super::pair::{BypassReport, PortPair, Wanted};
use super::watchdog::PetTimer;
use super::xdp::WirePorts;
use crate::datapath::BypassMaps;
use holdfast_engine::{Duration, Instant};

/// Time that a relay may take to move before its reading counts.
const SETTLE: Duration = Duration::from_millis(50);
/// Pause before the second attempt; doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Attempts at one order.
const MOST_ATTEMPTS: u32 = 6;
/// Period of reading back.
const LOOK_PERIOD: Duration = Duration::from_secs(1);
/// Period of arming a watchdog that could not be armed.
const ARM_PERIOD: Duration = Duration::from_secs(5);

/// What the controller tells the keeper.
#[derive(Debug)]
pub(super) enum Order {
    /// For each named pair.
    Want(Wanted, Vec<String>),
    /// Ports as they stand now.
    Rewire(Vec<WirePorts>),
}

/// Receives every report.
pub(super) type Sink = Box<dyn Fn(BypassReport) + Send>;

/// What is going on with an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing; the order is carried out or given up.
    Idle,
    /// To be given to the driver.
    Write { attempt: u32, at: Instant },
    /// Given, but not yet so; to be read once more.
    Check { attempt: u32, at: Instant },
}

/// One pair under watch.
struct Watch {
    pair: PortPair,
    wanted: Wanted,
    phase: Phase,
    /// An order has been given and not reported on.
    owes_report: bool,
    /// What the last write did, for messages.
    written: String,
    /// What is wrong with the order.
    fault: Option<String>,
    /// What is wrong with the watchdog.
    watchdog_fault: Option<String>,
    /// As last read back.
    reading: Option<Reading>,
    said: Option<BypassReport>,
    look_at: Instant,
    has_watchdog: bool,
    /// When to arm the watchdog; `None` while it is armed or there is none.
    arm_at: Option<Instant>,
}

/// The pairs, their driver and who is told.
pub(super) struct Keeper {
    driver: Box<dyn BypassDriver>,
    watches: Vec<Watch>,
    pets: Option<PetTimer>,
    sink: Sink,
}

impl Keeper {
    pub(super) fn new(
        driver: Box<dyn BypassDriver>,
        pairs: Vec<PortPair>,
        pets: Option<PetTimer>,
        sink: Sink,
        now: Instant,
    ) -> Self {
        let has_watchdog = pets.is_some();
        let watch = |pair| Watch {
            pair,
            wanted: Wanted::default(),
            phase: Phase::Idle,
            owes_report: false,
            written: String::new(),
            fault: None,
            watchdog_fault: None,
            reading: None,
            said: None,
            look_at: now,
            has_watchdog,
            arm_at: has_watchdog.then_some(now),
        };
        Self { driver, watches: pairs.into_iter().map(watch).collect(), pets, sink }
    }

    /// Takes an order in; [`Self::step`] carries it out.
    pub(super) fn take(&mut self, now: Instant, order: Order) {
        match order {
            Order::Want(wanted, pairs) => {
                for name in pairs {
                    match self.watches.iter_mut().find(|watch| watch.pair.name == name) {
                        Some(watch) => watch.order(now, wanted),
                        None => (self.sink)(unknown_pair(name, wanted)),
                    }
                }
            }
            Order::Rewire(ports) => {
                if let Err(error) = self.driver.rewire(&ports) {
                    tracing::warn!("bypass: {error}");
                }
                for watch in &mut self.watches {
                    watch.rewired(now);
                }
            }
        }
    }

    /// Does the most urgent thing that is due, if any, and says when to be called next.
    pub(super) fn step(&mut self, now: Instant, proven_at: Option<Instant>) -> Instant {
        if self.pet(now, proven_at) {
            return now;
        }
        let due = self.watches.iter().position(|watch| watch.next() <= now);
        match due {
            Some(position) => {
                self.attend(now, position);
                now
            }
            None => {
                let pets = self.pets.as_ref().map(|pets| pets.next_look(now));
                let watches = self.watches.iter().map(Watch::next);
                watches.chain(pets).min().unwrap_or(now + LOOK_PERIOD)
            }
        }
    }

    /// Ends the watchdogs: the daemon stops of its own will. Gives back the maps of the data plane, if it had them.
    pub(super) fn stop(mut self) -> Option<BypassMaps> {
        for watch in self.watches.iter().filter(|watch| watch.has_watchdog) {
            if let Err(error) = self.driver.disarm(&watch.pair) {
                let pair = &watch.pair.name;
                tracing::warn!(pair, "the bypass watchdog could not be disarmed and will trip: {error}");
            }
        }
        self.driver.into_maps()
    }

    /// Pets every watchdog if that is due. Whether anything was done.
    fn pet(&mut self, now: Instant, proven_at: Option<Instant>) -> bool {
        let Some(pets) = &mut self.pets else { return false };
        let withheld = pets.is_withheld(now);
        let due = pets.is_due(now, proven_at);
        if due {
            pets.petted(now);
        } else if !withheld {
            return false;
        }
        for watch in self.watches.iter_mut().filter(|watch| watch.arm_at.is_none()) {
            let fault = if due {
                self.driver.pet(&watch.pair).err().map(|error| format!("watchdog not petted: {error}"))
            } else {
                Some("watchdog not petted: the data plane has not proven a round trip in time".to_owned())
            };
            watch.set_watchdog_fault(fault, now);
        }
        due
    }

    /// The one thing that is due for a pair.
    fn attend(&mut self, now: Instant, position: usize) {
        let watch = &mut self.watches[position];
        let driver = &mut *self.driver;
        match watch.phase {
            Phase::Write { attempt, at } if at <= now => watch.write(driver, now, attempt),
            Phase::Check { attempt, at } if at <= now => watch.check(driver, now, attempt),
            _ if watch.arm_at.is_some_and(|at| at <= now) => {
                let timeout = self.pets.as_ref().map(|pets| pets.timeout).unwrap_or_default();
                watch.arm(driver, now, timeout);
            }
            _ => watch.look(driver, now),
        }
        watch.say(&self.sink);
    }
}

impl Watch {
    fn order(&mut self, now: Instant, wanted: Wanted) {
        self.wanted = wanted;
        self.fault = None;
        self.owes_report = true;
        self.phase = Phase::Write { attempt: 1, at: now };
    }

    /// The ports have changed: what was given up, or went wrong, may work now.
    fn rewired(&mut self, now: Instant) {
        self.look_at = now;
        if self.phase == Phase::Idle && self.fault.is_some() && self.wanted == Wanted::Engaged {
            self.phase = Phase::Write { attempt: 1, at: now };
        }
    }

    /// When something is due.
    fn next(&self) -> Instant {
        let order = match self.phase {
            Phase::Idle => None,
            Phase::Write { at, .. } | Phase::Check { at, .. } => Some(at),
        };
        [order, self.arm_at].into_iter().flatten().fold(self.look_at, Ord::min)
    }

    fn write(&mut self, driver: &mut dyn BypassDriver, now: Instant, attempt: u32) {
        let done = match self.wanted {
            Wanted::Engaged => driver.engage(&self.pair),
            Wanted::Released => driver.release(&self.pair),
        };
        let found = driver.read_back(&self.pair);
        match done {
            Ok(written) => {
                self.written = written;
                if self.wanted.is_met_by(&found.reading) {
                    self.succeed(now, found.reading);
                } else {
                    self.phase = Phase::Check { attempt, at: now + SETTLE };
                }
            }
            Err(error) => self.fail(now, attempt, found.reading, error.to_string()),
        }
    }

    fn check(&mut self, driver: &mut dyn BypassDriver, now: Instant, attempt: u32) {
        let found = driver.read_back(&self.pair);
        if self.wanted.is_met_by(&found.reading) {
            return self.succeed(now, found.reading);
        }
        let lie = match &found.reading {
            Reading::Unknown(reason) => format!("wrote {}, cannot read it back: {reason}", self.written),
            reading => {
                format!("wrote {}, read {}, which means {}", self.written, found.evidence, reading.word())
            }
        };
        self.fail(now, attempt, found.reading, lie);
    }

    fn succeed(&mut self, now: Instant, reading: Reading) {
        self.fault = None;
        self.phase = Phase::Idle;
        self.look_at = now + LOOK_PERIOD;
        // Hardware that has tripped forgets that it was armed.
        if self.wanted == Wanted::Released && self.has_watchdog {
            self.arm_at = Some(now);
        }
        self.reading = Some(reading);
    }

    fn fail(&mut self, now: Instant, attempt: u32, reading: Reading, fault: String) {
        self.look_at = now + LOOK_PERIOD;
        if attempt < MOST_ATTEMPTS {
            let pause = FIRST_PAUSE.scaled(1 << (attempt - 1), 1);
            self.phase = Phase::Write { attempt: attempt + 1, at: now + pause };
            self.fault = Some(fault);
        } else {
            self.phase = Phase::Idle;
            self.fault = Some(format!("{fault}; given up after {attempt} attempts"));
        }
        self.reading = Some(reading);
    }

    /// Reads a pair that nobody has just ordered anything for.
    fn look(&mut self, driver: &mut dyn BypassDriver, now: Instant) {
        self.look_at = now + LOOK_PERIOD;
        if self.phase != Phase::Idle {
            return;
        }
        let ReadBack { reading, evidence } = driver.read_back(&self.pair);
        self.fault = match &reading {
            reading if self.wanted.is_met_by(reading) => None,
            Reading::Unknown(reason) => Some(reason.clone()),
            // An order that was given up has said more about it.
            reading if self.fault.is_some() && self.reading.as_ref() == Some(reading) => self.fault.take(),
            Reading::Engaged if self.has_watchdog => {
                Some(format!("engaged without an order, perhaps by its watchdog: read {evidence}"))
            }
            reading => Some(format!("{} without an order: read {evidence}", reading.word())),
        };
        self.reading = Some(reading);
    }

    fn arm(&mut self, driver: &mut dyn BypassDriver, now: Instant, timeout: std::time::Duration) {
        match driver.arm_watchdog(&self.pair, timeout) {
            Ok(()) => {
                self.arm_at = None;
                self.watchdog_fault = None;
            }
            Err(error) => {
                self.arm_at = Some(now + ARM_PERIOD);
                self.watchdog_fault = Some(format!("watchdog not armed: {error}"));
            }
        }
        self.look_at = now;
    }

    fn set_watchdog_fault(&mut self, fault: Option<String>, now: Instant) {
        if self.watchdog_fault != fault {
            self.watchdog_fault = fault;
            // So that it is said, together with what is read.
            self.look_at = now;
        }
    }

    /// Reports, where an order is owed an answer or something has changed.
    fn say(&mut self, sink: &Sink) {
        let Some(reading) = self.reading.clone() else { return };
        if matches!(self.phase, Phase::Check { .. } | Phase::Write { attempt: 1, .. }) {
            return;
        }
        let fault = self.fault.clone().or_else(|| self.watchdog_fault.clone());
        let report = BypassReport { pair: self.pair.name.clone(), wanted: self.wanted, reading, fault };
        if self.owes_report || self.said.as_ref() != Some(&report) {
            self.owes_report = false;
            self.said = Some(report.clone());
            sink(report);
        }
    }
}

fn unknown_pair(pair: String, wanted: Wanted) -> BypassReport {
    let reason = "no link pair of this name was configured when the bypass driver started".to_owned();
    BypassReport { pair, wanted, reading: Reading::Unknown(reason.clone()), fault: Some(reason) }
}

#[cfg(test)]
#[path = "keeper_tests.rs"]
mod tests;
