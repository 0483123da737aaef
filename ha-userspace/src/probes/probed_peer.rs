//! A peer that is probed: its paths, its key, and what is held of it.
//!
//! All paths are checked in one wake-up: a verdict over all of them waits for the last, so apart they would only make it
//! later. The checks go into one monitor; what it says passes through `verdict` before it is told. Nothing is sent here.

use super::keys::PairKeys;
use super::paths::ProbePeer;
use super::phase::Phase;
use super::probed_path::{ProbedPath, Speaker};
use super::prober::{Common, ProbeEvent, Surroundings};
use super::sockets::Wire;
use super::status::{PathStatus, PeerStatus};
use super::verdict::Verdict;
use holdfast_engine::{CheckSettings, Instant, PathIndex, PeerId, PeerMonitor};

pub(super) struct ProbedPeer {
    id: PeerId,
    keys: PairKeys,
    phase: Phase,
    monitor: PeerMonitor,
    verdict: Verdict,
    since: Option<Instant>,
    paths: Vec<ProbedPath>,
    /// Rounds in a row in which no request left and this host's packet filter had refused one.
    filtered_rounds: u32,
    /// As told: this host lets no request out.
    muzzled: bool,
    /// Since it was last shown.
    changed: bool,
}

/// Positions are below `MAX_PATHS_PER_PEER`.
fn path_index(position: usize) -> PathIndex {
    PathIndex(position as u8)
}

impl ProbedPeer {
    /// Its first checks begin at `start`.
    pub(super) fn new(id: PeerId, checks: CheckSettings, start: Instant) -> Self {
        Self {
            id,
            keys: PairKeys::default(),
            phase: Phase::new(start, checks.interval()),
            monitor: PeerMonitor::new(checks, 0),
            verdict: Verdict::default(),
            since: None,
            paths: Vec::new(),
            filtered_rounds: 0,
            muzzled: false,
            changed: true,
        }
    }

    /// With `start`, every check begins anew then. `same_self` is false when what the requests say of this node's identity
    /// has changed.
    pub(super) fn configure(
        &mut self,
        now: Instant,
        checks: CheckSettings,
        wanted: &ProbePeer,
        start: Option<Instant>,
        same_self: bool,
    ) {
        self.keys = wanted.keys.clone();
        self.changed = true;
        if let Some(start) = start {
            self.phase = Phase::new(start, checks.interval());
        }
        let mut renewed = Vec::new();
        let mut known = std::mem::take(&mut self.paths).into_iter();
        for (position, config) in wanted.numbered().iter().enumerate() {
            let mut path = match known.next().filter(|path| path.leads_to(config.remote)) {
                Some(path) => path,
                None => {
                    renewed.push(path_index(position));
                    ProbedPath::new(config.clone())
                }
            };
            path.configure(now, config, start.is_some() || !same_self);
            self.paths.push(path);
        }
        // What it changes is told by `judge`, which also asks whether the peer is heard.
        let _ = self.monitor.reconfigure(now, checks, self.paths.len(), &renewed);
    }

    pub(super) fn has(&self, path: PathIndex) -> bool {
        usize::from(path.0) < self.paths.len()
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        let addresses = self.paths.iter().filter_map(ProbedPath::address_due).min();
        let checks = (!self.paths.is_empty()).then(|| self.phase.at());
        checks.into_iter().chain(addresses).min()
    }

    pub(super) fn run_due<W: Wire>(
        &mut self,
        horizon: Instant,
        common: &mut Common,
        around: &mut Surroundings<'_, W>,
    ) {
        let key = self.keys.proving();
        let due = (self.phase.at() <= horizon).then(|| self.phase.due());
        for (position, path) in self.paths.iter_mut().enumerate() {
            let mut speaker = Speaker { peer: self.id, path: path_index(position), key, common };
            if let Some(due) = due {
                path.check(due, &mut speaker, &mut self.monitor, around);
            }
            // After the request, which makes us known to a peer that has just started.
            if path.address_due().is_some_and(|due| due <= horizon) {
                path.tell_address(&mut speaker, around);
                self.changed = true;
            }
        }
        if due.is_some() {
            self.phase.sent((around.clock)(), &mut common.jitter);
            self.changed = true;
            self.note_filter(common.checks, around);
            self.judge(common.checks, around);
        }
    }

    /// A peer that we may not ask cannot be judged, and neither can what is said in its name: that is told before the verdict.
    fn note_filter<W>(&mut self, checks: CheckSettings, around: &mut Surroundings<'_, W>) {
        let none_left = self.paths.iter().all(ProbedPath::is_stuck);
        let filtered = none_left && self.paths.iter().any(ProbedPath::is_filtered);
        self.filtered_rounds = if filtered { self.filtered_rounds.saturating_add(1) } else { 0 };
        let muzzled =
            if self.muzzled { filtered } else { self.filtered_rounds >= checks.failure_threshold() };
        if muzzled != self.muzzled {
            self.muzzled = muzzled;
            (around.events)(ProbeEvent::Muzzled { peer: self.id, muzzled });
        }
    }

    pub(super) fn announce<W: Wire>(&mut self, common: &mut Common, around: &mut Surroundings<'_, W>) {
        self.changed = true;
        let key = self.keys.proving();
        for (position, path) in self.paths.iter_mut().enumerate() {
            let mut speaker = Speaker { peer: self.id, path: path_index(position), key, common };
            path.announce(&mut speaker, around);
        }
    }

    /// Tells what has become of the peer, if that is news.
    pub(super) fn judge<W>(&mut self, checks: CheckSettings, around: &mut Surroundings<'_, W>) {
        if self.monitor.health() == self.verdict.told() {
            return;
        }
        if self.verdict.is_withheld(&self.monitor) {
            // The other paths may have been read long ago.
            for path in &mut self.paths {
                path.read(around);
            }
        }
        let now = (around.clock)();
        let last_request = self.paths.iter().filter_map(ProbedPath::request_at).max();
        let change = self.verdict.judge(now, &self.monitor, last_request, checks.detection_time());
        let Some(change) = change else { return };
        self.since = Some(now);
        self.changed = true;
        (around.events)(ProbeEvent::PeerHealth {
            peer: self.id,
            health: change.health,
            silent_since: change.silent_since,
            at: now,
        });
    }

    pub(super) fn fits(&self, row: &PeerStatus) -> bool {
        row.peer == self.id && row.paths.len() == self.paths.len()
    }

    pub(super) fn status(&self) -> PeerStatus {
        PeerStatus {
            peer: self.id,
            health: self.verdict.told(),
            since: self.since,
            silent_since: self.monitor.silent_since(),
            withheld: self.verdict.is_withheld(&self.monitor),
            incarnation: self.incarnation(),
            paths: self.path_statuses().collect(),
        }
    }

    /// Writes what changed into a row that [`Self::fits`]; in place, for the probe thread should not allocate at every check.
    pub(super) fn show(&mut self, row: &mut PeerStatus) {
        if !std::mem::take(&mut self.changed) {
            return;
        }
        row.health = self.verdict.told();
        row.since = self.since;
        row.silent_since = self.monitor.silent_since();
        row.withheld = self.verdict.is_withheld(&self.monitor);
        row.incarnation = self.incarnation();
        for (shown, status) in row.paths.iter_mut().zip(self.path_statuses()) {
            *shown = status;
        }
    }

    fn path_statuses(&self) -> impl Iterator<Item = PathStatus> {
        self.paths.iter().enumerate().filter_map(|(position, path)| {
            let index = path_index(position);
            self.monitor.path(index).map(|monitor| path.status(monitor.view(index)))
        })
    }

    fn incarnation(&self) -> u64 {
        self.paths.iter().map(ProbedPath::their_incarnation).max().unwrap_or(0)
    }
}
