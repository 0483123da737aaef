//! Health of the peers, each over all its probe paths.
//!
//! Input are the ended checks of every path, as for [`PathMonitor`]. It never decides what an unhealthy peer means for
//! ownership; it says only who answers, who does not, and since when.

use crate::config::PeerId;
use crate::path_health::{Check, CheckSettings, Health, HealthChange, PathIndex, PathMonitor, PathView};
use crate::time::Instant;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A peer over all its paths.
///
/// Healthy as soon as one path is, unhealthy once every path is, and otherwise what it was: a path that is not judged yet
/// neither saves nor condemns. A peer without paths stays unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerMonitor {
    paths: Vec<PathMonitor>,
    health: Health,
    since: Option<Instant>,
}

/// What status shows of a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerView {
    pub peer: PeerId,
    pub health: Health,
    /// Since when; none while it was never judged.
    pub since: Option<Instant>,
    pub silent_since: Option<Instant>,
    pub paths: Vec<PathView>,
}

/// What a check changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckOutcome {
    pub path: Option<HealthChange>,
    pub peer: Option<HealthChange>,
}

impl PeerMonitor {
    pub fn new(settings: CheckSettings, paths: usize) -> Self {
        Self { paths: vec![PathMonitor::new(settings); paths], ..Self::default() }
    }

    /// One check of a path ended at `now`. A path that is not configured (any more) is ignored.
    pub fn checked(&mut self, now: Instant, path: PathIndex, check: Check) -> CheckOutcome {
        let Some(monitor) = self.paths.get_mut(usize::from(path.0)) else { return CheckOutcome::default() };
        let path = monitor.checked(now, check);
        CheckOutcome { path, peer: path.and_then(|_| self.judge(now)) }
    }

    /// Other settings and another number of paths, from now on. Paths that stay keep what is known of them, save those in
    /// `renewed`, which lead elsewhere now; new ones are not judged yet. What is left may judge the peer anew.
    pub fn reconfigure(
        &mut self,
        now: Instant,
        settings: CheckSettings,
        paths: usize,
        renewed: &[PathIndex],
    ) -> Option<HealthChange> {
        for path in renewed {
            if let Some(monitor) = self.paths.get_mut(usize::from(path.0)) {
                *monitor = PathMonitor::new(settings);
            }
        }
        self.paths.resize(paths, PathMonitor::new(settings));
        self.paths.iter_mut().for_each(|path| path.reconfigure(settings));
        self.judge(now)
    }

    fn judge(&mut self, now: Instant) -> Option<HealthChange> {
        let from = self.health;
        let is = |wanted: Health| move |path: &PathMonitor| path.health() == wanted;
        if self.paths.iter().any(is(Health::Healthy)) {
            self.health = Health::Healthy;
        } else if !self.paths.is_empty() && self.paths.iter().all(is(Health::Unhealthy)) {
            self.health = Health::Unhealthy;
        }
        if self.health == from {
            return None;
        }
        self.since = Some(now);
        Some(HealthChange { at: now, from, to: self.health, silent_since: self.silent_since() })
    }

    pub const fn health(&self) -> Health {
        self.health
    }

    /// Since when no path has been answered: the latest [`PathMonitor::missing_since`]. None while any path has none,
    /// so also while the first answers of a recovery come in.
    pub fn silent_since(&self) -> Option<Instant> {
        let missing: Option<Vec<Instant>> = self.paths.iter().map(PathMonitor::missing_since).collect();
        missing?.into_iter().max()
    }

    /// End of the last answered check on any path.
    pub fn last_answer(&self) -> Option<Instant> {
        self.paths.iter().filter_map(PathMonitor::last_answer).max()
    }

    pub fn path(&self, path: PathIndex) -> Option<&PathMonitor> {
        self.paths.get(usize::from(path.0))
    }

    pub fn view(&self, peer: PeerId) -> PeerView {
        let indices = (0..=u8::MAX).map(PathIndex);
        PeerView {
            peer,
            health: self.health,
            since: self.since,
            silent_since: self.silent_since(),
            paths: indices.zip(&self.paths).map(|(index, path)| path.view(index)).collect(),
        }
    }
}

/// All peers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerMonitors {
    peers: BTreeMap<PeerId, PeerMonitor>,
}

impl PeerMonitors {
    /// The peers and their number of paths, at start and at each reload. A peer that stays keeps what is known of it, unless
    /// its number of paths changed: then positions may name other addresses, and it starts unknown.
    pub fn configure(&mut self, settings: CheckSettings, peers: impl IntoIterator<Item = (PeerId, usize)>) {
        let mut known = core::mem::take(&mut self.peers);
        for (peer, paths) in peers {
            let kept = known.remove(&peer).filter(|monitor| monitor.paths.len() == paths);
            let mut monitor = kept.unwrap_or_else(|| PeerMonitor::new(settings, paths));
            monitor.paths.iter_mut().for_each(|path| path.reconfigure(settings));
            self.peers.insert(peer, monitor);
        }
    }

    /// Forgets what is known of a peer, whose addresses changed or who came back as another incarnation.
    pub fn forget(&mut self, settings: CheckSettings, peer: PeerId) {
        if let Some(monitor) = self.peers.get_mut(&peer) {
            *monitor = PeerMonitor::new(settings, monitor.paths.len());
        }
    }

    /// One check of a peer's path ended at `now`. A peer that is not configured (any more) is ignored.
    pub fn checked(&mut self, now: Instant, peer: PeerId, path: PathIndex, check: Check) -> CheckOutcome {
        self.peers
            .get_mut(&peer)
            .map_or_else(CheckOutcome::default, |monitor| monitor.checked(now, path, check))
    }

    pub fn get(&self, peer: PeerId) -> Option<&PeerMonitor> {
        self.peers.get(&peer)
    }

    pub fn iter(&self) -> impl Iterator<Item = (PeerId, &PeerMonitor)> {
        self.peers.iter().map(|(peer, monitor)| (*peer, monitor))
    }

    pub fn views(&self) -> impl Iterator<Item = PeerView> {
        self.iter().map(|(peer, monitor)| monitor.view(peer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;

    const SETTINGS: CheckSettings = CheckSettings::new(Duration::from_millis(10), 2, 2);
    const ANSWERED: Check = Check::Answered { rtt: Duration::from_nanos(1) };
    const FIRST: PathIndex = PathIndex(0);
    const SECOND: PathIndex = PathIndex(1);

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(0) + Duration::from_millis(millis)
    }

    #[test]
    fn a_peer_is_unhealthy_only_once_every_path_is() {
        let mut peer = PeerMonitor::new(SETTINGS, 2);
        peer.checked(at(0), FIRST, ANSWERED);
        peer.checked(at(1), SECOND, ANSWERED);
        for millis in [10, 20, 30] {
            peer.checked(at(millis), FIRST, Check::Missed);
        }
        assert_eq!((peer.health(), peer.silent_since()), (Health::Healthy, None));
        peer.checked(at(41), SECOND, Check::Missed);
        assert_eq!((peer.health(), peer.silent_since()), (Health::Healthy, Some(at(41))));
        let outcome = peer.checked(at(51), SECOND, Check::Missed);
        let change = outcome.peer.unwrap();
        assert_eq!((change.from, change.to), (Health::Healthy, Health::Unhealthy));
        assert_eq!(change.silent_since, Some(at(41)));
    }

    #[test]
    fn one_recovered_path_is_enough() {
        let mut peer = PeerMonitor::new(SETTINGS, 2);
        for millis in [10, 20] {
            peer.checked(at(millis), FIRST, Check::Missed);
            peer.checked(at(millis), SECOND, Check::Missed);
        }
        assert_eq!(peer.health(), Health::Unhealthy);
        assert_eq!(peer.checked(at(30), SECOND, ANSWERED).peer, None);
        assert_eq!(peer.silent_since(), None);
        let change = peer.checked(at(40), SECOND, ANSWERED).peer.unwrap();
        assert_eq!((change.to, change.silent_since), (Health::Healthy, None));
        assert_eq!(peer.view(PeerId(7)).since, Some(at(40)));
    }

    #[test]
    fn a_path_that_is_not_judged_yet_neither_saves_nor_condemns() {
        let mut peer = PeerMonitor::new(SETTINGS, 2);
        peer.checked(at(10), FIRST, Check::Missed);
        peer.checked(at(20), FIRST, Check::Missed);
        assert_eq!(peer.health(), Health::Unknown);
        assert_eq!(
            PeerMonitor::new(SETTINGS, 0).checked(at(0), FIRST, Check::Missed),
            CheckOutcome::default()
        );
        assert_eq!(PeerMonitor::new(SETTINGS, 0).silent_since(), None);
    }

    #[test]
    fn losing_a_path_judges_anew_and_keeps_the_others() {
        let mut peer = PeerMonitor::new(SETTINGS, 2);
        for millis in [10, 20] {
            peer.checked(at(millis), FIRST, Check::Missed);
            peer.checked(at(millis), SECOND, ANSWERED);
        }
        assert_eq!(peer.reconfigure(at(30), SETTINGS, 3, &[]), None);
        assert_eq!(peer.path(PathIndex(2)).map(PathMonitor::health), Some(Health::Unknown));
        let change = peer.reconfigure(at(40), SETTINGS, 1, &[]).unwrap();
        assert_eq!((change.to, change.silent_since), (Health::Unhealthy, Some(at(10))));
        assert_eq!(peer.reconfigure(at(50), SETTINGS, 2, &[FIRST]), None, "unknown paths condemn nobody");
        assert_eq!(peer.path(FIRST).map(PathMonitor::health), Some(Health::Unknown));
    }

    #[test]
    fn peers_are_judged_each_for_itself_and_survive_a_reload() {
        let mut peers = PeerMonitors::default();
        let (one, two, three) = (PeerId(1), PeerId(2), PeerId(3));
        peers.configure(SETTINGS, [(one, 1), (two, 1)]);
        for millis in [10, 20] {
            peers.checked(at(millis), one, FIRST, Check::Missed);
            peers.checked(at(millis), two, FIRST, ANSWERED);
        }
        let health = |peers: &PeerMonitors, peer| peers.get(peer).map(PeerMonitor::health);
        assert_eq!(health(&peers, one), Some(Health::Unhealthy));
        assert_eq!(health(&peers, two), Some(Health::Healthy));
        peers.configure(SETTINGS, [(one, 1), (two, 2), (three, 1)]);
        assert_eq!(health(&peers, one), Some(Health::Unhealthy));
        assert_eq!(health(&peers, two), Some(Health::Unknown));
        peers.forget(SETTINGS, one);
        assert_eq!(health(&peers, one), Some(Health::Unknown));
        peers.configure(SETTINGS, [(three, 1)]);
        assert_eq!(peers.checked(at(30), one, FIRST, Check::Missed), CheckOutcome::default());
        assert_eq!(peers.views().map(|view| view.peer).collect::<Vec<_>>(), [three]);
    }
}
