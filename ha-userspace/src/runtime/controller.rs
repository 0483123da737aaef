//! The controller's loop: ring and queues in, engine, maps and effects out, lease last.
//!
//! It runs on a thread of its own, real-time where permitted, and waits only in `poll`. Everything that can block
//! (netlink, files, clients) is on other threads behind queues. The order of a pass matters: what the data plane saw
//! is read before timers are judged, a lapsed lease is admitted before it is extended, and the lease is extended only
//! after the whole pass.

use super::bandwidth::Bandwidth;
use super::bypassing::Bypassing;
use super::discard_watch::{DiscardWatch, Remark};
use super::fitness::Fitness;
use super::governor::Governor;
use super::instance::RunLock;
use super::lease::Lease;
use super::link_pairs::LinkPairs;
use super::mailbox::{Inbox, Mailbox};
use super::maintenance::Maintenance;
use super::peers::{Credentials, PeerTable};
use super::requests::{Command, PendingFailover};
use super::routers::Routers;
use super::stall::{Heard, StallWatch};
use super::wiring::{Unsettled, WiringError};
use super::{clock, plan};
use crate::bypass::Bypass;
use crate::checks::CheckRunner;
use crate::config::validated::Config;
use crate::datapath::{Datapath, DatapathError, RingReader, RingRecord};
use crate::effects::adverts::AdvertSender;
use crate::effects::executor::Effects;
use crate::effects::interfaces::Interfaces;
use crate::journal::{EventFeed, Occurrence};
use crate::probes::sender::ProbeSender;
use ha_common::verdict_reasons::VerdictReason;
use holdfast_engine::{Duration, Engine, Input, Instant};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::time::TimeSpec;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::SystemTime;

/// Most ring records taken in one pass, so that a storm of them cannot keep the loop from its lease.
const RING_BATCH: usize = 1024;
const NANOS_PER_MILLI: u64 = 1_000_000;
/// How long a stop waits for addresses to be removed.
const LONGEST_REMOVAL: Duration = Duration::from_secs(5);
const REMOVAL_POLL_MS: u16 = 100;
/// Floor of the stall threshold: less is scheduling noise on any machine.
const SHORTEST_STALL: Duration = Duration::from_millis(5);

/// What the controller is built from.
pub(super) struct Parts {
    pub(super) config: Config,
    pub(super) config_path: PathBuf,
    pub(super) datapath: Datapath,
    pub(super) ring: RingReader,
    pub(super) adverts: AdvertSender,
    pub(super) effects: Effects,
    pub(super) checks: CheckRunner,
    /// The operator's switch, as it was left.
    pub(super) maintenance: bool,
    pub(super) journal: Sender<Occurrence>,
    pub(super) feed: EventFeed,
    pub(super) own_mailbox: Mailbox<Command>,
    pub(super) probes: ProbeSender,
    /// Number of this run for the peers; 0 if it could not be counted.
    pub(super) incarnation: u64,
    pub(super) credentials: Credentials,
    pub(super) governor: Governor,
    pub(super) bypass: Option<Bypass>,
    /// Held until everything is down.
    pub(super) run_lock: RunLock,
}

/// Everything the loop works on.
pub(super) struct Controller {
    pub(super) engine: Engine,
    pub(super) lease: Lease,
    pub(super) stall: StallWatch,
    pub(super) numbers: plan::Numbers,
    pub(super) routers: Routers,
    pub(super) peers: PeerTable,
    pub(super) probes: ProbeSender,
    pub(super) credentials: Credentials,
    pub(super) interfaces: Interfaces,
    pub(super) started_at: SystemTime,
    pub(super) stopping: Stopping,
    pub(super) failovers: Vec<PendingFailover>,
    pub(super) bandwidth: Bandwidth,
    pub(super) fitness: Fitness,
    pub(super) link_pairs: LinkPairs,
    pub(super) maintenance: Maintenance,
    pub(super) checks: CheckRunner,
    pub(super) discards: DiscardWatch,
    pub(super) unsettled: Unsettled,
    pub(super) spare_loader: Option<JoinHandle<()>>,
    /// A priority-0 advert was ordered and may not have left yet.
    pub(super) releasing: bool,
    ring_overflows: u64,
    pub(super) config: Config,
    pub(super) config_path: PathBuf,
    pub(super) datapath: Datapath,
    pub(super) ring: RingReader,
    pub(super) adverts: AdvertSender,
    pub(super) effects: Effects,
    pub(super) journal: Sender<Occurrence>,
    pub(super) feed: EventFeed,
    pub(super) own_mailbox: Mailbox<Command>,
    pub(super) governor: Governor,
    pub(super) bypassing: Bypassing,
    run_lock: RunLock,
}

/// How far a stop has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stopping {
    No,
    /// The engine is releasing.
    Releasing,
    /// The effects thread is removing what stands.
    Flushing,
    Done,
}

impl Controller {
    pub(super) fn new(parts: Parts) -> Self {
        let now = clock::now();
        Self {
            engine: Engine::new(),
            lease: Lease::new(plan::span(parts.config.ha.controller_lease), now),
            stall: StallWatch::new(now),
            numbers: plan::Numbers::default(),
            routers: Routers::default(),
            peers: PeerTable::new(parts.incarnation),
            probes: parts.probes,
            credentials: parts.credentials,
            interfaces: Interfaces::default(),
            started_at: SystemTime::now(),
            stopping: Stopping::No,
            failovers: Vec::new(),
            bandwidth: Bandwidth::default(),
            fitness: Fitness::new(parts.maintenance),
            link_pairs: LinkPairs::default(),
            maintenance: Maintenance::default(),
            checks: parts.checks,
            discards: DiscardWatch::default(),
            unsettled: Unsettled::default(),
            spare_loader: None,
            releasing: false,
            ring_overflows: 0,
            governor: parts.governor,
            bypassing: Bypassing::new(&parts.config, parts.bypass),
            config: parts.config,
            config_path: parts.config_path,
            datapath: parts.datapath,
            ring: parts.ring,
            adverts: parts.adverts,
            effects: parts.effects,
            journal: parts.journal,
            feed: parts.feed,
            own_mailbox: parts.own_mailbox,
            run_lock: parts.run_lock,
        }
    }

    /// Learns the interfaces, attaches the data plane and takes up the configuration. Nothing is owned yet.
    pub(super) fn prepare(&mut self, inbox: &Inbox<Command>) -> Result<(), WiringError> {
        let mut waiting = Vec::new();
        for command in inbox.drain() {
            match command {
                Command::Link(event) => {
                    self.interfaces.apply(&event);
                }
                other => waiting.push(other),
            }
        }
        for command in waiting {
            self.own_mailbox.send(command);
        }
        let config = self.config.clone();
        self.attach_for(&config)?;
        let now = clock::now();
        self.write_lease(now)?;
        // A node that is latched stands down before anything can be owned.
        self.begin_flaps(now);
        self.settle_bypass(now)?;
        Ok(self.apply_configuration(now)?)
    }

    /// Runs until stopped. An error is one the data plane cannot go on with.
    pub(super) fn run(&mut self, inbox: &Inbox<Command>) -> Result<(), DatapathError> {
        self.perform_actions(clock::now())?;
        while self.stopping != Stopping::Done {
            let wake = self.next_wake();
            self.stall.pass_ended(clock::now(), wake, self.heard()?);
            wait(self.ring.as_raw_fd(), inbox, wake);
            self.pass(inbox)?;
        }
        Ok(())
    }

    /// Takes everything down: adverts, addresses, programs. After a graceful stop the first two are gone already.
    pub(super) fn take_down(self, inbox: &Inbox<Command>) -> Result<(), DatapathError> {
        let Self { datapath, adverts, effects, own_mailbox, run_lock, spare_loader, probes, .. } = self;
        drop(adverts);
        drop(probes);
        let graceful = self.stopping == Stopping::Done;
        self.governor.end(clock::now(), graceful);
        self.bypassing.end(graceful);
        if self.stopping != Stopping::Done {
            effects.remove_all(move |left| {
                own_mailbox.send(Command::EffectsRemoved(left));
            });
            await_removal(inbox);
        }
        drop(effects);
        // It would pin new maps behind our back.
        let _ = spare_loader.map(JoinHandle::join);
        let unloaded = datapath.unload();
        drop(run_lock);
        unloaded
    }

    fn pass(&mut self, inbox: &Inbox<Command>) -> Result<(), DatapathError> {
        let now = clock::now();
        self.admit_stall(now)?;
        self.drain_ring(now)?;
        self.admit_lapse(now)?;
        self.perform_actions(now)?;
        for command in inbox.drain() {
            self.handle_command(now, command)?;
            self.perform_actions(now)?;
        }
        self.settle_links(now)?;
        self.judge_timers()?;
        self.settle_flaps(now);
        self.review_fitness(clock::now())?;
        self.settle_bypass(now)?;
        self.settle_failovers();
        self.settle_maintenance();
        self.extend_lease()
    }

    /// Reads what the data plane absorbed for every timer that is due, then lets the engine judge.
    fn judge_timers(&mut self) -> Result<(), DatapathError> {
        let now = clock::now();
        if !self.engine.due_routers(now).is_empty() {
            self.read_peers(now)?;
        }
        for router in self.engine.due_routers(now) {
            let state = self.datapath.maps.read_state(router.0)?;
            if state.last_advert_ns != 0 {
                let at = Instant::from_nanos(state.last_advert_ns);
                self.engine.handle_input(now, Input::Heard { router, at });
            }
        }
        self.engine.handle_timeout(now);
        self.perform_actions(now)
    }

    fn admit_stall(&mut self, now: Instant) -> Result<(), DatapathError> {
        let mut failure = None;
        let (stall, datapath, routers) = (&mut self.stall, &self.datapath, &self.routers);
        let stalled = stall.woke(now, || {
            heard_on(datapath, routers).unwrap_or_else(|error| {
                failure = Some(error);
                Heard::new()
            })
        });
        if let Some(stalled) = stalled {
            self.engine.handle_input(now, stalled);
        }
        failure.map_or(Ok(()), Err)
    }

    fn drain_ring(&mut self, now: Instant) -> Result<(), DatapathError> {
        for _ in 0..RING_BATCH {
            match self.ring.next_record() {
                Some(RingRecord::Advert { router, advert, uncorroborated: false }) => {
                    self.engine.handle_input(now, Input::Advert { router, advert });
                }
                Some(RingRecord::Advert { router, advert, uncorroborated: true }) => {
                    self.uncorroborated(now, router, advert);
                }
                Some(RingRecord::Peer(event)) => self.handle_peer_event(now, &event)?,
                None => break,
            }
        }
        let overflows = self.datapath.maps.read_verdict(VerdictReason::RingOverflow)?;
        if overflows != self.ring_overflows {
            self.ring_overflows = overflows;
            self.resynchronise(now)?;
        }
        Ok(())
    }

    /// The ring was full: whatever was lost still stands in the state map.
    fn resynchronise(&mut self, now: Instant) -> Result<(), DatapathError> {
        tracing::warn!("the event ring overflowed; reading the state of every virtual router instead");
        for router in self.routers.iter() {
            let state = self.datapath.maps.read_state(router.spec.slot)?;
            if let Some(advert) = router.last_heard(&state) {
                self.engine.handle_input(now, Input::Advert { router: router.id(), advert });
            }
        }
        Ok(())
    }

    /// A controller that wakes up past its lease has lost what it owned. Once everything is given up, a new lease revives
    /// nothing, and what the rest of the pass grants is not taken for a part of what had lapsed.
    fn admit_lapse(&mut self, now: Instant) -> Result<(), DatapathError> {
        if !self.lease.lapsed(now) {
            return Ok(());
        }
        let ended = self.lease.until();
        let late_ms = now.since(ended).as_nanos() / NANOS_PER_MILLI;
        tracing::error!(
            late_ms,
            "the controller overslept its lease; every owned virtual router is given up"
        );
        self.engine.handle_input(now, Input::LeaseLapsed { at: ended });
        self.perform_actions(now)?;
        self.write_lease(clock::now())
    }

    fn extend_lease(&mut self) -> Result<(), DatapathError> {
        let now = clock::now();
        if now < self.lease.next_extension() {
            return Ok(());
        }
        self.admit_lapse(now)?;
        self.remark_discards(now)?;
        self.note_frames(now)?;
        self.read_peers(now)?;
        self.perform_actions(now)?;
        self.pet_bypass();
        let before = self.lease.until();
        self.write_lease(now)?;
        self.probes.extend_lease(self.lease.until());
        let written = clock::now();
        if written > before {
            // Preempted between the clock read and the write: the extension itself came too late.
            self.engine.handle_input(written, Input::LeaseLapsed { at: before });
            self.perform_actions(written)?;
        }
        Ok(())
    }

    fn write_lease(&mut self, now: Instant) -> Result<(), DatapathError> {
        let until = self.lease.extend(now);
        self.datapath.maps.write_lease(until)
    }

    fn remark_discards(&mut self, now: Instant) -> Result<(), DatapathError> {
        if !self.discards.is_due(now) {
            return Ok(());
        }
        for router in self.routers.iter() {
            let counts = self.datapath.maps.read_router_verdicts(router.spec.slot)?;
            for Remark { reason, frames, meaning } in self.discards.look(now, router.id(), &counts) {
                tracing::warn!(router = router.config.name, frames, "discarded as {reason}: {meaning}");
            }
        }
        Ok(())
    }

    fn next_wake(&self) -> Instant {
        let lease = self.lease.next_extension();
        let flaps = self.governor.next_wake(clock::now());
        let others =
            [self.engine.next_deadline(), self.fitness_deadline(), flaps, self.bypassing.next_wake()];
        others.into_iter().flatten().fold(lease, Ord::min)
    }

    pub(super) fn heard(&self) -> Result<Heard, DatapathError> {
        heard_on(&self.datapath, &self.routers)
    }

    /// Stalls shorter than the shortest advertisement interval cannot hide an advert.
    pub(super) fn set_stall_threshold(&mut self) {
        let intervals =
            self.config.virtual_routers.iter().map(|router| plan::span(router.advertisement_interval));
        self.stall.set_threshold(intervals.min().unwrap_or(SHORTEST_STALL).max(SHORTEST_STALL));
    }
}

/// Frames received so far per interface, by the engine's interface numbers.
fn heard_on(datapath: &Datapath, routers: &Routers) -> Result<Heard, DatapathError> {
    let mut heard = Heard::new();
    for router in routers.iter() {
        if heard.contains_key(&router.interface) {
            continue;
        }
        if let Some(link) = datapath.link(router.spec.attach_ifindex) {
            heard.insert(router.interface, datapath.maps.read_link_counters(link.slot)?.rx_packets);
        }
    }
    Ok(heard)
}

/// Waits for the ring, a command or `wake`, whichever is first. A signal ends the wait early, which is harmless.
fn wait(ring: std::os::fd::RawFd, inbox: &Inbox<Command>, wake: Instant) {
    // SAFETY: the ring reader outlives this call; its descriptor is open.
    let ring = unsafe { BorrowedFd::borrow_raw(ring) };
    let mut fds = [PollFd::new(ring, PollFlags::POLLIN), PollFd::new(inbox.as_fd(), PollFlags::POLLIN)];
    let span = wake.since(clock::now());
    let timeout = TimeSpec::from_duration(std::time::Duration::from_nanos(span.as_nanos()));
    match nix::poll::ppoll(&mut fds, Some(timeout), None) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => {
            tracing::error!("waiting for events: {errno}");
            // Never spin: a broken descriptor must not starve the machine at real-time priority.
            let _ = poll(&mut [], 10u16);
        }
    }
}

/// Waits for the effects thread to have removed everything, within reason.
fn await_removal(inbox: &Inbox<Command>) {
    let deadline = clock::now() + LONGEST_REMOVAL;
    while clock::now() < deadline {
        let mut fds = [PollFd::new(inbox.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut fds, REMOVAL_POLL_MS);
        for command in inbox.drain() {
            if let Command::EffectsRemoved(left) = command {
                report_left(&left);
                return;
            }
        }
    }
    tracing::error!("addresses could not be removed in time; `holdfast unload` removes them");
}

/// Names what could not be removed.
pub(super) fn report_left(left: &[String]) {
    for sentence in left {
        tracing::error!("{sentence}; `holdfast unload` tries again");
    }
}
