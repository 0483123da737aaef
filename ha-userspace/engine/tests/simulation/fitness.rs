//! What the daemon derives for the engine beside VRRP: fitness, the flap governor, bypass and its driver.
//!
//! Governor and policy are the engine's own; here they are fed as the daemon feeds them. The record of flaps and the position of
//! the wire outlive the process.

use crate::setting::Setting;
use holdfast_engine::{
    BypassAction, BypassPolicy, BypassSettings, BypassSwitch, Cause, Duration, FlapEvent, FlapGovernor,
    FlapRecord, FlapUnit, Instant, Position, Role, Standing, Transition,
};

/// The one link pair of a node that has any.
const PAIR: &str = "edge";
/// How long a driver takes.
const DRIVER_TIME: Duration = Duration::from_millis(30);
const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// The wire of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wire {
    pub(crate) position: Position,
    ordered: Option<(BypassSwitch, Instant)>,
}

impl Wire {
    pub(crate) const RELEASED: Wire = Wire { position: Position::Released, ordered: None };

    pub(crate) fn is_engaged(&self) -> bool {
        self.position == Position::Engaged
    }
}

/// The node's own affairs.
pub(crate) struct Fitness {
    /// A requirement that is not met, or maintenance.
    pub(crate) unfit: Option<Cause>,
    pub(crate) offset: i16,
    pub(crate) governor: FlapGovernor,
    pub(crate) policy: BypassPolicy,
    /// The operator has engaged it.
    pub(crate) by_hand: bool,
    told: Vec<Standing>,
    /// Flaps hold preemption back, as last told.
    pub(crate) holds_back: bool,
    pub(crate) flaps: Vec<FlapEvent>,
}

fn unix(now: Instant) -> u64 {
    now.as_nanos() / NANOS_PER_SECOND
}

/// Whether an ownership that ended so was lost by fault; the daemon's table.
pub(crate) fn is_fault(cause: Cause) -> bool {
    use Cause::{AdvertsOverdue, InterfaceDown, LeaseLapsed, RequirementFailed, SourceLost, Unheard};
    let faults = [InterfaceDown, SourceLost, LeaseLapsed, AdvertsOverdue, RequirementFailed, Unheard];
    faults.contains(&cause)
}

impl Fitness {
    pub(crate) fn new(own: usize, setting: &Setting, record: Option<FlapRecord>, now: Instant) -> Self {
        let pairs = if setting.bypasses[own] { vec![PAIR.to_owned()] } else { Vec::new() };
        let governor = match record {
            Some(record) => FlapGovernor::restore(setting.flaps, now, unix(now), record),
            None => FlapGovernor::new(setting.flaps),
        };
        let mut policy = BypassPolicy::new(BypassSettings { pairs, is_primary: setting.bypasses[own] });
        policy.set_latched(governor.is_latched());
        Fitness {
            unfit: None,
            offset: 0,
            governor,
            policy,
            by_hand: false,
            told: vec![Standing::default(); setting.routers[own].len()],
            holds_back: false,
            flaps: Vec::new(),
        }
    }

    pub(crate) fn record(&self, now: Instant) -> FlapRecord {
        self.governor.record(now, unix(now))
    }

    /// A clean stop has given everything up.
    pub(crate) fn stopped(&mut self, now: Instant) {
        for unit in self.record(now).owned {
            self.governor.lost(now, unit, false);
        }
    }

    /// A router's role changed. Its unit is its group's.
    pub(crate) fn moved(&mut self, now: Instant, unit: FlapUnit, transition: &Transition) {
        let event = match (transition.from, transition.to) {
            (_, Role::Active) => self.governor.regained(now, unit),
            (Role::Active, _) => {
                self.governor.lost(now, unit, is_fault(transition.cause));
                None
            }
            _ => None,
        };
        if matches!(event, Some(FlapEvent::Latched(_))) {
            self.policy.set_latched(true);
        }
        self.flaps.extend(event);
    }

    /// The operator, or time, ends the latch.
    pub(crate) fn released(&mut self, by_operator: bool, now: Instant) {
        let event = if by_operator { self.governor.release() } else { self.governor.handle_timeout(now) };
        if matches!(event, Some(FlapEvent::Released(_))) {
            self.policy.set_latched(false);
        }
    }

    pub(crate) fn is_latched_without_bypass(&self) -> bool {
        self.policy.is_latched_without_bypass()
    }

    /// Standings that changed, by position of the router.
    pub(crate) fn changes(&mut self, now: Instant) -> Vec<(usize, Standing)> {
        let latched = self.is_latched_without_bypass().then_some(Cause::FlapLatch);
        let standing = Standing {
            offset: self.offset,
            unfit: self.unfit.or(latched),
            may_preempt: self.governor.hold_until(now).is_none(),
        };
        self.holds_back = !standing.may_preempt;
        let mut changes = Vec::new();
        for (position, told) in self.told.iter_mut().enumerate() {
            if *told != standing {
                *told = standing;
                changes.push((position, standing));
            }
        }
        changes
    }

    /// Bars the bypass, or does not any more. While it is barred, what the operator engaged is forgotten.
    pub(crate) fn bar(&mut self, is_barred: bool) {
        self.policy.set_barred(is_barred);
        self.by_hand &= !is_barred;
    }

    pub(crate) fn order(&mut self, switch: BypassSwitch) {
        if let Ok(taken) = self.policy.order(switch, None) {
            self.by_hand = switch == BypassSwitch::Engage;
            if taken.ends_latch {
                self.governor.release();
                self.policy.set_latched(false);
            }
        }
    }

    /// The next thing the policy wants of the engine; orders to the driver are carried out here.
    pub(crate) fn next(&mut self, links_good: bool, wire: &mut Wire, now: Instant) -> Option<BypassAction> {
        loop {
            match self.policy.next(links_good)? {
                BypassAction::Order { switch, .. } => wire.ordered = Some((switch, now + DRIVER_TIME)),
                action => return Some(action),
            }
        }
    }

    /// When the driver will have done what it was told.
    pub(crate) fn driver_due(wire: &Wire) -> Option<Instant> {
        wire.ordered.map(|(_, at)| at)
    }

    /// The driver moves the wire and reads it back.
    pub(crate) fn drive(&mut self, wire: &mut Wire, now: Instant) {
        if let Some((switch, at)) = wire.ordered
            && at <= now
        {
            wire.ordered = None;
            wire.position = switch.position();
            self.policy.read_back(PAIR, switch, wire.position);
        }
    }

    pub(crate) fn next_wake(&self, wire: &Wire, now: Instant) -> Option<Instant> {
        let driver = Self::driver_due(wire);
        self.governor.deadline().into_iter().chain(self.governor.hold_until(now)).chain(driver).min()
    }
}
