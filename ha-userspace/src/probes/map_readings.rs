//! The data plane's maps as the prober reads them.

use super::readings::{PathReadings, Reading, Slots};
use crate::datapath::peers::PeerReader;
use holdfast_engine::{Duration, Instant};

/// Reads through descriptors of its own.
#[derive(Clone, Debug)]
pub struct MapReadings(pub PeerReader);

impl PathReadings for MapReadings {
    fn read(&mut self, slots: Slots) -> Option<Reading> {
        let path = self.0.path_state(slots.path).ok()?;
        let peer = self.0.peer_state(slots.peer).ok()?;
        Some(Reading {
            reply_sequence: path.reply_sequence,
            reply_at: Instant::from_nanos(path.reply_at_ns),
            rtt: Duration::from_nanos(path.rtt_ns),
            request_at: Instant::from_nanos(path.request_at_ns),
            requests: path.requests,
            replies: path.replies,
            their_incarnation: peer.incarnation,
        })
    }

    /// Nobody counts for this thread: a check of ours that was void stays void.
    fn frames_in(&mut self, _ifindex: u32) -> Option<u64> {
        None
    }
}
