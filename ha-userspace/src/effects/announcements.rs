//! Paces gratuitous ARP and unsolicited neighbour adverts so that adverts are never late because of them. Pure.
//!
//! A router's set of frames is repeated in rounds, the first at once. In each slice of a millisecond at most
//! [`FRAMES_PER_SLICE`] frames come out, over all routers together, in turn: 255 addresses are out within 16 ms (V-120).
//! A round that is still running delays the next one. It never reads a clock and never sends.

use holdfast_engine::{Duration, Instant, RouterId};
use std::collections::VecDeque;
use std::sync::Arc;

/// Most announcement frames in one slice.
pub const FRAMES_PER_SLICE: usize = 16;
/// Length of a slice.
pub const SLICE: Duration = Duration::from_millis(1);
/// From the start of one round to the start of the next; the last one repeats. Early rounds cover frames lost while
/// switches and neighbours settle, later ones a port that spanning tree opens late.
const ROUND_SPACING: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_millis(1500),
    Duration::from_millis(3000),
];
/// Rounds of a burst where nothing else is asked for.
pub const DEFAULT_ROUNDS: u32 = 5;

/// A frame and the interface it leaves from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnouncementFrame {
    pub ifindex: u32,
    pub frame: Vec<u8>,
}

#[derive(Debug)]
struct Burst {
    router: RouterId,
    frames: Arc<[AnnouncementFrame]>,
    rounds_left: u32,
    rounds_done: usize,
    /// Next frame of the running round.
    cursor: usize,
    /// When the running round began, or when the next one does if `cursor` is 0.
    round_at: Instant,
}

/// The bursts in progress.
#[derive(Debug, Default)]
pub struct Announcements {
    bursts: VecDeque<Burst>,
    /// No frame before this; the present slice is spent.
    next_slice: Instant,
}

impl Announcements {
    /// Begins a burst, in place of one that the router may still have.
    pub fn start(
        &mut self,
        now: Instant,
        router: RouterId,
        frames: impl Into<Arc<[AnnouncementFrame]>>,
        rounds: u32,
    ) {
        self.cancel(router);
        let frames = frames.into();
        if rounds > 0 && !frames.is_empty() {
            let burst =
                Burst { router, frames, rounds_left: rounds, rounds_done: 0, cursor: 0, round_at: now };
            self.bursts.push_back(burst);
        }
    }

    /// Ends a router's burst; none of its frames comes out any more.
    pub fn cancel(&mut self, router: RouterId) {
        self.bursts.retain(|burst| burst.router != router);
    }

    /// When the next slice has something to send.
    pub fn next_due(&self) -> Option<Instant> {
        let earliest = self.bursts.iter().map(Burst::due).min()?;
        Some(earliest.max(self.next_slice))
    }

    /// The frames of the slice that begins at `now`: none if a slice is still running or nothing is due.
    pub fn take_slice(
        &mut self,
        now: Instant,
        mut each: impl FnMut(RouterId, &Arc<[AnnouncementFrame]>, usize),
    ) {
        if self.next_due().is_none_or(|due| due > now) {
            return;
        }
        self.next_slice = now + SLICE;
        let mut left = FRAMES_PER_SLICE;
        // Every burst gets a frame in turn, so that a long list does not hold back a short one.
        while left > 0 {
            let Some(place) = self.bursts.iter().position(|burst| burst.due() <= now) else { break };
            let Some(mut burst) = self.bursts.remove(place) else { break };
            each(burst.router, &burst.frames, burst.cursor);
            left -= 1;
            if burst.advance(now) {
                self.bursts.push_back(burst);
            }
        }
    }
}

impl Burst {
    fn due(&self) -> Instant {
        self.round_at
    }

    /// Steps past a frame; false when the burst is over.
    fn advance(&mut self, now: Instant) -> bool {
        if self.cursor == 0 {
            self.round_at = now;
        }
        self.cursor += 1;
        if self.cursor < self.frames.len() {
            return true;
        }
        self.cursor = 0;
        self.rounds_left -= 1;
        let spacing = ROUND_SPACING[self.rounds_done.min(ROUND_SPACING.len() - 1)];
        self.rounds_done += 1;
        self.round_at = (self.round_at + spacing).max(now);
        self.rounds_left > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: RouterId = RouterId(1);
    const B: RouterId = RouterId(2);

    fn frames(count: u8) -> Vec<AnnouncementFrame> {
        (0..count).map(|number| AnnouncementFrame { ifindex: 1, frame: vec![number] }).collect()
    }

    fn slice(announcements: &mut Announcements, now: Instant) -> Vec<(RouterId, u8)> {
        let mut out = Vec::new();
        announcements.take_slice(now, |router, frames, index| out.push((router, frames[index].frame[0])));
        out
    }

    fn ms(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn v120_255_addresses_are_out_in_16_slices() {
        let mut announcements = Announcements::default();
        announcements.start(ms(0), A, frames(255), 1);
        let mut seen = Vec::new();
        for millis in 0..16 {
            assert_eq!(announcements.next_due(), Some(ms(millis)));
            let sent = slice(&mut announcements, ms(millis));
            assert!(sent.len() <= FRAMES_PER_SLICE);
            assert_eq!(slice(&mut announcements, ms(millis)), [], "the slice is spent");
            seen.extend(sent.into_iter().map(|(_, frame)| frame));
        }
        assert_eq!(seen, (0..255).collect::<Vec<u8>>());
        assert_eq!(announcements.next_due(), None);
    }

    #[test]
    fn rounds_are_spaced() {
        let mut announcements = Announcements::default();
        announcements.start(ms(0), A, frames(2), DEFAULT_ROUNDS);
        let mut rounds = Vec::new();
        while let Some(due) = announcements.next_due() {
            rounds.push(due);
            assert_eq!(slice(&mut announcements, due), [(A, 0), (A, 1)]);
        }
        assert_eq!(rounds, [ms(0), ms(100), ms(500), ms(2000), ms(5000)]);
    }

    #[test]
    fn routers_take_turns() {
        let mut announcements = Announcements::default();
        announcements.start(ms(0), A, frames(200), 1);
        announcements.start(ms(0), B, frames(2), 1);
        let sent = slice(&mut announcements, ms(0));
        assert_eq!(sent.iter().filter(|(router, _)| *router == B).count(), 2, "B did not wait for A");
        assert_eq!(sent.len(), FRAMES_PER_SLICE);
    }

    #[test]
    fn cancel_is_final_and_a_new_burst_replaces_the_old() {
        let mut announcements = Announcements::default();
        announcements.start(ms(0), A, frames(200), DEFAULT_ROUNDS);
        assert_eq!(slice(&mut announcements, ms(0)).len(), FRAMES_PER_SLICE);
        announcements.cancel(A);
        assert_eq!(announcements.next_due(), None);
        announcements.start(ms(1), A, frames(1), 1);
        announcements.start(ms(1), A, frames(3), 1);
        assert_eq!(slice(&mut announcements, ms(1)), [(A, 0), (A, 1), (A, 2)]);
        announcements.start(ms(2), A, Vec::new(), 3);
        assert_eq!(announcements.next_due(), None, "nothing to say");
    }
}
