//! Numbered datagrams to an echo and back: what a host behind the gateways notices. All times are the guest's own.

use anyhow::{Context, Result};
use holdfast_vm_protocol::TrafficWindow;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const LONGEST_DATAGRAM: usize = 2048;
/// Time between two tries after an error such as a port that nobody listens on.
const PAUSE: Duration = Duration::from_millis(10);

/// Sends back what arrives, on a thread of its own.
pub(crate) fn echo(address: SocketAddr) -> Result<()> {
    let socket = UdpSocket::bind(address).with_context(|| format!("listening on {address}"))?;
    std::thread::spawn(move || {
        let mut buffer = [0; LONGEST_DATAGRAM];
        loop {
            match socket.recv_from(&mut buffer) {
                // No way back is a loss like any other: the sender sees it.
                Ok((length, from)) => drop(socket.send_to(&buffer[..length], from)),
                Err(_) => std::thread::sleep(PAUSE),
            }
        }
    });
    Ok(())
}

/// A stream that runs until the guest ends.
pub(crate) struct Stream {
    record: Arc<Mutex<Record>>,
}

/// What happened since the last look.
#[derive(Clone, Copy, Debug)]
struct Record {
    sent: u64,
    answered: u64,
    longest_gap: Duration,
    /// The last answer of this window, or its beginning.
    gap_since: Instant,
    last_answer: Option<Instant>,
}

impl Record {
    fn new(now: Instant, last_answer: Option<Instant>) -> Self {
        Self { sent: 0, answered: 0, longest_gap: Duration::ZERO, gap_since: now, last_answer }
    }

    fn answer(&mut self, now: Instant) {
        self.answered += 1;
        self.longest_gap = self.longest_gap.max(now.duration_since(self.gap_since));
        self.gap_since = now;
        self.last_answer = Some(now);
    }

    fn window(&self, now: Instant) -> TrafficWindow {
        TrafficWindow {
            sent: self.sent,
            answered: self.answered,
            longest_gap_ms: self.longest_gap.max(now.duration_since(self.gap_since)).as_millis() as u64,
            last_answer_age_ms: self.last_answer.map(|last| now.duration_since(last).as_millis() as u64),
        }
    }
}

impl Stream {
    pub(crate) fn start(destination: SocketAddr, interval: Duration) -> Result<Self> {
        let any = if destination.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let sender = UdpSocket::bind(any).context("opening a socket")?;
        let receiver = sender.try_clone().context("opening a socket twice")?;
        let record = Arc::new(Mutex::new(Record::new(Instant::now(), None)));
        let (sending, receiving) = (Arc::clone(&record), Arc::clone(&record));
        std::thread::spawn(move || {
            for number in 0u64.. {
                // An error (no route, no neighbour) is a loss like any other: the record shows it.
                drop(sender.send_to(&number.to_be_bytes(), destination));
                lock(&sending).sent += 1;
                std::thread::sleep(interval);
            }
        });
        std::thread::spawn(move || receive(&receiver, &receiving));
        Ok(Self { record })
    }

    /// The figures of the window, which goes on or begins anew.
    pub(crate) fn window(&self, anew: bool) -> TrafficWindow {
        let now = Instant::now();
        let mut record = lock(&self.record);
        let window = record.window(now);
        if anew {
            *record = Record::new(now, record.last_answer);
        }
        window
    }
}

fn receive(socket: &UdpSocket, record: &Mutex<Record>) {
    let mut buffer = [0; LONGEST_DATAGRAM];
    loop {
        match socket.recv(&mut buffer) {
            Ok(_) => lock(record).answer(Instant::now()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // What an ICMP error leaves on the socket is read off it this way.
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

fn lock(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_counts_from_the_windows_begin_to_its_end() {
        let begin = Instant::now();
        let at = |ms: u64| begin + Duration::from_millis(ms);
        let mut record = Record::new(begin, None);
        record.answer(at(30));
        record.answer(at(40));
        assert_eq!(record.window(at(50)).longest_gap_ms, 30);
        let window = record.window(at(90));
        assert_eq!((window.longest_gap_ms, window.answered, window.last_answer_age_ms), (50, 2, Some(50)));
    }

    #[test]
    fn what_is_sent_to_an_echo_comes_back() {
        let address: SocketAddr = {
            let probe = UdpSocket::bind("127.0.0.1:0").unwrap();
            probe.local_addr().unwrap()
        };
        echo(address).unwrap();
        let stream = Stream::start(address, Duration::from_millis(1)).unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        while lock(&stream.record).answered == 0 {
            assert!(Instant::now() < deadline, "no answer");
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(stream.window(true).answered > 0);
    }
}
