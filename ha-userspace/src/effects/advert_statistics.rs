//! What the advert thread did for a router: counters it adds to and the controller reads, without a lock.

use super::packet_socket::SendFailure;
use holdfast_engine::Duration;
use std::sync::atomic::{AtomicU64, Ordering};

/// Upper bounds of the lateness buckets; a last bucket takes what is later.
pub const LATENESS_BOUNDS: [Duration; 5] = [
    Duration::from_nanos(100_000),
    Duration::from_millis(1),
    Duration::from_millis(10),
    Duration::from_millis(100),
    Duration::from_secs(1),
];
/// Number of lateness buckets.
pub const LATENESS_BUCKETS: usize = LATENESS_BOUNDS.len() + 1;

/// Live counters of one router. Each is exact; they are not read at one instant.
#[derive(Debug, Default)]
pub struct AdvertStatistics {
    adverts_sent: AtomicU64,
    priority_zero_sent: AtomicU64,
    announcements_sent: AtomicU64,
    no_buffer: AtomicU64,
    link_down: AtomicU64,
    other_errors: AtomicU64,
    last_errno: AtomicU64,
    maximum_lateness: AtomicU64,
    lateness: [AtomicU64; LATENESS_BUCKETS],
}

/// A reading of [`AdvertStatistics`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AdvertCounts {
    /// Adverts handed to the kernel, priority 0 included; one per destination in unicast mode.
    pub adverts_sent: u64,
    pub priority_zero_sent: u64,
    /// Gratuitous ARP and unsolicited neighbour adverts.
    pub announcements_sent: u64,
    /// Refused with ENOBUFS or EAGAIN.
    pub no_buffer: u64,
    /// Refused because the interface was down or gone.
    pub link_down: u64,
    pub other_errors: u64,
    /// Last errno under `other_errors`, 0 if none.
    pub last_errno: u64,
    /// How late a scheduled advert was at most.
    pub maximum_lateness: Duration,
    /// Scheduled adverts by lateness, see [`LATENESS_BOUNDS`].
    pub lateness: [u64; LATENESS_BUCKETS],
}

/// What a frame was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameKind {
    Advert,
    PriorityZero,
    Announcement,
}

impl AdvertStatistics {
    /// Reads every counter.
    pub fn counts(&self) -> AdvertCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut lateness = [0; LATENESS_BUCKETS];
        for (value, counter) in lateness.iter_mut().zip(&self.lateness) {
            *value = read(counter);
        }
        AdvertCounts {
            adverts_sent: read(&self.adverts_sent),
            priority_zero_sent: read(&self.priority_zero_sent),
            announcements_sent: read(&self.announcements_sent),
            no_buffer: read(&self.no_buffer),
            link_down: read(&self.link_down),
            other_errors: read(&self.other_errors),
            last_errno: read(&self.last_errno),
            maximum_lateness: Duration::from_nanos(read(&self.maximum_lateness)),
            lateness,
        }
    }

    pub(super) fn sent(&self, kind: FrameKind) {
        let add = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        match kind {
            FrameKind::Advert => add(&self.adverts_sent),
            FrameKind::PriorityZero => {
                add(&self.priority_zero_sent);
                add(&self.adverts_sent)
            }
            FrameKind::Announcement => add(&self.announcements_sent),
        };
    }

    pub(super) fn failed(&self, failure: SendFailure) {
        let counter = match failure {
            SendFailure::NoBuffer => &self.no_buffer,
            SendFailure::LinkDown => &self.link_down,
            SendFailure::Other(errno) => {
                self.last_errno.store(errno as u64, Ordering::Relaxed);
                &self.other_errors
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn late_by(&self, lateness: Duration) {
        self.maximum_lateness.fetch_max(lateness.as_nanos(), Ordering::Relaxed);
        let bucket =
            LATENESS_BOUNDS.iter().position(|bound| lateness <= *bound).unwrap_or(LATENESS_BUCKETS - 1);
        self.lateness[bucket].fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_moves_its_own_counter() {
        let statistics = AdvertStatistics::default();
        statistics.sent(FrameKind::Advert);
        statistics.sent(FrameKind::PriorityZero);
        statistics.sent(FrameKind::Announcement);
        statistics.failed(SendFailure::NoBuffer);
        statistics.failed(SendFailure::LinkDown);
        statistics.failed(SendFailure::Other(90));
        for millis in [0, 5, 2000] {
            statistics.late_by(Duration::from_millis(millis));
        }
        let expected = AdvertCounts {
            adverts_sent: 2,
            priority_zero_sent: 1,
            announcements_sent: 1,
            no_buffer: 1,
            link_down: 1,
            other_errors: 1,
            last_errno: 90,
            maximum_lateness: Duration::from_secs(2),
            lateness: [1, 0, 1, 0, 0, 1],
        };
        assert_eq!(statistics.counts(), expected);
    }
}
