//! Frames from a host on the LAN, at a given rate or as fast as a packet socket takes them.

use anyhow::{Context, Result};
use holdfast_lab::Moment;
use holdfast_lab::fabric::Port;
use holdfast_lab::netns::Namespace;
use holdfast_lab::packet_socket::PacketSocket;
use std::time::Duration;

/// How fast frames are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rate {
    PerSecond(u32),
    Highest,
}

impl Rate {
    pub(crate) fn shown(self) -> String {
        match self {
            Rate::PerSecond(rate) => format!("{rate} per second"),
            Rate::Highest => "flooded".to_owned(),
        }
    }
}

/// Sends `frame` until `end` and gives how often it went out.
pub(crate) fn send_until(socket: &PacketSocket, frame: &[u8], rate: Rate, end: Moment) -> u64 {
    let mut sent = 0;
    match rate {
        Rate::PerSecond(rate) => {
            let pause = Duration::from_secs(1) / rate;
            let mut next = Moment::now();
            while next < end {
                next.sleep_until();
                sent += u64::from(socket.send(frame).is_ok());
                next = next + pause;
            }
        }
        Rate::Highest => {
            const BETWEEN_LOOKS: usize = 64;
            while Moment::now() < end {
                sent += (0..BETWEEN_LOOKS).map(|_| u64::from(socket.send(frame).is_ok())).sum::<u64>();
            }
        }
    }
    sent
}

/// Frames that a fabric's port has handed to its host.
pub(crate) fn handed_over(fabric: &Namespace, port: &Port) -> Result<u64> {
    /// Place of the transmitted packets after the interface's name.
    const SENT: usize = 9;
    counter(fabric, port, SENT)
}

/// Frames that a fabric's port could not hand to its host, because the host's ring was full.
pub(crate) fn turned_away(fabric: &Namespace, port: &Port) -> Result<u64> {
    /// Place of the drops on transmission.
    const DROPPED: usize = 11;
    counter(fabric, port, DROPPED)
}

fn counter(fabric: &Namespace, port: &Port, place: usize) -> Result<u64> {
    let text = fabric.enter(|| std::fs::read_to_string("/proc/thread-self/net/dev"))??;
    let line = text.lines().find_map(|line| line.trim().strip_prefix(port.name.as_str())?.strip_prefix(':'));
    let count = line.and_then(|line| line.split_whitespace().nth(place)?.parse().ok());
    count.with_context(|| format!("no counters of {} in {}", port.name, fabric.name()))
}
