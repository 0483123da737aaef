//! The flap governor at run time: fed from the transitions of every unit, kept on disk, and heard before anything comes of it.
//!
//! A latch takes effect once its record is on disk, or cannot be brought there; until then the node goes on as it was.
//! What follows from a latch is `bypassing`'s affair, or the fitness of the routers.

use super::controller::Controller;
use super::latch_writer::{LatchWriter, Saved};
use super::mailbox::Mailbox;
use super::plan;
use super::requests::Command;
use super::units::UnitNumbers;
use crate::config::units::show_duration;
use crate::config::validated::{Config, FlapRelease, Flaps, VirtualRouter};
use crate::control::status::FlapStatus;
use crate::effects::latch::{LatchFile, unix_now};
use crate::journal::{Event, NoticeEvent};
use ha_common::maps::peers::MAX_UNITS;
use holdfast_engine::{
    Cause, FlapEvent, FlapGovernor, FlapSettings, FlapUnit, Instant, LatchReason, LatchRelease, ReleasedBy,
    Role, RouterId, Transition,
};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// The governor with its file.
#[derive(Debug)]
pub(super) struct Governor {
    flaps: FlapGovernor,
    writer: LatchWriter,
    /// As last handed to the writer.
    handed: u64,
    /// A latch whose record, of this revision, is not on disk yet.
    unconfirmed: Option<u64>,
    /// The latch counts.
    in_force: bool,
    /// The last record could not be written.
    failing: bool,
    units: BTreeMap<RouterId, FlapUnit>,
    /// To be said as soon as there is somebody to say it to.
    unsaid: Vec<String>,
}

impl Governor {
    /// As an earlier run left it. A record that cannot be read is said later, by [`Controller::begin_flaps`].
    pub(super) fn restore(
        config: &Config,
        state_dir: &Path,
        now: Instant,
        mailbox: &Mailbox<Command>,
    ) -> io::Result<Self> {
        let file = LatchFile::new(state_dir);
        let settings = settings(&config.flaps);
        let mut unsaid = Vec::new();
        let flaps = match file.load() {
            Ok(Some(record)) => FlapGovernor::restore(settings, now, unix_now(), record),
            Ok(None) => FlapGovernor::new(settings),
            Err(error) => {
                unsaid.push(error.to_string());
                FlapGovernor::new(settings)
            }
        };
        let mailbox = mailbox.clone();
        let writer = LatchWriter::spawn(file, move |saved| {
            mailbox.send(Command::LatchSaved(saved));
        })?;
        let in_force = flaps.is_latched();
        Ok(Self {
            flaps,
            writer,
            handed: 0,
            unconfirmed: None,
            in_force,
            failing: false,
            units: BTreeMap::new(),
            unsaid,
        })
    }

    /// Until when a living owner of lower priority is left alone; `None` if it need not be.
    pub(super) fn hold(&self, now: Instant) -> Option<Instant> {
        self.flaps.hold_until(now)
    }

    /// When something has to be done.
    pub(super) fn next_wake(&self, now: Instant) -> Option<Instant> {
        self.flaps.deadline().into_iter().chain(self.hold(now)).min()
    }

    pub(super) fn status(&self, now: Instant) -> FlapStatus {
        let view = self.flaps.view(now);
        FlapStatus {
            count: view.flaps,
            window_ns: view.window.as_nanos(),
            maximum_allowed: view.maximum_allowed,
            latched: view.latched.is_some(),
            reason: view.latched.map(|latch| reason_text(&latch.reason)),
            hold_remaining_ns: view.hold_remaining.as_nanos(),
            release_in_ns: view.latched.and_then(|latch| latch.release_in).map(|span| span.as_nanos()),
            next_expiry_in_ns: view.next_expiry_in.map(|span| span.as_nanos()),
        }
    }

    /// Nothing is owned any more by the operator's will: the next start has lost nothing. Waits for the disk.
    pub(super) fn end(mut self, now: Instant, planned: bool) {
        if planned {
            for unit in self.flaps.record(now, unix_now()).owned {
                self.flaps.lost(now, unit, false);
            }
        }
        self.hand_over(now);
    }

    /// Hands the record to the writer if a crash must not undo what has changed.
    fn hand_over(&mut self, now: Instant) {
        let revision = self.flaps.revision();
        if revision == self.handed {
            return;
        }
        self.handed = revision;
        // The other changes can wait: a crash within that moment is not taken for a loss.
        let is_urgent = self.flaps.is_latched() != self.in_force || self.unconfirmed.is_some();
        self.writer.save(revision, self.flaps.record(now, unix_now()), is_urgent);
        if self.flaps.is_latched() && !self.in_force && self.unconfirmed.is_none() {
            self.unconfirmed = Some(revision);
        }
    }

    fn moved(&mut self, now: Instant, transition: &Transition) -> Option<FlapEvent> {
        let unit = *self.units.get(&transition.router)?;
        match (transition.from, transition.to) {
            (Role::Active, Role::Active) => None,
            (_, Role::Active) => self.flaps.regained(now, unit),
            (Role::Active, _) => {
                self.flaps.lost(now, unit, is_fault(transition.cause));
                None
            }
            _ => None,
        }
    }

    /// Gives routers their units; an Active one whose unit changes takes its ownership along.
    fn number(&mut self, now: Instant, routers: &BTreeMap<RouterId, VirtualRouter>, active: &[RouterId]) {
        let numbers = UnitNumbers::of(routers.values());
        for (id, router) in routers {
            // Beyond the bits of a probe there are no numbers that nodes agree on; here one of our own will do.
            let unit = numbers.unit(router).map_or(MAX_UNITS + id.0, |unit| u32::from(unit.0));
            let before = self.units.insert(*id, FlapUnit(unit));
            if let Some(before) = before.filter(|before| before.0 != unit && active.contains(id)) {
                self.flaps.lost(now, before, false);
                self.flaps.regained(now, FlapUnit(unit));
            }
        }
    }
}

/// Whether an ownership that ended so was lost by fault. A member of a group that follows another is told after that one,
/// and changes nothing.
fn is_fault(cause: Cause) -> bool {
    match cause {
        Cause::InterfaceDown
        | Cause::SourceLost
        | Cause::LeaseLapsed
        | Cause::AdvertsOverdue
        | Cause::RequirementFailed
        | Cause::Unheard => true,
        Cause::HigherPriority
        | Cause::TieBreak
        | Cause::FailoverCommand
        | Cause::Maintenance
        | Cause::LowBandwidth
        | Cause::Shutdown
        | Cause::Reconfigured
        | Cause::FlapLatch
        | Cause::BypassCommand
        | Cause::GroupMember => false,
        // Ways into a role, never out of it.
        Cause::Startup
        | Cause::OwnerStartup
        | Cause::AdvertTimeout
        | Cause::PriorityZero
        | Cause::Preemption
        | Cause::PeerUnhealthy
        | Cause::VouchEnded => false,
    }
}

fn settings(flaps: &Flaps) -> FlapSettings {
    FlapSettings {
        maximum_allowed: flaps.maximum_allowed,
        window: plan::span(flaps.window),
        release: match flaps.release {
            FlapRelease::Manual => LatchRelease::Manual,
            FlapRelease::After(hold) => LatchRelease::After(plan::span(hold)),
        },
    }
}

fn reason_text(reason: &LatchReason) -> String {
    let window = show_duration(std::time::Duration::from_nanos(reason.window.as_nanos()));
    format!("{} flaps within {window}, {} allowed", reason.flaps, reason.maximum_allowed)
}

impl Controller {
    /// First of all at a start: says what was wrong with the record, and lets a latch of an earlier run count.
    pub(super) fn begin_flaps(&mut self, now: Instant) {
        for fault in std::mem::take(&mut self.governor.unsaid) {
            self.say_record_fault(now, fault);
        }
        if self.governor.in_force {
            let reason = self.governor.status(now).reason.unwrap_or_default();
            tracing::warn!(
                "this node is still latched by its flaps ({reason}); `holdfast bypass release` ends that"
            );
            self.bypassing.set_latched(true);
        }
        self.pass_flap_time(now);
    }

    /// Brings settings and units to the configuration that is about to be taken up.
    pub(super) fn number_flap_units(&mut self, now: Instant, routers: &BTreeMap<RouterId, VirtualRouter>) {
        let is_active = |router: &&super::routers::Router| router.standing.role == Role::Active;
        let active: Vec<RouterId> = self.routers.iter().filter(is_active).map(|router| router.id()).collect();
        self.governor.flaps.reconfigure(now, settings(&self.config.flaps));
        self.governor.number(now, routers, &active);
    }

    /// Tells the governor of a transition.
    pub(super) fn note_flap(&mut self, now: Instant, transition: &Transition) {
        match self.governor.moved(now, transition) {
            Some(FlapEvent::Counted { flaps, hold }) => {
                let hold = show_duration(std::time::Duration::from_nanos(hold.as_nanos()));
                tracing::warn!(
                    flaps,
                    "flap counted; after the next loss this node preempts nobody for {hold}"
                );
            }
            Some(FlapEvent::Latched(_) | FlapEvent::Released(_)) | None => {}
        }
        // At once: a crash right after it must not undo it.
        self.governor.hand_over(now);
    }

    /// What the passing of time means for flaps and latch, and what follows for the routers. Once per pass.
    pub(super) fn settle_flaps(&mut self, now: Instant) {
        self.pass_flap_time(now);
        self.governor.hand_over(now);
        self.tell_fitness(now);
    }

    /// The record of a revision is on disk, or cannot be brought there.
    pub(super) fn latch_saved(&mut self, now: Instant, Saved { revision, outcome }: Saved) {
        let failed = outcome.is_err();
        if let Err(error) = outcome
            && !self.governor.failing
        {
            self.say_record_fault(now, error.to_string());
        } else if !failed && self.governor.failing {
            tracing::info!("the record of flaps can be written again");
        }
        self.governor.failing = failed;
        if self.governor.unconfirmed.is_some_and(|awaited| awaited <= revision) {
            self.governor.unconfirmed = None;
            self.governor.in_force = true;
            let detail = self.governor.status(now).reason.unwrap_or_default();
            self.occur(now, Event::Notice(NoticeEvent::FlapLatched { detail }));
            self.bypassing.set_latched(true);
        }
    }

    /// The operator ends the latch.
    pub(super) fn release_latch(&mut self, now: Instant) {
        if let Some(FlapEvent::Released(by)) = self.governor.flaps.release() {
            self.latch_released(now, by);
        }
    }

    fn pass_flap_time(&mut self, now: Instant) {
        if let Some(FlapEvent::Released(by)) = self.governor.flaps.handle_timeout(now) {
            self.latch_released(now, by);
        }
    }

    fn latch_released(&mut self, now: Instant, by: ReleasedBy) {
        self.governor.unconfirmed = None;
        self.governor.hand_over(now);
        self.governor.in_force = false;
        let detail = match by {
            ReleasedBy::Operator => "by the operator",
            ReleasedBy::Time => "its time (flaps.release) is over",
        };
        self.occur(now, Event::Notice(NoticeEvent::FlapReleased { detail: detail.into() }));
        self.bypassing.set_latched(false);
    }

    fn say_record_fault(&self, now: Instant, fault: String) {
        tracing::error!("{fault}");
        self.record_event(now, Event::Notice(NoticeEvent::FlapRecordFault { fault }));
    }

    /// Latched, with no bypass to go into: this node is not fit to own anything somebody else can.
    pub(super) fn is_latched_without_bypass(&self) -> bool {
        self.bypassing.is_latched_without_bypass()
    }

    /// How far flaps bear on this node's fitness to own.
    fn tell_fitness(&mut self, now: Instant) {
        let (latched, hold) = (self.is_latched_without_bypass(), self.governor.hold(now));
        self.fitness.set_latched(latched);
        self.fitness.set_hold(hold);
    }
}

#[cfg(test)]
#[path = "governor_tests.rs"]
mod tests;
