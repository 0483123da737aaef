//! What this node says of itself in probes, and the messages it says it in.
//!
//! The controller tells a [`Standing`]; how much is left of its lease is computed when a message leaves. Once the lease
//! is over the message says so, and claims nothing, whatever the standing still holds. Pure.

use ha_common::wire::probe::{MAGIC, Message, VERSION, flag, kind};
use holdfast_engine::{Duration, Instant, PeerId};
use std::collections::BTreeMap;
use std::net::Ipv6Addr;

const NANOS_PER_MICRO: u64 = 1_000;
const NANOS_PER_CENTI: u64 = 10_000_000;

/// What the controller says of this node. The data plane answers with the same (`NodePolicy`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Units owned, one bit each; claimed only while the lease lasts.
    pub owned: u64,
    /// Units that could be owned.
    pub ready: u64,
    /// Greatest effective priority of the virtual routers.
    pub priority: u16,
    /// Bits of `probe::health`.
    pub health: u16,
    /// Digest of units and advertisement intervals.
    pub digest: u32,
    /// Bits of `probe::flag`, without `STALE`.
    pub flags: u16,
    /// `ha.controller_lease`.
    pub lease: Duration,
    /// End of the lease as last written to the map.
    pub lease_until: Instant,
    /// Paths on which we hear each peer, one bit each.
    pub hears: BTreeMap<PeerId, u16>,
}

/// Who this node is in probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) node: u16,
    pub(super) cluster: u32,
    pub(super) incarnation: u64,
}

impl Identity {
    fn message(self, kind: u8, to: PeerId, sequence: u64) -> Message {
        Message {
            magic: MAGIC,
            version: VERSION,
            kind,
            cluster: self.cluster,
            from: self.node,
            to: to.0,
            prober_incarnation: self.incarnation,
            sequence,
            ..Message::default()
        }
    }

    /// A request as it leaves at `now`, still to be signed. `theirs` is the peer's incarnation as last heard, 0 if never:
    /// it then answers with a challenge that tells it.
    pub(super) fn request(
        self,
        to: PeerId,
        sequence: u64,
        theirs: u64,
        now: Instant,
        standing: &Standing,
    ) -> Message {
        let remaining_us = remaining_us(standing.lease_until, now);
        let message = Message {
            t1_ns: now.as_nanos(),
            responder_incarnation: theirs,
            flags: standing.flags & !flag::STALE,
            owned: standing.owned,
            ready: standing.ready,
            remaining_us,
            priority: standing.priority,
            hears: standing.hears.get(&to).copied().unwrap_or(0),
            digest: standing.digest,
            health: standing.health,
            lease_centis: u16::try_from(standing.lease.as_nanos() / NANOS_PER_CENTI).unwrap_or(u16::MAX),
            ..self.message(kind::REQUEST, to, sequence)
        };
        if remaining_us > 0 {
            return message;
        }
        Message { flags: message.flags | flag::STALE, owned: 0, ready: 0, priority: 0, ..message }
    }

    /// The message that tells our link-local address on a segment, still to be signed.
    pub(super) fn address(self, to: PeerId, sequence: u64, address: Ipv6Addr) -> Message {
        let octets = address.octets();
        // In place: the two words lie next to each other, so the address stands on the wire as it is.
        let word = |start: usize| {
            octets[start..start + 8].iter().rev().fold(0, |value, byte| (value << 8) | u64::from(*byte))
        };
        Message {
            t1_ns: word(0),
            responder_incarnation: word(8),
            ..self.message(kind::ADDRESS, to, sequence)
        }
    }
}

/// What is left of a lease at `now`, rounded up; 0 once it is over.
fn remaining_us(until: Instant, now: Instant) -> u32 {
    u32::try_from(until.since(now).as_nanos().div_ceil(NANOS_PER_MICRO)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: PeerId = PeerId(2);
    const IDENTITY: Identity = Identity { node: 1, cluster: 7, incarnation: 5 };

    fn standing() -> Standing {
        Standing {
            owned: 0b101,
            ready: 0b111,
            priority: 200,
            health: 3,
            digest: 9,
            flags: flag::MAINTENANCE,
            lease: Duration::from_secs(1),
            lease_until: Instant::from_nanos(5_000_000_000),
            hears: BTreeMap::from([(PEER, 0b11)]),
        }
    }

    #[test]
    fn a_request_carries_the_standing_and_what_is_left_of_the_lease() {
        let message = IDENTITY.request(PEER, 16, 77, Instant::from_nanos(4_999_998_999), &standing());
        assert_eq!((message.from, message.to, message.kind), (1, 2, kind::REQUEST));
        assert_eq!((message.cluster, message.prober_incarnation, message.responder_incarnation), (7, 5, 77));
        assert_eq!((message.t1_ns, message.t2_ns, message.sequence), (4_999_998_999, 0, 16));
        assert_eq!((message.owned, message.ready, message.priority), (0b101, 0b111, 200));
        assert_eq!((message.remaining_us, message.lease_centis), (2, 100), "rounded up");
        assert_eq!((message.flags, message.hears), (flag::MAINTENANCE, 0b11));
        assert_eq!(IDENTITY.request(PeerId(3), 0, 0, Instant::default(), &standing()).hears, 0);
    }

    #[test]
    fn a_request_after_the_lease_claims_nothing() {
        let over = standing().lease_until;
        let message = IDENTITY.request(PEER, 16, 77, over, &standing());
        assert_eq!((message.owned, message.ready, message.priority, message.remaining_us), (0, 0, 0, 0));
        assert_eq!(message.flags, flag::MAINTENANCE | flag::STALE);
        assert_eq!((message.health, message.digest), (3, 9), "what is so all the same");
        let lying = Standing { flags: flag::STALE, ..standing() };
        assert_eq!(
            IDENTITY.request(PEER, 16, 77, Instant::default(), &lying).flags,
            0,
            "stale is ours to say"
        );
    }

    #[test]
    fn endless_leases_are_cut_to_the_field() {
        let long = Standing {
            lease: Duration::from_secs(10_000),
            lease_until: Instant::from_nanos(u64::MAX),
            ..standing()
        };
        let message = IDENTITY.request(PEER, 16, 77, Instant::default(), &long);
        assert_eq!((message.remaining_us, message.lease_centis), (u32::MAX, u16::MAX));
    }

    #[test]
    fn an_address_stands_on_the_wire_as_it_is() {
        let address: Ipv6Addr = "fe80::1:2:3:4".parse().unwrap();
        let message = IDENTITY.address(PEER, 33, address);
        assert_eq!(message.kind, kind::ADDRESS);
        assert_eq!(bytemuck::bytes_of(&message)[32..48], address.octets());
        assert_eq!((message.owned, message.remaining_us, message.sequence), (0, 0, 33));
    }
}
