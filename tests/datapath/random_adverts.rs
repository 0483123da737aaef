//! V-074: VRRP payloads of any content and length come to one verdict each, and none disturbs the program.

use super::fixture::as_answering_owner;
use super::frames::*;
use super::plane::Plane;
use ha_common::maps::values::role;
use ha_common::verdict_reasons::{REASON_SLOTS, VerdictReason};

/// Packets per role.
const PACKETS: u64 = 4_000;
/// Longest payload that is tried, bytes.
const LONGEST: u64 = 4096;
/// Every so many packets are a good advert with a few bytes changed: chance alone finds no checksum.
const CHANGED_PER_RANDOM: u64 = 2;
/// Prefix of the names of reasons that are counted beside a verdict.
const NOTE: &str = "note-";

/// xorshift64*, so that a failure can be repeated.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    fn payload(&mut self) -> Vec<u8> {
        // Short ones are where the decoder's limits lie.
        let longest = if self.below(2) == 0 { 64 } else { LONGEST };
        (0..self.below(longest + 1)).map(|_| self.below(256) as u8).collect()
    }

    fn frame(&mut self) -> Vec<u8> {
        if self.below(1 + CHANGED_PER_RANDOM) == 0 {
            let payload = self.payload();
            return match self.below(2) {
                0 => ipv4(PEER_ADDRESS, [224, 0, 0, 18], 112, &payload),
                _ => ipv6(PEER_LINK_LOCAL, "ff020000000000000000000000000012", 112, &payload),
            };
        }
        let (mut frame, v4, length) = match self.below(3) {
            0 => (advert_v4(T2), true, 12),
            1 => (advert_v4(T3), true, 12),
            _ => (advert_v6(T4), false, 40),
        };
        for _ in 0..self.below(4) {
            let at = 14 + self.below(frame.len() as u64 - 14) as usize;
            frame[at] = self.below(256) as u8;
        }
        let plain_v4 = frame[14] == 0x45;
        match self.below(4) {
            0 => {}
            1 if plain_v4 => seal_message_v4(&mut frame, length),
            1 if !v4 => seal_message_v6(&mut frame),
            2 => frame.truncate(self.below(frame.len() as u64 + 1) as usize),
            _ if plain_v4 => seal_ipv4(&mut frame),
            _ => {}
        }
        // A test run takes no frame shorter than an Ethernet header.
        frame.resize(frame.len().max(14), 0);
        frame
    }
}

fn verdicts_in(counters: &[u64; REASON_SLOTS]) -> u64 {
    let verdicts = VerdictReason::ALL.iter().filter(|reason| !reason.name().starts_with(NOTE));
    verdicts.map(|reason| counters[*reason as usize]).sum()
}

/// Every frame is counted under one verdict at most, and one that names protocol 112 and a router's VRID under one.
fn endure(plane: &mut Plane, seed: u64) {
    let mut dice = Dice(seed);
    let began = (plane.traffic().rx_packets, verdicts_in(&plane.verdicts()));
    let mut silent = 0;
    for number in 0..PACKETS {
        let frame = dice.frame();
        let before = verdicts_in(&plane.verdicts());
        let code = plane.ingress(&frame).code;
        let counted = verdicts_in(&plane.verdicts()) - before;
        assert!(counted <= 1, "seed {seed}, packet {number}: {counted} verdicts for one frame");
        assert!((1..=3).contains(&code), "seed {seed}, packet {number}: return code {code}");
        silent += 1 - counted;
        if counted == 0 {
            let is_vrrp = match frame[12..14] {
                [8, 0] => frame.len() > 23 && frame[14] >> 4 == 4 && frame[23] == 112,
                [0x86, 0xdd] => frame.len() > 20 && frame[14] >> 4 == 6 && frame[20] == 112,
                _ => false,
            };
            assert!(!is_vrrp, "seed {seed}, packet {number}: an advert without a verdict: {frame:02x?}");
        }
    }
    let ended = (plane.traffic().rx_packets, verdicts_in(&plane.verdicts()));
    assert_eq!(ended.0 - began.0, PACKETS, "each is counted as traffic");
    assert_eq!(ended.1 - began.1 + silent, PACKETS, "accepted and discarded add up to what was sent");
    assert!(silent < PACKETS / 4, "{silent} frames were no adverts any more");
    // The program still tells good from bad.
    plane.reset();
    plane.ingress(&advert_v4(T2));
    assert_eq!(plane.state(super::plane::V4).adverts_received, 1);
}

#[test]
fn v074_every_random_advert_comes_to_one_verdict() {
    let mut plane = Plane::new();
    endure(&mut plane, 0x5eed_0001);
    as_answering_owner(&mut plane);
    endure(&mut plane, 0x5eed_0002);
    for slot in [super::plane::V4, super::plane::V6, super::plane::V2] {
        plane.policy(slot, |policy| policy.role = role::INITIALIZE);
    }
    endure(&mut plane, 0x5eed_0003);
}
