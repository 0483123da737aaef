//! Turns ring records into what the engine understands.

use super::maps::address_from_bytes;
use aya::maps::{MapData, RingBuf};
use ha_common::maps::values::{Head, checksum_form};
use ha_common::ring_events::{AdvertEvent, event_flag};
use holdfast_engine::{Advert, ChecksumForm, Duration, Input, Instant, RouterId};
use std::os::fd::{AsRawFd, RawFd};

/// Consumer end of the event ring.
pub struct RingReader {
    ring: RingBuf<MapData>,
}

impl RingReader {
    pub(super) fn new(ring: RingBuf<MapData>) -> Self {
        Self { ring }
    }

    /// Next record as an input; `None` when the ring is empty. A record of another layout is skipped.
    pub fn next_input(&mut self) -> Option<Input> {
        loop {
            let item = self.ring.next()?;
            match bytemuck::try_pod_read_unaligned::<AdvertEvent>(&item) {
                Ok(event) if event.head == Head::of::<AdvertEvent>() => return Some(advert_input(&event)),
                Ok(_) | Err(_) => {}
            }
        }
    }
}

impl AsRawFd for RingReader {
    fn as_raw_fd(&self) -> RawFd {
        self.ring.as_raw_fd()
    }
}

/// Interval field of an advert as a span: centiseconds in VRRPv3, seconds in VRRPv2.
pub fn interval_span(version: u8, interval: u16) -> Duration {
    match version {
        2 => Duration::from_secs(u64::from(interval)),
        _ => Duration::from_centis(u64::from(interval)),
    }
}

/// The checksum form named by a number of `maps::values::checksum_form`.
pub fn heard_form(number: u8) -> Option<ChecksumForm> {
    match number {
        checksum_form::RFC9568 => Some(ChecksumForm::Rfc9568),
        checksum_form::RFC5798 => Some(ChecksumForm::Rfc5798),
        _ => None,
    }
}

fn advert_input(event: &AdvertEvent) -> Input {
    let flag = |bit| event.flags & bit != 0;
    let advert = Advert {
        at: Instant::from_nanos(event.at_ns),
        source: address_from_bytes(event.source),
        priority: event.priority,
        interval: interval_span(event.version, event.interval),
        checksum: heard_form(event.checksum),
        answered: flag(event_flag::ANSWERED),
        addresses_differ: flag(event_flag::ADDRESSES_DIFFER),
        epoch: event.epoch,
        revoked: flag(event_flag::REVOKED),
    };
    Input::Advert { router: RouterId(event.router), advert }
}
