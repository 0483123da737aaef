//! A path that is probed: one request at each of its peer's instants, one open check, and the link-local address told
//! beside it.
//!
//! A check begins with a request and ends when the next request is due; `judgement` says how. What a check changes goes
//! into the peer's monitor.

use super::judgement::{Ending, OpenCheck, VoidCause};
use super::paths::{Place, ProbePath};
use super::prober::{Common, ProbeEvent, Surroundings};
use super::readings::Reading;
use super::sockets::{ProbeFailure, Route, Wire};
use super::status::{PathCounters, PathStatus};
use ha_common::maps::peers::MacKey;
use ha_common::wire::probe::Message;
use holdfast_engine::{Duration, Instant, PathIndex, PathView, PeerId, PeerMonitor};
use nix::errno::Errno;
use std::net::{IpAddr, Ipv6Addr};

/// What sending fails with where a packet filter of this host drops it.
const FILTERED: Errno = Errno::EPERM;
/// How often a link-local address is told.
const ADDRESS_INTERVAL: Duration = Duration::from_secs(1);

pub(super) struct ProbedPath {
    config: ProbePath,
    open: Option<OpenCheck>,
    last_sequence: u64,
    /// As last read.
    reading: Reading,
    address_due: Option<Instant>,
    counters: PathCounters,
    /// This host's own packet filter refused the last request.
    filtered: bool,
}

/// Who speaks, to whom, on which path.
pub(super) struct Speaker<'a> {
    pub(super) peer: PeerId,
    pub(super) path: PathIndex,
    pub(super) key: (u16, MacKey),
    pub(super) common: &'a mut Common,
}

impl ProbedPath {
    pub(super) fn new(config: ProbePath) -> Self {
        Self {
            config,
            open: None,
            last_sequence: 0,
            reading: Reading::default(),
            address_due: None,
            counters: PathCounters::default(),
            filtered: false,
        }
    }

    pub(super) fn leads_to(&self, remote: IpAddr) -> bool {
        self.config.remote == remote
    }

    /// Takes over where the path leads now. An open check ends unjudged if its request went another way, or `anew`; an
    /// address that is new is told at once.
    pub(super) fn configure(&mut self, now: Instant, config: &ProbePath, anew: bool) {
        if anew || self.config != *config {
            self.open = None;
        }
        let told = self.address_due.and(link_local(&self.config));
        self.config = config.clone();
        match link_local(config) {
            None => self.address_due = None,
            address if address == told => {}
            _ => self.address_due = Some(now),
        }
    }

    pub(super) const fn address_due(&self) -> Option<Instant> {
        self.address_due
    }

    /// Whether the last request was refused by this host's own packet filter, which says nothing about the peer.
    pub(super) const fn is_filtered(&self) -> bool {
        self.filtered
    }

    /// Whether the last request failed to leave.
    pub(super) fn is_stuck(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.fault == Some(VoidCause::NotSent))
    }

    /// When the last request of the peer came here.
    pub(super) fn request_at(&self) -> Option<Instant> {
        Some(self.reading.request_at).filter(|at| *at > Instant::default())
    }

    pub(super) const fn their_incarnation(&self) -> u64 {
        self.reading.their_incarnation
    }

    /// Looks at what the data plane saw; what cannot be read stays as it was.
    pub(super) fn read<W>(&mut self, around: &mut Surroundings<'_, W>) -> Option<Reading> {
        let reading = around.readings.read(self.config.slots)?;
        if reading.their_incarnation != self.reading.their_incarnation && self.address_due.is_some() {
            // Whoever has just started has forgotten our address.
            self.address_due = Some((around.clock)());
        }
        self.reading = reading;
        Some(reading)
    }

    /// Ends the check that is open, into `monitor`, and begins the next, both due at `due`.
    pub(super) fn check<W: Wire>(
        &mut self,
        due: Instant,
        speaker: &mut Speaker<'_>,
        monitor: &mut PeerMonitor,
        around: &mut Surroundings<'_, W>,
    ) {
        let reading = self.read(around);
        let frames_in = around.readings.frames_in(self.config.slots);
        if let Some(open) = self.open.take() {
            let ending =
                Ending { reading, last_sequence: self.last_sequence, due, now: (around.clock)(), frames_in };
            let (check, cause) = open.judge(&ending, &speaker.common.checks);
            self.counters.last_void = cause.or(self.counters.last_void);
            if let Some(change) = monitor.checked(ending.now, speaker.path, check).path {
                (around.events)(ProbeEvent::PathHealth { peer: speaker.peer, path: speaker.path, change });
            }
        }
        self.begin_check(due, speaker, frames_in, around);
    }

    fn begin_check<W: Wire>(
        &mut self,
        due: Instant,
        speaker: &mut Speaker<'_>,
        frames_in: Option<u64>,
        around: &mut Surroundings<'_, W>,
    ) {
        let sent = self.send_request(speaker, around);
        // After sending: a request that was held up on its way out is late too.
        let left = (around.clock)();
        self.counters.maximum_lateness = self.counters.maximum_lateness.max(left.since(due));
        self.filtered = sent == Err(ProbeFailure::Refused(FILTERED));
        let fault = match sent {
            Err(_) => Some(VoidCause::NotSent),
            Ok(_) if speaker.common.checks.is_late(due, left) => {
                self.counters.sent_late += 1;
                Some(VoidCause::SentLate)
            }
            Ok(_) => None,
        };
        self.open = Some(OpenCheck {
            sequence: self.last_sequence,
            sent_at: sent.unwrap_or(left),
            fault,
            named: self.reading.their_incarnation,
            frames_in,
        });
    }

    /// A request beside the checks.
    pub(super) fn announce<W: Wire>(&mut self, speaker: &mut Speaker<'_>, around: &mut Surroundings<'_, W>) {
        self.read(around);
        if self.send_request(speaker, around).is_ok() {
            self.counters.announced += 1;
        }
    }

    pub(super) fn tell_address<W: Wire>(
        &mut self,
        speaker: &mut Speaker<'_>,
        around: &mut Surroundings<'_, W>,
    ) {
        let Some(address) = link_local(&self.config) else { return };
        let sequence = speaker.common.next_sequence(speaker.path);
        let message = speaker.common.identity.address(speaker.peer, sequence, address);
        if self.send(speaker, message, around).is_ok() {
            self.counters.addresses_told += 1;
        }
        self.address_due = Some((around.clock)() + ADDRESS_INTERVAL);
    }

    /// The instant in the request, or why it did not leave.
    fn send_request<W: Wire>(
        &mut self,
        speaker: &mut Speaker<'_>,
        around: &mut Surroundings<'_, W>,
    ) -> Result<Instant, ProbeFailure> {
        self.last_sequence = speaker.common.next_sequence(speaker.path);
        let now = (around.clock)();
        let common = &speaker.common;
        let theirs = self.reading.their_incarnation;
        let request =
            common.identity.request(speaker.peer, self.last_sequence, theirs, now, &common.standing);
        self.send(speaker, request, around)?;
        self.counters.sent += 1;
        Ok(now)
    }

    fn send<W: Wire>(
        &mut self,
        speaker: &Speaker<'_>,
        message: Message,
        around: &mut Surroundings<'_, W>,
    ) -> Result<(), ProbeFailure> {
        let (key_id, key) = speaker.key;
        let signed = Message { key_id, ..message }.signed(key);
        let sent = match &self.config.place {
            Some(place) => {
                let Speaker { peer, path, ref common, .. } = *speaker;
                let route = Route { peer, path, place, remote: self.config.remote, port: common.port };
                around.wire.send(&route, &signed)
            }
            None => Err(ProbeFailure::NoPlace),
        };
        if let Err(failure) = sent {
            self.counters.failures += 1;
            self.counters.last_failure = Some((failure, (around.clock)()));
        }
        sent
    }

    pub(super) fn status(&self, view: PathView) -> PathStatus {
        let place = self.config.place.as_ref();
        PathStatus {
            remote: self.config.remote,
            interface: place.map(|place| place.interface.clone()),
            local: place.map(|place| place.local),
            view,
            counters: self.counters,
            request_at: self.reading.request_at,
            requests: self.reading.requests,
            replies: self.reading.replies,
        }
    }
}

fn link_local(config: &ProbePath) -> Option<Ipv6Addr> {
    config.place.as_ref().and_then(|place: &Place| place.link_local)
}
