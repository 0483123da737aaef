//! A steady stream of numbered datagrams and what became of each of them.
//!
//! The sender keeps absolute time, the receiver takes the kernel's stamps, and both run at real-time priority where
//! that is allowed, so that the figures are the network's and not the scheduler's.

use crate::clock::{Moment, prefer_real_time};
use crate::netns::Namespace;
use crate::stamped;
use anyhow::{Context, Result};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// A datagram that arrives later than this after it was sent counts as an outage: it sat in somebody's queue while the
/// way was cut. It does not count as lost.
const LATE: Duration = Duration::from_millis(50);
/// Time after which a datagram that has not arrived is lost.
const IN_FLIGHT: Duration = Duration::from_millis(200);
const PAYLOAD: usize = 64;

/// A running stream.
#[derive(Debug)]
pub struct Stream {
    record: Arc<Mutex<TrafficRecord>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// What was sent and what arrived, by sequence number.
#[derive(Clone, Debug, Default)]
pub struct TrafficRecord {
    sent: Vec<Moment>,
    arrived: Vec<Option<Moment>>,
    duplicates: Vec<Moment>,
}

/// A window of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct TrafficSummary {
    pub sent: usize,
    pub lost: usize,
    /// Arrived a second time.
    pub duplicated: usize,
    /// Longest time in which no datagram was served in time, from the first one that was not to the next that was.
    pub outage: Duration,
    /// Longest time between two arrivals, stalls of the host included.
    pub longest_gap: Duration,
}

impl Stream {
    /// Sends one datagram per `interval` from one namespace to `destination` in the other, until stopped.
    pub fn start(
        from: &Namespace,
        to: &Namespace,
        destination: SocketAddr,
        interval: Duration,
    ) -> Result<Self> {
        let receiver = to.enter(|| -> std::io::Result<UdpSocket> {
            let socket = UdpSocket::bind(destination)?;
            stamped::enable(socket.as_fd())?;
            Ok(socket)
        })?;
        let receiver = receiver.with_context(|| format!("listening on {destination} in {}", to.name()))?;
        let any = if destination.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let sender = from.enter(|| UdpSocket::bind(any))??;
        let record = Arc::new(Mutex::new(TrafficRecord::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let threads = vec![
            std::thread::spawn({
                let (record, stop) = (Arc::clone(&record), Arc::clone(&stop));
                move || send_all(&sender, destination, interval, &record, &stop)
            }),
            std::thread::spawn({
                let (record, stop) = (Arc::clone(&record), Arc::clone(&stop));
                move || receive_all(&receiver, &record, &stop)
            }),
        ];
        Ok(Stream { record, stop, threads })
    }

    /// The figures of the datagrams sent between two moments. Those sent in the last instant count once they had
    /// their time to arrive.
    pub fn window(&self, from: Moment, to: Moment) -> TrafficSummary {
        lock(&self.record).window(from, to)
    }

    /// True if a datagram sent after `moment` has arrived.
    pub fn flows_since(&self, moment: Moment) -> bool {
        let record = lock(&self.record);
        let begin = record.sent.partition_point(|sent| *sent < moment);
        record.arrived[begin..].iter().any(Option::is_some)
    }

    /// Ends the stream, after what is on its way has had time to arrive.
    pub fn finish(mut self) -> TrafficRecord {
        self.end();
        std::mem::take(&mut *lock(&self.record))
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.end();
    }
}

fn lock(record: &Mutex<TrafficRecord>) -> std::sync::MutexGuard<'_, TrafficRecord> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

fn send_all(
    socket: &UdpSocket,
    destination: SocketAddr,
    interval: Duration,
    record: &Mutex<TrafficRecord>,
    stop: &AtomicBool,
) {
    prefer_real_time();
    let mut payload = [0u8; PAYLOAD];
    let mut next = Moment::now();
    while !stop.load(Ordering::Relaxed) {
        next.sleep_until();
        let number = {
            let mut record = lock(record);
            record.sent.push(Moment::now());
            record.arrived.push(None);
            record.sent.len() as u64 - 1
        };
        payload[..8].copy_from_slice(&number.to_be_bytes());
        // An error (no route, no neighbour) is a loss like any other: the record shows it.
        let _ = socket.send_to(&payload, destination);
        // After a stall the lost instants are skipped, not made up for in a burst.
        next = (next + interval).max(Moment::now().before(interval));
    }
}

fn receive_all(socket: &UdpSocket, record: &Mutex<TrafficRecord>, stop: &AtomicBool) {
    prefer_real_time();
    const SLICE: Duration = Duration::from_millis(20);
    let mut buffer = [0u8; 2 * PAYLOAD];
    let mut stopped_at = None;
    loop {
        if stop.load(Ordering::Relaxed) {
            let begin = *stopped_at.get_or_insert_with(Moment::now);
            if begin.elapsed() > IN_FLIGHT {
                return;
            }
        }
        let Ok(Some(packet)) = stamped::receive(socket.as_fd(), &mut buffer, SLICE) else { continue };
        let Some(number) = buffer[..packet.length].first_chunk::<8>() else { continue };
        let number = u64::from_be_bytes(*number) as usize;
        let mut record = lock(record);
        match record.arrived.get_mut(number) {
            Some(place @ None) => *place = Some(packet.at),
            Some(Some(_)) => record.duplicates.push(packet.at),
            None => {}
        }
    }
}

impl TrafficRecord {
    /// The figures of the datagrams sent between two moments.
    pub fn window(&self, from: Moment, to: Moment) -> TrafficSummary {
        let settled = Moment::now().before(IN_FLIGHT);
        let begin = self.sent.partition_point(|sent| *sent < from);
        let end = self.sent.partition_point(|sent| *sent < to.min(settled)).max(begin);
        let arrived = &self.arrived[begin..end];
        let mut arrivals: Vec<Moment> = arrived.iter().flatten().copied().collect();
        arrivals.sort_unstable();
        TrafficSummary {
            sent: end - begin,
            lost: arrived.iter().filter(|arrival| arrival.is_none()).count(),
            duplicated: self.duplicates.iter().filter(|at| **at >= from && **at < to).count(),
            outage: self.outage(begin, end),
            longest_gap: arrivals.windows(2).map(|pair| pair[1].since(pair[0])).max().unwrap_or_default(),
        }
    }

    fn served_in_time(&self, number: usize) -> bool {
        self.arrived[number].is_some_and(|at| at.since(self.sent[number]) <= LATE)
    }

    fn outage(&self, begin: usize, end: usize) -> Duration {
        let mut longest = Duration::ZERO;
        let mut cut_since: Option<Moment> = None;
        for number in begin..end {
            let sent = self.sent[number];
            match (self.served_in_time(number), cut_since) {
                (true, Some(since)) => {
                    longest = longest.max(sent.since(since));
                    cut_since = None;
                }
                (false, None) => cut_since = Some(sent),
                _ => {}
            }
        }
        let last = end.checked_sub(1).and_then(|last| self.sent.get(last));
        if let (Some(since), Some(last)) = (cut_since, last) {
            longest = longest.max(last.since(since));
        }
        longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn at(ms: u64) -> Moment {
        Moment::from_nanos(ms * MS)
    }

    /// A record with one datagram per millisecond; `arrival(i)` gives its arrival in milliseconds.
    fn record(count: u64, arrival: impl Fn(u64) -> Option<u64>) -> TrafficRecord {
        TrafficRecord {
            sent: (0..count).map(at).collect(),
            arrived: (0..count).map(|number| arrival(number).map(at)).collect(),
            duplicates: Vec::new(),
        }
    }

    #[test]
    fn an_unbroken_stream_has_no_outage() {
        let summary = record(100, Some).window(at(0), at(100));
        assert_eq!((summary.sent, summary.lost, summary.outage), (100, 0, Duration::ZERO));
        assert_eq!(summary.longest_gap, Duration::from_millis(1));
    }

    #[test]
    fn an_outage_lasts_from_the_first_loss_to_the_next_served() {
        let summary = record(100, |i| (!(20..50).contains(&i)).then_some(i)).window(at(0), at(100));
        assert_eq!((summary.lost, summary.outage), (30, Duration::from_millis(30)));
        assert_eq!(summary.longest_gap, Duration::from_millis(31));
    }

    #[test]
    fn queued_datagrams_are_late_but_not_lost() {
        let summary = record(200, |i| Some(if i < 100 { i.max(100) } else { i })).window(at(0), at(200));
        assert_eq!((summary.lost, summary.outage), (0, Duration::from_millis(50)));
    }

    #[test]
    fn an_outage_that_does_not_end_lasts_to_the_windows_end() {
        let summary = record(100, |i| (i < 40).then_some(i)).window(at(0), at(100));
        assert_eq!(summary.outage, Duration::from_millis(59));
    }

    #[test]
    fn a_window_sees_only_its_own() {
        let summary = record(100, |i| (i >= 10).then_some(i)).window(at(50), at(60));
        assert_eq!((summary.sent, summary.lost), (10, 0));
    }
}
