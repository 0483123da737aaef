//! A scripted Active that speaks the RFC 9568 checksum form, which the packaged keepalived and FRR may not know.

use crate::bench::Bench;
use crate::setup::VRID;
use holdfast_lab::clock::Moment;
use holdfast_lab::forge::{AdvertSpec, ChecksumForm};
use holdfast_lab::packet_socket::PacketSocket;
use holdfast_lab::topology::Segment;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// Adverts from the peer's host until the value is dropped.
pub(crate) struct Speaker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Speaker {
    /// Speaks at the bench's interval with `priority`.
    pub(crate) fn start(bench: &Bench, priority: u8, form: ChecksumForm) -> Self {
        let socket = PacketSocket::open(bench.segment.host("peer"), Segment::INTERFACE).unwrap();
        let source = bench.segment.address("peer");
        let mut advert = AdvertSpec::v3(source, socket.mac, VRID, priority, &bench.setup.bare_addresses());
        const CENTISECOND_MS: u128 = 10;
        advert.interval = (bench.setup.interval.as_millis() / CENTISECOND_MS) as u16;
        advert.checksum = form;
        let (frame, interval) = (advert.frame(), bench.setup.interval);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut next = Moment::now();
            while !stopped.load(Ordering::Relaxed) {
                socket.send(&frame).unwrap();
                next = next + interval;
                next.sleep_until();
            }
        });
        Speaker { stop, thread: Some(thread) }
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
