//! What our own data plane would do: sees every frame that comes in, matches replies, and keeps readings. It also keeps
//! when each reply came, to hold the prober's judgement against.

use crate::bench::{CLUSTER, FAR_END_PRIORITY, INCARNATION, OWN_NODE, PEER, PORT};
use ha_common::wire::probe::{LENGTH, Message, kind};
use holdfast::probes::keys::PairKeys;
use holdfast::probes::readings::{PathReadings, Reading, Slots};
use holdfast::probes::status::PathStatus;
use holdfast::runtime::{clock, realtime};
use holdfast_engine::{Duration, Instant};
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::{Arc, Mutex};

const ETHERNET: usize = 14;
const UDP: usize = 8;
const UDP_PROTOCOL: u8 = 17;

#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) readings: HashMap<u32, Reading>,
    pub(crate) frames: HashMap<u32, u64>,
    /// Round trips of the replies, by sequence.
    pub(crate) round_trips: HashMap<u64, Duration>,
}

/// Dropping it ends the thread.
pub(crate) struct Tap {
    seen: Arc<Mutex<Seen>>,
    keys: Arc<Mutex<PairKeys>>,
}

pub(crate) struct TapReadings(Arc<Mutex<Seen>>);

impl PathReadings for TapReadings {
    fn read(&mut self, slots: Slots) -> Option<Reading> {
        Some(self.0.lock().unwrap().readings.get(&slots.path).copied().unwrap_or_default())
    }

    /// Links are named by their interface here.
    fn frames_in(&mut self, slots: Slots) -> Option<u64> {
        Some(self.0.lock().unwrap().frames.get(&slots.link?).copied().unwrap_or_default())
    }
}

impl Tap {
    /// Listens on every interface of the calling thread's namespace, those to come included.
    pub(crate) fn start(keys: PairKeys) -> Self {
        let socket = packet_socket();
        let tap = Self { seen: Arc::default(), keys: Arc::new(Mutex::new(keys)) };
        let (seen, keys) = (Arc::downgrade(&tap.seen), Arc::clone(&tap.keys));
        std::thread::spawn(move || {
            FAR_END_PRIORITY.map(realtime::enter_realtime);
            loop {
                let frame = next_frame(&socket);
                let Some(seen) = seen.upgrade() else { return };
                if let Some((ifindex, frame)) = frame {
                    let now = clock::now();
                    let keys = keys.lock().unwrap();
                    seen.lock().unwrap().take_in(ifindex, &frame, now, &keys);
                }
            }
        });
        tap
    }

    pub(crate) fn readings(&self) -> TapReadings {
        TapReadings(Arc::clone(&self.seen))
    }

    pub(crate) fn set_keys(&self, keys: PairKeys) {
        *self.keys.lock().unwrap() = keys;
    }

    /// No check may be lost whose reply came within three quarters of an interval, the least time a request has. Where
    /// the far end, a process on a busy host, was late itself, a lost check is a true one.
    pub(crate) fn assert_fair(&self, path: &PathStatus, interval: Duration) {
        let window = interval.scaled(3, 4);
        let seen = self.seen.lock().unwrap();
        let in_time = seen.round_trips.values().filter(|rtt| **rtt <= window).count() as u64;
        println!("{in_time} replies in time, {path:?}");
        let unanswered = path.counters.sent.saturating_sub(in_time);
        assert!(path.view.counts.lost <= unanswered, "{unanswered} replies late or missing, {path:?}");
    }

    /// Pretends that a request of the peer came now.
    pub(crate) fn hear_request(&self, path: u32) {
        self.seen.lock().unwrap().readings.entry(path).or_default().request_at = clock::now();
    }
}

impl Seen {
    fn take_in(&mut self, ifindex: u32, frame: &[u8], now: Instant, keys: &PairKeys) {
        *self.frames.entry(ifindex).or_default() += 1;
        let Some(message) = message_of(frame) else { return };
        let key = keys.key_ids.iter().position(|id| *id == message.key_id && *id != 0);
        let ours = (message.cluster, message.from, message.to, message.prober_incarnation)
            == (CLUSTER, PEER.0, OWN_NODE, INCARNATION);
        let authentic = key.is_some_and(|slot| message.compute_mac(keys.receive[slot]) == message.mac);
        if !ours || !authentic {
            return;
        }
        // Of the peer, so on all paths.
        self.readings.entry(message.path_index()).or_default();
        for reading in self.readings.values_mut() {
            reading.their_incarnation = message.responder_incarnation;
        }
        let reading = self.readings.entry(message.path_index()).or_default();
        if message.kind == kind::REPLY && message.sequence > reading.reply_sequence {
            reading.reply_sequence = message.sequence;
            reading.reply_at = now;
            reading.rtt = now.since(Instant::from_nanos(message.t1_ns));
            reading.replies += 1;
            self.round_trips.insert(message.sequence, reading.rtt);
        }
    }
}

/// The probe in a frame, if one is in it.
pub(crate) fn message_of(frame: &[u8]) -> Option<Message> {
    let packet = frame.get(ETHERNET..)?;
    let (header, protocol) = match packet.first()? >> 4 {
        4 => (usize::from(packet[0] & 0xf) * 4, *packet.get(9)?),
        6 => (40, *packet.get(6)?),
        _ => return None,
    };
    let datagram = packet.get(header..).filter(|_| protocol == UDP_PROTOCOL)?;
    let port = u16::from_be_bytes(datagram.get(2..4)?.try_into().ok()?);
    let bytes: [u8; LENGTH] = datagram.get(UDP..UDP + LENGTH)?.try_into().ok()?;
    (port == PORT).then(|| bytemuck::cast(bytes))
}

pub(crate) fn packet_socket() -> OwnedFd {
    let all = (libc::ETH_P_ALL as u16).to_be();
    // SAFETY: plain integers; the result is checked before use.
    let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, i32::from(all)) };
    assert!(fd >= 0, "{}", io::Error::last_os_error());
    // SAFETY: `fd` was just opened and is owned by nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::RcvBufForce, &(16 << 20)).unwrap();
    let patience = nix::sys::time::TimeVal::new(0, 20_000);
    nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::ReceiveTimeout, &patience).unwrap();
    socket
}

/// The next frame that comes in from a wire, with its interface; `None` if none comes for a while.
pub(crate) fn next_frame(socket: &OwnedFd) -> Option<(u32, Vec<u8>)> {
    let mut buffer = [0u8; 2048];
    // SAFETY: integers and arrays of integers only.
    let mut from: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    let mut length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the buffer and the address outlive the call, and their sizes are given.
    let received = unsafe {
        libc::recvfrom(
            socket.as_raw_fd(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            0,
            (&raw mut from).cast(),
            &mut length,
        )
    };
    // ENETDOWN tells that an interface went; the others are still heard.
    let incoming = received >= 0 && from.sll_pkttype != libc::PACKET_OUTGOING;
    incoming.then(|| (from.sll_ifindex as u32, buffer[..received as usize].to_vec()))
}
