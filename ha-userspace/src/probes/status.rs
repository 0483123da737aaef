//! What status shows of peers and paths, kept where the controller can read it without holding up the probe thread.
//!
//! The thread only ever tries the lock. Whoever reads wakes it afterwards, so that what it could not write then follows.

use super::judgement::VoidCause;
use super::sockets::ProbeFailure;
use holdfast_engine::{Duration, Health, Instant, PathView, PeerId};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

/// What happened on a path beside its checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathCounters {
    /// Requests handed to the kernel, one per check and those of announcements.
    pub sent: u64,
    /// Of these, requests of [`super::sender::ProbeSender::announce_now`], which are no checks.
    pub announced: u64,
    /// Messages that tell our link-local address.
    pub addresses_told: u64,
    /// Requests that left too late to count against the peer.
    pub sent_late: u64,
    /// How late a request left at most.
    pub maximum_lateness: Duration,
    /// Messages that did not leave.
    pub failures: u64,
    /// Why the last of them did not, and when.
    pub last_failure: Option<(ProbeFailure, Instant)>,
    /// Why the last void check was void.
    pub last_void: Option<VoidCause>,
}

/// A path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathStatus {
    pub remote: IpAddr,
    /// Interface and local address; `None` while no interface faces the peer.
    pub interface: Option<Arc<str>>,
    pub local: Option<IpAddr>,
    /// Health, checks (answered, lost, void) and round trips.
    pub view: PathView,
    pub counters: PathCounters,
    /// When the data plane last saw a request of the peer here; 0 if never.
    pub request_at: Instant,
    pub requests: u64,
    pub replies: u64,
}

/// A peer over all its paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    pub peer: PeerId,
    /// As told to the sink.
    pub health: Health,
    /// Since when it has been in that health.
    pub since: Option<Instant>,
    /// Since when no path has been answered.
    pub silent_since: Option<Instant>,
    /// It answers nobody, but requests of it still come, so it does not count as unhealthy yet.
    pub withheld: bool,
    /// 0 while unknown.
    pub incarnation: u64,
    pub paths: Vec<PathStatus>,
}

/// The board the thread writes on.
#[derive(Debug, Default)]
pub(super) struct StatusBoard {
    peers: Mutex<Vec<PeerStatus>>,
}

impl StatusBoard {
    /// A copy. The caller wakes the thread afterwards.
    pub(super) fn read(&self) -> Vec<PeerStatus> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The board, unless somebody is reading it.
    pub(super) fn try_write(&self) -> Option<MutexGuard<'_, Vec<PeerStatus>>> {
        match self.peers.try_lock() {
            Ok(peers) => Some(peers),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}
