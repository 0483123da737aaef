//! What the data plane saw of a peer on a path, as the prober asks for it.
//!
//! A trait, so that tests can answer instead of maps. An implementation must not block: the probe thread calls it between
//! sends.

use holdfast_engine::{Duration, Instant};

/// Where the data plane keeps what it sees of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    /// In the maps of peers.
    pub peer: u32,
    /// In the maps of paths.
    pub path: u32,
    /// In the maps of links: the interface whose frames the data plane counts. `None` where it is not attached.
    pub link: Option<u32>,
}

/// A path as the data plane saw it. Instants are 0 for what never happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Highest sequence of ours that was answered in time.
    pub reply_sequence: u64,
    pub reply_at: Instant,
    /// Round trip of that reply.
    pub rtt: Duration,
    /// When the last request of the peer came.
    pub request_at: Instant,
    /// Requests of the peer so far.
    pub requests: u64,
    /// Replies to ours so far.
    pub replies: u64,
    /// The peer's incarnation as last told by a reply, a challenge or a request; 0 if never.
    pub their_incarnation: u64,
}

/// The data plane's side of the paths.
pub trait PathReadings: Send {
    /// What stands in the maps now; `None` if they cannot be read.
    fn read(&mut self, slots: Slots) -> Option<Reading>;

    /// Frames that have come in so far on the path's interface; `None` where nobody counts.
    fn frames_in(&mut self, slots: Slots) -> Option<u64>;
}
