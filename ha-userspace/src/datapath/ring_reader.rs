//! Turns ring records into what the engine understands.

use super::maps::address_from_bytes;
use aya::maps::{MapData, RingBuf};
use ha_common::maps::values::{Head, checksum_form};
use ha_common::ring_events::{AdvertEvent, PeerEvent, event_flag};
use holdfast_engine::{Advert, ChecksumForm, Duration, Instant, RouterId};
use std::os::fd::{AsRawFd, RawFd};

/// What the data plane has to say.
#[derive(Clone, Debug)]
pub enum RingRecord {
    /// A valid advert.
    Advert {
        router: RouterId,
        advert: Advert,
        /// No authenticated message bears it out and it changed nothing: news for the operator, not for the election.
        uncorroborated: bool,
    },
    /// A peer's state changed, or needs a look.
    Peer(PeerEvent),
}

/// Consumer end of the event ring.
pub struct RingReader {
    ring: RingBuf<MapData>,
}

impl RingReader {
    pub fn new(ring: RingBuf<MapData>) -> Self {
        Self { ring }
    }

    /// Next record; `None` when the ring is empty. A record of another layout is skipped.
    pub fn next_record(&mut self) -> Option<RingRecord> {
        loop {
            let item = self.ring.next()?;
            if let Some(record) = record(&item) {
                return Some(record);
            }
        }
    }
}

/// Reads a record; `None` for one of another layout. Records are told apart by their heads, which hold their sizes.
pub fn record(bytes: &[u8]) -> Option<RingRecord> {
    if let Ok(event) = bytemuck::try_pod_read_unaligned::<PeerEvent>(bytes) {
        return (event.head == Head::of::<PeerEvent>()).then_some(RingRecord::Peer(event));
    }
    let event = bytemuck::try_pod_read_unaligned::<AdvertEvent>(bytes).ok()?;
    (event.head == Head::of::<AdvertEvent>()).then(|| RingRecord::Advert {
        router: RouterId(event.router),
        advert: advert(&event),
        uncorroborated: event.flags & event_flag::UNCORROBORATED != 0,
    })
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

fn advert(event: &AdvertEvent) -> Advert {
    let flag = |bit| event.flags & bit != 0;
    Advert {
        at: Instant::from_nanos(event.at_ns),
        source: address_from_bytes(event.source),
        priority: event.priority,
        interval: interval_span(event.version, event.interval),
        checksum: heard_form(event.checksum),
        answered: flag(event_flag::ANSWERED),
        addresses_differ: flag(event_flag::ADDRESSES_DIFFER),
        epoch: event.epoch,
        revoked: flag(event_flag::REVOKED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable;

    #[test]
    fn records_are_told_apart() {
        let advert = AdvertEvent {
            head: Head::of::<AdvertEvent>(),
            flags: event_flag::UNCORROBORATED,
            source: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 7],
            ..AdvertEvent::zeroed()
        };
        let found = record(bytemuck::bytes_of(&advert));
        let Some(RingRecord::Advert { uncorroborated: true, advert, .. }) = found else {
            panic!("{found:?}");
        };
        assert_eq!(advert.source, std::net::IpAddr::from([192, 0, 2, 7]));

        let peer = PeerEvent { head: Head::of::<PeerEvent>(), peer: 3, ..PeerEvent::zeroed() };
        let found = record(bytemuck::bytes_of(&peer));
        assert!(matches!(found, Some(RingRecord::Peer(event)) if event == peer), "{found:?}");
    }

    #[test]
    fn records_of_another_layout_are_skipped() {
        assert!(record(bytemuck::bytes_of(&AdvertEvent::zeroed())).is_none());
        assert!(record(bytemuck::bytes_of(&PeerEvent::zeroed())).is_none());
        assert!(record(&[0; 48]).is_none());
    }
}
