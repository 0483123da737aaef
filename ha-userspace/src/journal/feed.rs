//! The last events in memory, and those that happen now, for whoever asks.
//!
//! Written by the journal's thread, read by the control server. The lock is held for a copy, never across I/O.

use super::EventRecord;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::broadcast;

/// Events kept in memory.
pub const RING_EVENTS: usize = 1_000;
/// Events a follower may be behind before it misses some.
const FOLLOWER_LAG: usize = 1_024;

/// A handle to the events in memory; clones share them.
#[derive(Clone, Debug)]
pub struct EventFeed {
    ring: Arc<Mutex<Ring>>,
    live: broadcast::Sender<Arc<EventRecord>>,
    /// Events that the journal could not write to disk.
    write_failures: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<Arc<EventRecord>>,
    /// Kept apart, so that a chatty router never pushes out what a quiet one did last.
    last_transitions: BTreeMap<String, Arc<EventRecord>>,
}

impl Default for EventFeed {
    fn default() -> Self {
        let (live, _) = broadcast::channel(FOLLOWER_LAG);
        Self { ring: Arc::default(), live, write_failures: Arc::default() }
    }
}

impl EventFeed {
    /// Events that could not be written to disk since the start.
    pub fn write_failures(&self) -> u64 {
        self.write_failures.load(Ordering::Relaxed)
    }

    /// Notes an event that could not be written.
    pub(super) fn note_write_failure(&self) {
        self.write_failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds an event and hands it to every follower.
    pub fn push(&self, record: EventRecord) {
        let record = Arc::new(record);
        let mut ring = self.lock();
        if let Some(transition) = record.event.transition() {
            ring.last_transitions.insert(transition.router.clone(), Arc::clone(&record));
        }
        if ring.events.len() == RING_EVENTS {
            ring.events.pop_front();
        }
        ring.events.push_back(Arc::clone(&record));
        // Inside the lock, so that a new follower gets each event once. No follower is no error.
        let _ = self.live.send(record);
    }

    /// The events in memory after number `seq`, or all of them, oldest first.
    pub fn since(&self, seq: Option<u64>) -> Vec<Arc<EventRecord>> {
        since(&self.lock(), seq)
    }

    /// As [`EventFeed::since`], and a receiver for all that follow.
    pub fn follow(&self, seq: Option<u64>) -> (Vec<Arc<EventRecord>>, broadcast::Receiver<Arc<EventRecord>>) {
        let ring = self.lock();
        (since(&ring, seq), self.live.subscribe())
    }

    /// The last transition of each virtual router, by name.
    pub fn last_transitions(&self) -> BTreeMap<String, Arc<EventRecord>> {
        self.lock().last_transitions.clone()
    }

    /// The last transition of one virtual router.
    pub fn last_transition(&self, router: &str) -> Option<Arc<EventRecord>> {
        self.lock().last_transitions.get(router).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        // A ring is whole between any two of its steps, so a panic elsewhere does not spoil it.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn since(ring: &Ring, seq: Option<u64>) -> Vec<Arc<EventRecord>> {
    ring.events.iter().filter(|record| seq.is_none_or(|seq| record.seq > seq)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::super::event::samples;
    use super::super::{Event, NoticeEvent};
    use super::*;
    use holdfast_engine::Cause;

    fn notice(seq: u64) -> EventRecord {
        samples::record(seq, Event::Notice(NoticeEvent::AddressRestored { router: "lan".to_owned() }))
    }

    #[test]
    fn the_ring_is_bounded_and_remembers_each_router() {
        let feed = EventFeed::default();
        let event = Event::from_transition(&samples::transition(Cause::Startup), &samples::names());
        feed.push(samples::record(1, event));
        for seq in 2..=1_500 {
            feed.push(notice(seq));
        }
        let events = feed.since(None);
        assert_eq!((events.len(), events[0].seq), (RING_EVENTS, 501));
        assert_eq!(feed.since(Some(1_498)).len(), 2);
        assert_eq!(feed.last_transition("lan").unwrap().seq, 1);
        assert_eq!(feed.last_transition("wan"), None);
    }

    #[test]
    fn a_follower_gets_each_event_once() {
        let feed = EventFeed::default();
        feed.push(notice(1));
        let (past, mut live) = feed.follow(None);
        feed.push(notice(2));
        assert_eq!(past.len(), 1);
        assert_eq!(live.try_recv().unwrap().seq, 2);
        assert!(live.try_recv().is_err());
    }
}
