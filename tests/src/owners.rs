//! Who answers for an address, asked once per millisecond.
//!
//! Each ARP request (or neighbour solicitation) carries a hardware address of its own as sender, so that every answer
//! names the request it belongs to: two answers to one request are two owners at one instant, with no guess about
//! timing, even where both use one virtual MAC. Requests leave no trace in the gateways' IPv4 neighbour tables (their
//! sender address is 0.0.0.0); for IPv6 the 64 senders' link-local addresses are reused.

use crate::clock::{Moment, prefer_real_time};
use crate::forge::{self, Mac};
use crate::netns::Namespace;
use crate::packet_socket::PacketSocket;
use anyhow::Result;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Locally administered addresses of the askers begin with these bytes; the request's number follows.
const ASKER: [u8; 2] = [0x02, 0x48];
/// IPv6 askers in turn; an answer belongs to the latest request of its asker.
const ASKERS6: usize = 64;
/// Time a request is given to be answered.
const ANSWER_TIME: Duration = Duration::from_millis(40);

/// A running prober.
#[derive(Debug)]
pub struct OwnerProbe {
    record: Arc<Mutex<OwnerRecord>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// Requests and their answers, by request number.
#[derive(Clone, Debug, Default)]
pub struct OwnerRecord {
    asked: Vec<Moment>,
    answers: Vec<Answers>,
}

/// The answers to one request.
#[derive(Clone, Copy, Debug, Default)]
struct Answers {
    count: u8,
    first: Option<Mac>,
    second: Option<Mac>,
}

/// A window of a record.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct OwnerSummary {
    pub asked: usize,
    pub unanswered: usize,
    /// Requests that two or more answered: at one request per millisecond, milliseconds with two answering owners.
    pub contested: usize,
    /// Time from the window's begin to the last contested request.
    pub last_contested_after: Option<Duration>,
    /// Longest run of unanswered requests.
    pub longest_unanswered: Duration,
    /// Answers by owner's MAC.
    pub by_owner: BTreeMap<String, usize>,
}

impl OwnerProbe {
    /// Asks for `target` on `interface` of `namespace`, once per `interval`, until stopped.
    pub fn start(namespace: &Namespace, interface: &str, target: IpAddr, interval: Duration) -> Result<Self> {
        let socket = Arc::new(PacketSocket::open(namespace, interface)?);
        let record = Arc::new(Mutex::new(OwnerRecord::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let threads = vec![
            std::thread::spawn({
                let (socket, record, stop) = (Arc::clone(&socket), Arc::clone(&record), Arc::clone(&stop));
                move || ask_all(&socket, target, interval, &record, &stop)
            }),
            std::thread::spawn({
                let (record, stop) = (Arc::clone(&record), Arc::clone(&stop));
                move || hear_all(&socket, target, &record, &stop)
            }),
        ];
        Ok(OwnerProbe { record, stop, threads })
    }

    /// The figures of the requests sent between two moments, once they had their time to be answered.
    pub fn window(&self, from: Moment, to: Moment) -> OwnerSummary {
        self.lock().window(from, to)
    }

    /// The MAC that answered last, and when it was asked.
    pub fn last_owner(&self) -> Option<(Mac, Moment)> {
        let record = self.lock();
        let number = record.answers.iter().rposition(|answers| answers.count > 0)?;
        Some((record.answers[number].first?, record.asked[number]))
    }

    /// When the last request since `from` was asked that this MAC answered.
    pub fn last_answered_by(&self, owner: Mac, from: Moment) -> Option<Moment> {
        let record = self.lock();
        let answered = |answers: &Answers| [answers.first, answers.second].contains(&Some(owner));
        let number = record.answers.iter().rposition(answered)?;
        Some(record.asked[number]).filter(|asked| *asked >= from)
    }

    /// Ends the prober.
    pub fn finish(mut self) -> OwnerRecord {
        std::thread::sleep(ANSWER_TIME);
        self.end();
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, OwnerRecord> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for OwnerProbe {
    fn drop(&mut self) {
        self.end();
    }
}

fn ask_all(
    socket: &PacketSocket,
    target: IpAddr,
    interval: Duration,
    record: &Mutex<OwnerRecord>,
    stop: &AtomicBool,
) {
    prefer_real_time();
    let mut next = Moment::now();
    while !stop.load(Ordering::Relaxed) {
        next.sleep_until();
        let number = {
            let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
            record.asked.push(Moment::now());
            record.answers.push(Answers::default());
            record.asked.len() - 1
        };
        let request = match target {
            IpAddr::V4(target) => forge::arp_request(socket.mac, asker(number), target),
            IpAddr::V6(target) => {
                let turn = number % ASKERS6;
                forge::neighbour_solicitation(asker(turn), asker6(turn), target)
            }
        };
        let _ = socket.send(&request);
        next = (next + interval).max(Moment::now().before(interval));
    }
}

fn asker(number: usize) -> Mac {
    let [a, b, c, d] = (number as u32).to_be_bytes();
    [ASKER[0], ASKER[1], a, b, c, d]
}

fn asker6(turn: usize) -> Ipv6Addr {
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0x48, 0, 0, turn as u16)
}

fn hear_all(socket: &PacketSocket, target: IpAddr, record: &Mutex<OwnerRecord>, stop: &AtomicBool) {
    prefer_real_time();
    const SLICE: Duration = Duration::from_millis(20);
    while !stop.load(Ordering::Relaxed) {
        let Ok(Some(frame)) = socket.receive(SLICE) else { continue };
        if frame.outgoing {
            continue;
        }
        let Some((to, owner)) = forge::parse_ownership_answer(&frame.bytes, target) else { continue };
        let [first, second, number @ ..] = to;
        if [first, second] != ASKER {
            continue;
        }
        let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
        let mut number = u32::from_be_bytes(number) as usize;
        if target.is_ipv6() {
            let Some(last) = record.asked.len().checked_sub(1) else { continue };
            number = last - (last + ASKERS6 - number % ASKERS6) % ASKERS6;
        }
        if let Some(answers) = record.answers.get_mut(number) {
            answers.add(owner);
        }
    }
}

impl Answers {
    fn add(&mut self, owner: Mac) {
        self.count = self.count.saturating_add(1);
        match (self.first, self.second) {
            (None, _) => self.first = Some(owner),
            (Some(first), None) if first != owner => self.second = Some(owner),
            _ => {}
        }
    }
}

impl OwnerRecord {
    /// The figures of the requests sent between two moments.
    pub fn window(&self, from: Moment, to: Moment) -> OwnerSummary {
        let settled = Moment::now().before(ANSWER_TIME);
        let begin = self.asked.partition_point(|asked| *asked < from);
        let end = self.asked.partition_point(|asked| *asked < to.min(settled)).max(begin);
        let mut summary = OwnerSummary { asked: end - begin, ..OwnerSummary::default() };
        let mut silent_since = None;
        for number in begin..end {
            let (asked, answers) = (self.asked[number], self.answers[number]);
            for owner in [answers.first, answers.second].into_iter().flatten() {
                *summary.by_owner.entry(forge::mac_text(owner)).or_default() += 1;
            }
            match answers.count {
                0 => {
                    summary.unanswered += 1;
                    let since = *silent_since.get_or_insert(asked);
                    summary.longest_unanswered = summary.longest_unanswered.max(asked.since(since));
                }
                1 => silent_since = None,
                _ => {
                    silent_since = None;
                    summary.contested += 1;
                    summary.last_contested_after = Some(asked.since(from));
                }
            }
        }
        summary
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Mac = [2, 0, 0, 0, 0, 1];
    const B: Mac = [2, 0, 0, 0, 0, 2];

    fn record(answers: &[&[Mac]]) -> OwnerRecord {
        let mut record = OwnerRecord::default();
        for (number, owners) in answers.iter().enumerate() {
            record.asked.push(Moment::from_nanos(number as u64 * 1_000_000));
            let mut all = Answers::default();
            owners.iter().for_each(|owner| all.add(*owner));
            record.answers.push(all);
        }
        record
    }

    #[test]
    fn a_clean_move_is_not_contested() {
        let summary =
            record(&[&[A], &[A], &[], &[], &[B]]).window(Moment::from_nanos(0), Moment::from_nanos(u64::MAX));
        assert_eq!((summary.asked, summary.unanswered, summary.contested), (5, 2, 0));
        assert_eq!(summary.by_owner.len(), 2);
        assert_eq!(summary.longest_unanswered, Duration::from_millis(1));
    }

    #[test]
    fn two_answers_to_one_request_are_contested_even_from_one_virtual_mac() {
        let summary =
            record(&[&[A, A], &[A, B], &[B]]).window(Moment::from_nanos(0), Moment::from_nanos(u64::MAX));
        assert_eq!(summary.contested, 2);
        assert_eq!(summary.last_contested_after, Some(Duration::from_millis(1)));
    }
}
