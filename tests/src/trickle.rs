//! A frame per millisecond that no host understands and no gateway routes: only a wire brings it across.

use crate::clock::Moment;
use crate::netns::Namespace;
use crate::packet_socket::PacketSocket;
use anyhow::Result;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// EtherType for experiments: nobody answers it.
const EXPERIMENTAL: [u8; 2] = [0x88, 0xb5];
/// A hardware address that nobody has.
const STRANGER: [u8; 6] = [2, 0, 0, 0, 0, 0x77];
const PERIOD: Duration = Duration::from_millis(1);
const LENGTH: usize = 60;
/// Time in which a frame that is still coming through would have come.
const QUIET: Duration = Duration::from_millis(100);

/// A running sender, and the socket at the far side.
#[derive(Debug)]
pub struct Trickle {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    far: PacketSocket,
    frame: Vec<u8>,
}

impl Trickle {
    /// Sends from an interface in one namespace until dropped, and listens at one in another.
    pub fn start(from: (&Namespace, &str), to: (&Namespace, &str)) -> Result<Self> {
        let near = PacketSocket::open(from.0, from.1)?;
        let far = PacketSocket::open(to.0, to.1)?;
        far.only_from(near.mac)?;
        let mut frame = [STRANGER, near.mac].concat();
        frame.extend(EXPERIMENTAL);
        frame.resize(LENGTH, 0x5a);
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, sent) = (Arc::clone(&stop), frame.clone());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                // Fails while the link is down.
                let _ = near.send(&sent);
                std::thread::sleep(PERIOD);
            }
        });
        Ok(Trickle { stop, thread: Some(thread), far, frame })
    }

    /// When the next frame came through that has not been asked for yet.
    pub fn next(&self, deadline: Duration) -> Result<Option<Moment>> {
        let found = self.far.wait_for(deadline, |found| found.bytes == self.frame)?;
        Ok(found.map(|frame| frame.at))
    }

    /// Nothing more comes through, once what is on its way has arrived.
    pub fn is_quiet(&self) -> Result<bool> {
        while self.far.receive(Duration::ZERO)?.is_some() {}
        Ok(self.next(QUIET)?.is_none())
    }
}

impl Drop for Trickle {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
